"""Runs a server under uvicorn."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import uvicorn

from ..settings import Settings

if TYPE_CHECKING:
    from starlette.middleware import Middleware

    from .server import FastMCP

__all__ = ["TRANSPORTS", "run", "run_async", "run_http_async"]

Transport = Literal["http", "streamable-http", "sse"]
TRANSPORTS: tuple[str, ...] = get_args(Transport)
SHUTDOWN_SECONDS = 12
"""How long uvicorn waits for responses at shutdown: a little more than the endpoint gives its calls."""


def run(server: FastMCP, transport: str | None = None, **options: Any) -> None:
    """Serve until a signal ends it. `options` as in `run_http_async`."""
    config: dict[str, Any] = options.get("uvicorn_config") or {}
    # uvicorn's choice of loop (uvloop where it is installed) comes to nothing in a loop that runs already.
    factory = uvicorn.Config("", loop=config.get("loop", "auto"), log_config=None).get_loop_factory()
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(run_async(server, transport, **options))
    except KeyboardInterrupt:
        pass  # uvicorn has shut down in good order and passes the signal on


async def run_async(server: FastMCP, transport: str | None = None, **options: Any) -> None:
    """Raises ValueError for an unknown transport."""
    transport = transport or "http"
    if transport not in TRANSPORTS:
        raise ValueError(f"Unknown transport {transport!r}: one of {', '.join(TRANSPORTS)}")
    await run_http_async(server, transport=cast("Transport", transport), **options)


async def run_http_async(
    server: FastMCP,
    *,
    transport: Transport = "http",
    host: str | None = None,
    port: int | None = None,
    path: str | None = None,
    log_level: str | None = None,
    uvicorn_config: dict[str, Any] | None = None,
    middleware: list[Middleware] | None = None,
    json_response: bool | None = None,
    stateless_http: bool | None = None,
    sockets: list[socket.socket] | None = None,
    show_banner: bool = True,
    **app_options: Any,
) -> None:
    """Serve over HTTP. ``port=0`` means any free port; `uvicorn_config` overrides what is set here.

    Raises OSError where the address is in use.
    """
    settings = Settings.load()
    app = server.http_app(
        path=path,
        transport=transport,
        middleware=middleware,
        json_response=json_response,
        stateless_http=stateless_http,
        **app_options,
    )
    level = (log_level or settings.log_level).lower()
    options: dict[str, Any] = {
        "host": settings.host if host is None else host,
        "port": settings.port if port is None else port,
        "log_level": level,
        "access_log": level in ("debug", "trace"),
        "lifespan": "on",
        "ws": "none",
        "timeout_graceful_shutdown": SHUTDOWN_SECONDS,
        **(uvicorn_config or {}),
    }
    config = uvicorn.Config(app, **options)
    if not sockets and config.uds is None and config.fd is None:
        sockets = [_listen(config.host, config.port)]
    if show_banner and sockets:
        address, bound = sockets[0].getsockname()[:2]
        name = f"[{address}]" if ":" in str(address) else address
        print(f"{server.name} serves MCP on http://{name}:{bound}{app.state.path}", flush=True)
    await uvicorn.Server(config).serve(sockets)


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket, bound here so that a port in use is one clear error and port 0 is known at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named: asyncio sends small writes at once (TCP_NODELAY) only where it is.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"Can't listen on {host}:{port}: {error.strerror}") from None
    return listener
