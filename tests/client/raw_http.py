"""A server out of a socket and a function: it can do what no HTTP server would."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec

__all__ = ["DISCOVERED", "DONE", "HANDSHAKE", "INITIALIZED", "MODERN", "Exchange", "RawServer", "raw_server"]

MODERN, HANDSHAKE = "2026-07-28", "2025-11-25"
CAPABILITIES: dict[str, Any] = {"tools": {}, "resources": {}, "prompts": {}}
DISCOVERED = {"resultType": "complete", "supportedVersions": [MODERN], "capabilities": CAPABILITIES}
INITIALIZED = {
    "protocolVersion": HANDSHAKE,
    "capabilities": CAPABILITIES,
    "serverInfo": {"name": "raw", "version": "1"},
}
DONE = {"resultType": "complete", "content": [{"type": "text", "text": "done"}]}
_STREAM = "content-type: text/event-stream\r\nconnection: close\r\n"


class Exchange:
    """One HTTP request, and what is answered to it."""

    def __init__(self, head: bytes, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, *fields = head.decode().split("\r\n")
        self.verb, self.path, _ = line.split(" ")
        self.headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        self.message: dict[str, Any] = msgspec.json.decode(body) if body else {}
        self.method: str = self.message.get("method", self.verb)
        self.id: int | str | None = self.message.get("id")
        self.reader = reader
        self.writer = writer

    async def hold(self) -> None:
        """Say nothing until the client goes away."""
        await self.reader.read()
        self.writer.close()

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, status: int, body: bytes = b"", *fields: str, media: str = "application/json") -> None:
        head = [f"HTTP/1.1 {status} Said", f"content-type: {media}", f"content-length: {len(body)}", *fields]
        await self.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)

    async def result(self, value: Any, *fields: str) -> None:
        await self.answer(200, self.response(value), *fields)

    async def stream(self) -> None:
        await self.write(f"HTTP/1.1 200 OK\r\n{_STREAM}\r\n".encode())

    async def event(self, data: bytes, kind: str = "message") -> None:
        await self.write(f"event: {kind}\ndata: ".encode() + data + b"\n\n")

    def response(self, value: Any, id: Any = None) -> bytes:
        return msgspec.json.encode({"jsonrpc": "2.0", "id": self.id if id is None else id, "result": value})

    def die(self) -> None:
        self.writer.transport.abort()


Script = Callable[[Exchange], Awaitable[bool | None]]
"""Answers, or returns False for what it leaves to the server: the beginning of a connection."""


class RawServer:
    def __init__(self, script: Script) -> None:
        self.script = script
        self.seen: list[Exchange] = []
        self.port = 0
        self.writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def ids(self, method: str) -> list[Any]:
        return [exchange.id for exchange in self.seen if exchange.method == method]

    async def start(self) -> None:
        sock = socket.socket(proto=socket.IPPROTO_TCP)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", self.port))
        self.port = sock.getsockname()[1]
        self._server = await asyncio.start_server(self._connected, sock=sock, limit=1 << 20)

    async def stop(self) -> None:
        """As if the process were killed."""
        assert self._server is not None
        self._server.close()
        for writer in list(self.writers):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).removesuffix(b"\r\n\r\n")
                exchange = Exchange(head, b"", reader, writer)
                body = await reader.readexactly(int(exchange.headers.get("content-length", 0)))
                exchange = Exchange(head, body, reader, writer)
                self.seen.append(exchange)
                if await self.script(exchange) is False:
                    await self._begin(exchange)
                if writer.transport.is_closing():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except asyncio.CancelledError:
            pass  # the test is over
        finally:
            self.writers.discard(writer)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _begin(self, exchange: Exchange) -> None:
        match exchange.method:
            case "server/discover":
                await exchange.result(DISCOVERED)
            case "initialize":
                await exchange.result(INITIALIZED)
            case "ping":
                await exchange.result({})
            case "GET" | "DELETE":
                await exchange.answer(405)
            case _:
                await exchange.answer(202)


@asynccontextmanager
async def raw_server(script: Script) -> AsyncIterator[RawServer]:
    server = RawServer(script)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
