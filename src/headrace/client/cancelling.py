"""Requests that can be given up from outside, and work that is done to its end whoever is cancelled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

__all__ = ["InFlight", "unbroken"]

logger = logging.getLogger(__name__)

_END_SECONDS = 3.0


class InFlight:
    """An operation that waits for its answer, in `task`."""

    __slots__ = ("_cancelling", "id", "stopped", "task")

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.task = task
        self._cancelling = task.cancelling()
        self.id = 0
        """Of the request that is under way; every round has its own."""
        self.stopped: str | None = None
        """Why the operation was given up from outside its task."""

    def stop(self, reason: str) -> None:
        if self.stopped is None:
            self.stopped = reason
            self.task.cancel()

    def only_stopped(self) -> bool:
        """Whether the task was cancelled by `stop`, which is taken back then, and by nobody else."""
        return self.stopped is not None and self.task.uncancel() <= self._cancelling


_unbroken: set[asyncio.Task[None]] = set()


async def unbroken(work: Coroutine[Any, Any, None]) -> None:
    """Where this task is cancelled meanwhile, the end is waited for all the same, but not for long (the work may wait
    for this task); a second cancellation leaves the work to end by itself."""
    task = asyncio.get_running_loop().create_task(work)
    _unbroken.add(task)
    task.add_done_callback(_done)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=_END_SECONDS)
        raise


def _done(task: asyncio.Task[None]) -> None:
    _unbroken.discard(task)
    error = None if task.cancelled() else task.exception()
    if error is not None:  # raised by the one who waits, if anyone still does
        logger.debug("A connection did not end well: %r", error)
