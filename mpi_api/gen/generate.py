#!/usr/bin/env python3
"""Generates mpi.h, the entry points and the export list from the description of the MPI API.

Usage: generate.py --api DIR --out DIR --include DIR [--list]

Files whose text does not change are not touched, so that nothing is rebuilt without a reason.
Exit status: 0 done, 1 a mistake in the description (file:line: what), 2 wrong usage.
"""

import argparse
import pathlib
import sys

import reader
import write_entries
import write_error_classes
import write_exports
import write_header
import write_impl
import write_json
from model import DescriptionError


def outputs(api, out, include):
    """{path: text} of everything that is generated."""
    files = {include / "mpi.h": write_header.header(api),
             out / "impl.h": write_impl.header(api),
             out / "error_classes.inc": write_error_classes.table(api),
             out / "exports.map": write_exports.export_map(api),
             out / "functions.json": write_json.functions(api)}
    for chapter in api.chapters:
        # Written for every chapter, so that the build knows the names beforehand.
        files[out / f"entries_{chapter.stem}.cc"] = write_entries.entries(chapter)
    return files


def write_if_changed(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        if path.read_text(encoding="utf-8") == text:
            return
    except FileNotFoundError:
        pass
    path.write_text(text, encoding="utf-8")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--api", required=True, type=pathlib.Path, help="folder of the .api files")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="folder of the sources")
    parser.add_argument("--include", required=True, type=pathlib.Path, help="folder of mpi.h")
    parser.add_argument("--list", action="store_true", help="print the names of the files only")
    options = parser.parse_args(argv)
    try:
        files = outputs(reader.read_api(options.api), options.out, options.include)
    except DescriptionError as error:
        print(error, file=sys.stderr)
        return 1
    for path, text in files.items():
        if options.list:
            print(path)
        else:
            write_if_changed(path, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
