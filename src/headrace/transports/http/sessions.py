"""The handshake-era sessions of one app, and the streams that belong to them.

A session is a record in the store. What lives in this process is only what is open right now: calls in flight
(to cancel them, and to refuse a second one with the same id) and outlets.

An `Outlet` is the server's end of one logical stream: messages go into the event store, if there is one, and out
to the HTTP response that reads it at the moment, if there is one. Closing that response does not end the stream:
a GET with ``Last-Event-ID`` attaches to the outlet again. Appending and attaching hold one lock, so that nothing
falls between replay and live.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ...call import Principal
from ...protocol.jsonrpc import encode
from ...protocol.session import SessionRecord, advance
from ...state.bus import Bus
from ...state.events import EventStore
from ...state.rates import caller_of
from ...state.sessions import SessionStore
from ..questions import Questions
from .answer import event, priming_event
from .stream import Stream

__all__ = ["STANDALONE", "Outlet", "Sessions"]

STANDALONE = "standalone"
"""The name of the stream that GET opens: what belongs to no call goes there."""
MAX_GET_STREAMS = 4
"""GET streams per session that stay open; past it the oldest ends."""
_CANCELS = "headrace/cancels"
_decode_cancel = msgspec.json.Decoder(tuple[str, int | str]).decode


class Outlet:
    """One logical stream of a session."""

    def __init__(self, session: str, name: str, events: EventStore | None) -> None:
        self.session = session
        self.name = name
        self.finished = False
        self._events = events
        self._lock = asyncio.Lock()
        self._readers: list[tuple[Stream, bool]] = []

    async def prime(self, retry_ms: int | None) -> bytes:
        """The event that begins the stream; it goes to the store too, so that its id can be resumed from."""
        if self._events is None:
            return b""
        return priming_event(await self._events.append(self.session, self.name, b""), retry_ms)

    async def emit(self, message: bytes) -> None:
        if self._events is None:
            self.put(event(message))
            return
        async with self._lock:
            if not self.finished:  # the store has forgotten a session that ended, and shall not hear of it again
                self.put(event(message, await self._events.append(self.session, self.name, message)))

    @property
    def has_reader(self) -> bool:
        """Whether a response reads it now."""
        return any(not reader.closed for reader, _ in self._readers)

    def put(self, frame: bytes) -> None:
        """To exactly one reader, the newest."""
        self._readers = [entry for entry in self._readers if not entry[0].closed]
        if self._readers:
            self._readers[-1][0].put(frame)

    async def attach(self, reader: Stream, after: str | None, *, keep: int = 1, apart: bool = False) -> bool:
        """Read from now on, with what came after the event `after` first; at most `keep` readers stay.

        Those that are `apart` are counted apart from the others. False where the store can't replay from there.
        """
        async with self._lock:
            if after is not None and self._events is not None:
                replay = await self._events.replay(self.session, after)
                if replay is None or replay.stream != self.name:
                    return False
                for id, message in replay.events:
                    frame = event(message, id) if message else priming_event(id, None)
                    if not reader.takes(len(frame)):
                        await reader.flushed()  # a replay is as long as it is: it waits for its reader
                    reader.put(frame)
            self._readers = [entry for entry in self._readers if not entry[0].closed]
            self._readers.append((reader, apart))
            for oldest in [each for each, other in self._readers if other == apart][:-keep]:
                oldest.end()
            if self.finished:
                reader.end()
            return True

    def finish(self) -> None:
        """No more messages: readers get the rest and end."""
        self.finished = True
        self.release()

    def release(self) -> None:
        """End the responses that read now; the stream itself goes on."""
        for reader, _ in self._readers:
            reader.end()


class Sessions:
    def __init__(self, store: SessionStore, bus: Bus, *, events: EventStore | None, new_id: Callable[[], str]) -> None:
        self.store = store
        self.events = events
        self.questions = Questions(bus)
        self._bus = bus
        self._new_id = new_id
        self.forgotten: Callable[[str], None] = lambda id: None
        """Called with the id of each session that ended."""
        self._in_use: dict[str, int] = {}
        self._calls: dict[tuple[str, int | str], Callable[[], None]] = {}
        self._outlets: dict[str, dict[str, Outlet]] = {}
        bus.subscribe(_CANCELS, self._cancel_here)

    async def create(self, record: SessionRecord, principal: Principal | None, scope: Mapping[str, Any]) -> bool:
        """Give the record its id and keep it; False where there is no room. `scope` is that of its first request."""
        record.id = self._new_id()
        record.principal = None if principal is None else principal.id
        record.owner = caller_of(record.principal, scope)
        await self._forget(await self.store.expire(self.busy))
        ended = await self.store.create(record, self.busy)
        await self._forget(ended or [])
        return ended is not None

    async def get(self, id: str, principal: Principal | None) -> SessionRecord | None:
        """The session, if it lives and belongs to who asks."""
        await self._forget(await self.store.expire(self.busy))
        record = await self.store.touch(id)
        if record is None or (record.principal is None and principal is None):
            return record
        owner, asking = record.principal or "", "" if principal is None else principal.id
        return record if hmac.compare_digest(owner.encode(), asking.encode()) else None

    async def end(self, record: SessionRecord) -> None:
        advance(record.state, "end")
        await self.store.end(record.id)
        await self._forget([record.id])

    async def _forget(self, ended: list[str]) -> None:
        for id in ended:
            self.forgotten(id)
            for key, cancel in list(self._calls.items()):
                if key[0] == id:
                    cancel()
            for outlet in self._outlets.pop(id, {}).values():
                outlet.finish()
            if self.events is not None:
                await self.events.forget(id)

    def busy(self, id: str) -> bool:
        return id in self._in_use

    def enter(self, id: str) -> None:
        """Something of this session is open: it does not give way."""
        self._in_use[id] = self._in_use.get(id, 0) + 1

    def leave(self, id: str) -> None:
        left = self._in_use[id] - 1
        if left:
            self._in_use[id] = left
        else:
            del self._in_use[id]

    def begin_call(self, session: str, id: int | str, cancel: Callable[[], None]) -> bool:
        """False where a call with that id is in flight in the session already."""
        if (session, id) in self._calls:
            return False
        self._calls[session, id] = cancel
        self.enter(session)
        return True

    def end_call(self, session: str, id: int | str) -> None:
        del self._calls[session, id]
        self.leave(session)

    async def cancel(self, session: str, id: int | str) -> None:
        """Cancel a call, wherever it runs; one that is unknown or over is ignored."""
        await self._bus.publish(_CANCELS, encode((session, id)))

    def _cancel_here(self, message: bytes) -> None:
        cancel = self._calls.get(_decode_cancel(message))
        if cancel is not None:
            cancel()

    def outlet(self, session: str, name: str) -> Outlet:
        outlets = self._outlets.setdefault(session, {})
        outlet = outlets.get(name)
        if outlet is None:
            outlet = outlets[name] = Outlet(session, name, self.events)
        return outlet

    def find_outlet(self, session: str, name: str) -> Outlet | None:
        return self._outlets.get(session, {}).get(name)

    def drop_outlet(self, outlet: Outlet) -> None:
        outlet.finish()
        outlets = self._outlets.get(outlet.session, {})
        if outlets.get(outlet.name) is outlet:
            del outlets[outlet.name]
        if not outlets:
            self._outlets.pop(outlet.session, None)

    def release_all(self) -> None:
        """Shutdown: end every response that only waits."""
        for outlets in list(self._outlets.values()):
            standalone = outlets.get(STANDALONE)
            if standalone is not None:
                standalone.release()
