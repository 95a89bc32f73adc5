"""The user's lifespan, entered once however many apps of a server run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, cast

__all__ = ["ComposableLifespan", "Lifespan", "SharedLifespan", "lifespan", "merged"]

Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]
"""A factory of async context managers; gets the server."""


class ComposableLifespan:
    """A lifespan that is joined to another with ``|``: the left is entered first, and what they yield is merged."""

    def __init__(self, factory: Lifespan) -> None:
        self._factory = factory

    def __call__(self, server: Any) -> AbstractAsyncContextManager[Any]:
        return self._factory(server)

    def __or__(self, other: Lifespan) -> ComposableLifespan:
        return ComposableLifespan(merged(self, other))


def lifespan(function: Callable[[Any], AsyncGenerator[Any]]) -> ComposableLifespan:
    """Make a lifespan of an async generator function that yields once: a dict, or nothing."""
    return ComposableLifespan(asynccontextmanager(function))


def merged(*factories: Lifespan) -> Lifespan:
    """One lifespan of several, entered in order and left in the reverse order; what they yield is merged into a dict.

    Raises TypeError where a lifespan yields something else.
    """

    @asynccontextmanager
    async def together(server: Any) -> AsyncGenerator[dict[str, Any]]:
        values: dict[str, Any] = {}
        async with AsyncExitStack() as stack:
            for factory in factories:
                value = await stack.enter_async_context(factory(server))
                if value is not None and not isinstance(value, Mapping):
                    raise TypeError(f"Lifespans that are joined yield dicts, not {type(value).__name__}")
                values.update(cast("Mapping[str, Any]", value or {}))
            yield values

    return together


class SharedLifespan:
    """Counts who is inside: the first starts the user's lifespan, the last ends it. Can be started again.

    It runs in a task of its own: who comes first and who leaves last are different tasks, and what a lifespan opens
    (a task group, say) must be closed where it was opened.
    """

    def __init__(self, factory: Lifespan | None, server: Any) -> None:
        self.factory = factory
        self.value: Any = {}
        self._more: list[Callable[[], AbstractAsyncContextManager[Any]]] = []
        self._server = server
        self._inside = 0
        self._current: _Running | None = None

    def also(self, make: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        """Enter one more with the user's, and leave it before. Raises RuntimeError while it runs."""
        if self._inside:
            raise RuntimeError("The server runs already: add what has a lifespan before")
        self._more.append(make)

    @property
    def running(self) -> bool:
        """Whether functions find what the lifespan yields; without a lifespan, always."""
        return self._idle or self._inside > 0

    @property
    def _idle(self) -> bool:
        return self.factory is None and not self._more

    @asynccontextmanager
    async def enter(self) -> AsyncGenerator[Any]:
        if self._idle:
            yield self.value
            return
        current = self._current
        if current is None or current.task.get_loop() is not asyncio.get_running_loop():
            current = self._current = _Running(self._all())
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

    @asynccontextmanager
    async def _all(self) -> AsyncGenerator[Any]:
        async with AsyncExitStack() as stack:
            value = None if self.factory is None else await stack.enter_async_context(self.factory(self._server))
            for make in self._more:
                await stack.enter_async_context(make())
            yield value


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
