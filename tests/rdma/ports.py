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
                                 self.mpiexec, "-n", str(ranks), self.program, *words],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def serve(self, ranks, count, **env):
        server = self.start("v2", ranks, "serve", self.port_file, str(count), **env)
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

    def expect_refused(self, ranks, *texts, **env):
        """On every rank of a client, with these texts."""
        client = self.start("v1", ranks, "refused", self.port_file, "60", **env)
        output = client.communicate(timeout=130)[0]
        said = re.findall(r"(?m)^rank \d+ MPI_ERR_PORT (.*)$", output)
        self.require(len(said) == ranks, "not every rank was refused", output)
        for text in texts:
            self.require(all(text in line for line in said), f"the error lacks `{text}`", output)


def add(check, require, run, build):
    @check
    def jobs_on_two_hosts_connect():
        for servers, clients, fabric in ((1, 2, {"TERN_FABRIC": "verbs"}), (2, 2, {})):
            jobs = Jobs(require, build)
            server = jobs.serve(servers, 2, **fabric)
            shown = run([f"{build}/bin/tern-info", "port", open(jobs.port_file).read().strip()], 30, **fabric)
            require(re.search(r"reachable +yes", shown), "tern-info does not think so", shown)
            jobs.expect_ok(jobs.start("v1", clients, "connect", jobs.port_file, "2", **fabric), server)

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

    @check
    def spawned_processes():
        output = run([f"{build}/bin/mpiexec", "-n", "2", f"{build}/tests/spawn/bin/spawn_program", "grow", "2", "2"], 90,
                     TERN_FABRIC="verbs")
        require("ok grown" in output, "it did not end well", output)

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
