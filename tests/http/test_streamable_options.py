"""Streamable HTTP with other options: JSON only, stateless, bounds of sessions, bodies and streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, MutableMapping
from typing import Any

import httpx2
import pytest

from headrace import FastMCP
from headrace.state.memory import MemoryEventStore
from headrace.transports.http.pace import Limits

from .probe import Log, make_server
from .servers import WAYS, Site, bare_endpoint, eventually, serve, serve_bare
from .wire import ACCEPT, POST_HEADERS, body_of, call, initialize, modern, open_session, raw, send, stream, stream_of

ADD = call("add", {"a": 2, "b": 3}, id=7)

# JSON only


@pytest.fixture(scope="module", params=WAYS)
def json_site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with serve(request.param, json_response=True) as site:
        yield site


@pytest.mark.parametrize("accept", ["application/json", "application/*", "*/*", ACCEPT])
async def test_json_mode_needs_only_json(accept: str, http: httpx2.AsyncClient, json_site: Site) -> None:
    before = await json_site.residue()
    session = await open_session(http, json_site.url, headers={"accept": accept})
    assert (await send(http, json_site.url, ADD, {**session, "accept": accept})).content == "5"
    headers, body = modern(ADD)
    assert (await send(http, json_site.url, body, {**headers, "accept": accept})).content == "5"
    await send(http, json_site.url, headers=session, method="DELETE")
    await json_site.left_nothing(before)


@pytest.mark.parametrize("accept", ["text/event-stream", "text/html", None])
async def test_json_mode_without_json_in_accept(accept: str | None, http: httpx2.AsyncClient, json_site: Site) -> None:
    assert (await send(http, json_site.url, initialize(), {"accept": accept})).status == 406


async def test_json_mode_drops_notes(http: httpx2.AsyncClient, json_site: Site) -> None:
    session = await open_session(http, json_site.url)
    assert (await send(http, json_site.url, call("notes"), session)).json["result"]["content"][0]["text"] == "noted"
    headers, body = modern(call("notes", _meta={"io.modelcontextprotocol/logLevel": "debug"}))
    assert (await send(http, json_site.url, body, headers)).json["result"]["content"][0]["text"] == "noted"
    await send(http, json_site.url, headers=session, method="DELETE")


async def test_json_mode_questions_are_a_clear_error(http: httpx2.AsyncClient, json_site: Site) -> None:
    before = await json_site.residue()
    session = await open_session(http, json_site.url, capabilities={"elicitation": {}})
    reply = await send(http, json_site.url, call("ask"), session)
    assert (reply.status, reply.error["code"]) == (200, -32600)
    assert "JSON only" in reply.error["message"]
    await send(http, json_site.url, headers=session, method="DELETE")
    await json_site.left_nothing(before)


async def test_json_mode_still_has_get_streams(http: httpx2.AsyncClient, json_site: Site) -> None:
    session = await open_session(http, json_site.url)
    async with stream(http, json_site.url, headers=session) as events:
        await send(http, json_site.url, call("change", {"kind": "tool"}), session)
        assert (await events.message())["method"] == "notifications/tools/list_changed"
    await send(http, json_site.url, headers=session, method="DELETE")


# Stateless


@pytest.fixture(scope="module", params=WAYS)
def stateless(request: pytest.FixtureRequest) -> Iterator[Site]:
    with serve(request.param, stateless_http=True) as site:
        yield site


async def test_stateless_initialize_gives_no_session(http: httpx2.AsyncClient, stateless: Site) -> None:
    reply = await send(http, stateless.url, initialize("2025-06-18"))
    assert reply.status == 200
    assert reply.result["protocolVersion"] == "2025-06-18"
    assert "mcp-session-id" not in reply.headers


@pytest.mark.parametrize(
    "headers",
    [{}, {"mcp-session-id": "anything"}, {"mcp-protocol-version": "2025-06-18"}, {"last-event-id": "x"}],
    ids=str,
)
async def test_stateless_needs_no_initialize(
    headers: dict[str, str], http: httpx2.AsyncClient, stateless: Site
) -> None:
    before = await stateless.residue()
    reply = await send(http, stateless.url, ADD, headers)
    assert (reply.status, reply.content) == (200, "5")
    assert "mcp-session-id" not in reply.headers
    await stateless.left_nothing(before)


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
async def test_stateless_has_only_post(method: str, http: httpx2.AsyncClient, stateless: Site) -> None:
    reply = await send(http, stateless.url, headers={"mcp-session-id": "x"}, method=method)
    assert (reply.status, reply.headers["allow"], reply.error["code"]) == (405, "POST", -32600)


@pytest.mark.parametrize(
    ("version", "structured", "readable"),
    [(None, False, False), ("2025-03-26", False, False), ("2025-06-18", True, False), ("2025-11-25", True, True)],
)
async def test_stateless_speaks_what_the_header_says(
    version: str | None, structured: bool, readable: bool, http: httpx2.AsyncClient, stateless: Site
) -> None:
    """Without a header it is 2025-03-26."""
    headers = {"mcp-protocol-version": version}
    assert ("structuredContent" in (await send(http, stateless.url, ADD, headers)).result) == structured
    bad = await send(http, stateless.url, call("add", {"a": "x"}), headers)
    assert ("result" in bad.json) == readable
    batch = await send(http, stateless.url, [ADD], headers)
    assert batch.status == (400 if structured else 200)


async def test_stateless_refuses_unknown_versions(http: httpx2.AsyncClient, stateless: Site) -> None:
    reply = await send(http, stateless.url, ADD, {"mcp-protocol-version": "2099-01-01"})
    assert (reply.status, reply.error["code"]) == (400, -32600)
    assert all(version in reply.error["message"] for version in ("2025-03-26", "2025-06-18", "2025-11-25"))


async def test_stateless_notes_reach_the_call_s_stream(http: httpx2.AsyncClient, stateless: Site) -> None:
    *notes, answer = (await send(http, stateless.url, call("notes"))).messages
    assert [note["params"]["data"]["msg"] for note in notes] == ["note 0", "note 1"]
    assert answer["id"] == 1


async def test_stateless_questions_are_a_clear_error(http: httpx2.AsyncClient, stateless: Site) -> None:
    before = await stateless.residue()
    reply = await send(http, stateless.url, call("ask"), {"mcp-protocol-version": "2025-11-25"})
    assert (reply.status, reply.error["code"]) == (200, -32600)
    await stateless.left_nothing(before)


async def test_stateless_messages_that_get_no_answer(http: httpx2.AsyncClient, stateless: Site) -> None:
    for body in (body_of("notifications/initialized", id=...), {"jsonrpc": "2.0", "id": 1, "result": {}}):
        reply = await send(http, stateless.url, body)
        assert (reply.status, reply.text) == (202, "")


async def test_stateless_ids_are_free(http: httpx2.AsyncClient, stateless: Site) -> None:
    """Nothing ties two requests together, so equal ids are two requests; a cancellation is not matched either."""
    name = f"free-{stateless.way}"
    first = asyncio.create_task(send(http, stateless.url, call("wait", {"name": name}, id=1)))
    await eventually(lambda: name in stateless.log.started)
    assert (await send(http, stateless.url, call("add", {"a": 1, "b": 1}, id=1))).content == "2"
    assert (await send(http, stateless.url, body_of("notifications/cancelled", {"requestId": 1}, id=...))).status == 202
    await stateless.release(http, name)
    assert (await first).content == f"waited {name}"
    assert name not in stateless.log.cancelled


async def test_stateless_disconnect_does_not_cancel(http: httpx2.AsyncClient, stateless: Site) -> None:
    before = await stateless.residue()
    name = f"drop-{stateless.way}"
    body = json.dumps(call("wait", {"name": name, "note": True})).encode()
    async with stream_of(stateless.port, _head(stateless, len(body)) + body) as (reader, _):
        await asyncio.wait_for(reader.readuntil(b"waiting"), 5)
    await stateless.release(http, name)
    await eventually(lambda: name in stateless.log.finished)
    assert name not in stateless.log.cancelled
    await stateless.left_nothing(before)


def _head(site: Site, length: int | None, *fields: str) -> bytes:
    lines = [f"POST {site.path} HTTP/1.1", f"Host: 127.0.0.1:{site.port}", f"Accept: {ACCEPT}", *fields]
    lines.append("Content-Type: application/json")
    lines.append("Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode()


# Bodies


@pytest.fixture(scope="module", params=WAYS)
def small_bodies(request: pytest.FixtureRequest) -> Iterator[Site]:
    with serve(request.param, max_body_bytes=1000) as site:
        yield site


@pytest.mark.parametrize("size", [1001, 5000, 15_000])
async def test_a_body_over_the_limit_is_413(size: int, http: httpx2.AsyncClient, small_bodies: Site) -> None:
    before = await small_bodies.residue()
    reply = await send(http, small_bodies.url, b" " * size)
    assert (reply.status, reply.error["code"]) == (413, -32600)
    assert "1000" in reply.error["message"]
    assert "id" not in reply.json
    await small_bodies.left_nothing(before)


async def test_a_body_of_just_the_limit_is_served(http: httpx2.AsyncClient, small_bodies: Site) -> None:
    headers, body = modern(ADD)
    content = json.dumps(body).encode()
    reply = await send(http, small_bodies.url, content + b" " * (1000 - len(content)), headers)
    assert reply.content == "5"


async def test_a_chunked_body_is_measured_while_it_comes(small_bodies: Site) -> None:
    chunks = [b"%x\r\n%b\r\n" % (600, b" " * 600)] * 2
    head = _head(small_bodies, None, "Connection: close")
    answer = await raw(small_bodies.port, head, *chunks, b"0\r\n\r\n")
    assert (answer.status, answer.json["error"]["code"]) == (413, -32600)


async def test_past_the_bound_the_rest_of_a_large_body_is_not_awaited(small_bodies: Site) -> None:
    """A client that goes on sending for ever is answered."""
    async with stream_of(small_bodies.port, _head(small_bodies, 10**9) + b" " * 40_000) as (reader, _):
        assert b" 413 " in await asyncio.wait_for(reader.readline(), 5)


async def test_the_default_limit_is_4_mib(http: httpx2.AsyncClient) -> None:
    with serve() as site:
        headers, body = modern(ADD)
        content = json.dumps(body).encode()
        limit = 4 * 1024 * 1024
        assert (await send(http, site.url, content + b" " * (limit - len(content)), headers)).content == "5"
        assert (await send(http, site.url, content + b" " * (limit + 1 - len(content)), headers)).status == 413


async def test_a_body_that_does_not_come_is_408(http: httpx2.AsyncClient) -> None:
    log = Log()
    with serve_bare(make_server(log), log, limits=Limits(body_seconds=0.2)) as site:
        before = await site.residue()
        answer = await raw(site.port, _head(site, 100) + b'{"jsonrpc"')
        assert (answer.status, answer.json["error"]["code"]) == (408, -32600)
        assert answer.headers["connection"] == "close"
        await site.left_nothing(before)


async def test_a_stalled_opener_delays_nobody(http: httpx2.AsyncClient) -> None:
    with serve() as site:
        async with (
            stream_of(site.port, b"POST /mcp HTT"),
            stream_of(site.port, _head(site, 100)),
            stream_of(site.port, _head(site, 100) + b"{"),
        ):
            headers, body = modern(ADD)
            reply = await asyncio.wait_for(send(http, site.url, body, headers), 2)
            assert reply.content == "5"


# Sessions


async def test_at_the_cap_a_session_never_used_gives_way_first(http: httpx2.AsyncClient) -> None:
    with serve(max_sessions=3) as site:
        used = await open_session(http, site.url)
        assert (await send(http, site.url, ADD, used)).content == "5"
        fresh = await open_session(http, site.url)
        younger = await open_session(http, site.url)
        newest = await open_session(http, site.url)
        assert [await _alive(http, site, each) for each in (used, fresh, younger, newest)] == [True, False, True, True]


async def test_then_the_longest_idle_one(http: httpx2.AsyncClient) -> None:
    with serve(max_sessions=3) as site:
        sessions = [await open_session(http, site.url) for _ in range(3)]
        for each in (*sessions, sessions[0]):
            await send(http, site.url, ADD, each)
        newest = await open_session(http, site.url)
        alive = [await _alive(http, site, each) for each in (*sessions, newest)]
        assert alive == [True, False, True, True]


async def test_never_one_with_an_open_stream_or_a_call_in_flight(http: httpx2.AsyncClient) -> None:
    with serve(max_sessions=3) as site:
        streaming, calling, idle = [await open_session(http, site.url) for _ in range(3)]
        async with stream(http, site.url, headers=streaming) as events:
            waiting = asyncio.create_task(send(http, site.url, call("wait", {"name": "busy"}), calling))
            await eventually(lambda: "busy" in site.log.started)
            # Nobody can flush them.
            for _ in range(10):
                reply = await send(http, site.url, initialize())
                assert reply.status == 200
            assert not await _alive(http, site, idle)
            assert await _alive(http, site, streaming)
            assert events.silent
            await site.release(http, "busy")
            assert (await waiting).content == "waited busy"


async def test_where_all_are_busy_a_new_client_is_told_to_try_again(http: httpx2.AsyncClient) -> None:
    with serve(max_sessions=1) as site:
        session = await open_session(http, site.url)
        async with stream(http, site.url, headers=session):
            before = await site.residue()
            reply = await send(http, site.url, initialize(id=3))
            assert (reply.status, reply.error["code"], reply.json["id"]) == (503, -32600, 3)
            assert int(reply.headers["retry-after"]) > 0
            await site.left_nothing(before)
        # And that is not for ever.
        await site.until(busy=0)
        assert (await send(http, site.url, initialize())).status == 200


async def test_idle_sessions_expire(http: httpx2.AsyncClient) -> None:
    with serve(session_idle_timeout=0.2) as site:
        session = await open_session(http, site.url)
        assert await _alive(http, site, session)

        async def gone() -> bool:
            await asyncio.sleep(0.25)
            return not await _alive(http, site, session)

        assert await asyncio.wait_for(gone(), 5)
        await open_session(http, site.url)
        assert (await site.residue())["sessions"] == 1


async def test_a_session_with_an_open_stream_is_not_idle(http: httpx2.AsyncClient) -> None:
    with serve(session_idle_timeout=0.2) as site:
        session = await open_session(http, site.url)
        async with stream(http, site.url, headers=session):
            await asyncio.sleep(0.4)
            assert await _alive(http, site, session)
            await asyncio.sleep(0.4)
        # Its idle time begins when the stream has ended.
        await site.until(busy=0)
        assert await _alive(http, site, session)


async def test_what_ends_with_a_session_that_gives_way(http: httpx2.AsyncClient) -> None:
    """Also what a session keeps between requests is gone: its listener, its events."""
    store = MemoryEventStore()
    with serve(max_sessions=1, event_store=store) as site:
        before = await site.residue()
        session = await open_session(http, site.url)
        await send(http, site.url, ADD, session)
        async with stream(http, site.url, headers=session) as events:
            first = await events.next()
            assert first.id is not None
        await site.until(busy=0)
        other = await open_session(http, site.url)
        assert not await _alive(http, site, session)
        await send(http, site.url, call("change", {"kind": "tool"}), other)
        assert await store.replay(session["mcp-session-id"], first.id) is None
        await send(http, site.url, headers=other, method="DELETE")
        await site.left_nothing(before)
        assert not store._streams, "the store holds events of ended sessions"


async def _alive(http: httpx2.AsyncClient, site: Site, session: dict[str, str]) -> bool:
    """Asks with a notification, which is no use of the session."""
    reply = await send(http, site.url, body_of("notifications/initialized", id=...), session)
    assert reply.status in (202, 404)
    return reply.status == 202


# Streams


@pytest.fixture(scope="module")
def quick() -> Iterator[Site]:
    log = Log()
    limits = Limits(watch_after=0.02, sse_after=0.1, keep_alive=0.05, write_seconds=0.5, max_buffer=64 * 1024)
    with serve_bare(make_server(log), log, limits=limits) as site:
        yield site


@pytest.mark.parametrize("era", ["handshake", "modern"])
async def test_a_long_call_becomes_a_stream_with_keep_alive_comments(
    era: str, http: httpx2.AsyncClient, quick: Site
) -> None:
    session: dict[str, Any] = await open_session(http, quick.url)
    before = await quick.residue()
    body = call("wait", {"name": f"long-{era}"})
    headers = session
    if era == "modern":
        headers, body = modern(body)
    async with stream(http, quick.url, body, headers, method="POST") as events:
        assert events.headers["content-type"] == "text/event-stream"
        assert events.headers["x-accel-buffering"] == "no"
        await eventually(lambda: len(events.comments) >= 2)
        await send(http, quick.url, call("release", {"name": f"long-{era}"}, id=2), session)
        assert (await events.message())["result"]["content"][0]["text"] == f"waited long-{era}"
        await events.ended()
    await quick.left_nothing(before)


async def test_a_subscription_has_one_response_however_long_it_lasts() -> None:
    """Time that turns a slow call into a stream does not count for what is a stream."""
    mcp = FastMCP("listened to")
    limits = Limits(watch_after=0.01, sse_after=0.02, keep_alive=0.02)
    sent: list[MutableMapping[str, Any]] = []
    enough, gone = asyncio.Event(), asyncio.Event()

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)
        if len(sent) > 12:  # keep-alive comments: more than the time after which a call would be a stream
            enough.set()

    request = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": {"notifications": {}}}
    headers, body = modern(request)
    messages = [{"type": "http.request", "body": json.dumps(body).encode()}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    fields = {"host": "127.0.0.1", **POST_HEADERS, **headers}
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/mcp",
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "headers": iter([(name.lower().encode(), value.encode()) for name, value in fields.items() if value]),
    }
    listening = asyncio.create_task(bare_endpoint(mcp, limits=limits)(scope, receive, send))
    async with asyncio.timeout(10):
        await enough.wait()
        gone.set()
        await listening
    assert [message["type"] for message in sent].count("http.response.start") == 1


async def test_get_streams_have_keep_alive_comments(http: httpx2.AsyncClient, quick: Site) -> None:
    session = await open_session(http, quick.url)
    async with stream(http, quick.url, headers=session) as events:
        await eventually(lambda: len(events.comments) >= 2)
    await send(http, quick.url, headers=session, method="DELETE")


@pytest.mark.parametrize("era", ["handshake", "modern"])
async def test_a_reader_that_stops_reading_loses_its_stream(era: str, http: httpx2.AsyncClient, quick: Site) -> None:
    """Its buffer is bounded, its call comes to an end, and nothing is left of it."""
    session: dict[str, Any] = await open_session(http, quick.url)
    before = await quick.residue()
    body = call("flood", {"size": 50_000, "count": 400}, _meta={"io.modelcontextprotocol/logLevel": "debug"})
    headers = session
    if era == "modern":
        headers, body = modern(body)
    content = json.dumps(body).encode()
    fields = [f"{name}: {value}" for name, value in headers.items()]
    async with stream_of(quick.port, _head(quick, len(content), *fields) + content):
        # 20 MB are more than the sockets hold; nothing is read.
        await quick.left_nothing(before)


async def test_json_mode_waits_without_a_stream(http: httpx2.AsyncClient) -> None:
    log = Log()
    limits = Limits(watch_after=0.01, sse_after=0.02, keep_alive=0.02)
    with serve_bare(make_server(log), log, limits=limits, json_response=True, stateless_http=True) as site:
        waiting = asyncio.create_task(send(http, site.url, call("wait", {"name": "json"})))
        await eventually(lambda: "json" in log.started)
        await asyncio.sleep(0.1)
        await site.release(http, "json")
        assert (await waiting).json["result"]["content"][0]["text"] == "waited json"
