"""What a running function can ask for without a parameter: its context, its HTTP request, its token.

This is the one file of the floor that knows Starlette, which is imported and whose `Request` is made when someone asks.
"""

from __future__ import annotations

from collections.abc import Generator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.requests import Request

    from ..server.server import FastMCP
    from .context import Context

__all__ = [
    "current",
    "get_access_token",
    "get_context",
    "get_http_headers",
    "get_http_request",
    "get_server",
    "http_request",
    "set_http_request",
]

Scope = MutableMapping[str, Any]

current: ContextVar[Context] = ContextVar("headrace_context")
"""The context of the call that runs; set by the router."""

http_request: ContextVar[Request | Scope | None] = ContextVar("headrace_http_request", default=None)
"""The HTTP request around middleware and custom routes, or its ASGI scope."""

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_LEFT_OUT = _HOP_BY_HOP | {"accept", "authorization", "cookie", "mcp-session-id"}
"""Left out unless asked for: forwarding them would break the next request or give the caller's secrets away."""


def get_context() -> Context:
    """The context of the running call. Raises RuntimeError outside of one."""
    try:
        return current.get()
    except LookupError:
        raise RuntimeError("No active context found.") from None


def get_server() -> FastMCP:
    """The server that is called. Raises RuntimeError outside of a call."""
    return get_context().fastmcp


@contextmanager
def set_http_request(request: Request) -> Generator[Request, None, None]:
    """Make this the current HTTP request; nests, and resets also on error."""
    token = http_request.set(request)
    try:
        yield request
    finally:
        http_request.reset(token)


def get_http_request() -> Request:
    """The HTTP request of this call, or the one around middleware and custom routes.

    Raises RuntimeError where there is none (stdio, in memory).
    """
    # A doorway: servers that are not asked for a request, or are not on HTTP, do without Starlette.
    from starlette.requests import Request

    context = current.get(None)
    if context is not None and context.call.scope is not None:
        return Request(context.call.scope)
    request = http_request.get()
    if request is None:
        raise RuntimeError("No active HTTP request found.")
    return request if isinstance(request, Request) else Request(request)


def get_http_headers(include_all: bool = False, include: set[str] | None = None) -> dict[str, str]:
    """The request's headers, names in lower case; empty without a request.

    Hop-by-hop headers, ``authorization``, ``cookie`` and the like are left out unless named in `include`.
    """
    scope = _scope()
    if scope is None:
        return {}
    wanted = {name.lower() for name in include} if include else set[str]()
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name = raw_name.decode("latin-1").lower()
        if not include_all and name in _LEFT_OUT and name not in wanted:
            continue
        value = raw_value.decode("latin-1")
        if name in headers:
            value = headers[name] + ("; " if name == "cookie" else ", ") + value
        headers[name] = value
    return headers


def get_access_token() -> Any:
    """The access token of this call's caller, or None."""
    context = current.get(None)
    if context is not None and context.call.principal is not None:
        return context.call.principal.token
    scope = _scope()
    return getattr(scope.get("user"), "access_token", None) if scope is not None else None


def _scope() -> Scope | None:
    context = current.get(None)
    if context is not None and context.call.scope is not None:
        return context.call.scope
    request: Any = http_request.get()
    return getattr(request, "scope", request)  # a Request has one, a scope is one
