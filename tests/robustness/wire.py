"""HTTP/1.1 as bytes, and a server to talk to: what the robustness tests need and client libraries hide.

A `Connection` keeps alive, answers with exactly what was sent, and tells how a body ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, NamedTuple

import uvicorn

from headrace.server.run import PROTOCOL

__all__ = [
    "MODERN",
    "Answer",
    "Broken",
    "Connection",
    "Serving",
    "encode_request",
    "events",
    "listener",
    "modern_headers",
    "modern_meta",
    "serving",
]

MODERN = "2026-07-28"
SECONDS = 20.0
"""The longest wait for anything; a wait that takes this long has failed."""
_META = "io.modelcontextprotocol/"


class Broken(Exception):
    """The connection ended where the answer was not complete."""


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The message of a JSON body, or the last one of an SSE body."""
        if self.headers.get("content-type", "").startswith("text/event-stream"):
            return json.loads(events(self.body)[-1])
        return json.loads(self.body)


def events(body: bytes) -> list[bytes]:
    """The data of every SSE event that has some."""
    found: list[bytes] = []
    for block in body.split(b"\n\n"):
        data = [line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:")]
        if any(data):
            found.append(b"\n".join(data))
    return found


def encode_request(method: str, path: str, headers: Iterable[tuple[str, str]], body: bytes = b"") -> bytes:
    """Names and values go out as they are (latin-1). A body gets its Content-Length."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    if body or method == "POST":
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


class Connection:
    """One connection; requests one after the other, or pipelined with `write` and `read`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._events: deque[bytes] = deque()

    @classmethod
    async def open(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=2**20))

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    def write_eof(self) -> None:
        """Close our side of the connection."""
        self._writer.write_eof()

    async def drain(self) -> None:
        await self._writer.drain()

    async def request(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        self.write(encode_request(method, path, {"host": "127.0.0.1", **headers}.items(), body))
        return await self.read()

    async def read(self) -> Answer:
        """The next answer, whole. Raises Broken, and TimeoutError after `SECONDS`."""
        async with asyncio.timeout(SECONDS):
            status, headers = await self.head()
            return Answer(status, headers, await self.rest(headers))

    async def head(self) -> tuple[int, dict[str, str]]:
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            raise Broken(f"no head, only {error.partial[:80]!r}") from None
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-2])}
        return int(lines[0].split(" ", 2)[1]), headers

    async def rest(self, headers: Mapping[str, str]) -> bytes:
        """The body, to its proper end."""
        if headers.get("transfer-encoding") != "chunked":
            return await self._exactly(int(headers.get("content-length", 0)))
        pieces: list[bytes] = []
        while piece := await self.chunk():
            pieces.append(piece)
        return b"".join(pieces)

    async def chunk(self) -> bytes:
        """The next piece of a chunked body; empty at its proper end. Raises Broken where it breaks off."""
        size = await self._exactly_until(b"\r\n")
        data = await self._exactly(int(size, 16) + 2)
        return data[:-2]

    async def event(self) -> Any:
        """The next message of an SSE body whose chunks are whole events; None at its proper end."""
        async with asyncio.timeout(SECONDS):
            while not self._events:
                piece = await self.chunk()
                if not piece:
                    return None
                self._events.extend(events(piece))
            return json.loads(self._events.popleft())

    async def until_end(self) -> bytes:
        """What still comes until the server closes the connection."""
        async with asyncio.timeout(SECONDS):
            return await self._reader.read()

    async def ended(self) -> bool:
        """Whether the server closed the connection, in time."""
        async with asyncio.timeout(SECONDS):
            return not await self._reader.read(1)

    async def _exactly(self, size: int) -> bytes:
        try:
            return await self._reader.readexactly(size)
        except asyncio.IncompleteReadError as error:
            raise Broken(f"the body broke off after {len(error.partial)} of {size} bytes") from None

    async def _exactly_until(self, end: bytes) -> bytes:
        try:
            return await self._reader.readuntil(end)
        except asyncio.IncompleteReadError as error:
            raise Broken(f"the body broke off after {error.partial[:80]!r}") from None


def modern_meta(capabilities: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        f"{_META}protocolVersion": MODERN,
        f"{_META}clientCapabilities": capabilities or {},
        f"{_META}clientInfo": {"name": "robustness", "version": "1"},
        **more,
    }


def modern_headers(method: str, name: str | None = None) -> dict[str, str]:
    headers = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": MODERN,
        "mcp-method": method,
    }
    return headers if name is None else {**headers, "mcp-name": name}


def listener() -> socket.socket:
    """A listening loopback socket: clients may connect before the server runs."""
    # The protocol is named, or asyncio leaves Nagle on, and every answer in two pieces waits 40 ms.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", 0))
    bound.listen(512)
    return bound


class Serving:
    """An app that a real server serves in this loop."""

    def __init__(self, app: Any, port: int) -> None:
        self.app = app
        self.port = port


@contextlib.asynccontextmanager
async def serving(app: Any, **options: Any) -> AsyncIterator[Serving]:
    """Uvicorn on a free loopback port, as `run` sets it up, stopped at the end. `options` are its own."""
    bound = listener()
    common: dict[str, Any] = {"http": PROTOCOL, "log_level": "warning", "ws": "none", "timeout_graceful_shutdown": 5}
    server = uvicorn.Server(uvicorn.Config(app, **{**common, **options}))
    task = asyncio.get_running_loop().create_task(server.serve([bound]))
    try:
        yield Serving(app, bound.getsockname()[1])
    finally:
        server.should_exit = True
        await task
