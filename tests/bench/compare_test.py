"""compare_test.py - bench/compare's judgement: ratios, targets, worst steps, discarded runs, failures.

Runs no MPI: launchers are shell scripts written for the purpose.
"""

import json
import pathlib
import sys
import tempfile
import time
import unittest
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "bench" / "compare"))

import analysis  # noqa: E402
import chart  # noqa: E402
import page  # noqa: E402
import probe  # noqa: E402
import report  # noqa: E402
import session as session_module  # noqa: E402
import suite  # noqa: E402
from mpis import Mpi  # noqa: E402
from suite import Measurement, Metric, RunFailed  # noqa: E402

LATENCY = Metric("latency", 2, 8)
RATE = Metric("rate", 2, 8)


def sampled(**values):
    """{name: [value per round]} of one metric as the samples of a session."""
    return {name: dict(enumerate(taken)) for name, taken in values.items()}


def one_row(metric, **values):
    samples = {name: {metric: taken} for name, taken in sampled(**values).items()}
    return next(row for row in analysis.rows(samples) if row.metric == metric)


def ends(process):
    """Whether it does, within time for a busy machine: a killed process is not gone at once."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if (process / "stat").read_text().split()[2] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


class RatioTest(unittest.TestCase):
    def test_a_time_is_compared_with_the_smallest_median(self):
        row = one_row(LATENCY, tern=[2, 9, 2], mpich=[4, 4, 4], ompi=[5, 5, 1])
        self.assertEqual((row.best_peer, row.ratio), ("mpich", 0.5))

    def test_a_rate_is_compared_with_the_largest_median(self):
        row = one_row(RATE, tern=[30], mpich=[10], ompi=[20])
        self.assertEqual((row.best_peer, row.ratio), ("ompi", 1.5))

    def test_the_spread_is_that_of_single_rounds(self):
        row = one_row(LATENCY, tern=[1, 2, 3], mpich=[2, 2, 2])
        self.assertEqual((row.ratio_low, row.ratio_high), (0.5, 1.5))

    def test_a_round_that_one_of_them_lacks_is_not_in_the_spread(self):
        samples = {"tern": {LATENCY: {0: 1.0, 1: 9.0}}, "mpich": {LATENCY: {0: 2.0}}}
        row = analysis.rows(samples)[0]
        self.assertEqual((row.ratio_low, row.ratio_high), (0.5, 0.5))

    def test_without_tern_there_is_no_ratio(self):
        row = one_row(LATENCY, mpich=[4], ompi=[5])
        self.assertEqual((row.best_peer, row.ratio, row.verdict), ("mpich", None, "not measured"))


class TargetTest(unittest.TestCase):
    def test_a_ratio_that_must_be_small(self):
        self.assertEqual(one_row(LATENCY, tern=[0.9], mpich=[1]).verdict, "pass")
        self.assertEqual(one_row(LATENCY, tern=[0.91], mpich=[1]).verdict, "falls short")

    def test_a_ratio_that_must_be_large(self):
        self.assertEqual(one_row(RATE, tern=[1.3], mpich=[1]).verdict, "pass")
        self.assertEqual(one_row(RATE, tern=[1.29], mpich=[1]).verdict, "falls short")

    def test_an_absolute_limit_needs_no_peer(self):
        self.assertEqual(one_row(Metric("rss", 2, 0), tern=[7.9]).verdict, "pass")
        self.assertEqual(one_row(Metric("rss", 2, 0), tern=[8.1]).verdict, "falls short")

    def test_what_has_no_target_gets_no_verdict(self):
        self.assertEqual(one_row(Metric("latency", 2, 64), tern=[9], mpich=[1]).verdict, "")

    def test_the_summary_counts_and_names(self):
        rows = [one_row(LATENCY, tern=[2], mpich=[1]), one_row(RATE, tern=[2], mpich=[1])]
        self.assertEqual(report.summary(rows),
                         "1 of 2 targets reached; falls short: latency 8 B (2 ranks)")


class WorstStepTest(unittest.TestCase):
    def test_it_is_the_largest_of_the_medians_over_rounds(self):
        samples = {"tern": {Metric("step", 2, 64): {0: 1.0, 1: 1.0, 2: 1.0},
                            Metric("step", 2, 65): {0: 1.6, 1: 1.7, 2: 90.0},
                            Metric("step", 2, 4096): {0: 2.0, 1: 2.0, 2: 2.0},
                            Metric("step", 2, 4097): {0: 2.2, 1: 50.0, 2: 2.2}}}
        self.assertEqual(analysis.worst_steps(samples), {"tern": 64})
        row = next(row for row in analysis.rows(samples) if row.metric.test == "worst_step")
        self.assertEqual((row.medians["tern"], row.verdict), (1.7, "falls short"))


class ProbeTest(unittest.TestCase):
    def test_a_steady_distance_tells_where_a_run_was(self):
        self.assertEqual(probe.place(100.0, 110.0), probe.CORES)
        self.assertEqual(probe.place(12.0, 26.0), probe.SIBLINGS)

    def test_a_move_between_hyper_threads_and_cores_spoils_a_run(self):
        self.assertIsNone(probe.place(12.0, 105.0))
        self.assertIsNone(probe.place(105.0, 12.0))

    def test_a_changed_distance_spoils_a_run(self):
        self.assertIsNone(probe.place(50.0, 105.0))

    def test_without_a_second_core_nothing_is_judged(self):
        self.assertEqual(probe.place(None, None), probe.CORES)


class LauncherCase(unittest.TestCase):
    """With a folder for launchers that are shell scripts."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)

    def mpi(self, name, script):
        launcher = self.folder / name
        launcher.write_text("#!/bin/sh\n" + script)
        launcher.chmod(0o755)
        return Mpi(name, name.upper(), "cc", str(launcher), bind=("--bind",), float=("--float",))

    def measurement(self, **changes):
        fields = {"group": "p2p", "title": "latency", "ranks": 2, "bound": True, "program": "p2p"}
        return Measurement(**{**fields, **changes})


class RunTest(LauncherCase):
    def run_script(self, script, **changes):
        return self.measurement(**changes).run(self.mpi("fake", script), {"p2p": "/bin/true"})

    def test_lines_become_metrics(self):
        values = self.run_script("echo cpus 0 1; echo latency 8 0.5; echo rate 8 1e6; echo hello")
        self.assertEqual(values, {LATENCY: 0.5, RATE: 1e6})

    def test_the_launcher_gets_placement_ranks_program_and_arguments(self):
        values = self.run_script('[ "$*" = "--bind -n 2 /bin/true 0.1 x:1" ] && echo latency 8 1',
                                 arguments=(0.1, "x:1"))
        self.assertEqual(values, {LATENCY: 1.0})
        self.run_script('[ "$1" = --float ] && echo latency 8 1', bound=False)

    def test_a_failing_program_is_told_with_its_words(self):
        with self.assertRaisesRegex(RunFailed, "exit status 3: no such fabric"):
            self.run_script("echo no such fabric >&2; exit 3")

    def test_silence_is_a_failure(self):
        with self.assertRaisesRegex(RunFailed, "no results"):
            self.run_script("exit 0")

    def test_bound_ranks_on_one_processor_are_a_failure(self):
        with self.assertRaisesRegex(RunFailed, "both ranks ran on CPU 1"):
            self.run_script("echo cpus 1 1; echo latency 8 0.5")

    def test_a_hanging_launcher_is_ended_with_its_children(self):
        mark = self.folder / "child"
        with self.assertRaisesRegex(RunFailed, "did not end"):
            self.run_script(f"trap '' TERM; sleep 600 & echo $! > {mark}; wait", timeout=1)
        self.assertTrue(ends(pathlib.Path("/proc", mark.read_text().strip())))

    def test_launches_are_timed(self):
        values = self.run_script("sleep 0.05", launches=3)
        self.assertGreaterEqual(values[Metric("startup", 2, 0)], 50)


class SessionTest(LauncherCase):
    def session(self, mpis, distances, rounds=2):
        """A session whose probe reads `distances` in turn and then stays at 100 ns."""
        self.enterContext(_quiet())
        session = session_module.Session(mpis, {mpi.name: {"p2p": "/bin/true"} for mpi in mpis},
                                         [self.measurement()], rounds, self.folder / "out")
        readings = iter(distances)
        session.probe.nanoseconds = lambda: next(readings, 100.0)
        session.run()
        return session

    def test_the_mpis_take_turns(self):
        log = self.folder / "log"
        mpis = [self.mpi(name, f"echo {name} >> {log}; echo latency 8 1") for name in "ab"]
        self.session(mpis, [])
        self.assertEqual(log.read_text().split(), ["a", "b", "b", "a"])

    def test_a_spoilt_run_is_repeated_and_told(self):
        session = self.session([self.mpi("a", "echo latency 8 1")], [100, 12], rounds=1)
        self.assertEqual(session.samples["a"][LATENCY], {0: 1.0})
        self.assertEqual(len(session.discarded), 1)
        self.assertIn("1 run discarded", " ".join(session.warnings()))

    def test_a_machine_that_keeps_moving_gives_no_sample(self):
        session = self.session([self.mpi("a", "echo latency 8 1")], [12, 100] * 3, rounds=1)
        self.assertEqual(session.samples["a"], {})
        self.assertEqual(len(session.discarded), session_module.ATTEMPTS)

    def test_figures_of_the_rarer_place_are_left_out(self):
        script = f"echo >> {self.folder}/runs; echo latency 8 $(wc -l < {self.folder}/runs)"
        session = self.session([self.mpi("a", script)], [100, 100] + [12] * 4, rounds=3)
        self.assertEqual(session.samples["a"][LATENCY], {1: 2.0, 2: 3.0})
        self.assertIn("left out: 1 taken elsewhere", " ".join(session.warnings()))
        self.assertIn("hyper-threads", " ".join(session.warnings()))

    def test_who_fails_is_left_out_and_the_others_go_on(self):
        mpis = [self.mpi("a", "exit 1"), self.mpi("b", "echo latency 8 1")]
        session = self.session(mpis, [])
        self.assertEqual(list(session.failures), [("a", "latency")])
        self.assertEqual(session.samples["b"][LATENCY], {0: 1.0, 1: 1.0})

    def test_the_results_can_be_read_back(self):
        script = "echo latency 8 1; echo latency 64 2; echo 'rate 8 3e6'"
        session = self.session([self.mpi("tern", script), self.mpi("mpich", script)], [])
        rows = analysis.rows(session.samples)
        data = json.loads(report.as_json(session, rows))
        self.assertEqual(data["samples"]["tern"]["latency/2/8"], [1.0, 1.0])
        self.assertEqual({row["verdict"] for row in data["rows"]}, {"falls short", ""})
        table = report.text_table(rows, ["tern", "mpich"])
        self.assertRegex(table, r"8 B +1\.00 +1\.00 +1\.00x +<= 0\.9x +falls short")
        html = page.render(session, rows)
        self.assertEqual(html.count("<polyline"), 2)
        self.assertNotIn("http", html)  # self-contained


class ChartTest(unittest.TestCase):
    def test_a_chart_is_well_formed_and_has_every_point(self):
        svg = chart.lines([chart.Series("a<b", 0, [(8, 0.3), (1024, 2.0)]),
                           chart.Series("c", 1, [(8, 0.4)])], "us", "latency & more")
        tree = xml.etree.ElementTree.fromstring(svg)
        self.assertEqual(len(tree.findall("circle")), 3)

    def test_bars_of_unlike_values_say_that_they_are_logarithmic(self):
        svg = chart.bars([("8 ranks", [("a", 0, 1.0), ("b", 1, 30000.0)])], "us", "barrier")
        self.assertIn("(logarithmic)", svg)
        self.assertEqual(len(xml.etree.ElementTree.fromstring(svg).findall("rect")), 2)

    def test_no_data_no_chart(self):
        self.assertEqual(chart.lines([], "us", "x"), "")
        self.assertEqual(chart.bars([("2 ranks", [])], "us", "x"), "")


class SuiteTest(unittest.TestCase):
    def test_every_group_measures_something_and_every_metric_has_a_group(self):
        found = {measurement.group for measurement in suite.measurements(False, suite.GROUPS)}
        self.assertEqual(found, set(suite.GROUPS))
        for test in suite.TESTS:
            self.assertIn(suite.group_of(Metric(test, 2, 8)), suite.GROUPS)


class _quiet:
    """Keeps a session's remarks out of the test's output."""

    def __enter__(self):
        self.before, sys.stderr = sys.stderr, open("/dev/null", "w")

    def __exit__(self, *_):
        sys.stderr.close()
        sys.stderr = self.before


if __name__ == "__main__":
    unittest.main()
