"""The door of an app: asks with a token, and says what came of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from headrace import FastMCP
from headrace.server.dependencies import get_access_token
from headrace.testing import asgi_server

from ..http.wire import call, modern

__all__ = ["Ask", "Said", "door", "doors"]

Pairs = Sequence[tuple[str, str]]


@dataclass
class Said:
    status: int
    challenges: list[str] = field(default_factory=list[str])
    claims: dict[str, Any] = field(default_factory=dict[str, Any])
    """Of the token that the tool saw, and who the caller is to sessions."""
    headers: Any = None


Ask = Callable[..., Awaitable[Said]]
"""``await ask(token, scheme="Bearer", more=[("dpop", proof)])``; `ask.ran` are the calls that the tool saw."""


@asynccontextmanager
async def doors(auth: Any, *paths: str) -> AsyncIterator[list[Any]]:
    """One server at several paths."""
    server: FastMCP = FastMCP("guarded", auth=auth)
    ran: list[str] = []

    @server.tool
    def who() -> dict[str, Any]:
        access = get_access_token()
        ran.append(access.token)
        return {**access.claims, "principal": access.principal}

    async with _all(server, paths, ran) as asks:
        yield asks


@asynccontextmanager
async def _all(server: FastMCP, paths: Sequence[str], ran: list[str]) -> AsyncIterator[list[Any]]:
    if not paths:
        yield []
        return
    async with (
        asgi_server(server, path=paths[0]) as site,
        site.http_client() as http,
        _all(server, paths[1:], ran) as others,
    ):
        yield [_asking(http, paths[0], ran), *others]


@asynccontextmanager
async def door(auth: Any, path: str = "/mcp") -> AsyncIterator[Any]:
    async with doors(auth, path) as (ask,):
        yield ask


def _asking(http: httpx2.AsyncClient, path: str, ran: list[str]) -> Any:
    async def ask(token: str | None, scheme: str = "Bearer", more: Pairs = (), query: str = "") -> Said:
        own, body = modern(call("who"))
        headers = [(name.encode(), (value or "").encode()) for name, value in own.items()]
        headers += [(b"accept", b"application/json, text/event-stream")]
        headers += [] if token is None else [(b"authorization", f"{scheme} {token}".encode("latin-1"))]
        headers += [(name.encode(), value.encode("latin-1")) for name, value in more]
        reply = await http.post(path + query, headers=headers, json=body)
        challenges = reply.headers.get_list("www-authenticate")
        if reply.status_code != 200:
            return Said(reply.status_code, challenges, headers=reply.headers)
        return Said(200, challenges, reply.json()["result"]["structuredContent"], reply.headers)

    ask.ran = ran  # type: ignore[attr-defined]
    return ask
