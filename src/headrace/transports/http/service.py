"""What the requests of one app share."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from ...call import Principal, Served
from ...protocol.versions import Era
from ..exchange import Exchange
from ..notices import Notices
from .admission import Rules
from .head import Head
from .pace import Pace
from .post import Post
from .stream import Limits, Receive, Send

__all__ = ["Service"]


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
        self.stamp = cache(server.stamp)

    def post(self, head: Head, receive: Receive, send: Send, principal: Principal | None) -> Post:
        """A POST that was let in, and that is under way from now on."""
        return Post(head, receive, send, principal, self.limits, self.pace, self.rules.json_response).begin()

    def exchange(self, post: Post, era: Era) -> Exchange:
        return Exchange(self.server.serve, self.stamp(era), self.running, post)
