"""Standard input and output of ranks, through files, pipes and terminals."""

import contextlib
import errno
import os
import pathlib
import pty
import re
import signal
import subprocess
import sys
import termios
import time
import unittest

from harness import MPIEXEC, SLOWNESS, TIMEOUT, MpiexecTest, marked_processes, wait_until


class Streams(MpiexecTest):
    def payload(self, size):
        return os.urandom(size)

    def test_stdin_of_one_rank_is_exact(self):
        data = self.payload(1 << 20)
        path = self.folder / "data"
        path.write_bytes(data)
        for count in (1, 3):
            with path.open("rb") as stream:
                process = self.start("-n", count, "cat", stdin=stream)
                self.assertEqual(process.communicate(timeout=TIMEOUT)[0], data)
            process = self.start("-n", count, "cat", stdin=subprocess.PIPE)
            self.assertEqual(process.communicate(data, timeout=TIMEOUT)[0], data)

    def test_the_known_count(self):
        path = self.folder / "data"
        path.write_bytes(self.payload(1 << 20))
        with path.open("rb") as stream:
            process = self.start("-n", 2, "wc", "-c", stdin=stream)
            out, _ = process.communicate(timeout=TIMEOUT)
        self.assertEqual(sorted(out.split()), [b"0", b"1048576"])

    def test_stdin_of_another_rank_all_or_none(self):
        data = self.payload(300_000)
        for where, expected in ((1, [0, 300000, 0]), ("all", [300000] * 3), ("none", [0, 0, 0])):
            shell = "wc -c > $0/$PMI_RANK"
            process = self.start("--stdin", where, "-n", 3, "sh", "-c", shell, self.folder, stdin=subprocess.PIPE)
            with contextlib.suppress(BrokenPipeError):
                process.communicate(data, timeout=TIMEOUT)
            got = [int((self.folder / str(rank)).read_text()) for rank in range(3)]
            self.assertEqual((process.returncode, got), (0, expected), where)

    def test_stdin_for_all_from_a_file_and_with_a_rank_that_does_not_read(self):
        path = self.folder / "data"
        path.write_bytes(self.payload(500_000))
        shell = "test $PMI_RANK = 1 && exit 0; wc -c"
        with path.open("rb") as stream:
            process = self.start("--stdin", "all", "-n", 3, "sh", "-c", shell, stdin=stream)
            out, _ = process.communicate(timeout=TIMEOUT)
        self.assertEqual((process.returncode, out.split()), (0, [b"500000", b"500000"]))

    def test_input_that_no_rank_reads_stays_for_the_next_command(self):
        loop = f"while read line; do {MPIEXEC} -n 2 true; echo $line; done"
        out = subprocess.run(["sh", "-c", loop], input=b"1\n2\n3\n", env=self.environment(), timeout=TIMEOUT,
                             capture_output=True).stdout
        self.assertEqual(out, b"1\n2\n3\n")

    def test_closed_standard_streams(self):
        shell = f"{MPIEXEC} -n 2 sh -c 'cat; echo out; echo err >&2' <&- >&- 2>&-"
        self.assertEqual(subprocess.run(["sh", "-c", shell], env=self.environment(), timeout=TIMEOUT).returncode, 0)
        shell = f"{MPIEXEC} -n 2 sh -c 'cat; echo out; echo err >&2' <&-"
        process = subprocess.run(["sh", "-c", shell], env=self.environment(), timeout=TIMEOUT, capture_output=True)
        self.assertEqual((process.stdout, process.stderr), (b"out\nout\n", b"err\nerr\n"))

    def test_output_is_exact(self):
        data = self.payload(3 << 20)
        path = self.folder / "data"
        path.write_bytes(data)
        process = self.start("-n", 1, "cat", path)
        self.assertEqual(process.communicate(timeout=TIMEOUT)[0], data)
        process = self.start("-n", 1, "--output-filename", self.folder / "out", "cat", path)
        self.assertEqual(process.communicate(timeout=TIMEOUT)[0], data)
        self.assertEqual((self.folder / "out/1/rank.0/stdout").read_bytes(), data)

    def test_output_arrives_at_once(self):
        for words in ([], ["-l"]):
            process = self.start(*words, "-n", 1, "sh", "-c", "echo first; exec sleep 60")
            self.assertTrue(process.stdout.readline().endswith(b"first\n"))
            self.assertIsNone(process.poll())
            process.terminate()
            process.communicate(timeout=TIMEOUT)

    def test_stderr_and_stdout_stay_apart_or_are_merged(self):
        shell = "echo out; echo err >&2"
        self.assertEqual(self.run_mpiexec("-n", 1, "sh", "-c", shell), (0, "out\n", "err\n"))
        self.assertEqual(self.run_mpiexec("-merge-stderr-to-stdout", "-n", 1, "sh", "-c", shell)[1:],
                         ("out\nerr\n", ""))
        self.assertEqual(self.run_mpiexec("-l", "-n", 1, "sh", "-c", shell)[1:], ("[0] out\n", "[0] err\n"))
        self.assertEqual(self.run_mpiexec("-l", "--output", "merge", "-n", 1, "sh", "-c", shell)[1:],
                         ("[0] out\n[0] err\n", ""))

    def test_labelled_lines_are_whole_and_in_order(self):
        # Each rank writes its lines in pieces that do not end where lines end.
        writer = ("import os\nr = os.environ['PMI_RANK']\n"
                  "text = b''.join(b'%s:%05d:%s\\n' % (r.encode(), i, b'x' * (i % 97)) for i in range(3000))\n"
                  "i = 0\n"
                  "while i < len(text):\n    i += os.write(1, text[i:i + 701])\n")
        code, out, _ = self.run_mpiexec("-l", "-n", 4, sys.executable, "-c", writer)
        self.assertEqual(code, 0)
        lines = out.splitlines()
        self.assertEqual(len(lines), 4 * 3000)
        for rank in range(4):
            own = [line for line in lines if line.startswith(f"[{rank}] ")]
            self.assertEqual(own, [f"[{rank}] {rank}:{i:05d}:{'x' * (i % 97)}" for i in range(3000)])

    def test_a_last_line_without_end_gets_its_label(self):
        _, out, _ = self.run_mpiexec("-l", "-n", 2, "sh", "-c", "sleep $PMI_RANK; printf end")
        self.assertEqual(out, "[0] end\n[1] end")

    def test_labels_of_open_mpi_and_time_stamps(self):
        _, out, err = self.run_mpiexec("--tag-output", "-n", 1, "sh", "-c", "echo a; echo b >&2")
        self.assertEqual((out, err), ("[1,0]<stdout>:a\n", "[1,0]<stderr>:b\n"))
        _, out, _ = self.run_mpiexec("--timestamp-output", "-l", "-n", 1, "echo", "a")
        self.assertRegex(out, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3} \[0\] a\n$")

    def test_files_per_rank(self):
        self.run_mpiexec("--output-filename", f"{self.folder}/o:nocopy", "-n", 11, "sh", "-c", "echo $PMI_RANK")
        self.assertEqual((self.folder / "o/1/rank.07/stdout").read_text(), "7\n")
        self.assertEqual((self.folder / "o/1/rank.07/stderr").read_text(), "")
        code, out, _ = self.run_mpiexec("-outfile-pattern", f"{self.folder}/p.%r.%%", "-n", 2, "sh", "-c", "echo $PMI_RANK")
        self.assertEqual((code, out), (0, ""))
        self.assertEqual((self.folder / "p.1.%").read_text(), "1\n")

    def test_a_reader_that_goes_away_ends_the_job_quietly(self):
        for words in ("", "-l"):
            shell = f"{MPIEXEC} {words} -n 2 sh -c 'while :; do echo x; done' | head -1"
            process = subprocess.run(["sh", "-c", shell], env=self.environment(), timeout=TIMEOUT, capture_output=True)
            self.assertEqual((len(process.stdout.splitlines()), process.stderr), (1, b""), words)

    def test_a_reader_that_stands_still_does_not_fill_memory_or_stop_signals(self):
        process = self.start("-l", "-n", 2, "sh", "-c", "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done")
        time.sleep(1)
        status = pathlib.Path("/proc", str(process.pid), "status").read_text()
        self.assertLess(int(re.search(r"VmRSS:\s+(\d+)", status)[1]), 60_000 * SLOWNESS)
        process.send_signal(signal.SIGTERM)
        self.assertTrue(wait_until(lambda: len(marked_processes(self.marker)) <= 2))
        process.communicate(timeout=TIMEOUT)


class Terminal(MpiexecTest):
    """mpiexec on a terminal of its own, as in a shell window."""

    def on_terminal(self, command, work):
        """Runs the command as the foreground job of a new terminal; work(master, pid) talks to it."""
        pid, master = pty.fork()
        if pid == 0:
            try:
                os.execvpe(command[0], command, self.environment())
            finally:
                os._exit(99)
        try:
            work(master, pid)
            deadline = time.monotonic() + TIMEOUT
            while time.monotonic() < deadline:
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    return os.waitstatus_to_exitcode(status)
                time.sleep(0.01)
            self.fail("mpiexec did not end")
        finally:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            os.close(master)

    def read_until(self, master, text):
        seen = b""
        deadline = time.monotonic() + TIMEOUT
        while text not in seen and time.monotonic() < deadline:
            try:
                seen += os.read(master, 4096)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                break
        self.assertIn(text, seen)
        return seen

    def test_a_terminal_is_a_terminal_to_the_ranks(self):
        shell = "test -t 1 && test -t 2 && echo yes $PMI_RANK"
        work = lambda master, pid: [self.read_until(master, b"yes 1")]
        self.assertEqual(self.on_terminal([MPIEXEC, "-n", "2", "sh", "-c", shell], work), 0)

    def test_typing_reaches_rank_0(self):
        def work(master, pid):
            os.write(master, b"hello\n")
            self.read_until(master, b"got hello")
            os.write(master, b"\x04")
            self.read_until(master, b"end of input")
        shell = "test $PMI_RANK = 0 || exit 0; while read line; do echo got $line; done; echo end of input"
        self.assertEqual(self.on_terminal([MPIEXEC, "-n", "2", "sh", "-c", shell], work), 0)

    def test_ctrl_c(self):
        def work(master, pid):
            self.read_until(master, b"ready 1")
            os.write(master, b"\x03")
        shell = "sleep 0.2; echo ready $PMI_RANK; exec sleep 60"
        self.assertEqual(self.on_terminal([MPIEXEC, "-n", "2", "sh", "-c", shell], work), -signal.SIGINT)

    def test_ctrl_c_twice(self):
        def work(master, pid):
            self.read_until(master, b"ready")
            os.write(master, b"\x03")
            time.sleep(0.2)
            os.write(master, b"\x03")
        shell = "trap '' INT TERM HUP; echo ready; while :; do sleep 0.05; done"
        self.assertEqual(self.on_terminal([MPIEXEC, "-n", "1", "sh", "-c", shell], work), 137)

    def test_a_terminal_that_stops_background_writers_does_not_stop_ranks(self):
        def work(master, pid):
            settings = termios.tcgetattr(master)
            settings[3] |= termios.TOSTOP
            termios.tcsetattr(master, termios.TCSANOW, settings)
            os.write(master, b"go\n")
            self.read_until(master, b"written")
        shell = "read line; echo written"
        self.assertEqual(self.on_terminal([MPIEXEC, "-n", "1", "sh", "-c", shell], work), 0)

    def test_a_closed_window_ends_the_job(self):
        pid, master = pty.fork()
        if pid == 0:
            os.execvpe(MPIEXEC, [MPIEXEC, "-n", "2", "sh", "-c", "sleep 60 & echo ready; sleep 60"], self.environment())
        self.read_until(master, b"ready")
        os.close(master)
        os.waitpid(pid, 0)
        self.assertTrue(wait_until(lambda: not marked_processes(self.marker), 5))


if __name__ == "__main__":
    unittest.main()
