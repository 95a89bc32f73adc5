"""The user's lifespan, entered once however many apps of a server run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

__all__ = ["Lifespan", "SharedLifespan"]

Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]
"""A factory of async context managers; gets the server."""


class SharedLifespan:
    """Counts who is inside: the first enters the user's lifespan, the last leaves it. Can be entered again."""

    def __init__(self, factory: Lifespan | None, server: Any) -> None:
        self.factory = factory
        self.value: Any = {}
        self._server = server
        self._inside = 0
        self._manager: AbstractAsyncContextManager[Any] | None = None
        self._turn: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None

    @property
    def running(self) -> bool:
        """Whether functions find what the lifespan yields; without a lifespan, always."""
        return self.factory is None or self._inside > 0

    @asynccontextmanager
    async def enter(self) -> AsyncGenerator[Any]:
        async with self._lock():
            if self._inside == 0 and self.factory is not None:
                manager = self.factory(self._server)
                value = await manager.__aenter__()
                self._manager, self.value = manager, {} if value is None else value
            self._inside += 1
        error: BaseException | None = None
        try:
            yield self.value
        except BaseException as raised:
            error = raised
            raise
        finally:
            async with self._lock():
                self._inside -= 1
                if self._inside == 0 and self._manager is not None:
                    manager, self._manager, self.value = self._manager, None, {}
                    await manager.__aexit__(
                        type(error) if error else None, error, error.__traceback__ if error else None
                    )

    def _lock(self) -> asyncio.Lock:
        """A lock of the running loop: an app may be started again in another one."""
        loop = asyncio.get_running_loop()
        if self._turn is None or self._turn[0] is not loop:
            self._turn = (loop, asyncio.Lock())
        return self._turn[1]
