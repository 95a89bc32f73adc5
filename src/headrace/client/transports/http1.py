"""HTTP/1.1 for the client's own requests: whole requests out, responses in as they come (RFC 9112).

It stands in for httpx2's client, with its responses and errors, where nothing is asked for that only that one can do:
most of the time of a call would be httpx2's. llhttp parses, strictly. What is not well framed ends the connection, and
so does whatever comes after a response.
"""

from __future__ import annotations

import asyncio
import os
import re
import select
import ssl
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

import httptools
import httpx2

from .request_head import Origin, encoded, place_of

__all__ = ["Http1"]

MAX_HEAD = 100 * 1024
"""Bytes that a server may send without any of a body: a head, trailers, chunk extensions."""
MAX_UNREAD = 256 * 1024
"""Bytes of a body that wait for who reads it, before the server has to."""
MAX_IDLE = 32
_IDLE_SECONDS = 30.0
_CONNECT_SECONDS = 15.0
_WRITE_SECONDS = 60.0


class Http1:
    """Connections are used again, the last one first; each carries one request at a time."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()
        self._closed = False

    async def ask(self, method: str, url: httpx2.URL, fields: Mapping[str, str], body: bytes | None) -> httpx2.Response:
        """The response, open. `method` is neither HEAD nor CONNECT, whose responses end otherwise.

        Raises httpx2.TransportError, LocalProtocolError for a head that would say something else than it means.
        """
        origin, host, target = place_of(url)
        message = encoded(method, host, target, fields, body)
        connection = self._taken(origin) or await self._connected(origin)
        try:
            status, headers, reason = await connection.ask(message)
        except BaseException:
            connection.end()
            raise
        stream = _Body(self, connection)
        return httpx2.Response(status, headers=headers, stream=stream, extensions={"reason_phrase": reason})

    async def aclose(self) -> None:
        """Whoever still waits for a response gets httpx2.ReadError."""
        self._closed = True
        self._idle.clear()
        connections = list(self._open)
        for connection in connections:
            connection.end()
        if connections:
            await asyncio.wait([connection.lost for connection in connections])

    def _taken(self, origin: Origin) -> _Connection | None:
        """One that is idle and still open."""
        for connection in self._idle[::-1]:
            if connection.origin == origin:
                self._idle.remove(connection)
                if connection.is_fresh():
                    return connection
                connection.end()
        return None

    async def _connected(self, origin: Origin) -> _Connection:
        scheme, host, port = origin
        loop = asyncio.get_running_loop()
        # uvloop has no such option. With one address there is no race, in which asyncio may lose a socket if cancelled.
        races = isinstance(loop, asyncio.BaseEventLoop) and not re.fullmatch(r"[\d.]+|.*:.*", host)
        racing: dict[str, Any] = {"happy_eyeballs_delay": 0.25} if races else {}
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                _, connection = await loop.create_connection(
                    lambda: _Connection(origin, self._open),
                    host,
                    port,
                    ssl=self._tls if scheme == "https" else None,
                    **racing,
                )
        except TimeoutError:
            raise httpx2.ConnectTimeout(f"No connection within {_CONNECT_SECONDS:g} seconds") from None
        except (OSError, ValueError) as error:  # TLS that fails is an OSError, a name that is none a ValueError
            raise httpx2.ConnectError(_reason(error)) from error
        if self._closed:
            connection.end()
        return connection

    def release(self, connection: _Connection) -> None:
        """After the response, or in the middle of it: then the connection ends."""
        if not connection.is_reusable():
            connection.end()
            return
        self._idle.append(connection)
        if len(self._idle) > MAX_IDLE:
            self._idle.pop(0).end()


def _reason(error: Exception) -> str:
    """Why there is no connection; of several addresses asyncio says it in the words of calls that failed."""
    numbers = re.findall(r"\[Errno (\d+)\]", str(error))
    said = ", ".join(dict.fromkeys(os.strerror(int(number)) for number in numbers)) or str(error)
    return said or "The server closed the connection while it was made"


class _Body(httpx2.AsyncByteStream):
    def __init__(self, transport: Http1, connection: _Connection) -> None:
        self._transport = transport
        self._connection: _Connection | None = connection

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self._connection is not None and (chunk := await self._connection.read()):
            yield chunk

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._transport.release(connection)


class _Connection(asyncio.Protocol):
    """`ask` once it is new or `is_fresh`, then `read` to the end. `open` has it from its begin to its end."""

    def __init__(self, origin: Origin, open: set[_Connection]) -> None:
        loop = asyncio.get_running_loop()
        self.origin = origin
        self.lost: asyncio.Future[None] = loop.create_future()
        self._open = open
        self._loop = loop
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._idle_since = 0.0
        self._write_timer: asyncio.TimerHandle | None = None
        """While the server does not take what is written."""
        self._failure: httpx2.TransportError | None = None
        self._reader: asyncio.Future[None] | None = None
        self._asking = False
        """From the request to the end of its response, whole or not."""
        self._spoilt = False
        """Not to be used again."""
        self._begin()

    def _begin(self) -> None:
        self._reason = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._status = 0
        """0 until the head of the final response is there."""
        self._chunks: deque[bytes] = deque()
        self._unread = 0
        self._silent = 0
        """Bytes that came without any of a body."""
        self._framed = True
        """Whether the end of the body is told otherwise than by the end of the connection."""

    # What Http1 calls

    async def ask(self, message: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Status, headers, reason of the response."""
        if self._spoilt or self._transport is None:
            raise httpx2.ConnectError("The connection was closed before anything was sent")
        self._begin()
        self._asking = True
        self._transport.write(message)
        while not self._status:
            await self._news()
        return self._status, self._headers, self._reason

    async def read(self) -> bytes:
        """The next bytes of the body; none at its end."""
        while not self._chunks and (self._asking or self._failure is not None):
            await self._news()
        chunk = self._chunks.popleft() if self._chunks else b""
        self._unread -= len(chunk)
        if self._unread < MAX_UNREAD and self._transport is not None and not self._spoilt:
            self._transport.resume_reading()
        return chunk

    def is_reusable(self) -> bool:
        return not (self._asking or self._spoilt or self._chunks or self._write_timer)

    def is_fresh(self) -> bool:
        """Whether the server, too, has kept an idle connection, and said nothing on it."""
        transport, idle = self._transport, self._loop.time() - self._idle_since
        if self._spoilt or transport is None or transport.is_closing() or idle > _IDLE_SECONDS:
            return False
        return not _readable(transport.get_extra_info("socket").fileno())

    def end(self) -> None:
        self._fail(httpx2.ReadError("The client closed the connection"))

    async def _news(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._reader = self._loop.create_future()
        try:
            await self._reader
        finally:
            self._reader = None

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _fail(self, error: httpx2.TransportError) -> None:
        """End the connection; `error` is for a response that is not complete."""
        self._spoilt = True
        if self._asking:
            self._asking, self._failure = False, error
            self._wake()
        self.resume_writing()
        if self._transport is not None:
            self._transport.abort()

    def _break(self, what: str) -> None:
        self._fail(httpx2.RemoteProtocolError(f"The server {what}"))

    # What the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are of no such class
        self._open.add(self)

    def data_received(self, data: bytes) -> None:
        if not self._asking:  # it answers nothing
            self.end()
            return
        self._silent += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._break(f"sent what is no HTTP response: {error}")
            return
        if self._asking and self._silent > MAX_HEAD:
            self._break(f"sent more than {MAX_HEAD} bytes that are no body")
        elif self._unread >= MAX_UNREAD and self._transport is not None:
            self._transport.pause_reading()

    def eof_received(self) -> None:
        if self._asking and self._status and not self._framed:
            self._spoilt, self._asking = True, False
            self._wake()
        else:
            self._break("closed the connection before its response was complete")

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._fail(httpx2.ReadError(str(exc or "") or "The connection was lost"))
        self._open.discard(self)
        self.lost.set_result(None)

    def pause_writing(self) -> None:
        error = httpx2.WriteTimeout(f"The request was not taken within {_WRITE_SECONDS:g} seconds")
        self._write_timer = self._loop.call_later(_WRITE_SECONDS, self._fail, error)

    def resume_writing(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    # What the parser calls; past the end of the response it is of another one, which nobody asked for

    def on_message_begin(self) -> None:
        if not self._asking:
            self._spoilt = True

    def on_status(self, status: bytes) -> None:
        if self._asking:
            self._reason += status

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._asking and not self._status:  # else it is a trailer
            self._headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        if not self._asking:
            return
        status = self._parser.get_status_code()
        if status < 100 or status == 101:
            self._break(f"answered {status}, which is no answer to this request")
            return
        if status < 200:  # the final one follows
            self._headers, self._reason = [], b""
            return
        lengths = [value for name, value in self._headers if name.lower() == b"content-length"]
        codings = [value for name, value in self._headers if name.lower() == b"transfer-encoding"]
        if len(lengths) + len(codings) > 1 or (codings and codings[0].lower() != b"chunked"):
            self._break("does not say clearly how long its response is")
            return
        self._status, self._silent = status, 0
        self._framed = bool(lengths or codings) or status in (204, 304)
        self._wake()

    def on_body(self, body: bytes) -> None:
        if self._asking and self._status:
            self._silent = 0
            self._chunks.append(body)
            self._unread += len(body)
            self._wake()

    def on_message_complete(self) -> None:
        if self._asking and self._status:
            self._asking = False
            self._idle_since = self._loop.time()
            self._spoilt = not (self._framed and self._parser.should_keep_alive())
            self._wake()


def _readable(descriptor: int) -> bool:
    if not hasattr(select, "poll"):
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
