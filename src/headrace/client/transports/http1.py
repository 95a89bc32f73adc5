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
from functools import lru_cache
from typing import NamedTuple

import httptools
import httpx2

__all__ = ["Http1"]

MAX_HEAD = 100 * 1024
"""Bytes that a server may send without any of a body: a head, trailers, chunk extensions."""
MAX_UNREAD = 256 * 1024
"""Bytes of a body that wait for who reads it, before the server has to."""
MAX_IDLE = 32
_IDLE_SECONDS = 30.0
_CONNECT_SECONDS = 15.0
_WRITE_SECONDS = 60.0

_FIELDS = re.compile(
    rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+: (?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?\r\n)*"
)

Origin = tuple[str, str, int]


class Http1:
    """Connections are used again, the last one first; each carries one request at a time."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._idle: deque[_Connection] = deque()
        self._busy: set[_Connection] = set()

    async def ask(self, method: str, url: httpx2.URL, fields: Mapping[str, str], body: bytes | None) -> httpx2.Response:
        """The response, open. Raises httpx2.TransportError; LocalProtocolError for a head that would say something
        else than it means."""
        place = _place(url)
        message = _encoded(method, place, fields, body)
        connection = self._taken(place.origin) or await self._connected(place.origin)
        self._busy.add(connection)
        try:
            status, headers, reason = await connection.ask(message)
        except BaseException:
            self.release(connection)
            raise
        stream = _Body(self, connection)
        return httpx2.Response(status, headers=headers, stream=stream, extensions={"reason_phrase": reason})

    async def aclose(self) -> None:
        connections = [*self._idle, *self._busy]
        self._idle.clear()
        for connection in connections:
            connection.end()
        if connections:
            await asyncio.wait([connection.lost for connection in connections])

    def _taken(self, origin: Origin) -> _Connection | None:
        """One that is idle and still open."""
        for connection in reversed(self._idle):
            if connection.origin == origin:
                self._idle.remove(connection)
                if connection.is_fresh():
                    return connection
                connection.end()
                return self._taken(origin)
        return None

    async def _connected(self, origin: Origin) -> _Connection:
        scheme, host, port = origin
        tls = self._tls if scheme == "https" else None
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: _Connection(origin), host, port, ssl=tls, happy_eyeballs_delay=0.25
                )
        except TimeoutError:
            raise httpx2.ConnectTimeout(f"No connection within {_CONNECT_SECONDS:g} seconds") from None
        except ConnectionError as error:  # in asyncio's words it is a call that failed
            raise httpx2.ConnectError(os.strerror(error.errno) if error.errno else str(error)) from error
        except (OSError, ValueError) as error:  # TLS that fails is an OSError, a name that is none a ValueError
            raise httpx2.ConnectError(str(error)) from error
        return connection

    def release(self, connection: _Connection) -> None:
        """After the response, or in the middle of it: then the connection ends."""
        self._busy.discard(connection)
        if not connection.is_reusable():
            connection.end()
            return
        self._idle.append(connection)
        if len(self._idle) > MAX_IDLE:
            self._idle.popleft().end()


class _Place(NamedTuple):
    origin: Origin
    host: str
    """As ``Host`` has it."""
    target: str


@lru_cache(64)
def _place(url: httpx2.URL) -> _Place:
    origin = (url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80))
    return _Place(origin, url.netloc.decode("ascii"), url.raw_path.decode("ascii"))


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
    """`ask` once `is_fresh`, then `read` to the end."""

    def __init__(self, origin: Origin) -> None:
        loop = asyncio.get_running_loop()
        self.origin = origin
        self.lost: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._idle_since = 0.0
        self._write_timer: asyncio.TimerHandle | None = None
        self._write_paused = False
        self._failure: httpx2.TransportError | None = None
        self._reader: asyncio.Future[None] | None = None
        self._asking = False
        """From the request to the end of its response."""
        self._spoilt = False
        """Not to be used again."""
        self._begin()

    def _begin(self) -> None:
        self._reason = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._status = 0
        self._chunks: deque[bytes] = deque()
        self._unread = 0
        self._silent = 0
        """Bytes that came without any of a body."""
        self._framed = True
        """Whether the end of the body is told otherwise than by the end of the connection."""

    # What the transport calls

    async def ask(self, message: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Status, headers, reason of the response."""
        assert self._transport is not None
        self._begin()
        self._asking = True
        self._transport.write(message)
        if self._write_paused:
            self._write_timer = self._loop.call_later(_WRITE_SECONDS, self._write_late)
        while not self._status:
            await self._wait()
        return self._status, self._headers, self._reason

    async def read(self) -> bytes:
        """The next bytes of the body; none at its end."""
        while not self._chunks:
            if not self._asking:
                return b""
            await self._wait()
        chunk = self._chunks.popleft()
        self._unread -= len(chunk)
        if self._unread < MAX_UNREAD and self._transport is not None:
            self._transport.resume_reading()
        return chunk

    def is_reusable(self) -> bool:
        return not (self._asking or self._spoilt or self._chunks or self._write_paused)

    def is_fresh(self) -> bool:
        """Whether the server, too, has kept an idle connection, and said nothing on it."""
        if self._spoilt or self._transport is None or self._loop.time() - self._idle_since > _IDLE_SECONDS:
            return False
        socket = self._transport.get_extra_info("socket")
        return not _readable(socket.fileno())

    def end(self) -> None:
        self._spoilt = True
        self._stop_timer()
        if self._transport is not None:
            self._transport.abort()

    async def _wait(self) -> None:
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
        if self._failure is None:
            self._failure = error
        self._wake()
        self.end()

    def _write_late(self) -> None:
        self._fail(httpx2.WriteTimeout(f"The request was not taken within {_WRITE_SECONDS:g} seconds"))

    def _stop_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    # What the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if not self._asking:
            self.end()
            return
        self._silent += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self._asking:
                self._fail(httpx2.RemoteProtocolError(f"The server sent what is no HTTP response: {error}"))
            else:
                self.end()  # the response is there; what came behind it is not
            return
        if self._asking and self._silent > MAX_HEAD:
            self._fail(httpx2.RemoteProtocolError(f"The server sent more than {MAX_HEAD} bytes that are no body"))
        elif self._unread >= MAX_UNREAD and self._transport is not None:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._spoilt = True
        self._stop_timer()
        if self._asking and exc is None and self._status and not self._framed:
            self._asking = False
            self._wake()
        elif self._asking:
            said = str(exc) if exc is not None else "The server closed the connection before its response was complete"
            self._fail(httpx2.ReadError(said) if exc is not None else httpx2.RemoteProtocolError(said))
        if not self.lost.done():
            self.lost.set_result(None)

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self._stop_timer()

    # What the parser calls

    def on_message_begin(self) -> None:
        if not self._asking:
            self._spoilt = True

    def on_status(self, status: bytes) -> None:
        self._reason += status

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._status:  # else it is a trailer
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if not self._asking or status < 200:  # an interim response: the final one follows
            self._headers, self._reason = [], b""
            return
        self._status, self._silent = status, 0
        lengths = [value for name, value in self._headers if name.lower() == b"content-length"]
        codings = [value for name, value in self._headers if name.lower() == b"transfer-encoding"]
        if len(lengths) + len(codings) > 1 or (codings and codings[0].lower() != b"chunked"):
            self._status = 0
            self._fail(httpx2.RemoteProtocolError("The server does not say clearly how long its response is"))
            return
        self._framed = bool(lengths or codings) or status in (204, 304)
        self._wake()

    def on_body(self, body: bytes) -> None:
        if self._asking:
            self._silent = 0
            self._chunks.append(body)
            self._unread += len(body)
            self._wake()

    def on_message_complete(self) -> None:
        if not self._status:
            return
        self._asking = False
        self._idle_since = self._loop.time()
        if not (self._framed and self._parser.should_keep_alive()):
            self._spoilt = True
        self._wake()


def _readable(descriptor: int) -> bool:
    if not hasattr(select, "poll"):
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _encoded(method: str, place: _Place, fields: Mapping[str, str], body: bytes | None) -> bytes:
    """Raises httpx2.LocalProtocolError, and UnicodeEncodeError, which is one more way to be no header."""
    lines = "" if "host" in fields else f"host: {place.host}\r\n"
    lines += "".join([f"{name}: {value}\r\n" for name, value in fields.items()])
    if body is not None:
        lines += f"content-length: {len(body)}\r\n"
    head = lines.encode("latin-1")
    expected = len(fields) + (body is not None) + ("host" not in fields)
    if not _FIELDS.fullmatch(head) or head.count(b"\r\n") != expected:
        raise httpx2.LocalProtocolError("A header of the request has characters that HTTP does not allow")
    return b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method.encode(), place.target.encode(), head, body or b"")
