"""The edge: Host and Origin on every route, three ways of serving."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
import pytest
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from headrace.server.auth import StaticTokenVerifier

from .probe import Log, make_server
from .servers import WAYS, Site, endpoint_of, eventually, run, serve
from .wire import call, initialize, modern, open_session, raw, send, stream

ADD = call("add", {"a": 2, "b": 3})


@dataclass(frozen=True, kw_only=True)
class Row:
    """Host and Origin of a request, and the status it gets; `{port}` is the server's."""

    status: int
    host: str | None = "127.0.0.1:{port}"
    origin: str | None = None


LOOPBACK = {
    # Host, on a loopback connection without a list
    "its own address": Row(status=200),
    "localhost": Row(status=200, host="localhost:{port}"),
    "localhost without port": Row(status=200, host="localhost"),
    "localhost in capitals": Row(status=200, host="LocalHost:{port}"),
    "ipv6 loopback": Row(status=200, host="[::1]:{port}"),
    "a rebound name": Row(status=421, host="evil.example"),
    "a rebound name with our port": Row(status=421, host="evil.example:{port}"),
    "a name that begins with localhost": Row(status=421, host="localhost.evil.example"),
    "a name that begins with an address": Row(status=421, host="127.0.0.1.evil.example"),
    "a name that ends with localhost": Row(status=421, host="evillocalhost"),
    "a user before the host": Row(status=421, host="localhost@evil.example"),
    "an empty host": Row(status=421, host=""),
    "two hosts": Row(status=421, host="localhost\r\nHost: evil.example"),
    "a host that cannot be parsed": Row(status=421, host="[::1"),
    # Origin
    "same origin": Row(status=200, origin="http://127.0.0.1:{port}"),
    "another loopback origin": Row(status=200, origin="http://localhost:3000"),
    "a loopback origin over https": Row(status=200, origin="https://localhost:3000"),
    "an ipv6 loopback origin": Row(status=200, origin="http://[::1]:3000"),
    "a foreign origin": Row(status=403, origin="https://evil.example"),
    "a foreign origin with our port": Row(status=403, origin="http://evil.example:{port}"),
    "the null origin": Row(status=403, origin="null"),
    "an empty origin": Row(status=403, origin=""),
    "an origin that begins with localhost": Row(status=403, origin="http://localhost.evil.example"),
    "an origin with a user": Row(status=403, origin="http://localhost@evil.example"),
    "an origin that is no url": Row(status=403, origin="localhost"),
    "an origin with another scheme": Row(status=403, origin="file://localhost"),
    "a browser extension": Row(status=403, origin="chrome-extension://abcdefghijklmnop"),
    "an origin with a path": Row(status=403, origin="http://localhost/evil"),
    "two origins": Row(status=403, origin="http://localhost\r\nOrigin: https://evil.example"),
    # Both
    "both wrong": Row(status=403, host="evil.example", origin="https://evil.example"),
    "the same foreign host and origin": Row(status=403, host="evil.example", origin="http://evil.example"),
    "a foreign host and a loopback origin": Row(status=421, host="evil.example", origin="http://localhost"),
}


@pytest.fixture(scope="module", params=WAYS)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with serve(request.param) as site:
        yield site


@pytest.fixture(scope="module", params=WAYS[:2])
def routed(request: pytest.FixtureRequest) -> Iterator[Site]:
    """Served with other routes beside the endpoint."""
    with serve(request.param) as site:
        yield site


async def _get(site: Site, row: Row, path: str, method: str = "GET", *, version: str = "1.1"):
    lines = [f"{method} {path} HTTP/{version}", "Connection: close", "Accept: application/json, text/event-stream"]
    content = b""
    if method == "POST":
        headers, body = modern(ADD)
        content = json.dumps(body).encode()
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
    if row.host is not None:
        lines.append(f"Host: {row.host.format(port=site.port)}")
    if row.origin is not None:
        lines.append(f"Origin: {row.origin.format(port=site.port)}")
    return await raw(site.port, "\r\n".join([*lines, "", ""]).encode() + content)


@pytest.mark.parametrize("row", LOOPBACK.values(), ids=LOOPBACK.keys())
async def test_host_and_origin_on_loopback(row: Row, site: Site) -> None:
    before = await site.residue()
    answer = await _get(site, row, site.path, "POST")
    assert answer.status == row.status, answer.body
    if row.status != 200:
        assert answer.json["error"]["code"] == -32600
        assert ("allowed_hosts" if row.status == 421 else "allowed_origins") in answer.json["error"]["message"]
    await site.left_nothing(before)


@pytest.mark.parametrize("row", LOOPBACK.values(), ids=LOOPBACK.keys())
async def test_host_and_origin_on_every_route(row: Row, routed: Site) -> None:
    answer = await _get(routed, row, routed.path.removesuffix("/mcp") + "/health")
    assert answer.status == row.status
    missing = await _get(routed, row, routed.path.removesuffix("/mcp") + "/nothing")
    assert missing.status == (404 if row.status == 200 else row.status)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
async def test_the_guard_comes_first(method: str, site: Site) -> None:
    row = Row(status=403, origin="https://evil.example")
    assert (await _get(site, row, site.path, method)).status == 403


async def test_http_1_0_without_host(site: Site) -> None:
    answer = await _get(site, Row(status=421, host=None), site.path, "POST", version="1.0")
    assert answer.status == 421


LISTED = {
    "listed host": Row(status=200, host="mcp.example.com"),
    "listed host with a port": Row(status=200, host="mcp.example.com:8443"),
    "listed host in capitals": Row(status=200, host="MCP.Example.COM"),
    "wildcard host": Row(status=200, host="a.tenants.example.com"),
    "loopback stays allowed": Row(status=200, host="127.0.0.1:{port}"),
    "listed with a port, another port": Row(status=421, host="ported.example.com:1"),
    "listed with a port": Row(status=200, host="ported.example.com:8443"),
    "the wildcard's own domain": Row(status=421, host="tenants.example.com"),
    "unlisted host": Row(status=421, host="evil.example"),
    "behind a listed name": Row(status=421, host="mcp.example.com.evil.example"),
    "listed origin": Row(status=200, origin="https://app.example.com"),
    "listed origin in capitals": Row(status=200, origin="HTTPS://App.Example.com"),
    "listed origin over http": Row(status=403, origin="http://app.example.com"),
    "listed origin with a port": Row(status=403, origin="https://app.example.com:444"),
    "wildcard origin": Row(status=200, origin="https://x.apps.example.com"),
    "same origin on an allowed host": Row(status=200, host="mcp.example.com", origin="http://mcp.example.com"),
    "same origin behind tls": Row(status=200, host="mcp.example.com", origin="https://mcp.example.com"),
    "same host, other port": Row(status=403, host="mcp.example.com", origin="http://mcp.example.com:81"),
    "same origin on an unlisted host": Row(status=403, host="evil.example", origin="http://evil.example"),
    "listed origin on an unlisted host": Row(status=421, host="evil.example", origin="https://app.example.com"),
}


@pytest.fixture(scope="module", params=WAYS)
def listed(request: pytest.FixtureRequest) -> Iterator[Site]:
    with serve(
        request.param,
        allowed_hosts=("mcp.example.com", "*.tenants.example.com", "ported.example.com:8443"),
        allowed_origins=("https://app.example.com", "https://*.apps.example.com"),
    ) as site:
        yield site


@pytest.mark.parametrize("row", LISTED.values(), ids=LISTED.keys())
async def test_lists_of_hosts_and_origins(row: Row, listed: Site) -> None:
    assert (await _get(listed, row, listed.path, "POST")).status == row.status


def public(app: ASGIApp) -> ASGIApp:
    """The app as it is seen on a public address: what the server says of its own end of the connection."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "server": ("192.0.2.7", 80)}
        await app(scope, receive, send)

    return wrapped


PUBLIC = {
    "any host": Row(status=200, host="whatever.example"),
    "two hosts": Row(status=400, host="whatever.example\r\nHost: evil.example"),
    "no list, same origin": Row(status=200, host="whatever.example", origin="https://whatever.example"),
    "no list, foreign origin": Row(status=403, host="whatever.example", origin="https://evil.example"),
    "no list, loopback origin": Row(status=403, host="whatever.example", origin="http://localhost:3000"),
    "null origin": Row(status=403, host="whatever.example", origin="null"),
}


@pytest.mark.parametrize("row", PUBLIC.values(), ids=PUBLIC.keys())
async def test_host_and_origin_on_a_public_bind(row: Row) -> None:
    log = Log()
    mcp = make_server(log)
    app = mcp.http_app()
    with run(public(app)) as running:
        site = Site("public", running.port, "/mcp", running.loop, mcp, log, endpoint_of(app))
        assert (await _get(site, row, "/mcp", "POST")).status == row.status
        assert (await _get(site, row, "/health")).status == row.status


SETTINGS = {
    "hosts": ("HEADRACE_ALLOWED_HOSTS", "app.example, other.example", Row(status=200, host="app.example")),
    "origins": ("HEADRACE_ALLOWED_ORIGINS", "https://app.example", Row(status=200, origin="https://app.example")),
}


@pytest.mark.parametrize(("variable", "value", "row"), SETTINGS.values(), ids=SETTINGS.keys())
async def test_the_lists_are_settings_too(variable: str, value: str, row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with serve() as site:
        assert (await _get(site, row, site.path, "POST")).status == 200


# Who may read the answer is the browser's concern: CORS of the user's own


async def test_cors_answers_preflights_and_decorates_refusals(http: httpx2.AsyncClient) -> None:
    cors = Middleware(
        CORSMiddleware,
        allow_origins=["https://app.example"],
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["mcp-session-id", "www-authenticate"],
    )
    auth = StaticTokenVerifier({"secret": {"client_id": "alice"}})
    with serve(server={"auth": auth}, middleware=[cors], allowed_origins=("https://app.example",)) as site:
        origin = {"origin": "https://app.example"}
        preflight = await send(
            http,
            site.url,
            headers={
                **origin,
                "access-control-request-method": "POST",
                "access-control-request-headers": "authorization, mcp-param-region, mcp-protocol-version",
            },
            method="OPTIONS",
        )
        assert preflight.status == 200
        assert preflight.headers["access-control-allow-origin"] == "https://app.example"
        assert "mcp-param-region" in preflight.headers["access-control-allow-headers"]
        refused = await send(http, site.url, initialize(), origin)
        assert refused.status == 401
        assert refused.headers["access-control-allow-origin"] == "https://app.example"
        assert "www-authenticate" in refused.headers["access-control-expose-headers"].lower()
        opened = await send(http, site.url, initialize(), {**origin, "authorization": "Bearer secret"})
        assert opened.status == 200
        assert "mcp-session-id" in opened.headers
        assert opened.headers["access-control-allow-origin"] == "https://app.example"


# Shutdown of an embedded app


async def test_drain_ends_streams_properly_and_lets_calls_finish(http: httpx2.AsyncClient) -> None:
    with serve() as site:
        session = await open_session(http, site.url)
        headers, body = modern(
            {"jsonrpc": "2.0", "id": 9, "method": "subscriptions/listen", "params": {"notifications": {}}}
        )
        async with (
            stream(http, site.url, headers=session) as get,
            stream(http, site.url, body, headers, method="POST") as listen,
        ):
            await listen.message()
            waiting = asyncio.create_task(send(http, site.url, call("wait", {"name": "drain"}), session))
            await eventually(lambda: "drain" in site.log.started)
            site.loop.call_soon_threadsafe(site.endpoint.drain)
            final = await listen.message()
            assert final["id"] == 9
            assert final["result"]["resultType"] == "complete"
            assert final["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == 9
            await listen.ended()
            await get.ended()
            assert not waiting.done()
            # A stream that opens now is told to come again, or ends at once.
            late = await send(http, site.url, body, headers)
            assert late.status == 503
            ended = await send(http, site.url, headers=session, method="GET")
            assert (ended.status, ended.text) == (200, "")
            await site.release(http, "drain")
            assert (await waiting).content == "waited drain"


async def test_calls_that_do_not_finish_are_stopped(http: httpx2.AsyncClient) -> None:
    with serve() as site:
        session = await open_session(http, site.url)
        headers, body = modern(call("wait", {"name": "modern"}))
        waiting = [
            asyncio.create_task(send(http, site.url, call("wait", {"name": "session"}), session)),
            asyncio.create_task(send(http, site.url, body, headers)),
        ]
        await eventually(lambda: len(site.log.started) == 2)
        site.loop.call_soon_threadsafe(site.endpoint.drain, 0.1)
        for each in waiting:
            reply = await each
            assert (reply.error["code"], reply.json["id"]) == (-32603, 1)
            assert "shutting down" in reply.error["message"]
        assert sorted(site.log.cancelled) == ["modern", "session"]


async def test_a_drained_app_that_starts_again_stops_no_new_call(http: httpx2.AsyncClient) -> None:
    with serve() as site:
        site.loop.call_soon_threadsafe(site.endpoint.drain, 0.2)
        site.loop.call_soon_threadsafe(site.endpoint.reopen)
        headers, body = modern(call("wait", {"name": "reopened"}))
        waiting = asyncio.create_task(send(http, site.url, body, headers))
        await eventually(lambda: "reopened" in site.log.started)
        await asyncio.sleep(0.4)  # past the first drain's grace
        assert not waiting.done()
        await site.release(http, "reopened")
        assert (await waiting).content == "waited reopened"
