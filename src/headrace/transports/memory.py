"""A client and a server in one process: encoded messages in, encoded messages out.

The messages are those of the wire, and so are the peers: what works here works over HTTP. Both eras are served.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

from ..call import Served
from ..exceptions import InvalidRequest, McpError
from ..protocol.jsonrpc import Request, decode, encode_error
from ..state.memory import MemoryBus
from ..state.sealer import AeadSealer
from .connection import Connection
from .notices import Notices
from .questions import Emit, Questions

__all__ = ["MemoryConnection"]

Put = Callable[[bytes], None]


class MemoryConnection:
    """One client of a server. `emit` takes what belongs to no call.

    Call `start` for a request, `take` for anything else, `close` at the end.
    """

    def __init__(self, server: Served, emit: Put) -> None:
        bus = MemoryBus()
        self._connection = Connection(
            server,
            Questions(bus),
            Notices(server, bus),
            _sender(emit),
            id=secrets.token_hex(16),
            transport="memory",
            sealer=AeadSealer(),
        )
        self._tasks: set[asyncio.Task[bytes | None]] = set()

    @property
    def session_id(self) -> str:
        return self._connection.record.id

    def start(self, body: bytes, emit: Put) -> asyncio.Task[bytes | None]:
        """Serve a request. The task's result is the encoded response, None where the request was cancelled.

        In the handshake era cancel with ``notifications/cancelled``, later by cancelling the task.
        """
        # A task of its own: what the handler does to its task or its context must not reach the client.
        task = asyncio.get_running_loop().create_task(self._serve(body, emit))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def take(self, body: bytes) -> None:
        """A notification or the answer to a question; what does not fit is ignored."""
        message = decode(body)
        if not isinstance(message, Request):
            await self._connection.take(message)

    async def close(self) -> None:
        """End subscriptions and calls; handlers that don't end in spite of it are left behind after a second."""
        self._connection.close()
        await asyncio.sleep(0)  # subscriptions say goodbye
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)

    async def _serve(self, body: bytes, emit: Put) -> bytes | None:
        id: int | str | None = None
        try:
            request = decode(body)
            if not isinstance(request, Request):
                raise InvalidRequest("Invalid request: only requests are answered")
            id = request.id
            return await self._connection.begin(request, _sender(emit))
        except McpError as error:
            return encode_error(id, error.code, error.message, error.data)


def _sender(put: Put) -> Emit:
    async def send(message: bytes) -> None:
        put(message)

    return send
