"""A server in this process: its lifespan is entered, its messages are those of the wire."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any, cast

from ...call import Served
from ...exceptions import ClientError
from ...protocol.jsonrpc import Response, decode
from ...protocol.versions import Era
from ...transports.memory import MemoryConnection
from .base import Hear, Outgoing

__all__ = ["MemoryTransport"]


class MemoryTransport:
    mirrors_headers = False

    def __init__(self, server: Served) -> None:
        self._server = server
        self._connection: MemoryConnection | None = None
        self._hear: Hear | None = None
        self._incoming: asyncio.Queue[bytes] = asyncio.Queue()
        self._listener: asyncio.Task[None] | None = None
        self._lifespan: _Held | None = None
        self._agreed = False

    @property
    def name(self) -> str:
        return f"the server {getattr(self._server, 'name', type(self._server).__name__)!r}"

    @property
    def session_id(self) -> str | None:
        return self._connection.session_id if self._connection is not None and self._agreed else None

    async def open(self, hear: Hear) -> None:
        make = getattr(self._server, "lifespan_context", None)
        if callable(make):
            lifespan = _Held(cast("AbstractAsyncContextManager[Any]", make()))
            await lifespan.enter()
            self._lifespan = lifespan
        self._hear = hear
        self._incoming = asyncio.Queue()
        self._connection = MemoryConnection(self._server, self._incoming.put_nowait)

    async def close(self) -> None:
        listener, self._listener = self._listener, None
        connection, self._connection = self._connection, None
        lifespan, self._lifespan = self._lifespan, None
        self._hear, self._agreed = None, False
        if listener is not None:
            listener.cancel()
            await asyncio.wait([listener])
        try:
            if connection is not None:
                await connection.close()
        finally:
            if lifespan is not None:
                await lifespan.leave()

    async def request(self, outgoing: Outgoing, hear: Hear) -> Response:
        if self._connection is None:
            raise ClientError(f"Not connected to {self.name}: use the client in `async with client:`")
        said: asyncio.Queue[bytes | None] = asyncio.Queue()
        task = self._connection.start(outgoing.body, said.put_nowait)
        task.add_done_callback(lambda _: said.put_nowait(None))
        try:
            while (message := await said.get()) is not None:
                await hear(decode(message))
        except asyncio.CancelledError:
            if not self._agreed:  # with a handshake, the client says so in a notification
                task.cancel()
            raise
        answer = None if task.cancelled() else task.result()
        response = None if answer is None else decode(answer)
        if not isinstance(response, Response):
            raise ClientError(f"{self.name} cancelled {outgoing.method}")
        return response

    async def send(self, body: bytes) -> None:
        if self._connection is not None:
            await self._connection.take(body)

    def agree(self, era: Era) -> None:
        self._agreed = True

    async def listen(self) -> None:
        self._listener = asyncio.get_running_loop().create_task(self._pump())

    async def _pump(self) -> None:
        while self._hear is not None:
            await self._hear(decode(await self._incoming.get()))


class _Held:
    """A context manager that one task enters and leaves, whoever opens and closes the client."""

    def __init__(self, manager: AbstractAsyncContextManager[Any]) -> None:
        self._manager = manager
        self._leave = asyncio.Event()
        self._entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None

    async def enter(self) -> None:
        """Raises what entering raises."""
        self._task = asyncio.get_running_loop().create_task(self._hold())
        try:
            await asyncio.wait([self._entered, self._task], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._task.cancel()
            raise
        if not self._entered.done():
            await self._task

    async def leave(self) -> None:
        self._leave.set()
        if self._task is not None:
            await self._task

    async def _hold(self) -> None:
        async with self._manager:
            self._entered.set_result(None)
            await self._leave.wait()
