"""What lasts: a clock for all requests of an app, and one for all its streams, in place of a timer for each.

Most requests are over before any of their time limits matters. They only stand in a set for a moment; what is still
there when the clock has turned is told, and sets up the timers that it needs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

__all__ = ["Clocks", "Lasting", "Limits", "Pace"]


_STREAM_SLOTS = 50
"""So that a fiftieth of the streams speak at a time."""


class Lasting(Protocol):
    def lasts(self) -> None:
        """It is still under way. Never raises."""
        ...


class Pace:
    """A wheel of `slots` that turns by one each `tick` seconds, and stands still while it is empty.

    What begins is told, once, when its slot comes round: after `slots` - 1 to `slots` ticks. What began at different
    times is told at different times, so that ten thousand streams do not all speak at once.
    """

    def __init__(self, tick: float, slots: int) -> None:
        self._seconds = tick
        self._slots: deque[set[Lasting]] = deque(set[Lasting]() for _ in range(slots))
        self._loop: asyncio.AbstractEventLoop | None = None
        """Where the clock ticks; an app may be served by one loop after another."""

    def begin(self, item: Lasting, loop: asyncio.AbstractEventLoop) -> set[Lasting]:
        """`loop` is the one that runs. Whoever ends before takes the item out of the set that this returns."""
        slot = self._slots[0]
        slot.add(item)
        if loop is not self._loop:
            self._loop = loop
            loop.call_later(self._seconds, self._tick, loop)
        return slot

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop is not self._loop:
            return
        lasting = self._slots.pop()
        self._slots.appendleft(set())
        for item in list(lasting):
            if item in lasting:
                item.lasts()
        if any(self._slots):
            loop.call_later(self._seconds, self._tick, loop)
        else:
            self._loop = None


class Limits:
    """Times in seconds, sizes in bytes; made once per app."""

    __slots__ = (
        "body_seconds",
        "keep_alive",
        "max_age",
        "max_buffer",
        "max_waiting",
        "min_frame",
        "sse_after",
        "watch_after",
        "write_seconds",
    )

    def __init__(
        self,
        *,
        body_seconds: float = 30.0,
        watch_after: float = 0.1,
        sse_after: float = 5.0,
        keep_alive: float = 15.0,
        write_seconds: float = 30.0,
        max_buffer: int = 1024 * 1024,
        max_events: int = 256,
        max_age: float = 3600.0,
    ) -> None:
        self.body_seconds = body_seconds
        self.watch_after = watch_after
        """When a call is looked after for a disconnect, if its revision cancels then."""
        self.sse_after = sse_after
        """When an answer that is still to come turns into a stream with keep-alive comments."""
        self.keep_alive = keep_alive
        """The longest silence of a stream; a comment comes after two thirds of it."""
        self.write_seconds = write_seconds
        """How long a reader may stall; looked at as often as for keep-alive comments, so up to a third more."""
        self.max_buffer = max_buffer
        self.min_frame = max_buffer // max_events
        """What an event counts at least, so that `max_events` fill the buffer however short they are."""
        self.max_waiting = max_buffer // 2
        """Past it, who can wait for the reader waits."""
        self.max_age = max_age
        """When a stream that only waits (GET, a subscription) ends, whoever opened it has to come again then."""


class Clocks:
    """Of one app: requests that last are told after one to two times `watch_after`; streams are told so often that
    their keep-alive comments come in time."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.requests = Pace(limits.watch_after, 2)
        self.streams = Pace(limits.keep_alive * 2 / 3 / _STREAM_SLOTS, _STREAM_SLOTS)
