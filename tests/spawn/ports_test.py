"""Ports: independent jobs meet, and whatever can go wrong is an error, at once, on every rank."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import unittest

import harness

PROGRAMS = pathlib.Path(os.environ["TERN_TEST_PROGRAMS"])
PROGRAM = str(PROGRAMS / "port_program")
PREFIX = pathlib.Path(os.environ["TERN_TEST_PREFIX"])
# What these tests run over.
FABRIC = os.environ.get("TERN_FABRIC", "shm").split(",")[0]
EXAMPLES = pathlib.Path(os.environ["TERN_TEST_EXAMPLES"]) / "ports"


def checksum(text):
    """The last field of a port name."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value % 2**32:08x}"


class JobsTest(harness.MpiexecTest):
    """Starts jobs, with and without mpiexec, and reads what they say."""

    def setUp(self):
        super().setUp()
        self.port_file = self.folder / "port"

    def job(self, ranks, *words, env=None):
        return self.start("-n", ranks, PROGRAM, *words, env=env, text=True)

    def alone(self, *words, env=None, **options):
        process = subprocess.Popen(
            [PROGRAM, *map(str, words)], env=self.environment(**(env or {})), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        self.addCleanup(self.forget, process)
        return process

    def wait_for_port(self, server, path=None):
        path = path or self.port_file
        harness.wait_until(lambda: path.exists() or server.poll() is not None, 30)
        self.assertTrue(path.exists(), "no port was opened")
        return path.read_text().strip()

    def output_of(self, process, code=0):
        out, err = process.communicate(timeout=harness.TIMEOUT)
        self.assertEqual(process.returncode, code, out + err)
        return out

    def expect_ok(self, *processes):
        for process in processes:
            self.assertIn("ok", self.output_of(process))

    def refused(self, ranks=2, timeout="20"):
        """What each rank of a client says that cannot connect."""
        out = self.output_of(self.job(ranks, "refused", self.port_file, timeout))
        said = dict(re.findall(r"rank (\d+) (.*)", out))
        self.assertEqual(len(said), ranks, out)
        for text in said.values():
            self.assertTrue(text.startswith("MPI_ERR_PORT"), out)
        return said["0"]

    def change_port(self, **fields):
        """Rewrites fields of the port name and its checksum."""
        parts = self.port_file.read_text().strip().split(":")
        order = ("magic", "format", "wire", "os", "fabrics", "host", "process", "port", "secret")
        for name, change in fields.items():
            parts[order.index(name)] = change(parts[order.index(name)])
        text = ":".join(parts[:-1]) + ":"
        self.port_file.write_text(text + checksum(text) + "\n")


class Meeting(JobsTest):
    def test_the_sample_works_as_its_readme_says(self):
        # A sanitized library wants programs to be so, too.
        sanitizers = os.environ.get("TERN_TEST_SANITIZE")
        flags = [f"-fsanitize={sanitizers}"] if sanitizers else []
        for name in ("server", "client"):
            subprocess.run([PREFIX / "bin" / "mpicxx", *flags, EXAMPLES / f"{name}.cpp", "-o", name], cwd=self.folder,
                           check=True, env=self.environment())
        server = self.start("-n", "1", "./server", cwd=self.folder, text=True)
        self.wait_for_port(server, self.folder / "server.port")
        client = self.start("-n", "1", "./client", cwd=self.folder, text=True)
        self.assertEqual(self.output_of(client), "client: sent 41, received 42\n")
        self.assertEqual(self.output_of(server).splitlines()[-1], "server: received 41")

    def test_groups_of_any_size(self):
        for servers, clients in ((1, 3), (3, 2)):
            server = self.job(servers, "serve", self.port_file, 2)
            self.wait_for_port(server)
            self.expect_ok(self.job(clients, "connect", self.port_file, 2), server)
            self.port_file.unlink()

    def test_programs_without_mpiexec(self):
        server = self.alone("serve", self.port_file, 1)
        self.wait_for_port(server)
        self.expect_ok(self.alone("connect", self.port_file, 1), server)

    def test_fifty_clients_at_once_and_threads_that_accept(self):
        threads, each = 5, 10
        server = self.alone("threads", self.port_file, threads, each)
        self.wait_for_port(server)
        clients = [self.alone("connect", self.port_file, 1) for _ in range(threads * each)]
        self.expect_ok(*clients, server)

    def test_one_client_after_another_leaves_nothing(self):
        rounds = 200
        server = self.alone("serve", self.port_file, rounds + 100)
        self.wait_for_port(server)
        self.expect_ok(self.alone("connect", self.port_file, 100))
        status = lambda: (
            len(os.listdir(f"/proc/{server.pid}/fd")),
            int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{server.pid}/status").read_text())[1]))
        files, resident = status()
        for _ in range(20):
            self.expect_ok(self.alone("connect", self.port_file, rounds // 20))
            if _ == 18:
                files_now, resident_now = status()
        self.expect_ok(server)
        self.assertLessEqual(files_now, files + 4)
        if harness.SLOWNESS == 1:
            self.assertLess(resident_now, resident + 1500, "KiB")

    def test_nobody_blocks(self):
        # Posted ahead; a blocking client in one go with non-blocking ones; n servers x m clients.
        server = self.job(2, "iserve", self.port_file, 4)
        self.wait_for_port(server)
        self.expect_ok(self.job(2, "iconnect", self.port_file, 3), self.job(1, "connect", self.port_file, 1), server)

    def test_join(self):
        here, there = socket.socketpair()
        with here, there:
            one = self.alone("join", here.fileno(), pass_fds=[here.fileno()])
            other = self.alone("join", there.fileno(), pass_fds=[there.fileno()])
            self.expect_ok(one, other)


class Refusals(JobsTest):
    def test_wrong_calls(self):
        said = self.output_of(self.job(1, "wrong"))
        for what, error in (("late", "MPI_ERR_PORT"), ("value", "MPI_ERR_INFO_VALUE"),
                            ("closed", "MPI_ERR_PORT"), ("twice", "MPI_ERR_PORT"),
                            ("itself", "MPI_ERR_PORT"), ("garbage", "MPI_ERR_PORT")):
            self.assertRegex(said, rf"(?m)^{what} {error}")

    def test_info_keys_without_effect_are_mentioned_once(self):
        for verbose in "0", "1":
            _, said = self.alone("wrong", env={"TERN_VERBOSE": verbose}).communicate(timeout=harness.TIMEOUT)
            for key in "`ip_port`", "`no_such_key`":
                self.assertEqual(said.count(key), int(verbose), said)

    def told_to_all(self, verb, expected):
        """Every rank is told of every failure, in the same words."""
        out = self.output_of(self.job(3, verb))
        for what, error in expected:
            said = re.findall(rf"(?m)^rank \d {what} {error} (.*?)(?: \(on rank .*)?$", out)
            self.assertEqual(len(said), 3, f"{what}: {out}")
            self.assertEqual(len(set(said)), 1, said)

    def test_what_only_the_root_can_see_is_told_to_all(self):
        self.told_to_all("root", (
            ("accept null", "MPI_ERR_ARG"), ("connect null", "MPI_ERR_ARG"), ("connect info", "MPI_ERR_INFO"),
            ("connect value", "MPI_ERR_INFO_VALUE"), ("spawn null", "MPI_ERR_ARG"),
            ("spawn count", "MPI_ERR_ARG"), ("spawn none", "MPI_ERR_ARG"), ("spawn info", "MPI_ERR_INFO"), ("multiple none", "MPI_ERR_ARG"),
            ("multiple null", "MPI_ERR_ARG"), ("multiple second", "MPI_ERR_ARG"),
            ("multiple info", "MPI_ERR_INFO")))

    def test_calls_that_do_not_block_fail_on_every_rank(self):
        self.told_to_all("ifail", (
            ("late", "MPI_ERR_PORT"), ("closed", "MPI_ERR_PORT"), ("garbage", "MPI_ERR_PORT"),
            ("null", "MPI_ERR_ARG"), ("root", "MPI_ERR_ROOT")))

    def test_what_does_not_match(self):
        server = self.job(1, "serve", self.port_file, 1)
        original = self.wait_for_port(server)
        cases = (
            ({"wire": lambda v: str(int(v) + 1)}, ("wire version", "same release")),
            ({"os": lambda v: "Plan9"}, ("Plan9", "Linux")),
            ({"fabrics": lambda v: "verbs=12=34"}, ("verbs", FABRIC, "TERN_FABRIC")),
            ({"fabrics": lambda v: re.sub("=.*?=", "=0123456789abcdef=", v)}, ("0123456789abcdef", "network")),
            ({"secret": lambda v: v[:-1] + ("0" if v[-1] != "0" else "1")}, ("secret",)),
            ({"port": lambda v: "77"}, ("closed",)),
            ({"magic": lambda v: "port"}, ("not made by Tern",)),
        )
        for fields, words in cases:
            self.port_file.write_text(original + "\n")
            self.change_port(**fields)
            said = self.refused()
            for word in words:
                self.assertIn(word, said)
        self.port_file.write_text(original[:-5] + "\n")
        self.assertIn("damaged", self.refused())
        self.port_file.write_text(original + "\n")
        self.expect_ok(self.job(2, "connect", self.port_file, 1), server)

    def test_a_server_that_is_gone(self):
        server = self.alone("busy", self.port_file, 60)
        self.wait_for_port(server)
        server.kill()
        server.wait()
        self.assertIn("host", self.refused())

    def test_a_server_that_dies_while_a_client_waits(self):
        server = self.alone("busy", self.port_file, 60)
        self.wait_for_port(server)
        client = self.job(2, "refused", self.port_file, "100")
        time.sleep(0.3)
        server.kill()
        out = self.output_of(client)
        self.assertEqual(len(re.findall(r"rank \d+ MPI_ERR_PORT", out)), 2, out)

    def test_a_server_that_does_not_accept(self):
        server = self.alone("busy", self.port_file, 60)
        self.wait_for_port(server)
        self.assertIn("has not accepted", self.refused(timeout="0.3"))
        server.kill()

    def test_a_closed_port(self):
        other = self.folder / "open"
        server = self.job(1, "closed", other, self.port_file)
        self.wait_for_port(server, other)
        self.assertIn("closed", self.refused())
        self.expect_ok(self.job(1, "connect", other, 1), server)

    @unittest.skipIf(FABRIC == "ucx", "UCX 1.13 with assertions ends a process whose peer dies while they connect")
    def test_clients_that_die_leave_the_server_accepting(self):
        server = self.alone("patient", self.port_file)
        self.wait_for_port(server)
        # Each one at another moment of its life, from before it makes contact to while it comes again and again.
        for moment in range(20):
            client = self.alone("visit", self.port_file, 0)
            time.sleep(0.003 * moment)
            client.kill()
            client.wait()
        self.expect_ok(self.alone("visit", self.port_file, 1), server)


class Losses(JobsTest):
    def lose(self, how, ranks=2):
        victim = self.alone("survive", self.port_file, "accept", "hang")
        self.wait_for_port(victim)
        survivor = self.job(ranks, "survive", self.port_file, "connect", how)
        self.assertEqual(survivor.stdout.readline(), "connected\n")
        time.sleep(0.05)
        victim.send_signal(signal.SIGKILL)
        out = self.output_of(survivor)
        self.assertEqual(len(re.findall(r"rank \d+ MPI_ERR_PROC_ABORTED", out)), ranks, out)
        self.assertEqual(out.count("ok survived"), ranks, out)
        self.port_file.unlink()

    def test_a_peer_that_is_killed_is_an_error(self):
        for how in ("recv", "any", "probe", "send", "ssend"):
            with self.subTest(how):
                self.lose(how)


class Ends(JobsTest):
    """One job ends because of an error or by MPI_Abort; the other one waits for it, and would survive an error."""

    def other(self, how):
        survivor = self.job(2, "survive", self.port_file, "accept", "recv")
        self.wait_for_port(survivor)
        self.assertNotEqual(self.job(2, "survive", self.port_file, "connect", how).wait(harness.TIMEOUT), 0)
        out, err = survivor.communicate(timeout=harness.TIMEOUT)
        self.port_file.unlink()
        return survivor.returncode, out, err

    def test_fatal_errors_end_all_that_are_connected(self):
        for how in ("fatal", "errors abort both", "abort both"):
            with self.subTest(how):
                code, out, err = self.other(how)
                self.assertNotEqual(code, 0, out + err)
                self.assertNotIn("survived", out)
                self.assertIn("a connected process has ended all that are connected", err)
                self.assertIn("MPI_Abort" if how == "abort both" else "MPI_ERR_RANK", err)

    def test_others_concern_the_own_job_only(self):
        for how in ("errors abort", "abort"):
            with self.subTest(how):
                code, out, err = self.other(how)
                self.assertEqual(code, 0, out + err)
                self.assertEqual(out.count("ok survived"), 2, out)
                self.assertEqual(len(re.findall(r"rank \d MPI_ERR_PROC_ABORTED", out)), 2, out)


class Tool(JobsTest):
    def test_tern_info_says_whether_this_host_could_connect(self):
        info = lambda: subprocess.run([PREFIX / "bin" / "tern-info", "port", self.port_file.read_text().strip()],
                                      capture_output=True, text=True, env=self.environment())
        server = self.alone("busy", self.port_file, 60)
        self.wait_for_port(server)
        shown = info()
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn(FABRIC, shown.stdout)
        self.assertRegex(shown.stdout, r"reachable +yes")
        self.change_port(os=lambda _: "Plan9")
        self.assertRegex(info().stdout, r"reachable +no.*Plan9")
        self.port_file.write_text("rubbish\n")
        self.assertRegex(info().stdout, r"reachable +no")
        server.kill()


if __name__ == "__main__":
    unittest.main()
