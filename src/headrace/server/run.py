"""The ways to run a server: over stdin and stdout, or over HTTP under uvicorn.

What stdio does without (uvicorn, rich) is imported where it is used: clients start a stdio server and wait for it.
"""

from __future__ import annotations

import asyncio
import logging
import re
import shlex
import socket
import sys
from typing import TYPE_CHECKING, Any, Literal, TextIO, cast, get_args

from ..settings import Settings
from ..transports.stdio import serve_stdio, standard_streams
from .request_state import sealer_of

if TYPE_CHECKING:
    from starlette.middleware import Middleware

    from .servable import Servable

__all__ = ["PROTOCOL", "TRANSPORTS", "authority", "listen", "run", "run_async", "run_http_async", "run_stdio_async"]

HttpTransport = Literal["http", "streamable-http", "sse"]
TRANSPORTS: tuple[str, ...] = ("stdio", *get_args(HttpTransport))
PROTOCOL = "headrace.server.uvicorn_protocol:HardenedProtocol"
KEEP_ALIVE_SECONDS = 75
"""How long an idle connection is kept: longer than proxies and clients keep theirs, so that they close first."""
SHUTDOWN_SECONDS = 12
"""How long uvicorn waits for responses at shutdown: a little more than the endpoint gives its calls."""
_STDIO_OPTIONS = frozenset({"show_banner", "log_level", "stateless"})


def run(server: Servable, transport: str | None = None, **options: Any) -> None:
    """Serve until the client hangs up or a signal ends it. `transport` None: as the settings say, stdio unless set.

    `options` as in `run_stdio_async` and `run_http_async`. Raises RuntimeError inside of a running loop.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise RuntimeError("run() starts an event loop, and here one runs already: await run_async() instead")
    transport = transport or Settings.load().transport
    factory = None if transport == "stdio" else _uvicorn_loop(options.get("uvicorn_config") or {})
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(run_async(server, transport, **options))
    except KeyboardInterrupt:
        pass  # uvicorn has shut down in good order and passes the signal on


async def run_async(server: Servable, transport: str | None = None, **options: Any) -> None:
    """Raises ValueError for an unknown transport, TypeError for an option that it has not."""
    transport = transport or Settings.load().transport
    if transport not in TRANSPORTS:
        raise ValueError(f"Unknown transport {transport!r}: one of {', '.join(TRANSPORTS)}")
    if transport != "stdio":
        await run_http_async(server, transport=cast("HttpTransport", transport), **options)
        return
    foreign = sorted(options.keys() - _STDIO_OPTIONS)
    if foreign:
        raise TypeError(f"stdio has no {', '.join(foreign)}: to serve over HTTP say transport='http'")
    await run_stdio_async(server, **options)


async def run_stdio_async(
    server: Servable, *, show_banner: bool | None = None, log_level: str | None = None, stateless: bool = False
) -> None:
    """Serve one client over this process's stdin and stdout until it hangs up.

    What functions print goes to stderr meanwhile. `stateless`: clients may leave out the handshake. Raises
    RuntimeError where there is no stdin or stdout.
    """
    settings = Settings.load()
    server.masked_by_settings = settings.mask_error_details
    if log_level is not None:
        logging.getLogger("headrace").setLevel(log_level.upper())
    with standard_streams() as streams:
        async with server.lifespan_context():
            if settings.show_banner if show_banner is None else show_banner:
                _announce(server.name, "stdio, one JSON-RPC message per line", None, sys.stderr)
            await serve_stdio(
                server,
                streams,
                sealer=sealer_of(server, settings),
                max_message_bytes=settings.max_body_bytes,
                stateless=stateless,
            )


async def run_http_async(
    server: Servable,
    *,
    transport: HttpTransport = "http",
    host: str | None = None,
    port: int | None = None,
    path: str | None = None,
    log_level: str | None = None,
    uvicorn_config: dict[str, Any] | None = None,
    middleware: list[Middleware] | None = None,
    json_response: bool | None = None,
    stateless_http: bool | None = None,
    stateless: bool | None = None,
    host_origin_protection: bool | Literal["auto"] | None = None,
    sockets: list[socket.socket] | None = None,
    show_banner: bool | None = None,
    **app_options: Any,
) -> None:
    """Serve over HTTP. ``port=0`` means any free port; `uvicorn_config` overrides what is set here; `stateless` is
    `stateless_http`; `host_origin_protection` False lets in every Host and Origin that no list is given for.

    Raises OSError where the address is in use, ValueError for options of uvicorn that need more than this process.
    """
    import uvicorn

    uvicorn_config = _of_one_process(uvicorn_config or {})
    settings = Settings.load()
    if host_origin_protection is False:
        app_options = {"allowed_hosts": ["*"], "allowed_origins": ["*"], **app_options}
    app = server.http_app(
        path=path,
        transport=transport,
        middleware=middleware,
        json_response=json_response,
        stateless_http=stateless if stateless_http is None else stateless_http,
        **app_options,
    )
    level = (log_level or settings.log_level).lower()
    options: dict[str, Any] = {
        "host": settings.host if host is None else host,
        "port": settings.port if port is None else port,
        "log_level": level,
        "access_log": level in ("debug", "trace"),
        "lifespan": "on",
        "http": PROTOCOL,
        "timeout_keep_alive": KEEP_ALIVE_SECONDS,
        "ws": "none",
        "timeout_graceful_shutdown": SHUTDOWN_SECONDS,
        **uvicorn_config,
    }
    config = uvicorn.Config(app, **options)
    if not sockets and config.uds is None and config.fd is None:
        sockets = [listen(config.host, config.port)]
    if sockets and (settings.show_banner if show_banner is None else show_banner):
        address, bound = sockets[0].getsockname()[:2]
        url = f"{'https' if config.is_ssl else 'http'}://{authority(address, bound)}{app.state.path}"
        label = re.sub(r"[^A-Za-z0-9_-]+", "-", server.name).strip("-") or "server"
        kind = "sse" if transport == "sse" else "http"
        _announce(server.name, url, f"claude mcp add --transport {kind} {label} {shlex.quote(url)}", sys.stdout)
    await uvicorn.Server(config).serve(sockets)


def _of_one_process(config: dict[str, Any]) -> dict[str, Any]:
    if (config.get("workers") or 1) > 1 or config.get("reload"):
        raise ValueError(
            "run() serves in this one process, without workers or reload: write app = mcp.http_app() in server.py, "
            f"and start `uvicorn --workers 2 --http {PROTOCOL} server:app`, or `headrace run --reload server.py`"
        )
    return config


def _uvicorn_loop(config: dict[str, Any]) -> Any:
    """uvicorn's choice of loop (uvloop where it is installed), which comes to nothing in a loop that runs already."""
    import uvicorn

    return uvicorn.Config("", loop=config.get("loop", "auto"), log_config=None).get_loop_factory()


def _announce(name: str, where: str, hint: str | None, stream: TextIO | None) -> None:
    """Where the server is, and how to call it: in plain lines, which programs read, or in colours on a terminal."""
    if stream is None:  # a program without a console
        return
    if not stream.isatty():
        print(f"{name} serves MCP on {where}", file=stream, flush=True)
        if hint:
            print(f"To use it: {hint}", file=stream, flush=True)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, highlight=False)
    console.print(Text.assemble((name, "bold cyan"), " serves MCP on ", (where, "bold")), soft_wrap=True)
    if hint:
        console.print(Text.assemble(("To use it: ", "dim"), hint), soft_wrap=True)


def authority(host: str, port: int) -> str:
    """``host:port`` as URLs have it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listen(host: str, port: int) -> socket.socket:
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
