"""What the connections of one server have in common: app, clock, and how long each may wait for what."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from ..transports.http.pace import Pace
from .http1 import Head, Limits
from .http1_exchange import App, access_logger

if TYPE_CHECKING:
    import uvicorn

__all__ = [
    "ANSWER",
    "BODY",
    "CLOSING",
    "HALF_CLOSED",
    "HEAD",
    "IDLE",
    "Common",
]

IDLE, HEAD, BODY, ANSWER, HALF_CLOSED, CLOSING = range(6)
"""What a connection waits for: another request, the rest of a head, of a body, the app, the app although the client
has closed its side, the client to close. `Common.patience` says how long."""


class Common:
    """Made with a server's first connection, and known by uvicorn's state of it. Times are counted in `period`s."""

    @staticmethod
    def of(config: uvicorn.Config, state: Any, app_state: dict[str, Any], limits: Limits) -> Common:
        return _known.get(state) or _known.setdefault(state, Common(config, app_state, limits))

    def __init__(self, config: uvicorn.Config, app_state: dict[str, Any], limits: Limits) -> None:
        if not config.loaded:
            config.load()
        self.app = cast("App", config.loaded_app)
        self.app_state = app_state
        self.limits = limits
        self.bound = config.limit_concurrency
        """Of connections and of requests: uvicorn's own."""
        self.root_path = config.root_path
        self.fresh_context = getattr(config, "reset_contextvars", False)
        self.logs_access = access_logger.hasHandlers() and access_logger.isEnabledFor(logging.INFO)
        self.period = max(0.1, min(1.0, limits.head_seconds, limits.body_seconds, limits.write_seconds))
        self.pace = Pace(self.period / 10, 10)
        waits = (config.timeout_keep_alive, limits.head_seconds, limits.body_seconds, float("inf"))
        waits += (limits.half_closed_seconds, limits.linger_seconds)
        self.patience = [seconds / self.period for seconds in waits]
        """By what is waited for."""
        self.grace = limits.body_grace_seconds / self.period
        self.write_patience = limits.write_seconds / self.period
        self._asgi = {"version": config.asgi_version, "spec_version": "2.3"}
        self._fields: list[tuple[bytes, bytes]] = []
        self._lines = b""

    def scope(self, transport: asyncio.BaseTransport) -> dict[str, Any]:
        """What the requests of a connection have in common."""
        peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        return {
            "type": "http",
            "asgi": self._asgi,
            "http_version": "1.1",
            # The names of Unix sockets are no tuples.
            "server": own[:2] if isinstance(own, tuple) else (own, None) if own else None,
            "client": peer[:2] if isinstance(peer, tuple) else None,
            "scheme": "https" if transport.get_extra_info("sslcontext") else "http",
            "root_path": self.root_path,
        }

    def scope_of(self, head: Head, connection: dict[str, Any]) -> dict[str, Any]:
        """The scope of a request."""
        scope, line, root_path = connection.copy(), head.line, self.root_path
        scope["method"] = line.method
        scope["path"] = root_path + line.path
        scope["raw_path"] = root_path.encode("ascii") + line.raw_path
        scope["query_string"] = line.query
        scope["headers"] = head.headers
        scope["state"] = self.app_state.copy()
        if not line.minor:
            scope["http_version"] = "1.0"
        return scope

    def default_lines(self, fields: list[tuple[bytes, bytes]]) -> bytes:
        """The headers of every answer: uvicorn makes a new list of them each second."""
        if fields is not self._fields:
            self._fields, self._lines = fields, b"".join([b"%b: %b\r\n" % field for field in fields])
        return self._lines


_known: WeakKeyDictionary[Any, Common] = WeakKeyDictionary()
