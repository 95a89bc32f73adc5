"""For tests: servers in memory, over HTTP without a socket, on a socket, in a process; record stores; settings."""

from __future__ import annotations

from ..transports.memory import memory_pair
from .asgi import StreamingASGITransport, run_asgi_lifespan
from .environment import caplog_for_fastmcp, temporary_settings
from .in_process import ASGIServer, asgi_client, asgi_server
from .ports import find_available_port
from .record_store import check_record_store
from .serving import run_server_async, run_server_in_process

__all__ = [
    "ASGIServer",
    "StreamingASGITransport",
    "asgi_client",
    "asgi_server",
    "caplog_for_fastmcp",
    "check_record_store",
    "find_available_port",
    "memory_pair",
    "run_asgi_lifespan",
    "run_server_async",
    "run_server_in_process",
    "temporary_settings",
]
