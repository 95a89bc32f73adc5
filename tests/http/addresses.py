"""Clients of one app at addresses of their own, which loopback sockets can't have."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from headrace import FastMCP
from headrace.testing import StreamingASGITransport

__all__ = ["Clients", "clients"]


class Clients:
    """Clients of one app, as many as are asked for."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._transports: list[httpx2.AsyncClient] = []

    def at(self, address: str, token: str | None = None) -> httpx2.AsyncClient:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await self._app({**scope, "client": (address, 1)}, receive, send)

        client = httpx2.AsyncClient(transport=StreamingASGITransport(app), base_url="http://127.0.0.1", trust_env=False)
        if token is not None:
            client.headers["authorization"] = f"Bearer {token}"
        self._transports.append(client)
        return client

    async def close(self) -> None:
        for client in self._transports:
            await client.aclose()


@asynccontextmanager
async def clients(mcp: FastMCP, **options: Any) -> AsyncGenerator[Clients]:
    app = mcp.http_app(**options)
    async with app.lifespan(app):
        found = Clients(app)
        try:
            yield found
        finally:
            await found.close()
