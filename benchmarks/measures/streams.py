"""Many open `subscriptions/listen` streams on one process, and one notice to all of them."""

from __future__ import annotations

import resource
import sys

from ..contenders import Wrong
from .figures import Goal, Measure, Quantity
from .processes import Setting, serving, told

__all__ = ["LISTEN_STREAMS"]

_FURTHER_FILES = 500


def _streams(setting: Setting, contender: str) -> dict[str, float]:
    count = 1_000 if setting.quick or contender == "mcp" else 10_000
    _allow_files(count + _FURTHER_FILES)
    with serving(setting, contender, f"{contender}_server.py") as server:
        load = [sys.executable, "-m", "benchmarks.measures.listening"]
        load += [str(server.port), str(server.process_id), str(count), contender]
        return told(load, setting.load_core, 180)


def _allow_files(count: int) -> None:
    """For this process and those it starts. Raises Wrong where the system does not allow so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        if hard != resource.RLIM_INFINITY and hard < count:
            raise Wrong(f"{count:,} open files are needed, and the system allows {hard:,} (ulimit -Hn)")
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


LISTEN_STREAMS = Measure(
    "listen-streams",
    (
        Quantity(
            "each",
            "memory per open `subscriptions/listen` stream (10,000; mcp: 1,000; quick: 1,000)",
            "KB",
            goals=(Goal(14),),
        ),
        Quantity(
            "notice",
            "from the call that changes the tools until each of those streams has the notice",
            "s",
            goals=(Goal(1),),
        ),
    ),
    ("bare", "headrace", "mcp"),
    _streams,
)
