"""What the requests of one app share, and one request as it arrived."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any, NamedTuple

from ...call import Call, Principal, Served
from ...protocol.jsonrpc import Request
from ...protocol.types import Params
from ...protocol.versions import Era
from ..exchange import Answered, Exchange
from ..notices import Notices
from ..peers import Envelope, Session
from .admission import Rules
from .answer import Refuse, status_of
from .head import Head
from .pace import Pace
from .reply import Reply, send_body
from .stream import Limits, Receive, Send

__all__ = ["Arrival", "Service", "too_many"]


class Arrival(NamedTuple):
    """One HTTP request that was let in."""

    head: Head
    scope: MutableMapping[str, Any]
    receive: Receive
    send: Send
    principal: Principal | None

    def call(self, request: Request, params: Params, peer: Envelope | Session) -> Call:
        return Call(
            request.method,
            params,
            request.params,
            id=request.id,
            peer=peer,
            principal=self.principal,
            scope=self.scope,
        )

    async def refuse(self, refusal: Refuse) -> None:
        await send_body(self.send, refusal.status, refusal.body, refusal.headers)

    async def accept(self) -> None:
        """202: a notification or response was taken in."""
        await send_body(self.send, 202, b"", [])

    async def done(self) -> None:
        """200: a session was ended."""
        await send_body(self.send, 200, b"", [])


def too_many(what: str, id: int | str | None = None) -> Refuse:
    """503: a bound of this process is reached."""
    return Refuse(503, f"Too many {what} here: try again", id=id, headers=[(b"retry-after", b"5")])


class Service:
    """`stays_open` is called before a response that stays open: shutdown must be able to end it."""

    def __init__(
        self, server: Served, rules: Rules, limits: Limits, notices: Notices, stays_open: Callable[[], None]
    ) -> None:
        self.server = server
        self.rules = rules
        self.limits = limits
        self.notices = notices
        self.stays_open = stays_open
        self.pace = Pace(limits.watch_after)
        self.running: set[Exchange] = set()
        self.draining = False
        self._stamps: dict[Era, bytes] = {}

    def stamp(self, era: Era) -> bytes:
        stamp = self._stamps.get(era)
        if stamp is None:
            stamp = self._stamps[era] = self.server.stamp(era)
        return stamp

    def exchange(self, reply: Reply, era: Era) -> Exchange:
        return Exchange(self.server.serve, self.stamp(era), reply, self.running)

    def reply(self, arrival: Arrival, *, cancels: bool = False) -> Reply:
        json_only = self.rules.json_response
        return Reply(arrival.receive, arrival.send, self.limits, self.pace, json_only=json_only, cancels=cancels)

    async def finish(self, reply: Reply, answered: Answered | None, era: Era) -> None:
        """Send the answer. A call that was cancelled has none; the client that asked for that may still be there."""
        if answered is not None:
            status = 200 if answered.error is None else status_of(era, answered.error.code, admission=False)
            await reply.finish(status, answered.body)
        elif not reply.gone:
            await reply.finish(202, b"")
