"""Writes error_classes.inc: value, name and text of every predefined error class, by value."""

from cxx_text import NOTE

GROUP = "Error classes"


def table(api):
    """Rows of an array of structures."""
    group = next(g for g in api.groups if g.title == GROUP)
    classes = sorted((v for v in group.values if v.name != "MPI_ERR_LASTCODE"),
                     key=lambda v: v.value)
    rows = [f'{{{v.name}, "{v.name}", "{v.comment}"}},' for v in classes]
    return "\n".join([f"// {NOTE}", *rows]) + "\n"
