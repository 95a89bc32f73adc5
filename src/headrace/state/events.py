"""The contract of an event store: what makes a stream of the handshake era resumable.

There is no "stream closed" in it: a client may always come back with ``Last-Event-ID``. Replay is all or
nothing: where the store no longer has everything after an event, it says so, and never replays a part.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol

__all__ = ["Event", "EventStore", "Replay", "TwoMethodStore", "adapt"]


class Event(NamedTuple):
    id: str
    message: bytes
    """One JSON-RPC message; empty for the event that primes a stream."""


class Replay(NamedTuple):
    stream: str
    """The stream the event belonged to."""
    events: list[Event]
    """All that came after it, oldest first."""


class EventStore(Protocol):
    async def append(self, session: str, stream: str, message: bytes) -> str:
        """Keep one message of a session's stream; the id of its event (visible ASCII, unique per session)."""
        ...

    async def replay(self, session: str, after: str) -> Replay | None:
        """What came after an event on the stream of that event; None for an id that is unknown, evicted,
        or of another session."""
        ...

    async def forget(self, session: str) -> None:
        """Drop everything of a session."""
        ...


class TwoMethodStore(Protocol):
    """The event store contract of the official SDK, which users may have written against."""

    async def store_event(self, stream_id: str, message: Any) -> str: ...

    async def replay_events_after(
        self, last_event_id: str, send_callback: Callable[[Any], Awaitable[None]]
    ) -> str | None: ...


class _Adapter:
    """Gives a two-method store the session it does not know, in front of its stream ids."""

    def __init__(self, store: TwoMethodStore) -> None:
        self._store = store

    async def append(self, session: str, stream: str, message: bytes) -> str:
        # The official contract hands over decoded messages; None primes a stream.
        return await self._store.store_event(f"{session}/{stream}", _AsModel(message) if message else None)

    async def replay(self, session: str, after: str) -> Replay | None:
        events: list[Event] = []

        async def collect(event: Any) -> None:
            message = event.message
            events.append(Event(event.event_id or "", message.body if isinstance(message, _AsModel) else b""))

        stream = await self._store.replay_events_after(after, collect)
        if stream is None or not stream.startswith(f"{session}/"):
            return None
        return Replay(stream.removeprefix(f"{session}/"), events)

    async def forget(self, session: str) -> None:
        """The two-method contract cannot forget; its store bounds itself."""


class _AsModel:
    """A message as such stores expect it: an object they keep, and may dump as JSON."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def model_dump_json(self, **_: Any) -> str:
        return self.body.decode()


def adapt(store: EventStore | TwoMethodStore) -> EventStore:
    """The store itself, or an official-SDK store behind this contract.

    Raises TypeError for what is neither.
    """
    if hasattr(store, "append") and hasattr(store, "replay"):
        return store  # pyright: ignore[reportReturnType]
    if hasattr(store, "store_event") and hasattr(store, "replay_events_after"):
        return _Adapter(store)  # pyright: ignore[reportArgumentType]
    raise TypeError(f"{type(store).__name__} is no event store: it needs append, replay and forget")
