"""Questions of this process that wait for a client's answer (handshake era).

The answer is another POST, which may reach another replica: it travels over the bus.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Raw

from ..exceptions import McpError
from ..protocol.jsonrpc import Response, encode, encode_notification, encode_request
from ..protocol.types import CancelledNotificationParams
from ..state.bus import Bus

__all__ = ["Emit", "Questions"]

Emit = Callable[[bytes], Awaitable[None]]
"""Sends one message to the client."""

_ANSWERS = "headrace/answers"


class _Answer(msgspec.Struct, array_like=True):
    session: str
    id: int | str
    result: Raw
    error: tuple[int, str] | None


_decode_answer = msgspec.json.Decoder(_Answer).decode


class Questions:
    """Asks, and hears the answers."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: dict[tuple[str, int | str], asyncio.Future[Raw]] = {}
        self._count = 0
        self._prefix = secrets.token_hex(4)  # two replicas may ask in one session
        self._unsubscribe: Callable[[], None] | None = None

    async def ask(self, session: str, emit: Emit, method: str, params: Any, asked: set[asyncio.Future[Raw]]) -> Raw:
        """Raises McpError where the client answers with an error. While it waits, `asked` has what cancels that."""
        if self._unsubscribe is None:
            self._unsubscribe = self._bus.subscribe(_ANSWERS, self._receive)
        self._count += 1
        id = f"{self._prefix}-{self._count}"
        future: asyncio.Future[Raw] = asyncio.get_running_loop().create_future()
        self._waiting[session, id] = future
        asked.add(future)
        try:
            await emit(encode_request(id, method, params))
            return await future
        except asyncio.CancelledError:
            cancelled = CancelledNotificationParams(request_id=id, reason="The call was cancelled")
            await emit(encode_notification("notifications/cancelled", cancelled))
            raise
        finally:
            del self._waiting[session, id]
            asked.discard(future)

    async def answer(self, session: str, response: Response) -> None:
        """Give a client's answer to whoever waits; an answer nobody waits for is dropped."""
        if response.id is None:
            return
        error = None if response.error is None else (response.error.code, response.error.message)
        message = encode(_Answer(session, response.id, response.result or Raw(b"null"), error))
        if (session, response.id) in self._waiting:
            self._receive(message)
        else:
            await self._bus.publish(_ANSWERS, message)

    def _receive(self, message: bytes) -> None:
        answer = _decode_answer(message)
        future = self._waiting.get((answer.session, answer.id))
        if future is None or future.done():
            return
        if answer.error is not None:
            future.set_exception(McpError(answer.error[1], code=answer.error[0]))
        else:
            future.set_result(answer.result.copy())
