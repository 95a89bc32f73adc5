"""What a review found once, each by itself."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from starlette.routing import Mount

from headrace import Context, FastMCP
from headrace.exceptions import McpError
from headrace.server.auth import AccessToken, CallableTokenVerifier, StaticTokenVerifier
from headrace.server.http import create_streamable_http_app
from headrace.state.memory import MemoryEventStore
from headrace.transports.http.drain import SignalChain

from .servers import endpoint_of, eventually, run
from .wire import body_of, call, events_of, initialize, modern, open_session, send, stream

mcp = FastMCP("reviewed")


@mcp.tool
async def notes(ctx: Context, count: int, size: int) -> str:
    for _ in range(count):
        await ctx.info("x" * size)
    return "done"


@mcp.tool
async def leave() -> str:
    raise SystemExit(3)


@mcp.tool
async def cancel_itself() -> str:
    sleeper = asyncio.create_task(asyncio.sleep(60))
    sleeper.cancel()
    await sleeper
    return "never"


@mcp.tool
async def untellable(kind: str) -> str:
    raise McpError("\ud800" if kind == "message" else "x", data=object() if kind == "data" else None)


@mcp.tool
async def ask(ctx: Context) -> str:
    return (await ctx.elicit("Who?", str)).action


@mcp.tool
async def late(ctx: Context) -> str:
    async def later() -> None:
        await asyncio.sleep(0)
        await ctx.elicitation_complete("1")

    asyncio.get_running_loop().create_task(later()).set_name("late")
    return "done"


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with run(mcp.http_app()) as running:
        yield f"http://127.0.0.1:{running.port}/mcp"


@pytest.mark.parametrize("era", ["modern", "handshake"])
@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("leave", {}),
        ("cancel_itself", {}),
        ("untellable", {"kind": "message"}),
        ("untellable", {"kind": "data"}),
    ],
)
async def test_whatever_a_tool_does_is_answered(
    http: httpx2.AsyncClient, site: str, era: str, tool: str, arguments: dict[str, Any]
) -> None:
    """Exiting, awaiting what was cancelled, an error that is no JSON: never a bare 500, and the server lives on."""
    body = call(tool, arguments, id=7)
    if era == "modern":
        headers, body = modern(body)
    else:
        headers = dict[str, str | None](await open_session(http, site))
    reply = await send(http, site, body, headers)
    assert reply.status == 200
    assert (reply.answer["id"], reply.error["code"]) == (7, -32603)
    headers, body = modern(call("notes", {"count": 0, "size": 0}))
    assert (await send(http, site, body, headers)).content == "done"


async def test_what_is_said_after_the_answer_goes_nowhere(http: httpx2.AsyncClient, site: str) -> None:
    session = await open_session(http, site)
    assert (await send(http, site, call("late"), session)).content == "done"
    assert (await send(http, site, call("notes", {"count": 1, "size": 1}), session)).content == "done"


async def test_a_replay_larger_than_the_buffer_arrives_whole(http: httpx2.AsyncClient) -> None:
    with run(mcp.http_app(event_store=MemoryEventStore())) as running:
        url = f"http://127.0.0.1:{running.port}/mcp"
        session = await open_session(http, url)
        whole = await send(http, url, call("notes", {"count": 60, "size": 50_000}), session)
        first = events_of(whole.text)[0]
        assert first.id is not None
        again = await send(http, url, headers={**session, "last-event-id": first.id}, method="GET")
        assert [event.id for event in again.events] == [event.id for event in whole.events[1:]]
        assert len(again.text) > 3_000_000


async def test_sessions_that_wait_for_their_clients_give_way(http: httpx2.AsyncClient) -> None:
    """A client that lets a question hang must not keep a place for ever."""
    app = mcp.http_app(max_sessions=2)
    with run(app) as running:
        url = f"http://127.0.0.1:{running.port}/mcp"
        session: dict[str, str] = {}
        for _ in range(2):
            session = await open_session(http, url, capabilities={"elicitation": {}})
            async with stream(http, url, call("ask"), session, method="POST") as events:
                assert (await events.message())["method"] == "elicitation/create"
        for _ in range(3):
            assert (await send(http, url, initialize())).status == 200
        running_calls = endpoint_of(app)._service.running
        await eventually(lambda: len(running_calls) == 1)  # the call of the session that gave way is over
        assert (await send(http, url, headers=session, method="DELETE")).status == 200
        await eventually(lambda: not running_calls)


async def test_a_token_is_good_for_its_own_provider_only(http: httpx2.AsyncClient) -> None:
    inner = FastMCP("inner", auth=StaticTokenVerifier({"inside": {"client_id": "b"}}))
    outer = StaticTokenVerifier({"outside": {"client_id": "a"}})
    app = create_streamable_http_app(FastMCP("outer"), "/mcp", auth=outer, routes=[Mount("/inner", inner.http_app())])
    with run(app) as running:
        headers, body = modern(body_of("tools/list"))
        url = f"http://127.0.0.1:{running.port}"
        for path, token, status in [
            ("/mcp", "outside", 200),
            ("/mcp", "inside", 401),
            ("/inner/mcp", "inside", 200),
            ("/inner/mcp", "outside", 401),
        ]:
            reply = await send(http, url + path, body, {**headers, "authorization": f"Bearer {token}"})
            assert reply.status == status, (path, token)


async def test_tokens_that_a_function_accepts_are_different_people() -> None:
    verifier = CallableTokenVerifier(lambda token: True)
    one, two = await verifier.verify_token("1"), await verifier.verify_token("2")
    assert one is not None
    assert two is not None
    assert one.principal != two.principal


def test_principals_do_not_run_into_each_other() -> None:
    one = AccessToken(token="t", client_id="a b", claims={"sub": "c"})
    two = AccessToken(token="t", client_id="a", claims={"sub": "b c"})
    assert one.principal != two.principal


async def test_one_allowed_name_is_no_list_of_letters(http: httpx2.AsyncClient) -> None:
    app = FastMCP("n").http_app(allowed_hosts="*.example.com", allowed_origins="https://*.example.com")
    with run(app) as running:
        url = f"http://127.0.0.1:{running.port}/mcp"
        for host, status in [("evil.test", 421), ("a.example.com", 200)]:
            assert (await send(http, url, initialize(), {"host": host})).status == status
        assert (await send(http, url, initialize(), {"origin": "http://evil.test"})).status == 403


async def test_signals_reach_the_server_whoever_stops_first() -> None:
    heard: list[str] = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append("server"))
    try:
        first, second = SignalChain(lambda: heard.append("first")), SignalChain(lambda: heard.append("second"))
        first.install()
        second.install()
        first.restore()
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(0)
        assert heard == ["server", "second"]
        first.install()  # it is started again while it still stands behind the other
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(0)
        assert sorted(heard[2:]) == ["first", "second", "server"]
        second.restore()
        first.restore()
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_a_lifespan_is_left_where_it_was_entered() -> None:
    """Its first user and its last are different tasks; a task group minds that."""
    tasks: list[asyncio.Task[Any] | None] = []

    @asynccontextmanager
    async def lifespan(server: FastMCP) -> AsyncGenerator[str]:
        async with asyncio.TaskGroup():
            tasks.append(asyncio.current_task())
            yield "open"
        tasks.append(asyncio.current_task())

    server = FastMCP("l", lifespan=lifespan)
    leave = asyncio.Event()

    async def use(until: asyncio.Event | None) -> Any:
        async with server.lifespan_context() as value:
            if until is not None:
                await until.wait()
            return value

    longer = asyncio.create_task(use(leave))
    await eventually(lambda: server.lifespan_running)
    assert await use(None) == "open"
    leave.set()
    assert await longer == "open"
    assert tasks[0] is tasks[1]
