"""How many sessions one client may have: its own longest idle gives way, and nobody's else."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest

from headrace import FastMCP
from headrace.protocol.requests import new_record
from headrace.protocol.session import SessionRecord
from headrace.protocol.types import ClientCapabilities
from headrace.server.auth import StaticTokenVerifier
from headrace.settings import Settings
from headrace.state.memory import MemoryBus, MemorySessionStore
from headrace.transports.http.sessions import Sessions

from .addresses import Clients, clients
from .servers import endpoint_of, eventually, run
from .wire import body_of, call, initialize, modern, open_session, send, stream

TOKENS = {"ann": {"client_id": "ann"}, "ann-2": {"client_id": "ann"}, "ben": {"client_id": "ben"}}
ADD = call("add", {"a": 2, "b": 3})


def server(**options: Any) -> FastMCP:
    mcp = FastMCP("capped", **options)
    gates: dict[str, asyncio.Event] = {}

    @mcp.tool
    def add(a: int, b: int) -> int:
        return a + b

    @mcp.tool
    async def wait(name: str) -> str:
        await gates.setdefault(name, asyncio.Event()).wait()
        return "waited"

    @mcp.tool
    async def release(name: str) -> str:
        gates.setdefault(name, asyncio.Event()).set()
        return "released"

    return mcp


async def lives(client: httpx2.AsyncClient, session: dict[str, str]) -> bool:
    reply = await send(client, "/mcp", ADD, session)
    assert reply.status in (200, 404)
    return reply.status == 200


async def used(client: httpx2.AsyncClient) -> dict[str, str]:
    session = await open_session(client, "/mcp")
    assert await lives(client, session)
    return session


def at(found: Clients, whose: str, number: int) -> httpx2.AsyncClient:
    """Two clients that count as one each, whatever `number` says."""
    if whose == "principal":
        return found.at(f"192.0.2.{number}", "ann" if number % 2 else "ann-2")
    return found.at("192.0.2.1" if whose == "address" else f"2001:db8::{number}")


@pytest.mark.parametrize("whose", ["principal", "address", "network"])
async def test_the_client_s_own_longest_idle_gives_way(whose: str) -> None:
    auth = StaticTokenVerifier(TOKENS) if whose == "principal" else None
    async with clients(server(auth=auth), max_sessions_per_client=3) as found:
        # At the same address as some of the others, where there are principals.
        other = found.at("192.0.2.1" if whose == "principal" else "192.0.2.99", "ben")
        others = [await used(other) for _ in range(3)]
        own = [await used(at(found, whose, number)) for number in range(3)]
        assert await lives(at(found, whose, 4), own[0])  # now the second one is longest idle
        more = await used(at(found, whose, 5))
        assert [await lives(at(found, whose, 6), each) for each in (*own, more)] == [True, False, True, True]
        assert [await lives(other, each) for each in others] == [True] * 3


async def test_one_hundred_by_default() -> None:
    async with clients(server()) as found:
        one, other = found.at("192.0.2.1"), found.at("192.0.2.2")
        theirs = await used(other)
        sessions = [await used(one) for _ in range(100)]
        assert await lives(one, sessions[0])
        await used(one)
        assert [await lives(one, each) for each in (sessions[0], sessions[1], sessions[2])] == [True, False, True]
        assert await lives(other, theirs)


async def test_those_never_used_go_first() -> None:
    async with clients(server(), max_sessions_per_client=3) as found:
        one = found.at("192.0.2.1")
        first = await used(one)
        idle = [await open_session(one, "/mcp") for _ in range(2)]
        for _ in range(5):
            idle.append(await open_session(one, "/mcp"))
        assert [await lives(one, each) for each in (first, *idle)] == [True, *[False] * 5, True, True]


async def test_one_that_is_busy_never_gives_way() -> None:
    async with clients(server(), max_sessions_per_client=2) as found, AsyncExitStack() as stack:
        one, other = found.at("192.0.2.1"), found.at("192.0.2.2")
        listening, calling = await open_session(one, "/mcp"), await open_session(one, "/mcp")
        await stack.enter_async_context(stream(one, "/mcp", headers=listening))
        waiting = asyncio.create_task(send(one, "/mcp", call("wait", {"name": "a"}), calling))
        try:
            endpoint = endpoint_of(one_app(found))
            await eventually(lambda: len(endpoint._service.running) == 1)
            reply = await send(one, "/mcp", initialize())
            assert (reply.status, reply.error["code"]) == (503, -32600)
            assert int(reply.headers["retry-after"]) > 0
            assert "mcp-session-id" not in reply.headers
            assert (await send(other, "/mcp", initialize())).status == 200, "others come in"
            await send(other, "/mcp", call("release", {"name": "a"}), await open_session(other, "/mcp"))
            assert (await waiting).content == "waited"
        finally:
            waiting.cancel()
        await used(one)
        assert [await lives(one, each) for each in (listening, calling)] == [True, False]


def one_app(found: Clients) -> Any:
    return found._app


async def test_the_cap_of_all_stands_beside() -> None:
    """Where the table is full, a client below its own cap still gets in, as before."""
    async with clients(server(), max_sessions=4, max_sessions_per_client=3) as found:
        sessions = [(found.at(f"192.0.2.{number}"), await used(found.at(f"192.0.2.{number}"))) for number in range(4)]
        await used(found.at("192.0.2.9"))
        assert [await lives(client, each) for client, each in sessions] == [False, True, True, True]


async def test_who_makes_sessions_without_end_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """FastMCP #5210: there the table fills, and every new client is refused for good."""
    async with clients(server(), max_sessions=50, max_sessions_per_client=10) as found:
        other = found.at("192.0.2.2")
        theirs = [await used(other) for _ in range(5)]
        greedy = found.at("192.0.2.1")
        for _ in range(200):
            assert (await send(greedy, "/mcp", initialize())).status == 200
        store: Any = endpoint_of(one_app(found))._handshake._sessions.store  # type: ignore[union-attr]
        assert len(store) == 15
        assert [await lives(other, each) for each in theirs] == [True] * 5
    assert caplog.text.count("max_sessions_per_client") == 1, "who runs the server is told, once"


def record(id: str, owner: str) -> SessionRecord:
    return SessionRecord(id=id, version="2025-11-25", capabilities=ClientCapabilities(), owner=owner)


async def test_a_store_remembers_nobody_who_has_nothing() -> None:
    clock = [0.0]
    store = MemorySessionStore(limit=4, per_owner=2, idle_timeout=10, clock=lambda: clock[0])
    ended: list[str] = []
    for number in range(8):
        ended += await store.create(record(str(number), f"owner {number % 3}"), lambda id: False) or []
    assert (len(store), len(ended)) == (4, 4)
    for number in range(4, 6):
        await store.end(str(number))
    clock[0] = 11
    assert sorted(await store.expire(lambda id: False)) == ["6", "7"]
    assert (len(store), store._owned) == (0, {})
    assert await store.create(record("a", "x"), lambda id: True) == []
    assert await store.create(record("b", "x"), lambda id: True) == []
    assert await store.create(record("c", "x"), lambda id: True) is None
    assert await store.create(record("c", "y"), lambda id: True) == []


async def test_what_expires_while_there_is_no_room_is_forgotten() -> None:
    clock, forgotten, ids = [0.0], list[str](), iter("abcd")
    store = MemorySessionStore(per_owner=1, idle_timeout=10, clock=lambda: clock[0])
    sessions = Sessions(store, MemoryBus(), events=None, new_id=lambda: next(ids))
    sessions.forgotten = forgotten.append
    assert await sessions.create(new_record(), None, {"client": ("192.0.2.1", 1)})
    assert await sessions.create(new_record(), None, {"client": ("192.0.2.2", 1)})
    sessions.enter("a")
    clock[0] = 11
    assert not await sessions.create(new_record(), None, {"client": ("192.0.2.1", 1)})
    assert forgotten == ["b"]


async def test_none_is_no_cap_per_owner() -> None:
    store = MemorySessionStore(limit=200, per_owner=None)
    assert [await store.create(record(str(number), "x"), lambda id: False) for number in range(200)] == [[]] * 200


def test_the_setting() -> None:
    assert Settings().max_sessions_per_client == 100
    assert Settings.load({"HEADRACE_MAX_SESSIONS_PER_CLIENT": "7"}, None).max_sessions_per_client == 7


async def test_what_is_kept_of_a_session_is_small() -> None:
    """A body of 4 MiB that lasts as long as its session: a hundred of them would be gigabytes."""
    long = initialize(capabilities={"experimental": {f"extension-{number}": {} for number in range(5000)}})
    async with clients(server()) as found:
        one = found.at("192.0.2.1")
        reply = await send(one, "/mcp", long)
        assert (reply.error["code"], "mcp-session-id" in reply.headers) == (-32602, False)
        session = await open_session(one, "/mcp")
        statuses = [
            "error" in (await send(one, "/mcp", body_of("resources/subscribe", {"uri": uri}), session)).answer
            for uri in ("a://" + "b" * 200_000, "a://" + "c" * 100_000, "a://d")
        ]
        assert statuses == [False, True, False]


# 2026-07-28: the streams of subscriptions/listen


@pytest.mark.parametrize("whose", ["principal", "address", "network"])
async def test_listen_streams_of_one_client(whose: str) -> None:
    auth = StaticTokenVerifier(TOKENS) if whose == "principal" else None
    headers, body = modern(body_of("subscriptions/listen", {"notifications": {"toolsListChanged": True}}))

    def listening(client: httpx2.AsyncClient) -> Any:
        return stream(client, "/mcp", body, headers, method="POST")

    async with clients(server(auth=auth), max_sessions_per_client=2, stateless_http=True) as found:
        other = found.at("192.0.2.1" if whose == "principal" else "192.0.2.99", "ben")
        async with AsyncExitStack() as stack:
            for number in range(2):
                await stack.enter_async_context(listening(at(found, whose, number)))
            reply = await send(at(found, whose, 3), "/mcp", body, headers)
            assert (reply.status, reply.error["code"], reply.headers["retry-after"]) == (429, -32600, "5")
            async with listening(other) as events:
                assert (await events.message())["method"].endswith("acknowledged"), "others come in"
        await eventually(lambda: not endpoint_of(one_app(found))._modern._open_of)
        async with listening(at(found, whose, 4)) as events:
            assert (await events.message())["method"].endswith("acknowledged"), "those that ended are not counted"


# HTTP+SSE: a session is its stream


async def test_sse_streams() -> None:
    app = server().http_app(transport="sse", max_sessions_per_client=2)
    with run(app) as running:
        origin = f"http://127.0.0.1:{running.port}"
        async with httpx2.AsyncClient(trust_env=False) as http, AsyncExitStack() as stack:

            async def opened() -> tuple[Any, str]:
                events = await stack.enter_async_context(stream(http, f"{origin}/sse"))
                messages = origin + (await events.next()).data
                assert (await send(http, messages, initialize())).status == 202
                await events.message()
                return events, messages

            (first, to_first), (second, to_second) = await opened(), await opened()
            assert (await send(http, to_first, ADD)).status == 202  # now the second one is longest idle
            await first.message()
            third, to_third = await opened()
            await second.ended()
            assert (await send(http, to_second, ADD)).status == 404
            for to in (to_first, to_third):
                assert (await send(http, to, call("wait", {"name": "b"}, id="w"))).status == 202
            reply = await send(http, f"{origin}/sse", method="GET")
            assert (reply.status, reply.error["code"]) == (503, -32600)
            assert (await send(http, to_first, call("release", {"name": "b"}, id="r"))).status == 202
            answers = {(await first.message())["id"] for _ in range(2)} | {(await third.message())["id"]}
            assert answers == {"w", "r"}
            await opened()


async def test_sse_streams_of_principals() -> None:
    app = server(auth=StaticTokenVerifier(TOKENS)).http_app(transport="sse", max_sessions_per_client=1)
    with run(app) as running:
        url = f"http://127.0.0.1:{running.port}/sse"
        async with httpx2.AsyncClient(trust_env=False) as http, AsyncExitStack() as stack:
            tokens = ("ann", "ben", "ann-2")
            opened = [
                await stack.enter_async_context(stream(http, url, headers={"authorization": f"Bearer {token}"}))
                for token in tokens
            ]
            for events in opened:
                await events.next()
            await opened[0].ended()
            assert opened[1].silent
