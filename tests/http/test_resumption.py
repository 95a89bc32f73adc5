"""Resumption: streams that a client lost, and goes on with by Last-Event-ID."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from mcp.server.streamable_http import EventMessage

from headrace.state.memory import MemoryEventStore

from .servers import WAYS, Site, Way, eventually, serve
from .wire import Event, body_of, call, modern, open_session, send, stream

RETRY_MS = 250


@pytest.fixture(scope="module", params=WAYS)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with serve(request.param, event_store=MemoryEventStore(), retry_interval=RETRY_MS) as site:
        yield site


@pytest.fixture
async def session(http: httpx2.AsyncClient, site: Site):
    headers = await open_session(http, site.url)
    yield headers
    await send(http, site.url, headers=headers, method="DELETE")


def unique(session: dict[str, str], name: str = "") -> str:
    return name + session["mcp-session-id"]


def after(event: Event) -> dict[str, str]:
    assert event.id
    return {"last-event-id": event.id}


async def lose(
    http: httpx2.AsyncClient, site: Site, session: dict[str, str], name: str, **arguments: Any
) -> list[Event]:
    """Call `wait`, read until it has said that it waits, and lose the stream; the events that came."""
    body = call("wait", {"name": name, "note": True, **arguments}, id=name)
    async with stream(http, site.url, body, session, method="POST") as events:
        return [await events.next(), await events.next()]


# What a resumable answer looks like


async def test_the_answer_is_a_stream_from_the_start(
    http: httpx2.AsyncClient, site: Site, session: dict[str, str]
) -> None:
    before = await site.residue()
    reply = await send(http, site.url, call("add", {"a": 2, "b": 3}), session)
    assert reply.type == "text/event-stream"
    priming, answer = reply.events
    assert priming.id
    assert (priming.data, priming.retry) == ("", str(RETRY_MS))
    assert answer.id
    assert reply.content == "5"
    await site.left_nothing(before)


@pytest.mark.parametrize("version", ["2025-03-26", "2025-06-18"])
async def test_earlier_revisions_get_ids_only(version: str, http: httpx2.AsyncClient, site: Site) -> None:
    session = await open_session(http, site.url, version)
    reply = await send(http, site.url, call("notes"), session)
    assert len(reply.events) == 3
    assert all(event.id and event.data for event in reply.events)
    assert {event.retry for event in reply.events} == {None}
    async with stream(http, site.url, headers=session) as events:
        await send(http, site.url, call("change", {"kind": "tool"}), session)
        first = await events.next()
        assert first.data
        assert first.retry is None
    await send(http, site.url, headers=session, method="DELETE")


async def test_modern_answers_are_not_resumable(http: httpx2.AsyncClient, site: Site) -> None:
    headers, body = modern(call("add", {"a": 2, "b": 3}))
    assert (await send(http, site.url, body, headers)).type == "application/json"
    headers, body = modern(call("notes"), log="debug")
    assert {event.id for event in (await send(http, site.url, body, headers)).events} == {None}


async def test_ids_are_unique_across_streams_and_sessions(http: httpx2.AsyncClient, site: Site) -> None:
    sessions = [await open_session(http, site.url) for _ in range(2)]
    ids: list[str | None] = []
    for session in sessions:
        replies = [await send(http, site.url, call("notes"), session) for _ in range(3)]
        ids += [event.id for reply in replies for event in reply.events]
        async with stream(http, site.url, headers=session) as events:
            ids.append((await events.next()).id)
    assert None not in ids
    assert len(ids) == len(set(ids)) == 2 * (3 * 4 + 1)
    for session in sessions:
        await send(http, site.url, headers=session, method="DELETE")


# Going on


async def test_a_lost_stream_goes_on_where_it_was(
    http: httpx2.AsyncClient, site: Site, session: dict[str, str]
) -> None:
    before = await site.residue()
    name = unique(session)
    _, waiting = await lose(http, site, session, name)
    async with stream(http, site.url, headers={**session, **after(waiting)}) as events:
        assert events.silent
        await site.release(http, name)
        assert (await events.message())["params"]["data"]["msg"] == f"released {name}"
        final = await events.next()
        assert final.message["id"] == name
        assert final.id
        await events.ended()
    await site.left_nothing(before)


async def test_several_missed_events_come_in_order_and_once(
    http: httpx2.AsyncClient, site: Site, session: dict[str, str]
) -> None:
    reply = await send(http, site.url, call("notes", {"count": 20}), session)
    events = reply.events
    for number in (0, 1, 7, 20):
        again = await send(http, site.url, headers={**session, **after(events[number])}, method="GET")
        assert [event.id for event in again.events] == [event.id for event in events[number + 1 :]]
        assert [event.data for event in again.events] == [event.data for event in events[number + 1 :]]


async def test_after_the_last_event_there_is_nothing_to_come(
    http: httpx2.AsyncClient, site: Site, session: dict[str, str]
) -> None:
    before = await site.residue()
    last = (await send(http, site.url, call("notes"), session)).events[-1]
    reply = await send(http, site.url, headers={**session, **after(last)}, method="GET")
    assert (reply.status, reply.type, reply.events) == (200, "text/event-stream", [])
    await site.left_nothing(before)


async def test_missed_and_live_events_leave_no_gap(
    http: httpx2.AsyncClient, site: Site, session: dict[str, str]
) -> None:
    """What was said while nobody listened, then what is said now."""
    name = unique(session)
    priming, _ = await lose(http, site, session, name)
    async with stream(http, site.url, headers={**session, **after(priming)}) as events:
        assert (await events.message())["params"]["data"]["msg"] == f"waiting {name}"
        await site.release(http, name)
        assert (await events.message())["params"]["data"]["msg"] == f"released {name}"
        assert (await events.message())["id"] == name
        await events.ended()


async def test_a_call_that_ended_meanwhile(http: httpx2.AsyncClient, site: Site, session: dict[str, str]) -> None:
    name = unique(session)
    _, waiting = await lose(http, site, session, name)
    await site.release(http, name)
    await eventually(lambda: name in site.log.finished)
    for _ in range(2):  # as often as the client likes
        reply = await send(http, site.url, headers={**session, **after(waiting)}, method="GET")
        assert [message.get("id") for message in reply.messages] == [None, name]
        assert reply.content == f"waited {name}"


async def test_the_newest_reader_of_a_call_takes_over(
    http: httpx2.AsyncClient, site: Site, session: dict[str, str]
) -> None:
    name = unique(session)
    _, waiting = await lose(http, site, session, name)
    async with (
        stream(http, site.url, headers={**session, **after(waiting)}) as old,
        stream(http, site.url, headers={**session, **after(waiting)}) as new,
    ):
        await old.ended()
        await site.release(http, name)
        assert (await new.message())["params"]["data"]["msg"] == f"released {name}"
        assert (await new.message())["id"] == name


async def test_streams_are_isolated(http: httpx2.AsyncClient, site: Site, session: dict[str, str]) -> None:
    before = await site.residue()
    names = [unique(session, letter) for letter in "ab"]
    lost = [(await lose(http, site, session, name))[1] for name in names]
    async with (
        stream(http, site.url, headers=session) as standalone,
        stream(http, site.url, headers={**session, **after(lost[0])}) as a,
        stream(http, site.url, headers={**session, **after(lost[1])}) as b,
    ):
        await standalone.next()
        await site.release(http, names[1])
        assert (await b.message())["params"]["data"]["msg"] == f"released {names[1]}"
        assert (await b.message())["id"] == names[1]
        await b.ended()
        assert a.silent
        await send(http, site.url, call("change", {"kind": "tool"}), session)
        assert (await standalone.message())["method"] == "notifications/tools/list_changed"
        assert a.silent
        await site.release(http, names[0])
        assert (await a.message())["params"]["data"]["msg"] == f"released {names[0]}"
        assert (await a.message())["id"] == names[0]
        await a.ended()
        assert standalone.silent
    replay = await send(http, site.url, headers={**session, **after(lost[0])}, method="GET")
    assert names[1] not in replay.text
    assert "list_changed" not in replay.text
    # The session's own stream may still be resumed, so the session listens on; nothing else is left.
    await site.until(busy=before["busy"], calls=before["calls"], tasks=before["tasks"])


async def test_a_question_in_a_lost_stream(http: httpx2.AsyncClient, site: Site) -> None:
    session = await open_session(http, site.url, capabilities={"elicitation": {}})
    async with stream(http, site.url, call("ask", id=3), session, method="POST") as events:
        priming = await events.next()
        question = await events.message()
    async with stream(http, site.url, headers={**session, **after(priming)}) as events:
        assert await events.message() == question
        answer = {"action": "accept", "content": {"name": "Ada"}}
        await send(http, site.url, {"jsonrpc": "2.0", "id": question["id"], "result": answer}, session)
        assert (await events.message())["result"]["content"][0]["text"] == "hello Ada"
        await events.ended()
    await send(http, site.url, headers=session, method="DELETE")


# The session's own stream


async def test_notices_missed_on_the_get_stream(http: httpx2.AsyncClient, site: Site, session: dict[str, str]) -> None:
    async with stream(http, site.url, headers=session) as events:
        priming = await events.next()
        assert (priming.data, priming.retry) == ("", str(RETRY_MS))
        await send(http, site.url, call("change", {"kind": "tool"}), session)
        seen = await events.next()
        assert seen.message["method"] == "notifications/tools/list_changed"
    await site.until(busy=0)
    await send(http, site.url, call("change", {"kind": "prompt"}), session)
    await send(http, site.url, call("change_resources", {"name": unique(session)}), session)
    async with stream(http, site.url, headers={**session, **after(seen)}) as events:
        assert (await events.message())["method"] == "notifications/prompts/list_changed"
        assert (await events.message())["method"] == "notifications/resources/list_changed"
        await send(http, site.url, call("change", {"kind": "tool"}), session)
        assert (await events.message())["method"] == "notifications/tools/list_changed"
        assert events.silent


async def test_a_resumed_get_does_not_count_against_the_bound(
    http: httpx2.AsyncClient, site: Site, session: dict[str, str]
) -> None:
    async with (
        stream(http, site.url, headers=session) as one,
        stream(http, site.url, headers=session),
        stream(http, site.url, headers=session),
        stream(http, site.url, headers=session) as four,
    ):
        first = await one.next()
        await four.next()
        async with stream(http, site.url, headers={**session, **after(first)}) as resumed:
            await send(http, site.url, call("change", {"kind": "tool"}), session)
            while not (event := await resumed.next()).data:
                pass  # the others' priming events belong to the same stream
            assert event.message["method"] == "notifications/tools/list_changed"
            assert one.silent, "the oldest must not end for a stream that is resumed"


# Ids that can't be resumed from


@pytest.mark.parametrize(
    "id", ["", "x", "0", "-1", "1-1", "deadbeefdeadbeef-1", "../..", "a" * 5000, "1 OR 1=1", "\xff"], ids=repr
)
async def test_unknown_ids(id: str, http: httpx2.AsyncClient, site: Site, session: dict[str, str]) -> None:
    before = await site.residue()
    headers = {**session, "last-event-id": id}
    reply = await send(http, site.url, headers={k: v.encode("latin-1") for k, v in headers.items()}, method="GET")  # type: ignore[arg-type]
    assert (reply.status, reply.error["code"]) == (400, -32600)
    await site.left_nothing(before)
    assert (await send(http, site.url, call("add", {"a": 1, "b": 1}), session)).content == "2"


@pytest.mark.parametrize("number", ["0", "99", "00", "1x", "9" * 30, "-1", "\u0661"])
async def test_ids_beside_those_of_a_stream(
    number: str, http: httpx2.AsyncClient, site: Site, session: dict[str, str]
) -> None:
    """What was never given is refused."""
    known = (await send(http, site.url, call("notes"), session)).events[-1].id or ""
    guessed = known.rpartition("-")[0] + "-" + number
    headers = {**session, "last-event-id": guessed}
    reply = await send(http, site.url, headers={k: v.encode() for k, v in headers.items()}, method="GET")  # type: ignore[arg-type]
    assert (reply.status, reply.error["code"]) == (400, -32600)


async def test_an_event_of_another_session(http: httpx2.AsyncClient, site: Site, session: dict[str, str]) -> None:
    other = await open_session(http, site.url)
    event = (await send(http, site.url, call("notes"), other)).events[0]
    stolen = await send(http, site.url, headers={**session, **after(event)}, method="GET")
    assert (stolen.status, stolen.error["code"]) == (400, -32600)
    assert "note 0" not in stolen.text
    # Its owner is not the worse for it.
    own = await send(http, site.url, headers={**other, **after(event)}, method="GET")
    assert len(own.events) == 3
    await send(http, site.url, headers=other, method="DELETE")


async def test_an_ended_session_has_no_events(http: httpx2.AsyncClient, site: Site) -> None:
    session = await open_session(http, site.url)
    event = (await send(http, site.url, call("notes"), session)).events[0]
    await send(http, site.url, headers=session, method="DELETE")
    gone = await send(http, site.url, headers={**session, **after(event)}, method="GET")
    assert gone.status == 404


@pytest.mark.parametrize("way", WAYS)
async def test_evicted_events_are_no_partial_replay(way: Way, http: httpx2.AsyncClient) -> None:
    with serve(way, event_store=MemoryEventStore(max_events=5)) as site:
        session = await open_session(http, site.url)
        # A priming event, ten notes and the answer: the last five are kept.
        events = (await send(http, site.url, call("notes", {"count": 10}), session)).events
        assert len(events) == 12
        for number, event in enumerate(events):
            reply = await send(http, site.url, headers={**session, **after(event)}, method="GET")
            if number < 12 - 5 - 1:
                assert (reply.status, reply.error["code"]) == (400, -32600), number
            else:
                assert [each.id for each in reply.events] == [each.id for each in events[number + 1 :]]
        assert (await send(http, site.url, call("add", {"a": 1, "b": 1}), session)).content == "2"


async def test_a_store_bounded_in_bytes_drops_the_oldest_stream_whole(http: httpx2.AsyncClient) -> None:
    with serve(event_store=MemoryEventStore(max_bytes=60_000)) as site:
        session = await open_session(http, site.url)
        first = (await send(http, site.url, call("flood", {"size": 20_000, "count": 1}), session)).events
        second = (await send(http, site.url, call("flood", {"size": 20_000, "count": 2}), session)).events
        for event in first:
            gone = await send(http, site.url, headers={**session, **after(event)}, method="GET")
            assert gone.status == 400
        kept = await send(http, site.url, headers={**session, **after(second[0])}, method="GET")
        assert [event.id for event in kept.events] == [event.id for event in second[1:]]


# Nothing left behind


async def test_the_store_forgets_a_session(http: httpx2.AsyncClient) -> None:
    store = MemoryEventStore()
    with serve(event_store=store) as site:
        before = await site.residue()
        session = await open_session(http, site.url, capabilities={"elicitation": {}})
        await send(http, site.url, call("notes"), session)
        async with (
            stream(http, site.url, headers=session) as get,
            stream(http, site.url, call("ask", id=5), session, method="POST") as asking,
        ):
            await get.next()
            assert (await asking.next()).data == ""
            assert (await asking.message())["method"] == "elicitation/create"
            assert store._streams
            assert (await send(http, site.url, headers=session, method="DELETE")).status == 200
            await get.ended()
        await site.left_nothing(before)
        assert (store._streams, store._by_prefix, store._of_session, store._bytes) == ({}, {}, {}, 0)


async def test_a_refused_request_leaves_no_stream(http: httpx2.AsyncClient) -> None:
    store = MemoryEventStore()
    with serve(event_store=store) as site:
        session = await open_session(http, site.url)
        async with stream(http, site.url, call("wait", {"name": "x", "note": True}), session, method="POST") as events:
            await events.next()
            await events.next()
            before, streams = await site.residue(), len(store._streams)
            for body in (call("add", {"a": 1, "b": 1}), body_of("tools/burn", id=2), b"{", b"[]"):
                await send(http, site.url, body, session)
            await site.left_nothing(before)
            assert len(store._streams) == streams
            await site.release(http, "x")


# ctx.close_sse_stream


async def test_a_stream_closed_by_the_tool_is_polled(
    http: httpx2.AsyncClient, site: Site, session: dict[str, str]
) -> None:
    before = await site.residue()
    name = unique(session)
    closed = await send(http, site.url, call("wait", {"name": name, "close": True}), session)
    (priming,) = closed.events
    assert (priming.data, priming.retry) == ("", str(RETRY_MS))
    assert name not in site.log.finished, "the call goes on"
    await site.release(http, name)
    reply = await send(http, site.url, headers={**session, **after(priming)}, method="GET")
    assert reply.content == f"waited {name}"
    await site.left_nothing(before)


CLOSES_NOTHING = {
    "no store": ({}, "2025-11-25"),
    "an earlier revision": ({"event_store": MemoryEventStore()}, "2025-06-18"),
    "json only": ({"event_store": MemoryEventStore(), "json_response": True}, "2025-11-25"),
    "stateless": ({"stateless_http": True, "event_store": MemoryEventStore()}, None),
    "2026-07-28": ({"event_store": MemoryEventStore()}, "modern"),
}


@pytest.mark.parametrize(("options", "version"), CLOSES_NOTHING.values(), ids=CLOSES_NOTHING.keys())
async def test_where_nothing_can_be_resumed_nothing_is_closed(
    options: Any, version: str | None, http: httpx2.AsyncClient
) -> None:
    with serve(**options) as site:
        headers: dict[str, Any] = {}
        body = call("wait", {"name": "x", "close": True})
        if version == "modern":
            headers, body = modern(body)
        elif version is not None:
            headers = await open_session(http, site.url, version)
        waiting = asyncio.create_task(send(http, site.url, body, headers))
        await eventually(lambda: "x" in site.log.started)
        await site.release(http, "x")
        assert (await waiting).content == "waited x"


async def test_json_mode_answers_in_json_despite_a_store(http: httpx2.AsyncClient) -> None:
    with serve(event_store=MemoryEventStore(), json_response=True) as site:
        session = await open_session(http, site.url)
        assert (await send(http, site.url, call("notes"), session)).type == "application/json"
        async with stream(http, site.url, headers=session) as events:
            assert (await events.next()).id


# Stores written for the official SDK


class TwoMethods:
    """Its contract: one list of events, ids of their own, no idea of sessions."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    async def store_event(self, stream_id: str, message: Any) -> str:
        self.events.append((stream_id, message))
        return f"event-{len(self.events)}"

    async def replay_events_after(self, last_event_id: str, send_callback: Any) -> str | None:
        if not last_event_id.startswith("event-") or int(last_event_id[6:]) > len(self.events):
            return None
        number = int(last_event_id[6:])
        stream_id = self.events[number - 1][0]
        for index, (each, message) in enumerate(self.events[number:], number + 1):
            if each == stream_id and message is not None:
                await send_callback(EventMessage(message, f"event-{index}"))
        return stream_id


async def test_a_store_of_the_official_sdk_s_contract(http: httpx2.AsyncClient) -> None:
    with serve(event_store=TwoMethods()) as site:
        session, other = await open_session(http, site.url), await open_session(http, site.url)
        _, waiting = await lose(http, site, session, "sdk")
        await site.release(http, "sdk")
        await eventually(lambda: "sdk" in site.log.finished)
        reply = await send(http, site.url, headers={**session, **after(waiting)}, method="GET")
        assert [message.get("id") for message in reply.messages] == [None, "sdk"]
        assert json.loads(reply.events[-1].data)["result"]["content"][0]["text"] == "waited sdk"
        for headers in ({**other, **after(waiting)}, {**session, "last-event-id": "event-999"}):
            assert (await send(http, site.url, headers=headers, method="GET")).status == 400
