"""HTTP/1.1 for uvicorn, for a server that faces the internet: strict about what comes in, and bounded in all of it.

`run` serves with it; elsewhere ``uvicorn --http headrace.server.uvicorn_protocol:HardenedProtocol server:app``. Other
limits are those of a subclass::

    class Mine(HardenedProtocol):
        limits = Limits(head_seconds=5)

The way of a request: `data_received`, `http1.parse_head`, an `Exchange` in which the app runs as a task, `write`. Its
body is read while the app takes it, and what comes behind it when the answer is whole. One clock looks at all
connections in turn, once a second each (`lasts`); nothing is timed for one alone. WebSockets are not spoken: a request
that asks to upgrade is served as any other.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, cast

from ..transports.http.pace import Lasting
from .http1 import Chunks, Head, Limits, Refused, Seen, check_beginning, parse_head
from .http1_common import ANSWER, BODY, CLOSING, HALF_CLOSED, HEAD, IDLE, Common
from .http1_exchange import Exchange, refusal
from .http1_socket import acknowledged, cut_off, tune, unsent

if TYPE_CHECKING:
    import uvicorn

__all__ = ["HardenedProtocol", "Limits"]

logger = logging.getLogger("uvicorn.error")

PIPELINED = 64 * 1024
"""Bytes of requests that wait behind the one that is served."""
MAX_SEEN = 100
"""Lines of earlier heads that are remembered."""
_EMPTY_LINES = re.compile(rb"(?:\r\n)*+")


class HardenedProtocol(asyncio.Protocol):
    """One connection. `limits` are those of the class."""

    limits: ClassVar[Limits] = Limits()

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.common, self.state = Common.of(config, server_state, app_state, self.limits), server_state
        self.loop = _loop or asyncio.get_running_loop()
        self._scope: dict[str, Any] = {}
        """What the requests of this connection have in common."""
        self.writable: asyncio.Event | None = None
        """Set once more can be written; None while it can be."""
        self.closed = False
        self._phase = HEAD
        """What it waits for."""
        self._age = 0
        """For how many periods."""
        self._buffer = b""
        self._seen: Seen | None = None
        self._exchange: Exchange | None = None
        self.body_left = 0
        """-1: it comes in `_chunks`."""
        self._chunks: Chunks | None = None
        self._received = 0
        self._halted = self._half_closed = False
        self._written, self._flushed = 0, True
        self._stalled = self._taken = 0
        """For how many periods something was still to be taken, and what had been taken when that began."""

    # What uvicorn and the loop call

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        common, self._transport = self.common, cast("asyncio.Transport", transport)
        self._slot: set[Lasting] = common.pace.begin(self, self.loop)
        self.state.connections.add(self)
        self._tls = transport.get_extra_info("sslcontext") is not None
        self._scope = common.scope(transport)
        tune(transport)
        if len(self.state.connections) > self.limits.connections:
            self._refuse(503, "Too many connections: try again later")

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._slot.discard(self)
        self.state.connections.discard(self)
        if self._exchange is not None:
            self._exchange.leave()
        if self.writable is not None:
            self.writable.set()

    def eof_received(self) -> bool:
        """The client sends no more: the app hears that it left, and what it answers soon is still sent."""
        exchange = self._exchange
        self._waits_for(HALF_CLOSED)
        self._half_closed = True
        if exchange is None or exchange.complete or self._tls:
            return False
        exchange.leave()
        return True

    def pause_writing(self) -> None:
        self.writable = asyncio.Event()

    def resume_writing(self) -> None:
        if self.writable is not None:
            self.writable.set()
            self.writable = None

    def shutdown(self) -> None:
        """The server ends: so does the connection, after the answer that is under way."""
        exchange = self._exchange
        if exchange is None or exchange.complete:
            self._close()
        else:
            exchange.keep_alive = False

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            if self._phase != CLOSING:
                self._read_head(data)
        elif exchange.more_body:
            self._read_body(exchange, data)
        else:
            self._buffer += data
            if len(self._buffer) > PIPELINED:
                self.halt()

    def lasts(self) -> None:
        """A period has passed on the clock of all connections."""
        common = self.common
        self._slot = common.pace.begin(self, self.loop)
        if not (self._halted and self._phase == BODY):  # the app does not read: the client is not to blame
            self._age += 1
        if not self._flushed and self._stalls():
            cut_off(self._transport)
        elif self._age > common.patience[self._phase]:
            self._loses_patience()
        elif self._phase == BODY and self._age > common.grace:
            if self._received < self._age * common.period * self.limits.body_rate:
                self._loses_patience()

    # In

    def _read_head(self, data: bytes) -> None:
        start = len(self._buffer)
        if start:
            data, self._buffer = self._buffer + data, b""
        if data[:2] == b"\r\n":  # some clients send one behind a body
            data, start = data[cast("re.Match[bytes]", _EMPTY_LINES.match(data)).end() :], 0
            if not data:
                return
        end = data.find(b"\r\n\r\n")
        try:
            if end < 0:
                check_beginning(data, max(start - 1, 0), self.limits)
                self._buffer = data
                if self._phase == IDLE:
                    self._waits_for(HEAD)
                if self._half_closed:
                    self._close()
                return
            # What is sent only once is not worth remembering.
            seen = self._seen
            if seen is None or len(seen) > MAX_SEEN:
                seen, self._seen = {}, {}
            self._begin(parse_head(data[:end], self.limits, seen), data[end + 4 :])
        except Refused as refused:
            self._refuse(refused.status, refused.text)

    def _begin(self, head: Head, rest: bytes) -> None:
        common, state, bound = self.common, self.state, self.common.bound
        if bound is not None and (len(state.connections) >= bound or len(state.tasks) >= bound):
            raise Refused(503, "Too many requests are being served: try again later")
        exchange = self._exchange = Exchange(self, head)
        if self._half_closed:
            exchange.leave()
        self.body_left = head.length
        if head.length:
            self._received = 0
            self._chunks = Chunks(self.limits) if head.length < 0 else None
            self._read_body(exchange, rest)
            if exchange.complete:  # refused
                return
            if exchange.more_body:
                self._waits_for(BODY)
        else:
            exchange.end_body()
            self._buffer = rest
            self._waits_for(ANSWER)
        # The context of the connection is that of whatever made the server.
        context = contextvars.Context() if common.fresh_context else None
        # Not by the factory of the loop: tasks that start at once would run one request inside of the other.
        exchange.task = asyncio.Task(
            exchange.run(common.app, common.scope_of(head, self._scope)), loop=self.loop, context=context
        )
        state.tasks.add(exchange.task)

    def _read_body(self, exchange: Exchange, data: bytes) -> None:
        rest: bytes | None = None
        if self._chunks is not None:
            try:
                data, rest = self._chunks.feed(data)
            except Refused as refused:
                self._refuse(refused.status, refused.text)
                return
        elif len(data) < self.body_left:
            self.body_left -= len(data)
        else:
            data, rest = data[: self.body_left], data[self.body_left :]
        self._received += len(data)
        if data and not exchange.complete:
            exchange.add(data)
        if rest is not None:
            self._buffer = rest
            exchange.end_body()
            if exchange.complete:
                self._next()
            else:
                self._waits_for(ANSWER)

    def halt(self) -> None:
        """Nothing more is read until `go_on`."""
        if not self._halted:
            self._halted = True
            self._transport.pause_reading()

    def go_on(self) -> None:
        if self._halted:
            self._halted = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    # Out

    def write(self, data: bytes) -> None:
        self._flushed = False
        self._written += len(data)
        self._transport.write(data)

    def answered(self, exchange: Exchange) -> None:
        """The whole answer is written."""
        self.state.total_requests += 1
        if not exchange.keep_alive:
            (self._linger if exchange.more_body or self._buffer else self._close)()
        elif exchange.more_body:
            self.go_on()
        else:
            self._next()

    def fail(self, exchange: Exchange) -> None:
        """The app has not answered, or not to the end: the client gets a 500, or sees that the answer breaks off."""
        if self.closed:
            return
        if exchange.started or self._half_closed:
            self._close()
        else:
            self._refuse(500, "Internal Server Error")

    def _next(self) -> None:
        """The request is over; the next one may be here already."""
        self._exchange = None
        self._waits_for(IDLE)
        self.go_on()
        if self._buffer:
            data, self._buffer = self._buffer, b""
            self._read_head(data)
        elif self._half_closed:
            self._close()

    def _refuse(self, status: int, text: str) -> None:
        """Answer in the place of the app, and close."""
        logger.info("Refused with %d: %s", status, text)
        if self._exchange is None or not self._exchange.started:
            self.state.total_requests += 1
            self.write(refusal(status, text, self.common.default_lines(self.state.default_headers)))
        self._linger()

    def _linger(self) -> None:
        """Close, but so that the answer is not lost: what the client still sends is dropped meanwhile."""
        sends = self._exchange is not None and self._exchange.more_body
        # TLS has no end of one side: only a client that is in the middle of a body has to be the first who closes.
        if self._half_closed or self._transport.is_closing() or (self._tls and not sends):
            self._close()
            return
        self._drop()
        self.go_on()
        if not self._tls:
            with suppress(OSError):  # the client has reset the connection, and the loop is about to say so
                self._transport.write_eof()

    def _close(self) -> None:
        """Close once all is written; the clock sees to it that this does not take for ever."""
        self._drop()
        self._transport.close()

    def _drop(self) -> None:
        self._waits_for(CLOSING)
        self._buffer = b""
        exchange, self._exchange = self._exchange, None
        if exchange is not None and not exchange.complete:
            exchange.drop()

    # Time

    def _waits_for(self, phase: int) -> None:
        if phase == CLOSING or not self._half_closed:
            self._phase, self._age = phase, 0

    def _loses_patience(self) -> None:
        phase = self._phase
        if (phase == HEAD and self._buffer) or phase == BODY:
            self._refuse(408, f"Request timeout: the {'head' if phase == HEAD else 'body'} did not arrive in time")
        elif phase == CLOSING:
            if self._flushed:
                self._transport.abort()
        else:
            self._close()

    def _stalls(self) -> bool:
        """Whether the client takes what was written for it so slowly that it must be on purpose."""
        pending = self._transport.get_write_buffer_size() + unsent(self._transport)
        taken = (self._tls and acknowledged(self._transport)) or self._written - pending
        if not pending:
            self._flushed, self._stalled = True, 0
        elif not self._stalled:
            self._stalled, self._taken = 1, taken
        elif self._stalled > self.common.write_patience:
            if taken - self._taken < self.limits.write_rate * self.limits.write_seconds:
                return True
            self._stalled, self._taken = 1, taken
        else:
            self._stalled += 1
        return False
