"""How generated C++ looks: declarations in the project's style, lines of at most 100 columns."""

import re
import textwrap

NOTE = "Generated from mpi_api/api; do not edit."
COLUMNS = 100


def cxx(text):
    """`const void *buf` as the project's C++ writes it: `const void* buf`."""
    return re.sub(r" (\*+)(?=[\w{])", r"\1 ", text)


def wrap(head, parts, tail, indent=""):
    """`head(parts...)tail`, wrapped with an indent of four more columns."""
    one = f"{indent}{head}({', '.join(parts)}){tail}"
    if len(one) <= COLUMNS:
        return one
    # Parts stay whole: their blanks are hidden from the wrapping.
    last = parts[-1].replace(" ", "\0") + ")" + tail.replace(" ", "\0")
    words = " ".join([part.replace(" ", "\0") + "," for part in parts[:-1]] + [last])
    return textwrap.fill(words, COLUMNS, initial_indent=f"{indent}{head}(",
                         subsequent_indent=indent + "    ", break_on_hyphens=False,
                         break_long_words=False).replace("\0", " ")


def fold(line, indent):
    """The line as one or more lines, broken after commas."""
    lines = []
    while len(line) > COLUMNS:
        end = line.rindex(", ", 0, COLUMNS) + 1
        lines.append(line[:end])
        line = indent + line[end + 1:]
    return lines + [line]
