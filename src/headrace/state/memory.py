"""The default backends: in this process, bounded, gone with it."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from ..protocol.session import SessionRecord
from .events import Event, Replay
from .memory_records import MemoryRecordStore

__all__ = ["MemoryBus", "MemoryEventStore", "MemoryRecordStore", "MemorySessionStore"]

logger = logging.getLogger(__name__)

_STREAM_BYTES = 1200
"""What Python keeps around a stream, measured."""
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


class MemoryBus:
    def __init__(self) -> None:
        self._topics: dict[str, dict[object, Callable[[bytes], None]]] = {}

    async def publish(self, topic: str, message: bytes) -> None:
        for receive in list(self._topics.get(topic, {}).values()):
            receive(message)

    def subscribe(self, topic: str, receive: Callable[[bytes], None]) -> Callable[[], None]:
        token = object()
        self._topics.setdefault(topic, {})[token] = receive

        def unsubscribe() -> None:
            receivers = self._topics.get(topic, {})
            receivers.pop(token, None)
            if not receivers:
                self._topics.pop(topic, None)

        return unsubscribe


class _Queues:
    """Sessions as they give way: those never used after the handshake, then the used ones; longest idle first."""

    __slots__ = ("fresh", "used")

    def __init__(self) -> None:
        self.fresh: OrderedDict[str, SessionRecord] = OrderedDict()
        self.used: OrderedDict[str, SessionRecord] = OrderedDict()

    def __len__(self) -> int:
        return len(self.fresh) + len(self.used)

    def of(self, id: str) -> OrderedDict[str, SessionRecord]:
        return self.fresh if id in self.fresh else self.used


class MemorySessionStore:
    """At most `limit` sessions, `per_owner` of one owner (None: no bound); `idle_timeout` in seconds (None: never)."""

    def __init__(
        self,
        *,
        limit: int = 10_000,
        per_owner: int | None = 100,
        idle_timeout: float | None = 1800.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._per_owner = limit if per_owner is None else per_owner
        self._idle_timeout = idle_timeout
        self._clock = clock
        self._due = 0.0
        """Before this time nothing expires: what is used later, expires later."""
        self._all = _Queues()
        self._owned: dict[str, _Queues] = {}
        """The same of each owner: whoever has the most sessions makes room as fast as others."""
        self._told = False

    def __len__(self) -> int:
        return len(self._all)

    async def create(self, record: SessionRecord, busy: Callable[[str], bool]) -> list[str] | None:
        ended = await self.expire(busy)
        own = self._owned.get(record.owner, ())
        has_too_many = len(own) >= self._per_owner
        if has_too_many or len(self) >= self._limit:
            # Who has too many makes room among them, and nobody else does.
            victim = self._longest_idle(self._owned[record.owner] if has_too_many else self._all, busy)
            if victim is None:
                return None
            await self.end(victim)
            ended.append(victim)
            if has_too_many:
                self._tell()
        record.last_used = self._clock()
        for queues in (self._all, self._owned.setdefault(record.owner, _Queues())):
            queues.fresh[record.id] = record
        return ended

    async def touch(self, id: str) -> SessionRecord | None:
        record = self._all.used.get(id) or self._all.fresh.get(id)
        if record is not None:
            self._use(record)
        return record

    def _use(self, record: SessionRecord) -> None:
        id, every, own = record.id, self._all, self._owned[record.owner]
        record.last_used = self._clock()
        if id in every.fresh:
            every.fresh.move_to_end(id)
            own.fresh.move_to_end(id)
        else:
            every.used.move_to_end(id)
            own.used.move_to_end(id)

    async def save(self, record: SessionRecord) -> None:
        if record.used and record.id in self._all.fresh:
            for queues in (self._all, self._owned[record.owner]):
                queues.used[record.id] = queues.fresh.pop(record.id)

    async def end(self, id: str) -> None:
        record = self._all.of(id).pop(id, None)
        if record is not None:
            own = self._owned[record.owner]
            del own.of(id)[id]
            if not own:
                del self._owned[record.owner]

    async def expire(self, busy: Callable[[str], bool]) -> list[str]:
        now = self._clock()
        if self._idle_timeout is None or now < self._due:
            return []
        ended: list[str] = []
        self._due = now + self._idle_timeout
        for queue in (self._all.fresh, self._all.used):
            # In order of last use: the first one that is not over ends the search.
            while queue:
                record = next(iter(queue.values()))
                over = record.last_used + self._idle_timeout
                if over >= now:
                    self._due = min(self._due, over)
                    break
                if busy(record.id):
                    self._use(record)
                else:
                    await self.end(record.id)
                    ended.append(record.id)
        return ended

    def _tell(self) -> None:
        """Say once why sessions end: behind a proxy the cap of one address may be that of everybody."""
        if not self._told:
            self._told = True
            logger.warning(
                "A client has %d sessions, so its longest idle one ended for a new one (max_sessions_per_client). "
                "If all clients seem to have one address, take theirs from the proxy: forwarded_allow_ips of uvicorn",
                self._per_owner,
            )

    def _longest_idle(self, queues: _Queues, busy: Callable[[str], bool]) -> str | None:
        for queue in (queues.fresh, queues.used):
            for _ in range(len(queue)):
                record = next(iter(queue.values()))
                if not busy(record.id):
                    return record.id
                self._use(record)  # so that it does not stand in the way of the next search
        return None


class MemoryEventStore:
    """Events in this process. Bounded per stream in number and over all in bytes: the stream longest without
    an event goes first, and goes whole."""

    def __init__(self, *, max_events: int = 1000, max_bytes: int = 64 * 1024 * 1024) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._bytes = 0
        self._streams: OrderedDict[tuple[str, str], _Stream] = OrderedDict()
        self._by_prefix: dict[str, tuple[str, str]] = {}
        self._of_session: dict[str, set[str]] = {}

    async def append(self, session: str, stream: str, message: bytes) -> str:
        kept = self._streams.get((session, stream))
        if kept is None:
            kept = self._streams[session, stream] = _Stream()
            self._by_prefix[kept.prefix] = (session, stream)
            self._of_session.setdefault(session, set()).add(stream)
            self._bytes += _STREAM_BYTES
        self._streams.move_to_end((session, stream))
        kept.last += 1
        event = Event(f"{kept.prefix}-{kept.last}", message)
        kept.events.append(event)
        self._bytes += _size(event)
        if len(kept.events) > self._max_events:
            self._bytes -= _size(kept.events.popleft())
        while self._bytes > self._max_bytes and len(self._streams) > 1:
            self._drop(next(iter(self._streams)))
        while self._bytes > self._max_bytes and len(kept.events) > 1:
            self._bytes -= _size(kept.events.popleft())
        return event.id

    async def replay(self, session: str, after: str) -> Replay | None:
        prefix, _, number = after.rpartition("-")
        owner = self._by_prefix.get(prefix)
        if owner is None or owner[0] != session or not _NUMBER.fullmatch(number):
            return None
        kept = self._streams[owner]
        # Numbers are consecutive: all that came after an event is here if the event itself is, or was the last to go.
        skip = int(number) - (kept.last - len(kept.events))
        if not 0 <= skip <= len(kept.events):
            return None
        return Replay(owner[1], list(kept.events)[skip:])

    async def forget(self, session: str) -> None:
        for stream in list(self._of_session.get(session, ())):
            self._drop((session, stream))

    def _drop(self, owner: tuple[str, str]) -> None:
        kept = self._streams.pop(owner)
        del self._by_prefix[kept.prefix]
        self._bytes -= _STREAM_BYTES + sum(_size(event) for event in kept.events)
        streams = self._of_session[owner[0]]
        streams.discard(owner[1])
        if not streams:
            del self._of_session[owner[0]]


class _Stream:
    __slots__ = ("events", "last", "prefix")

    def __init__(self) -> None:
        self.prefix = secrets.token_hex(8)
        self.events: deque[Event] = deque()
        self.last = 0


def _size(event: Event) -> int:
    return len(event.message) + 200  # what Python keeps around it
