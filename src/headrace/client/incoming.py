"""What the server says of its own accord: notes, and the questions of the handshake era."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from msgspec import Raw

from ..exceptions import ClientError, InvalidParams, InvalidRequest, McpError, MethodNotFound
from ..protocol.downgrade import fit_result
from ..protocol.jsonrpc import Message, Notification, Request, encode, encode_error, encode_result
from ..protocol.methods import METHODS
from ..protocol.types import CancelledNotificationParams, ProgressNotificationParams, Result
from ..protocol.versions import Era
from .handlers import HandlerContext, Handlers, ProgressHandler
from .transports.base import Transport

__all__ = ["MAX_QUESTIONS", "Incoming"]

logger = logging.getLogger(__name__)

MAX_QUESTIONS = 256
"""Questions of one round, and questions of a session that are being answered at once."""
_CLOSE_SECONDS = 1.0
_decode_progress = msgspec.json.Decoder(ProgressNotificationParams).decode
_decode_cancelled = msgspec.json.Decoder(CancelledNotificationParams).decode


class Incoming:
    """Notes are heard in order, before the stream goes on; a question is answered by a task of its own."""

    def __init__(self, transport: Transport, handlers: Handlers, heard: Callable[[str, Raw], None]) -> None:
        self._transport = transport
        self._handlers = handlers
        self._heard = heard
        self._answering: dict[int | str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self.progress: dict[int | str, ProgressHandler] = {}
        """By the token of the request that wants it."""

    async def hear(self, message: Message, era: Era) -> None:
        if isinstance(message, Notification):
            await self._noted(message, era)
        elif isinstance(message, Request):
            if era.handshake:
                self._asked(message, era)
            else:
                logger.warning(
                    "%s sent a request, which its revision has not: %s", self._transport.name, message.method
                )

    async def answer(self, method: str, params: Raw, id: int | str, era: Era) -> Result:
        """The result of a question, in the words of the revision. Raises what the handler raises."""
        known = METHODS.get(method)
        if known is None or known.to == "server" or known.notification:
            raise MethodNotFound(f"Method not found: {method}")
        return fit_result(await self._handlers.answer(method, params, HandlerContext(id, method)), era)

    async def close(self) -> None:
        """No question is answered any more."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.sleep(0)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSE_SECONDS)

    async def _noted(self, note: Notification, era: Era) -> None:
        self._heard(note.method, note.params)
        try:
            if note.method == "notifications/progress":
                await self._progressed(note.method, _decode_progress(note.params))
            elif note.method == "notifications/cancelled" and era.handshake:
                self._cancelled(_decode_cancelled(note.params))
        except msgspec.ValidationError as error:
            logger.warning("%s sent a note that does not fit: %s: %s", self._transport.name, note.method, error)
            return
        await self._handlers.hear(note.method, note.params)

    async def _progressed(self, method: str, note: ProgressNotificationParams) -> None:
        handler = self.progress.get(note.progress_token)
        if handler is not None:
            await self._handlers.guarded(method, handler, lambda: (note.progress, note.total, note.message))

    def _cancelled(self, note: CancelledNotificationParams) -> None:
        task = self._answering.get(note.request_id)
        if task is not None:
            task.cancel()

    def _asked(self, question: Request, era: Era) -> None:
        if self._closed or len(self._tasks) >= 2 * MAX_QUESTIONS:  # it does not even take our refusals
            logger.debug("%s asks in vain: %s", self._transport.name, question.method)
        elif question.id in self._answering:
            logger.warning("%s asks twice with the id %r", self._transport.name, question.id)
        elif len(self._answering) >= MAX_QUESTIONS:
            message = "This client is answering too many questions already"
            self._spawn(self._send(encode_error(question.id, InvalidRequest.code, message)))
        else:
            reply = self._reply(question.id, question.method, question.params.copy(), era)
            self._answering[question.id] = task = self._spawn(reply)
            task.add_done_callback(lambda _: self._answering.pop(question.id))

    async def _reply(self, id: int | str, method: str, params: Raw, era: Era) -> None:
        try:
            body = encode_result(id, encode(await self.answer(method, params, id, era)))
        except McpError as error:
            body = encode_error(id, error.code, error.message, error.data)
        except msgspec.ValidationError as error:
            body = encode_error(id, InvalidParams.code, f"Invalid params: {error}")
        except Exception as error:
            logger.exception("The handler of %s failed", method)
            said = str(error) if isinstance(error, ClientError) else "The client's handler failed"
            body = encode_error(id, McpError.code, said)
        await self._send(body)

    async def _send(self, body: bytes) -> None:
        try:
            await self._transport.send(body)
        except ClientError as error:
            logger.warning("An answer did not reach %s: %s", self._transport.name, error)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
