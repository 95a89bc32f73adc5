"""Streamable HTTP, the client's side, for every revision that has it.

Each message is a POST of its own; the answer is JSON or an SSE stream. Up to 2025-11-25 there may be a session: its id
goes with every request, a GET stream carries what belongs to no call, and a POST stream that ends early is resumed
with ``Last-Event-ID`` (2025-11-25, basic, transports, Resumability and Redelivery). In 2026-07-28 closing the stream
of a request is how it is cancelled, and nothing is resumed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from ...exceptions import ClientError, McpError
from ...protocol.jsonrpc import Message, Response, decode, decode_batch, is_batch
from ...protocol.versions import Era
from .base import Hear, Outgoing, Refused
from .sse_parser import MAX_EVENT_BYTES, SseParser

__all__ = ["StreamableHttpTransport"]

logger = logging.getLogger(__name__)

MAX_BATCH = 1000
"""Messages in one array that a server may send (2025-03-26)."""
MAX_RESUMES = 8
"""Attempts in a row, without a new event, to come back to a stream."""
_RETRY_MS = 1000
_MAX_WAIT = 30.0
_FIRST_LISTEN_SECONDS = 1.0
_END_SECONDS = 2.0
_DRAIN_SECONDS = 0.05
_TIMEOUT = httpx2.Timeout(None, connect=15.0, write=60.0)
_LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=30.0)
# Compressed bodies would hide their size from the limits.
_HEADERS = {"accept-encoding": "identity", "user-agent": "headrace"}
_POST = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
_GET = {"accept": "text/event-stream", "cache-control": "no-store"}


class StreamableHttpTransport:
    """`headers` go with every request, `auth` is a bearer token. `http_client` makes the HTTP client where proxies,
    certificates or the like need one of their own."""

    mirrors_headers = True

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        auth: str | None = None,
        http_client: Callable[[], httpx2.AsyncClient] | None = None,
    ) -> None:
        self._headers = {**_HEADERS, **{name.lower(): value for name, value in (headers or {}).items()}}
        if auth is not None:
            self._headers["authorization"] = f"Bearer {auth}"
        self._url = httpx2.URL(url)
        self._make = http_client or _make_client
        self._http: httpx2.AsyncClient | None = None
        self._hear: Hear | None = None
        self._listener: asyncio.Task[None] | None = None
        self._era: Era | None = None
        self.session_id: str | None = None

    @property
    def name(self) -> str:
        return f"{self._url.scheme}://{self._url.netloc.decode('ascii').rpartition('@')[2]}{self._url.path}"

    async def open(self, hear: Hear) -> None:
        self._http = self._make()
        self._hear = hear

    async def close(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.cancel()
            await asyncio.wait([listener])
        http = self._http
        if http is None:
            return
        try:
            if self.session_id is not None:
                await self._end_session()
        finally:
            self._http = self._hear = self._era = self.session_id = None
            await http.aclose()

    def agree(self, era: Era) -> None:
        self._era = era

    async def request(self, outgoing: Outgoing, hear: Hear) -> Response:
        parser = SseParser()
        try:
            async with self._exchange("POST", {**_POST, **outgoing.headers}, outgoing.body) as response:
                if outgoing.method == "initialize" and response.is_success:
                    self.session_id = response.headers.get("mcp-session-id")
                if _media(response) == "text/event-stream" and response.is_success:
                    answer = await self._drain(response, parser, hear, outgoing.id)
                else:
                    answer = await self._single(response, outgoing.id)
        except httpx2.TransportError as error:
            # What has been sent can be asked for again only where the stream said how.
            if not self._can_resume(parser):
                raise self._failed(error) from error
            answer = None
        while answer is None:
            if not self._can_resume(parser):
                raise ClientError(f"{self.name} ended the stream of {outgoing.method} without an answer")
            answer = await self._resume(outgoing, parser, hear)
        return answer

    async def send(self, body: bytes) -> None:
        try:
            async with self._exchange("POST", _POST, body) as response:
                if not response.is_success:
                    raise self._refusal(response, await self._text(response))
                if _media(response) != "text/event-stream":
                    await self._text(response)
        except httpx2.TransportError as error:
            raise self._failed(error) from error

    async def listen(self) -> None:
        opened = asyncio.Event()
        self._listener = asyncio.get_running_loop().create_task(self._keep_listening(opened))
        try:
            # What the server says before the stream stands is lost, so wait a little for it.
            async with asyncio.timeout(_FIRST_LISTEN_SECONDS):
                await opened.wait()
        except TimeoutError:
            pass

    def _can_resume(self, parser: SseParser) -> bool:
        return self._era is not None and parser.last_event_id is not None

    async def _resume(self, outgoing: Outgoing, parser: SseParser, hear: Hear) -> Response | None:
        """What the stream of a request still has to say; None if it ended again, but with something new."""
        for _ in range(MAX_RESUMES):
            await asyncio.sleep((_RETRY_MS if parser.retry_ms is None else parser.retry_ms) / 1000)
            before = parser.last_event_id or ""
            parser.reset()
            answer = None
            try:
                async with self._exchange("GET", {**_GET, "last-event-id": before}) as response:
                    if not response.is_success or _media(response) != "text/event-stream":
                        raise self._refusal(response, await self._text(response))
                    answer = await self._drain(response, parser, hear, outgoing.id)
            except httpx2.TransportError as error:
                logger.debug("%s: a stream broke while it was resumed: %r", self.name, error)
            if answer is not None or parser.last_event_id != before:
                return answer
        method = outgoing.method
        raise ClientError(f"{self.name} ended the stream of {method}, and {MAX_RESUMES} attempts to resume it failed")

    async def _keep_listening(self, opened: asyncio.Event) -> None:
        """The GET stream, opened again whenever it ends."""
        parser = SseParser()
        failures = 0
        while self._hear is not None:
            before = parser.last_event_id
            try:
                if not await self._listen_once(parser, self._hear, opened):
                    return
            except (ClientError, httpx2.TransportError) as error:
                logger.debug("%s: the stream of messages broke: %r", self.name, error)
            failures = 0 if parser.last_event_id != before else failures + 1
            wait = min(_MAX_WAIT, 2.0 ** min(failures, 10) / 2)
            await asyncio.sleep(wait if parser.retry_ms is None else max(parser.retry_ms / 1000, wait / 2))

    async def _listen_once(self, parser: SseParser, hear: Hear, opened: asyncio.Event) -> bool:
        """False where the server offers no such stream, or the session is gone."""
        headers = dict(_GET)
        if parser.last_event_id is not None:
            headers["last-event-id"] = parser.last_event_id
        parser.reset()
        try:
            async with self._exchange("GET", headers) as response:
                opened.set()
                if response.is_success and _media(response) == "text/event-stream":
                    await self._drain(response, parser, hear, None)
                    return True
                if response.status_code == 400 and parser.last_event_id is not None:
                    parser.last_event_id = None  # no longer kept: begin anew
                    return True
                return response.status_code >= 500 or response.status_code in (408, 429)
        finally:
            opened.set()

    async def _end_session(self) -> None:
        try:
            async with asyncio.timeout(_END_SECONDS), self._exchange("DELETE", {}):
                pass
        except (ClientError, httpx2.TransportError, TimeoutError) as error:
            logger.debug("%s: the session could not be ended: %r", self.name, error)

    @asynccontextmanager
    async def _exchange(
        self, method: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> AsyncGenerator[httpx2.Response, None]:
        """One HTTP request with its response open; a redirect to the same place is followed once."""
        response = await self._sent(method, headers, body)
        try:
            if response.status_code in (307, 308) and "location" in response.headers:
                await response.aclose()
                self._url = self._same_place(response.headers["location"])
                response = await self._sent(method, headers, body)
            yield response
        finally:
            await response.aclose()

    async def _sent(self, method: str, headers: Mapping[str, str], body: bytes | None) -> httpx2.Response:
        if self._http is None:
            raise ClientError(f"Not connected to {self.name}: use the client in `async with client:`")
        every = {**self._headers, **headers}
        if self._era is not None:
            every["mcp-protocol-version"] = self._era.version
        if self.session_id is not None:
            every["mcp-session-id"] = self.session_id
        try:
            request = self._http.build_request(method, self._url, headers=every, content=body)
            return await self._http.send(request, stream=True, follow_redirects=False)
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.LocalProtocolError) as error:
            raise ClientError(f"Can't send to {self.name}: {error}") from error

    def _same_place(self, location: str) -> httpx2.URL:
        """Credentials and sessions don't travel to another origin, nor back to plain http."""
        target = self._url.join(location)
        upgraded = self._url.scheme == "http" and target.scheme == "https"
        same = target.scheme == self._url.scheme and target.port == self._url.port
        if target.host != self._url.host or not (same or upgraded):
            raise ClientError(f"{self.name} redirects to another origin, {target.scheme}://{target.host}: not followed")
        return target

    async def _single(self, response: httpx2.Response, id: int) -> Response:
        """The answer as one JSON object: a result, or an error that comes with an HTTP error status."""
        body = await self._text(response)
        if _media(response) == "application/json":
            try:
                message = decode(body)
            except McpError as error:
                if response.is_success:
                    raise ClientError(f"{self.name} sent what is no JSON-RPC message: {error}") from None
                raise self._refusal(response, body) from None
            if self._session_gone(response):
                raise self._refusal(response, body)
            if isinstance(message, Response) and (message.id == id or (message.id is None and message.error)):
                return message
            raise ClientError(f"{self.name} sent a message that does not answer the request")
        if response.is_success:
            raise Refused(f"{self.name} answered {response.status_code} without a message", response.status_code)
        raise self._refusal(response, body)

    async def _drain(
        self, response: httpx2.Response, parser: SseParser, hear: Hear, wanted: int | None
    ) -> Response | None:
        """Hear what a stream says, until the response with the id `wanted` comes (it is returned) or the end."""
        chunks = response.aiter_bytes()
        async for chunk in chunks:
            for event in parser.feed(chunk):
                if event.event != "message" or not event.data:
                    continue
                for message in self._messages(event.data):
                    if not isinstance(message, Response):
                        await hear(message)
                    elif wanted is not None and (message.id == wanted or (message.id is None and message.error)):
                        await _read_out(chunks)
                        return message
                    else:
                        logger.warning("%s answered a request that nobody waits for: %r", self.name, message.id)
        return None

    def _messages(self, data: bytes) -> list[Message]:
        try:
            if not is_batch(data):
                return [decode(data)]
            messages: list[Message] = []
            for item in decode_batch(data, MAX_BATCH):
                if isinstance(item, McpError):
                    raise item
                messages.append(item)
            return messages
        except McpError as error:
            raise ClientError(f"{self.name} sent what is no JSON-RPC message: {error}") from None

    async def _text(self, response: httpx2.Response) -> bytes:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > MAX_EVENT_BYTES:
                raise ClientError(f"{self.name} sent more than {MAX_EVENT_BYTES} bytes")
        return bytes(body)

    def _session_gone(self, response: httpx2.Response) -> bool:
        return response.status_code == 404 and self.session_id is not None

    def _refusal(self, response: httpx2.Response, body: bytes) -> Refused:
        status = response.status_code
        if self._session_gone(response):
            return Refused(f"{self.name} no longer knows the session: connect again", status)
        try:
            message = decode(body)
            said = message.error.message if isinstance(message, Response) and message.error else ""
        except McpError:
            said = body[:200].decode(errors="replace") if _media(response).startswith("text/plain") else ""
        if status == 401:
            said = said or "credentials are needed, or these are not accepted"
        return Refused(f"{self.name} answered {status} {response.reason_phrase}{': ' if said else ''}{said}", status)

    def _failed(self, error: httpx2.TransportError) -> ClientError:
        return ClientError(f"The connection to {self.name} failed: {str(error) or type(error).__name__}")


def _make_client() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(timeout=_TIMEOUT, limits=_LIMITS, follow_redirects=False)


def _media(response: httpx2.Response) -> str:
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _read_out(chunks: AsyncIterator[Any]) -> None:
    """Read to the end of a stream that has nothing more to say, so that its connection can be used again."""
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for _ in chunks:
                pass
    except (TimeoutError, httpx2.TransportError):
        pass
