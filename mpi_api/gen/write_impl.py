"""Writes impl.h: the declarations of what is written by hand for each implemented function."""

from cxx_text import NOTE, cxx, wrap
from reader import impl_type


def parameters(function):
    """Declarations of the parameters as the implementation sees them."""
    if function.custom:
        return [cxx(p.declaration(function.is_large)) for p in function.parameters
                if p.name != "..."]
    form = ["const coll::Form& form"] if function.collective else []
    return form + [cxx(impl_type(p, function.is_large)).replace("{}", p.name)
                   for p in function.impl_parameters()]


def declaration(function):
    """`int send(const void* buf, MPI_Count count, Datatype* datatype, ...);`"""
    return wrap(f"{function.returns} {function.impl}", parameters(function), ";")


def remarks(function):
    if function.custom:
        return ["// Custom: called without lock, checks and error handler."]
    if function.raise_self:
        return ["// Raises itself."]
    if function.nolock:
        return ["// Called without the lock."]
    return []


PREAMBLE = f"""\
// impl.h - the functions behind the entry points. {NOTE}
//
// Each returns an MPI error class; on failure after fail() (errors.h). The entry point has
// checked the arguments (unless TERN_CHECKS=0), holds the entry lock where threads need it,
// and invokes the error handler. Functions that "raise themselves" invoke it before they
// return, because only they know the object that is concerned. Collectives have one
// function for all forms, which the form tells apart. Arguments that mean nothing
// on this process (the receive side of MPI_Gather away from the root, the send side with
// MPI_IN_PLACE) have not been checked; their datatypes are nullptr.
#pragma once
#include "mpi_api/entry.h"

namespace tern::mpi::coll {{
struct Form;
}}

namespace tern::mpi::impl {{"""


def header(api):
    """The text of impl.h."""
    out = [PREAMBLE]
    done = set()
    for chapter in api.chapters:
        lines = []
        for function in chapter.functions():
            if function.implemented and function.impl not in done:
                done.add(function.impl)
                lines += remarks(function) + [declaration(function)]
        if lines:
            out += ["", f"// Chapter {chapter.number}: {chapter.title}", *lines]
    return "\n".join(out + ["", "}  // namespace tern::mpi::impl", ""])
