"""Memory of idle sessions, and whether it comes back into use when they have expired."""

from __future__ import annotations

import sys

from .figures import Goal, Measure, Quantity
from .processes import Setting, serving, told

__all__ = ["SESSION_MEMORY"]


def _fills(setting: Setting, contender: str) -> dict[str, float]:
    own = contender == "headrace"
    count, idle = (1_000, 6) if setting.quick else (10_000, 30)
    if not own:  # theirs take long to make
        count, idle = (200, 6) if setting.quick else (1_000, 30)
    with serving(setting, contender, f"{contender}_server.py", "--idle-timeout", str(idle)) as server:
        load = [sys.executable, "-m", "benchmarks.measures.filling"]
        load += [str(server.port), str(server.process_id), str(count), str(idle)]
        return told(load, setting.load_core, 10 * idle)


SESSION_MEMORY = Measure(
    "session-memory",
    (
        Quantity(
            "each",
            "memory per idle session (Headrace: 10,000 sessions, peers: 1,000; quick: 1,000, 200)",
            "KB",
            goals=(Goal(2),),
        ),
        Quantity(
            "growth",
            "what a second fill adds after the first has expired, of what the first added",
            "%",
            goals=(Goal(5),),
        ),
        Quantity("growth-of-all", "the same, of the whole process's memory after the first fill", "%"),
    ),
    ("headrace", "fastmcp", "mcp"),
    _fills,
)
