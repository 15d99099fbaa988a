"""Jobs that grow: spawned processes, the info keys, what fails, and who outlives whom."""

import os
import pathlib
import re
import shutil
import subprocess
import unittest

import harness
from ports_test import JobsTest, PREFIX, PROGRAMS

PROGRAM = str(PROGRAMS / "spawn_program")


class SpawnTest(JobsTest):
    def parent(self, *words, ranks=1, env=None, **options):
        options.setdefault("cwd", self.folder)
        return self.start("-n", ranks, PROGRAM, *words, env=env, text=True, **options)

    def single(self, *words):
        """Without mpiexec."""
        process = subprocess.Popen([PROGRAM, *map(str, words)], env=self.environment(), text=True, cwd=self.folder,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(self.forget, process)
        return process

    def children(self, count, *pairs, env=None, error="MPI_SUCCESS", **options):
        """What `count` children say of themselves that are spawned with these keys and values."""
        out = self.output_of(self.parent("keys", count, *pairs, env=env, **options))
        self.assertRegex(out, f"(?m)^spawn {error}", out)
        return out

    def reports(self, count, *pairs, **options):
        out = self.children(count, *pairs, **options)
        found = re.findall(r"(?m)^child (\d+) of (\d+) (.*)", out)
        return [text for _, _, text in sorted(found)]


class Growing(SpawnTest):
    def test_groups(self):
        self.expect_ok(self.parent("grow", 2, 2), self.parent("grow", 1, 1, ranks=3))

    def test_without_mpiexec(self):
        self.expect_ok(self.single("grow", 2, 2))

    def test_several_programs(self):
        self.expect_ok(self.parent("several", ranks=2))

    def test_without_blocking(self):
        out = self.output_of(self.parent("ispawn", 3, ranks=2))
        self.assertIn("ok spawned", out)
        self.assertEqual(len(re.findall(r"rank \d MPI_ERR_SPAWN .*no_such_program", out)), 2, out)

    def test_failures_are_errors(self):
        out = self.output_of(self.parent("fail", ranks=2))
        self.assertEqual(len(re.findall(r"rank \d MPI_ERR_SPAWN", out)), 6, out)
        for words in ("no_such_program", "not executable", "without calling MPI_Init"):
            self.assertEqual(out.count(words) >= 2, True, words + ": " + out)
        self.assertIn("ok alive", out)
        self.assertIn("ok alive", self.output_of(self.single("fail")))

    def test_a_child_that_never_joins_is_not_waited_for_for_ever(self):
        # And it is ended: tearDown finds what is left.
        env = {"SPAWN_COMMAND": "/bin/sleep", "SPAWN_ARGUMENT": "600", "TERN_CONNECT_TIMEOUT": "0.5"}
        out = self.output_of(self.parent("keys", 2, env=env))
        self.assertRegex(out, "(?m)^spawn MPI_ERR_SPAWN .*TERN_CONNECT_TIMEOUT.* started 0$")

    def test_many_cycles_leave_nothing(self):
        out = self.output_of(self.single("cycle", 60 if harness.SLOWNESS > 1 else 300))
        self.assertIn("ok cycled", out)
        before, after = map(int, re.search(r"resident (\d+) (\d+)", out).groups())
        if harness.SLOWNESS == 1:
            self.assertLess(after, before + 1500, "KiB")


class Lives(SpawnTest):
    def test_a_child_that_crashes_is_an_error(self):
        process = self.parent("crash")
        out, err = process.communicate(timeout=harness.TIMEOUT)
        self.assertIn("MPI_ERR_PROC_ABORTED", out, err)
        self.assertIn("ok parent lives", out, err)

    def test_children_outlive_their_parent_and_harm_nobody(self):
        go = self.folder / "go"
        process = self.parent("part", go)
        self.assertEqual(process.stdout.readline(), "ok parent ends\n")
        go.write_text("")
        self.assertIn("child lives on", self.output_of(process))

    def test_children_end_with_a_parent_that_is_killed(self):
        for process in (self.parent("die"), self.single("die")):
            process.communicate(timeout=harness.TIMEOUT)
            self.assertNotEqual(process.returncode, 0)
        # tearDown finds what is left.


class Keys(SpawnTest):
    def test_places(self):
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir()
        one = self.reports(1)
        self.assertIn(f"cwd={self.folder} ", one[0])
        self.assertIn(f"cwd={elsewhere} ", self.reports(1, "wdir", elsewhere)[0])
        self.assertIn(f"cwd={elsewhere} ", self.reports(1, "tern_wdir", "elsewhere")[0])
        self.children(1, "wdir", "/no/such/directory", error="MPI_ERR_SPAWN")

    def test_where_a_program_is_looked_for(self):
        # First where the parent is, then in `path`, then in PATH.
        folders = [self.folder / name for name in ("in_path", "in_key")]
        for folder in folders:
            folder.mkdir()
            shutil.copy(PROGRAM, folder / "wanted")
        env = {"SPAWN_COMMAND": "wanted", "PATH": f"{folders[0]}:{os.environ['PATH']}"}
        self.assertIn(f"exe={folders[0]}/wanted ", self.reports(1, env=env)[0])
        self.assertIn(f"exe={folders[1]}/wanted ", self.reports(1, "path", folders[1], env=env)[0])
        shutil.copy(PROGRAM, self.folder / "wanted")
        self.assertIn(f"exe={self.folder}/wanted ", self.reports(1, "path", folders[1], env=env)[0])

    def test_environment(self):
        said = self.reports(1, "env", "SPAWN_A=one two\nSPAWN_B=3=4", "ompi_param", "TERN_SPIN_US=77")[0]
        for text in ("SPAWN_A=one two ", "SPAWN_B=3=4 ", "TERN_SPIN_US=77 "):
            self.assertIn(text, said)
        said = self.reports(1, "tern_prefix", "/some/where")[0]
        self.assertIn("LD_LIBRARY_PATH=/some/where/lib", said)
        self.assertIn(" PATH=/some/where/bin:", said)
        self.children(1, "env", "no equals sign", error="MPI_ERR_SPAWN")

    def test_hosts(self):
        hosts = self.folder / "hosts"
        hosts.write_text("localhost slots=5\n")
        for key in ("host", "add-host", "tern_host"):
            self.assertEqual(len(self.reports(2, key, "localhost:7")), 2)
        for key in ("hostfile", "add-hostfile"):
            self.assertEqual(len(self.reports(2, key, hosts)), 2)
        # Without a launcher that reaches other hosts; with one: tests/cluster.
        self.assertIn("elsewhere.example", self.children(1, "host", "elsewhere.example", error="MPI_ERR_SPAWN",
                                                         env={"PATH": "/nonexistent"}))
        self.assertEqual(len(self.reports(1, "arch", os.uname().machine)), 1)
        self.children(1, "arch", "vax", error="MPI_ERR_SPAWN")

    def test_counts(self):
        self.assertEqual(len(self.reports(5, "soft", "1,2:4:2,17")), 4)
        self.children(5, "soft", "6:9", error="MPI_ERR_SPAWN")
        self.children(2, "npernode", "1", error="MPI_ERR_SPAWN")
        self.children(2, "pernode", "Yes", error="MPI_ERR_SPAWN")
        self.assertEqual(len(self.reports(2, "pernode", "0", "npernode", "2")), 2)
        self.assertEqual(len(self.reports(2, "npernode", "1", "soft", "1:2")), 1)

    def test_placement(self):
        self.assertIn(" cpus=1 ", self.reports(1, "bind_to", "hwthread")[0])
        for key, value in (("map_by", "core"), ("rank_by", "slot"), ("mapper", "round_robin"), ("ppr", "2:node")):
            self.assertEqual(len(self.reports(2, key, value)), 2, key)
        for key in ("map_by", "rank_by", "bind_to", "ppr"):
            self.assertIn("nonsense", self.children(1, key, "nonsense", error="MPI_ERR_SPAWN"))

    def test_bound_children_of_several_jobs_do_not_meet(self):
        cpus = sorted(os.sched_getaffinity(0))[:3]
        if len(cpus) < 2:
            self.skipTest("there is one CPU only")
        os.sched_setaffinity(0, cpus)
        try:
            processes = [self.parent("slots"), self.single("slots")]
        finally:
            os.sched_setaffinity(0, range(os.cpu_count()))
        for process in processes:
            out = self.output_of(process)
            self.assertRegex(out, "(?m)^MPI_ERR_SPAWN .* of which ranks of other jobs use")
            self.assertIn("ok slots", out)

    def test_the_initial_error_handler(self):
        self.assertIn("handler=return", self.reports(1, "mpi_initial_errhandler", "mpi_errors_return")[0])
        self.assertIn("handler=other", self.reports(1)[0])
        self.children(1, "mpi_initial_errhandler", "mpi_errors_ignore", error="MPI_ERR_SPAWN")

    def test_a_file_of_keys_and_unknown_ones(self):
        keys = self.folder / "keys"
        keys.write_text("# comment\nwdir = /\nenv = SPAWN_A=from file\n")
        said = self.reports(1, "file", "keys", "no_such_key", "x")[0]
        self.assertIn("cwd=/ ", said)
        self.assertIn("SPAWN_A=from file", said)
        process = self.parent("keys", 1, "no_such_key", "x", env={"TERN_VERBOSE": "1"})
        _, err = process.communicate(timeout=harness.TIMEOUT)
        self.assertEqual(err.count("no_such_key"), 1, err)

    def test_preloading(self):
        (self.folder / "data").write_text("precious")
        target = self.folder / "target"
        target.mkdir()
        said = self.reports(1, "ompi_preload_binary", "true", "ompi_preload_files", "data", "wdir", target)[0]
        exe = pathlib.Path(re.search(r"exe=(\S+)", said)[1])
        self.assertNotEqual(exe, pathlib.Path(PROGRAM))
        self.assertFalse(exe.parent.exists(), "the copy is removed")
        self.assertEqual((target / "data").read_text(), "precious")

    def test_standard_input(self):
        self.assertTrue(self.reports(1)[0].endswith(" stdin="))
        (self.folder / "input").write_text("words")
        with (self.folder / "input").open() as file:
            said = self.reports(2, "ompi_stdin_target", "1", stdin=file)
        self.assertTrue(said[0].endswith(" stdin="), said)
        self.assertTrue(said[1].endswith(" stdin=words"), said)

    def test_programs_without_mpi(self):
        env = {"SPAWN_COMMAND": "/bin/echo", "SPAWN_ARGUMENT": "spoken by echo"}
        for value in ("true", "1"):
            out = self.children(1, "ompi_non_mpi", value, env=env)
            self.assertIn("null communicator", out)
            self.assertIn("spoken by echo", out)
        self.children(1, "ompi_non_mpi", "0", env=env, error="MPI_ERR_SPAWN")

    def test_the_table(self):
        shown = subprocess.run([PREFIX / "bin" / "tern-info", "spawn-keys"], capture_output=True, text=True,
                               check=True, env=self.environment()).stdout
        for key in ("host", "soft", "mpi_initial_errhandler", "ompi_non_mpi", "ompi_param"):
            self.assertRegex(shown, rf"(?m)^ +{key} ")


if __name__ == "__main__":
    unittest.main()
