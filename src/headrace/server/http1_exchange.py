"""One HTTP/1.1 request and its answer, as an ASGI app sees them. The connection is `uvicorn_protocol`'s."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ..redaction import log_failure, secrets_of
from .http1 import NAME, VALUE, Head

if TYPE_CHECKING:
    from .uvicorn_protocol import HardenedProtocol

__all__ = ["App", "Exchange", "Message", "access_logger", "refusal"]

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

logger = logging.getLogger("uvicorn.error")
access_logger = logging.getLogger("uvicorn.access")

HELD = 64 * 1024
"""Bytes of a body that wait for the app."""
BURST = 256 * 1024
"""Bytes of an answer after which others have their turn: a fast reader would keep an app that never waits for ever."""
DRAINED = 256 * 1024
"""What is read of a body that the app did not want, so that the connection can go on."""
_STATUS_LINES = {each.value: b"HTTP/1.1 %d %b\r\n" % (each, each.phrase.encode()) for each in HTTPStatus if each >= 200}
_FIELDS = re.compile(rb"(?:%b: %b\r\n)*+" % (NAME, VALUE))
_OURS = frozenset({b"content-length", b"transfer-encoding", b"connection"})
_PLAIN = b"content-type: text/plain; charset=utf-8\r\n"


def refusal(status: int, text: str, lines: bytes) -> bytes:
    """A whole answer; `lines` are headers more."""
    body = text.encode() + b"\n"
    head = _STATUS_LINES[status] + lines + _PLAIN
    return head + b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(body), body)


def _unnamed(status: int) -> bytes:
    if not 200 <= status <= 999:  # an interim answer would be taken for none
        raise RuntimeError(f"Not the status of a response: {status}")
    return b"HTTP/1.1 %d \r\n" % status


def _log_access(scope: Message, status: int) -> None:
    client = scope["client"]  # as middleware for proxies says
    path = scope["raw_path"].decode()  # what is in the query may be secret
    # uvicorn's formatter takes these five.
    address = f"{client[0]}:{client[1]}" if client else ""
    access_logger.info('%s - "%s %s HTTP/%s" %d', address, scope["method"], path, scope["http_version"], status)


class Exchange:
    """The protocol fills in the body and says when the client leaves; `run` is a task of its own."""

    __slots__ = (
        "_body",
        "_burst",
        "_chunked",
        "_event",
        "_expects",
        "_gone",
        "_head",
        "_left",
        "_minor",
        "_no_body",
        "_protocol",
        "_scope",
        "_told",
        "complete",
        "dropped",
        "keep_alive",
        "more_body",
        "started",
        "task",
    )

    def __init__(self, protocol: HardenedProtocol, head: Head) -> None:
        self._protocol = protocol
        self._minor = head.line.minor
        self._no_body = head.line.method == "HEAD"
        self._expects = head.expects
        self._body = b""
        self._told = False
        """Whether the app knows that the body is complete."""
        self._gone = False
        self._event: asyncio.Event | None = None
        """Of what the app waits for, once it waits."""
        self._head: bytes | None = None
        """Of the answer, while it waits for the first piece of the body."""
        self._chunked = False
        self._burst = 0
        self._left = -1
        """What is still to come of an answer whose length was said."""
        self._scope: Message | None = None
        """For the access log."""
        self.task: asyncio.Task[None] | None = None
        self.keep_alive = head.keep_alive
        self.more_body = True
        self.started = False
        """Whether something of the answer was written."""
        self.complete = False
        self.dropped = False
        """What the app still sends goes nowhere."""

    async def run(self, app: App, scope: Message) -> None:
        if self._protocol.common.logs_access:
            self._scope = scope
        try:
            await app(scope, self.receive, self.send)
            if not (self.complete or self._gone):
                raise RuntimeError("The app returned without a complete response")
        except BaseException as error:  # what an app raises ends its request, and not the server
            log_failure(logger, error, secrets_of(b"", scope), "Exception in ASGI application\n")
        finally:
            self._protocol.state.tasks.discard(self.task)
            if not self.complete:
                self._protocol.fail(self)

    # The request

    def add(self, data: bytes) -> None:
        """More of the body."""
        self._body += data
        if len(self._body) > HELD:
            self._protocol.halt()
        self._wake()

    def end_body(self) -> None:
        self.more_body = False
        self._wake()

    def leave(self) -> None:
        """The client sends no more."""
        self._gone = True
        self._wake()

    def drop(self) -> None:
        """The connection ends before the answer."""
        self.complete = self.dropped = True
        self._wake()

    async def receive(self) -> Message:
        if self._expects:
            self._expects = False
            if self.more_body and not (self._body or self._gone or self.complete):
                self._protocol.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # Whole bodies are served also where the client has left since: it may have closed only its own side.
        while not self._body and (self.more_body or self._told):
            if self._gone or self.complete:
                return {"type": "http.disconnect"}
            if self._event is None:
                self._event = asyncio.Event()
            self._event.clear()
            await self._event.wait()
        if self.complete or (self._gone and self.more_body):
            return {"type": "http.disconnect"}
        body, self._body = self._body, b""
        self._protocol.go_on()  # whole or not: who does not read does not hear the client leave
        self._told = not self.more_body
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    def _wake(self) -> None:
        if self._event is not None:
            self._event.set()

    # The answer

    async def send(self, message: Message) -> None:
        protocol = self._protocol
        if protocol.writable is not None and not self.dropped:
            await protocol.writable.wait()
        if self.dropped or protocol.closed:
            await asyncio.sleep(0)  # whoever sends on and on lets those run who want to end it
            return
        kind, begun = message["type"], self.started or self._head is not None
        if kind == "http.response.start" and not begun:
            self._begin(message["status"], message.get("headers", ()))
        elif kind == "http.response.body" and begun and not self.complete:
            piece: bytes = message.get("body", b"")
            more: bool = message.get("more_body", False)
            self._send(piece, more)
            if more:
                self._burst += len(piece)
                if self._burst > BURST:
                    self._burst = 0
                    await asyncio.sleep(0)
        else:
            raise RuntimeError(f"Not in this order: the ASGI message {kind!r}")

    def _begin(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        protocol = self._protocol
        lines: list[bytes] = []
        for name, value in headers:
            name = name.lower()
            if name in _OURS:
                if name == b"content-length":
                    if self._left >= 0 or not value.isdigit():
                        raise RuntimeError("The response has one Content-Length, a number")
                    self._left = int(value)
                elif name == b"transfer-encoding":
                    continue
                elif b"close" in value.lower():
                    self.keep_alive = False
                    continue
            lines.append(b"%b: %b\r\n" % (name, value))
        block = b"".join(lines)
        if block.count(b"\n") != len(lines) or _FIELDS.fullmatch(block) is None:
            raise RuntimeError("Not a header: the name or value of one of the response holds what it must not")
        self._no_body = self._no_body or status in (204, 304)
        # More of a body than is read for nothing, or who knows how much.
        if self.more_body and (self._expects or not 0 <= protocol.body_left <= DRAINED):
            self.keep_alive = False
        self._expects = False  # too late: it would stand in the middle of the answer
        if self._scope is not None:
            _log_access(self._scope, status)
        line = _STATUS_LINES.get(status) or _unnamed(status)
        self._head = line + protocol.common.default_lines(protocol.state.default_headers) + block

    def _send(self, body: bytes, more: bool) -> None:
        head = self._head
        if head is not None:
            self._head = None
            head += self._framing()
        if self._no_body:
            body = b""
        elif self._chunked:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if not more:
                body += b"0\r\n\r\n"
        elif self._left >= 0:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                raise RuntimeError("The response is longer or shorter than its Content-Length")
        if head is not None or body:
            self.started = True
            self._protocol.write(body if head is None else head + body)
        if not more:
            self.complete = True
            self._wake()
            self._protocol.answered(self)

    def _framing(self) -> bytes:
        """The end of the head: how the body ends, and whether the connection goes on."""
        lines = b""
        if self._left < 0 and not self._no_body:
            self._chunked = self._minor == 1
            if self._chunked:
                lines = b"transfer-encoding: chunked\r\n"
            else:
                self.keep_alive = False
        return lines + (b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n")
