"""What every backend promises, on the memory backends: bounds, isolation, all-or-nothing replay."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headrace.protocol.session import SessionRecord
from headrace.protocol.types import ClientCapabilities
from headrace.state.events import adapt
from headrace.state.memory import MemoryBus, MemoryEventStore, MemorySessionStore


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def session(id: str) -> SessionRecord:
    return SessionRecord(id=id, version="2025-11-25", capabilities=ClientCapabilities())


def never(id: str) -> bool:
    return False


async def test_sessions_expire_when_idle_and_only_then() -> None:
    clock = Clock()
    store = MemorySessionStore(idle_timeout=10, clock=clock)
    await store.create(session("a"), never)
    await store.create(session("b"), never)
    clock.now = 8
    assert await store.touch("b") is not None
    clock.now = 11
    assert await store.expire(never) == ["a"]
    assert await store.touch("a") is None
    assert await store.touch("b") is not None


async def test_a_busy_session_does_not_expire() -> None:
    clock = Clock()
    store = MemorySessionStore(idle_timeout=10, clock=clock)
    await store.create(session("a"), never)
    clock.now = 100
    assert await store.expire(lambda id: True) == []
    clock.now = 105
    assert await store.expire(never) == []  # its idle time begins when it is no longer busy
    clock.now = 120
    assert await store.expire(never) == ["a"]


async def test_at_the_cap_the_never_used_give_way_first_then_the_longest_idle() -> None:
    clock = Clock()
    store = MemorySessionStore(limit=3, clock=clock)
    for id in ("used", "fresh", "newer"):
        clock.now += 1
        await store.create(session(id), never)
    record = await store.touch("used")
    assert record is not None
    record.used = True
    await store.save(record)
    assert await store.create(session("d"), never) == ["fresh"]
    assert await store.create(session("e"), lambda id: id == "newer") == ["d"]
    assert await store.create(session("f"), lambda id: True) is None
    assert len(store) == 3
    assert await store.create(session("g"), lambda id: id in ("newer", "e")) == ["used"]


async def test_a_saved_session_that_ended_stays_ended() -> None:
    store = MemorySessionStore()
    record = session("a")
    await store.create(record, never)
    await store.end("a")
    record.used = True
    await store.save(record)
    assert await store.touch("a") is None
    assert len(store) == 0


async def test_replay_gives_all_that_came_after_on_that_stream_only() -> None:
    store = MemoryEventStore()
    first = await store.append("s", "one", b"1")
    await store.append("s", "two", b"x")
    second = await store.append("s", "one", b"2")
    third = await store.append("s", "one", b"3")
    replay = await store.replay("s", first)
    assert replay is not None
    assert replay.stream == "one"
    assert [(event.id, event.message) for event in replay.events] == [(second, b"2"), (third, b"3")]
    last = await store.replay("s", third)
    assert last is not None
    assert last.events == []


async def test_replay_refuses_foreign_unknown_and_malformed_ids() -> None:
    store = MemoryEventStore()
    id = await store.append("s", "one", b"1")
    prefix = id.rpartition("-")[0]
    for session_id, event in [
        ("other", id),
        ("s", "x"),
        ("s", f"{prefix}-2"),
        ("s", f"{prefix}--1"),
        ("s", f"{prefix}-x"),
    ]:
        assert await store.replay(session_id, event) is None, event


async def test_evicted_events_are_never_replayed_in_part() -> None:
    store = MemoryEventStore(max_events=2)
    ids = [await store.append("s", "one", b"%d" % n) for n in range(4)]
    assert await store.replay("s", ids[0]) is None
    kept = await store.replay("s", ids[1])  # itself gone, but everything after it is here
    assert kept is not None
    assert [event.message for event in kept.events] == [b"2", b"3"]


async def test_bytes_are_bounded_and_the_quietest_stream_goes_first() -> None:
    store = MemoryEventStore(max_bytes=3000)
    quiet = await store.append("s", "quiet", b"x" * 900)
    busy = [await store.append("s", "busy", b"x" * 900) for _ in range(3)]
    assert await store.replay("s", quiet) is None
    assert await store.replay("s", busy[-1]) is not None
    await store.forget("s")
    assert await store.replay("s", busy[-1]) is None


async def test_a_store_of_the_official_two_methods_is_taken_with_sessions_kept_apart() -> None:
    class TwoMethods:
        def __init__(self) -> None:
            self.events: list[tuple[str, Any]] = []

        async def store_event(self, stream_id: str, message: Any) -> str:
            self.events.append((stream_id, message))
            return str(len(self.events) - 1)

        async def replay_events_after(self, last_event_id: str, send_callback: Any) -> str | None:
            stream = self.events[int(last_event_id)][0]
            for number, (name, message) in enumerate(self.events):
                if name == stream and number > int(last_event_id):
                    await send_callback(type("Message", (), {"message": message, "event_id": str(number)}))
            return stream

    store = adapt(TwoMethods())
    first = await store.append("s", "one", b"")
    await store.append("s", "one", json.dumps({"a": 1}).encode())
    replay = await store.replay("s", first)
    assert replay is not None
    assert [json.loads(event.message) for event in replay.events] == [{"a": 1}]
    assert await store.replay("other", first) is None


def test_what_is_no_event_store_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="no event store"):
        adapt(object())  # pyright: ignore[reportArgumentType]


async def test_bus_reaches_every_subscriber_until_it_stops() -> None:
    bus = MemoryBus()
    got: list[bytes] = []
    stop = bus.subscribe("t", got.append)
    bus.subscribe("other", got.append)
    await bus.publish("t", b"1")
    stop()
    stop()
    await bus.publish("t", b"2")
    assert got == [b"1"]
