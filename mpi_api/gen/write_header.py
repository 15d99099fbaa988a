"""Writes mpi.h: the C header of the MPI 5.0 standard ABI, complete whatever is implemented."""

from cxx_text import wrap

PREAMBLE = """\
/* mpi.h - the MPI 5.0 standard ABI as Tern offers it. Generated from mpi_api/api; do not edit.
 *
 * A program compiled with this header runs with every MPI library that has the standard ABI. Tern
 * may lack some of the functions declared here: then the program does not link.
 */
#ifndef MPI_H_INCLUDED
#define MPI_H_INCLUDED

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
"""

POSTSCRIPT = """\
#ifdef __cplusplus
}
#endif

#endif /* MPI_H_INCLUDED */
"""


def banner(title):
    return f"/* {'-' * 92}\n * {title}\n * {'-' * 92} */\n"


def declaration_lines(text):
    """A prototype, wrapped between parameters."""
    head, _, parameters = text.partition("(")
    return wrap(head, parameters[:-1].split(", "), ";")


def types_text(api):
    out = [banner("Types")]
    by = {}
    for item in api.types:
        by.setdefault(item.category, []).append(item)
    out += [f"typedef {t.definition} {t.name};" for t in by["integer"]]
    out.append("\n/* Handles: pointers to structures that are never defined. Equal handles name the "
               "same object. */")
    width = max(len(t.name) for t in by["handle"])
    out += [f"typedef struct {'MPI_ABI_' + t.name[4:]:<{width + 4}} *{t.name};"
            for t in by["handle"]]
    for item in by["struct"]:
        members = "".join(f"  {m};\n" for m in item.members)
        out.append(f"\n/* What a receive tells. The last member is the library's own. */\n"
                   f"typedef struct {item.name} {{\n{members}}} {item.name};")
    for item in by["enum"]:
        group = next(g for g in api.groups if g.form == "enum " + item.name)
        out.append(f"\n/* {group.title} */\ntypedef enum {item.name} {{\n{enumerators(group)}\n}} "
                   f"{item.name};")
    out.append("\n/* Functions that an application gives to MPI */")
    for item in by["callback"]:
        text = f"typedef {item.returns} {item.name}({item.definition})"
        out.append(declaration_lines(text))
    out.append("\n/* Older names of the types above */")
    out += [f"typedef {t.definition} {t.name};" for t in by["alias"]]
    return "\n".join(out) + "\n"


def enumerators(group):
    width = max(len(v.name) for v in group.values)
    lines = []
    for index, value in enumerate(group.values):
        comma = "," if index + 1 < len(group.values) else ""
        lines.append(f"  {value.name:<{width}} = {value.text}{comma}{remark(value)}")
    return "\n".join(lines)


def remark(value):
    words = [value.comment] if value.comment else []
    if value.deprecated:
        words.append(f"deprecated in MPI-{value.deprecated}")
    if value.optional:
        words.append("optional")
    return f" /* {'; '.join(words)} */" if words else ""


def group_text(group):
    title = f"/* {group.title} */\n"
    width = max(len(v.name) for v in group.values)
    lines = []
    for value in group.values:
        if value.alias:
            text = value.alias
        elif group.form == "macro":
            text = value.text if value.value >= 0 else f"({value.text})"
        else:
            text = f"(({group.form}){value.text})" if value.value >= 0 else \
                f"(({group.form})({value.text}))"
        lines.append(f"#define {value.name:<{width}} {text}{remark(value)}")
    return title + "\n".join(lines) + "\n"


def constants_text(api):
    out = [banner("Constants")]
    out += [group_text(g) for g in api.groups if not g.form.startswith("enum ")]
    return "\n".join(out)


def functions_text(api, prefix, title):
    """All prototypes; prefix is "" or "P"."""
    out = []
    for chapter in api.chapters:
        out.append(banner(f"{title}chapter {chapter.number}: {chapter.title}"))
        for section in chapter.sections:
            lines = [f"/* {section.title} */"]
            for function in section.functions:
                for each in filter(None, (function, function.large)):
                    if each.deprecated:
                        lines.append(f"/* Deprecated in MPI-{each.deprecated} */")
                    lines.append(declaration_lines(each.declaration(prefix)))
            out.append("\n".join(lines) + "\n")
    return "\n".join(out)


def header(api):
    """The text of mpi.h."""
    return "\n".join([PREAMBLE, types_text(api), constants_text(api),
                      functions_text(api, "", "Functions of "),
                      functions_text(api, "P", "Profiling names of "), POSTSCRIPT])
