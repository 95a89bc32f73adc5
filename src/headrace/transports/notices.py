"""Change notices, and who hears them: sessions of the handshake era, and ``subscriptions/listen``.

A change becomes a notice once, on the bus; each process encodes it once and gives it to every listener that
asked for it. Listeners only queue: sending is the work of their own streams.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec

from ..call import Call, Handler, Served
from ..exceptions import FastMCPError
from ..protocol.errors import to_error
from ..protocol.jsonrpc import encode, encode_notification, encode_result
from ..protocol.results import SERVER_INFO
from ..protocol.session import SessionRecord
from ..protocol.subscriptions import RESOURCE_UPDATED, wants
from ..protocol.types import SubscriptionFilter
from ..protocol.versions import Era
from ..redaction import log_failure
from ..state.bus import Bus
from .questions import Emit

__all__ = ["Listener", "Notice", "Notices", "SessionListener", "Subscription", "grant"]

logger = logging.getLogger(__name__)

SUBSCRIPTION_ID = "io.modelcontextprotocol/subscriptionId"
_CHANGES = "headrace/changes"
_decode_change = msgspec.json.Decoder(tuple[str, str | None]).decode


class Notice:
    """A change, encoded once for every stream it goes to."""

    __slots__ = ("head", "message", "method", "tail", "uri")

    def __init__(self, method: str, uri: str | None) -> None:
        self.method = method
        self.uri = uri
        self.message = encode_notification(method, None if uri is None else {"uri": uri})
        self.head = b'{"jsonrpc":"2.0","method":%b,"params":{"_meta":{' % encode(method)
        """What stands before and after the mark of a subscription."""
        self.tail = b"}}}" if uri is None else b'},"uri":%b}}' % encode(uri)


class Listener(Protocol):
    def notice(self, notice: Notice) -> None: ...


class Subscription:
    """`subscriptions/listen`: acknowledged first, then only what was granted, each message with the request's id.

    `put` queues one message for the client.
    """

    __slots__ = ("_filter", "_id", "_mark", "_put", "_uris")

    def __init__(self, id: int | str, granted: SubscriptionFilter, put: Callable[[bytes], None]) -> None:
        self._id = id
        self._mark = b'"%b":%b' % (SUBSCRIPTION_ID.encode(), encode(id))
        self._filter = granted
        self._uris = frozenset(granted.resource_subscriptions or ())
        self._put = put

    def acknowledge(self) -> None:
        method = b"notifications/subscriptions/acknowledged"
        self._put(
            b'{"jsonrpc":"2.0","method":"%b","params":{"_meta":{%b},"notifications":%b}}'
            % (method, self._mark, encode(self._filter))
        )

    def notice(self, notice: Notice) -> None:
        if wants(self._filter, notice.method, notice.uri, self._uris):
            self._put(b"%b%b%b" % (notice.head, self._mark, notice.tail))

    def completed(self, era: Era, stamp: bytes) -> bytes:
        """The response that ends the subscription in good order (2026-07-28, Subscriptions, Graceful Closure)."""
        result = b'{"resultType":"complete","_meta":{%b,"%b":%b}}' % (self._mark, SERVER_INFO.encode(), stamp)
        return encode_result(self._id, result)


async def grant(handler: Handler, call: Call) -> SubscriptionFilter:
    """Ask the handler which of the notices it grants. Raises McpError."""
    try:
        granted = await handler(call)
        if not isinstance(granted, SubscriptionFilter):
            raise TypeError("the handler of subscriptions/listen returns the SubscriptionFilter it grants")
    except Exception as exception:
        if not isinstance(exception, FastMCPError):
            log_failure(logger, exception, call.secrets, "%s failed", call.method)
        raise to_error(exception, call.era) from None
    return granted


class SessionListener:
    """A handshake-era session: it hears of every list, and of the resources it subscribed to."""

    __slots__ = ("_emit", "_notices", "_record")

    def __init__(self, emit: Emit, record: SessionRecord, notices: Notices) -> None:
        self._emit = emit
        self._record = record
        self._notices = notices

    def notice(self, notice: Notice) -> None:
        if notice.method != RESOURCE_UPDATED or notice.uri in (self._record.subscriptions or ()):
            self._notices.spawn(self._emit(notice.message))


class Notices:
    """Changes of the server, to all streams of this process and, over the bus, of the others."""

    def __init__(self, server: Served, bus: Bus) -> None:
        self._server = server
        self._bus = bus
        self._listeners: set[Listener] = set()
        self._pending: dict[tuple[str, str | None], None] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: list[Callable[[], None]] = []

    def add(self, listener: Listener) -> None:
        if not self._listeners:
            self._loop = asyncio.get_running_loop()
            self._stop = [self._server.on_change(self._changed), self._bus.subscribe(_CHANGES, self._receive)]
        self._listeners.add(listener)

    def remove(self, listener: Listener) -> None:
        self._listeners.discard(listener)
        if not self._listeners:
            # An app that nobody listens to leaves nothing behind in its server.
            for stop in self._stop:
                stop()
            self._stop = []

    def spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.get_running_loop().create_task(_run(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _changed(self, method: str, uri: str | None) -> None:
        # Tools change the server from worker threads too; many changes at once are one notice.
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._collect, method, uri)

    def _collect(self, method: str, uri: str | None) -> None:
        if not self._pending:
            self.spawn(self._publish())
        self._pending[method, uri] = None

    async def _publish(self) -> None:
        changes = list(self._pending)
        self._pending.clear()
        for change in changes:
            await self._bus.publish(_CHANGES, encode(change))

    def _receive(self, message: bytes) -> None:
        notice = Notice(*_decode_change(message))
        for listener in list(self._listeners):
            listener.notice(notice)


async def _run(work: Awaitable[None]) -> None:
    await work
