"""The throughput of every case as one SVG: a bar per contender, on a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

from .cases import JUDGED_AT
from .contenders import CONTENDERS, Contender
from .report import Row

__all__ = ["plot", "svg"]

# In pixels. The bars are between the names and the figures.
_WIDTH, _LEFT, _RIGHT = 960, 190, 730
_TOP, _BAR, _STEP, _TITLE, _GAP = 64, 13, 18, 24, 16
# Colours that stand out from white and from black; texts take the darker or the lighter of two greys.
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #57606a }
.title { font-weight: 600 }
.grid { stroke: #8b949e; stroke-opacity: 0.35 }
.headrace { fill: #2f81c7 }
.limit { fill: #8b949e }
.peer { fill: #c98a3c }
@media (prefers-color-scheme: dark) { text { fill: #b1bac4 } }
"""


def plot(rows: Sequence[Row], date: str, path: Path) -> None:
    """Written to `path`; nothing is where nothing was timed with the number of connections that is judged."""
    timed = [row for row in rows if row.connections == JUDGED_AT and row.usable]
    if timed:
        path.write_text(svg(timed, date))


def svg(rows: Sequence[Row], date: str) -> str:
    """`rows`: timed, one for each case and contender."""
    low = 10 ** math.floor(math.log10(min(row.per_second for row in rows)))
    high = 10 ** math.ceil(math.log10(max(row.per_second for row in rows) * 1.001))
    bars: list[str] = []
    down = _TOP
    for case in dict.fromkeys(row.case for row in rows):
        here = {row.contender: row for row in rows if row.case is case}
        bars.append(_text(0, down + 14, f"{case.title.replace('`', '')}: {case.unit} per second", 'class="title"'))
        down += _TITLE
        for contender in CONTENDERS:
            if contender.name in here:
                bars += _bar(contender, here, down, _across(here[contender.name].per_second, low, high))
                down += _STEP
        down += _GAP
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {down}" width="{_WIDTH}" height="{down}">',
        f"<style>{_STYLE}</style>",
        _text(0, 16, f"Headrace and its peers, {JUDGED_AT} connections, {date} (logarithmic)", 'class="title"'),
    ]
    return "\n".join([*head, *_grid(low, high, down), *bars, "</svg>"]) + "\n"


def _across(per_second: float, low: float, high: float) -> float:
    part = math.log10(per_second / low) / math.log10(high / low)
    return _LEFT + part * (_RIGHT - _LEFT)


def _grid(low: float, high: float, bottom: float) -> list[str]:
    lines: list[str] = []
    value = low
    while value <= high:
        x = _across(value, low, high)
        lines.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 14}" y2="{bottom - _GAP}"/>')
        lines.append(_text(x, _TOP - 18, f"{value:,.0f}", 'text-anchor="middle"'))
        value *= 10
    return lines


def _bar(contender: Contender, here: dict[str, Row], down: float, end: float) -> list[str]:
    kind = "limit" if contender.bare else "peer" if contender.requirements else "headrace"
    return [
        _text(_LEFT - 8, down + 11, contender.title, 'text-anchor="end"'),
        f'<rect class="{kind}" x="{_LEFT}" y="{down}" width="{max(end - _LEFT, 1):.1f}" height="{_BAR}"/>',
        _text(end + 6, down + 11, _said(contender, here)),
    ]


def _said(contender: Contender, here: dict[str, Row]) -> str:
    per_second = here[contender.name].per_second
    own, limit = here.get("headrace"), here.get(contender.limit)
    said = f"{per_second:,.0f}"
    if contender.requirements:
        return f"{said} (Headrace: {own.per_second / per_second:.3g} times as fast)" if own else said
    return said if contender.bare or limit is None else f"{said} ({per_second / limit.per_second:.2f} of its limit)"


def _text(x: float, y: float, said: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(said)}</text>'
