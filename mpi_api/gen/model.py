"""The description of the MPI API as objects: what reader.py makes of the .api files.

Nothing here reads or writes files. Names are those of the standard; `Function.large` is a Function
of its own, derived from the plain one, so that no generator treats large counts specially.
"""

from dataclasses import dataclass, field

import kinds


class DescriptionError(Exception):
    """A mistake in the description: `file:line: what is wrong`."""

    def __init__(self, where, text):
        super().__init__(f"{where}: {text}")


@dataclass(frozen=True)
class Where:
    """A line of the description."""

    file: str
    line: int

    def __str__(self):
        return f"{self.file}:{self.line}"


@dataclass
class Value:
    """One constant."""

    name: str
    value: int
    text: str  # as written in the description, so that hexadecimal stays hexadecimal
    alias: str = ""
    since: str = ""
    deprecated: str = ""
    optional: bool = False
    comment: str = ""


@dataclass
class ValueGroup:
    """Constants that belong together. form: "enum NAME", "macro" or a C type."""

    form: str
    title: str
    where: Where
    values: list = field(default_factory=list)


@dataclass
class Type:
    """A type of mpi.h. category: integer, handle, struct, enum, callback, alias."""

    category: str
    name: str
    where: Where
    definition: str = ""  # C type; parameters of a callback; the aliased callback
    returns: str = ""
    members: list = field(default_factory=list)
    since: str = ""
    deprecated: str = ""


@dataclass
class Parameter:
    """One parameter of a function."""

    name: str
    kind: kinds.Kind
    where: Where
    argument: str = ""  # what the kind takes in parentheses
    flags: tuple = ()
    # For buffers and their counts and datatypes, filled in by the reader: see link_buffers().
    count: "Parameter | None" = None
    datatype: "Parameter | None" = None
    buffers: list = field(default_factory=list)
    placed: "Parameter | None" = None  # displacements: the buffer they are of

    def c_type(self, large=False):
        text = self.kind.large if large and self.kind.large else self.kind.c_type
        return text.replace("{type}", self.argument) if "{type}" in text else text

    def declaration(self, large=False):
        """`const void *buf`, as in mpi.h."""
        return self.c_type(large).replace("{}", self.name)


@dataclass
class Function:
    """One MPI function, or the large-count variant of one."""

    name: str  # MPI_Send
    parameters: list
    where: Where
    section: "Section"
    returns: str = "int"
    since: str = ""
    deprecated: str = ""
    implemented: bool = False
    anytime: bool = False  # callable before MPI_Init and after MPI_Finalize
    nolock: bool = False  # the implementation is safe without the entry lock
    custom: bool = False  # the entry point only forwards to the implementation
    raise_self: bool = False  # the implementation invokes the error handler itself
    raise_given: bool = False  # errors go to the error handler that is the argument `errhandler`
    hot: bool = False  # inlined into both entry points, whatever the size
    at_once: bool = False  # a function of at_once.h is tried before anything else
    lanes: bool = False  # with MPI_THREAD_MULTIPLE, a function of lanes.h is tried before locking
    no_handler: bool = False  # errors are returned and no handler is invoked (MPI_T)
    impl: str = ""  # name of the implementation: send
    collective: bool = False  # one implementation for all forms: it is told which one
    is_large: bool = False
    separate: bool = False  # the large-count variant has an implementation of its own
    large: "Function | None" = None

    def declaration(self, prefix=""):
        """The prototype without semicolon, as in mpi.h."""
        parameters = ", ".join(p.declaration(self.is_large) for p in self.parameters)
        return f"{self.returns} {prefix}{self.name}({parameters or 'void'})"

    def find(self, name):
        return next((p for p in self.parameters if p.name == name), None)

    def impl_parameters(self):
        """The parameters that the implementation receives as such: those of a collective are the
        same in all forms."""
        if not self.collective:
            return self.parameters
        return [p for p in self.parameters if p.kind.name not in ("request_out", "info_or_null")]

    def form(self):
        """Of a collective: how it ends, as the initializer of a coll::Form."""
        request = next((p for p in self.parameters if p.kind.name == "request_out"), None)
        if not request:
            return "{}"
        persistent = any(p.kind.name == "info_or_null" for p in self.parameters)
        return f"{{&{request.name}_result{', true' if persistent else ''}}}"


@dataclass
class Section:
    """A heading inside a file of functions."""

    title: str
    functions: list = field(default_factory=list)


@dataclass
class Chapter:
    """One file of functions."""

    number: int
    title: str
    stem: str  # pt2pt
    sections: list = field(default_factory=list)

    def functions(self):
        """Every function, each followed by its large-count variant."""
        for section in self.sections:
            for function in section.functions:
                yield function
                if function.large:
                    yield function.large


@dataclass
class Api:
    """The whole description."""

    types: list = field(default_factory=list)
    groups: list = field(default_factory=list)
    chapters: list = field(default_factory=list)

    def functions(self):
        for chapter in self.chapters:
            yield from chapter.functions()
