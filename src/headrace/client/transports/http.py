"""Streamable HTTP, the client's side, for every revision that has it.

Each message is a POST of its own; the answer is JSON or an SSE stream. Up to 2025-11-25 there may be a session: its id
goes with every request, a GET stream carries what belongs to no call, and a POST stream that ends early is resumed
with ``Last-Event-ID`` (2025-11-25, basic, transports, Resumability and Redelivery). In 2026-07-28 closing the stream
of a request is how it is cancelled, and nothing is resumed. `repeating` says what is sent again after a failure.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx2

from ...exceptions import ClientError, McpError
from ...protocol.jsonrpc import Message, Response, decode, decode_batch, is_batch
from ...protocol.versions import Era
from ..auth.documents import LoginError
from .base import Hear, Lost, MakeHttp, Outgoing, Refused
from .repeating import again, wait_before
from .sse_parser import SseParser
from .wire import GET, POST, Auth, HttpWire, chunks_of, is_stream, media_of

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


class _Unavailable(Refused):
    """503 that comes with an error of JSON-RPC."""

    def __init__(self, refused: Refused, answer: Response) -> None:
        super().__init__(str(refused), refused.status, refused.retry_after)
        self.answer = answer


class StreamableHttpTransport:
    """`headers` go with every request, `auth` is a bearer token or a login. `http_client` makes the HTTP client where
    proxies, certificates or the like need one of their own."""

    mirrors_headers = True

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        auth: Auth | None = None,
        http_client: MakeHttp | None = None,
    ) -> None:
        self._wire = HttpWire(url, headers, auth, http_client)
        self._source = f"The stream of {self.name}"
        self._hear: Hear | None = None
        self._listener: asyncio.Task[None] | None = None
        self._era: Era | None = None
        self._reached = False
        self.session_id: str | None = None

    @property
    def name(self) -> str:
        return self._wire.name

    async def open(self, hear: Hear) -> None:
        self._wire.open()
        self._hear = hear
        self._reached = False

    async def close(self) -> None:
        await self._stop_listening()
        if not self._wire.is_open:
            return
        try:
            if self.session_id is not None:
                await self._end_session()
        finally:
            self._hear = self._era = self.session_id = None
            await self._wire.close()

    @property
    def extensions(self) -> dict[str, Any]:
        return self._wire.extensions

    def on_login(self, call: Callable[[], None]) -> None:
        """`call` is called when it may be another user who the requests are for."""
        self._wire.on_login(call)

    def agree(self, era: Era) -> None:
        self._era = era

    async def request(self, outgoing: Outgoing, hear: Hear) -> Response:
        if outgoing.method == "initialize":  # also where the session of an earlier one is gone
            await self._stop_listening()
            self._era = self.session_id = None
        sent = outgoing
        attempt = 1
        while True:
            try:
                return await self._asked(sent, hear)
            except (Refused, Lost) as error:
                attempt += 1
                wait = wait_before(attempt, outgoing.method, error, reached=self._reached)
                if wait is None:
                    if isinstance(error, _Unavailable):
                        return error.answer
                    raise
                logger.debug("%s: %s is sent again in %.2f seconds: %s", self.name, outgoing.method, wait, error)
            await asyncio.sleep(wait)
            sent = again(outgoing, attempt)

    async def _asked(self, outgoing: Outgoing, hear: Hear) -> Response:
        parser = SseParser(self._source)
        try:
            async with self._exchange("POST", {**POST, **outgoing.headers}, outgoing.body) as response:
                self._reached = True
                if outgoing.method == "initialize":
                    self._initialized(response)
                if is_stream(response):
                    answer = await self._drain(response, parser, hear, outgoing.id)
                else:
                    answer = await self._single(response, outgoing.id)
        except httpx2.TransportError as error:
            # What has been sent can be asked for again only where the stream said how.
            if not self._can_resume(parser):
                raise self._wire.lost(error) from error
            answer = None
        while answer is None:
            if not self._can_resume(parser):
                raise Lost(f"{self.name} ended the stream of {outgoing.method} without an answer", sent=True)
            answer = await self._resume(outgoing, parser, hear)
        return answer

    def _initialized(self, response: httpx2.Response) -> None:
        if response.is_success:
            self.session_id = response.headers.get("mcp-session-id")

    async def send(self, body: bytes) -> None:
        try:
            async with self._exchange("POST", POST, body) as response:
                if not response.is_success:
                    raise self._refusal(response, await self._wire.text(response))
                if media_of(response) != "text/event-stream":
                    await self._wire.text(response)
        except httpx2.TransportError as error:
            raise self._wire.lost(error) from error

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
                async with self._exchange("GET", {**GET, "last-event-id": before}) as response:
                    if not is_stream(response):  # which refuses the stream, not the request: that may have run
                        raise Lost(str(self._refusal(response, await self._wire.text(response))), sent=True)
                    answer = await self._drain(response, parser, hear, outgoing.id)
            except httpx2.TransportError as error:
                logger.debug("%s: a stream broke while it was resumed: %r", self.name, error)
            if answer is not None or parser.last_event_id != before:
                return answer
        method = outgoing.method
        raise ClientError(f"{self.name} ended the stream of {method}, and {MAX_RESUMES} attempts to resume it failed")

    async def _keep_listening(self, opened: asyncio.Event) -> None:
        """The GET stream, opened again whenever it ends."""
        parser = SseParser(self._source)
        failures = 0
        while self._hear is not None:
            before = parser.last_event_id
            try:
                if not await self._listen_once(parser, self._hear, opened):
                    return
            except LoginError as error:
                logger.warning("%s: no stream of messages: %s", self.name, error)
                return  # the user is not asked again and again
            except (ClientError, httpx2.TransportError) as error:
                logger.debug("%s: the stream of messages broke: %r", self.name, error)
            failures = 0 if parser.last_event_id != before else failures + 1
            wait = min(_MAX_WAIT, 2.0 ** min(failures, 10) / 2)
            await asyncio.sleep(wait if parser.retry_ms is None else max(parser.retry_ms / 1000, wait / 2))

    async def _listen_once(self, parser: SseParser, hear: Hear, opened: asyncio.Event) -> bool:
        """False where the server offers no such stream, or the session is gone."""
        headers = dict(GET)
        if parser.last_event_id is not None:
            headers["last-event-id"] = parser.last_event_id
        parser.reset()
        try:
            async with self._exchange("GET", headers) as response:
                opened.set()
                if is_stream(response):
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

    def _exchange(
        self, method: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> AbstractAsyncContextManager[httpx2.Response]:
        every = dict(headers)
        if self._era is not None:
            every["mcp-protocol-version"] = self._era.version
        if self.session_id is not None:
            every["mcp-session-id"] = self.session_id
        return self._wire.exchange(method, every, body)

    async def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.cancel()
            await asyncio.wait([listener])

    async def _single(self, response: httpx2.Response, id: int | str) -> Response:
        """The answer as one JSON object: a result, or an error that comes with an HTTP error status."""
        body = await self._wire.text(response)
        if media_of(response) == "application/json":
            try:
                message = decode(body)
            except McpError as error:
                if response.is_success:
                    raise ClientError(f"{self.name} sent what is no JSON-RPC message: {error}") from None
                raise self._refusal(response, body) from None
            if self._session_gone(response):
                raise self._refusal(response, body)
            if isinstance(message, Response) and (message.id == id or (message.id is None and message.error)):
                if response.status_code == 503 and message.error is not None:
                    raise _Unavailable(self._refusal(response, body), message)
                return message
            raise ClientError(f"{self.name} sent a message that does not answer the request")
        if response.is_success:
            raise Refused(f"{self.name} answered {response.status_code} without a message", response.status_code)
        raise self._refusal(response, body)

    async def _drain(
        self, response: httpx2.Response, parser: SseParser, hear: Hear, wanted: int | str | None
    ) -> Response | None:
        """Hear what a stream says, until the response with the id `wanted` comes (it is returned) or the end."""
        chunks = chunks_of(response)
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

    def _session_gone(self, response: httpx2.Response) -> bool:
        return response.status_code == 404 and "mcp-session-id" in response.extensions["sent"]

    def _refusal(self, response: httpx2.Response, body: bytes) -> Refused:
        if self._session_gone(response):
            return Refused(f"{self.name} no longer knows the session: connect again", response.status_code)
        return self._wire.refusal(response, body)


async def _read_out(chunks: AsyncIterator[Any]) -> None:
    """Read to the end of a stream that has nothing more to say, so that its connection can be used again."""
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for _ in chunks:
                pass
    except (TimeoutError, httpx2.TransportError):
        pass
