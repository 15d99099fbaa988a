#!/usr/bin/env python3
"""Those who are left when a rank is killed: every one of them must come to an error, and to its end.

  survivors_test.py --program SURVIVORS --seed SEED

The launcher of this test speaks PMI-1 and does nothing when a rank dies: it tells nobody, and a barrier that the dead
rank does not enter never ends. It also says which ranks share a host, so that collectives go in two levels.
"""

import argparse
import concurrent.futures
import os
import random
import signal
import socket
import subprocess
import sys
import threading

SLOWNESS = int(os.environ.get("TERN_TEST_SLOWNESS", "1"))
LIMIT_S = 60 * SLOWNESS
AT_ONCE = 4


class Job:
    """Ranks, and a thread for each that answers what it asks."""

    def __init__(self, size, per_host, command):
        self.size = size
        self.mapping = f"(vector,(0,{-(-size // per_host)},{per_host}))"
        self.lock = threading.Lock()
        self.values = {}
        self.waiting = []
        self.ranks = []
        own = {k: v for k, v in os.environ.items() if not k.startswith(("TERN_COLL", "TERN_JOB_", "PMI_"))}
        for rank in range(size):
            ours, theirs = socket.socketpair()
            environment = {**own, "PMI_FD": str(theirs.fileno()), "PMI_RANK": str(rank), "PMI_SIZE": str(size),
                           "TERN_SPIN_US": "0", "TERN_YIELD_US": "1000"}
            self.ranks.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                               env=environment, pass_fds=[theirs.fileno()]))
            theirs.close()
            threading.Thread(target=self.serve, args=(ours,), daemon=True).start()

    def serve(self, connection):
        with connection, connection.makefile("r") as lines:
            try:
                for line in lines:
                    fields = dict(word.partition("=")[::2] for word in line.split())
                    if fields.get("cmd") == "barrier_in":
                        self.enter_barrier(connection)
                    else:
                        connection.sendall((self.answer(fields) + "\n").encode())
            except OSError:
                pass  # It has ended.

    def answer(self, fields):
        command = fields.get("cmd")
        if command == "put":
            with self.lock:
                self.values[fields["key"]] = fields["value"]
        if command == "get":
            value = self.mapping if fields["key"] == "PMI_process_mapping" else self.values.get(fields["key"])
            return f"cmd=get_result rc=0 value={value}" if value else "cmd=get_result rc=-1 msg=no value=no"
        return {"init": "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0",
                "get_maxes": "cmd=maxes kvsname_max=256 keylen_max=64 vallen_max=1024",
                "get_appnum": "cmd=appnum appnum=0",
                "get_universe_size": f"cmd=universe_size size={self.size}",
                "get_my_kvsname": f"cmd=my_kvsname kvsname=survivors{id(self)}",
                "put": "cmd=put_result rc=0 msg=success",
"abort": "cmd=abort_result rc=0",
                "finalize": "cmd=finalize_ack rc=0"}[command]

    def enter_barrier(self, connection):
        with self.lock:
            self.waiting.append(connection)
            if len(self.waiting) == self.size:
                for each in self.waiting:
                    each.sendall(b"cmd=barrier_out rc=0\n")
                self.waiting = []

    def wait(self):
        """(output, exit code) of every rank; the code is None when it had to be killed."""
        results = []
        for rank in self.ranks:
            try:
                output, _ = rank.communicate(timeout=LIMIT_S)
                results.append((output, rank.returncode))
            except subprocess.TimeoutExpired:
                rank.kill()
                results.append((rank.communicate()[0], None))
        return results


# Kind, ranks, ranks on each host.
CASES = [("killed", 2, 2), ("killed", 4, 4), ("killed", 7, 7), ("killed", 4, 2), ("killed", 6, 2), ("killed", 7, 3),
         ("killed", 18, 18), ("killed", 5, 1), ("differs", 2, 2), ("differs", 4, 4), ("differs", 7, 7),
         ("unmet", 2, 2), ("unmet", 4, 4), ("unmet", 5, 1), ("threads", 2, 2), ("threads", 4, 4)]


# With victim and seed: the loss comes before the communicator has ever gone in two levels.
EARLY = [("killed", 6, 2, 1, 785360155), ("killed", 7, 3, 2, 671631494)]


def run_case(program, kind, size, per_host, victim, seed):
    """What is wrong, as sentences."""
    job = Job(size, per_host, [program, kind, str(victim), str(seed)])
    problems = []
    for rank, (output, code) in enumerate(job.wait()):
        if kind != "differs" and rank == victim:
            if code != -signal.SIGKILL:
                problems.append(f"the victim ended with {code}: {output}")
        elif code is None:
            problems.append(f"rank {rank} still ran after {LIMIT_S} s: {output}")
        elif code != 0 or output != f"{rank} ok\n":
            problems.append(f"rank {rank} ended with {code}: {output}")
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("TERN_TEST_SEED", random.randrange(10**9))))
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    print(f"TERN_TEST_SEED={options.seed}")
    rng = random.Random(options.seed)
    cases = [(*case, rng.randrange(case[1]), rng.randrange(10**9)) for case in CASES * options.rounds]
    cases += EARLY
    failures = 0
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        results = pool.map(lambda case: run_case(options.program, *case), cases)
        for (kind, size, per_host, victim, seed), problems in zip(cases, results):
            what = f"{kind}, {size} ranks, {per_host} per host, rank {victim}, seed {seed}"
            print(f"{'FAILED' if problems else 'ok    '} {what}")
            for problem in problems:
                print("    " + problem)
            failures += bool(problems)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
