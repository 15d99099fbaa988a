"""Starts the ranks of one job on several hosts of scripts/rdma-vm: a PMI-1 server over TCP.

Job(hosts, program...) starts rank r on hosts[r % len(hosts)]; wait() returns the output and the exit statuses.
A rank that dies does not end the others: that is what the fault tests look at. One thread per rank.
"""
import os
import socket
import subprocess
import threading
import time

GET_FAILED = "cmd=get_result rc=-1 msg=key_not_found value=unknown"


class Job:
    def __init__(self, hosts, size, command, env=None):
        self.size = size
        self.values = {}
        self.lock = threading.Condition()
        self.waiting = 0
        self.rounds = 0
        self.name = f"kvs_{os.getpid()}_{time.monotonic_ns()}"
        self.server = socket.create_server(("", 0))
        self.port = self.server.getsockname()[1]
        # Ranks of a host are consecutive, as launchers place them.
        self.per_host = -(-size // len(hosts))
        self.hosts = [hosts[rank // self.per_host] for rank in range(size)]
        threading.Thread(target=self.accept, daemon=True).start()
        own_host = socket.gethostname()
        self.processes = []
        for rank in range(size):
            local = self.hosts[rank] == own_host
            words = ["env", f"PMI_PORT={own_host}:{self.port}", f"PMI_ID={rank}"]
            words += [f"{key}={value}" for key, value in (env or {}).items()]
            words += ["bash", "-c", f"echo $$ >/out/pid.{self.port}.{rank}; exec \"$@\"", "rank", *command]
            self.processes.append(subprocess.Popen(([] if local else ["on", self.hosts[rank]]) + words,
                                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        self.output = [""] * size
        self.readers = [threading.Thread(target=self.read, args=(rank,), daemon=True) for rank in range(size)]
        for reader in self.readers:
            reader.start()

    def read(self, rank):
        for line in self.processes[rank].stdout:
            self.output[rank] += line

    def signal(self, rank, name):
        """Sends a signal to a rank, wherever it runs."""
        with open(f"/out/pid.{self.port}.{rank}") as pid:
            command = ["kill", "-" + name, pid.read().strip()]
        local = self.hosts[rank] == socket.gethostname()
        subprocess.run(([] if local else ["on", self.hosts[rank]]) + command, check=True)

    def wait_for(self, text, timeout_s, rank=None):
        """Until a rank, or the one given, has printed the text."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if any(text in output for output in (self.output if rank is None else self.output[rank:rank + 1])):
                return True
            time.sleep(0.05)
        return False

    def wait(self, timeout_s):
        """(output of all ranks, exit statuses); a rank that does not end in time is killed: status None."""
        end = time.monotonic() + timeout_s
        statuses = []
        for rank, process in enumerate(self.processes):
            try:
                statuses.append(process.wait(max(0.1, end - time.monotonic())))
            except subprocess.TimeoutExpired:
                statuses.append(None)
                try:
                    self.signal(rank, "KILL")
                except (OSError, subprocess.CalledProcessError):
                    pass
        for reader in self.readers:
            reader.join(5)
        self.server.close()
        return "".join(self.output), statuses

    def accept(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, connection.makefile("rw") as stream:
            def say(text):
                stream.write(text + "\n")
                stream.flush()

            try:
                for line in stream:
                    fields = dict(word.partition("=")[::2] for word in line.split())
                    self.answer(fields, say)
            except OSError:
                pass

    def answer(self, fields, say):
        command = fields.get("cmd")
        if command == "initack":
            say("cmd=initack rc=0")
            for fact in (f"size={self.size}", f"rank={fields['pmiid']}", "debug=0"):
                say("cmd=set " + fact)
        elif command == "init":
            say("cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0")
        elif command == "get_maxes":
            say("cmd=maxes kvsname_max=256 keylen_max=64 vallen_max=1024")
        elif command == "get_appnum":
            say("cmd=appnum appnum=0")
        elif command == "get_universe_size":
            say(f"cmd=universe_size size={self.size}")
        elif command == "get_my_kvsname":
            say(f"cmd=my_kvsname kvsname={self.name}")
        elif command == "put":
            with self.lock:
                self.values[fields["key"]] = fields["value"]
            say("cmd=put_result rc=0 msg=success")
        elif command == "get":
            with self.lock:
                value = self.values.get(fields["key"])
            if fields["key"] == "PMI_process_mapping":
                value = f"(vector,(0,{len(set(self.hosts))},{self.per_host}))"
            say(f"cmd=get_result rc=0 msg=success value={value}" if value else GET_FAILED)
        elif command == "barrier_in":
            self.barrier()
            say("cmd=barrier_out rc=0")
        elif command == "finalize":
            say("cmd=finalize_ack rc=0")
        elif command == "abort":
            for rank in range(self.size):
                self.signal(rank, "TERM")

    def barrier(self):
        with self.lock:
            mine = self.rounds
            self.waiting += 1
            if self.waiting == self.size:
                self.waiting = 0
                self.rounds += 1
                self.lock.notify_all()
            while self.rounds == mine:
                self.lock.wait()
