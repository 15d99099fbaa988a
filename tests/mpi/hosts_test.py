#!/usr/bin/env python3
"""Collectives on several hosts, which MPICH's Hydra makes up on this machine: it starts one proxy per name and tells
the ranks who is on which host, as it does on a cluster.

  hosts_test.py --program HOSTS --programs FOLDER
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

HYDRA = "/usr/bin/mpiexec.hydra"  # Not by name alone: that may be Tern's own.
SLOWNESS = int(os.environ.get("TERN_TEST_SLOWNESS", "1"))
LIMIT_S = 60 * SLOWNESS
OPTIONS = argparse.Namespace()

# Names of the hosts, ranks in a row on each, ranks: host by host, evenly and not, and in turns.
PLACEMENTS = (("a,b", 2, 4), ("a,b,c", 2, 5), ("a,b", 1, 5), ("a,b,c", 1, 7), ("a,b,c,d", 2, 7))


# The ranks of each host believe that they have all cores.
SHARED_CORES = {"TERN_SPIN_US": "0", "TERN_YIELD_US": "1000"}


def run(hosts, per_host, ranks, program, *arguments, **environment):
    """(exit code, output) under Hydra."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("TERN_COLL", "TERN_JOB_", "PMI_"))}
    job = subprocess.run([HYDRA, "-launcher", "fork", "-hosts", hosts, "-ppn", str(per_host), "-n", str(ranks),
                          str(program), *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, errors="replace", timeout=LIMIT_S,
                         env={**own, **SHARED_CORES, **environment})
    return job.returncode, job.stdout


def hosts_of_ranks(hosts, per_host, ranks):
    names = hosts.split(",")
    return [names[rank // per_host % len(names)] for rank in range(ranks)]


class HostsTest(unittest.TestCase):
    def pairs(self, placement, root, **environment):
        """Pairs of ranks on different hosts that have exchanged messages."""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "pairs")
            code, output = run(*placement, OPTIONS.program, root, TERN_CONNECTIONS_OUT=str(path), **environment)
            self.assertEqual(code, 0, output)
            lines = [line.split() for line in path.read_text().splitlines() if not line.startswith("#")]
        hosts = hosts_of_ranks(*placement)
        found = {(int(line[0]), int(line[1])) for line in lines[1:]}
        return {(a, b) for a, b in found if hosts[a] != hosts[b]}

    def test_only_leaders_speak_between_hosts(self):
        for placement in PLACEMENTS:
            hosts = hosts_of_ranks(*placement)
            leaders = {hosts.index(host) for host in hosts}
            for root in (0, len(hosts) - 1):
                found = self.pairs(placement, root)
                self.assertTrue(found)
                # The root leads its own host.
                allowed = leaders | {root}
                self.assertEqual({rank for pair in found for rank in pair} - allowed, set(), (placement, root))

    def test_other_algorithms_can_be_asked_for(self):
        names = ("BARRIER", "BCAST", "GATHER", "SCATTER", "ALLGATHER", "ALLTOALL", "REDUCE", "ALLREDUCE")
        algorithms = {f"TERN_COLL_{name}": "flat" for name in names}
        self.assertEqual(self.pairs(("a,b", 2, 4), 0, **algorithms), {(0, 2), (0, 3), (1, 2), (1, 3)})

    def test_results_are_those_of_one_host(self):
        few = SLOWNESS > 1  # Under a sanitizer all of them would take minutes.
        for placement in PLACEMENTS[1:3] if few else PLACEMENTS[1:4]:
            programs = ("coll_data", "coll_reduce", "coll_forms", "coll_userop", "coll_sequences")
            for program in programs[:3] if few else programs:
                code, output = run(*placement, pathlib.Path(OPTIONS.programs, f"mpi_{program}"))
                self.assertEqual(code, 0, f"{placement} {program}\n{output}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True)
    parser.add_argument("--programs", required=True, help="folder of the other MPI test programs")
    OPTIONS, rest = parser.parse_known_args()
    if not os.path.exists(HYDRA):
        print("skipped: MPICH's mpiexec.hydra is not installed")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], *rest])
