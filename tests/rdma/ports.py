"""Checks of run.py about jobs that meet: two mpiexecs on two hosts, and spawned processes, over verbs.

add(check, require, run, build) registers them; the arguments are run.py's.
"""
import os
import re
import subprocess
import time


class Jobs:
    """mpiexecs on the two hosts; what they share is the folder /out."""

    def __init__(self, require, build):
        self.require = require
        self.program = f"{build}/tests/spawn/bin/port_program"
        self.mpiexec = f"{build}/bin/mpiexec"
        self.port_file = f"/out/port.{time.monotonic_ns()}"

    def start(self, host, ranks, *words, **env):
        settings = [f"{name}={value}" for name, value in env.items()]
        return subprocess.Popen([*(["on", host] if host != "v1" else []), "timeout", "120", "env", *settings,
                                 self.mpiexec, "-n", str(ranks), self.program, *map(str, words)],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def serve(self, ranks, count, **env):
        return self.await_port(self.start("v2", ranks, "serve", self.port_file, count, **env))

    def await_port(self, server):
        end = time.monotonic() + 60
        while not os.path.exists(self.port_file) and server.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
        if not os.path.exists(self.port_file):
            server.kill()
            self.require(False, "no port was opened", server.communicate()[0])
        return server

    def expect_ok(self, *processes):
        for process in processes:
            output = process.communicate(timeout=130)[0]
            self.require(process.returncode == 0 and "ok" in output, f"exit status {process.returncode}", output)

    def expect_refused(self, ranks, *texts, timeout="60", **env):
        """On every rank of a client, with these texts."""
        client = self.start("v1", ranks, "refused", self.port_file, timeout, **env)
        output = client.communicate(timeout=130)[0]
        said = re.findall(r"(?m)^rank \d+ MPI_ERR_PORT (.*)$", output)
        self.require(len(said) == ranks, "not every rank was refused", output)
        for text in texts:
            self.require(all(text in line for line in said), f"the error lacks `{text}`", output)


def add(check, require, run, build):
    @check
    def jobs_on_two_hosts_connect():
        verbs = {"TERN_FABRIC": "verbs"}
        jobs = Jobs(require, build)
        server = jobs.serve(1, 2, **verbs)
        shown = run([f"{build}/bin/tern-info", "port", open(jobs.port_file).read().strip()], 30, **verbs)
        require(re.search(r"reachable +yes", shown), "tern-info does not think so", shown)
        jobs.expect_ok(jobs.start("v1", 2, "connect", jobs.port_file, 2, **verbs), server)
        # Without being asked for verbs; several at once that do not block, and one that does, from either host.
        jobs = Jobs(require, build)
        server = jobs.await_port(jobs.start("v2", 2, "iserve", jobs.port_file, 4))
        jobs.expect_ok(jobs.start("v1", 2, "iconnect", jobs.port_file, 3), jobs.start("v2", 1, "connect", jobs.port_file, 1),
                       server)

    @check
    def names_are_found_from_another_host():
        """On a file system (9p) that shows no host what others have locked; and are gone when they are withdrawn."""
        names = {"TERN_NAME_DIR": f"/out/names.{time.monotonic_ns()}", "TERN_FABRIC": "verbs"}
        jobs = Jobs(require, build)
        client = jobs.start("v1", 1, "lookup", "far away", 60, **names)
        jobs.expect_ok(client, jobs.start("v2", 1, "publish", "far away", **names))
        output = jobs.start("v1", 1, "lookup", "far away", "-", **names).communicate(timeout=130)[0]
        require("MPI_ERR_NAME" in output, "the name is still there", output)

    @check
    def ports_whose_server_fails_them():
        """One that does not accept, and one that is killed: nobody answers for it any more."""
        verbs = {"TERN_FABRIC": "verbs"}
        jobs = Jobs(require, build)
        pid_file = f"{jobs.port_file}.pid"
        server = jobs.await_port(subprocess.Popen(
            ["on", "v2", "env", *(f"{name}={value}" for name, value in verbs.items()), "bash", "-c",
             f"echo $$ >{pid_file}; exec {jobs.program} busy {jobs.port_file} 600"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        jobs.expect_refused(2, "has not accepted", timeout="0.5", **verbs)
        run(["on", "v2", "kill", "-9", open(pid_file).read().strip()], 20)
        server.wait(30)
        jobs.expect_refused(2, "v2", TERN_PEER_TIMEOUT="2", **verbs)

    @check
    def clients_that_die_leave_the_server_accepting():
        """Killed before they make contact, while they do, and afterwards."""
        verbs = {"TERN_FABRIC": "verbs", "TERN_PEER_TIMEOUT": "5"}
        jobs = Jobs(require, build)
        server = jobs.await_port(jobs.start("v2", 1, "patient", jobs.port_file, **verbs))
        for moment in 0.2, 0.4, 0.8:
            client = subprocess.Popen([jobs.program, "visit", jobs.port_file, "0"], env=dict(os.environ, **verbs))
            time.sleep(moment)
            client.kill()
            client.wait()
        jobs.expect_ok(jobs.start("v1", 1, "visit", jobs.port_file, 1, **verbs), server)

    @check
    def one_job_ends_the_other():
        """An error under MPI_ERRORS_ARE_FATAL; and one under MPI_ERRORS_ABORT, which the other job survives."""
        verbs = {"TERN_FABRIC": "verbs"}
        for how, lives in (("fatal", False), ("errors abort", True)):
            jobs = Jobs(require, build)
            other = jobs.await_port(jobs.start("v2", 1, "survive", jobs.port_file, "accept", "recv", **verbs))
            victim = jobs.start("v1", 1, "survive", jobs.port_file, "connect", how, **verbs)
            output = victim.communicate(timeout=130)[0]
            require(victim.returncode not in (0, 124), f"exit status {victim.returncode} of `{how}`", output)
            output = other.communicate(timeout=130)[0]
            require(other.returncode != 124 and (other.returncode == 0) == lives and ("ok survived" in output) == lives and
                    ("MPI_ERR_PROC_ABORTED" in output) == lives, f"exit status {other.returncode} beside `{how}`", output)

    @check
    def a_network_that_does_not_answer_is_no_network():
        """Two fabrics can have equal names and be apart: that shows when the server does not answer."""
        jobs = Jobs(require, build)
        server = jobs.serve(2, 1, TERN_FABRIC="verbs")
        jobs.expect_refused(2, "verbs", "shm", "TERN_FABRIC", TERN_FABRIC="shm")
        run(["on", "v2", "tc", "qdisc", "add", "dev", "eth0", "root", "netem", "loss", "100%"], 20)
        try:
            jobs.expect_refused(2, "v2", "cannot be reached", TERN_FABRIC="verbs", TERN_PEER_TIMEOUT="4")
        finally:
            run(["on", "v2", "tc", "qdisc", "del", "dev", "eth0", "root"], 20)
        jobs.expect_ok(jobs.start("v1", 1, "connect", jobs.port_file, "1", TERN_FABRIC="verbs"), server)

    def spawn(*words, ranks=1):
        output = run([f"{build}/bin/mpiexec", "-n", str(ranks), f"{build}/tests/spawn/bin/spawn_program", *words], 90,
                     TERN_FABRIC="verbs")
        require(re.search("(?m)^ok ", output), f"{words[0]} did not end well", output)
        return output

    @check
    def spawned_processes():
        """Twice; several programs; some that cannot be started, and then one; several calls at once."""
        spawn("grow", "2", "2", ranks=2)
        spawn("several")
        output = spawn("fail")
        require(output.count("rank 0 MPI_ERR_SPAWN") == 3, "not each failure is an error", output)
        spawn("ispawn", "2")

    @check
    def a_crash_in_a_connected_job_is_an_error():
        """Without a message on its way: a peer that is silent is asked."""
        done = subprocess.run(["timeout", "60", f"{build}/bin/mpiexec", "-n", "1", f"{build}/tests/spawn/bin/spawn_program",
                               "crash"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env=dict(os.environ, TERN_FABRIC="verbs", TERN_PEER_TIMEOUT="5"))
        for text in ("MPI_ERR_PROC_ABORTED", "ok parent lives"):
            require(text in done.stdout, f"the output lacks `{text}`", done.stdout)

    @check
    def queue_pairs_come_back():
        """What spawned processes took is free again: their parent's queue pairs do not grow in number."""
        parent = subprocess.Popen([f"{build}/tests/spawn/bin/spawn_program", "cycle", "15"], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, env=dict(os.environ, TERN_FABRIC="verbs"))
        most = 0
        while parent.poll() is None:
            shown = subprocess.run(["rdma", "resource", "show", "qp"], stdout=subprocess.PIPE, text=True).stdout
            most = max(most, len([line for line in shown.splitlines() if f"pid {parent.pid} " in line]))
            time.sleep(0.2)
        output = parent.communicate()[0]
        require(parent.returncode == 0 and "ok cycled" in output, f"exit status {parent.returncode}", output)
        require(1 <= most <= 8, f"the parent had {most} queue pairs", output)
