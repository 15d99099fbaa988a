"""One comparison: runs every measurement with every MPI in turn, A B C A B C ..., and keeps samples.

Each run stands between two probes of the machine; a run during which the cores moved is repeated a
few times and then left out. Runs on two cores and runs on two hyper-threads of one core are kept
apart: the report is of the place that most runs saw, since only runs of one place can be compared. An
MPI that fails in one measurement is skipped there from then on.
"""

import datetime
import os
import pathlib
import platform
import sys

from probe import PLACES, SIBLINGS, Load, Probe, place
from suite import RunFailed

ATTEMPTS = 3  # per run, if the probes say that the machine moved

# Of the cores in use; more than that and the figures are of another program's making.
DISTURBING_SHARE = 0.05


class Progress:
    """One line on standard error: rewritten in place on a terminal, else one line per round."""

    def __init__(self, steps):
        self.steps, self.done, self.round = steps, 0, 0
        self.terminal = sys.stderr.isatty()

    def show(self, turn, rounds, what):
        self.done += 1
        if self.terminal:
            print(f"\r[{self.done}/{self.steps}] round {turn + 1} of {rounds}: {what}\033[K", end="",
                  file=sys.stderr, flush=True)
        elif turn + 1 != self.round:
            self.round = turn + 1
            print(f"round {self.round} of {rounds}", file=sys.stderr, flush=True)

    def say(self, text):
        """A line that stays."""
        self.hide()
        print(text, file=sys.stderr, flush=True)

    def hide(self):
        if self.terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


class Session:
    def __init__(self, mpis, programs, measurements, rounds, folder):
        self.mpis = [mpi for mpi in mpis if mpi.name in programs]
        self.programs = programs  # {mpi name: {stem: executable}}
        self.measurements = measurements
        self.rounds = rounds
        self.probe = Probe(folder)
        self.samples_at = {where: {mpi.name: {} for mpi in self.mpis} for where in PLACES}
        self.failures = {}  # {(mpi name, measurement title): sentence}
        self.discarded = []  # sentences
        self.probes_ns = []
        self.foreign_cores = 0.0
        self.started = datetime.datetime.now(datetime.timezone.utc)

    def run(self):
        progress = Progress(self.rounds * len(self.measurements) * len(self.mpis))
        load = Load().start()
        for turn in range(self.rounds):
            for measurement in self.measurements:
                # Everybody comes first equally often: the first run after a pause sees other clocks.
                shift = turn % len(self.mpis)
                for mpi in self.mpis[shift:] + self.mpis[:shift]:
                    progress.show(turn, self.rounds, f"{measurement.title}, {mpi.name}")
                    self._one(turn, measurement, mpi, progress)
        progress.hide()
        self.foreign_cores = load.foreign_cores()

    def _one(self, turn, measurement, mpi, progress):
        failure = (mpi.name, measurement.title)
        if failure in self.failures:
            return
        for _ in range(ATTEMPTS):
            before = self._probed()
            try:
                values = measurement.run(mpi, self.programs[mpi.name])
            except RunFailed as error:
                self.failures[failure] = str(error)
                progress.say(f"{mpi.name} fails in {measurement.title}: {error}")
                return
            after = self._probed()
            where = place(before, after)
            if where is not None:
                samples = self.samples_at[where][mpi.name]
                for metric, value in values.items():
                    samples.setdefault(metric, {})[turn] = value
                return
            sentence = (f"{measurement.title} with {mpi.name}, round {turn + 1}: the cores moved "
                        f"({before:.0f} -> {after:.0f} ns)")
            self.discarded.append(sentence)
            progress.say(f"discarded: {sentence}")

    def _count(self, where):
        return sum(len(rounds) for taken in self.samples_at[where].values()
                   for rounds in taken.values())

    @property
    def place(self):
        """Where most figures were taken."""
        return max(PLACES, key=self._count)

    @property
    def samples(self):
        """{mpi name: {Metric: {round: value}}} of that place."""
        return self.samples_at[self.place]

    def _probed(self):
        value = self.probe.nanoseconds()
        if value is not None:
            self.probes_ns.append(value)
        return value

    def warnings(self):
        """Sentences about what makes the figures doubtful."""
        sentences = []
        cores = len(os.sched_getaffinity(0))
        if self.foreign_cores > DISTURBING_SHARE * cores:
            sentences.append(f"other programs used {100 * self.foreign_cores / cores:.0f} % of the "
                             f"{cores} cores meanwhile: repeat this on a quiet machine")
        others = sum(self._count(where) for where in PLACES if where != self.place)
        if self.place == SIBLINGS:
            sentences.append(f"the figures are of {SIBLINGS}: ratios hold for such a machine only")
        if others:
            sentences.append(f"left out: {others} taken elsewhere than on {self.place}")
        if self.discarded:
            count = len(self.discarded)
            sentences.append(f"{count} run{'' if count == 1 else 's'} discarded because the cores "
                             "moved")
        if self.probe.cpus is None:
            sentences.append("one core only: two-rank figures are of ranks taking turns")
        if self.rounds < 3:
            sentences.append("fewer than three rounds: a median of so few says little")
        return sentences

    def machine(self):
        model = ""
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
        return {"host": platform.node(), "processor": model, "kernel": platform.release(),
                "cores": len(os.sched_getaffinity(0))}

    def facts(self):
        probes = sorted(self.probes_ns)
        return {
            "started": self.started.isoformat(timespec="seconds"),
            "machine": self.machine(),
            "mpis": {mpi.name: mpi.label for mpi in self.mpis},
            "rounds": self.rounds,
            "place": self.place,
            "core_distance_ns": [probes[0], probes[len(probes) // 2], probes[-1]] if probes else [],
            "foreign_cores": round(self.foreign_cores, 3),
            "warnings": self.warnings(),
            "discarded": self.discarded,
            "failures": {f"{name}: {title}": text
                         for (name, title), text in self.failures.items()},
        }
