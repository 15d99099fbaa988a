"""Samples of several MPIs beside the figures of a raw benchmark: collecting them, and a table of medians with ratios.

Knows nothing of what is measured. The figures are {mpi or "raw": {figure: [a value per round]}}.
"""

import statistics
import subprocess


def attempt(samples, name, run, *arguments):
    """Adds what one run gives; a run that fails is said and left out."""
    try:
        for figure, value in run(*arguments).items():
            samples.setdefault(name, {}).setdefault(figure, []).append(value)
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as problem:
        print(f"# {name}: {problem}", flush=True)


def ratios(samples, figure, other):
    """(of the medians, smallest and largest of single rounds) of Tern to another."""
    ours, theirs = samples["tern"][figure], samples[other][figure]
    each = [tern / value for tern, value in zip(ours, theirs)]
    return statistics.median(ours) / statistics.median(theirs), min(each), max(each)


def show(samples, others=("raw",)):
    """Prints medians, and for each of `others` Tern's ratio to it."""
    names = list(samples)
    others = [other for other in others if other in samples and "tern" in samples]
    figures = list(dict.fromkeys(figure for of in samples.values() for figure in of))
    print(f"{'':<20}" + "".join(f"{name:>12}" for name in names)
          + "".join(f"{'tern/' + other:>16}{'per round':>13}" for other in others))
    for figure in figures:
        line = f"{figure:<20}"
        for name in names:
            line += f"{statistics.median(samples[name][figure]):>12.4g}" if figure in samples[name] else " " * 12
        for other in others:
            if figure in samples["tern"] and figure in samples[other]:
                middle, low, high = ratios(samples, figure, other)
                line += f"{middle:>16.2f}{low:>8.2f}-{high:.2f}"
            else:
                line += " " * 29
        print(line.rstrip())
