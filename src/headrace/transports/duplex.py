"""Whole messages in, whole messages out, on one channel: what stdio and memory serve.

Both eras share the channel. A request runs in a task of its own; everything for the client goes to one `emit`, in the
order in which it is said. `emit` waits for a client that does not read: so do the calls that have something to say,
and, once enough of them wait, so does `take`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Coroutine
from typing import Any

from ..call import Served
from ..exceptions import InvalidRequest, McpError
from ..protocol.input_required import Sealer
from ..protocol.jsonrpc import MAX_BATCH, Message, Request, decode, decode_batch, encode_error, id_in, is_batch
from ..protocol.versions import era
from ..state.memory import MemoryBus
from .connection import Connection
from .notices import Notices
from .questions import Emit, Questions

__all__ = ["Duplex"]

logger = logging.getLogger(__name__)

MAX_CALLS = 10_000
"""Calls in flight. Many, for the client is this program or its parent, which may well ask all at once."""
MAX_UNSENT = 64
"""Answers that wait for a client that does not read, before nothing more is taken from it."""
_END_SECONDS = 0.5


class Duplex:
    """One client. `take` its messages in order; then `drain`, where it may still read, and `close`.

    `stateless`: the handshake may be left out, as clients of a server behind a launcher do.
    """

    def __init__(self, server: Served, emit: Emit, *, transport: str, sealer: Sealer, stateless: bool = False) -> None:
        self._emit = emit
        self._stateless = stateless
        bus = MemoryBus()
        self._connection = Connection(
            server,
            Questions(bus),
            Notices(server, bus),
            self._notify,
            id=secrets.token_hex(16),
            transport=transport,
            sealer=sealer,
            max_calls=MAX_CALLS,
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._unsent = 0
        self._room = asyncio.Event()
        self._notices: set[bytes] = set()
        """Change notices that wait for a client that does not read."""

    @property
    def session_id(self) -> str:
        return self._connection.record.id

    async def take(self, body: bytes) -> None:
        """One message, or a batch where the session's revision has them. What can't be served is answered."""
        while self._unsent >= MAX_UNSENT:
            self._room.clear()
            await self._room.wait()
        try:
            if is_batch(body):
                await self._batch(body)
            else:
                await self._take(decode(body))
        except McpError as error:
            await self._send(encode_error(id_in(body), error.code, error.message, error.data))

    async def drain(self) -> None:
        """Nothing more comes in: wait for the calls, except for those that wait for their client."""
        self._connection.hang_up()
        while self._tasks:
            await asyncio.wait(self._tasks)
            self._tasks -= {task for task in self._tasks if task.done()}  # one that was cancelled before it began

    async def close(self) -> None:
        """Calls are cancelled, and answered with an error that says so; what does not end in spite of it is left
        behind after a second."""
        self._connection.stop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_END_SECONDS)
        for task in self._tasks:  # their handlers hold on, or nobody reads what they say
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_END_SECONDS)

    async def _take(self, message: Message) -> None:
        if isinstance(message, Request):
            self._start(self._begin(message))
            return
        await asyncio.sleep(0)  # a request that came just before has begun by then: it can be cancelled
        try:
            await self._connection.take(message)
        except McpError as error:  # nothing but requests is answered
            logger.debug("A message was ignored: %s", error)

    def _begin(self, request: Request) -> Coroutine[Any, Any, bytes | None]:
        """Raises McpError for a request that can't be served now."""
        record = self._connection.record
        if self._stateless and record.state == "new" and request.method != "initialize":
            record.state = "opened"
        emit = self._notify if request.method == "subscriptions/listen" else self._send
        return self._connection.begin(request, emit)

    async def _batch(self, body: bytes) -> None:
        record = self._connection.record
        spoken = era(record.version)
        if record.state == "new" or spoken is None or not spoken.batches:
            raise InvalidRequest("Invalid request: a batch, which this revision has not; send one message at a time")
        messages = decode_batch(body, MAX_BATCH)
        if any(isinstance(item, Request) and item.method == "initialize" for item in messages):
            raise InvalidRequest("Invalid request: initialize is not part of a batch")
        answers: list[Coroutine[Any, Any, bytes | None]] = []
        for item in messages:
            if isinstance(item, InvalidRequest):
                answers.append(_refused(None, item))
            elif isinstance(item, Request):
                try:
                    answers.append(self._begin(item))
                except McpError as error:
                    answers.append(_refused(item.id, error))
            else:
                await self._take(item)
        if answers:
            self._start(self._answer_all(answers))

    def _start(self, work: Coroutine[Any, Any, bytes | None]) -> None:
        # A task of its own: what the handler does to its task or its context must not reach the channel.
        self._tasks.add(asyncio.get_running_loop().create_task(self._run(work)))

    async def _run(self, work: Coroutine[Any, Any, bytes | None]) -> None:
        try:
            body = await work
            if body is not None:
                await self._send(body)
        finally:
            self._tasks.discard(asyncio.current_task())  # pyright: ignore[reportArgumentType]

    async def _answer_all(self, works: list[Coroutine[Any, Any, bytes | None]]) -> bytes | None:
        # Tasks of their own: a cancellation reaches one call, not the batch.
        tasks = [asyncio.get_running_loop().create_task(work) for work in works]
        try:
            bodies = [body for body in await asyncio.gather(*tasks) if body is not None]
        finally:
            for task in tasks:
                task.cancel()
        return b"[%b]" % b",".join(bodies) if bodies else None

    async def _send(self, body: bytes) -> None:
        self._unsent += 1
        try:
            await self._emit(body)
        finally:
            self._unsent -= 1
            self._room.set()

    async def _notify(self, body: bytes) -> None:
        """A notice that waits already says all that the same notice could say again."""
        if body in self._notices:
            return
        self._notices.add(body)
        try:
            await self._emit(body)
        finally:
            self._notices.discard(body)


async def _refused(id: int | str | None, error: McpError) -> bytes:
    return encode_error(id, error.code, error.message, error.data)
