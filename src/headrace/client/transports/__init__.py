"""Transports of the client, and which one a target needs."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ...exceptions import ClientError
from .base import Transport

if TYPE_CHECKING:
    from .http import StreamableHttpTransport
    from .memory import MemoryTransport
    from .stdio import StdioTransport

__all__ = ["MemoryTransport", "StdioTransport", "StreamableHttpTransport", "Transport", "transport_for"]

_HOMES = {"MemoryTransport": "memory", "StdioTransport": "stdio", "StreamableHttpTransport": "http"}


def __getattr__(name: str) -> Any:
    # Loaded when first used: a client in memory does without the HTTP library.
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{home}", __name__), name)


def transport_for(target: Any, *, headers: Mapping[str, str] | None = None, auth: str | None = None) -> Transport:
    """The transport for a server object, a URL, or a transport itself (a server's command is one: `StdioTransport`).

    Raises ClientError for a target that is none of them, or for headers where there is no HTTP.
    """
    if isinstance(target, str):
        if not target.lower().startswith(("http://", "https://")):
            raise ClientError(f"Can't connect to {target!r}: a URL begins with http:// or https://")
        # A doorway: a client in memory does without the HTTP library.
        from .http import StreamableHttpTransport

        return StreamableHttpTransport(target, headers=headers, auth=auth)
    if headers or auth is not None:
        raise ClientError("headers and auth are for URLs: this target is not reached over HTTP")
    if callable(getattr(target, "serve", None)) and callable(getattr(target, "stamp", None)):
        from .memory import MemoryTransport

        return MemoryTransport(target)
    if callable(getattr(target, "request", None)) and callable(getattr(target, "open", None)):
        return target
    raise ClientError(f"Can't connect to {type(target).__name__}: a target is a server, a URL or a transport")
