"""perf_run_test.py - tern-perf as users run it: tables, files, verdicts on data, complaints.

Uses the tree named by TERN_TEST_PREFIX; MPIEXEC, MPICC and TERN_PERF name others, so that the same
test can be run with another MPI.
"""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree

HERE = pathlib.Path(__file__).resolve().parent
BIN = pathlib.Path(os.environ.get("TERN_TEST_PREFIX", "build/release")) / "bin"
MPIEXEC = os.environ.get("MPIEXEC", str(BIN / "mpiexec"))
MPICC = os.environ.get("MPICC", str(BIN / "mpicc"))
TERN_PERF = os.environ.get("TERN_PERF", str(BIN / "tern-perf"))
SANITIZED = "ASAN_OPTIONS" in os.environ

SVG = "{http://www.w3.org/2000/svg}"
QUICK = ("--time", "0.002")
ALL = ("latency bandwidth bibw rate barrier bcast reduce allreduce gather scatter allgather "
       "alltoall").split()


class PerfCase(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)

    def perf(self, ranks, *arguments, status=0, **environment):
        """Runs tern-perf and returns the finished process, whose exit status must be `status`."""
        done = subprocess.run([MPIEXEC, "-n", str(ranks), TERN_PERF, *arguments], text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, timeout=100,
                              env={**os.environ, **environment})
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done

    @staticmethod
    def figures(output):
        """[(size, figure, rest...)] of all tables."""
        return [line.split() for line in output.splitlines() if re.match(r"\d+ +[\d.]+", line)]


class MeasuringTest(PerfCase):
    def test_all_data_is_right_on_any_number_of_ranks(self):
        for ranks in (1, 2, 3, 5):
            with self.subTest(ranks=ranks):
                done = self.perf(ranks, "all", "--check", "-s", "4,64,1K,100K", *QUICK)
                rows = self.figures(done.stdout)
                self.assertEqual(len(rows), 4 * (11 if ranks > 1 else 7))
                self.assertTrue(all(row[-1] == "right" for row in rows), done.stdout)
                self.assertTrue(all(float(row[1]) > 0 for row in rows), done.stdout)

    def test_without_a_name_it_measures_latency_and_bandwidth(self):
        output = self.perf(2, "-s", "8,1K", *QUICK).stdout
        titles = re.findall(r"^# (Latency|Bandwidth|Message rate|Barrier)\b", output, re.M)
        self.assertEqual(titles, ["Latency", "Bandwidth"])
        self.assertEqual([row[0] for row in self.figures(output)], ["8", "1024"] * 2)

    def test_full_adds_columns_in_order_of_size(self):
        output = self.perf(2, "latency", "-s", "8", "--full", "--time", "0.05").stdout
        _, median, smallest, p99, iterations = map(float, self.figures(output)[0])
        self.assertLessEqual(smallest, median)
        self.assertLessEqual(median, p99)
        self.assertGreaterEqual(iterations, 5)

    def test_it_says_where_it_ran(self):
        output = self.perf(2, "barrier", *QUICK).stdout
        self.assertRegex(output, r"# tern-perf [\d.]+ on \S")
        self.assertRegex(output, rf"# {re.escape(os.uname().nodename)}: 2 ranks, \d+ cores?; ranks?")

    def test_more_ranks_than_cores_are_told(self):
        cores = len(os.sched_getaffinity(0))
        self.assertIn("oversubscribed", self.perf(cores + 1, "barrier", *QUICK).stdout)
        if cores > 1:
            self.assertIn("not oversubscribed", self.perf(2, "barrier", *QUICK).stdout)

    def test_sizes_that_do_not_fit_are_told(self):
        output = self.perf(2, "allreduce", "-s", "6,8", *QUICK).stdout
        self.assertIn("left out 6: no multiple of 4 bytes", output)
        output = self.perf(2, "latency", "-s", "8,1M", "-m", "64K", *QUICK).stdout
        self.assertIn("left out 1M: more than 64K of buffers", output)

    def test_progress_stays_away_unless_wanted(self):
        self.assertNotIn("\r", self.perf(2, "latency", "-s", "8", *QUICK).stderr)
        self.assertIn("latency 8",
                      self.perf(2, "latency", "-s", "8", "--progress", *QUICK).stderr)


class FilesTest(PerfCase):
    def test_json_lines_hold_environment_and_results(self):
        path = self.folder / "out.jsonl"
        self.perf(2, *ALL, "-s", "8,64", "--check", "--json", str(path), *QUICK)
        records = [json.loads(line) for line in path.read_text().splitlines()]
        self.assertEqual(records[0]["record"], "environment")
        self.assertEqual(records[0]["ranks"], 2)
        results = [record for record in records if record["record"] == "result"]
        self.assertEqual([record["test"] for record in results],
                         [name for name in ALL for _ in range(1 if name == "barrier" else 2)])
        for record in results:
            self.assertGreater(record["median"], 0)
            lower = record["unit"] == "us"
            self.assertTrue(record["best"] <= record["median"] <= record["bad"] if lower else
                            record["best"] >= record["median"] >= record["bad"], record)

    def test_the_plot_is_a_picture_of_the_figures(self):
        path = self.folder / "plot.svg"
        self.perf(2, "latency", "bandwidth", "-s", "8:64", "--plot", str(path), *QUICK)
        picture = xml.etree.ElementTree.parse(path).getroot()
        self.assertEqual(len(picture.findall(f"{SVG}polyline")), 2)
        self.assertEqual(len(picture.findall(f"{SVG}circle")), 8)

    def test_a_full_disk_is_told(self):
        done = self.perf(2, "latency", "-s", "8", "--plot", "/dev/full", *QUICK, status=1)
        self.assertIn("'/dev/full' is incomplete", done.stderr)


class ComplaintTest(PerfCase):
    def complaint(self, *arguments, ranks=2):
        """The one line that tern-perf, rather than its launcher, says."""
        lines = [line for line in self.perf(ranks, *arguments, status=2).stderr.splitlines()
                 if "tern-perf: " in line]
        self.assertEqual(len(lines), 1, lines)
        return lines[0]

    def test_every_wrong_argument_is_named_once(self):
        for arguments, words in (
            (("frob",), "no test or option 'frob'"),
            (("--frob",), "no test or option '--frob'"),
            (("--sizes", "4Q"), "'4Q' is no message size"),
            (("--sizes", "8:4"), "runs backwards"),
            (("--sizes", "3G"), "more than one message may carry"),
            (("--sizes",), "--sizes"),
            (("--time", "0"), "--time"),
            (("--time", "soon"), "--time"),
            (("--window", "0"), "--window"),
            (("--memory", "0"), "--memory"),
            (("--json", "/nonexistent/x"), "cannot write '/nonexistent/x'"),
            (("--plot", "/nonexistent/x"), "cannot write '/nonexistent/x'"),
        ):
            with self.subTest(arguments=arguments):
                self.assertIn(words, self.complaint(*arguments))

    def test_a_pair_needs_two_ranks(self):
        self.assertIn("latency needs two ranks", self.complaint("latency", ranks=1))

    def test_help_and_version_come_once(self):
        self.assertEqual(self.perf(2, "--help").stdout.count("Usage:"), 1)
        self.assertRegex(self.perf(2, "--version").stdout, r"\Atern-perf [\d.]+\n\Z")


@unittest.skipIf(SANITIZED, "a sanitizer's runtime must be the first library")
class BrokenMpiTest(PerfCase):
    def test_wrong_data_is_noticed(self):
        library = self.folder / "broken_mpi.so"
        subprocess.run([MPICC, "-shared", "-fPIC", "-o", str(library), str(HERE / "broken_mpi.c")],
                       check=True)
        for test in ("latency", "bcast", "allreduce", "alltoall"):
            with self.subTest(test=test):
                done = self.perf(2, test, "-s", "64", "--check", *QUICK, status=1,
                                 LD_PRELOAD=str(library))
                self.assertRegex(done.stdout, r"\d WRONG")


if __name__ == "__main__":
    unittest.main()
