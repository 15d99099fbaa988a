"""output_test.py - what generate.py writes: which files, when, and mpi.h for every C and C++ standard.

Compilers: $CC and $CXX (cc and c++ without them).
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import generator

GENERATE = generator.ROOT / "mpi_api" / "gen" / "generate.py"

USE = """\
#include "mpi.h"
static int query(void *state, MPI_Status *status) { (void)state; return status->MPI_ERROR; }
static void handler(MPI_Comm *comm, int *code, ...) { (void)comm; (void)code; }
int use(void);
int use(void) {
  MPI_Comm comm = MPI_COMM_WORLD;
  MPI_Datatype types[2] = {MPI_INT, MPI_CHAR};
  MPI_Grequest_query_function *query_fn = query;
  MPI_Comm_errhandler_function *handler_fn = handler;
  MPI_Comm_copy_attr_function *copy_fn = MPI_COMM_DUP_FN;
  int lengths[MPI_MAX_OBJECT_NAME];
  lengths[0] = MPI_ERR_LASTCODE;
  return comm == MPI_COMM_NULL || types[0] == MPI_DATATYPE_NULL || query_fn == 0 ||
         handler_fn == 0 || copy_fn == MPI_COMM_NULL_COPY_FN || MPI_DISPLACEMENT_CURRENT > 0 ||
         MPI_STATUS_IGNORE != MPI_STATUSES_IGNORE || MPI_IN_PLACE == MPI_BOTTOM || lengths[0] == 0;
}
"""


class GenerateTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name)
        self.out, self.include = self.scratch / "out", self.scratch / "include"

    def generate(self, api=generator.API, *more):
        return subprocess.run([sys.executable, "-B", GENERATE, "--api", api, "--out", self.out,
                               "--include", self.include, *more],
                              capture_output=True, text=True, check=False)

    def edited_copy(self, stem, old, new):
        """A copy of the description with one text replaced."""
        copy = self.scratch / "api"
        copy.mkdir()
        for path in generator.API.glob("*.api"):
            text = path.read_text()
            if path.stem == stem:
                self.assertIn(old, text)
                text = text.replace(old, new, 1)
            (copy / path.name).write_text(text)
        return copy

    def test_include_folder_holds_mpi_h_alone(self):
        self.assertEqual(self.generate().returncode, 0)
        self.assertEqual([p.name for p in self.include.iterdir()], ["mpi.h"])

    def test_files_that_stay_the_same_are_not_touched(self):
        self.generate()
        for path in self.out.iterdir():
            os.utime(path, ns=(0, 0))
        self.assertEqual(self.generate().returncode, 0)
        self.assertEqual({p.stat().st_mtime_ns for p in self.out.iterdir()}, {0})

        api = self.edited_copy("group", "\n  since 1, implemented", "\n  since 1")
        self.assertEqual(self.generate(api).returncode, 0)
        touched = {p.name for p in self.out.iterdir() if p.stat().st_mtime_ns}
        self.assertEqual(touched, {"entries_group.cc", "impl.h", "exports.map", "functions.json"})

    def test_mistake_is_one_line_and_writes_nothing(self):
        api = self.edited_copy("group", "group1: group", "group1: gruop")
        result = self.generate(api)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, r"^group\.api:\d+: .*did you mean 'group'\?\)\n$")
        self.assertFalse(self.out.exists() or self.include.exists())

    def test_kind_without_entry_code_cannot_be_implemented(self):
        api = self.edited_copy("tool", "name_len: optional_int_inout)\n  since 3.0, anytime, no_handler\n\n"
                               "MPI_T_enum_get_item",
                               "name_len: optional_int_inout)\n  since 3.0, implemented\n\n"
                               "MPI_T_enum_get_item")
        result = self.generate(api)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, r"^tool\.api:\d+: MPI_T_enum_get_info is marked implemented")

    def test_exactly_the_implemented_functions_are_exported(self):
        self.generate()
        api = generator.reader.read_api(generator.API)
        expected = {p + f.name for f in api.functions() if f.implemented for p in ("", "P")}
        self.assertEqual(set(re.findall(r"\bP?MPI_\w+", (self.out / "exports.map").read_text())),
                         expected)
        defined = set()
        for path in self.out.glob("entries_*.cc"):
            text = path.read_text()
            defined.update(re.findall(r"^TERN_EXPORT \w+ (PMPI_\w+)\(", text, re.M))
            defined.update(re.findall(r"^TERN_WEAK_ALIAS\((MPI_\w+)\)", text, re.M))
        self.assertEqual(defined, expected)

    def test_header_compiles_without_a_warning_in_every_standard(self):
        self.generate()
        for compiler, suffix, standards in (
                (os.environ.get("CC", "cc"), "c", ("c99", "c11", "c17", "gnu11")),
                (os.environ.get("CXX", "c++"), "cc", ("c++11", "c++14", "c++17", "c++20"))):
            source = self.scratch / f"use.{suffix}"
            source.write_text(USE)
            for standard in standards:
                with self.subTest(compiler=compiler, standard=standard):
                    result = subprocess.run(
                        [compiler, f"-std={standard}", "-pedantic", "-Wall", "-Wextra", "-Werror",
                         "-fsyntax-only", "-I", self.include, source],
                        capture_output=True, text=True, check=False)
                    self.assertEqual(result.returncode, 0, result.stderr)


if __name__ == "__main__":
    unittest.main()
