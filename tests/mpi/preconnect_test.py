#!/usr/bin/env python3
"""Connecting in advance, and what is reported of connections, seen from the outside: preconnect.cc says how much
shared memory each rank has mapped.

  preconnect_test.py --mpiexec MPIEXEC --program PRECONNECT
"""

import argparse
import collections
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

SLOWNESS = int(os.environ.get("TERN_TEST_SLOWNESS", "1"))
LIMIT_S = 60 * SLOWNESS
MANY_RANKS = SLOWNESS == 1  # Under a sanitizer they would take minutes.
OWN_SEGMENTS = 1  # The inbox.
SEGMENTS_PER_PEER = 3
OPTIONS = argparse.Namespace()


def run(*words, cwd=None, **environment):
    """(exit code, stdout, stderr) of mpiexec."""
    drop = ("TERN_PRECONNECT", "TERN_VERBOSE", "TERN_REPORT", "TERN_CONNECTIONS", "TERN_JOB_", "PMI_")
    own = {k: v for k, v in os.environ.items() if not k.startswith(drop)}
    job = subprocess.run([OPTIONS.mpiexec, *map(str, words)], capture_output=True, text=True, errors="replace",
                         stdin=subprocess.DEVNULL, timeout=LIMIT_S, env={**own, **environment}, cwd=cwd)
    return job.returncode, job.stdout, job.stderr


def steps(output):
    """{step: {rank: number of peers that are connected}}."""
    found = collections.defaultdict(dict)
    for line in output.splitlines():
        words = line.split()
        if len(words) == 3 and words[0].isdigit():
            mapped = int(words[2]) - OWN_SEGMENTS
            found[words[1]][int(words[0])] = mapped / SEGMENTS_PER_PEER
    return found


class PreconnectTest(unittest.TestCase):
    def steps_of(self, ranks, program_step, *options, **more):
        code, out, err = run(*options, "-n", ranks, OPTIONS.program, program_step, **more)
        self.assertEqual((code, err), (0, ""), out + err)
        return steps(out)

    def expect_partners(self, ranks, plan, expected, *options, **more):
        """expected: by rank, with how many others it is connected after MPI_Init."""
        found = self.steps_of(ranks, "init", *options, **more)
        self.assertEqual(found["init"], dict(enumerate(expected)), plan)

    def test_plans_connect_whom_they_say(self):
        ring = lambda ranks, k: [min(2 * k, ranks - 1)] * ranks
        for ranks in (1, 2, 5):
            for plan, expected in (("none", [0] * ranks), ("all", [ranks - 1] * ranks),
                                   ("neighbors:1", ring(ranks, 1)), ("neighbors:9", ring(ranks, 9)),
                                   ("nodes", [ranks - 1] + [min(1, ranks - 1)] * (ranks - 1))):
                self.expect_partners(ranks, plan, expected, TERN_PRECONNECT=plan)
        self.expect_partners(4, "option", [3] * 4, "--preconnect", "all")

    def test_communicators_are_connected_without_messages(self):
        for ranks in (1, 2, 5):
            found = self.steps_of(ranks, "segments")
            everybody = {rank: ranks - 1 for rank in range(ranks)}
            self.assertEqual(found["across"], everybody)
            self.assertEqual(found["end"], everybody)

    def test_pairs_of_a_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "pairs")
            path.write_text("tern-pairs 1 8\n0 3\n3 1 17 4000\n1 0 # twice\n0 1\n6 7\n")
            self.expect_partners(4, "file", [2, 2, 0, 2], "--preconnect", f"file:{path}")
            # The ranks run in another directory than mpiexec.
            self.expect_partners(4, "file", [2, 2, 0, 2], "--preconnect", "file:pairs", "-wdir", "/", cwd=folder)

    def test_says_on_request_what_it_cost(self):
        code, _, err = run("-n", 3, OPTIONS.program, "ring", TERN_PRECONNECT="all", TERN_VERBOSE="1")
        self.assertEqual(code, 0, err)
        lines = [line for line in err.splitlines() if "TERN_PRECONNECT=all" in line]
        self.assertEqual(len(lines), 1, err)
        self.assertRegex(lines[0], r"connected with 2 processes in [0-9.]+ ms; it sent [1-9]\d* bytes .* [1-9]\d* bytes")

    def test_what_cannot_be_followed_is_a_warning(self):
        for plan, text in (("everybody", "allowed: none, all"), ("file:/not/there", "/not/there cannot be read")):
            code, _, err = run("-n", 2, OPTIONS.program, "ring", TERN_PRECONNECT=plan)
            self.assertEqual(code, 0, err)
            self.assertIn(text, err)
        code, _, err = run("--preconnect", "everybody", "-n", 2, OPTIONS.program)
        self.assertEqual(code, 2)
        self.assertIn("allowed: none, all", err)

    def test_a_partner_that_takes_no_part_is_not_waited_for_for_ever(self):
        code, _, err = run("-n", 1, "-env", "TERN_PRECONNECT", "none", OPTIONS.program, "ring", ":",
                           "-n", 2, "-env", "TERN_PRECONNECT", "all", OPTIONS.program, "ring", TERN_PEER_TIMEOUT="1")
        self.assertEqual(code, 0, err)
        # With rank 0, and perhaps with one that a busy machine has started too late. Rank 2 may hear of rank 0
        # just in time: who has waited for a message for a second says a word to its sender.
        self.assertRegex(err, "rank 1 could not connect with rank [0-2]")
        self.assertLessEqual(err.count("\n"), 2, err)
        for line in err.splitlines():
            self.assertRegex(line, "rank [12] could not connect with rank [0-2]")

    def test_an_absent_process_is_an_error_of_the_function(self):
        code, out, err = run("-n", 3, OPTIONS.program, "absent", TERN_PEER_TIMEOUT="1")
        self.assertEqual((code, err), (0, ""), out + err)


class ReportTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def expect_report(self, err, *texts):
        self.assertEqual(err.count("tern: report:"), 1, err)
        self.assertEqual([line for line in err.splitlines() if not line.startswith("tern: ")], [], err)
        for text in texts:
            self.assertIn(text, err)

    def test_once_per_job_and_for_each_pair(self):
        for eager_max in ("0", "20000", "100"):  # The report itself travels at any limit.
            code, _, err = run("-n", 4, OPTIONS.program, "ring", TERN_REPORT="1", TERN_EAGER_MAX=eager_max,
                               TERN_FABRIC="shm")
            self.assertEqual(code, 0, err)
            self.expect_report(err, "4 ranks on 1 host, TERN_FABRIC=shm\n", "ranks 1 and 2 over shm: 1 message and 0, 20 kB",
                               "ranks 0 and 3 over shm: 0 messages and 1, 0 bytes and 20 kB",
                               "(verbs: TERN_FABRIC does not list it")
            self.assertNotIn("ranks 0 and 2 ", err)
        code, _, err = run("-n", 1, OPTIONS.program, "ring", TERN_REPORT="1")
        self.assertEqual(code, 0, err)
        self.expect_report(err, "1 rank on 1 host", "rank 0 with itself: 1 message, 20 kB")
        code, _, err = run("-n", 2, OPTIONS.program, "ring", TERN_REPORT="1")
        self.assertEqual(code, 0, err)
        self.expect_report(err, "(verbs: not opened, as the job is on one host; listed before shm it would be")
        if not MANY_RANKS:
            return
        code, _, err = run("-n", 12, OPTIONS.program, "segments", TERN_REPORT="1", TERN_FABRIC="shm,verbs")
        self.assertEqual(code, 0, err)
        self.expect_report(err, "12 ranks on 1 host, TERN_FABRIC=shm,verbs\n", "(verbs: ")
        self.assertRegex(err, r"with itself: [1-6]\d pairs over shm, \d+ messages, [0-9.]+ MB")

    def test_says_what_was_connected_in_advance(self):
        code, _, err = run("-n", 3, "--preconnect", "all", OPTIONS.program, "init", TERN_REPORT="1")
        self.assertEqual(code, 0, err)
        self.expect_report(err, "connected in advance (all): 3 pairs", "connection ends opened in")
        self.assertNotIn("message", err.split("shm: eager")[0])

    def test_ranks_that_are_asked_and_ranks_that_are_not(self):
        on, off = ("-env", "TERN_REPORT", "1"), ()
        for first, rest in ((on, off), (off, on)):
            code, out, err = run("-n", 1, *first, OPTIONS.program, "ring", ":", "-n", 3, *rest, OPTIONS.program, "ring")
            self.assertEqual(code, 0, err)
            if first:
                self.expect_report(err, "3 of them have said nothing")
            else:
                self.assertEqual((out, err), ("", ""))

    def test_writes_the_pairs_that_talked_for_the_next_run(self):
        path = self.folder / "pairs"
        code, _, err = run("-n", 5, OPTIONS.program, "ring", TERN_CONNECTIONS_OUT=str(path))
        self.assertEqual((code, err), (0, ""))
        lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
        self.assertEqual(lines, ["tern-pairs 1 5", "0 1 1 20000", "0 4 1 20000", "1 2 1 20000", "2 3 1 20000",
                                 "3 4 1 20000"])
        self.assertEqual(os.listdir(self.folder), ["pairs"])
        code, out, err = run("-n", 5, OPTIONS.program, "init", TERN_PRECONNECT=f"file:{path}")
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(steps(out)["init"], {rank: 2 for rank in range(5)})

    def draw(self, ranks, step):
        path = self.folder / f"{ranks}.svg"
        code, _, err = run("-n", ranks, "--report-connections", path, OPTIONS.program, step)
        self.assertEqual((code, err), (0, ""))
        root = xml.etree.ElementTree.parse(path).getroot()
        self.assertEqual(root.tag, "{http://www.w3.org/2000/svg}svg")
        return root, [title.text for title in root.iter("{http://www.w3.org/2000/svg}title")]

    def test_draws_who_talked_to_whom(self):
        for ranks in (2, 5):
            _, titles = self.draw(ranks, "ring")
            expected = [f"rank {r} to rank {(r + 1) % ranks} over shm: 1 message, 20 kB" for r in range(ranks)]
            self.assertEqual([title.split(" (")[0] for title in sorted(titles)], expected)
        if not MANY_RANKS:
            return
        root, titles = self.draw(70, "ring")
        self.assertEqual(titles, [])
        squares = "".join(path.get("d") for path in root.iter("{http://www.w3.org/2000/svg}path"))
        places = re.findall(r"M(\d+) (\d+)h1v1h-1z", squares)
        self.assertEqual(sorted((int(y), int(x)) for x, y in places), [(r, (r + 1) % 70) for r in range(70)])

    def test_nothing_to_draw(self):
        path = self.folder / "none.svg"
        code, _, err = run("-n", 2, "--report-connections", path, "true")
        self.assertEqual(code, 0, err)
        self.assertIn("nothing to draw", err)
        self.assertFalse(path.exists())
        code, _, err = run("-n", 2, "--report-connections", path, "./not.there")
        self.assertEqual(code, 127, err)
        self.assertFalse(path.exists())
        code, _, err = run("-n", 2, "--report-connections", self.folder / "not" / "there.svg", OPTIONS.program, "ring")
        self.assertEqual(code, 2, err)
        self.assertIn("there.svg cannot be written", err)

    def test_a_file_that_cannot_be_written_is_a_warning(self):
        code, _, err = run("-n", 2, OPTIONS.program, "ring", TERN_CONNECTIONS_OUT=str(self.folder / "not" / "there"))
        self.assertEqual(code, 0, err)
        self.assertIn("not/there cannot be written", err)
        self.assertEqual(os.listdir(self.folder), [])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mpiexec", required=True)
    parser.add_argument("--program", required=True)
    _, rest = parser.parse_known_args(namespace=OPTIONS)
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
