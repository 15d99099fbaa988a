"""The comparison as text and as JSON."""

import dataclasses
import json

from suite import GROUPS, TESTS, group_of, size_text

UNITS_IN_WORDS = {"1/s": "messages/s", "x": "ratio"}

# Tests in the order of the report; within one, sizes and numbers of ranks ascend.
_ORDER = {test: place for place, test in enumerate(TESTS)}


def number(value, unit=""):
    """Three significant digits, and no exponent for people to decode."""
    if value is None:
        return "-"
    if unit == "1/s":
        return f"{value / 1e6:.2f} M"
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def ordered(rows):
    return sorted(rows, key=lambda row: (list(GROUPS).index(group_of(row.metric)),
                                         _ORDER[row.metric.test], row.metric.size,
                                         row.metric.ranks))


def _by_ranks(metric):
    """Whether the lines of this metric's section are numbers of ranks rather than sizes."""
    return not metric.has_size or group_of(metric) == "oversubscribed"


def sections(rows):
    """[(group, title, unit, rows)]: one per test, with its sizes or its numbers of ranks as lines."""
    result = []
    for row in ordered(rows):
        metric = row.metric
        if metric.test == "step":
            continue  # the raw material of worst_step; in the JSON file
        words = TESTS[metric.test][2]
        title = metric.label if _by_ranks(metric) else f"{words}, {metric.ranks} ranks"
        place = (group_of(metric), title)
        if not result or result[-1][0] != place:
            result.append((place, UNITS_IN_WORDS.get(metric.unit, metric.unit), []))
        result[-1][2].append(row)
    return [(*place, unit, members) for place, unit, members in result]


def line_label(row):
    if not _by_ranks(row.metric):
        return size_text(row.metric.size)
    return "1 rank" if row.metric.ranks == 1 else f"{row.metric.ranks} ranks"


def _ratio(value):
    return f"{value:.2f}" if value < 10 else number(value)


def ratio_text(row):
    if row.ratio is None:
        return "-"
    text = f"{_ratio(row.ratio)}x"
    if row.ratio_low is not None and row.ratio_low != row.ratio_high:
        text += f" ({_ratio(row.ratio_low)}-{_ratio(row.ratio_high)})"
    return text


def text_table(rows, names):
    """The whole report for a terminal."""
    lines, heading = [], ""
    with_subject = any(row.ratio is not None for row in rows)
    for group, title, unit, members in sections(rows):
        if group != heading:
            heading = group
            lines += ["", f"== {GROUPS[group][0]}: {GROUPS[group][1]}"]
        lines += ["", f"{title} ({unit})" if unit else title]
        head = f"  {'':10}" + "".join(f"{name:>11}" for name in names)
        if with_subject:
            head += f"  {'ratio to best (rounds)':<24}{'target':<10}"
        lines.append(head.rstrip())
        for row in members:
            line = f"  {line_label(row):10}"
            for name in names:
                value = row.medians.get(name)
                line += f"{number(value, row.metric.unit):>11}"
            if with_subject:
                line += f"  {ratio_text(row):<23} {row.target:<9} {row.verdict}"
            lines.append(line.rstrip())
    return "\n".join(lines)


def summary(rows):
    """One line on the targets, or an empty string where none was measured."""
    verdicts = [row.verdict for row in rows if row.verdict in ("pass", "falls short")]
    if not verdicts:
        return ""
    short = [row for row in ordered(rows) if row.verdict == "falls short"]
    text = f"{len(verdicts) - len(short)} of {len(verdicts)} targets reached"
    if short:
        text += "; falls short: " + ", ".join(
            f"{row.metric.label} ({row.metric.ranks} ranks)" for row in short)
    return text


def as_json(session, rows):
    """The session's facts, every sample and every row."""
    samples = {
        name: {metric.key: list(values.values()) for metric, values in sorted(taken.items())}
        for name, taken in session.samples.items()
    }
    table = []
    for row in ordered(rows):
        entry = dataclasses.asdict(row)
        entry["metric"] = row.metric.key
        entry["unit"] = row.metric.unit
        table.append(entry)
    return json.dumps({**session.facts(), "rows": table, "samples": samples}, indent=1)
