"""`headrace.testing`, at the path that FastMCP users know."""

from __future__ import annotations

from ..testing import (
    ASGIServer,
    asgi_client,
    asgi_server,
    caplog_for_fastmcp,
    find_available_port,
    run_server_async,
    run_server_in_process,
    temporary_settings,
)

__all__ = [
    "ASGIServer",
    "asgi_client",
    "asgi_server",
    "caplog_for_fastmcp",
    "find_available_port",
    "run_server_async",
    "run_server_in_process",
    "temporary_settings",
]
