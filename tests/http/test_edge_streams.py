"""Streams whose readers stop reading, and streams that are old: real sockets, short limits."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from headrace import FastMCP
from headrace.state.memory import MemoryBus, MemoryEventStore
from headrace.transports.http.admission import Rules
from headrace.transports.http.guard import Guard
from headrace.transports.http.pace import Clocks, Limits
from headrace.transports.http.sse_legacy import SseEndpoint
from headrace.transports.http.stream import Stream

from .probe import Log, make_server
from .servers import Site, eventually, run, serve_bare
from .wire import POST_HEADERS, body_of, call, initialize, modern, open_session, send, stream

LIMITS = Limits(watch_after=0.02, sse_after=0.1, keep_alive=0.3, write_seconds=0.5, max_buffer=256 * 1024)
URI = "memo://one/text?" + "x" * 3000
"""Of a notice that is not small."""


@pytest.fixture(scope="module", params=["plain", "resumable"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    log = Log()
    store = MemoryEventStore() if request.param == "resumable" else None
    with serve_bare(make_server(log), log, limits=LIMITS, event_store=store) as site:
        yield site


class Deaf:
    """A connection that sends one request and then reads nothing, and as little as the system allows for it."""

    def __init__(self, port: int, method: str, path: str, headers: dict[str, Any], body: Any = None) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        self.socket.connect(("127.0.0.1", port))
        content = b"" if body is None else json.dumps(body).encode()
        fields = {"host": f"127.0.0.1:{port}", **POST_HEADERS, **headers, "content-length": len(content)}
        lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items() if v is not None), "", ""]
        self.socket.sendall("\r\n".join(lines).encode() + content)

    def __enter__(self) -> Deaf:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    async def rest(self) -> bytes:
        """What was sent before the server gave up, to the end of the connection."""
        self.socket.setblocking(False)
        pieces: list[bytes] = []
        async with asyncio.timeout(10):
            while piece := await asyncio.get_running_loop().sock_recv(self.socket, 65536):
                pieces.append(piece)
        return b"".join(pieces)


async def touch_until(http: httpx2.AsyncClient, site: Site, uri: str, done: Any) -> None:
    """Tell of changes until what must happen has happened; calls of others are served all the while."""
    headers, body = modern(call("touch", {"uri": uri}))
    for _ in range(3000):
        if await done():
            return
        assert (await send(http, site.url, body, headers)).content == "touched"
    raise AssertionError("the stream was not closed")


@pytest.mark.parametrize("era", ["modern", "handshake"])
async def test_a_reader_that_stops_in_the_middle_of_an_answer_loses_it(
    era: str, http: httpx2.AsyncClient, site: Site
) -> None:
    session = await open_session(http, site.url)
    before = await site.residue()
    finished = site.log.finished.count("flood")
    body = call("flood", {"size": 10_000, "count": 3_000})
    headers: dict[str, Any] = session
    if era == "modern":
        headers, body = modern(body, log="info")
    with Deaf(site.port, "POST", site.path, headers, body) as deaf:
        await site.until(calls=1)
        # In 2026-07-28 that ends the call, as any disconnect does; before, the call goes on and is not heard.
        await site.until(calls=0, tasks=before["tasks"])
        assert (site.log.finished.count("flood") > finished) is (era == "handshake")
        told = await deaf.rest()
    assert told.startswith(b"HTTP/1.1 200")
    assert not told.endswith(b"0\r\n\r\n"), "it looks as if it were whole"
    assert len(told) < 8 * 2**20
    await send(http, site.url, headers=session, method="DELETE")


async def test_a_deaf_subscriber_is_dropped(http: httpx2.AsyncClient, site: Site) -> None:
    before = await site.residue()
    params = {"notifications": {"resourceSubscriptions": [URI]}}
    headers, body = modern(body_of("subscriptions/listen", params))

    async def dropped() -> bool:
        return (await site.residue())["listeners"] == before["listeners"]

    with Deaf(site.port, "POST", site.path, headers, body) as deaf:
        await site.until(listeners=before["listeners"] + 1)
        await touch_until(http, site, URI, dropped)
        assert not (await deaf.rest()).endswith(b"0\r\n\r\n")
    await site.left_nothing(before)


async def test_a_deaf_session_stream_is_dropped_and_can_resume(http: httpx2.AsyncClient, site: Site) -> None:
    session = await open_session(http, site.url)
    await send(http, site.url, body_of("resources/subscribe", {"uri": URI}), session)
    before = await site.residue()

    async def dropped() -> bool:
        return (await site.residue())["busy"] == before["busy"]

    with Deaf(site.port, "GET", site.path, session) as deaf:
        await site.until(busy=before["busy"] + 1)
        await touch_until(http, site, URI, dropped)
        told = await deaf.rest()
        assert not told.endswith(b"0\r\n\r\n")
    sessions = site.endpoint._handshake._sessions
    assert sessions is not None
    ids = [line[4:].decode() for line in told.splitlines() if line.startswith(b"id: ")]
    assert (len(ids) > 10) is (sessions.events is not None)
    if ids:
        async with stream(http, site.url, headers={**session, "last-event-id": ids[-2]}) as resumed:
            assert (await resumed.message())["params"]["uri"] == URI
    await send(http, site.url, headers=session, method="DELETE")
    await site.until(listeners=0)


async def test_a_deaf_client_of_the_legacy_transport_loses_its_session() -> None:
    log = Log()
    app: Any = make_server(log).http_app(transport="sse")
    endpoint = app.drains[0].__self__
    assert isinstance(endpoint, SseEndpoint)
    endpoint._clocks = Clocks(LIMITS)
    with run(app) as running:
        async with httpx2.AsyncClient(trust_env=False, timeout=5) as http:
            origin = f"http://127.0.0.1:{running.port}"
            with Deaf(running.port, "GET", "/sse", {}) as deaf:
                await eventually(lambda: endpoint._sessions)
                (session,) = endpoint._sessions.values()
                path = f"{origin}/messages/?session_id={session.id}"
                hello = {
                    "protocolVersion": "2024-11-05",
                    "capabilities": {},
                    "clientInfo": {"name": "t", "version": "1"},
                }
                await send(http, path, body_of("initialize", hello))
                await send(http, path, body_of("notifications/initialized", id=...))
                flood = await send(http, path, call("flood", {"size": 10_000, "count": 3_000}, id=2))
                assert flood.status == 202
                await eventually(lambda: not endpoint._sessions)
                assert (await send(http, path, call("add", {"a": 1, "b": 2}))).status == 404
                assert not (await deaf.rest()).endswith(b"0\r\n\r\n")


async def test_notices_do_not_pile_up_before_a_slow_reader_of_the_legacy_transport() -> None:
    """One that reads now and then never stalls for long enough to be closed for that."""
    server = FastMCP("slow")
    settings: Any = {"max_body_bytes": 1000, "json_response": False, "stateless": False}
    endpoint = SseEndpoint(
        server, message_path="/m", rules=Rules(Guard(), **settings), limits=Limits(), bus=MemoryBus(), max_sessions=1
    )
    never, sent = asyncio.Event(), list[bytes]()
    head = {"type": "http", "headers": [(b"content-type", b"application/json")], "path": "/m"}

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))
        if len(sent) > 2:
            await never.wait()

    async def receive() -> Any:
        await never.wait()

    async def body() -> Any:
        return {"type": "http.request", "body": json.dumps(initialize()).encode()}

    reading = asyncio.create_task(endpoint.handle_sse({**head, "method": "GET"}, receive, send))
    try:
        await eventually(lambda: len(sent) == 2)
        query = sent[1].partition(b"?")[2].strip()
        post = {**head, "method": "POST", "query_string": query}
        answered = list[Any]()
        await endpoint.handle_message(post, body, lambda message: asyncio.sleep(0, answered.append(message)))
        assert answered[0]["status"] == 202
        for _ in range(600):
            server.notify("notifications/tools/list_changed")
            for _ in range(5):
                await asyncio.sleep(0)
        assert not endpoint._notices._tasks
        await asyncio.wait_for(reading, 5)
    finally:
        reading.cancel()


async def test_what_waits_for_a_reader_is_bounded_in_bytes_and_in_events() -> None:
    """Events that came while one was being written; many at once before any could be sent are fine."""
    limits, writing, written = Limits(), asyncio.Event(), list[bytes]()

    async def send_slowly(message: Any) -> None:
        written.append(message.get("body", b""))
        await writing.wait()

    async def opened() -> Stream:
        found = Stream(send_slowly, Clocks(limits))
        found.open()
        await asyncio.sleep(0)
        return found

    for size, events in ((10, 256), (4096, 256), (10_000, 104), (2**19, 2)):
        slow = await opened()
        for _ in range(events):
            slow.put(b"x" * size)
        assert not slow.closed
        slow.put(b"x" * size)
        assert slow.closed, (size, events)
        assert not slow._frames
    writing.set()
    burst = await opened()
    await burst.flushed()
    for _ in range(5_000):
        burst.put(b"x")
    await burst.flushed()
    assert not burst.closed
    assert sum(map(len, written)) == 5_000
    burst.abort()


async def test_a_fast_function_waits_for_a_slow_reader_and_loses_nothing(http: httpx2.AsyncClient, site: Site) -> None:
    """Ten times more events than may wait."""
    headers, body = modern(call("notes", {"count": 2560}), log="info")
    async with stream(http, site.url, body, headers, method="POST") as events:
        for number in range(2560):
            message = await events.message()
            assert f"note {number}" in json.dumps(message["params"]["data"])
        assert (await events.message())["result"]["content"][0]["text"] == "noted"
        await events.ended()


async def test_streams_that_wait_end_when_they_are_old(http: httpx2.AsyncClient) -> None:
    """In good order, so that clients come again; a call that takes long is none of them."""
    log = Log()
    limits = Limits(watch_after=0.01, sse_after=0.02, keep_alive=0.03, max_age=0.3)
    with serve_bare(make_server(log), log, limits=limits) as site:
        session = await open_session(http, site.url)
        headers, listen = modern(body_of("subscriptions/listen", {"notifications": {}}, id=5))
        waiting_headers, waiting = modern(call("wait", {"name": "old"}))
        async with (
            stream(http, site.url, headers=session) as get,
            stream(http, site.url, listen, headers, method="POST") as subscription,
            stream(http, site.url, waiting, waiting_headers, method="POST") as answer,
        ):
            await subscription.message()
            final = await subscription.message()
            assert (final["id"], final["result"]["resultType"]) == (5, "complete")
            await subscription.ended()
            await get.ended()
            assert answer.silent
            again = await open_session(http, site.url)
            async with stream(http, site.url, headers=again):
                pass
            await site.release(http, "old")
            assert (await answer.message())["result"]["content"][0]["text"] == "waited old"
        await send(http, site.url, headers=session, method="DELETE")
