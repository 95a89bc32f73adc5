"""What a test may have left behind: tasks, descriptors, child processes; counted, not guessed."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

__all__ = ["Leftovers", "nothing_left"]

_SECONDS = 10.0
_DESCRIPTORS, _THREADS = Path("/proc/self/fd"), Path("/proc/self/task")


class Leftovers:
    """What there is now."""

    def __init__(self) -> None:
        # The plugin runs each step of a test in a task of its own.
        self.tasks = {task for task in asyncio.all_tasks() if not task.done() and "TestRunner" not in repr(task)}
        self.descriptors: dict[str, str] = {}
        for name in os.listdir(_DESCRIPTORS):
            try:
                self.descriptors[name] = os.readlink(_DESCRIPTORS / name)
            except FileNotFoundError:  # that of the listing itself
                pass
        self.children: set[str] = set()
        for thread in _THREADS.iterdir():
            try:
                self.children.update((thread / "children").read_text().split())
            except (FileNotFoundError, ProcessLookupError):  # a thread that has ended since: its children moved on
                pass

    def beyond(self, before: Leftovers) -> str:
        """What was not there before, as text; empty: nothing."""
        more = [f"tasks: {left}" for left in [self.tasks - before.tasks] if left]
        if len(self.descriptors) > len(before.descriptors):
            more.append(f"descriptors: {sorted(self.descriptors.items() - before.descriptors.items())}")
        more += [f"processes: {left}" for left in [self.children - before.children] if left]
        return "; ".join(more)


@asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """Whatever is begun inside has ended soon after. Skips the test where there is no /proc to count in."""
    if sys.platform != "linux":
        pytest.skip("descriptors and processes are counted in /proc")
    before = Leftovers()
    yield
    deadline = time.monotonic() + _SECONDS
    while more := Leftovers().beyond(before):
        assert time.monotonic() < deadline, more
        await asyncio.sleep(0.005)
