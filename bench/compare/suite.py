"""What is measured: metrics, and the program runs that yield them.

A Measurement is one launch of one program; its output lines are "TEST SIZE VALUE". Nothing here
knows which MPI it runs with.
"""

import os
import signal
import subprocess
import time
from dataclasses import dataclass

KB, MB = 1024, 1024 * 1024

# Test -> (unit, whether lower is better, words for people).
TESTS = {
    "latency": ("us", True, "latency"),
    "bandwidth": ("MB/s", False, "bandwidth"),
    "bibw": ("MB/s", False, "bidirectional bandwidth"),
    "rate": ("1/s", False, "message rate"),
    "one_thread": ("1/s", False, "message rate of one thread"),
    "two_threads": ("1/s", False, "message rate of two threads, a communicator each"),
    "thread_gain": ("x", False, "two threads against one"),
    "step": ("us", True, "latency around protocol switches"),
    "worst_step": ("x", True, "worst step between sizes one byte apart"),
    "barrier": ("us", True, "barrier"),
    "bcast": ("us", True, "broadcast"),
    "reduce": ("us", True, "reduce"),
    "allreduce": ("us", True, "allreduce"),
    "gather": ("us", True, "gather"),
    "scatter": ("us", True, "scatter"),
    "allgather": ("us", True, "allgather"),
    "alltoall": ("us", True, "all-to-all"),
    "gatherv": ("us", True, "gatherv"),
    "scatterv": ("us", True, "scatterv"),
    "allgatherv": ("us", True, "allgatherv"),
    "alltoallv": ("us", True, "all-to-allv"),
    "alltoallw": ("us", True, "all-to-allw"),
    "reduce_scatter": ("us", True, "reduce-scatter"),
    "scan": ("us", True, "scan"),
    "exscan": ("us", True, "exscan"),
    "startup": ("ms", True, "init + finalize, wall time"),
    "rss": ("MB", True, "resident memory per rank after init"),
    "descriptors": ("", True, "open descriptors per rank after init"),
    "idle_recv": ("core", True, "processor use while waiting in a receive"),
    "idle_barrier": ("core", True, "processor use while waiting in a barrier"),
}


def size_text(size):
    for letter, unit in (("M", MB), ("K", KB)):
        if size >= unit and size % unit == 0:
            return f"{size // unit} {letter}B"
    return f"{size} B"


@dataclass(frozen=True, order=True)
class Metric:
    test: str
    ranks: int
    size: int

    @property
    def key(self):
        return f"{self.test}/{self.ranks}/{self.size}"

    @property
    def unit(self):
        return TESTS[self.test][0]

    @property
    def lower_is_better(self):
        return TESTS[self.test][1]

    @property
    def has_size(self):
        return self.size > 0

    @property
    def label(self):
        words = TESTS[self.test][2]
        return f"{words} {size_text(self.size)}" if self.has_size else words


class RunFailed(Exception):
    """A program did not run to its end; the text says how, with its last words."""


def _end(job):
    """Ends a launcher and its ranks: kindly, so that it can clean up, then for good."""
    job.terminate()
    try:
        job.communicate(timeout=5)
    except subprocess.TimeoutExpired:
        pass
    try:
        os.killpg(job.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    job.communicate()


@dataclass(frozen=True)
class Measurement:
    group: str
    title: str
    ranks: int
    bound: bool
    program: str
    arguments: tuple = ()
    rename: tuple = ()  # (printed, meant) names of tests
    launches: int = 0  # above 0: the wall time of so many launches is the result, not the output
    timeout: float = 180

    def run(self, mpi, programs):
        """Launches the program; returns {Metric: value}. Raises RunFailed."""
        command = mpi.command(self.ranks, self.bound, programs[self.program], self.arguments)
        if self.launches:
            times = sorted(self._launch(mpi, command)[1] for _ in range(self.launches))
            return {Metric("startup", self.ranks, 0): 1000 * times[len(times) // 2]}
        return self._parse(self._launch(mpi, command)[0])

    def _launch(self, mpi, command):
        """(standard output, wall seconds) of one launch; raises RunFailed."""
        start = time.monotonic()
        # A session of its own, so that launcher and ranks can be ended together.
        try:
            job = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, env=mpi.environ(),
                                   start_new_session=True)
        except OSError as error:
            raise RunFailed(str(error)) from None
        try:
            output, errors = job.communicate(timeout=self.timeout)
        except subprocess.TimeoutExpired:
            _end(job)
            raise RunFailed(f"did not end within {self.timeout:.0f} s") from None
        except KeyboardInterrupt:
            _end(job)
            raise
        seconds = time.monotonic() - start
        if job.returncode != 0:
            words = [line for line in (errors + output).splitlines() if line.strip("- ")]
            raise RunFailed(f"exit status {job.returncode}: {' | '.join(words[:3])}")
        return output, seconds

    def _parse(self, text):
        names, values = dict(self.rename), {}
        for line in text.splitlines():
            words = line.split()
            if len(words) == 3 and words[0] == "cpus":
                if self.bound and words[1] == words[2]:
                    raise RunFailed(f"both ranks ran on CPU {words[1]} although bound to cores")
                continue
            if len(words) != 3:
                continue
            test, size, value = words[0], int(words[1]), float(words[2])
            if test == "rss_kb":
                test, value = "rss", value / 1024
            test = names.get(test, test)
            if test in TESTS:
                values[Metric(test, self.ranks, size)] = value
        if not values:
            raise RunFailed("printed no results")
        return values


# Around these sizes libraries switch protocols: inline, eager, fragmented, rendezvous.
STEP_SIZES = (32, 64, 96, 104, 128, 256, 512, 1 * KB, 2 * KB, 4 * KB, 8 * KB, 16 * KB, 32 * KB,
              64 * KB, 128 * KB, 256 * KB)

LATENCY_SIZES = (1, 8, 64, 256, 1 * KB, 4 * KB, 8 * KB, 16 * KB, 64 * KB, 256 * KB, 1 * MB, 4 * MB)
BANDWIDTH_SIZES = LATENCY_SIZES[1:]
BIBW_SIZES = (64 * KB, 256 * KB, 1 * MB)
COLLECTIVE_SIZES = (8, 1 * KB, 64 * KB, 1 * MB)
COLLECTIVES = ("bcast", "allreduce", "allgather", "alltoall", "reduce", "gather", "scatter",
               "gatherv", "scatterv", "allgatherv", "alltoallv", "alltoallw", "reduce_scatter",
               "scan", "exscan")

# Name on the command line -> (heading, what is done).
GROUPS = {
    "p2p": ("Point to point", "two ranks, one per core"),
    "steps": ("Protocol switches", "two ranks, one per core: latency at sizes one byte apart"),
    "collectives": ("Collectives", "two ranks, one per core"),
    "oversubscribed": ("More ranks than cores", "four and eight ranks, not bound"),
    "threads": ("Threads", "one rank under MPI_THREAD_MULTIPLE, its threads one per core"),
    "startup": ("Start-up", "mpiexec of a program that only calls MPI_Init and MPI_Finalize"),
    "memory": ("Memory", "the largest of all ranks, right after MPI_Init"),
    "idle": ("Waiting", "share of a core that a rank uses while it waits for a late one"),
}


def _sizes(test, sizes):
    return f"{test}:{','.join(map(str, sizes))}"


def measurements(quick, groups):
    """The runs of one round, in order."""
    seconds = 0.03 if quick else 0.1
    steps = [near for size in STEP_SIZES for near in (size, size + 1)]
    collectives = ["barrier:0"] + [_sizes(test, COLLECTIVE_SIZES) for test in COLLECTIVES]
    launches = {2: 2, 16: 1} if quick else {1: 5, 2: 5, 16: 3, 64: 1}
    every = [
        Measurement("p2p", "latency", 2, True, "p2p", (seconds, _sizes("latency", LATENCY_SIZES))),
        Measurement("p2p", "bandwidth", 2, True, "p2p",
                    (seconds, _sizes("bandwidth", BANDWIDTH_SIZES))),
        Measurement("p2p", "bidirectional bandwidth and rate", 2, True, "p2p",
                    (seconds, _sizes("bibw", BIBW_SIZES), "rate:8")),
        Measurement("steps", "latency around switches", 2, True, "p2p",
                    (seconds / 2, _sizes("latency", steps)), rename=(("latency", "step"),)),
        Measurement("collectives", "collectives of 2", 2, True, "collective",
                    (seconds / 2, *collectives)),
        Measurement("threads", "threads at once", 1, False, "threads",
                    (5 * seconds, "rate:8,1024")),
        *(Measurement("oversubscribed", f"collectives of {ranks}", ranks, False, "collective",
                      (seconds / 2, *collectives)) for ranks in (4, 8)),
        *(Measurement("startup", f"start-up of {ranks}", ranks, False, "startup",
                      launches=count) for ranks, count in launches.items()),
        *(Measurement("memory", f"memory of {ranks}", ranks, False, "memory")
          for ranks in ((2,) if quick else (2, 16))),
        Measurement("idle", "idle ranks", 2, False, "idle", (0.5 if quick else 1.0,)),
        Measurement("idle", "idle ranks, oversubscribed", 8, False, "idle",
                    (0.5 if quick else 1.0,)),
    ]
    return [measurement for measurement in every if measurement.group in groups]


def group_of(metric):
    """Where a metric stands in the report."""
    if metric.test in ("latency", "bandwidth", "bibw", "rate"):
        return "p2p"
    if metric.test in ("step", "worst_step"):
        return "steps"
    if metric.test in ("one_thread", "two_threads", "thread_gain"):
        return "threads"
    if metric.test == "startup":
        return "startup"
    if metric.test in ("rss", "descriptors"):
        return "memory"
    if metric.test.startswith("idle"):
        return "idle"
    return "collectives" if metric.ranks <= 2 else "oversubscribed"
