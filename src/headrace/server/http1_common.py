"""What the connections of one server have in common: app, clock, and how long each may wait for what."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import sys
from contextlib import suppress
from socket import SO_LINGER, SOL_SOCKET
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from ..transports.http.pace import Pace
from .http1 import Head, Limits
from .http1_exchange import App

if TYPE_CHECKING:
    import uvicorn

UNSENT = 128 * 1024
"""Bytes that the kernel takes before it can send them."""

if sys.platform == "linux":
    import fcntl
    import termios

    def unsent(transport: asyncio.BaseTransport) -> int:
        """Bytes that the kernel still holds for the client, or that it has not acknowledged."""
        found = transport.get_extra_info("socket")
        try:
            held = fcntl.ioctl(found.fileno(), termios.TIOCOUTQ, bytes(4)) if found is not None else b""
        except (OSError, ValueError):  # it is closed
            return 0
        return int.from_bytes(held, sys.byteorder)

    def acknowledged(transport: asyncio.BaseTransport) -> int:
        """Bytes that the client has got, ever; 0 where it is not known. TLS has a buffer below its own that nobody
        sees, so there nothing else tells."""
        found = transport.get_extra_info("socket")
        try:
            told = found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 128) if found is not None else b""
        except OSError:  # it is closed, or no TCP
            return 0
        return int.from_bytes(told[120:128], sys.byteorder)  # tcpi_bytes_acked

else:

    def unsent(transport: asyncio.BaseTransport) -> int:
        """This system does not tell."""
        return 0

    acknowledged = unsent


def tune(transport: asyncio.BaseTransport) -> None:
    """Small pieces go out at once, also where the loop did not see to it (sockets of `--workers` and `--fd`); and the
    kernel takes no megabytes for a client that does not read them."""
    found = transport.get_extra_info("socket")
    if found is not None:
        with suppress(OSError):  # it is closed, or no TCP
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if sys.platform == "linux":
                found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)


__all__ = [
    "ANSWER",
    "BODY",
    "CLOSING",
    "HALF_CLOSED",
    "HEAD",
    "IDLE",
    "Common",
    "acknowledged",
    "cut_off",
    "tune",
    "unsent",
]

access_logger = logging.getLogger("uvicorn.access")

# What a connection waits for; `Common.patience` says how long.
IDLE, HEAD, BODY, ANSWER, HALF_CLOSED, CLOSING = range(6)


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


def cut_off(transport: asyncio.Transport) -> None:
    """Close at once. What was not taken yet is dropped: the kernel would keep it for a long while."""
    socket = transport.get_extra_info("socket")
    if socket is not None:
        try:
            socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:  # it is gone already
            pass
    transport.abort()
