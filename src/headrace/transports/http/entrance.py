"""What every HTTP entrance begins with: a request that arrives, and how one is answered that does not come in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ...call import Call, Principal
from ...protocol.jsonrpc import Request
from ...protocol.types import Params
from ..peers import Envelope, Session
from .answer import Denied, Headers, Refuse, retry_after
from .head import Head
from .stream import Receive, Send

__all__ = ["Arrival", "Authenticate", "send_body", "send_denied", "too_many"]


Authenticate = Callable[[MutableMapping[str, Any]], Awaitable[Principal | None]]
"""Who sends the request of this ASGI scope; raises Denied."""


def too_many(what: str, id: int | str | None = None) -> Refuse:
    """503: a bound of this process is reached."""
    return Refuse(503, f"Too many {what} here: try again", id=id, headers=retry_after(5))


async def send_body(send: Send, status: int, body: bytes, headers: Headers) -> None:
    sent = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": body})


async def send_denied(send: Send, denied: Denied) -> None:
    await send_body(send, denied.refusal.status, denied.refusal.body, denied.refusal.headers)


class Arrival(Head):
    """One HTTP request: its head, and how to talk with who sent it."""

    receive: Receive
    send: Send
    principal: Principal | None
    """Who sends it, once that is known."""

    def call(self, request: Request, params: Params, peer: Envelope | Session) -> Call:
        return Call(request.method, params, request.params, request.id, peer, self.principal, self.scope)

    async def refuse(self, refusal: Refuse) -> None:
        await send_body(self.send, refusal.status, refusal.body, refusal.headers)

    async def accept(self) -> None:
        """202: a notification or response was taken in."""
        await send_body(self.send, 202, b"", [])

    async def done(self) -> None:
        """200: a session was ended."""
        await send_body(self.send, 200, b"", [])
