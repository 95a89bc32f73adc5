"""A server's real HTTP app, reached without a socket."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from ..client.client import Client
from ..client.transports.http import StreamableHttpTransport
from ..exceptions import ClientError
from .asgi import StreamingASGITransport, run_asgi_lifespan

__all__ = ["ASGIServer", "asgi_client", "asgi_server"]

_ORIGIN = "http://127.0.0.1"


@dataclass(frozen=True)
class ASGIServer:
    """An app that is running. Nothing listens at `url`; `client` and `http_client` reach it."""

    url: str
    app: Any
    transport_type: str
    state: Mapping[str, Any]

    def http_client(self, **options: Any) -> httpx2.AsyncClient:
        """An HTTP client of the app, to be used with ``async with``; `options` are those of `httpx2.AsyncClient`."""
        transport = StreamingASGITransport(self.app, state=self.state)
        every: dict[str, Any] = {"base_url": _ORIGIN, "timeout": None, **options}
        return httpx2.AsyncClient(transport=transport, **every)

    def transport(
        self, *, headers: Mapping[str, str] | None = None, auth: str | None = None
    ) -> StreamableHttpTransport:
        """A transport for `Client`. Raises ClientError for HTTP+SSE, which the client does not speak."""
        if self.transport_type == "sse":
            raise ClientError("The client speaks Streamable HTTP: reach an SSE app with http_client()")
        return StreamableHttpTransport(self.url, headers=headers, auth=auth, http_client=self.http_client)

    def client(
        self, *, headers: Mapping[str, str] | None = None, auth: str | None = None, **client_options: Any
    ) -> Client:
        """A `Client` that is not connected yet."""
        return Client(self.transport(headers=headers, auth=auth), **client_options)


@asynccontextmanager
async def asgi_server(
    server: Any, transport: str = "http", path: str | None = None, **app_options: Any
) -> AsyncGenerator[ASGIServer]:
    """Run the app of a server (what has an `http_app` method) with its lifespan; `app_options` go to ``http_app``."""
    app = server.http_app(transport=transport, path=path, **app_options)
    async with run_asgi_lifespan(app) as state:
        try:
            yield ASGIServer(f"{_ORIGIN}{app.state.path}", app, transport, state)
        finally:
            app.drain()


@asynccontextmanager
async def asgi_client(
    server: Any,
    transport: str = "http",
    path: str | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    auth: str | None = None,
    **client_options: Any,
) -> AsyncGenerator[Client]:
    """A connected `Client` of the server's app."""
    async with (
        asgi_server(server, transport, path) as running,
        running.client(headers=headers, auth=auth, **client_options) as client,
    ):
        yield client
