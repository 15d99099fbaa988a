"""generator.py - lets the tests of this folder import the generator and read descriptions."""

import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
API = ROOT / "mpi_api" / "api"
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "mpi_api" / "gen"))

import reader  # noqa: E402  (found by the path above)


def read_text(**files):
    """The Api of a description given as text: stem=text for each file."""
    with tempfile.TemporaryDirectory() as scratch:
        for stem, text in files.items():
            pathlib.Path(scratch, stem + ".api").write_text(text, encoding="utf-8")
        return reader.read_api(scratch)
