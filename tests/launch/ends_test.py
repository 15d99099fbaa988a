"""How jobs end: deaths of ranks, signals, time limits, and the death of mpiexec itself."""

import functools
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest

from harness import HOST, PMI_PROGRAM, SLOWNESS, TIMEOUT, MpiexecTest, command_line, marked_processes, wait_until


class Deaths(MpiexecTest):
    """One dies, all die, and mpiexec tells how."""

    def die(self, code, how, *texts, size=3):
        """Rank 1 dies by the shell command `how`, the others sleep."""
        started = time.monotonic()
        got, out, err = self.run_mpiexec("-n", size, "sh", "-c", f"test $PMI_RANK = 1 && {{ {how}; }}; exec sleep 60")
        self.assertEqual((got, out), (code, ""), err)
        self.assertLess(time.monotonic() - started, 15 * SLOWNESS)
        self.assertEqual(err.count("\n"), 1, err)
        self.assertRegex(err, rf"^mpiexec: rank 1 \(host {re.escape(HOST)}, pid \d+, sh\) ")
        for text in texts:
            self.assertIn(text, err)

    def after_trap(self, trap, code):
        """Shell in which rank 1 exits with the code once the other rank has set its trap for SIGTERM."""
        ready = self.folder / "ready"
        return (f"test $PMI_RANK = 1 && {{ until test -e {ready}; do sleep 0.05; done; exit {code}; }};"
                f"trap {trap} TERM; touch {ready}; while :; do sleep 0.05; done")

    def test_exit_code(self):
        self.die(7, "exit 7", "exited with code 7", "other 2 ranks", "exit code of the job is 7")

    def test_kill_9(self):
        self.die(137, "kill -9 $$", "signal 9 (Killed)", "memory")

    def test_segmentation_fault(self):
        self.die(139, "kill -SEGV $$", "signal 11 (Segmentation fault)")

    def test_a_shell_that_passes_a_signal_on(self):
        self.die(139, "exit 139", "exited with code 139", "signal 11")

    def test_the_first_to_die_is_the_one_that_is_reported(self):
        shell = "test $PMI_RANK = 3 && exit 33; sleep 10; exit 11"
        code, _, err = self.run_mpiexec("-n", 4, "sh", "-c", shell)
        self.assertEqual(code, 33)
        self.assertIn("rank 3", err)

    def test_all_succeed(self):
        self.assertEqual(self.run_mpiexec("-n", 4, "true"), (0, "", ""))

    def test_ranks_that_ignore_sigterm_are_killed(self):
        code, _, err = self.run_mpiexec("-n", 2, "sh", "-c", self.after_trap("''", 5))
        self.assertEqual(code, 5)
        self.assertIn("did not end within", err)

    def test_ranks_can_clean_up_on_sigterm(self):
        code, out, _ = self.run_mpiexec("-n", 2, "sh", "-c", self.after_trap("'echo cleaned up; exit'", 5))
        self.assertEqual((code, out), (5, "cleaned up\n"))

    def test_what_a_wrapper_started_ends_too(self):
        ready = self.folder / "ready"
        shell = (f"test $PMI_RANK = 1 && {{ until test -e {ready}; do sleep 0.05; done; exit 3; }};"
                 f"sleep 60 & touch {ready}; sleep 60; wait")
        self.assertEqual(self.run_mpiexec("-n", 2, "sh", "-c", shell)[0], 3)

    def test_background_processes_end_with_the_job(self):
        code, out, err = self.run_mpiexec("-n", 2, "sh", "-c", "sleep 60 & echo done")
        self.assertEqual((code, out, err), (0, "done\ndone\n", ""))

    def test_abort(self):
        code, _, err = self.run_mpiexec("-n", 3, PMI_PROGRAM, "abort", 6)
        self.assertEqual(code, 6)
        self.assertIn("rank 1", err)
        self.assertIn("MPI_Abort with code 6", err)

    def test_leaving_without_finalize(self):
        code, _, err = self.run_mpiexec("-n", 3, PMI_PROGRAM, "leave")
        self.assertEqual(code, 1)
        self.assertIn("without calling MPI_Finalize", err)

    def test_a_late_exit_code_counts_and_ends_nobody(self):
        started = time.monotonic()
        self.assertEqual(self.run_mpiexec("-n", 3, PMI_PROGRAM, "late", 4), (4, "", ""))
        self.assertLess(time.monotonic() - started, 10)

    def test_all_exit_codes_on_request(self):
        code, out, _ = self.run_mpiexec("-print-all-exitcodes", "-n", 3, PMI_PROGRAM, "late", 4)
        self.assertEqual((code, out), (4, "Exit codes: [0] 0 [1] 4 [2] 0\n"))

    def test_time_limit(self):
        for words, env in ((["-timeout", "0.5"], {}), ([], {"MPIEXEC_TIMEOUT": "0.5"})):
            started = time.monotonic()
            code, _, err = self.run_mpiexec(*words, "-n", 2, "sleep", 60, env=env)
            self.assertEqual(code, 124)
            self.assertIn("time limit of 0.5 s", err)
            self.assertLess(time.monotonic() - started, 10 * SLOWNESS)


class Signals(MpiexecTest):
    """What is sent to mpiexec, and mpiexec's own death."""

    def start_ready(self, shell, size=2, **options):
        """Starts ranks that run `shell` and waits until each has made its file."""
        ready = self.folder / "ready"
        ready.mkdir(exist_ok=True)
        process = self.start("-n", size, "sh", "-c", shell.replace("READY", f"touch {ready}/$PMI_RANK"), **options)
        self.assertTrue(wait_until(lambda: len(list(ready.iterdir())) == size))
        return process

    def end(self, process):
        try:
            out, err = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return process.returncode, out.decode(), err.decode()

    def test_kill_9_of_mpiexec_leaves_nothing(self):
        process = self.start_ready("sleep 60 & READY; exec sleep 60", size=3)
        self.assertGreaterEqual(len(marked_processes(self.marker)), 7)
        process.kill()
        process.communicate(timeout=TIMEOUT)
        self.assertTrue(wait_until(lambda: not marked_processes(self.marker), 5))

    def test_kill_9_of_mpiexec_while_it_starts(self):
        for delay_ms in range(0, 30, 2):
            process = self.start("-n", 8, "sh", "-c", "sleep 60 & sleep 60")
            time.sleep(delay_ms / 1000)
            process.kill()
            process.communicate(timeout=TIMEOUT)
            self.assertTrue(wait_until(lambda: not marked_processes(self.marker), 5), f"after {delay_ms} ms")

    def test_interrupt(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process = self.start_ready("READY; exec sleep 60")
            process.send_signal(number)
            code, _, err = self.end(process)
            self.assertEqual((code, err), (-number, ""))
            shutil.rmtree(self.folder / "ready")

    def test_interrupt_lets_ranks_finish(self):
        process = self.start_ready("trap 'sleep 0.3; echo saved; exit 0' INT; READY; while :; do sleep 0.05; done")
        process.send_signal(signal.SIGINT)
        self.assertEqual(self.end(process), (0, "saved\nsaved\n", ""))

    def test_a_second_interrupt_kills(self):
        process = self.start_ready("trap '' INT TERM; READY; while :; do sleep 0.05; done")
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        self.assertIsNone(process.poll())
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        code, _, _ = self.end(process)
        self.assertEqual(code, 137)
        self.assertLess(time.monotonic() - started, 9 * SLOWNESS)  # The time to end by themselves is 10 s.

    def test_an_interrupt_while_the_job_ends_kills(self):
        process = self.start_ready("trap '' INT TERM; READY; test $PMI_RANK = 1 && { sleep 2; exit 5; };"
                                   "while :; do sleep 0.05; done")
        self.assertIn(b"exited with code 5", process.stderr.readline())
        process.send_signal(signal.SIGINT)
        self.assertEqual(self.end(process), (5, "", ""))  # No word of ranks that outlived their time.

    def test_user_signals_are_passed_on(self):
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            waiter = (f"import signal, os\nwanted = {{{int(number)}}}\n"
                      "signal.pthread_sigmask(signal.SIG_BLOCK, wanted)\nos.system('READY')\n"
                      "signal.sigwait(wanted)\nos.write(1, b'got it\\n')")
            process = self.start_ready(f'exec {sys.executable} -c "{waiter}"')
            process.send_signal(number)
            self.assertEqual(self.end(process), (0, "got it\ngot it\n", ""))
            shutil.rmtree(self.folder / "ready")

    def test_ignored_signals_stay_ignored(self):
        ignore = functools.partial(signal.signal, signal.SIGHUP, signal.SIG_IGN)  # As nohup does.
        process = self.start_ready("READY; sleep 0.5; echo still here", size=1, preexec_fn=ignore)
        process.send_signal(signal.SIGHUP)
        self.assertEqual(self.end(process), (0, "still here\n", ""))

    def state(self, pid):
        return pathlib.Path("/proc", str(pid), "stat").read_text().rsplit(")", 1)[1].split()[0]

    def test_stop_and_continue(self):
        process = self.start_ready("READY; exec sleep 60")
        find = lambda: [pid for pid in marked_processes(self.marker) if command_line(pid) == b"sleep\00060\0"]
        self.assertTrue(wait_until(lambda: len(find()) == 2))
        ranks = find()
        process.send_signal(signal.SIGTSTP)
        self.assertTrue(wait_until(lambda: [self.state(pid) for pid in [process.pid, *ranks]] == ["T"] * 3))
        process.send_signal(signal.SIGCONT)
        self.assertTrue(wait_until(lambda: "T" not in [self.state(pid) for pid in [process.pid, *ranks]]))
        process.terminate()
        self.end(process)

    def test_kill_of_the_whole_process_group(self):
        process = self.start_ready("READY; sleep 60 & exec sleep 60", start_new_session=True)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=TIMEOUT)
        self.assertTrue(wait_until(lambda: not marked_processes(self.marker), 5))


if __name__ == "__main__":
    unittest.main()
