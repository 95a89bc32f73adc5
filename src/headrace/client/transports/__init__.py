"""Transports of the client, and which one a target needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...exceptions import ClientError
from .base import Transport

__all__ = ["Transport", "transport_for"]


def transport_for(target: Any, *, headers: Mapping[str, str] | None = None, auth: str | None = None) -> Transport:
    """The transport for a server object, a URL, or a transport itself.

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
