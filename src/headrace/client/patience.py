"""Limits of time that stand still while a user is asked: to log in takes longer than any server may."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar

__all__ = ["limit_of", "patient"]

_limits: ContextVar[tuple[list[asyncio.Timeout], ...]] = ContextVar("limits", default=())
"""Each in a list of its own that is empty once the limit is over: tasks that were begun meanwhile still have it."""


@asynccontextmanager
async def limit_of(seconds: float) -> AsyncGenerator[asyncio.Timeout, None]:
    """As `asyncio.timeout`, but what happens inside of `patient` takes no time."""
    async with asyncio.timeout(seconds) as limit:
        place = [limit]
        token = _limits.set((*_limits.get(), place))
        try:
            yield limit
        finally:
            _limits.reset(token)
            place.clear()


@contextmanager
def patient() -> Generator[None]:
    """The limits around this don't count what happens inside."""
    loop = asyncio.get_running_loop()
    left: list[tuple[list[asyncio.Timeout], float]] = []
    for place in _limits.get():
        for limit in place:
            when = limit.when()
            if when is not None and not limit.expired():
                left.append((place, when - loop.time()))
                limit.reschedule(None)
    try:
        yield
    finally:
        for place, seconds in left:
            for limit in place:
                limit.reschedule(loop.time() + seconds)
