"""The user's lifespan, entered once however many apps of a server run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
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


def lifespan(function: Callable[[Any], AsyncIterator[Any]]) -> ComposableLifespan:
    """Make a lifespan of an async generator function that yields once: a dict, or nothing."""
    return ComposableLifespan(asynccontextmanager(cast("Callable[[Any], AsyncGenerator[Any]]", function)))


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
    (a task group, say) must be closed where it was opened. Each event loop has its own.
    """

    def __init__(self, factory: Lifespan | None, server: Any) -> None:
        self.factory = factory
        self.idle = factory is None
        """Whether there is nothing to enter."""
        self._more: list[Callable[[], AbstractAsyncContextManager[Any]]] = []
        self._server = server
        self._runs: list[_Running] = []

    def also(self, make: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        """Enter one more with the user's, and leave it before. Raises RuntimeError while it runs."""
        if self._runs:
            raise RuntimeError("The server runs already: add what has a lifespan before")
        self._more.append(make)
        self.idle = False

    @property
    def running(self) -> bool:
        """Whether functions find what the lifespan yields; without a lifespan, always."""
        return self.idle or any(each.ready for each in self._runs)

    @property
    def value(self) -> Any:
        """What the lifespan of this event loop yielded (in a thread without one, the last); an empty dict if none."""
        ready = [each for each in self._runs if each.ready]
        if len(ready) > 1:
            ready = [each for each in ready if each.task.get_loop() is _loop()] or ready
        return ready[-1].started.result() if ready else {}

    @asynccontextmanager
    async def enter(self) -> AsyncGenerator[Any]:
        """Raises RuntimeError in the lifespan itself, before it yields and after."""
        if self.idle:
            yield {}
            return
        run = await self._join()
        try:
            # Whoever comes may be cancelled; the lifespan is not theirs alone.
            yield await asyncio.shield(run.started)
        finally:
            await run.leave()

    async def _join(self) -> _Running:
        """The run of this event loop, a new one where there is none or the last one ends."""
        loop = asyncio.get_running_loop()
        self._runs = [each for each in self._runs if not each.task.get_loop().is_closed()]
        while True:
            run = next((each for each in self._runs if each.task.get_loop() is loop), None)
            if run is None:
                run = _Running(self._all())
                self._runs.append(run)
                run.task.add_done_callback(self._forget)
            elif run.task is asyncio.current_task():
                raise RuntimeError(
                    "A lifespan can't call its own server: before it yields there is nothing to serve with"
                )
            elif run.ending:
                await asyncio.wait([run.task])
                continue
            run.inside += 1
            return run

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._runs = [each for each in self._runs if each.task is not task]

    @asynccontextmanager
    async def _all(self) -> AsyncGenerator[Any]:
        async with AsyncExitStack() as stack:
            value = None if self.factory is None else await stack.enter_async_context(self.factory(self._server))
            for make in self._more:
                await stack.enter_async_context(make())
            yield value


class _Running:
    """A lifespan in its task: `started` has what it yields, or raises. It ends when the last of those inside leaves."""

    def __init__(self, manager: AbstractAsyncContextManager[Any]) -> None:
        loop = asyncio.get_running_loop()
        self.started: asyncio.Future[Any] = loop.create_future()
        self.inside = 0
        self.ending = False
        self._stop = asyncio.Event()
        self.task = loop.create_task(self._run(manager))

    @property
    def ready(self) -> bool:
        return self.started.done() and not self.ending and self.started.exception() is None

    async def leave(self) -> None:
        """Raises what the lifespan raises at its end."""
        self.inside -= 1
        if self.inside == 0:
            self.ending = True
            if self.started.done():
                self._stop.set()
            else:
                self.task.cancel()  # nobody waits for it any more
            await self.task

    async def _run(self, manager: AbstractAsyncContextManager[Any]) -> None:
        try:
            async with manager as value:
                self.started.set_result({} if value is None else value)
                await self._stop.wait()
        except BaseException as error:
            if self.started.done():
                raise
            self.started.set_exception(error)
            self.started.exception()  # whoever waited for it may have been cancelled: asyncio need not complain


def _loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
