"""What every HTTP entrance does first: who comes in (host, origin, authentication), and the bounded body."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ...call import Principal
from .answer import Refuse
from .guard import Guard
from .head import Head
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


async def read_body(receive: Receive, limit: int, seconds: float) -> bytes | None:
    """The body, measured while it comes, whatever Content-Length says; None where the client left. Raises Denied."""
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
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
    except TimeoutError:
        close = [(b"connection", b"close")]
        raise Denied(Refuse(408, "Request timeout: the body did not arrive in time", headers=close)) from None
    if size > limit:
        raise Denied(Refuse(413, f"Payload too large: a message has at most {limit} bytes"))
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
