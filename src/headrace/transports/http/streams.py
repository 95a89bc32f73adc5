"""Streams that stay open: GET of the handshake era, and ``subscriptions/listen``.

A change becomes a notice once, on the bus; each process encodes it once and puts it into every stream that
asked for it. The streams' own tasks send.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from ...call import Served
from ...protocol.jsonrpc import encode, encode_notification, encode_result
from ...protocol.session import SessionRecord
from ...protocol.subscriptions import RESOURCE_UPDATED, wants
from ...protocol.types import SubscriptionFilter
from ...protocol.versions import Era
from ...state.bus import Bus
from ..questions import Emit
from .answer import event
from .stream import Stream

__all__ = ["GetListener", "Listener", "Notices"]

SUBSCRIPTION_ID = "io.modelcontextprotocol/subscriptionId"
_CHANGES = "headrace/changes"
_decode_change = msgspec.json.Decoder(tuple[str, str | None]).decode


class Notice:
    """A change, encoded once for every stream it goes to."""

    __slots__ = ("message", "method", "tail", "uri")

    def __init__(self, method: str, uri: str | None) -> None:
        self.method = method
        self.uri = uri
        self.message = encode_notification(method, None if uri is None else {"uri": uri})
        self.tail = b"}}}" if uri is None else b'},"uri":%b}}' % encode(uri)


class Listener:
    """A `subscriptions/listen` stream: acknowledged first, then only what was granted, each note with its id."""

    __slots__ = ("_filter", "_id", "_uris", "stream")

    def __init__(self, stream: Stream, id: int | str, granted: SubscriptionFilter) -> None:
        self.stream = stream
        self._id = encode(id)
        self._filter = granted
        self._uris = frozenset(granted.resource_subscriptions or ())

    def acknowledge(self) -> None:
        self.stream.put(
            event(
                b'{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":'
                b'{"_meta":{"%b":%b},"notifications":%b}}' % (SUBSCRIPTION_ID.encode(), self._id, encode(self._filter))
            )
        )

    def notice(self, notice: Notice) -> None:
        if wants(self._filter, notice.method, notice.uri, self._uris):
            self.stream.put(
                event(
                    b'{"jsonrpc":"2.0","method":%b,"params":{"_meta":{"%b":%b%b'
                    % (encode(notice.method), SUBSCRIPTION_ID.encode(), self._id, notice.tail)
                )
            )

    def complete(self, era: Era, stamp: bytes) -> None:
        """The server ends the subscription (2026-07-28, Subscriptions, Graceful Closure)."""
        result = b'{"resultType":"complete","_meta":{"%b":%b,"io.modelcontextprotocol/serverInfo":%b}}' % (
            SUBSCRIPTION_ID.encode(),
            self._id,
            stamp,
        )
        self.stream.put(event(encode_result(msgspec.json.decode(self._id), result)))
        self.stream.end()


class GetListener:
    """A session that has, or had, a GET stream: it hears of every list, and of the resources it subscribed to."""

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
        self._listeners: set[Listener | GetListener] = set()
        self._pending: dict[tuple[str, str | None], None] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: list[Callable[[], None]] = []

    def add(self, listener: Listener | GetListener) -> None:
        if not self._listeners:
            self._loop = asyncio.get_running_loop()
            self._stop = [self._server.on_change(self._changed), self._bus.subscribe(_CHANGES, self._receive)]
        self._listeners.add(listener)

    def remove(self, listener: Listener | GetListener) -> None:
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
