"""``headrace run FILE[:OBJECT]``."""

from __future__ import annotations

import errno
import socket
from typing import Any

import click

from ..settings import Settings
from .loading import LoadError, load_server

__all__ = ["command"]

_UNUSABLE = frozenset({errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES, errno.EPERM, socket.EAI_NONAME})
_LEVELS = ["critical", "error", "warning", "info", "debug"]


@click.command("run", help="Serve a FastMCP server from a Python file: FILE, or FILE:OBJECT.")
@click.argument("target", metavar="FILE[:OBJECT]")
@click.option("--transport", type=click.Choice(["http", "streamable-http", "sse"]), default="http", show_default=True)
@click.option("--host", help="Address to listen on.  [default: HEADRACE_HOST or 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="0: any free one.  [default: HEADRACE_PORT or 8000]")
@click.option("--path", help="Path of the endpoint.  [default: /mcp, or /sse]")
@click.option("--stateless/--no-stateless", default=None, help="Keep no sessions.")
@click.option("--json-response/--no-json-response", default=None, help="Answer in JSON only, never with a stream.")
@click.option("--log-level", type=click.Choice(_LEVELS, case_sensitive=False))
def command(
    target: str,
    transport: str,
    host: str | None,
    port: int | None,
    path: str | None,
    stateless: bool | None,
    json_response: bool | None,
    log_level: str | None,
) -> None:
    try:
        settings = Settings.load()
    except ValueError as error:
        raise LoadError(str(error)) from error
    if path is not None and not path.startswith("/"):
        raise click.BadParameter("must begin with a slash", param_hint="--path")
    host = host or settings.host
    port = settings.port if port is None else port
    server = load_server(target)
    options: dict[str, Any] = {
        "path": path,
        "stateless_http": stateless,
        "json_response": json_response,
        "log_level": log_level,
    }
    given = {name: value for name, value in options.items() if value is not None}
    try:
        server.run(transport=transport, host=host, port=port, **given)
    except OSError as error:
        # Only what listening itself can meet; any other keeps its traceback.
        if error.errno not in _UNUSABLE:
            raise
        raise _unusable(host, port, error) from error


def _unusable(host: str, port: int, error: OSError) -> LoadError:
    if error.errno == errno.EADDRINUSE:
        return LoadError(f"port {port} on {host} is in use; choose another with --port, or 0 for any free one")
    return LoadError(error.strerror or f"can't listen on {host}:{port}")
