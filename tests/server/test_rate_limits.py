"""Rate limits: what a bucket lets through, who is counted together, and what the one hears who comes too often."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from headrace import FastMCP
from headrace.client import Client
from headrace.exceptions import McpError
from headrace.server.auth import AccessToken, CallableTokenVerifier, StaticTokenVerifier
from headrace.settings import Settings
from headrace.state.memory import MemoryEventStore
from headrace.state.rates import Buckets, RateLimit, caller_of, network_of
from headrace.testing import StreamingASGITransport
from headrace.tools import Tool

from ..http.addresses import clients
from ..http.servers import run
from ..http.wire import Reply, body_of, call, initialize, modern, open_session, send, stream

TOKENS = {"ann": {"client_id": "ann"}, "ann-2": {"client_id": "ann"}, "ben": {"client_id": "ben"}}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


# Buckets


@pytest.mark.parametrize(
    ("text", "per_second", "burst"),
    [
        ("10/s", 10, 10),
        ("600/m", 10, 10),
        ("36000/h", 10, 10),
        ("10/s:50", 10, 50),
        ("1/m", 1 / 60, 1),
        ("2/h:3", 2 / 3600, 3),
    ],
)
def test_how_rates_are_written(text: str, per_second: float, burst: int) -> None:
    limit = RateLimit.of(text)
    assert limit.per_second == pytest.approx(per_second)
    assert limit.burst == burst
    assert RateLimit.of(limit) is limit
    assert Settings.load({"HEADRACE_RATE_LIMIT": text}, None).rate_limit == text


@pytest.mark.parametrize(
    "text", ["", "10", "0/s", "10/d", "10 / s", "-1/s", "1.5/s", "10/s:", "10/s:0", "\u0661/s", "10/s\n"]
)
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match="like 10/s, 600/m or 10/s:50"):
        RateLimit.of(text)
    if text.strip() == text and text:
        with pytest.raises(ValueError, match="HEADRACE_RATE_LIMIT must be like 10/s"):
            Settings.load({"HEADRACE_RATE_LIMIT": text}, None)
    with pytest.raises(ValueError, match="like 10/s"):
        Tool.from_function(lambda: 1, "one", rate_limit=text)


def test_a_bucket() -> None:
    clock = Clock()
    buckets = Buckets(RateLimit(2, burst=4), clock=clock)
    assert [buckets.take("a") for _ in range(4)] == [0.0] * 4
    assert buckets.take("a") == pytest.approx(0.5)
    assert buckets.take("b") == 0.0, "each caller has one"
    clock.now += 0.4
    assert buckets.take("a") == pytest.approx(0.1), "what is refused costs nothing"
    clock.now += 0.1
    assert buckets.take("a") == 0.0
    assert buckets.take("a") == pytest.approx(0.5)
    buckets.give_back("a")
    assert [bool(buckets.take("a")) for _ in range(2)] == [False, True]
    clock.now += 60
    assert [bool(buckets.take("a")) for _ in range(5)] == [False] * 4 + [True], "no more than a burst is saved up"


def test_over_a_long_time_the_rate_is_the_rate() -> None:
    clock = Clock()
    buckets = Buckets(RateLimit(10, burst=5), clock=clock)
    passed = 0
    for _ in range(6000):
        clock.now += 0.01
        passed += not buckets.take("a")
    assert passed == pytest.approx(10 * 60 + 5, abs=2)


def test_callers_are_forgotten() -> None:
    clock = Clock()
    buckets = Buckets(RateLimit(10, burst=10), clock=clock, max_callers=100)
    for number in range(1000):
        clock.now += 0.5  # each bucket is full again by then
        buckets.take(f"caller {number}")
    assert len(buckets) <= 2, "a full bucket is nothing to remember"
    for number in range(1000):
        buckets.take(f"caller {number}")
    assert len(buckets) == 100
    for _ in range(50):
        buckets.take("caller 999")
    assert buckets.take("caller 999") > 0, "the last one is remembered"


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.1", "network 192.0.2.1"),
        ("::ffff:192.0.2.1", "network 192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "network 2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "network 2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "network 2001:db8:1:3::/64"),
        ("fe80::1%eth0", "network fe80::/64"),
        ("testclient", "host testclient"),
    ],
)
def test_who_is_counted_together(host: str, network: str) -> None:
    assert network_of(host) == caller_of(None, {"client": (host, 1)}) == network
    assert caller_of(host, {"client": (host, 1)}) == f"principal {host}"
    assert caller_of(None, {"client": None}) == caller_of(None, None) == "local"


# Over HTTP


def server(**options: Any) -> FastMCP:
    mcp = FastMCP("limited", **options)

    @mcp.tool
    def free() -> str:
        return "free"

    @mcp.tool(rate_limit="1/h:2")
    def dear() -> str:
        return "dear"

    @mcp.tool(rate_limit="1/h:2")
    def other() -> str:
        return "other"

    @mcp.custom_route("/health", methods=["GET"])
    async def health(request: Request) -> Response:
        return PlainTextResponse("well")

    return mcp


async def ask(client: httpx2.AsyncClient, body: dict[str, Any] | None = None) -> Reply:
    headers, sent = modern(body or call("free"))
    return await send(client, "/mcp", sent, headers)


def refused(reply: Reply) -> bool:
    if reply.status != 429:
        return False
    assert reply.error["code"] == -32600
    assert reply.error["message"].startswith("Too many requests: try again in ")
    assert int(reply.headers["retry-after"]) > 0
    return True


async def test_an_address() -> None:
    async with clients(server(), rate_limit="1/h:3") as found:
        one, two, three = found.at("192.0.2.1"), found.at("192.0.2.2"), found.at("2001:db8::1")
        assert [(await ask(one)).status for _ in range(3)] == [200] * 3
        for _ in range(3):
            reply = await ask(one)
            assert refused(reply)
            assert 3500 < int(reply.headers["retry-after"]) <= 3600
        assert (await ask(two)).status == 200
        assert [(await ask(three)).status for _ in range(3)] == [200] * 3
        assert refused(await ask(found.at("2001:db8::ffff:1"))), "one subscriber has a whole /64"
        assert (await ask(found.at("2001:db8:0:1::1"))).status == 200


async def test_a_bucket_fills_again() -> None:
    async with clients(server(), rate_limit="20/s:1") as found:
        one = found.at("192.0.2.1")
        assert (await ask(one)).status == 200
        for _ in range(100):
            if (await ask(one)).status == 200:
                return
            await asyncio.sleep(0.01)
    pytest.fail("never again")


async def test_every_kind_of_request_is_counted() -> None:
    async with clients(server(), rate_limit="1/h:6") as found:
        one = found.at("192.0.2.1")
        session = await open_session(one, "/mcp")  # two
        assert (await send(one, "/mcp", call("free"), session)).status == 200
        assert (await send(one, "/mcp", b"{", session)).status == 400
        assert (await send(one, "/health", method="GET")).status == 200
        assert (await send(one, "/mcp/", call("free"), session)).status == 200
        for method, path in (
            ("POST", "/mcp"),
            ("GET", "/mcp"),
            ("DELETE", "/mcp/"),
            ("GET", "/health"),
            ("GET", "/none"),
        ):
            assert refused(await send(one, path, method=method, headers=session)), (method, path)
        assert (await send(found.at("192.0.2.2"), "/mcp", method="DELETE", headers=session)).status == 200


async def test_a_principal_wherever_it_is() -> None:
    mcp = server(auth=StaticTokenVerifier(TOKENS))
    async with clients(mcp, rate_limit="1/h:2") as found:
        assert (await ask(found.at("192.0.2.1", "ann"))).status == 200
        assert (await ask(found.at("192.0.2.2", "ann-2"))).status == 200
        assert refused(await ask(found.at("192.0.2.3", "ann")))
        assert (await ask(found.at("192.0.2.3", "ben"))).status == 200, "the address is not held responsible"


async def test_guessing_tokens_ends_before_the_verifier() -> None:
    asked: list[str] = []

    def verify(token: str) -> AccessToken | None:
        asked.append(token)
        return AccessToken(token=token, client_id="ann") if token == "ann" else None

    async with clients(server(auth=CallableTokenVerifier(verify)), rate_limit="1/h:3") as found:
        guesses = [await ask(found.at("192.0.2.1", f"guess-{number}")) for number in range(5)]
        assert [reply.status for reply in guesses] == [401, 401, 401, 429, 429]
        assert asked == ["guess-0", "guess-1", "guess-2"]
        assert (await ask(found.at("192.0.2.1", "ann"))).status == 429, "the address is shut for its time"
        assert (await ask(found.at("192.0.2.2", "ann"))).status == 200


async def test_guesses_at_once_reach_the_verifier_no_more_often() -> None:
    asked: list[str] = []

    async def verify(token: str) -> AccessToken | None:
        asked.append(token)
        await asyncio.sleep(0)
        return None

    async with clients(server(auth=CallableTokenVerifier(verify)), rate_limit="1/h:3") as found:
        replies = await asyncio.gather(*(ask(found.at("192.0.2.1", f"guess-{number}")) for number in range(20)))
    assert sorted(reply.status for reply in replies) == [401] * 3 + [429] * 17
    assert len(asked) == 3


async def test_a_verifier_that_is_out_of_order_costs_nobody_anything() -> None:
    def verify(token: str) -> AccessToken | None:
        raise ConnectionError

    async with clients(server(auth=CallableTokenVerifier(verify)), rate_limit="1/h:2") as found:
        assert [(await ask(found.at("192.0.2.1", "ann"))).status for _ in range(4)] == [503] * 4


async def test_the_body_is_not_read_for_a_refusal() -> None:
    app = server().http_app(rate_limit="1/h:1")
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("read")

    async def collect(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": "/mcp",
        "scheme": "http", "root_path": "", "query_string": b"", "client": ("192.0.2.1", 1), "server": ("127.0.0.1", 80),
        "headers": [(b"host", b"127.0.0.1"), (b"content-length", b"100000")],
    }  # fmt: skip
    async with app.lifespan(app):
        await ask(httpx2.AsyncClient(transport=StreamingASGITransport(app), base_url="http://127.0.0.1"))
        for expected in (406, 429):  # the first one is refused for its Accept
            sent.clear()
            await app({**scope}, receive, collect)
            assert sent[0]["status"] == expected


async def test_with_middleware_of_the_user_s_a_request_is_counted_once() -> None:
    class Nothing:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await self.app(scope, receive, send)

    async with clients(server(), rate_limit="1/h:2", middleware=[Middleware(Nothing)]) as found:
        one = found.at("192.0.2.1")
        assert [(await ask(one)).status for _ in range(3)] == [200, 200, 429]
        assert refused(await send(one, "/health", method="GET"))


async def test_sse() -> None:
    with run(server().http_app(transport="sse", rate_limit="1/h:3")) as running:
        origin = f"http://127.0.0.1:{running.port}"
        async with httpx2.AsyncClient(trust_env=False) as http, stream(http, f"{origin}/sse") as events:
            messages = origin + (await events.next()).data
            assert (await send(http, messages, initialize())).status == 202
            assert (await send(http, messages, call("free"))).status == 202
            assert refused(await send(http, messages, call("free")))
            assert refused(await send(http, f"{origin}/sse", method="GET"))
            assert refused(await send(http, f"{origin}/health", method="GET"))


async def test_without_a_limit_nothing_is_counted() -> None:
    assert Settings().rate_limit is None
    async with clients(server()) as found:
        one = found.at("192.0.2.1")
        assert {(await ask(one)).status for _ in range(300)} == {200}


@pytest.mark.parametrize("options", [{}, {"transport": "sse"}])
def test_a_limit_that_is_none_is_told_when_the_app_is_made(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="A rate limit is written like"):
        server().http_app(rate_limit="fast", **options)


# One tool


@pytest.mark.parametrize("stateless", [False, True])
async def test_a_tool(stateless: bool) -> None:
    async with clients(server(), stateless_http=stateless) as found:
        one = found.at("192.0.2.1")
        assert [(await ask(one, call("dear"))).status for _ in range(3)] == [200, 200, 429]
        reply = await ask(one, call("dear", id="mine"))
        assert refused(reply)
        assert reply.answer["id"] == "mine"
        assert (await ask(one, call("other"))).status == 200, "each tool has buckets of its own"
        assert (await ask(one, call("free"))).status == 200
        assert (await ask(found.at("192.0.2.2"), call("dear"))).status == 200
        session = {} if stateless else await open_session(one, "/mcp")
        assert refused(await send(one, "/mcp", call("dear"), session)), "in every revision"


async def test_a_tool_of_a_principal() -> None:
    async with clients(server(auth=StaticTokenVerifier(TOKENS))) as found:
        for token, statuses in (("ann", [200, 200, 429]), ("ann-2", [429]), ("ben", [200])):
            one = found.at("192.0.2.1", token)
            assert [(await ask(one, call("dear"))).status for _ in statuses] == statuses


async def test_a_tool_in_a_batch_and_on_a_stream() -> None:
    async with clients(server(), event_store=MemoryEventStore()) as found:
        one = found.at("192.0.2.1")
        session = await open_session(one, "/mcp", "2025-03-26")
        batch = [call("dear", id=number) for number in range(3)]
        replies = (await send(one, "/mcp", batch, session)).messages
        assert sorted(reply.get("error", {}).get("code", 0) for reply in replies) == [-32600, 0, 0]
        assert refused(await send(one, "/mcp", call("dear"), session)), "the stream has not begun"


async def test_a_tool_in_memory() -> None:
    async with Client(server()) as client:
        assert [(await client.call_tool("dear")).data for _ in range(2)] == ["dear", "dear"]
        with pytest.raises(McpError, match="Too many requests: try again in "):
            await client.call_tool("dear")


async def test_lists_do_not_count() -> None:
    async with clients(server()) as found:
        one = found.at("192.0.2.1")
        assert {(await ask(one, body_of("tools/list"))).status for _ in range(9)} == {200}
        assert (await ask(one, call("dear"))).status == 200
