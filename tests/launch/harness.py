"""What the tests of mpiexec share: running it, and making sure that nothing is left behind.

Needs TERN_TEST_PREFIX (where bin/mpiexec is) and TERN_TEST_PMI_PROGRAM (pmi_program.cc, built). Every process
of a test carries a marker in its environment, by which it is found again.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

MPIEXEC = str(pathlib.Path(os.environ["TERN_TEST_PREFIX"]) / "bin" / "mpiexec")
PMI_PROGRAM = os.environ["TERN_TEST_PMI_PROGRAM"]
SLOWNESS = int(os.environ.get("TERN_TEST_SLOWNESS", "1"))
TIMEOUT = 30 * SLOWNESS
MARKER = "MPIEXEC_TEST_MARKER"
HOST = socket.gethostname()


def marked_processes(marker):
    """Pids of the live processes that have the marker in their environment."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            environment = pathlib.Path("/proc", entry, "environ").read_bytes()
            state = pathlib.Path("/proc", entry, "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if f"{MARKER}={marker}".encode() in environment.split(b"\0") and state != "Z":
            found.append(int(entry))
    return found


def wait_until(condition, seconds=10):
    """Whether the condition became true in time."""
    deadline = time.monotonic() + seconds * SLOWNESS
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


def command_line(pid):
    """The words of a process's command line, each ended by a zero byte."""
    with contextlib.suppress(OSError):
        return pathlib.Path("/proc", str(pid), "cmdline").read_bytes()
    return b""


class MpiexecTest(unittest.TestCase):
    """Runs mpiexec; after each test nothing may be left running."""

    def setUp(self):
        self.marker = f"{os.getpid()}.{self.id()}.{time.monotonic_ns()}"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tern_launch_"))
        self.addCleanup(shutil.rmtree, self.folder)

    def tearDown(self):
        left = marked_processes(self.marker)
        gone = wait_until(lambda: not marked_processes(self.marker), 5)
        for pid in marked_processes(self.marker):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.assertTrue(gone, f"left running: {left}")

    def environment(self, **more):
        drop = ("PMI", "OMPI_", "MV2_", "TERN_JOB_", "SLURM_", "MPIEXEC_")
        own = {k: v for k, v in os.environ.items() if not k.startswith(drop)}
        return {**own, MARKER: self.marker, **more}

    def start(self, *words, env=None, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        command = [MPIEXEC, *map(str, words)]
        process = subprocess.Popen(command, env=self.environment(**(env or {})), **options)
        self.addCleanup(self.forget, process)
        return process

    @staticmethod
    def forget(process):
        """After a test that failed half way."""
        process.kill()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()
        process.wait()

    def run_mpiexec(self, *words, stdin=None, env=None, **options):
        """(exit code, stdout, stderr) as text."""
        if stdin is not None:
            options["stdin"] = subprocess.PIPE
        process = self.start(*words, env=env, **options)
        try:
            out, err = process.communicate(stdin, timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        decode = lambda data: (data or b"").decode(errors="replace")
        return process.returncode, decode(out), decode(err)

    def expect_one_line(self, code, *words, contains=(), **options):
        """mpiexec refuses with this exit code and one line on stderr that contains the given words."""
        got, out, err = self.run_mpiexec(*words, **options)
        self.assertEqual((got, out), (code, ""), err)
        self.assertEqual(err.count("\n"), 1, err)
        self.assertTrue(err.startswith("mpiexec: "), err)
        for text in contains:
            self.assertIn(text, err)

    def script(self, text, name="script", mode=0o755):
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)
        return path
