"""What goes back: result, error or note -> status, headers, JSON or SSE bytes. Pure.

The HTTP status of a JSON-RPC error follows from its code and from who raised it, in `status_of`.
"""

from __future__ import annotations

import math
from typing import Any

from ...call import Principal
from ...exceptions import AuthorizationError, InsufficientScopeError, McpError, RateLimitError
from ...protocol.errors import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    MISSING_CLIENT_CAPABILITY,
    PARSE_ERROR,
    UNSUPPORTED_VERSION,
)
from ...protocol.jsonrpc import encode_error
from ...protocol.versions import Era

__all__ = [
    "JSON_HEADERS",
    "KEEP_ALIVE",
    "SSE_HEADERS",
    "Denied",
    "Headers",
    "Refuse",
    "error_body",
    "event",
    "outcome",
    "priming_event",
    "retry_after",
    "status_of",
]

Headers = list[tuple[bytes, bytes]]

JSON_HEADERS: Headers = [(b"content-type", b"application/json")]
SSE_HEADERS: Headers = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]
KEEP_ALIVE = b": keep-alive\n\n"

_ADMISSION = {
    PARSE_ERROR: 400,
    INVALID_REQUEST: 400,
    INVALID_PARAMS: 400,
    HEADER_MISMATCH: 400,
    UNSUPPORTED_VERSION: 400,
    MISSING_CLIENT_CAPABILITY: 400,
    METHOD_NOT_FOUND: 404,
}
_HANDSHAKE_ADMISSION = {PARSE_ERROR: 400, INVALID_REQUEST: 400}
_HANDLER = {METHOD_NOT_FOUND: 404, MISSING_CLIENT_CAPABILITY: 400}


class Refuse:
    """A refusal of the transport, before anything runs: nothing is left behind."""

    __slots__ = ("body", "headers", "status")

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: int = INVALID_REQUEST,
        id: int | str | None = None,
        data: Any = None,
        headers: Headers | None = None,
    ) -> None:
        self.status = status
        self.body = encode_error(id, code, message, data)
        self.headers = JSON_HEADERS + (headers or [])

    @classmethod
    def of(cls, error: McpError, era: Era | None, id: int | str | None = None) -> Refuse:
        return cls(status_of(era, error.code), error.message, code=error.code, id=id, data=error.data)


class Denied(Exception):
    """The request is refused; nothing was begun for it."""

    def __init__(self, refusal: Refuse) -> None:
        super().__init__(refusal.status)
        self.refusal = refusal


def status_of(era: Era | None, code: int, *, admission: bool = True) -> int:
    """The status of an error; `era` None where the bytes did not say which revision they speak."""
    if admission:
        return (_HANDSHAKE_ADMISSION if era is not None and era.handshake else _ADMISSION).get(code, 200)
    if era is not None and era.handshake:
        return 200
    return _HANDLER.get(code, 200)


def outcome(era: Era, error: McpError, principal: Principal | None) -> tuple[int, Headers]:
    """The status of an error that the handler raised, and the headers that belong to it."""
    if isinstance(error, RateLimitError):
        return 429, retry_after(error.retry_after)
    if isinstance(error, AuthorizationError):
        challenge = None if principal is None else principal.challenge
        if challenge is None or not isinstance(error, InsufficientScopeError):
            return 403, []
        return 403, [(b"www-authenticate", challenge(error.required_scopes).encode("latin-1", "replace"))]
    return status_of(era, error.code, admission=False), []


def retry_after(seconds: float) -> Headers:
    """In whole seconds (RFC 9110, 10.2.3)."""
    return [(b"retry-after", b"%d" % max(1, math.ceil(seconds)))]


def error_body(id: int | str | None, error: McpError) -> bytes:
    return encode_error(id, error.code, error.message, error.data)


def event(message: bytes, id: str | None = None) -> bytes:
    """One SSE event; JSON has no line breaks."""
    if id is None:
        return b"event: message\ndata: %b\n\n" % message
    return b"id: %b\nevent: message\ndata: %b\n\n" % (id.encode(), message)


def priming_event(id: str, retry_ms: int | None) -> bytes:
    """An id without data, so that a client which loses the stream at once can still resume (SEP-1699)."""
    retry = b"" if retry_ms is None else b"retry: %d\n" % retry_ms
    return b"id: %b\n%bdata: \n\n" % (id.encode(), retry)
