"""The results in Markdown, what is judged first, and as JSON for programs."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from .cases import CASES, JUDGED_AT, Case
from .contenders import CONTENDERS
from .load import Timing
from .measures import MEASURES, Figure, Goal

__all__ = ["Row", "markdown", "write"]


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


def _range(over: Row | None, under: Row | None) -> tuple[float, float] | None:
    """The ratio at the worst and at the best, by the single timings."""
    if over is None or under is None or not over.usable or not under.usable:
        return None
    own, other = ([timing.per_second for timing in row.timings] for row in (over, under))
    return min(own) / max(other), max(own) / min(other)


def _goal(case: Case, connections: int, contender: str, ratio: float | None) -> str:
    goal = case.goals.get(contender)
    if goal is None or connections != JUDGED_AT or ratio is None:
        return ""
    return f"{'met' if ratio >= goal else '**missed**'} ({goal:g})"


def _lines(rows: list[Row], case: Case, connections: int) -> list[str]:
    here = {row.contender: row for row in rows if row.case is case and row.connections == connections}
    own = here.get("headrace")
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
        # Another language has another server under it: that limit is not its own.
        of_limit = None if contender.name == "typescript" else _ratio(row, here.get(contender.limit))
        # What is on another server is no measure of Headrace on uvicorn.
        ahead = None if contender.granian or contender.name == "headrace" else _ratio(own, row)
        figures = [
            f"{row.per_second:,.0f}",
            f"{row.spread:.0%}",
            f"{row.middle('busy'):.2f}",
            f"{row.middle('p50'):.2f}",
            f"{row.middle('p99'):.2f}",
            "" if of_limit is None else f"{of_limit:.3f}",
            "" if ahead is None else f"{ahead:.2f}",
            _goal(case, connections, contender.name, ahead),
        ]
        lines.append(f"{start} {' | '.join(figures)} |")
    return lines


@dataclass(frozen=True)
class _Judged:
    """A row of the table that judges a run."""

    title: str
    goal: float
    unit: str
    more: bool
    measured: float | None
    """None: not in this run, or answered wrongly."""
    between: tuple[float, float] | None = None
    """What single timings would have given."""

    @property
    def met(self) -> bool | None:
        if self.measured is None:
            return None
        return self.measured >= self.goal if self.more else self.measured <= self.goal

    def line(self) -> str:
        bound = f"at {'least' if self.more else 'most'} {_with_unit(self.goal, self.unit)}"
        measured = "not measured" if self.measured is None else _with_unit(self.measured, self.unit)
        if self.between is not None:
            low, high = self.between
            measured += f" ({low:.3g} to {high:.3g})"
        return f"| {self.title} | {bound} | {measured} | {_verdict(self.met)} |"

    def as_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "goal": self.goal,
            "unit": self.unit,
            "better": "more" if self.more else "less",
            "measured": self.measured,
            "met": self.met,
        }


def _with_unit(value: float, unit: str) -> str:
    return f"{value:.3g}{unit and ' '}{unit}"


def _verdict(met: bool | None) -> str:
    return "" if met is None else "met" if met else "**missed**"


def _judged(rows: list[Row], figures: Sequence[Figure]) -> list[_Judged]:
    """All of them, so that what was left out of a run is seen, too."""
    titles = {contender.name: contender.title for contender in CONTENDERS}
    at_16 = {(row.case.name, row.contender): row for row in rows if row.connections == JUDGED_AT}
    judged: list[_Judged] = []
    for case in CASES:
        own, limit = at_16.get((case.name, "headrace")), at_16.get((case.name, "bare"))
        for contender, goal in case.goals.items():
            ratio = _ratio(own, at_16.get((case.name, contender)))
            title = f"{case.title}, against {titles.get(contender, contender)}"
            between = _range(own, at_16.get((case.name, contender)))
            judged.append(_Judged(title, goal, "times", True, ratio, between))
        if case.p99_goal is not None:
            title = f"p99 of {case.title}, {JUDGED_AT} connections, against {titles['bare']}"
            judged.append(_Judged(title, case.p99_goal, "times", False, _p99_ratio(own, limit)))
    measured = {(figure.measure.name, figure.quantity.name): figure for figure in figures}
    for measure in MEASURES:
        for quantity in measure.quantities:
            figure = measured.get((measure.name, quantity.name)) or Figure(measure, quantity)
            for goal in quantity.goals:
                if goal.judged:
                    title = quantity.title + (f", against {titles[goal.against]}" if goal.against else "")
                    unit = "times" if goal.against else quantity.unit
                    judged.append(_Judged(title, goal.bound, unit, quantity.more, figure.measured(goal)))
    return judged


def _p99_ratio(own: Row | None, limit: Row | None) -> float | None:
    if own is None or limit is None or not own.usable or not limit.usable:
        return None
    return own.middle("p99") / limit.middle("p99")


def _figure_lines(figure: Figure) -> list[str]:
    quantity = figure.quantity
    better = "more" if quantity.more else "less"
    lines = ["", f"### {quantity.title}", "", f"In {quantity.unit}; {better} is better.", ""]
    lines += [
        "| contender | median | lowest | highest | Headrace's is ... times that | goal |",
        "|---|---|---|---|---|---|",
    ]
    for contender in CONTENDERS:
        value = figure.value(contender.name)
        if contender.name in figure.wrong:
            lines.append(f"| {contender.title} | wrong | | | | |")
        elif value is not None:
            readings = figure.readings[contender.name]
            own = contender.name == "headrace"
            ratio = None if own else figure.measured(Goal(0, contender.name))
            goals = [goal for goal in quantity.goals if goal.against == (None if own else contender.name)]
            told = [f"{_verdict(figure.met(goal))} ({goal.bound:g})" for goal in goals if figure.met(goal) is not None]
            values = [f"{number:,.4g}" for number in (value, min(readings), max(readings))]
            values += ["" if ratio is None else f"{ratio:.3g}", ", ".join(told)]
            lines.append(f"| {contender.title} | {' | '.join(values)} |")
    return lines


def markdown(rows: list[Row], about: dict[str, Any], figures: Sequence[Figure] = ()) -> str:
    text = [f"# Benchmarks, {about['date']}", ""]
    text += [f"* {name}: {value}" for name, value in about.items() if name != "versions"]
    for contender, versions in about["versions"].items():
        text.append(f"* {contender}: {', '.join(f'{package} {version}' for package, version in versions.items())}")
    text += ["", "## What is judged", "", "| | goal | measured | |", "|---|---|---|---|"]
    text += [judged.line() for judged in _judged(rows, figures)]
    for case in dict.fromkeys(row.case for row in rows):
        text += ["", f"## {case.title}", ""]
        text.append(
            f"| connections | contender | configuration | {case.unit}/s | spread | server busy | p50 ms | p99 ms |"
            " of the limit | Headrace is ... times as fast | goal |"
        )
        text.append("|---|---|---|---|---|---|---|---|---|---|---|")
        for connections in sorted({row.connections for row in rows if row.case is case}):
            text += _lines(rows, case, connections)
        text += [f"\n* {row.wrong}" for row in rows if row.case is case and row.wrong]
    if figures:
        text += ["", "## Clients, starts, memory, open streams"]
    for figure in figures:
        text += _figure_lines(figure)
        text += [f"\n* {reason}" for reason in figure.wrong.values()]
    return "\n".join(text) + "\n"


def write(rows: list[Row], about: dict[str, Any], stem: Path, figures: Sequence[Figure] = ()) -> None:
    """`stem` with .md and .json."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    stem.with_suffix(".md").write_text(markdown(rows, about, figures))
    told = {
        **about,
        "machine": platform.platform(),
        "judged": [judged.as_json() for judged in _judged(rows, figures)],
        "rows": [row.as_json() for row in rows],
        "figures": [figure.as_json() for figure in figures],
    }
    stem.with_suffix(".json").write_text(json.dumps(told, indent=1) + "\n")
