"""The results as a table in Markdown, and as JSON for programs."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from .cases import Case
from .contenders import CONTENDERS
from .load import Timing

__all__ = ["Row", "markdown", "write"]

_GOALS_AT = 16


@dataclass
class Row:
    """One contender in one case with so many connections; `wrong`: why it was not timed, or not to the end."""

    case: Case
    connections: int
    contender: str
    variant: tuple[str, ...]
    timings: list[Timing] = field(default_factory=list[Timing])
    wrong: str | None = None

    @property
    def usable(self) -> bool:
        return self.wrong is None and bool(self.timings)

    @property
    def per_second(self) -> float:
        return median(timing.per_second for timing in self.timings)

    @property
    def spread(self) -> float:
        """Fastest less slowest, as a part of the median."""
        rates = [timing.per_second for timing in self.timings]
        return (max(rates) - min(rates)) / self.per_second

    def middle(self, member: str) -> float:
        """The median of a member of the timings."""
        return median(getattr(timing, member) for timing in self.timings)

    def as_json(self) -> dict[str, Any]:
        told: dict[str, Any] = {
            "case": self.case.name,
            "connections": self.connections,
            "contender": self.contender,
            "configuration": list(self.variant),
        }
        if not self.usable:
            return {**told, "wrong": self.wrong or "not timed"}
        latencies = {f"{name}_ms": round(self.middle(name), 3) for name in ("p50", "p90", "p99")}
        rates = [round(timing.per_second, 1) for timing in self.timings]
        return {
            **told,
            "per_second": round(self.per_second, 1),
            "runs": rates,
            "busy": round(self.middle("busy"), 3),
            **latencies,
        }


def _ratio(over: Row | None, under: Row | None) -> float | None:
    if over is None or under is None or not over.usable or not under.usable:
        return None
    return over.per_second / under.per_second


def _goal(case: Case, connections: int, contender: str, ratio: float | None) -> str:
    goal = case.goals.get(contender)
    if goal is None or connections != _GOALS_AT or ratio is None:
        return ""
    return f"{'met' if ratio >= goal else '**missed**'} ({goal:g})"


def _lines(rows: list[Row], case: Case, connections: int) -> list[str]:
    here = {row.contender: row for row in rows if row.case is case and row.connections == connections}
    own, limit = here.get("headrace"), here.get("bare")
    lines: list[str] = []
    for contender in CONTENDERS:
        row = here.get(contender.name)
        if row is None:
            continue
        how = " ".join(option.removeprefix("--") for option in row.variant) or "defaults"
        start = f"| {connections} | {contender.title} | {how if contender.name != 'bare' else ''} |"
        if not row.usable:
            lines.append(f"{start} wrong | | | | | | | |")
            continue
        of_limit, ahead = _ratio(row, limit), _ratio(own, row)
        figures = [
            f"{row.per_second:,.0f}",
            f"{row.spread:.0%}",
            f"{row.middle('busy'):.2f}",
            f"{row.middle('p50'):.2f}",
            f"{row.middle('p99'):.2f}",
            "" if of_limit is None else f"{of_limit:.3f}",
            "" if ahead is None or contender.name == "headrace" else f"{ahead:.2f}",
            _goal(case, connections, contender.name, ahead),
        ]
        lines.append(f"{start} {' | '.join(figures)} |")
    return lines


def markdown(rows: list[Row], about: dict[str, Any]) -> str:
    text = [f"# Benchmarks, {about['date']}", ""]
    text += [f"* {name}: {value}" for name, value in about.items() if name != "versions"]
    for contender, versions in about["versions"].items():
        text.append(f"* {contender}: {', '.join(f'{package} {version}' for package, version in versions.items())}")
    cases = list(dict.fromkeys(row.case for row in rows)) if rows else []
    for case in cases:
        text += ["", f"## {case.title}", ""]
        text.append(
            "| connections | contender | configuration | requests/s | spread | server busy | p50 ms | p99 ms |"
            " of the limit | Headrace is ... times as fast | goal |"
        )
        text.append("|---|---|---|---|---|---|---|---|---|---|---|")
        for connections in sorted({row.connections for row in rows if row.case is case}):
            text += _lines(rows, case, connections)
        text += [f"\n* {row.wrong}" for row in rows if row.case is case and row.wrong]
    return "\n".join(text) + "\n"


def write(rows: list[Row], about: dict[str, Any], stem: Path) -> None:
    """`stem` with .md and .json."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    stem.with_suffix(".md").write_text(markdown(rows, about))
    told = {**about, "machine": platform.platform(), "rows": [row.as_json() for row in rows]}
    stem.with_suffix(".json").write_text(json.dumps(told, indent=1) + "\n")
