"""Writes functions.json: the description for tools that are not written in C++ (tern-info, docs)."""

import json


def parameter(item, large):
    entry = {"name": item.name, "kind": item.kind.name, "c": item.declaration(large),
             "doc": item.kind.doc}
    if item.argument:
        entry["argument"] = item.argument
    if item.flags:
        entry["flags"] = list(item.flags)
    return entry


def functions(api):
    """One object per function, in the order of mpi.h."""
    out = []
    for chapter in api.chapters:
        for section in chapter.sections:
            for plain in section.functions:
                for each in filter(None, (plain, plain.large)):
                    out.append({
                        "name": each.name, "chapter": chapter.number, "file": chapter.stem,
                        "section": section.title, "returns": each.returns, "since": each.since,
                        "deprecated": each.deprecated, "implemented": each.implemented,
                        "large_count_of": plain.name if each.is_large else "",
                        "parameters": [parameter(p, each.is_large) for p in each.parameters]})
    return json.dumps({"standard": "5.0", "functions": out}, indent=1) + "\n"
