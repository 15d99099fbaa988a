"""How does the machine stand right now? Core distance and other programs' load.

The two virtual cores of a virtual machine may at any time be hyper-threads of one real core, where
every figure is another one; nothing but the time a cache line takes between them tells.
"""

import os
import pathlib
import resource
import subprocess
import time
from dataclasses import dataclass

# Half a round trip of a cache line: 9 to 17 ns between hyper-threads, 40 and more between cores.
SIBLINGS_BELOW_NS = 35.0

# Where the two cores can be, the better place for measuring first.
CORES, SIBLINGS = "two cores", "two hyper-threads of one core"
PLACES = (CORES, SIBLINGS)

# Core distance changes by moving to other real cores; the fastest of many bursts repeats within this.
MOVED_FACTOR = 1.6


def usable_cpus():
    return sorted(os.sched_getaffinity(0))


def two_cores():
    """The CPUs on which launchers put two ranks bound to cores: the first hyper-thread of the first
    two cores. None where there is only one core."""
    seen, cpus = set(), []
    for cpu in usable_cpus():
        path = pathlib.Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        core = path.read_text().strip() if path.exists() else str(cpu)
        if core not in seen:
            seen.add(core)
            cpus.append(cpu)
        if len(cpus) == 2:
            return tuple(cpus)
    return None


class Probe:
    """Measures core distance. Does nothing (returns None) on a machine with one core."""

    def __init__(self, folder):
        self.cpus = two_cores()
        self.program = folder / "probe"
        if self.cpus is None:
            return
        source = pathlib.Path(__file__).parent / "programs" / "probe.c"
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cc", "-O2", "-pthread", str(source), "-o", str(self.program)], check=True)

    def nanoseconds(self):
        if self.cpus is None:
            return None
        done = subprocess.run([str(self.program), *map(str, self.cpus)], capture_output=True,
                              text=True, timeout=60)
        return float(done.stdout) if done.returncode == 0 else None


def place(before, after):
    """Where a run between these two probes took place: one of PLACES, or None when that changed."""
    if before is None or after is None:
        return CORES
    siblings = [value < SIBLINGS_BELOW_NS for value in (before, after)]
    if siblings[0] != siblings[1]:
        return None
    if not siblings[0] and max(before, after) > MOVED_FACTOR * min(before, after):
        return None
    return SIBLINGS if siblings[0] else CORES


@dataclass
class Load:
    """How many cores other programs used between start and stop."""

    started: float = 0
    busy: float = 0
    own: float = 0

    @staticmethod
    def _busy_seconds():
        try:
            fields = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()
        except OSError:
            return 0.0
        user, nice, system, _idle, _wait, irq, soft_irq, steal = map(int, fields[1:9])
        ticks = user + nice + system + irq + soft_irq + steal
        return ticks / os.sysconf("SC_CLK_TCK")

    @staticmethod
    def _own_seconds():
        total = 0.0
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
            usage = resource.getrusage(who)
            total += usage.ru_utime + usage.ru_stime
        return total

    def start(self):
        self.started, self.busy, self.own = (time.monotonic(), self._busy_seconds(),
                                             self._own_seconds())
        return self

    def foreign_cores(self):
        """Meaningful after a few tenths of a second and once our own children have ended."""
        elapsed = max(time.monotonic() - self.started, 1e-9)
        used = (self._busy_seconds() - self.busy) - (self._own_seconds() - self.own)
        return max(0.0, used / elapsed)
