"""The conversation between ranks and launcher: under mpiexec, under MPICH's Hydra, and under nobody."""

import os
import re
import subprocess
import sys
import time
import unittest

from harness import PMI_PROGRAM, TIMEOUT, MpiexecTest


class Wire(MpiexecTest):
    def test_cards_of_all_ranks_reach_all(self):
        for size in (1, 2, 7):
            self.assertEqual(self.run_mpiexec("-n", size, PMI_PROGRAM, "cards"), (0, "", ""))

    def test_long_cards(self):
        self.assertEqual(self.run_mpiexec("-n", 3, PMI_PROGRAM, "cards", 20000), (0, "", ""))

    def test_a_card_may_be_asked_for_before_it_is_there(self):
        self.assertEqual(self.run_mpiexec("-n", 4, PMI_PROGRAM, "early"), (0, "", ""))

    def test_barriers(self):
        self.assertEqual(self.run_mpiexec("-n", 4, PMI_PROGRAM, "barrier", 50), (0, "", ""))

    def test_facts(self):
        code, out, _ = self.run_mpiexec("-n", 2, "-usize", 9, "-initial-errhandler", "mpi_errors_return",
                                        PMI_PROGRAM, "facts", ":", "-n", 1, PMI_PROGRAM, "facts")
        self.assertEqual(code, 0)
        lines = sorted(out.splitlines())
        job = re.search(r"job=(\w+)", lines[0])[1]
        self.assertNotEqual(int(job, 16), 0)
        for rank, line in enumerate(lines):
            appnum = 1 if rank == 2 else 0
            self.assertEqual(line, f"rank={rank} size=3 local_rank={rank} local_size=3 appnum={appnum} "
                                   f"universe=9 host=0 job={job} mpi_errors_return")

    def test_two_programs_one_after_the_other_in_a_rank(self):
        both = f"{PMI_PROGRAM} cards && {PMI_PROGRAM} cards 700"
        self.assertEqual(self.run_mpiexec("-n", 3, "sh", "-c", both), (0, "", ""))

    def test_a_program_of_another_mpi_spawns(self):
        code, out, err = self.run_mpiexec("-n", 2, PMI_PROGRAM, "spawn", PMI_PROGRAM)
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(sorted(out.splitlines()), [
            *(f"child {rank} PMI_SPAWNED=1 cmd=get_result rc=0 msg=success value=left#for$you" for rank in (0, 1)),
            "cmd=spawn_result rc=0 errcodes=0,0"])
        code, out, err = self.run_mpiexec("-n", 1, PMI_PROGRAM, "spawn", "no_such_program")
        self.assertEqual(code, 0)
        self.assertIn("cmd=spawn_result rc=-1", out)
        self.assertIn("rank 0 cannot spawn", err)
        self.assertIn("no_such_program", err)

    def test_nonsense_from_one_rank_does_not_hurt_the_others(self):
        self.assertEqual(self.run_mpiexec("-n", 3, PMI_PROGRAM, "garbage"), (0, "", ""))

    def test_a_wrapper_that_closes_the_descriptor_is_named(self):
        wrapper = f"import subprocess, sys; sys.exit(subprocess.run(['{PMI_PROGRAM}']).returncode)"
        code, _, err = self.run_mpiexec("-n", 2, sys.executable, "-c", wrapper)
        self.assertEqual(code, 9)
        self.assertIn("PMI_FD", err)

    def test_a_program_that_a_rank_starts_is_on_its_own(self):
        # The rank's program is a wrapper that has joined the job and then starts another MPI program.
        code, out, err = self.run_mpiexec("-n", 2, "sh", "-c", f"env -u PMI_FD {PMI_PROGRAM} facts")
        self.assertEqual(code, 0, err)
        self.assertEqual([line.split()[1] for line in out.splitlines()], ["size=1", "size=1"])

    def test_a_singleton(self):
        process = subprocess.run([PMI_PROGRAM, "cards"], env=self.environment(), timeout=TIMEOUT)
        self.assertEqual(process.returncode, 0)

    def test_many_ranks(self):
        self.assertEqual(self.run_mpiexec("-n", 64, PMI_PROGRAM, "cards"), (0, "", ""))


class OtherLaunchers(MpiexecTest):
    """The client under MPICH's Hydra, where that is installed."""

    def hydra(self, *words):
        # Not by name alone: that may be Tern's own.
        launcher = "/usr/bin/mpiexec.hydra"
        if not os.path.exists(launcher):
            self.skipTest("MPICH's mpiexec.hydra is not installed")
        return subprocess.run([launcher, *map(str, words)], env=self.environment(), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=TIMEOUT)

    def test_cards(self):
        for size in (1, 2, 5):
            self.assertEqual(self.hydra("-n", size, PMI_PROGRAM, "cards").returncode, 0)

    def test_cards_longer_than_hydra_takes(self):
        self.assertEqual(self.hydra("-n", 3, PMI_PROGRAM, "cards", 5000).returncode, 0)

    def test_barriers_and_facts(self):
        self.assertEqual(self.hydra("-n", 3, PMI_PROGRAM, "barrier", 10).returncode, 0)
        lines = sorted(self.hydra("-n", 2, PMI_PROGRAM, "facts").stdout.splitlines())
        self.assertEqual(len(lines), 2)
        self.assertTrue(lines[1].startswith("rank=1 size=2 local_rank=1 local_size=2 appnum=0"), lines)
        self.assertEqual(len({re.search(r"job=(\w+)", line)[1] for line in lines}), 1)

    def test_over_a_port(self):
        self.assertEqual(self.hydra("-pmi-port", "-n", 3, PMI_PROGRAM, "cards").returncode, 0)

    def test_abort(self):
        started = time.monotonic()
        self.assertNotEqual(self.hydra("-n", 2, PMI_PROGRAM, "abort", 5).returncode, 0)
        self.assertLess(time.monotonic() - started, 20)

    def test_inside_a_rank_of_ours(self):
        inner = f"test $PMI_RANK != 0 || /usr/bin/mpiexec.hydra -n 2 {PMI_PROGRAM} facts"
        if not os.path.exists("/usr/bin/mpiexec.hydra"):
            self.skipTest("MPICH's mpiexec.hydra is not installed")
        code, out, err = self.run_mpiexec("-n", 3, "sh", "-c", inner)
        self.assertEqual(code, 0, err)
        self.assertEqual([line.split()[1] for line in out.splitlines()], ["size=2", "size=2"])

    def test_a_launcher_that_cannot_be_talked_to_stops_the_program(self):
        env = self.environment(SLURM_PROCID="1", SLURM_STEP_NUM_TASKS="4")
        process = subprocess.run([PMI_PROGRAM], env=env, capture_output=True, text=True, timeout=TIMEOUT)
        self.assertEqual(process.returncode, 9)
        self.assertIn("srun --mpi=pmi2", process.stderr)


if __name__ == "__main__":
    unittest.main()
