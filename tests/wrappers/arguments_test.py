"""arguments_test.py - what mpicc and mpicxx do with their arguments, seen by a compiler that records them.

No MPI library is needed: the wrappers are copied into a scratch prefix and run a stand-in compiler that
writes its arguments down. Each failure names the command. Random arguments print their seed.
"""

import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import time
import unittest

BUILD_BIN = pathlib.Path(os.environ["TERN_TEST_PREFIX"], "bin")
RECORDER = '#!/bin/sh\nfor a do printf "%s\\0" "$a"; done > "$RECORD"\n'
OTHER_NAMES = {"mpicc": ["mpicc_abi"], "mpicxx": ["mpic++", "mpiCC", "mpicxx_abi"]}
VARIABLES = {"mpicc": "CC", "mpicxx": "CXX"}
AWKWARD = ["", " ", "a b", "it's", "''", '"q"', "$HOME", "`id`", "*", "?[a]", "\\", "a\\nb", "line\nbreak",
           "#x", "~", "ä", "-DX=\"a b\"", ";", "&&", "a'b\"c", "%s", "--", "!x", "tab\there"]


class WrapperTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name).resolve()
        self.prefix = self.scratch / "prefix"
        shutil.copytree(BUILD_BIN, self.prefix / "bin", symlinks=True,
                        ignore=lambda _, names: [n for n in names if not n.startswith("mpi")])
        self.recorder = self.scratch / "recorder"
        self.recorder.write_text(RECORDER)
        self.recorder.chmod(0o755)

    def environment(self, **more):
        clean = {k: v for k, v in os.environ.items()
                 if not k.startswith(("TERN_", "MPICH_", "OMPI_", "I_MPI_"))}
        return {**clean, "RECORD": str(self.scratch / "record"), **more}

    def run_tool(self, command, check=True, **environment):
        cwd = environment.pop("cwd", self.scratch)
        done = subprocess.run(command, capture_output=True, text=True, cwd=cwd,
                              env=self.environment(**environment))
        if check:
            self.assertEqual(done.returncode, 0, f"{command}: {done.stderr}")
        return done

    def wrapper(self, name):
        return str(self.prefix / "bin" / name)

    def recorded(self, name, *arguments, **environment):
        """The arguments that the compiler got from `name arguments...`."""
        environment.setdefault("TERN_" + VARIABLES[name], str(self.recorder))
        self.run_tool([self.wrapper(name), *arguments], **environment)
        return (self.scratch / "record").read_bytes().decode().split("\0")[:-1]

    def include_flags(self):
        return [f"-I{self.prefix}/include"]

    def link_flags(self):
        return [f"-L{self.prefix}/lib", f"-Wl,-rpath,{self.prefix}/lib", "-Wl,--enable-new-dtags",
                "-lmpi_abi"]

    # --- running the compiler ---

    def test_linking_gets_all_flags_and_ours_come_first(self):
        for name in VARIABLES:
            got = self.recorded(name, "-I/other", "x.c", "-lm", "-o", "x")
            self.assertEqual(got, [*self.include_flags(), "-I/other", "x.c", "-lm", "-o", "x",
                                   *self.link_flags()])

    def test_not_linking_gets_no_link_flags(self):
        for stop in ("-c", "-S", "-E", "-M", "-MM", "-r", "-fsyntax-only"):
            self.assertEqual(self.recorded("mpicc", stop, "x.c"),
                             [*self.include_flags(), stop, "x.c"])
            self.assertEqual(self.recorded("mpicxx", "x.cc", stop),
                             [*self.include_flags(), "x.cc", stop])

    def test_asking_the_compiler_about_itself_links_nothing(self):
        for question in ("-v", "--version", "-dumpmachine", "-print-search-dirs", "-###", "--help"):
            self.assertEqual(self.recorded("mpicc", question), [*self.include_flags(), question])

    def test_dependency_options_beside_compiling_still_link(self):
        self.assertEqual(self.recorded("mpicc", "-MD", "x.c"),
                         [*self.include_flags(), "-MD", "x.c", *self.link_flags()])

    def test_no_argument_is_changed(self):
        for arguments in (AWKWARD, ["-norpath", *AWKWARD], [*AWKWARD, "-cc=" + str(self.recorder)]):
            got = self.recorded("mpicc", "-c", *arguments)
            expected = [a for a in arguments if a != "-norpath" and not a.startswith("-cc=")]
            self.assertEqual(got, [*self.include_flags(), "-c", *expected])

    def test_rpath_can_be_left_out(self):
        without = [f"-L{self.prefix}/lib", "-lmpi_abi"]
        self.assertEqual(self.recorded("mpicc", "-norpath", "x.o"),
                         [*self.include_flags(), "x.o", *without])
        self.assertEqual(self.recorded("mpicc", "x.o", TERN_WRAPPER_RPATH="0"),
                         [*self.include_flags(), "x.o", *without])

    # --- choosing the compiler ---

    def test_option_beats_environment_and_first_variable_wins(self):
        for name, variable in VARIABLES.items():
            self.recorded(name, f"-{variable.lower()}={self.recorder}", "x.c",
                          **{"TERN_" + variable: "/nonexistent"})
            for style in ("MPICH_", "OMPI_", "I_MPI_"):
                self.recorded(name, "x.c", **{"TERN_" + variable: "", style + variable: str(self.recorder)})
            self.recorded(name, "x.c", **{"OMPI_" + variable: "/nonexistent"})

    def test_compiler_of_several_words(self):
        got = self.recorded("mpicc", "-c", "x.c", TERN_CC=f"{self.recorder} -m64 *")
        self.assertEqual(got, ["-m64", "*", *self.include_flags(), "-c", "x.c"])

    def test_compiler_with_a_space_in_its_path(self):
        spaced = self.scratch / "a compiler"
        shutil.copy(self.recorder, spaced)
        self.assertEqual(self.recorded("mpicc", "-c", "x y.c", TERN_CC=str(spaced)),
                         [*self.include_flags(), "-c", "x y.c"])

    def test_exit_status_is_the_compilers(self):
        self.recorder.write_text("#!/bin/sh\nexit 37\n")
        done = self.run_tool([self.wrapper("mpicc"), "-cc=" + str(self.recorder), "x.c"], check=False)
        self.assertEqual(done.returncode, 37)

    def test_a_compiler_that_cannot_work_is_one_clear_line(self):
        for compiler, words in (("no-such-compiler", "cannot find the compiler 'no-such-compiler'"),
                                ("/usr/bin/mpicc", "must not be an MPI wrapper"), ("", "empty")):
            done = self.run_tool([self.wrapper("mpicc"), "-cc=" + compiler, "x.c"], check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn(words, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1)

    # --- showing ---

    def show(self, name, *arguments, **environment):
        return self.run_tool([self.wrapper(name), *arguments], **environment).stdout.rstrip("\n")

    def test_parts_of_the_command(self):
        link = " ".join(self.link_flags())
        compile_flags = " ".join(self.include_flags())
        for dashes in ("-", "--"):
            for question, answer in (("command", "CC"), ("compile", compile_flags), ("link", link),
                                     ("incdirs", f"{self.prefix}/include"),
                                     ("libdirs", f"{self.prefix}/lib"), ("libs", "mpi_abi")):
                self.assertEqual(self.show("mpicc", f"{dashes}showme:{question}", TERN_CC="CC"), answer)
        for underscore in "-_":
            self.assertEqual(self.show("mpicc", f"-compile{underscore}info", TERN_CC="CC"),
                             f"CC {compile_flags}")
            self.assertEqual(self.show("mpicc", f"-link{underscore}info", TERN_CC="CC"),
                             f"CC {compile_flags} {link}")
        for show in ("-show", "-showme", "--showme"):
            self.assertEqual(self.show("mpicc", show, TERN_CC="CC"), f"CC {compile_flags} {link}")
            self.assertEqual(self.show("mpicc", "-c", show, "x.c", TERN_CC="CC"),
                             f"CC {compile_flags} -c x.c")
        self.assertRegex(self.show("mpicxx", "-showme:version"),
                         r"^mpicxx: Tern \d+\.\d+\.\d+ \(Language: C\+\+\)$")

    def test_help_names_every_option(self):
        for ask in ("-showme:help", "-help"):
            text = self.show("mpicc", ask)
            for option in ("-show", "-showme:link", "-compile-info", "-cc=", "-norpath", "MPICH_CC"):
                self.assertIn(option, text)

    def test_unknown_question_fails_and_runs_nothing(self):
        for question in ("-showme:xyz", "--showme:", "-showme:compil"):
            done = self.run_tool([self.wrapper("mpicc"), question, "x.c"], check=False,
                                 TERN_CC=str(self.recorder))
            self.assertEqual(done.returncode, 1)
            self.assertIn(question, done.stderr)
            self.assertFalse((self.scratch / "record").exists())

    def test_a_shell_reads_the_shown_command_as_the_real_one(self):
        seed = time.time_ns()
        print(f"seed {seed}")
        chosen = random.Random(seed)
        for _ in range(40):
            arguments = ["-" + "".join(chosen.choice("abI'\"\\ $*?\n;&|<>()#~`!{}[]=,")
                                       for _ in range(chosen.randrange(1, 9)))
                         for _ in range(chosen.randrange(1, 6))]
            ran = self.recorded("mpicc", "-c", *arguments)
            shown = self.show("mpicc", "-show", "-c", *arguments, TERN_CC=str(self.recorder))
            self.run_tool(["sh", "-c", shown])
            self.assertEqual((self.scratch / "record").read_bytes().decode().split("\0")[:-1], ran,
                             f"seed {seed}: {arguments}")

    # --- where it is ---

    def test_finds_its_prefix_however_it_is_called(self):
        bin_dir = self.prefix / "bin"
        elsewhere = self.scratch / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "absolute").symlink_to(bin_dir / "mpicc")
        (elsewhere / "relative").symlink_to("../prefix/bin/mpicc_abi")
        (elsewhere / "chain").symlink_to("relative")
        (elsewhere / "bin").symlink_to(bin_dir)
        path = f"{bin_dir}:{os.environ['PATH']}"
        wanted = f"{self.prefix}/include"
        for command, more in (([str(elsewhere / "absolute")], {}), ([str(elsewhere / "chain")], {}),
                              (["./relative"], {"cwd": elsewhere}),
                              (["bin/mpicc"], {"cwd": elsewhere}),
                              (["mpicc"], {"PATH": path}),
                              (["mpicc"], {"PATH": f"prefix/bin:{os.environ['PATH']}"}),
                              (["sh", "mpicc"], {"cwd": bin_dir}),
                              (["env", "-i", str(bin_dir / "mpicc")], {}),
                              ([str(bin_dir / "mpicc")], {"CDPATH": "/usr:/"})):
            got = self.run_tool([*command, "-showme:incdirs"], **more).stdout.strip()
            self.assertEqual(got, wanted, command)

    def test_prefix_with_spaces_commas_and_quotes(self):
        odd = self.scratch / "a tree, it's odd"
        self.prefix.rename(odd)
        self.prefix = odd
        self.assertEqual(self.recorded("mpicc", "x.o"),
                         [f"-I{odd}/include", "x.o", f"-L{odd}/lib", "-Xlinker", "-rpath", "-Xlinker",
                          f"{odd}/lib", "-Wl,--enable-new-dtags", "-lmpi_abi"])

    def test_other_names_are_the_same_wrapper(self):
        for name, others in OTHER_NAMES.items():
            for other in others:
                self.assertEqual(self.show(other, "-show"), self.show(name, "-show"))

    def test_fortran_refuses_in_one_line(self):
        for name in ("mpifort", "mpif77", "mpif90", "mpifort_abi"):
            for arguments in ([], ["x.f90"], ["-show"], ["-c", "x.f"]):
                done = self.run_tool([self.wrapper(name), *arguments], check=False)
                self.assertEqual((done.returncode, done.stdout), (1, ""))
                self.assertEqual(done.stderr.count("\n"), 1)
                self.assertTrue(done.stderr.startswith(f"{name}: "), done.stderr)


if __name__ == "__main__":
    unittest.main()
