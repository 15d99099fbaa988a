"""moved_tree_test.py - an installed tree that was moved afterwards builds and runs programs.

Installs the build tree with `cmake --install`, renames the result, and then takes every documented way
to it: mpicc and mpicxx, pkg-config, CMake's find_package(MPI) and find_package(Tern), the environment
module. Each program is checked to load the moved libmpi_abi.so and no other.
"""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

BUILD = pathlib.Path(os.environ["TERN_TEST_PREFIX"])

PROGRAM = r"""
#include <mpi.h>
#include <stdio.h>
int main(int argc, char** argv) {
  char version[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0, rank = -1, size = -1;
  MPI_Init(&argc, &argv);
  MPI_Get_library_version(version, &length);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  printf("rank %d of %d: %s\n", rank, size, version);
  MPI_Finalize();
  return 0;
}
"""

PROJECT = """
cmake_minimum_required(VERSION 3.16)
project(user LANGUAGES C CXX)
find_package(MPI 5.0 REQUIRED COMPONENTS C CXX)
add_executable(c_program program.c)
target_link_libraries(c_program PRIVATE MPI::MPI_C)
add_executable(cxx_program program.cc)
target_link_libraries(cxx_program PRIVATE MPI::MPI_CXX)
file(WRITE ${CMAKE_BINARY_DIR}/found.txt
     "${MPI_C_LIBRARIES}|${MPI_CXX_LIBRARIES}|${MPIEXEC_EXECUTABLE}|${MPI_C_VERSION}")
enable_testing()
add_test(NAME run COMMAND ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} 2 ${MPIEXEC_PREFLAGS}
         $<TARGET_FILE:c_program> ${MPIEXEC_POSTFLAGS})
"""

TERN_PROJECT = """
cmake_minimum_required(VERSION 3.16)
project(user LANGUAGES C)
find_package(Tern 0.1 REQUIRED)
add_executable(c_program program.c)
target_link_libraries(c_program PRIVATE Tern::mpi)
"""


class MovedTreeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        cls.scratch = pathlib.Path(scratch.name).resolve()
        installed = cls.scratch / "installed"
        subprocess.run(["cmake", "--install", BUILD, "--prefix", installed], check=True,
                       capture_output=True)
        cls.prefix = cls.scratch / "opt" / "moved-1.0"
        cls.prefix.parent.mkdir()
        installed.rename(cls.prefix)
        (cls.scratch / "program.c").write_text(PROGRAM)
        (cls.scratch / "program.cc").write_text(PROGRAM)

    def run_tool(self, *command, cwd=None, **environment):
        clean = {k: v for k, v in os.environ.items()
                 if not k.startswith(("MPI", "OMPI_", "I_MPI_", "TERN_", "LD_LIBRARY", "CMAKE_",
                                      "PKG_CONFIG"))}
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                              cwd=cwd or self.scratch, env={**clean, **environment}, timeout=120)
        self.assertEqual(done.returncode, 0,
                         f"{[str(w) for w in command]}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def check_program(self, program, prefix=None, **environment):
        """It loads the library of `prefix`, runs alone and as a job of two."""
        prefix = prefix or self.prefix
        loaded = re.search(r"libmpi_abi\.so\.1 => (.*) \(0x", self.run_tool("ldd", program, **environment))
        self.assertEqual(pathlib.Path(loaded[1]).resolve().parent, prefix / "lib")
        self.assertRegex(self.run_tool(program, **environment), r"^rank 0 of 1: Tern ")
        job = self.run_tool(prefix / "bin" / "mpiexec", "-n", "2", program, **environment)
        self.assertEqual(sorted(line.split(":")[0] for line in job.splitlines()),
                         ["rank 0 of 2", "rank 1 of 2"])

    def test_nothing_points_back_to_the_build_tree(self):
        for path in self.prefix.rglob("*"):
            if path.is_symlink():
                self.assertFalse(os.readlink(path).startswith("/"), f"{path} is an absolute link")
            elif path.is_file():
                for place in (BUILD, self.scratch / "installed"):
                    self.assertNotIn(os.fsencode(place) + b"/", path.read_bytes(),
                                     f"{path} contains a path of {place}")

    def test_wrappers(self):
        for wrapper, source in (("mpicc", "program.c"), ("mpicxx", "program.cc"),
                                ("mpicc_abi", "program.c"), ("mpic++", "program.cc")):
            program = self.scratch / f"by-{wrapper}"
            self.run_tool(self.prefix / "bin" / wrapper, source, "-o", program)
            self.check_program(program)
            # New dynamic tags: LD_LIBRARY_PATH may still choose another library of the ABI.
            dynamic = self.run_tool("readelf", "-d", program)
            self.assertIn("(RUNPATH)", dynamic)
            self.assertNotIn("(RPATH)", dynamic)
            # The application's only direct MPI dependency, by its soname.
            self.assertEqual(re.findall(r"\[(libmpi.*?)\]", dynamic), ["libmpi_abi.so.1"])

    def test_compiling_and_linking_apart_and_without_rpath(self):
        mpicc = self.prefix / "bin" / "mpicc"
        program = self.scratch / "apart"
        self.run_tool(mpicc, "-c", "program.c", "-o", "program.o")
        self.run_tool(mpicc, "-norpath", "program.o", "-o", program)
        self.assertNotIn("RUNPATH", self.run_tool("readelf", "-d", program))
        self.check_program(program, LD_LIBRARY_PATH=str(self.prefix / "lib"))

    def test_prefix_with_spaces_and_a_comma(self):
        odd = self.scratch / "a tree, oddly named"
        shutil.copytree(self.prefix, odd, symlinks=True)
        program = self.scratch / "odd program"
        self.run_tool(odd / "bin" / "mpicc", "program.c", "-o", program)
        self.check_program(program, odd)

    def test_pkg_config(self):
        for package in ("tern", "tern-c", "tern-cxx", "mpi_abi"):
            flags = self.run_tool("pkg-config", "--cflags", "--libs", package,
                                  PKG_CONFIG_PATH=str(self.prefix / "lib/pkgconfig")).split()
            program = self.scratch / f"by-{package}"
            self.run_tool("cc", "program.c", "-o", program, *flags)
            self.check_program(program)

    def configure_and_build(self, name, text, *options, **environment):
        source, build = self.scratch / name, self.scratch / f"{name}-build"
        source.mkdir()
        for file in ("program.c", "program.cc"):
            shutil.copy(self.scratch / file, source)
        (source / "CMakeLists.txt").write_text(text)
        self.run_tool("cmake", "-G", "Ninja", "-S", source, "-B", build, *options, **environment)
        self.run_tool("cmake", "--build", build, **environment)
        return build

    def check_found(self, build, library=None):
        """What find_package(MPI) told, and that it works; `library` is what it should link."""
        if library is None:
            library = f"{self.prefix}/lib/libmpi_abi.so"
        c_library, cxx_library, mpiexec, version = (build / "found.txt").read_text().split("|")
        self.assertEqual((c_library, cxx_library), (library, library))
        self.assertEqual(mpiexec, f"{self.prefix}/bin/mpiexec")
        self.assertEqual(version, "5.0")
        self.check_program(build / "c_program")
        self.check_program(build / "cxx_program")
        self.run_tool("ctest", "--test-dir", build, "--output-on-failure")

    def test_find_package_mpi_by_path(self):
        self.check_found(self.configure_and_build(
            "by-path", PROJECT, PATH=f"{self.prefix}/bin:{os.environ['PATH']}"))

    def test_find_package_mpi_by_home(self):
        self.check_found(self.configure_and_build("by-home", PROJECT, f"-DMPI_HOME={self.prefix}"))

    def test_mpicc_as_the_compiler_of_a_project(self):
        build = self.configure_and_build(
            "as-compiler", PROJECT, f"-DCMAKE_C_COMPILER={self.prefix}/bin/mpicc",
            f"-DCMAKE_CXX_COMPILER={self.prefix}/bin/mpicxx",
            PATH=f"{self.prefix}/bin:{os.environ['PATH']}")
        self.check_found(build, library="")  # The compiler needs no flags to find it.

    def test_find_package_tern(self):
        build = self.configure_and_build("by-config", TERN_PROJECT,
                                         f"-DCMAKE_PREFIX_PATH={self.prefix}")
        self.check_program(build / "c_program")

    @unittest.skipUnless(shutil.which("tclsh"), "no tclsh to read the module file with")
    def test_environment_module(self):
        module = next((self.prefix / "share/modulefiles/tern").iterdir())
        stand_ins = "\n".join(f"proc {word} {{args}} {{ puts [join [list {word} {{*}}$args]] }}"
                              for word in ("conflict", "setenv", "prepend-path", "module-whatis"))
        script = self.scratch / "module.tcl"
        script.write_text(f"{stand_ins}\nset ModulesCurrentModulefile {{{module}}}\nsource {{{module}}}\n")
        lines = self.run_tool("tclsh", script).splitlines()
        self.assertIn(f"prepend-path PATH {self.prefix}/bin", lines)
        self.assertIn(f"prepend-path LD_LIBRARY_PATH {self.prefix}/lib", lines)
        self.assertIn(f"setenv MPI_HOME {self.prefix}", lines)


if __name__ == "__main__":
    unittest.main()
