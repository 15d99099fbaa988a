"""scale_test.py - bench/scale: a small run is complete and right; the model's arithmetic on known inputs.

No time is compared with anything: this machine may be busy.
"""

import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree
from dataclasses import replace

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCALE = ROOT / "bench" / "scale"
sys.dont_write_bytecode = True
sys.path.insert(0, str(SCALE))
import model  # noqa: E402

PREFIX = pathlib.Path(os.environ.get("TERN_TEST_PREFIX", "build/release"))
SIZES = (2, 16, 17, 100, 1000, 10_000, 100_000, 1_000_000)
COSTS = model.Costs()


def cluster(ranks):
    return model.Place(ranks, min(ranks, 64), 64)


def script(name, *arguments):
    return subprocess.run([sys.executable, str(SCALE / name), *map(str, arguments)], text=True, capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=100)


class RunTest(unittest.TestCase):
    def test_run_measures_and_the_model_reads_it(self):
        with tempfile.TemporaryDirectory() as folder:
            out, picture = pathlib.Path(folder) / "run.json", pathlib.Path(folder) / "scale.svg"
            done = script("run", "--ranks", "2,4", "--repeats", "1", "--rounds", "2", "--hosts", "0", "--prefix", PREFIX,
                          "--folder", folder, "--json", out)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            jobs = json.loads(out.read_text())["jobs"]
            self.assertEqual([(job["ranks"], job["preconnect"]) for job in jobs], [(2, "none"), (4, "none")])
            for job in jobs:
                values = job["median"]
                self.assertGreater(values["start_ms"], 0)
                self.assertGreater(values["memory.init.rss_kib.mean"], 0)
                # Nothing is connected before it is used; each of a ring's pairs has a ring in each direction that it used.
                self.assertEqual(values["memory.init.rings.max"], 0)
                self.assertGreaterEqual(values["memory.ring.rings.mean"], 2)
                self.assertLessEqual(values["memory.alltoall.rings.max"], 2 * (job["ranks"] - 1))
            done = script("model", out, "--svg", picture)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertIn("predicted", done.stdout)
            xml.etree.ElementTree.parse(picture)

    def test_bad_words_are_refused(self):
        for words in (("run", "--ranks", "2,x"), ("run", "--ranks", "0"), ("model", "--set", "luck=1"),
                      ("model", "--set", "network_us=fast"), ("model", "/dev/null")):
            with self.subTest(words=words):
                self.assertEqual(script(*words).returncode, 2)


class ModelTest(unittest.TestCase):
    def test_a_process_never_talked_to_costs_nothing(self):
        memory = {model.stage_kib(COSTS, cluster(ranks), "init") for ranks in SIZES}
        self.assertEqual(len(memory), 1)
        # Two neighbours: beyond that only pages of the table of pointers in which they are.
        ring = [model.stage_kib(COSTS, cluster(ranks), "ring") for ranks in SIZES if ranks > 64]
        self.assertLessEqual(max(ring) - min(ring), 3 * model.PAGE_KIB)

    def test_mpi_init_does_not_depend_on_the_number_of_processes(self):
        self.assertEqual(len({model.init_ms(COSTS, cluster(ranks)) for ranks in SIZES}), 1)
        near = [model.preconnect_ms(COSTS, cluster(ranks), "neighbors:4") for ranks in SIZES if ranks > 64]
        self.assertEqual(len(set(near)), 1)

    def test_more_processes_never_cost_less(self):
        for formula in (model.start_ms, model.contact_us, model.ring_us, model.finalize_ms,
                        lambda c, p: model.preconnect_ms(c, p, "all"), lambda c, p: model.host_map(c, p)[1],
                        lambda c, p: model.stage_kib(c, p, "alltoall")):
            values = [formula(COSTS, cluster(ranks)) for ranks in SIZES[3:]]
            self.assertEqual(values, sorted(values))

    def test_a_barrier_takes_a_round_per_doubling_of_hosts(self):
        costs = replace(COSTS, hop_us=0.0, switch_us=0.0)
        for hosts in (1, 2, 3, 4, 5, 1000, 1024, 1025):
            place = model.Place(64 * hosts, 64, 64)
            self.assertAlmostEqual(model.barrier_us(costs, place), costs.network_us * math.ceil(math.log2(hosts)))

    def test_plans_have_as_many_partners_as_they_say(self):
        self.assertEqual([model.partners("neighbors:4", ranks) for ranks in (1, 2, 8, 9, 10_000)], [0, 1, 7, 8, 8])
        self.assertEqual([model.partners("all", ranks) for ranks in (1, 2, 100)], [0, 1, 99])
        self.assertEqual(model.partners("none", 100), 0)

    def test_memory_of_known_connections(self):
        place = model.Place(100, 100, 2)
        self.assertAlmostEqual(model.memory_kib(COSTS, place, 10, 0) - model.memory_kib(COSTS, place, 0, 0),
                               10 * COSTS.connection_kib)
        expected = COSTS.queue_pair_kib + COSTS.receive_kib + model.PEER_BYTES / 1024
        self.assertAlmostEqual(model.memory_kib(COSTS, place, 0, 1) - model.memory_kib(COSTS, place, 0, 0), expected)

    def test_costs_on_hosts_come_from_the_two_smallest_jobs_there(self):
        def job(ranks, **median):
            median |= {"memory.init.rss_kib.mean": 8000, "memory.ring.rss_kib.max": 8100, "init_ms": 2}
            return {"ranks": ranks, "preconnect": "none", "hosts": 4, "median": median}

        small = job(16, start_ms=100, finalize_ms=1, contact_us=20, contact_first_us=240)
        large = job(64, start_ms=340, finalize_ms=13)
        huge = job(256, start_ms=1e6, finalize_ms=1e6)
        run = {"machine": {"cores": 2}, "jobs": [huge, large, small]}
        self.assertIsNone(model.costs_on_hosts({**run, "jobs": [small]}, COSTS))
        costs = model.costs_on_hosts(run, COSTS)
        # Four processes on the half core of each host, then sixteen: 24 turns more.
        self.assertEqual((costs.process_ms, costs.daemon_ms), (10, 100 - COSTS.launch_ms - 80))
        self.assertEqual((costs.goodbye_us, costs.network_us, costs.base_kib), (1000, 10, 8000))
        for job in (small, large):
            place = model.place_of(job, costs.cores)
            self.assertAlmostEqual(model.start_ms(costs, place), job["median"]["start_ms"])
        self.assertAlmostEqual(model.contact_us(costs, model.place_of(small, 2)), 240)

    def test_costs_come_from_the_small_jobs(self):
        def job(ranks, plan, **median):
            return {"ranks": ranks, "preconnect": plan, "hosts": 1, "median": median}

        init = "memory.init.rss_kib.mean"
        small = job(2, "none", start_ms=10, init_ms=0.5, ring_us=1, finalize_ms=0.1, **{init: 5000})
        large = job(16, "none", start_ms=24, init_ms=3, ring_us=80, finalize_ms=1.6, contact_first_us=150, contact_us=10,
                    **{init: 5000})
        joined = job(16, "all", start_ms=36, **{init: 5450})
        huge = job(256, "none", start_ms=1e6, init_ms=1e6, ring_us=1e6, finalize_ms=1e6, **{init: 1e6})
        costs = model.costs_of({"machine": {"cores": 2}, "jobs": [huge, joined, large, small]})
        self.assertEqual((costs.hop_us, costs.switch_us, costs.init_ms), (0.5, 5, 0.5))
        self.assertEqual((costs.process_ms, costs.launch_ms), (2, 8))
        self.assertEqual((costs.contact_us, costs.connection_kib, costs.pair_us), (140, 30, 200))
        self.assertAlmostEqual(costs.goodbye_us, 100)
        self.assertAlmostEqual(model.start_ms(costs, model.Place(16, 16, 2)), 24)


if __name__ == "__main__":
    unittest.main()
