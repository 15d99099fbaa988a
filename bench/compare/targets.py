"""What Tern must reach, as data: one line per target.

Ratios are Tern's median over the best peer's, so below 1 is better for times and above 1 for
bandwidth and rate. Absolute limits hold for Tern alone.
"""

from dataclasses import dataclass

from suite import KB, MB, Metric


@dataclass(frozen=True)
class Target:
    limit: float
    at_most: bool  # else at least
    is_ratio: bool  # else an absolute value in the metric's unit

    @property
    def text(self):
        sign = "<=" if self.at_most else ">="
        return f"{sign} {self.limit:g}{'x' if self.is_ratio else ''}"

    def met_by(self, value):
        return value <= self.limit if self.at_most else value >= self.limit


def _at_most(ratio):
    return Target(ratio, True, True)


def _at_least(ratio):
    return Target(ratio, False, True)


TARGETS = {
    Metric("latency", 2, 8): _at_most(0.9),
    **{Metric("latency", 2, size * KB): _at_most(0.8) for size in (4, 8, 16)},
    Metric("latency", 2, 1 * MB): _at_most(0.8),
    Metric("rate", 2, 8): _at_least(1.3),
    **{Metric("bandwidth", 2, size): _at_least(1.0) for size in (64 * KB, 256 * KB, 1 * MB, 4 * MB)},
    Metric("thread_gain", 1, 8): Target(1.5, False, False),
    Metric("worst_step", 2, 0): Target(1.5, True, False),
    **{Metric("startup", ranks, 0): _at_most(0.5) for ranks in (2, 16, 64)},
    **{Metric("rss", ranks, 0): Target(8.0, True, False) for ranks in (2, 16)},
    **{Metric(test, ranks, size): _at_most(1.0)
       for ranks in (4, 8) for test, size in (("barrier", 0), ("allreduce", 8), ("alltoall", 8))},
    # "No CPU": what is left is falling asleep and waking up.
    **{Metric(test, ranks, 0): Target(0.02, True, False)
       for ranks in (2, 8) for test in ("idle_recv", "idle_barrier")},
}
