"""When a request is sent again, and how long to wait before.

A server that is overloaded says 503, one that is restarted loses its connections. Only requests that change nothing
are repeated then; others where nothing of them was sent. What is sent again has an id of its own, since the first may
have been taken (2025-11-25, basic, Requests).
"""

from __future__ import annotations

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from ...exceptions import ClientError
from ...protocol.jsonrpc import Request, decode, encode_request
from .base import Lost, Outgoing, Refused

__all__ = ["ATTEMPTS", "MAX_WAIT", "again", "retry_after", "wait_before"]

ATTEMPTS = 4
"""Times that a request is sent at most."""
MAX_WAIT = 30.0
"""A server that wants to be left alone for longer is not asked again."""
_FIRST_WAIT = 0.25
_UNAVAILABLE = 503
_REPEATABLE = frozenset(
    (
        "server/discover",
        "ping",
        "tools/list",
        "prompts/list",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "skills/get",
        "skills/list",
    )
)


def wait_before(attempt: int, method: str, error: ClientError, *, reached: bool) -> float | None:
    """Seconds to wait before the request is sent for the `attempt`-th time; None: it is not sent again.

    `reached`: whether this server has answered before. One that can't be reached at all is told of at once.
    """
    if attempt > ATTEMPTS:
        return None
    # The half that is left to chance keeps clients from coming back all at once.
    wait = _FIRST_WAIT * 2.0 ** (attempt - 2) * (0.5 + random.random() / 2)
    if isinstance(error, Refused):
        if error.status != _UNAVAILABLE or method not in _REPEATABLE:
            return None
        asked = error.retry_after or 0.0
        return max(wait, asked) if asked <= MAX_WAIT else None
    if isinstance(error, Lost):
        repeatable = reached and (not error.sent or method in _REPEATABLE)
        return wait if repeatable else None
    return None


def again(outgoing: Outgoing, attempt: int) -> Outgoing:
    """The same request with an id of its own."""
    request = decode(outgoing.body)
    assert isinstance(request, Request)
    id = f"{outgoing.id}-{attempt}"
    return outgoing._replace(id=id, body=encode_request(id, request.method, request.params))


def retry_after(value: str | None) -> float | None:
    """The seconds of a ``Retry-After`` header: a number, or a date. None for what is neither."""
    if value is None:
        return None
    if value.strip().isdecimal() and value.isascii() and len(value) < 10:
        return float(value)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())
