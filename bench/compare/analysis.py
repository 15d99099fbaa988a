"""From samples to rows: medians, ratio to the best peer with its spread, verdict on the target.

Pure functions. `samples` is {mpi name: {Metric: {round: value}}}.
"""

import statistics
from dataclasses import dataclass, field

from suite import STEP_SIZES, Metric
from targets import TARGETS

SUBJECT = "tern"


@dataclass
class Row:
    metric: Metric
    medians: dict = field(default_factory=dict)  # {mpi name: median}
    best_peer: str = ""
    ratio: float | None = None
    ratio_low: float | None = None  # smallest and largest of the single rounds
    ratio_high: float | None = None
    target: str = ""
    verdict: str = ""  # "pass", "falls short", or "not measured" where there is a target


def _best(values, lower_is_better):
    """(name, value) of the best of {name: value}."""
    pick = min if lower_is_better else max
    return pick(values.items(), key=lambda item: item[1])


def _round_ratios(samples, metric, peer):
    """Subject over that peer in each round in which both were measured."""
    mine, theirs = samples[SUBJECT].get(metric, {}), samples[peer].get(metric, {})
    return [mine[turn] / theirs[turn] for turn in mine if theirs.get(turn)]


def worst_steps(samples):
    """Adds to each MPI its worst ratio between sizes one byte apart: per pair the median over the
    rounds, of those the largest. Returns {mpi name: the size where it is}."""
    where = {}
    for name, metrics in samples.items():
        worst, at = 0.0, 0
        for size in STEP_SIZES:
            below = metrics.get(Metric("step", 2, size), {})
            above = metrics.get(Metric("step", 2, size + 1), {})
            ratios = [above[turn] / below[turn] for turn in below if turn in above]
            if ratios and statistics.median(ratios) > worst:
                worst, at = statistics.median(ratios), size
        if worst > 0:
            metrics[Metric("worst_step", 2, 0)] = {0: worst}
            where[name] = at
    return where


def rows(samples):
    """One row per metric that anybody was measured at."""
    metrics = sorted({metric for taken in samples.values() for metric in taken})
    result = []
    for metric in metrics:
        row = Row(metric)
        for name, taken in samples.items():
            if metric in taken:
                row.medians[name] = statistics.median(taken[metric].values())
        peers = {name: value for name, value in row.medians.items() if name != SUBJECT}
        if peers:
            row.best_peer, best = _best(peers, metric.lower_is_better)
            if SUBJECT in row.medians and best > 0:
                row.ratio = row.medians[SUBJECT] / best
                spread = _round_ratios(samples, metric, row.best_peer)
                if spread:
                    row.ratio_low, row.ratio_high = min(spread), max(spread)
        _judge(row)
        result.append(row)
    return result


def _judge(row):
    target = TARGETS.get(row.metric)
    if target is None:
        return
    row.target = target.text
    value = row.ratio if target.is_ratio else row.medians.get(SUBJECT)
    if value is None:
        row.verdict = "not measured"
    else:
        row.verdict = "pass" if target.met_by(value) else "falls short"
