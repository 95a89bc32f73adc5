"""What clients send and get, as plain data: nothing here knows Headrace."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

__all__ = [
    "ACCEPT",
    "MODERN",
    "Event",
    "Events",
    "Raw",
    "Reply",
    "body_of",
    "call",
    "events_of",
    "initialize",
    "modern",
    "open_session",
    "raw",
    "send",
    "stream",
    "stream_of",
]

MODERN = "2026-07-28"
ACCEPT = "application/json, text/event-stream"
META = "io.modelcontextprotocol/"
POST_HEADERS = {"accept": ACCEPT, "content-type": "application/json"}
_NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}

Headers = Mapping[str, str | None]


def body_of(method: str, params: Mapping[str, Any] | None = None, *, id: Any = 1) -> dict[str, Any]:
    """A request, or with ``id=...`` a notification."""
    body: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
    if id is not ...:
        body["id"] = id
    if params is not None:
        body["params"] = dict(params)
    return body


def call(tool: str, arguments: Mapping[str, Any] | None = None, *, id: Any = 1, **params: Any) -> dict[str, Any]:
    return body_of("tools/call", {"name": tool, "arguments": dict(arguments or {}), **params}, id=id)


def initialize(
    version: str = "2025-11-25", *, capabilities: Mapping[str, Any] | None = None, id: Any = 1
) -> dict[str, Any]:
    params = {
        "protocolVersion": version,
        "capabilities": dict(capabilities or {}),
        "clientInfo": {"name": "tests", "version": "1"},
    }
    return body_of("initialize", params, id=id)


def modern(
    body: Mapping[str, Any],
    *,
    version: str = MODERN,
    capabilities: Mapping[str, Any] | None = None,
    log: str | None = None,
    progress: int | str | None = None,
) -> tuple[dict[str, str | None], dict[str, Any]]:
    """The headers and the body of a 2026-07-28 request."""
    params = dict(body.get("params", {}))
    params["_meta"] = {
        META + "protocolVersion": version,
        META + "clientCapabilities": dict(capabilities or {}),
        META + "clientInfo": {"name": "tests", "version": "1"},
        **({} if log is None else {META + "logLevel": log}),
        **({} if progress is None else {"progressToken": progress}),
        **params.get("_meta", {}),
    }
    headers: dict[str, str | None] = {"mcp-protocol-version": version, "mcp-method": body["method"]}
    name = params.get(_NAMED.get(body["method"], ""))
    if isinstance(name, str):
        headers["mcp-name"] = name
    return headers, {**body, "params": params}


@dataclass
class Event:
    """One SSE event; `id`, `retry` and `event` as they were on the wire."""

    data: str = ""
    id: str | None = None
    event: str | None = None
    retry: str | None = None

    @property
    def message(self) -> dict[str, Any]:
        return json.loads(self.data)


def events_of(text: str) -> list[Event]:
    """All events of a stream that has ended; comments are left out."""
    found: list[Event] = []
    for block in text.split("\n\n"):
        event, fields = Event(), 0
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            if name in ("data", "id", "event", "retry"):
                setattr(event, name, value.removeprefix(" "))
                fields += 1
        if fields:
            found.append(event)
    return found


@dataclass
class Reply:
    status: int
    headers: httpx2.Headers
    text: str

    @property
    def type(self) -> str:
        return self.headers.get("content-type", "")

    @property
    def json(self) -> Any:
        assert self.type == "application/json", self
        return json.loads(self.text)

    @property
    def events(self) -> list[Event]:
        assert self.type == "text/event-stream", self
        return events_of(self.text)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """Every message, whether it came as JSON or as a stream."""
        if self.type == "text/event-stream":
            return [event.message for event in self.events if event.data]
        found = self.json
        return found if isinstance(found, list) else [found]

    @property
    def answer(self) -> dict[str, Any]:
        """The last message: the response."""
        return self.messages[-1]

    @property
    def result(self) -> dict[str, Any]:
        assert "result" in self.answer, self
        return self.answer["result"]

    @property
    def error(self) -> dict[str, Any]:
        assert "error" in self.answer, self
        return self.answer["error"]

    @property
    def content(self) -> str:
        """The text of a tool's result that is no error."""
        assert not self.result.get("isError"), self
        return self.result["content"][0]["text"]


def _fields(defaults: Mapping[str, str], headers: Headers | None) -> dict[str, str]:
    merged: dict[str, str | None] = {**defaults, **(headers or {})}
    return {name: value for name, value in merged.items() if value is not None}


async def send(
    http: httpx2.AsyncClient,
    url: str,
    body: Any = None,
    headers: Headers | None = None,
    *,
    method: str = "POST",
) -> Reply:
    """One request, its answer read to the end. A header that is None is not sent."""
    defaults = POST_HEADERS if method == "POST" else {"accept": ACCEPT}
    content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    response = await http.request(method, url, content=content, headers=_fields(defaults, headers))
    return Reply(response.status_code, response.headers, response.text)


async def open_session(
    http: httpx2.AsyncClient,
    url: str,
    version: str = "2025-11-25",
    *,
    capabilities: Mapping[str, Any] | None = None,
    headers: Headers | None = None,
) -> dict[str, str]:
    """The headers of a session that has had its handshake."""
    reply = await send(http, url, initialize(version, capabilities=capabilities), headers)
    assert reply.status == 200, reply
    session = {"mcp-session-id": reply.headers["mcp-session-id"]}
    session["mcp-protocol-version"] = reply.result["protocolVersion"]
    accepted = await send(http, url, body_of("notifications/initialized", id=...), {**(headers or {}), **session})
    assert accepted.status == 202, accepted
    return session


@dataclass
class Events:
    """A stream that is being read."""

    status: int
    headers: httpx2.Headers
    comments: list[str] = field(default_factory=list)
    _queue: asyncio.Queue[Event | None] = field(default_factory=lambda: asyncio.Queue())

    async def next(self, seconds: float = 5.0) -> Event:
        event = await asyncio.wait_for(self._queue.get(), seconds)
        assert event is not None, "the stream has ended"
        return event

    async def message(self, seconds: float = 5.0) -> dict[str, Any]:
        return (await self.next(seconds)).message

    async def ended(self, seconds: float = 5.0) -> None:
        """Wait for the end; fails on another event."""
        event = await asyncio.wait_for(self._queue.get(), seconds)
        assert event is None, event

    @property
    def silent(self) -> bool:
        """Nothing has come that was not asked for yet, and the stream is open."""
        return self._queue.empty()

    async def read(self, response: httpx2.Response) -> None:
        buffer = ""
        try:
            async for piece in response.aiter_text():
                buffer += piece
                *blocks, buffer = buffer.split("\n\n")
                for block in blocks:
                    if block.startswith(":"):
                        self.comments.append(block)
                    for event in events_of(block):
                        self._queue.put_nowait(event)
        finally:
            self._queue.put_nowait(None)


@asynccontextmanager
async def stream(
    http: httpx2.AsyncClient,
    url: str,
    body: Any = None,
    headers: Headers | None = None,
    *,
    method: str = "GET",
) -> AsyncGenerator[Events]:
    """An answer that is read while it comes; the connection is closed with the block."""
    defaults = POST_HEADERS if method == "POST" else {"accept": ACCEPT}
    content = None if body is None else json.dumps(body).encode()
    async with http.stream(method, url, content=content, headers=_fields(defaults, headers)) as response:
        events = Events(response.status_code, response.headers)
        if response.status_code != 200:
            raise AssertionError((response.status_code, await response.aread()))
        reader = asyncio.create_task(events.read(response))
        try:
            yield events
        finally:
            reader.cancel()
            await asyncio.wait([reader])


@dataclass
class Raw:
    """An answer as it was on the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def raw(port: int, *pieces: bytes, seconds: float = 5.0) -> Raw:
    """Send bytes as they are and read until the server closes; say ``Connection: close``."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        data = await asyncio.wait_for(reader.read(), seconds)
    finally:
        writer.close()
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Raw(int(first.split()[1]), headers, body)


@asynccontextmanager
async def stream_of(port: int, request: bytes) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A raw connection with a request sent; closed hard with the block."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        await writer.drain()
        yield reader, writer
    finally:
        writer.close()
