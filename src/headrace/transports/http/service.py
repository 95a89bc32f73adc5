"""What the requests of one app share."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from functools import cache
from typing import Any

from ...call import Served
from ...protocol.versions import Era
from ..exchange import Exchange
from ..notices import Notices
from .admission import Rules
from .entrance import Arrival
from .head import fields_of
from .pace import Clocks, Limits
from .post import Post
from .stream import Receive, Send

__all__ = ["Service"]


class Service:
    """`stays_open` is called before a response that stays open: shutdown must be able to end it."""

    def __init__(
        self, server: Served, rules: Rules, limits: Limits, notices: Notices, stays_open: Callable[[], None]
    ) -> None:
        self.server = server
        self.rules = rules
        self.clocks = Clocks(limits)
        self.notices = notices
        self.stays_open = stays_open
        self.running: set[Exchange] = set()
        self.draining = False
        self.stamp = cache(server.stamp)

    def arrival(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> Arrival:
        """A request that has arrived; a `Post` where it is one."""
        method, fields = scope["method"], fields_of(scope)
        if method == "POST":
            return Post(scope, method, fields, receive, send, None, self.clocks, self.rules.json_response)
        return Arrival(scope, method, fields, receive, send, None)

    def exchange(self, post: Post, era: Era) -> Exchange:
        return Exchange(self.server.serve, self.stamp(era), self.running, post)
