"""Writes the linker's version script: what libmpi_abi.so shows to the world.

The anonymous form leaves the symbols without versions, as the ABI wants them. Functions that are
not implemented are not listed: a program that needs one does not link, instead of failing later.
"""


def export_map(api):
    names = [f.name for f in api.functions() if f.implemented]
    lines = [f"    {name}; P{name};\n" for name in names]
    return ("/* Generated from mpi_api/api; do not edit. */\n{\n  global:\n" + "".join(lines) +
            "    MPIX_*; tern_*;\n  local:\n    *;\n};\n")
