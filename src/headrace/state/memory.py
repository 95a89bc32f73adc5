"""The default backends: in this process, bounded, gone with it."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable
from operator import attrgetter

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


class MemorySessionStore:
    """Sessions in two queues, longest idle first: those never used after the handshake, and the used ones.

    `idle_timeout` in seconds (None: never); at most `limit` sessions, and `per_owner` of one owner (None: no bound).
    """

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
        self._fresh: OrderedDict[str, SessionRecord] = OrderedDict()
        self._used: OrderedDict[str, SessionRecord] = OrderedDict()
        self._owned: dict[str, set[str]] = {}
        self._told = False

    def __len__(self) -> int:
        return len(self._fresh) + len(self._used)

    async def create(self, record: SessionRecord, busy: Callable[[str], bool]) -> list[str] | None:
        ended = await self.expire(busy)
        own = self._owned.get(record.owner, ())
        has_too_many = len(own) >= self._per_owner
        if has_too_many or len(self) >= self._limit:
            # Who has too many makes room among them, and nobody else does.
            victim = await self._give_way(busy, own if has_too_many else None)
            if victim is None:
                return None
            ended.append(victim)
            if has_too_many:
                self._tell()
        record.last_used = self._clock()
        self._fresh[record.id] = record
        self._owned.setdefault(record.owner, set()).add(record.id)
        return ended

    async def touch(self, id: str) -> SessionRecord | None:
        queue = self._fresh if id in self._fresh else self._used
        record = queue.get(id)
        if record is None:
            return None
        record.last_used = self._clock()
        queue.move_to_end(id)
        return record

    async def save(self, record: SessionRecord) -> None:
        if record.used and self._fresh.pop(record.id, None) is not None:
            self._used[record.id] = record

    async def end(self, id: str) -> None:
        record = self._fresh.pop(id, None) or self._used.pop(id, None)
        if record is not None:
            own = self._owned[record.owner]
            own.discard(id)
            if not own:
                del self._owned[record.owner]

    async def expire(self, busy: Callable[[str], bool]) -> list[str]:
        now = self._clock()
        if self._idle_timeout is None or now < self._due:
            return []
        ended: list[str] = []
        self._due = now + self._idle_timeout
        for queue in (self._fresh, self._used):
            # In order of last use: the first one that is not over ends the search.
            while queue:
                id, record = next(iter(queue.items()))
                over = record.last_used + self._idle_timeout
                if over >= now:
                    self._due = min(self._due, over)
                    break
                if busy(id):
                    record.last_used = now
                    queue.move_to_end(id)
                else:
                    await self.end(id)
                    ended.append(id)
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

    async def _give_way(self, busy: Callable[[str], bool], among: Collection[str] | None) -> str | None:
        for queue in (self._fresh, self._used):
            records: Iterable[SessionRecord] = queue.values()
            if among is not None:
                records = sorted((queue[id] for id in among if id in queue), key=attrgetter("last_used"))
            for record in records:
                if not busy(record.id):
                    await self.end(record.id)
                    return record.id
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
