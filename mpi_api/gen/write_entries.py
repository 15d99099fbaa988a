"""Writes entries_<chapter>.cc: the C functions PMPI_X, PMPI_X_c and their weak names MPI_X, MPI_X_c.

The C functions widen counts and call the body that both share (entry_body.py). Functions that the
description calls custom go straight to their implementation.
"""

import re

from cxx_text import NOTE, cxx, wrap
from entry_body import Body, body_name, shares_body
from kinds import INT_ARRAY


def c_entry(function):
    """PMPI_X and its weak alias MPI_X."""
    declared = [cxx(p.declaration(function.is_large)) for p in function.parameters]
    head = wrap(f"TERN_EXPORT {function.returns} P{function.name}", declared or ["void"], " {")
    if function.custom:
        arguments = [p.name for p in function.parameters if p.name != "..."]
        call = wrap(f"return tern::mpi::impl::{function.impl}", arguments, ";", "  ")
    else:
        plain = [argument(p, function) for p in function.parameters]
        if function.at_once:
            head += "\n" + wrap(f"if (tern::mpi::at_once::{function.impl}", plain,
                                ") [[likely]] return MPI_SUCCESS;", "  ")
        arguments = [f'"{function.name}"'] + plain
        call = wrap(f"return tern::mpi::entry::{body_name(function)}", arguments, ";", "  ")
    return f"{head}\n{call}\n}}\nTERN_WEAK_ALIAS({function.name})\n"


def argument(parameter, function):
    """An array of the plain function is of ints unless its type says otherwise."""
    if parameter.kind.handling != INT_ARRAY:
        return parameter.name
    wide = function.is_large or not re.search(r"\bint\b", parameter.c_type())
    return f"{{{parameter.name}, {'true' if wide else 'false'}}}"


PREAMBLE = """\
#include "impl.h"
#include "mpi_api/at_once.h"
#include "mpi_api/checks.h"
#include "mpi_api/coll/form.h"
#include "mpi_api/lanes.h"

#define TERN_EXPORT __attribute__((visibility("default")))
// MPI_X is a weak name of PMPI_X, so that a tool can put its own MPI_X in front.
#define TERN_WEAK_ALIAS(name) \\
  TERN_EXPORT decltype(P##name) name __attribute__((weak, alias("P" #name)));
"""


def entries(chapter):
    """The text of entries_<chapter>.cc."""
    functions = [f for f in chapter.functions() if f.implemented]
    out = [f"// entries_{chapter.stem}.cc - C functions of MPI-5.0 chapter {chapter.number}:\n"
           f"// {chapter.title}. {NOTE}"]
    if not functions:
        return out[0] + "\n// None of these functions is implemented yet.\n"
    out.append(PREAMBLE)
    is_p2p = chapter.stem == "pt2pt"
    bodies = [Body(f, is_p2p).text() for f in functions if not f.custom and not shares_body(f)]
    if bodies:
        out += ["namespace tern::mpi::entry {", "namespace {", "", *bodies,
                "}  // namespace", "}  // namespace tern::mpi::entry", ""]
    out += ['extern "C" {', "", *[c_entry(f) for f in functions], '}  // extern "C"']
    return "\n".join(out) + "\n"
