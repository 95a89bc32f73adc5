"""What every HTTP entrance does first: who comes in (host, origin, authentication), and the bounded body."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ...call import Principal
from .answer import Refuse
from .guard import Guard
from .head import Head
from .pace import Pace
from .stream import Receive

__all__ = ["Authenticate", "Denied", "enter", "read_body"]

MAX_DROPPED = 16
"""How many times the body limit is read and dropped past the limit, so that the client sees the 413."""


class Denied(Exception):
    """The request is refused; nothing was begun for it."""

    def __init__(self, refusal: Refuse) -> None:
        super().__init__(refusal.status)
        self.refusal = refusal


Authenticate = Callable[[MutableMapping[str, Any]], Awaitable[Principal | None]]
"""Who sends the request of this ASGI scope; raises Denied."""


async def enter(
    scope: MutableMapping[str, Any], head: Head, guard: Guard, authenticate: Authenticate | None
) -> Principal | None:
    """Who comes in; None where nobody has to say. Raises Denied."""
    refusal = guard.check(head.get("host"), head.get("origin"), head.scheme, head.loopback)
    if refusal is not None:
        raise Denied(refusal)
    return None if authenticate is None else await authenticate(scope)


class _Reading:
    """A body on its way; one that takes longer than `seconds` is given up."""

    __slots__ = ("_seconds", "_task", "_timer", "expired")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._task = asyncio.current_task()
        self._timer: asyncio.TimerHandle | None = None
        self.expired = False

    def lasts(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._expire)

    def over(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self) -> None:
        self.expired = True
        if self._task is not None:
            self._task.cancel()


async def read_body(receive: Receive, limit: int, seconds: float, pace: Pace) -> bytes | None:
    """The body, measured while it comes, whatever Content-Length says; None where the client left. Raises Denied."""
    pieces: list[bytes] = []
    size = 0
    reading = _Reading(seconds)
    pace.begin(reading)
    try:
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            piece: bytes = message.get("body", b"")
            size += len(piece)
            if size <= limit:
                pieces.append(piece)
            elif size > limit * MAX_DROPPED:
                break
            more = message.get("more_body", False)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        # Whoever else cancels the task is obeyed.
        if not reading.expired or task is None or task.uncancel():
            raise
        close = [(b"connection", b"close")]
        raise Denied(Refuse(408, "Request timeout: the body did not arrive in time", headers=close)) from None
    finally:
        pace.end(reading)
        reading.over()
    if size > limit:
        raise Denied(Refuse(413, f"Payload too large: a message has at most {limit} bytes"))
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
