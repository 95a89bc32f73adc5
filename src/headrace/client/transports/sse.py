"""HTTP+SSE, the client's side (2024-11-05, basic, transports; deprecated since 2025-03-26).

A GET opens the stream of everything the server says. Its first event names the endpoint that takes our messages, each
a POST. There are neither sessions nor resumption: with the stream, the connection ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager

import httpx2

from ...exceptions import ClientError
from ...protocol.jsonrpc import Response
from .base import Hear, MakeHttp, Outgoing, Refused
from .duplex import DuplexTransport
from .sse_parser import SseEvent, SseParser
from .wire import GET, POST, Auth, HttpWire, chunks_of, is_stream

__all__ = ["SSETransport"]


class SSETransport(DuplexTransport):
    """`headers` go with every request, `auth` is a bearer token or a login. `http_client` makes the HTTP client
    where proxies, certificates or the like need one of their own."""

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        auth: Auth | None = None,
        http_client: MakeHttp | None = None,
    ) -> None:
        self._wire = HttpWire(url, headers, auth, http_client)
        self._hear: Hear | None = None
        super().__init__(self._wire.name, self._stream)

    def on_login(self, call: Callable[[], None]) -> None:
        """`call` is called when it may be another user who the requests are for."""
        self._wire.on_login(call)

    async def open(self, hear: Hear) -> None:
        """The stream is opened with the handshake, within its time."""
        self._hear = hear

    async def close(self) -> None:
        self._hear = None
        await super().close()

    async def request(self, outgoing: Outgoing, hear: Hear) -> Response:
        if outgoing.method == "server/discover":
            raise Refused(f"{self.name} is reached over HTTP+SSE, which has a handshake", 404)
        if outgoing.method == "initialize" and self._hear is not None:
            await super().close()
            await super().open(self._hear)
        return await super().request(outgoing, hear)

    @asynccontextmanager
    async def _stream(self) -> AsyncGenerator[_Stream]:
        wire = self._wire
        wire.open()
        try:
            async with wire.exchange("GET", GET) as response:
                if not is_stream(response):
                    refused = wire.refusal(response, b"" if response.is_success else await wire.text(response))
                    raise Refused(f"{refused}: no stream of events", refused.status, refused.retry_after)
                stream = _Stream(wire, response)
                await stream.begin()
                yield stream
        except httpx2.TransportError as error:
            raise wire.lost(error) from error
        finally:
            await wire.close()


class _Stream:
    """What the server says, and the endpoint for what we say, as the channel."""

    session_id: str | None = None

    def __init__(self, wire: HttpWire, response: httpx2.Response) -> None:
        self._wire = wire
        self._chunks = chunks_of(response)
        self._parser = SseParser(f"The stream of {wire.name}")
        self._events: deque[SseEvent] = deque()
        self._endpoint = wire.url

    async def begin(self) -> None:
        """Wait for the endpoint. Raises ClientError where the stream begins with something else, or where the
        endpoint is at another origin: what we say, with our credentials, is for this server."""
        event = await self._next()
        if event.event != "endpoint":
            raise ClientError(f"{self._wire.name} does not name an endpoint: this is no HTTP+SSE server")
        location = event.data.decode(errors="replace").strip()
        self._endpoint = self._wire.same_origin(location, self._wire.url, "names an endpoint at")

    async def send(self, body: bytes) -> None:
        try:
            async with self._wire.exchange("POST", POST, body, self._endpoint) as response:
                text = await self._wire.text(response)
                if not response.is_success:
                    raise self._wire.refusal(response, text)
        except httpx2.TransportError as error:
            raise self._wire.lost(error) from error

    async def receive(self, take: Callable[[bytes], bool]) -> None:
        while True:
            event = await self._next()
            if event.event == "message" and event.data:
                take(event.data)

    async def _next(self) -> SseEvent:
        try:
            while not self._events:
                self._events.extend(self._parser.feed(await anext(self._chunks)))
        except StopAsyncIteration:
            raise ClientError(f"{self._wire.name} ended the connection") from None
        except httpx2.TransportError as error:
            raise self._wire.lost(error) from error
        return self._events.popleft()
