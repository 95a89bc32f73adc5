"""Three ways of serving one server, and what a request may have left behind.

Servers are real: uvicorn with httptools on a loopback port, in a thread with an event loop of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp

from headrace import FastMCP
from headrace.server.auth import AuthProvider
from headrace.server.http import StreamableHTTPASGIApp
from headrace.server.request_state import sealer_of
from headrace.settings import Settings
from headrace.state.memory import MemoryBus, MemorySessionStore
from headrace.transports.http.admission import Rules
from headrace.transports.http.endpoint import Endpoint
from headrace.transports.http.guard import Guard
from headrace.transports.http.pace import Limits

from .probe import Log, make_server
from .wire import call, modern, send

__all__ = ["WAYS", "Site", "Way", "endpoint_of", "eventually", "run", "serve", "serve_bare"]

Way = Literal["app", "mounted", "bare"]
WAYS: tuple[Way, ...] = ("app", "mounted", "bare")
"""``http_app()`` by itself, the same mounted under ``/api``, and the endpoint with no Starlette around it."""


async def eventually(condition: Callable[[], Any], seconds: float = 5.0) -> Any:
    """The condition's first true value, awaited if it can be; fails if it is still false after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        assert time.monotonic() < deadline, f"not true within {seconds} s: {condition!r}"
        await asyncio.sleep(0.005)


class _Server(uvicorn.Server):
    """uvicorn, but quick to notice that it should stop."""

    async def main_loop(self) -> None:
        while not self.should_exit:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)


@dataclass
class Running:
    port: int
    loop: asyncio.AbstractEventLoop


@contextmanager
def run(app: ASGIApp, *, lifespan: Literal["on", "off"] = "on") -> Iterator[Running]:
    """The app on a free loopback port; ended with the block."""
    # asyncio turns Nagle's delay off only where the protocol is named.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    # Connections that a test left open must not delay the end.
    config = uvicorn.Config(
        app, http="httptools", ws="none", lifespan=lifespan, log_level="error", timeout_graceful_shutdown=1
    )
    server = _Server(config)
    loop = asyncio.new_event_loop()

    def work() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(server.serve([listener]))

    thread = threading.Thread(target=work, name="server")
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            assert time.monotonic() < deadline, "the server did not start in time"
            time.sleep(0.001)
        yield Running(listener.getsockname()[1], loop)
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
        assert not thread.is_alive(), "the server did not stop"


@dataclass
class Site:
    """One served app."""

    way: str
    port: int
    path: str
    loop: asyncio.AbstractEventLoop
    mcp: FastMCP
    log: Log
    endpoint: Endpoint
    idle_tasks: int = 0
    """Tasks of a server that does nothing."""

    def __post_init__(self) -> None:
        self.idle_tasks = asyncio.run_coroutine_threadsafe(self._residue(), self.loop).result(10)["tasks"]

    @property
    def stateless(self) -> bool:
        return self.endpoint._handshake._sessions is None

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return self.origin + self.path

    async def release(self, http: httpx2.AsyncClient, name: str) -> None:
        """Let the tool `wait` of that name go on."""
        headers, body = modern(call("release", {"name": name}))
        reply = await send(http, self.url, body, headers)
        assert reply.content == "released"

    async def residue(self) -> dict[str, int]:
        """How much of each kind the server holds; equal before and after what must leave nothing behind."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._residue(), self.loop))

    async def left_nothing(self, before: dict[str, int], seconds: float = 5.0) -> None:
        """Wait until the residue is as it was before."""
        now: dict[str, int] = {}

        async def equal() -> bool:
            now.update(await self.residue())
            return now == before

        with contextlib.suppress(AssertionError):
            await eventually(equal, seconds)
        assert now == before, f"left behind: {now}, before: {before}"

    def settle(self, seconds: float = 5.0) -> None:
        """Wait until nothing goes on any more; for what is no coroutine."""
        idle = {"tasks": self.idle_tasks, "calls": 0, **({} if self.stateless else {"busy": 0})}
        deadline = time.monotonic() + seconds
        while True:
            now = asyncio.run_coroutine_threadsafe(self._residue(), self.loop).result(5)
            if now | idle == now:
                return
            assert time.monotonic() < deadline, f"still at work: {now}, idle: {idle}"
            time.sleep(0.005)

    async def until(self, seconds: float = 5.0, **expected: int) -> None:
        """Wait until the residue has these numbers."""

        async def has() -> bool:
            now = await self.residue()
            return all(now[name] == number for name, number in expected.items())

        await eventually(has, seconds)

    async def _residue(self) -> dict[str, int]:
        for _ in range(10):  # answers go out a moment before their tasks end
            await asyncio.sleep(0)
        service, sessions = self.endpoint._service, self.endpoint._handshake._sessions
        kept = {
            "calls": len(service.running),
            "listeners": len(service.notices._listeners),
            "tasks": len(asyncio.all_tasks()),
        }
        if sessions is not None:
            store = sessions.store
            assert isinstance(store, MemorySessionStore)
            kept |= {
                "sessions": len(store),
                "busy": sum(sessions._in_use.values()),
                "calls_by_id": len(sessions._calls),
                "outlets": sum(map(len, sessions._outlets.values())),
                "questions": len(sessions.questions._waiting),
            }
        return kept


def endpoint_of(app: Any) -> Endpoint:
    (drain,) = app.drains
    endpoint = drain.__self__
    assert isinstance(endpoint, Endpoint)
    return endpoint


@contextmanager
def serve(
    way: Way = "app", *, log: Log | None = None, server: dict[str, Any] | None = None, **app: Any
) -> Iterator[Site]:
    """`server` are options of FastMCP, `app` those of ``http_app``."""
    log = log or Log()
    mcp = make_server(log, **(server or {}))
    if way == "bare":
        with serve_bare(mcp, log, auth=(server or {}).get("auth"), **app) as site:
            yield site
        return
    served = mcp.http_app(path="/mcp", **app)
    parent: ASGIApp = served
    path = "/mcp"
    if way == "mounted":
        parent = Starlette(routes=[Mount("/api", served)], lifespan=served.lifespan)
        path = "/api/mcp"
    with run(parent) as running:
        yield Site(way, running.port, path, running.loop, mcp, log, endpoint_of(served))


def bare_endpoint(
    mcp: FastMCP,
    *,
    limits: Limits | None = None,
    auth: AuthProvider | None = None,
    json_response: bool = False,
    stateless_http: bool = False,
    event_store: Any = None,
    retry_interval: int | None = None,
    **changed: Any,
) -> Endpoint:
    """The endpoint as an ASGI app: no routes, no middleware, no lifespan."""
    settings = replace(Settings(), **changed)
    store = MemorySessionStore(limit=settings.max_sessions, idle_timeout=settings.session_idle_timeout)
    return Endpoint(
        mcp,
        rules=Rules(
            Guard(settings.allowed_hosts, settings.allowed_origins),
            json_response=json_response,
            stateless=stateless_http,
            max_body_bytes=settings.max_body_bytes,
        ),
        limits=limits or Limits(),
        bus=MemoryBus(),
        store=None if stateless_http else store,
        events=event_store,
        sealer=sealer_of(mcp, settings),
        authenticate=None if auth is None else auth.authenticator("/mcp"),
        retry_ms=retry_interval,
    )


@contextmanager
def serve_bare(mcp: FastMCP, log: Log, **options: Any) -> Iterator[Site]:
    """`bare_endpoint` under uvicorn."""
    endpoint = bare_endpoint(mcp, **options)
    with run(StreamableHTTPASGIApp(endpoint), lifespan="off") as running:
        yield Site("bare", running.port, "/mcp", running.loop, mcp, log, endpoint)
