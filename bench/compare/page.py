"""The comparison as one self-contained HTML page: verdicts first, then charts, then every figure."""

import html

import chart
import report
from analysis import SUBJECT
from suite import GROUPS

_STYLE = """
:root{color-scheme:light dark;--ink:#0f172a;--text:#334155;--muted:#64748b;--grid:#e2e8f0;--paper:#f8fafc;--card:#ffffff;
--good:#15803d;--bad:#b91c1c;--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#cc79a7;--c4:#e69f00;
--c5:#56b4e9;--c6:#6b4c9a}
@media(prefers-color-scheme:dark){:root{--ink:#f1f5f9;--text:#cbd5e1;--muted:#94a3b8;--grid:#334155;
--paper:#0f172a;--card:#1e293b;--good:#4ade80;--bad:#f87171;--c0:#4aa8e0;--c1:#f0883e;--c2:#34c08f;
--c3:#e79ac2}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--text);
font:15px/1.5 Inter,"Segoe UI","DejaVu Sans",sans-serif}
main{max-width:1220px;margin:0 auto;padding:28px 20px 60px}
h1{color:var(--ink);font-size:26px;margin:0 0 4px}
h2{color:var(--ink);font-size:19px;margin:36px 0 4px}
h3{color:var(--ink);font-size:15px;margin:0 0 8px}
.small{color:var(--muted);font-size:13px;margin:0 0 14px}
.warning{border-left:4px solid var(--c4);background:var(--card);padding:8px 14px;margin:8px 0}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,500px),1fr));gap:16px}
.card{background:var(--card);border:1px solid var(--grid);border-radius:10px;padding:14px 16px}
.key{display:flex;flex-wrap:wrap;gap:6px 20px;margin:14px 0}
.key span::before{content:"";display:inline-block;width:14px;height:14px;border-radius:4px;
margin-right:7px;vertical-align:-2px;background:var(--own)}
svg{width:100%;height:auto;display:block}
svg .grid{stroke:var(--grid);stroke-width:1}
svg .base{stroke:var(--muted);stroke-width:1}
svg .tick{fill:var(--muted);font-size:11px}
svg .axis{fill:var(--text);font-size:12px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th{text-align:right;color:var(--muted);font-weight:600}
td{text-align:right}
th,td{padding:3px 10px;border-bottom:1px solid var(--grid);white-space:nowrap}
th:first-child,td:first-child{text-align:left}
.pass{color:var(--good);font-weight:600}.short{color:var(--bad);font-weight:600}
details{margin-top:8px}summary{cursor:pointer;color:var(--muted);font-size:13px}
"""


def _cell(text, css=""):
    return f'<td{f" class={css}" if css else ""}>{html.escape(text)}</td>'


def _verdict_cell(row):
    css = {"pass": "pass", "falls short": "short"}.get(row.verdict, "")
    return _cell(row.verdict, css)


def _head(columns):
    return "<tr>" + "".join(f"<th>{html.escape(column)}</th>" for column in columns) + "</tr>"


def _figures_table(rows, names):
    with_subject = any(row.ratio is not None for row in rows)
    extra = ["ratio to best (rounds)", "target", ""] if with_subject else []
    lines = [_head(["", *names, *extra])]
    for row in rows:
        cells = [_cell(report.line_label(row))]
        cells += [_cell(report.number(row.medians.get(name), row.metric.unit)) for name in names]
        if with_subject:
            cells += [_cell(report.ratio_text(row)), _cell(row.target), _verdict_cell(row)]
        lines.append("<tr>" + "".join(cells) + "</tr>")
    return '<div class="scroll"><table>' + "".join(lines) + "</table></div>"


def _colors(names):
    """{name: index of its CSS colour}: the subject always has the first, whether it is there or not,
    so that the others look alike on every page."""
    peers = [name for name in names if name != SUBJECT]
    return {SUBJECT: 0, **{name: place + 1 for place, name in enumerate(peers)}}


def _chart(rows, names, unit, title):
    """Lines over sizes, bars for everything else."""
    unit, colors = unit or "count", _colors(names)
    if len({row.metric.size for row in rows}) > 1:
        series = [chart.Series(name, colors[name], [(row.metric.size, row.medians[name])
                                                    for row in rows if row.medians.get(name, 0) > 0])
                  for name in names]
        return chart.lines(series, unit, title)
    groups = [(report.line_label(row), [(name, colors[name], row.medians[name])
                                        for name in names if name in row.medians])
              for row in rows]
    return chart.bars(groups, unit, title)


def _targets(rows):
    judged = [row for row in report.ordered(rows) if row.target and row.verdict != "not measured"]
    if not judged:
        return ""
    lines = [_head(["", "Tern", "best other", "", "ratio (rounds)", "target", ""])]
    for row in judged:
        best = row.medians.get(row.best_peer)
        unit = row.metric.unit
        label = f"{row.metric.label}, {row.metric.ranks} ranks"
        lines.append("<tr>" + _cell(label)
                     + _cell(f"{report.number(row.medians.get(SUBJECT), unit)} {unit}")
                     + _cell("-" if best is None else f"{report.number(best, unit)} {unit}")
                     + _cell(row.best_peer) + _cell(report.ratio_text(row)) + _cell(row.target)
                     + _verdict_cell(row) + "</tr>")
    return ("<h2>Targets</h2>"
            f'<p class="small">{html.escape(report.summary(rows).split(";")[0])}</p>'
            '<div class="card scroll"><table>' + "".join(lines) + "</table></div>")


def _header(session):
    facts, machine = session.facts(), session.machine()
    distance = facts["core_distance_ns"]
    words = (f"{machine['host']}: {machine['processor']}, {machine['cores']} cores, "
             f"Linux {machine['kernel']}. Started {facts['started']}. "
             f"Medians of {session.rounds} rounds, the MPIs in turn.")
    if distance:
        words += (f" A cache line took {distance[1]:.0f} ns between the cores "
                  f"({distance[0]:.0f} to {distance[2]:.0f}).")
    colors = _colors([mpi.name for mpi in session.mpis])
    key = "".join(f'<span style="--own:var(--c{colors[mpi.name]})">{html.escape(mpi.name)}: '
                  f"{html.escape(mpi.label)}</span>" for mpi in session.mpis)
    notes = [*facts["warnings"],
             *(f"{place} failed: {text}" for place, text in facts["failures"].items())]
    warnings = "".join(f'<div class="warning">{html.escape(note)}</div>' for note in notes)
    return (f"<h1>MPI side by side</h1><p class=small>{html.escape(words)}</p>{warnings}"
            f"<div class=key>{key}</div>")


def _group(title, rows, names):
    cards = []
    for group, name, unit, members in report.sections(rows):
        if group != title:
            continue
        better = "lower" if members[0].metric.lower_is_better else "higher"
        heading = f"{name} ({unit})" if unit else name
        cards.append(f'<div class="card"><h3>{html.escape(heading)} '
                     f'<span class="small">{better} is better</span></h3>'
                     f"{_chart(members, names, unit, name)}"
                     f"<details><summary>figures</summary>{_figures_table(members, names)}"
                     "</details></div>")
    if not cards:
        return ""
    heading, words = GROUPS[title]
    return (f"<h2>{html.escape(heading)}</h2><p class=small>{html.escape(words)}</p>"
            f'<div class="cards">{"".join(cards)}</div>')


def render(session, rows):
    names = [mpi.name for mpi in session.mpis]
    body = _header(session) + _targets(rows) + "".join(_group(group, rows, names)
                                                       for group in GROUPS)
    return ('<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            f"<title>MPI side by side</title><style>{_STYLE}</style></head>"
            f"<body><main>{body}</main></body></html>\n")
