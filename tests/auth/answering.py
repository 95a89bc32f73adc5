"""A server of this machine that answers what it is told, and keeps what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

__all__ = ["Answering", "answering"]


class Answering:
    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.document: Any = {}
        """JSON, or bytes."""
        self.gate: asyncio.Event | None = None
        """Where there is one, answers wait for it."""
        self.came = asyncio.Event()
        self.asked: list[tuple[bytes, bytes]] = []
        """Head and body of each request."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        self.asked.append((head, await reader.readexactly(length)))
        self.came.set()
        if self.gate is not None:
            await self.gate.wait()
        body = self.document if isinstance(self.document, bytes) else json.dumps(self.document).encode()
        fields = f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close"
        writer.write(f"HTTP/1.1 {self.status} Fine\r\n{fields}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def answering(document: Any) -> AsyncIterator[Answering]:
    site = Answering()
    site.document = document
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    async with server:
        site.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/answer"
        yield site
