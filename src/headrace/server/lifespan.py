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
    """Counts who is inside: the first starts the user's lifespan, the last ends it. Can be started again.

    It runs in a task of its own: who comes first and who leaves last are different tasks, and what a lifespan opens
    (a task group, say) must be closed where it was opened.
    """

    def __init__(self, factory: Lifespan | None, server: Any) -> None:
        self.factory = factory
        self.value: Any = {}
        self._server = server
        self._inside = 0
        self._current: _Running | None = None

    @property
    def running(self) -> bool:
        """Whether functions find what the lifespan yields; without a lifespan, always."""
        return self.factory is None or self._inside > 0

    @asynccontextmanager
    async def enter(self) -> AsyncGenerator[Any]:
        if self.factory is None:
            yield self.value
            return
        current = self._current
        if current is None or current.task.get_loop() is not asyncio.get_running_loop():
            current = self._current = _Running(self.factory(self._server))
        try:
            # Whoever comes may be cancelled; the lifespan is not theirs alone.
            self.value = await asyncio.shield(current.started)
        except BaseException:
            if self._inside == 0:
                self._current = None
            raise
        self._inside += 1
        try:
            yield self.value
        finally:
            self._inside -= 1
            if self._inside == 0:
                self._current, self.value = None, {}
                current.stop.set()
                await current.task


class _Running:
    """A lifespan in its task: `started` has what it yields, or raises; `stop` ends it."""

    def __init__(self, manager: AbstractAsyncContextManager[Any]) -> None:
        loop = asyncio.get_running_loop()
        self.started: asyncio.Future[Any] = loop.create_future()
        self.stop = asyncio.Event()
        self.task = loop.create_task(self._run(manager))

    async def _run(self, manager: AbstractAsyncContextManager[Any]) -> None:
        try:
            async with manager as value:
                self.started.set_result({} if value is None else value)
                await self.stop.wait()
        except BaseException as error:
            if self.started.done():
                raise
            self.started.set_exception(error)
