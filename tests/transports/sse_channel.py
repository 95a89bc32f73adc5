"""A client's channel over HTTP+SSE (2024-11-05), for the matrix: the client itself does not speak it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import httpx2

from headrace.client.transports.sse_parser import SseParser

__all__ = ["sse_channel"]


class SseChannel:
    session_id: str | None = None

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http
        self._messages: asyncio.Queue[bytes] = asyncio.Queue()
        self._endpoint: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def send(self, body: bytes) -> None:
        headers = {"content-type": "application/json"}
        response = await self._http.post(await self._endpoint, content=body, headers=headers)
        assert response.status_code == 202, response.text

    async def receive(self) -> bytes:
        return await self._messages.get()

    async def read(self, response: httpx2.Response) -> None:
        parser = SseParser()
        async for chunk in response.aiter_bytes():
            for event in parser.feed(chunk):
                if event.event == "endpoint":
                    self._endpoint.set_result(event.data.decode())
                else:
                    self._messages.put_nowait(event.data)


@asynccontextmanager
async def sse_channel(base: str) -> AsyncGenerator[SseChannel]:
    async with httpx2.AsyncClient(base_url=base, timeout=30) as http, http.stream("GET", "/sse") as response:
        channel = SseChannel(http)
        reading = asyncio.create_task(channel.read(response))
        try:
            yield channel
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError, httpx2.TransportError):
                await reading
