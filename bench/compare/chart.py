"""Charts as SVG text: lines over message size and groups of horizontal bars.

Knows nothing of MPI. Colours are CSS variables (--c0, --c1, ..., --ink, --muted, --grid), so that a
page can have a light and a dark look.
"""

import html
import math
from dataclasses import dataclass


@dataclass
class Series:
    name: str
    color: int  # index of the CSS colour
    points: list  # (x, y), both above 0


WIDTH, HEIGHT = 560, 330
LEFT, RIGHT, TOP, BOTTOM = 70, 16, 12, 44


def _size(size):
    for letter, unit in (("M", 1 << 20), ("K", 1 << 10)):
        if size >= unit and size % unit == 0:
            return f"{size // unit}{letter}"
    return str(size)


def _scale(low, high, start, end):
    """Logarithmic map to pixels."""
    span = math.log(high / low) or 1.0
    return lambda value: start + math.log(value / low) / span * (end - start)


def short_number(value):
    if value >= 1e6:
        return f"{value / 1e6:.3g}M"
    if value >= 1e3:
        return f"{value / 1e3:.3g}k"
    return f"{value:.3g}"


def _text(x, y, text, anchor="middle", css="tick"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{css}">'
            f"{html.escape(text)}</text>")


def _line(x1, y1, x2, y2, css):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{css}"/>'


def _svg(width, height, parts, label):
    return (f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{html.escape(label)}">'
            + "".join(parts) + "</svg>")


def _y_axis(low, high, y):
    """Grid and labels at 1, 2 and 5 where the range is narrow, else at the powers of ten."""
    parts = []
    decades = math.log10(high / low)
    steps = (1, 2, 5) if decades < 2.5 else (1,)
    for power in range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1):
        for step in steps:
            value = step * 10.0**power
            if not low * 0.999 <= value <= high * 1.001:
                continue
            parts.append(_line(LEFT, y(value), WIDTH - RIGHT, y(value), "grid"))
            parts.append(_text(LEFT - 8, y(value) + 4, short_number(value), "end"))
    return parts


def lines(series, unit, label, axis="message size in bytes"):
    """Values over message size, or what else `axis` names; both axes logarithmic."""
    series = [entry for entry in series if entry.points]
    if not series:
        return ""
    sizes = sorted({x for entry in series for x, _ in entry.points})
    values = [y for entry in series for _, y in entry.points]
    low, high = min(values) / 1.25, max(values) * 1.25
    wide = (sizes[0] / 2, sizes[-1] * 2) if len(sizes) == 1 else (sizes[0], sizes[-1])
    x = _scale(*wide, LEFT + 10, WIDTH - RIGHT - 10)
    y = _scale(low, high, HEIGHT - BOTTOM, TOP)
    parts = _y_axis(low, high, y)
    last = -math.inf
    for size in sizes:
        if x(size) - last < 30:
            continue  # its label would touch the one before
        last = x(size)
        parts.append(_line(x(size), TOP, x(size), HEIGHT - BOTTOM, "grid"))
        parts.append(_text(x(size), HEIGHT - BOTTOM + 17, _size(size)))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, axis, css="axis"))
    parts.append(f'<text transform="translate(14 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" '
                 f'text-anchor="middle" class="axis">{html.escape(unit)}</text>')
    for entry in reversed(series):  # the first, the subject, on top
        path = " ".join(f"{x(px):.1f},{y(py):.1f}" for px, py in entry.points)
        color = f"var(--c{entry.color})"
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" '
                     f'stroke-width="{3 if entry is series[0] else 2}" stroke-linejoin="round"/>')
        for px, py in entry.points:
            parts.append(f'<circle cx="{x(px):.1f}" cy="{y(py):.1f}" r="3.2" fill="{color}"><title>'
                         f"{html.escape(entry.name)}, {_size(px)} {axis.split()[-1]}: {short_number(py)} "
                         f"{html.escape(unit)}</title></circle>")
    return _svg(WIDTH, HEIGHT, parts, label)


def bars(groups, unit, label):
    """groups: [(group label, [(name, colour index, value)])]. Logarithmic where the values differ by
    more than a factor of 50, which the axis label says."""
    values = [value for _, members in groups for _, _, value in members if value > 0]
    if not values:
        return ""
    low, high = min(values), max(values)
    logarithmic = high / low > 50
    left, right, thickness, gap = 82, 76, 15, 16
    base = 10.0 ** math.floor(math.log10(low) - 0.2) if logarithmic else 0.0
    log_x = _scale(base or 1, high, left, WIDTH - right)

    def x(value):
        if logarithmic:
            return log_x(max(value, base))
        return left + value / high * (WIDTH - right - left)

    parts, y = [], 8.0
    for group, members in groups:
        middle = y + len(members) * (thickness + 3) / 2
        parts.append(_text(left - 10, middle + 3, group, "end", "axis"))
        for name, color, value in members:
            width = max(x(value) - left, 1.5)
            parts.append(
                f'<rect x="{left}" y="{y:.1f}" width="{width:.1f}" height="{thickness}" rx="3" '
                f'fill="var(--c{color})"><title>{html.escape(name)}: {short_number(value)} '
                f"{html.escape(unit)}</title></rect>")
            parts.append(_text(left + width + 6, y + 12, short_number(value), "start"))
            y += thickness + 3
        y += gap
    parts.append(_line(left, 4, left, y - gap, "base"))
    parts.append(_text((left + WIDTH - right) / 2, y + 6,
                       f"{unit}{' (logarithmic)' if logarithmic else ''}", css="axis"))
    return _svg(WIDTH, math.ceil(y + 16), parts, label)
