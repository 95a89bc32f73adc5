"""Limits of time that stand still while a user is asked: to log in takes longer than any server may."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

__all__ = ["limit_of", "patient"]


@dataclass(slots=True)
class _Limit:
    timeout: asyncio.Timeout | None
    """None once it is over: tasks that were begun meanwhile still have this."""
    waiting: int = 0
    """How many wait for a user inside of it."""
    left: float = 0.0
    """Seconds, while somebody does."""

    def stop(self) -> None:
        self.waiting += 1
        if self.timeout is not None and self.waiting == 1 and not self.timeout.expired():
            when = self.timeout.when()
            assert when is not None
            self.left = when - asyncio.get_running_loop().time()
            self.timeout.reschedule(None)

    def go_on(self) -> None:
        self.waiting -= 1
        if self.timeout is not None and self.waiting == 0 and not self.timeout.expired():
            self.timeout.reschedule(asyncio.get_running_loop().time() + self.left)


_limits: ContextVar[tuple[_Limit, ...]] = ContextVar("limits", default=())


@asynccontextmanager
async def limit_of(seconds: float) -> AsyncGenerator[asyncio.Timeout]:
    """As `asyncio.timeout`, but what happens inside of `patient` takes no time."""
    async with asyncio.timeout(seconds) as timeout:
        limit = _Limit(timeout)
        token = _limits.set((*_limits.get(), limit))
        try:
            yield timeout
        finally:
            _limits.reset(token)
            limit.timeout = None


@contextmanager
def patient() -> Generator[None]:
    """The limits around this don't count what happens inside."""
    limits = _limits.get()
    for limit in limits:
        limit.stop()
    try:
        yield
    finally:
        for limit in limits:
            limit.go_on()
