"""The request as functions see it: of this very call, in threads too, and nothing outside of one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import httpx2
import pytest
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from headrace import Client
from headrace.protocol.types import TextContent
from headrace.server.dependencies import get_context, get_http_headers, get_http_request
from headrace.server.http import RequestContextMiddleware, set_http_request

from .probe import Log, make_server
from .servers import WAYS, Site, Way, eventually, run, serve
from .wire import call, modern, open_session, send

ERAS = ["handshake", "modern"]


@pytest.fixture(scope="module", params=WAYS)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with serve(request.param) as site:
        yield site


async def ask(http: httpx2.AsyncClient, site: Site, era: str, body, headers=None):
    if era == "modern":
        own, body = modern(body)
    else:
        own = await open_session(http, site.url, headers={"x-probe": "the handshake's"})
    reply = await send(http, site.url, body, {**own, **(headers or {})})
    if era == "handshake":
        await send(http, site.url, headers=own, method="DELETE")
    return reply


@pytest.mark.parametrize("era", ERAS)
async def test_the_request_is_that_of_this_call(era: str, http: httpx2.AsyncClient, site: Site) -> None:
    """Not the one that opened the session."""
    reply = await ask(http, site, era, call("seen"), {"x-probe": "mine"})
    assert json.loads(reply.content) == {"method": "POST", "path": site.path, "probe": "mine"}


@pytest.mark.parametrize("era", ERAS)
async def test_the_same_in_a_worker_thread(era: str, http: httpx2.AsyncClient, site: Site) -> None:
    seen = json.loads((await ask(http, site, era, call("seen_in_thread"), {"x-probe": "mine"})).content)
    assert seen["probe"] == "mine"
    assert seen["thread"] != "server", "a sync function must not block the loop"


async def test_calls_at_the_same_time_see_their_own(http: httpx2.AsyncClient, site: Site) -> None:
    replies = await asyncio.gather(
        *(ask(http, site, "modern", call("seen_in_thread"), {"x-probe": str(number)}) for number in range(20))
    )
    assert [json.loads(reply.content)["probe"] for reply in replies] == [str(number) for number in range(20)]


async def test_headers(http: httpx2.AsyncClient, site: Site) -> None:
    sent = {"X-Probe": "1", "authorization": "Bearer secret", "cookie": "a=1", "te": "trailers", "x-other": "two"}
    left_out = {"authorization", "cookie", "te", "connection", "host", "content-length", "transfer-encoding"}
    plain = json.loads((await ask(http, site, "modern", call("headers"), sent)).content)
    assert plain["x-probe"] == "1"
    assert plain["x-other"] == "two"
    assert not left_out & plain.keys()
    assert all(name == name.lower() for name in plain)
    every = json.loads((await ask(http, site, "modern", call("headers", {"include_all": True}), sent)).content)
    assert {"authorization", "cookie", "host"} <= every.keys()
    some = json.loads((await ask(http, site, "modern", call("headers", {"include": ["Authorization"]}), sent)).content)
    assert some["authorization"] == "Bearer secret"
    assert "cookie" not in some


async def test_a_sync_tool_blocks_nobody(http: httpx2.AsyncClient, site: Site) -> None:
    site.log.thread_gate.clear()
    name = f"block-{site.way}"
    headers, body = modern(call("block", {"name": name}))
    blocked = asyncio.create_task(send(http, site.url, body, headers))
    await eventually(lambda: name in site.log.started)
    assert (await asyncio.wait_for(ask(http, site, "modern", call("add", {"a": 1, "b": 1})), 2)).content == "2"
    assert not blocked.done()
    site.log.thread_gate.set()
    assert (await blocked).content == f"unblocked {name}"


async def test_nobody_is_authenticated_without_auth(http: httpx2.AsyncClient, site: Site) -> None:
    reply = await ask(http, site, "modern", call("who"), {"authorization": "Bearer whatever"})
    assert reply.content == "nobody"


@pytest.mark.parametrize("way", WAYS[:2])
async def test_a_custom_route_sees_its_request(way: Way, http: httpx2.AsyncClient) -> None:
    with serve(way) as site:
        url = site.url.removesuffix("/mcp") + "/health"
        assert (await send(http, url, headers={"x-probe": "mine"}, method="GET")).json == {"seen": "mine"}


async def test_middleware_sees_the_request(http: httpx2.AsyncClient) -> None:
    seen: list[str] = []

    class Sees:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                seen.append(get_http_request().url.path)
                seen.append(get_http_headers()["x-probe"])
            await self.app(scope, receive, send)

    with serve(middleware=[Middleware(Sees)]) as site:
        reply = await ask(http, site, "modern", call("seen"), {"x-probe": "mine"})
        assert json.loads(reply.content)["probe"] == "mine"
    assert seen == ["/mcp", "mine"]


# Without a request


def test_outside_of_a_request() -> None:
    with pytest.raises(RuntimeError, match="No active HTTP request"):
        get_http_request()
    with pytest.raises(RuntimeError, match="No active context"):
        get_context()
    assert get_http_headers() == {}


async def test_in_memory_there_is_no_request() -> None:
    async with Client(make_server(Log())) as client:
        headers = await client.call_tool("headers")
        (content,) = headers.content
        assert isinstance(content, TextContent)
        assert json.loads(content.text) == {}
        with pytest.raises(Exception, match="No active HTTP request"):
            await client.call_tool("seen")


# set_http_request and RequestContextMiddleware


def _request(path: str) -> Request:
    return Request({"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""})


def test_set_http_request_nests_and_resets() -> None:
    outer, inner = _request("/outer"), _request("/inner")
    with set_http_request(outer) as given:
        assert given is outer
        assert get_http_request() is outer
        with set_http_request(inner):
            assert get_http_request() is inner
        assert get_http_request() is outer
    with pytest.raises(RuntimeError):
        get_http_request()


def test_set_http_request_resets_on_error() -> None:
    with pytest.raises(KeyError), set_http_request(_request("/")):
        raise KeyError
    with pytest.raises(RuntimeError):
        get_http_request()


async def test_request_context_around_a_bare_app(http: httpx2.AsyncClient) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = get_http_request().headers["x-probe"].encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    with run(RequestContextMiddleware(app), lifespan="off") as running:
        reply = await send(http, f"http://127.0.0.1:{running.port}/", headers={"x-probe": "bare"}, method="GET")
        assert reply.text == "bare"


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
async def test_request_context_leaves_other_scopes_alone(kind: str) -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        with pytest.raises(RuntimeError):
            get_http_request()

    async def nothing(*_):
        raise AssertionError("neither receives nor sends")

    scope = {"type": kind}
    await RequestContextMiddleware(app)(scope, nothing, nothing)
    assert seen == [scope]
    assert seen[0] is scope
