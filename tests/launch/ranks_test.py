"""Who runs where, with what: ranks, programs, environment, placement, and input that is refused."""

import functools
import os
import resource
import subprocess
import sys
import unittest

from harness import HOST, MARKER, MPIEXEC, TIMEOUT, MpiexecTest


class Ranks(MpiexecTest):
    def test_every_rank_runs_once_and_knows_who_it_is(self):
        code, out, _ = self.run_mpiexec("-n", 5, "sh", "-c", "echo $PMI_RANK/$PMI_SIZE")
        self.assertEqual(code, 0)
        self.assertEqual(sorted(out.split()), [f"{i}/5" for i in range(5)])

    def test_all_dialects_of_rank_and_size(self):
        names = ["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_NODE_RANK",
                 "MV2_COMM_WORLD_RANK", "MPI_LOCALRANKID", "LOCAL_RANK"]
        sizes = ["OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_SIZE", "MPI_LOCALNRANKS"]
        show = " ".join("$" + name for name in names + sizes)
        _, out, _ = self.run_mpiexec("-n", 2, "sh", "-c", f"echo {show}")
        self.assertEqual(sorted(out.splitlines()), ["0 0 0 0 0 0 2 2 2 2", "1 1 1 1 1 1 2 2 2 2"])

    def test_without_a_number_there_is_one_rank_per_core(self):
        code, out, _ = self.run_mpiexec("--cpu-set", min(os.sched_getaffinity(0)), "-n", 1, "nproc")
        self.assertEqual((code, out), (0, "1\n"))
        _, out, _ = self.run_mpiexec("sh", "-c", "echo $PMI_SIZE")
        size = int(out.split()[0])
        self.assertEqual(len(out.split()), size)
        self.assertLessEqual(size, len(os.sched_getaffinity(0)))

    def test_host_slots_are_the_number_of_ranks(self):
        _, out, _ = self.run_mpiexec("-host", f"localhost:2,{HOST}", "echo", "x")
        self.assertEqual(out, "x\nx\nx\n")

    def test_several_programs(self):
        shell = "echo $PMI_RANK $TERN_JOB_APPNUM $0"
        code, out, _ = self.run_mpiexec("-n", 1, "sh", "-c", shell, "a", ":", "-n", 2, "sh", "-c", shell, "b")
        self.assertEqual(code, 0)
        self.assertEqual(sorted(out.splitlines()), ["0 0 a", "1 1 b", "2 1 b"])

    def test_config_file(self):
        config = self.script("# two programs\n-n 1 echo 'a b'\n-n 2 echo c\n", "config")
        code, out, _ = self.run_mpiexec("-configfile", config)
        self.assertEqual((code, sorted(out.splitlines())), (0, ["a b", "c", "c"]))

    def test_arguments_of_the_program_are_its_own(self):
        _, out, _ = self.run_mpiexec("-n", 1, "printf", "%s|", "-n", "--", "a b", "", "*")
        self.assertEqual(out, "-n|--|a b||*|")

    def test_a_script_without_first_line(self):
        script = self.script("echo plain $1 $PMI_RANK\n")
        code, out, _ = self.run_mpiexec("-n", 2, script, "x")
        self.assertEqual((code, sorted(out.splitlines())), (0, ["plain x 0", "plain x 1"]))

    def test_a_program_in_the_current_directory(self):
        self.script("#!/bin/sh\necho here\n", "tern-test-here")
        code, out, _ = self.run_mpiexec("-n", 1, "tern-test-here", cwd=self.folder)
        self.assertEqual((code, out), (0, "here\n"))
        code, out, _ = self.run_mpiexec("-n", 1, "-path", self.folder, "tern-test-here")
        self.assertEqual((code, out), (0, "here\n"))

    def test_working_directory(self):
        self.script("#!/bin/sh\npwd; echo $PWD\n", "where")
        code, out, _ = self.run_mpiexec("-n", 1, "-wdir", self.folder, "./where")
        self.assertEqual((code, out), (0, f"{self.folder}\n{self.folder}\n"))

    def test_environment(self):
        show = 'echo "$A,$B,$C,$D"'
        code, out, _ = self.run_mpiexec("-genv", "A", "1", "-x", "B=2", "-n", 1, "-env", "C", "3", "sh", "-c", show,
                                        ":", "-n", 1, "sh", "-c", show, env={"D": "4"})
        self.assertEqual((code, sorted(out.splitlines())), (0, ["1,2,,4", "1,2,3,4"]))
        code, out, _ = self.run_mpiexec("-genvnone", "-x", f"{MARKER},D", "-n", 1, "/bin/sh", "-c", show,
                                        env={"A": "1", "D": "4"})
        self.assertEqual((code, out), (0, ",,,4\n"))

    def test_works_without_home_and_path(self):
        process = subprocess.run([MPIEXEC, "-n", "2", "echo", "x"], env={MARKER: self.marker}, timeout=TIMEOUT,
                                 stdin=subprocess.DEVNULL, capture_output=True)
        self.assertEqual((process.returncode, process.stdout), (0, b"x\nx\n"))

    def test_version_and_help(self):
        code, out, _ = self.run_mpiexec("-V")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"^mpiexec \(Tern\) \d+\.\d+")
        code, out, _ = self.run_mpiexec("-h")
        self.assertEqual(code, 0)
        self.assertTrue(all(len(line) <= 100 for line in out.splitlines()))


class BadInput(MpiexecTest):
    def test_options(self):
        self.expect_one_line(2, "--bnd-to", "core", "true", contains=["--bind-to"])
        self.expect_one_line(2, "-n", 0, "true", contains=["-n", "'0'"])
        self.expect_one_line(2, "-n", "abc", "true", contains=["-n", "'abc'"])
        self.expect_one_line(2, "-n", contains=["-n"])
        self.expect_one_line(2, contains=["no program"])
        self.expect_one_line(2, "-n", 2, contains=["no program"])
        self.expect_one_line(2, "-n", 1, "true", ":", contains=["no program"])
        self.expect_one_line(2, "-host", "surely-elsewhere", "--launcher", "fork", "true", contains=["surely-elsewhere"])
        self.expect_one_line(127, "-host", "surely-elsewhere", "true", env={"PATH": "/nonexistent"},
                             contains=["surely-elsewhere", "install"])
        self.expect_one_line(127, "--launcher", "hydra", "true", env={"PATH": "/nonexistent"}, contains=["mpich"])
        self.expect_one_line(2, "--stdin", 3, "-n", 2, "true", contains=["rank 3"])
        self.expect_one_line(2, "-configfile", "/nonexistent", contains=["/nonexistent"])
        self.expect_one_line(2, "--cpu-set", "9999", "-n", 1, "true", contains=["9999"])
        self.expect_one_line(2, "true", env={"MPIEXEC_TIMEOUT": "soon"}, contains=["MPIEXEC_TIMEOUT"])

    def test_what_was_typed_stays_one_line(self):
        self.expect_one_line(2, "-n", "2\n3", "true", contains=["2\\x0a3"])

    def test_programs(self):
        self.expect_one_line(127, "-n", 2, "surely-no-such-program", contains=["surely-no-such-program", "PATH"])
        self.expect_one_line(127, "-n", 2, "./nothing-here", contains=["./nothing-here"])
        plain = self.script("echo\n", mode=0o644)
        self.expect_one_line(126, "-n", 2, plain, contains=["chmod +x"])
        self.expect_one_line(126, "-n", 2, self.folder, contains=["directory"])
        self.expect_one_line(126, "-n", 2, self.script("#!/no/such/interpreter\n"), contains=["interpreter"])
        binary = self.folder / "binary"
        binary.write_bytes(b"\x7fELF\0\0garbage")
        binary.chmod(0o755)
        self.expect_one_line(126, "-n", 2, binary, contains=["not a program for this machine"])

    def test_a_missing_program_of_the_second_part_starts_nothing(self):
        touched = self.folder / "touched"
        self.expect_one_line(127, "-n", 1, "touch", touched, ":", "-n", 1, "surely-no-such-program")
        self.assertFalse(touched.exists())

    def test_directories(self):
        self.expect_one_line(1, "-wdir", "/nonexistent", "-n", 1, "true", contains=["/nonexistent"])
        self.expect_one_line(1, "--output-filename", "/proc/nowhere", "-n", 1, "true", contains=["/proc/nowhere"])

    def test_more_ranks_than_descriptors(self):
        limit = functools.partial(resource.setrlimit, resource.RLIMIT_NOFILE, (128, 128))
        self.expect_one_line(1, "-n", 1000, "true", contains=["ulimit"], preexec_fn=limit)
        self.expect_one_line(1, "-n", 2000000000, "true", contains=["ulimit"], preexec_fn=limit)

    def test_ranks_keep_the_limits_that_mpiexec_had(self):
        limit = functools.partial(resource.setrlimit, resource.RLIMIT_NOFILE, (200, 300))
        _, out, _ = self.run_mpiexec("-n", 1, "sh", "-c", "ulimit -Sn; ulimit -Hn", preexec_fn=limit)
        self.assertEqual(out.split(), ["200", "300"])


class Placement(MpiexecTest):
    def setUp(self):
        super().setUp()
        self.cpus = sorted(os.sched_getaffinity(0))

    def bindings(self, *words):
        """The CPU sets of the ranks, in order."""
        show = ("import os; cpus = ' '.join(map(str, sorted(os.sched_getaffinity(0))));"
                "os.write(1, f'{os.environ[\"PMI_RANK\"]} {cpus}\\n'.encode())")
        code, out, err = self.run_mpiexec(*words, sys.executable, "-c", show)
        self.assertEqual(code, 0, err)
        rows = sorted([int(word) for word in line.split()] for line in out.splitlines())
        return [row[1:] for row in rows]

    def test_one_rank_has_all(self):
        self.assertEqual(self.bindings("-n", 1), [self.cpus])

    def test_two_ranks_share(self):
        first, second = self.bindings("-n", 2)
        if len(self.cpus) < 2:
            self.assertEqual((first, second), (self.cpus, self.cpus))
        elif first != self.cpus:  # Two hardware threads of one core are one core.
            self.assertEqual(sorted(first + second), self.cpus)

    def test_more_ranks_than_cpus_are_not_bound(self):
        size = len(self.cpus) + 1
        self.assertEqual(self.bindings("-n", size), [self.cpus] * size)

    def test_binding_on_request_and_never_outside(self):
        one = self.bindings("-n", 1, "--bind-to", "hwthread")[0]
        self.assertEqual(len(one), 1)
        self.assertIn(one[0], self.cpus)
        self.assertEqual(self.bindings("-n", 2, "--bind-to", "none"), [self.cpus] * 2)
        for row in self.bindings("-n", 2 * len(self.cpus), "--bind-to", "core", "--map-by", "socket"):
            self.assertTrue(set(row) <= set(self.cpus))

    def test_the_cpuset_given_is_respected(self):
        last = self.cpus[-1]
        shell = f"taskset -c {last} {MPIEXEC} -n 2 --bind-to core sh -c 'taskset -cp $$ | sed s/.*:.//'"
        out = subprocess.run(["sh", "-c", shell], env=self.environment(), capture_output=True, text=True,
                             stdin=subprocess.DEVNULL, timeout=TIMEOUT).stdout
        self.assertEqual(out.split(), [str(last)] * 2)

    def test_reports(self):
        code, out, err = self.run_mpiexec("--report-bindings", "--bind-to", "hwthread", "-n", 1, "true")
        self.assertEqual((code, out), (0, ""))
        self.assertRegex(err, r"^mpiexec: rank 0 on host \S+: bound to CPU \d+\n$")
        code, out, _ = self.run_mpiexec("--display-map", "--display-allocation", "-n", 2, "true", "x")
        self.assertEqual(code, 0)
        self.assertIn(f"Allocation: host {HOST}", out)
        self.assertRegex(out, r"rank 1: .*, true x\n")


if __name__ == "__main__":
    unittest.main()
