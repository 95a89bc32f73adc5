"""Counts and tables of what was compared."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from compare import Outcome

__all__ = ["counted", "report", "write_json"]


def counted(outcomes: Iterable[Outcome]) -> tuple[int, int, float]:
    """How many are alike, of how many that FastMCP runs, and the percentage."""
    counts = Counter(outcome.verdict for outcome in outcomes)
    ran = counts["alike"] + counts["different"]
    return counts["alike"], ran, 100 * counts["alike"] / ran if ran else 100.0


def report(outcomes: list[Outcome], *, details: bool) -> Iterator[str]:
    """Markdown: the counts, each difference, and what was not counted."""
    yield from _counts(outcomes)
    yield "\n## Differences\n\n| block | of a later step | where | FastMCP | Headrace |\n|---|---|---|---|---|"
    for outcome in outcomes:
        if outcome.verdict != "different" or (outcome.block.later and not details):
            continue
        shown = outcome.differences if details else outcome.differences[:1]
        for where, theirs, ours in shown:
            cells = (outcome.block.id, outcome.block.later or "", where, theirs, ours)
            yield "| " + " | ".join(_cell(cell, 400 if details else 110) for cell in cells) + " |"
    yield "\n## Of later steps, by what they import\n\n| what | alike | run under FastMCP |\n|---|---|---|"
    for name in sorted({outcome.block.later for outcome in outcomes if outcome.block.later}):
        alike, ran, _ = counted(outcome for outcome in outcomes if outcome.block.later == name)
        yield f"| {name} | {alike} | {ran} |"
    yield "\n## Left out: what FastMCP itself does not run\n"
    reasons = Counter(_cell(each.reason, 90) for each in outcomes if each.verdict == "left out")
    yield from (f"* {count} {reason}" for reason, count in reasons.most_common())


def _counts(outcomes: list[Outcome]) -> Iterator[str]:
    yield "## Counts\n\n| documentation | what | run under FastMCP | alike | share | left out | with later steps |"
    yield "|---|---|---|---|---|---|---|"
    for revision in dict.fromkeys(outcome.block.revision for outcome in outcomes):
        for complete, name in ((True, "complete servers"), (False, "fragments")):
            every = [each for each in outcomes if (each.block.revision, each.block.complete) == (revision, complete)]
            now = [each for each in every if each.block.later is None]
            alike, ran, share = counted(now)
            all_alike, all_ran, all_share = counted(every)
            yield (
                f"| {revision} | {name} | {ran} | {alike} | {share:.1f} % | {len(now) - ran} "
                f"| {all_alike} of {all_ran} ({all_share:.1f} %) |"
            )


def _cell(value: object, longest: int) -> str:
    text = "nothing" if value is None else str(value)
    text = " ".join(text.replace("|", "\\|").split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


def write_json(outcomes: list[Outcome], path: Path) -> None:
    """For looking closer: every outcome with all its differences."""
    records = [
        {
            "id": each.block.id,
            "complete": each.block.complete,
            "later": each.block.later,
            "verdict": each.verdict,
            "reason": each.reason,
            "differences": each.differences,
        }
        for each in outcomes
    ]
    path.write_text(json.dumps(records, default=repr, indent=1), encoding="utf-8")
