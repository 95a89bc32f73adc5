"""Which requests last: a clock for all requests of an app, in place of a timer for each.

Most requests are over before any of their time limits matters. They only stand in a set for a moment; what is still
there when the clock has ticked twice is told, and sets up the timers that it needs.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

__all__ = ["Clocks", "Lasting", "Limits", "Pace"]


class Lasting(Protocol):
    def lasts(self) -> None:
        """It has been under way for one to two periods. Never raises."""
        ...


class Pace:
    """`period` in seconds. The clock stands still while nothing is under way."""

    def __init__(self, period: float) -> None:
        self._period = period
        self._young: set[Lasting] = set()
        self._old: set[Lasting] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        """Where the clock ticks; an app may be served by one loop after another."""

    def begin(self, item: Lasting, loop: asyncio.AbstractEventLoop) -> None:
        """`loop` is the one that runs."""
        self._young.add(item)
        if loop is not self._loop:
            self._loop = loop
            loop.call_later(self._period, self._tick, loop)

    def end(self, item: Lasting) -> None:
        """Nothing where it has lasted, or ended before."""
        self._young.discard(item)
        self._old.discard(item)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop is not self._loop:
            return
        lasting, self._old, self._young = self._old, self._young, set()
        for item in lasting:
            item.lasts()
        if self._old or self._young:
            loop.call_later(self._period, self._tick, loop)
        else:
            self._loop = None


class Limits:
    """Times in seconds, sizes in bytes; made once per app."""

    __slots__ = ("body_seconds", "keep_alive", "max_buffer", "sse_after", "watch_after", "write_seconds")

    def __init__(
        self,
        *,
        body_seconds: float = 30.0,
        watch_after: float = 0.1,
        sse_after: float = 5.0,
        keep_alive: float = 15.0,
        write_seconds: float = 30.0,
        max_buffer: int = 1024 * 1024,
    ) -> None:
        self.body_seconds = body_seconds
        self.watch_after = watch_after
        """When a call is looked after for a disconnect, if its revision cancels then."""
        self.sse_after = sse_after
        """When an answer that is still to come turns into a stream with keep-alive comments."""
        self.keep_alive = keep_alive
        self.write_seconds = write_seconds
        self.max_buffer = max_buffer


class Clocks:
    """Of one app: requests that last are told after one to two times `watch_after`; streams are told so often that
    they send keep-alive comments in time."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.requests = Pace(limits.watch_after)
        self.streams = Pace(limits.keep_alive / 3)
