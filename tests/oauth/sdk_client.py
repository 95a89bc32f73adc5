"""The official Python SDK's client with its own OAuth, and a browser in place of its user's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl

__all__ = ["Memory", "sdk_client"]

SECONDS = 20.0
PAGE = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<title>Done</title>Answer received"


class Memory:
    """What the SDK keeps."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class Redirects:
    """A port where answers to logins come."""

    def __init__(self) -> None:
        self._answers: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._connections: set[asyncio.Task[Any]] = set()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            line = (await reader.readline()).decode().split(" ")
            writer.write(PAGE)
            await writer.drain()
        finally:
            writer.close()
            self._connections.discard(task)
        parts = urlsplit(line[1] if len(line) > 1 else "")
        if parts.path == "/callback":
            self._answers.put_nowait(dict(parse_qsl(parts.query)))

    async def aclose(self) -> None:
        """Browsers open connections that they don't use."""
        connections = list(self._connections)
        for each in connections:
            each.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def answer(self) -> AuthorizationCodeResult:
        said = await asyncio.wait_for(self._answers.get(), SECONDS)
        return AuthorizationCodeResult(code=said.get("code", ""), state=said.get("state"), iss=said.get("iss"))


@asynccontextmanager
async def sdk_client(
    url: str, open: Callable[[str], object], memory: Memory | None = None, mode: Any = "auto"
) -> AsyncIterator[Client]:
    """A client that is connected; `open` is given the addresses where its user has to log in."""
    redirects = Redirects()
    server = await asyncio.start_server(redirects.take, "127.0.0.1", 0)

    async def redirect(address: str) -> None:
        open(address)

    async with server, contextlib.aclosing(redirects):
        port = server.sockets[0].getsockname()[1]
        metadata = OAuthClientMetadata(
            client_name="SDK", redirect_uris=[AnyUrl(f"http://127.0.0.1:{port}/callback")], scope="read"
        )
        auth = OAuthClientProvider(url, metadata, memory or Memory(), redirect, redirects.answer)
        async with (
            httpx2.AsyncClient(auth=auth, timeout=SECONDS) as http,
            Client(streamable_http_client(url, http_client=http), mode=mode) as client,
        ):
            yield client
