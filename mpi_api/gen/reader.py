"""Reads the description of the MPI API (mpi_api/api/*.api) into a model.Api.

The format is described in mpi_api/api/README.md. Every mistake raises a DescriptionError that
names the file and the line. Writes nothing.
"""

import pathlib
import re

import kinds
import model
from model import DescriptionError, Where

NAME = r"[A-Za-z_]\w*"
FUNCTION = re.compile(rf"(MPI_{NAME})\s*\((.*)\)\s*(?:->\s*({NAME}))?\s*$", re.S)
PARAMETER = re.compile(rf"({NAME})(?:\s*:\s*(.*))?$", re.S)
KIND = re.compile(rf"({NAME})(?:\(({NAME})\))?((?:\s+{NAME})*)$")
VERSION = re.compile(r"[1-9](\.\d)?$")
VALUE = re.compile(r'(MPI_\w+)\s+(\S+)((?:\s+(?:since|deprecated)\s+\S+|\s+optional)*)'
                   r'(?:\s+"([^"]*)")?$')
CALLBACK = re.compile(rf"({NAME})\((.*)\)\s*->\s*(\w+)(.*)$", re.S)

# Flags that any input may carry, beside those of its kind.
COMMON_FLAGS = ("large_only", "at_root", "at_members", "at_all", "unchecked")


# Attributes of a function that are a single word and a field of model.Function.
WORDS = ("implemented", "anytime", "nolock", "custom", "no_handler", "hot", "at_once",
         "lanes")


def closest(word, words):
    """` (did you mean X?)` for a misspelt word, or nothing."""
    import difflib

    found = difflib.get_close_matches(word, words, 1)
    return f" (did you mean '{found[0]}'?)" if found else ""


def logical_lines(path):
    """(Where, text) of each statement: indented lines continue the line before them.

    The attributes of a function and the members of a struct are indented too; they stay separate
    statements because the statement before them is complete: its parentheses are closed.
    """
    statements = []
    for number, raw in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        # A # inside a quoted comment is text.
        text = re.sub(r'("[^"]*")|#.*', lambda m: m.group(1) or "", raw).rstrip()
        if not text.strip():
            continue
        if "\t" in text:
            raise DescriptionError(Where(path.name, number), "tabs are not used; indent by spaces")
        is_open = statements and statements[-1][1].count("(") > statements[-1][1].count(")")
        if is_open:
            statements[-1][1] += " " + text.strip()
        else:
            statements.append([Where(path.name, number), text])
    return [(where, text) for where, text in statements]


def split_commas(text):
    """Parts between commas that are outside parentheses."""
    parts, depth = [""], 0
    for char in text:
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts]


class Reader:
    """Collects the statements of all files. One use: read files, then finish()."""

    def __init__(self):
        self.api = model.Api()
        self.types = {}
        self.values = {}
        self.functions = {}
        self.chapter = None
        self.section = None
        self.group = None

    def read(self, path):
        self.chapter = self.section = self.group = None
        open_item = None  # what indented lines belong to
        for where, text in logical_lines(path):
            if text[0] == " ":
                if isinstance(open_item, model.Type):
                    self.member(open_item, where, text.strip())
                elif isinstance(open_item, model.Function):
                    self.attributes(open_item, where, text.strip())
                    open_item = None
                else:
                    raise DescriptionError(where, f"'{text.strip()}' is indented but continues "
                                                  "no function and no struct")
                continue
            self.complete(open_item)
            open_item = self.statement(path, where, text)
        self.complete(open_item)

    @staticmethod
    def complete(item):
        if isinstance(item, model.Function):
            raise DescriptionError(item.where, f"{item.name} lacks the line of attributes "
                                               "('  since 1, implemented')")

    def statement(self, path, where, text):
        """Handles one unindented statement; returns what its indented lines belong to."""
        word = text.split(None, 1)[0]
        rest = text[len(word):].strip()
        if word == "chapter":
            return self.start_chapter(path, where, rest)
        if word == "section":
            if not self.chapter:
                raise DescriptionError(where, "'section' before 'chapter'")
            self.section = model.Section(rest)
            self.chapter.sections.append(self.section)
            return None
        if word == "values":
            return self.start_values(where, rest)
        if word in ("integer", "handle", "struct", "enum", "callback", "alias"):
            return self.type(word, where, rest)
        if self.group:
            return self.value(where, text)
        if word.startswith("MPI_"):
            return self.function(where, text)
        known = ("chapter", "section", "values", "integer", "handle", "struct", "enum", "callback",
                 "alias")
        raise DescriptionError(where, f"a statement starts with one of {', '.join(known)} or is a "
                                      f"function; '{word}' is none{closest(word, known)}")

    def start_chapter(self, path, where, rest):
        match = re.match(r"(\d+)\s+(\S.*)$", rest)
        if not match:
            raise DescriptionError(where, "expected 'chapter NUMBER TITLE'")
        if self.chapter:
            raise DescriptionError(where, "a file has one chapter")
        self.chapter = model.Chapter(int(match.group(1)), match.group(2), path.stem)
        self.api.chapters.append(self.chapter)

    # --- Constants --------------------------------------------------------------------------------

    def start_values(self, where, rest):
        match = re.match(r"([^:]+?)\s*:\s*(\S.*)$", rest)
        if not match:
            raise DescriptionError(where, "expected 'values FORM: TITLE'")
        self.group = model.ValueGroup(match.group(1), match.group(2), where)
        self.api.groups.append(self.group)

    def value(self, where, text):
        match = VALUE.match(text)
        if not match:
            raise DescriptionError(where, f"expected 'NAME VALUE [since V] [deprecated V] "
                                          f"[optional] [\"comment\"]', not '{text}'")
        name, number, words, comment = match.groups()
        if name in self.values:
            raise DescriptionError(where, f"{name} is defined twice")
        value = model.Value(name, 0, number, comment=comment or "")
        if number.startswith("MPI_"):
            target = next((v for v in self.group.values if v.name == number), None)
            if not target:
                raise DescriptionError(where, f"{number} is no earlier constant of this group")
            value.value, value.alias = target.value, number
        else:
            try:
                value.value = int(number, 0)
            except ValueError:
                raise DescriptionError(where, f"'{number}' is neither a number nor a constant")
        words = words.split()
        while words:
            word = words.pop(0)
            if word == "optional":
                value.optional = True
            else:
                setattr(value, word, self.version(where, words.pop(0)))
        self.values[name] = value
        self.group.values.append(value)

    @staticmethod
    def version(where, text):
        if not VERSION.match(text):
            raise DescriptionError(where, f"'{text}' is no version of the standard such as 4.1")
        return text

    # --- Types ----------------------------------------------------------------------------------------

    def type(self, category, where, rest):
        item = model.Type(category, "", where)
        if category == "callback":
            match = CALLBACK.match(rest)
            if not match:
                raise DescriptionError(where, "expected 'callback NAME(PARAMETERS) -> TYPE'")
            item.name, item.definition, item.returns, words = match.groups()
            words = words.split()
        else:
            words = rest.split()
            needed = 2 if category in ("integer", "alias") else 1
            if len(words) < needed:
                raise DescriptionError(where, f"'{category}' is incomplete")
            item.name = words[0]
            item.definition = words[1] if needed == 2 else ""
            words = words[needed:]
        while words:
            word = words.pop(0)
            if word not in ("since", "deprecated") or not words:
                raise DescriptionError(where, f"'{word}' is no attribute of a type")
            setattr(item, word, self.version(where, words.pop(0)))
        if item.name in self.types:
            raise DescriptionError(where, f"{item.name} is defined twice")
        if category == "alias" and item.definition not in self.types:
            raise DescriptionError(where, f"{item.definition} is no earlier type")
        self.types[item.name] = item
        self.api.types.append(item)
        return item if category == "struct" else None

    @staticmethod
    def member(item, where, text):
        if not re.match(rf"{NAME}\s+{NAME}(\[\d+\])?$", text):
            raise DescriptionError(where, f"expected 'TYPE NAME' as a member of {item.name}")
        item.members.append(text)

    # --- Functions ----------------------------------------------------------------------------------

    def function(self, where, text):
        if not self.section:
            raise DescriptionError(where, "a function before 'section'")
        match = FUNCTION.match(text)
        if not match:
            raise DescriptionError(where, "expected 'MPI_Name(parameter, ...)'")
        name, inner, returns = match.groups()
        if name in self.functions:
            raise DescriptionError(where, f"{name} is described twice "
                                          f"(first at {self.functions[name].where})")
        function = model.Function(name, [], where, self.section, returns or "int")
        for text in split_commas(inner) if inner.strip() else []:
            parameter = self.parameter(function, where, text)
            if function.find(parameter.name):
                raise DescriptionError(where, f"{name} has two parameters '{parameter.name}'")
            function.parameters.append(parameter)
        self.functions[name] = function
        self.section.functions.append(function)
        return function

    @staticmethod
    def parameter(function, where, text):
        if text == "...":
            return model.Parameter("...", kinds.KINDS["variadic"], where)
        match = PARAMETER.match(text)
        if not match:
            raise DescriptionError(where, f"{function.name}: '{text}' is no parameter "
                                          "('name: kind', or a kind that is the name too)")
        name, spec = match.group(1), match.group(2) or match.group(1)
        match = KIND.match(spec.strip())
        if not match:
            raise DescriptionError(where, f"{function.name}: '{spec}' is no kind of a parameter")
        kind_name, argument, flags = match.groups()
        kind = kinds.KINDS.get(kind_name)
        if not kind:
            raise DescriptionError(where, f"{function.name}: parameter '{name}' has the unknown "
                                          f"kind '{kind_name}'{closest(kind_name, kinds.KINDS)}")
        if argument and not kind.argument:
            raise DescriptionError(where, f"{function.name}: the kind '{kind_name}' takes no "
                                          f"argument, but '{name}' has '({argument})'")
        flags = tuple(flags.split())
        allowed = kind.flags + COMMON_FLAGS
        for flag in flags:
            if flag not in allowed:
                raise DescriptionError(where, f"{function.name}: '{flag}' is no flag of the kind "
                                              f"'{kind_name}'{closest(flag, allowed)}; "
                                              f"there are {', '.join(allowed)}")
        return model.Parameter(name, kind, where, argument or "", flags)

    def attributes(self, function, where, text):
        large = None
        for part in split_commas(text):
            words = part.split()
            word, rest = (words[0], words[1:]) if words else ("", [])
            if word in ("since", "deprecated") and len(rest) == 1:
                setattr(function, word, self.version(where, rest[0]))
            elif word == "large" and set(rest) - {"separate"} == set(rest[:1]) - {"separate"}:
                large = rest
            elif word == "impl" and len(rest) == 1:
                function.impl = rest[0]
            elif word == "collective" and len(rest) == 1:
                function.collective = True
                function.impl = rest[0]
            elif part == "raise self":
                function.raise_self = True
            elif part == "raise given":
                function.raise_given = True
            elif part in WORDS:
                setattr(function, part, True)
            else:
                known = ("since", "deprecated", "large", "impl", "collective", "raise self", "raise given", *WORDS)
                raise DescriptionError(where, f"{function.name}: '{part}' is no attribute"
                                              f"{closest(part, known)}")
        if not function.since:
            raise DescriptionError(where, f"{function.name}: 'since VERSION' is missing")
        if not function.impl:
            function.impl = function.name[len("MPI_"):].lower()
        self.check_parameters(function)
        link_buffers(function)
        if large is not None:
            self.derive_large(function, where, large)
        for parameter in function.parameters[:]:
            if "large_only" in parameter.flags:
                if large is None:
                    raise DescriptionError(where, f"{function.name}: '{parameter.name}' is "
                                                  "large_only, but there is no large variant")
                function.parameters.remove(parameter)

    def check_parameters(self, function):
        for parameter in function.parameters:
            where = parameter.where
            label = f"{function.name}: parameter '{parameter.name}'"
            wanted = parameter.kind.argument
            if wanted == "length":
                if not parameter.argument:
                    if "{len}" in parameter.kind.check:
                        raise DescriptionError(where, f"{label} needs its length: "
                                                      f"'{parameter.kind.name}(LENGTH)'")
                elif not function.find(parameter.argument):
                    raise DescriptionError(where, f"{label} has the length "
                                                  f"'{parameter.argument}', which is no parameter")
            elif wanted == "type" and parameter.argument not in self.types:
                raise DescriptionError(where, f"{label} needs a type of types.api: "
                                              f"'{parameter.kind.name}(TYPE)'"
                                              f"{closest(parameter.argument, self.types)}")
            if "{comm}" in parameter.kind.check and not communicator(function):
                raise DescriptionError(where, f"{label} of the kind '{parameter.kind.name}' needs "
                                              "a communicator, and the function has none")
            if set(parameter.flags) & {"at_root", "at_members", "at_all", "in_place_at_root"}:
                if not any(p.kind.name == "root" for p in function.parameters):
                    raise DescriptionError(where, f"{label} depends on the root, and the function "
                                                  "has no root")

    def derive_large(self, function, where, words):
        """Makes the `_c` variant: the same parameters, seen as large."""
        explicit = [w for w in words if w != "separate"]
        since = self.version(where, explicit[0]) if explicit else \
            max("4.0", function.since, key=lambda v: float(v))
        parameters = [self.large_parameter(p) for p in function.parameters]
        if all(p is q and not p.kind.has_large for p, q in zip(parameters, function.parameters)):
            raise DescriptionError(where, f"{function.name}: no parameter differs in a "
                                          "large-count variant")
        large = model.Function(**{**vars(function), "name": function.name + "_c",
                                  "parameters": parameters, "since": since, "is_large": True})
        if "separate" in words:
            large.separate = True
            large.impl += "_c"
        function.large = large
        self.functions[large.name] = large

    def large_parameter(self, parameter):
        """Callbacks have another type in the large variant where types.api has one."""
        if "callback" in parameter.kind.name and parameter.argument + "_c" in self.types:
            return model.Parameter(**{**vars(parameter), "argument": parameter.argument + "_c"})
        return parameter


def communicator(function):
    """The parameter whose communicator gives ranks a meaning: the first one."""
    return next((p for p in function.parameters
                 if p.kind.handle and p.kind.handle.stem == "comm"
                 and p.kind.handling == kinds.OBJECT), None)


def link_buffers(function):
    """Finds what describes each buffer: the next count (or counts) and the next datatype."""
    counts = ("count", "counts", "local_counts", "neighbor_counts")
    # Displacements belong to the buffer of the counts before them.
    described = None
    for parameter in function.parameters:
        if parameter.kind.handling == kinds.BUFFER:
            described = parameter
        elif parameter.kind.name.endswith("displs") and described:
            parameter.placed = described
    for index, buffer in enumerate(function.parameters):
        if buffer.kind.handling != kinds.BUFFER:
            continue
        later = function.parameters[index + 1:]
        buffer.count = next((p for p in later if p.kind.name in counts), None)
        buffer.datatype = next((p for p in later if p.kind.name in
                                ("datatype", "datatypes", "neighbor_datatypes")), None)
        if not buffer.count or not buffer.datatype:
            raise DescriptionError(buffer.where, f"{function.name}: buffer '{buffer.name}' is not "
                                                 "followed by a count and a datatype")
        for part in (buffer.count, buffer.datatype):
            part.buffers.append(buffer)


def check_implementations(reader):
    """Functions that share an implementation must call it with the same parameters."""
    def signature(function):
        types = ["form"] if function.collective else []
        for parameter in function.impl_parameters():
            callback = reader.types.get(parameter.argument)
            if callback and callback.category == "callback":  # Equal whatever its name is.
                types.append(f"{callback.returns}({callback.definition})")
            else:
                types.append(impl_type(parameter, function.is_large).replace("{}", "").strip())
        return types

    first = {}
    for function in reader.functions.values():
        other = first.setdefault(function.impl, function)
        if signature(other) != signature(function):
            raise DescriptionError(function.where,
                                   f"{function.name} and {other.name} share the implementation "
                                   f"'{function.impl}' but not its parameters: "
                                   f"({', '.join(signature(function))}) and "
                                   f"({', '.join(signature(other))})")


def impl_type(parameter, large=False):
    """Type of the parameter as the implementation sees it, with {} for the name."""
    if parameter.kind.impl:
        return parameter.kind.impl
    return parameter.c_type(large)


def read_api(directory):
    """Reads every .api file of the directory. Raises DescriptionError."""
    directory = pathlib.Path(directory)
    files = sorted(directory.glob("*.api"))
    if not files:
        raise DescriptionError(directory, "no .api files here")
    reader = Reader()
    # Types first: functions name them.
    for path in sorted(files, key=lambda p: (p.name != "types.api", p.name)):
        reader.read(path)
    check_enums(reader)
    check_implementations(reader)
    reader.api.chapters.sort(key=lambda c: (c.number, c.stem))
    return reader.api


def check_enums(reader):
    for group in reader.api.groups:
        if group.form.startswith("enum "):
            name = group.form.split()[1]
            if name not in reader.types or reader.types[name].category != "enum":
                raise DescriptionError(group.where, f"'{name}' is no enum of types.api")
        elif group.form != "macro":
            base = group.form.rstrip(" *")
            if base not in reader.types and base not in ("void", "char", "int"):
                raise DescriptionError(group.where, f"'{base}' is no type of types.api")
        if not group.values:
            raise DescriptionError(group.where, "a group without constants")
