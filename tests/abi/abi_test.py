"""abi_test.py - mpi.h in the languages that users compile with, and libmpi_abi.so from the outside."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

PREFIX = pathlib.Path(os.environ["TERN_TEST_PREFIX"])
HEADER = PREFIX / "include" / "mpi.h"
LIBRARY = PREFIX / "lib" / "libmpi_abi.so"
VALUES = pathlib.Path(__file__).resolve().parent / "values.c"
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]


def output(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{[str(w) for w in command]}: {done.stdout}{done.stderr}")
    return done.stdout


class HeaderTest(unittest.TestCase):
    def test_values_in_c_and_cxx(self):
        with tempfile.TemporaryDirectory() as scratch:
            for compiler in (["cc", "-std=c99", "-x", "c"], ["c++", "-std=c++11", "-x", "c++"]):
                program = f"{scratch}/values"
                output(*compiler, *STRICT, "-isystem", HEADER.parent, VALUES, "-o", program)
                self.assertEqual(output(program), "")

    def test_compiles_alone_in_every_language(self):
        # Not through -isystem, which would hide the header's warnings.
        for compiler, standards in (("cc", ("c99", "c11", "c17", "gnu17")),
                                    ("c++", ("c++11", "c++17", "c++20", "gnu++20"))):
            for standard in standards:
                output(compiler, "-x", "c++" if compiler == "c++" else "c", f"-std={standard}", *STRICT,
                       "-fsyntax-only", "-include", HEADER, "/dev/null")

    def test_defines_no_other_macros(self):
        macros = output("cc", "-dM", "-E", "-x", "c", HEADER)
        before = output("cc", "-dM", "-E", "-x", "c", "-include", "stdint.h", "-include", "stddef.h",
                        "/dev/null")
        ours = set(re.findall(r"^#define (\w+)", macros, re.M)) - set(re.findall(r"^#define (\w+)", before, re.M))
        guards = {name for name in ours if name.endswith("_H") or name.endswith("_INCLUDED")}
        self.assertLessEqual(len(guards), 1, guards)
        self.assertEqual([n for n in ours - guards if not re.match(r"P?MPI_[A-Za-z0-9]", n)], [])
        self.assertGreater(len(ours), 100)

    def test_declared_functions_have_profiling_twins(self):
        text = output("cc", "-E", "-P", "-x", "c", HEADER)
        declared = set(re.findall(r"\b(P?MPI_[A-Z]\w*)\s*\(", text))
        plain = {name for name in declared if name.startswith("MPI_") and "P" + name in declared}
        twins = {name for name in declared if name.startswith("PMPI_")}
        self.assertEqual({"P" + name for name in plain}, twins)
        self.assertGreater(len(plain), 600)


class LibraryTest(unittest.TestCase):
    def symbols(self):
        """{name: (address, kind)} of what the library defines for others."""
        table = {}
        for line in output("nm", "-D", "--defined-only", LIBRARY).splitlines():
            address, kind, name = line.split()
            table[name] = (address, kind)
        return table

    def test_exports_nothing_else(self):
        names = self.symbols()
        self.assertEqual([n for n in names if not re.match(r"(P?MPIX?_[A-Z]|tern_)", n)], [])
        self.assertEqual([n for n in names if "@" in n], [], "symbols of the ABI have no versions")
        self.assertIn("MPI_Send", names)

    def test_each_function_can_be_replaced_and_reached_by_its_profiling_name(self):
        names = self.symbols()
        for name, (address, kind) in names.items():
            if name.startswith("MPI_"):
                self.assertEqual(kind, "W", f"{name} is not weak: a tool could not replace it")
                self.assertIn("P" + name, names)
                self.assertEqual(names["P" + name], (address, "T"))
            elif name.startswith("PMPI_"):
                self.assertIn(name[1:], names)

    def test_every_export_is_declared(self):
        text = "".join(output("cc", "-E", "-P", "-x", "c", "-I", HEADER.parent, HEADER.parent / name)
                       for name in ("mpi.h", "mpix.h"))
        declared = set(re.findall(r"\b(P?MPIX?_[A-Z]\w*)\s*\(", text))
        self.assertEqual([n for n in self.symbols() if "MPI" in n and n not in declared], [])

    def test_soname_and_dependencies(self):
        dynamic = output("readelf", "-d", LIBRARY)
        self.assertIn("Library soname: [libmpi_abi.so.1]", dynamic)
        needed = set(re.findall(r"Shared library: \[(.*?)\]", dynamic))
        allowed = r"(libc|libm|libstdc\+\+|libgcc_s|ld-linux-[\w-]+|lib[atlu]+san)\.so\.\d+"
        # Whatever else it needed, every rank would load and every user's machine would have to have.
        self.assertEqual([n for n in needed if not re.fullmatch(allowed, n)], [])


if __name__ == "__main__":
    unittest.main()
