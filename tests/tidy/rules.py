"""rules.py - what tests/tidy demands of a file of the tree, each rule a function without I/O.

A rule gets a Source and returns its findings as (line, sentence). RULES maps a rule's name, which
exceptions.txt uses, to the function. Rules about C and C++ look at the text without comments and without
the contents of strings, so that talking about a forbidden thing is allowed.
"""

import dataclasses
import fnmatch
import functools
import pathlib
import re

SOURCE_LINES_MAX = 600
C_SUFFIXES = (".h", ".cc", ".c")
SOURCE_SUFFIXES = (*C_SUFFIXES, ".py", ".sh", ".cmake", ".in", ".api")
# Programs that must build against any MPI: they see mpi.h and their own folder, nothing of the engine.
PROGRAM_FOLDERS = ("examples", "bench/perf", "bench/compare", "tests/mpi", "tests/fault")

# Ends the process, ignores errors or writes without bounds; and what to do instead.
FORBIDDEN_CALLS = {
    "exit": "return an error; the MPI error handler decides",
    "_exit": "return an error; the MPI error handler decides",
    "_Exit": "return an error; the MPI error handler decides",
    "quick_exit": "return an error; the MPI error handler decides",
    "abort": "CHECK (core/check.h) is the only abort",
    "terminate": "CHECK (core/check.h) is the only abort",
    "assert": "use CHECK (core/check.h): it holds in release builds, too",
    "sprintf": "it writes without bounds; use fmt or std::format_to_n alike",
    "vsprintf": "it writes without bounds",
    "strcpy": "it writes without bounds",
    "strcat": "it writes without bounds",
    "gets": "it writes without bounds",
    "atoi": "it ignores errors; use std::from_chars",
    "atol": "it ignores errors; use std::from_chars",
    "atof": "it ignores errors; use std::from_chars",
    "system": "it runs a shell",
    "popen": "it runs a shell",
    "rand": "its seed cannot be told; use a generator with a printed seed",
    "alloca": "it has no limit",
}
# Words that may stand right before a call; any other word makes `word name(` a declaration.
BEFORE_A_CALL = {"return", "else", "do", "throw", "co_return", "co_await", "co_yield", "and", "or", "not"}

CODE_PIECE = re.compile(r'''
    (?P<comment> //(?:\\\n|[^\n])* | /\*.*?\*/ )
  | (?P<raw> R"(?P<fence>[^()\\\s]{0,16})\(.*?\)(?P=fence)" )
  | (?P<number> \b[0-9](?:'?[0-9A-Za-z_.])* )
  | (?P<string> "(?:\\.|[^"\\\n])*" )
  | (?P<char> '(?:\\.|[^'\\\n])*' )
''', re.VERBOSE | re.DOTALL)


def without_comments(text, keep_strings=False):
    """C or C++ text with comments blanked, and strings emptied unless kept; line numbers stay."""

    def replace(match):
        piece = match.group()
        if match["number"]:
            return piece
        if not match["comment"] and keep_strings:
            return piece
        quote = "" if match["comment"] else piece[-1]
        return quote + "\n" * piece.count("\n") + (quote or " ")

    return CODE_PIECE.sub(replace, text)


@dataclasses.dataclass
class Layers:
    """cmake/layers.txt: {word: {subject: [list]}}."""

    entries: dict

    @classmethod
    def parse(cls, text):
        entries = {word: {} for word in ("layer", "public", "outside", "generated")}
        for line in text.splitlines():
            fields = line.split("#")[0].split()
            if fields:
                entries[fields[0]].setdefault(fields[1], []).extend(fields[2:])
        return cls(entries)

    def get(self, word, subject):
        return self.entries[word].get(subject, [])

    def folders(self):
        return [subject for subject in self.entries["layer"] if "/" not in subject]


@dataclasses.dataclass
class Source:
    """A file: its path from the root, its text, the layers, and whether a path of the tree exists."""

    path: str
    text: str
    layers: Layers
    exists: callable = lambda path: True

    @functools.cached_property
    def lines(self):
        return self.text.splitlines()

    @property
    def suffix(self):
        return pathlib.PurePosixPath(self.path).suffix

    @property
    def folder(self):
        return self.path.split("/")[0] if "/" in self.path else ""

    @functools.cached_property
    def interpreter(self):
        first = self.lines[0] if self.lines else ""
        return first if first.startswith("#!") else ""

    @property
    def is_c(self):
        return self.suffix in C_SUFFIXES

    @property
    def is_source(self):
        name = pathlib.PurePosixPath(self.path).name
        return self.suffix in SOURCE_SUFFIXES or name == "CMakeLists.txt" or bool(self.interpreter)

    @functools.cached_property
    def code(self):
        """Without comments and without the contents of strings."""
        return without_comments(self.text)

    @functools.cached_property
    def code_with_strings(self):
        return without_comments(self.text, keep_strings=True)

    def is_in(self, folders):
        return any(self.path.startswith(folder + "/") for folder in folders)

    def is_product(self):
        """Whether it becomes part of the library or of a program that users get."""
        return self.is_c and (self.folder in self.layers.folders()
                              or self.is_in(("bench/perf", "tools")))


def find_all(pattern, text):
    """(line, match) of each match."""
    for match in re.finditer(pattern, text, re.MULTILINE):
        yield text.count("\n", 0, match.start()) + 1, match


def check_include(source):
    """Includes go by the path from the root, in the directions of cmake/layers.txt."""
    if not source.is_c:
        return []
    findings = []
    for line, match in find_all(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', source.code_with_strings):
        quoted, name = match[1] == '"', match[2]
        problem = _quoted_include(source, name) if quoted else None
        problem = problem or _outside_include(source, name)
        if problem:
            findings.append((line, problem))
    return findings


def _outside_include(source, name):
    for header, folders in source.layers.entries["outside"].items():
        if (name == header or name.startswith(header + "/")) and source.folder not in folders:
            return f"only {', '.join(folders)} may include {header}, not {source.folder or 'this'}"
    return None


def _quoted_include(source, name):
    if ".." in name.split("/"):
        return f'"{name}" climbs out of its folder; include by the path from the root of the tree'
    here = str(pathlib.PurePosixPath(source.path).parent)
    target = name.split("/")[0]
    layers = source.layers
    if source.is_in(PROGRAM_FOLDERS):
        if not source.exists(f"{here}/{name}"):
            return f'"{name}" is not of this folder; this program must build against any MPI'
        return None
    if source.folder not in layers.folders():
        return None  # Tests and benchmarks of the inside may include everything.
    if "/" not in name:
        if name in layers.get("generated", source.folder):
            return None
        return f'"{name}" lacks its folder; include by the path from the root of the tree'
    allowed = [source.folder, *layers.get("layer", source.folder), *layers.get("layer", source.path)]
    if target not in allowed:
        return (f"{source.folder}/ must not include headers of {target}/ "
                f"(cmake/layers.txt allows: {', '.join(allowed)})")
    public = layers.get("public", target)
    if public and target != source.folder and name.split("/", 1)[1] not in public:
        return f'"{name}" is private to {target}/; public are: {", ".join(public)}'
    return None


def check_call(source):
    """Nothing in the product ends the process, writes without bounds or ignores errors."""
    if not source.is_product():
        return []
    findings = []
    names = "|".join(FORBIDDEN_CALLS)
    pattern = rf"(?P<before>[\w>)]*[ \t\n]*(?:\b\w+)?(?:::|\.|->)?)(?<![\w])(?P<name>{names})[ \t]*\("
    for line, match in find_all(pattern, source.code):
        before = match["before"].rstrip()
        line += match["before"].count("\n")
        if before.endswith((".", "->")):
            continue  # A member of that name.
        if before.endswith("::"):
            if not re.search(r"(?:^|[^\w])(?:std)?::$", before):
                continue  # Of another class or namespace.
        elif re.search(r"\w$", before) and re.search(r"\w+$", before)[0] not in BEFORE_A_CALL:
            continue  # `void abort(`: declares a member of that name.
        findings.append((line, f"{match['name']}(): {FORBIDDEN_CALLS[match['name']]}"))
    return findings


def check_environment(source):
    """Settings are read in one place, so that tern-info can list them and wrong ones are noticed."""
    if not source.is_product():
        return []
    return [(line, f"{match[1]}(): settings come from the table in core/config.h")
            for line, match in find_all(r"\b((?:secure_)?getenv)[ \t]*\(", source.code)]


def check_size(source):
    """A file has one subject."""
    if source.is_source and len(source.lines) > SOURCE_LINES_MAX:
        return [(SOURCE_LINES_MAX, f"{len(source.lines)} lines, more than {SOURCE_LINES_MAX}: "
                                   "look for the second subject")]
    return []


def check_unfinished(source):
    """Nothing is promised in comments or compiled out."""
    if not source.is_source:
        return []
    findings = [(line, f"'{match[0]}': do it, or describe the limit where users look for it")
                for line, match in find_all(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b", source.text)]
    if source.is_c:
        findings += [(line, "#if 0: delete what is not compiled")
                     for line, _ in find_all(r"^[ \t]*#[ \t]*if[ \t]+0\b", source.code)]
        findings += [(line, f"'{match[0]}': what does not work is not exported")
                     for line, match in find_all(r"(?i)\b(?:not (?:yet )?|un)implemented\b", source.text)]
    return findings


def check_header(source):
    """A header can be included twice."""
    if source.suffix == ".h" and not re.search(r"^#pragma once$", source.code, re.MULTILINE):
        return [(1, "no #pragma once")]
    return []


def check_opening(source):
    """A file opens with a comment that says what it is."""
    if not source.is_source:
        return []
    lines = source.lines[1:] if source.interpreter else source.lines
    lines = [line for line in lines if line.strip()]
    starts = ("//", "/*") if source.is_c else ("#", '"""', "r'''", 'r"""')
    if not lines or not lines[0].startswith(starts):
        return [(1, "does not open with a comment that says what it is")]
    return []


def check_place(source):
    """No path of the machine it was written on."""
    roots = r"(?:/" r"home/|/" r"Users/|/" r"root/|/" r"work/|/" r"workspace/)"
    return [(line, f"'{match[0]}': a path of one machine")
            for line, match in find_all(rf"(?<![\w.}}]){roots}[\w./-]*", source.text)]


def check_text(source):
    """No tabs, no blanks at the ends of lines, and the last line ends. (clang-format does the rest.)"""
    findings = []
    is_markdown = source.suffix == ".md"
    for number, line in enumerate(source.lines, 1):
        if line != line.rstrip() and not is_markdown:
            findings.append((number, "blanks at the end of the line"))
        if "\t" in line and source.is_c:
            findings.append((number, "a tab"))
    if source.text and not source.text.endswith("\n"):
        findings.append((len(source.lines), "the last line does not end"))
    return findings


def check_link(source):
    """What the documentation points to is there."""
    if source.suffix != ".md":
        return []
    findings = []
    here = pathlib.PurePosixPath(source.path).parent
    text = re.sub(r"^```.*?^```", lambda m: "\n" * m[0].count("\n"), source.text,
                  flags=re.MULTILINE | re.DOTALL)
    for line, match in find_all(r"\]\(([^)#\s]+)[^)]*\)", text):
        target = match[1]
        if not re.match(r"[a-z]+:", target) and not source.exists(str(here / target)):
            findings.append((line, f"the link to {target} leads nowhere"))
    return findings


def check_shell(source):
    """Scripts stop at the first error."""
    if "bash" in source.interpreter and not re.search(r"^set -euo pipefail$|^exec ", source.text, re.MULTILINE):
        return [(1, "a bash script without `set -euo pipefail`")]
    return []


RULES = {
    "include": check_include,
    "call": check_call,
    "environment": check_environment,
    "size": check_size,
    "unfinished": check_unfinished,
    "header": check_header,
    "opening": check_opening,
    "place": check_place,
    "text": check_text,
    "link": check_link,
    "shell": check_shell,
}


def read_exceptions(text):
    """[(rule, path pattern, reason)] of exceptions.txt; raises ValueError for a line without a reason."""
    entries = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split(maxsplit=2)
        if len(fields) < 3 or fields[0] not in RULES:
            raise ValueError(f"exceptions.txt:{number}: wants `rule path reason`")
        entries.append(tuple(fields))
    return entries


def apply(sources, exceptions):
    """The findings of all rules as [(path, line, rule, sentence)]; unused exceptions are findings."""
    findings, used = [], set()
    for source in sources:
        for rule, check in RULES.items():
            for line, sentence in check(source):
                excused = [e for e in exceptions if e[0] == rule and fnmatch.fnmatch(source.path, e[1])]
                used.update(excused)
                if not excused:
                    findings.append((source.path, line, rule, sentence))
    for exception in exceptions:
        if exception not in used:
            findings.append(("tests/tidy/exceptions.txt", 0, exception[0],
                             f"nothing needs the exception for {exception[1]} any more"))
    return findings
