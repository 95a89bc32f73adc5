"""A client and a server in one process: encoded messages in, encoded messages out.

The messages are those of the wire, and so are the peers: what works here works over stdio and HTTP. Both eras are
served.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from ..call import Served
from ..state.sealer import AeadSealer
from .duplex import Duplex

__all__ = ["MemoryChannel", "memory_channel", "memory_pair"]

MAX_UNREAD = 1000
"""Messages of the server that wait for a client that does not read."""


class MemoryChannel:
    """The client's end: `send` its messages; the server's are handed over to `receive`, or wait for `read`."""

    def __init__(self, server: Served) -> None:
        self._unread: asyncio.Queue[bytes] = asyncio.Queue(MAX_UNREAD)
        self._take: Callable[[bytes], bool] | None = None
        self._duplex = Duplex(server, self._emit, transport="memory", sealer=AeadSealer())

    @property
    def session_id(self) -> str:
        """Of the handshake era."""
        return self._duplex.session_id

    async def send(self, body: bytes) -> None:
        """Give the server one message. Waits for room where the client does not read what it is told."""
        await self._duplex.take(body)

    async def receive(self, take: Callable[[bytes], bool]) -> None:
        """Hand over what the server says as it says it, until this is cancelled. `take` tells whether something waits
        to be heard: then the server waits a moment, too."""
        self._take = take
        while not self._unread.empty():
            take(self._unread.get_nowait())
        await asyncio.get_running_loop().create_future()

    async def read(self) -> bytes:
        """The server's next message."""
        return await self._unread.get()

    async def close(self) -> None:
        await self._duplex.close()

    async def _emit(self, body: bytes) -> None:
        if self._take is None:
            await self._unread.put(body)
        elif self._take(body):
            await asyncio.sleep(0)


@asynccontextmanager
async def memory_channel(server: Served) -> AsyncGenerator[MemoryChannel]:
    """A client's channel to the server, whose lifespan is entered meanwhile."""
    async with AsyncExitStack() as stack:
        make = getattr(server, "lifespan_context", None)
        if callable(make):
            await stack.enter_async_context(make())  # pyright: ignore[reportArgumentType] - a context manager
        channel = MemoryChannel(server)
        stack.push_async_callback(channel.close)
        yield channel


@asynccontextmanager
async def memory_pair(
    server: Served,
) -> AsyncGenerator[tuple[Callable[[bytes], Awaitable[None]], Callable[[], Awaitable[bytes]]]]:
    """``async with memory_pair(server) as (send, receive)``: for clients that make their own messages, as bytes."""
    async with memory_channel(server) as channel:
        yield channel.send, channel.read
