"""HTTP+SSE of 2024-11-05: its own app, by itself and mounted."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from headrace.server.auth import StaticTokenVerifier
from headrace.server.http import create_sse_app
from headrace.transports.http.sse_legacy import SseEndpoint

from .probe import Log, make_server
from .servers import eventually, run
from .wire import Events, body_of, call, initialize, raw, send, stream

ADD = call("add", {"a": 2, "b": 3}, id=7)


@dataclass
class SseSite:
    port: int
    prefix: str
    log: Log
    endpoint: SseEndpoint

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.origin}{self.prefix}/sse"

    def messages(self, session_id: str) -> str:
        return f"{self.origin}{self.prefix}/messages/?session_id={session_id}"

    async def empty(self) -> None:
        """Every session is gone, and its calls with it."""
        endpoint = self.endpoint
        await eventually(lambda: not endpoint._sessions and not endpoint._notices._listeners)


@contextmanager
def serve_sse(mounted: bool = False, **server: Any) -> Iterator[SseSite]:
    log = Log()
    app = make_server(log, **server).http_app(transport="sse")
    endpoint = app.drains[0].__self__  # type: ignore[attr-defined]
    assert isinstance(endpoint, SseEndpoint)
    parent = Starlette(routes=[Mount("/old api", app)], lifespan=app.lifespan) if mounted else app
    with run(parent) as running:
        yield SseSite(running.port, "/old%20api" if mounted else "", log, endpoint)


@pytest.fixture(scope="module", params=[False, True], ids=["app", "mounted"])
def site(request: pytest.FixtureRequest) -> Iterator[SseSite]:
    with serve_sse(request.param) as site:
        yield site


@dataclass
class Connection:
    """One client: its stream, and where it posts."""

    http: httpx2.AsyncClient
    url: str
    events: Events

    @property
    def session_id(self) -> str:
        return self.url.rpartition("=")[2]

    async def post(self, body: Any, headers: Any = None):
        return await send(self.http, self.url, body, {"accept": None, **(headers or {})})

    async def ask(self, body: Any) -> dict[str, Any]:
        """Post a request; its answer, which is the next message."""
        accepted = await self.post(body)
        assert (accepted.status, accepted.text) == (202, "")
        answer = await self.events.message()
        assert answer["id"] == body["id"]
        return answer

    async def refused(self, body: Any) -> dict[str, Any]:
        """Post a request that can't be served now: the error, in the answer to the POST or on the stream."""
        reply = await self.post(body)
        assert reply.status in (202, 400)
        message = reply.json if reply.status == 400 else await self.events.message()
        assert message["id"] == body["id"]
        return message["error"]

    async def handshake(self, version: str = "2024-11-05", **options: Any) -> dict[str, Any]:
        result = (await self.ask(initialize(version, **options)))["result"]
        assert (await self.post(body_of("notifications/initialized", id=...))).status == 202
        return result


@asynccontextmanager
async def connect(http: httpx2.AsyncClient, site: SseSite, headers: Any = None) -> AsyncGenerator[Connection]:
    async with stream(http, site.url, headers={"accept": "text/event-stream", **(headers or {})}) as events:
        assert events.headers["content-type"] == "text/event-stream"
        first = await events.next()
        assert first.event == "endpoint"
        yield Connection(http, site.origin + first.data, events)


async def test_the_stream_begins_with_the_endpoint(http: httpx2.AsyncClient, site: SseSite) -> None:
    async with connect(http, site) as client:
        path = client.url.removeprefix(site.origin)
        assert re.fullmatch(re.escape(site.prefix) + r"/messages/\?session_id=[0-9a-f]{32}", path)
        async with connect(http, site) as other:
            assert other.session_id != client.session_id
    await site.empty()


async def test_a_whole_conversation(http: httpx2.AsyncClient, site: SseSite) -> None:
    async with connect(http, site) as client:
        result = await client.handshake()
        assert result["protocolVersion"] == "2024-11-05"
        answer = await client.ask(ADD)
        assert answer["result"]["content"][0]["text"] == "5"
        assert "structuredContent" not in answer["result"]
        assert (await client.ask(body_of("ping", id="p")))["result"] == {}
        assert (await client.ask(body_of("tools/burn", id=9)))["error"]["code"] == -32601
        assert (await client.ask(call("nothing", id=10)))["error"]["code"] == -32602
        assert (await client.ask(call("fail", id=11)))["result"]["isError"] is True
        await client.post(call("notes", id=12))
        for number in range(2):
            note = await client.events.message()
            assert note["params"]["data"]["msg"] == f"note {number}"
        assert (await client.events.message())["id"] == 12
    await site.empty()


async def test_messages_are_events_named_message(http: httpx2.AsyncClient, site: SseSite) -> None:
    async with connect(http, site) as client:
        await client.post(initialize())
        event = await client.events.next()
        assert (event.event, event.id, event.retry) == ("message", None, None)


@pytest.mark.parametrize(
    ("asked", "agreed"),
    [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2099-01-01", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
    ],
)
async def test_any_handshake_revision(asked: str, agreed: str, http: httpx2.AsyncClient, site: SseSite) -> None:
    async with connect(http, site) as client:
        assert (await client.handshake(asked))["protocolVersion"] == agreed
        structured = agreed in ("2025-06-18", "2025-11-25")
        assert ("structuredContent" in (await client.ask(ADD))["result"]) == structured


@dataclass(frozen=True)
class Row:
    status: int
    code: int = -32600
    body: Any = None
    query: str | None = "session_id={id}"
    method: str = "POST"
    headers: dict[str, str | None] | None = None
    allow: str | None = None


REFUSALS = {
    "no session id": Row(400, query=None, body=ADD),
    "empty session id": Row(400, query="session_id=", body=ADD),
    "malformed session id": Row(400, query="session_id=../../etc", body=ADD),
    "session id in capitals": Row(400, query="session_id=" + "A" * 32, body=ADD),
    "two session ids": Row(400, query="session_id={id}&session_id={id}", body=ADD),
    "unknown session id": Row(404, query="session_id=" + "0" * 32, body=ADD),
    "broken json": Row(400, -32700, body=b"{"),
    "nothing": Row(400, -32700, body=b""),
    "no message": Row(400, body=b"{}"),
    "a batch": Row(400, body=[ADD]),
    "a null id": Row(400, body=b'{"jsonrpc":"2.0","id":null,"method":"ping"}'),
    "no content type": Row(415, body=ADD, headers={"content-type": None}),
    "text": Row(415, body=ADD, headers={"content-type": "text/plain"}),
    **{f"{method} to the messages": Row(405, method=method, allow="POST") for method in ("GET", "PUT", "DELETE")},
}


@pytest.mark.parametrize("row", REFUSALS.values(), ids=REFUSALS.keys())
async def test_refused_messages(row: Row, http: httpx2.AsyncClient, site: SseSite) -> None:
    async with connect(http, site) as client:
        await client.handshake()
        url = client.url.partition("?")[0]
        if row.query is not None:
            url += "?" + row.query.format(id=client.session_id)
        reply = await send(http, url, row.body, row.headers, method=row.method)
        assert (reply.status, reply.error["code"]) == (row.status, row.code)
        assert reply.headers.get("allow") == row.allow
        # The session is not the worse for it.
        assert (await client.ask(ADD))["result"]["content"][0]["text"] == "5"
        assert client.events.silent
    await site.empty()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_the_stream_s_path_only_answers_get(method: str, http: httpx2.AsyncClient, site: SseSite) -> None:
    reply = await send(http, site.url, initialize(), method=method)
    assert (reply.status, reply.headers["allow"]) == (405, "GET")
    await site.empty()


async def test_a_request_before_initialize(http: httpx2.AsyncClient, site: SseSite) -> None:
    async with connect(http, site) as client:
        assert (await client.refused(ADD))["code"] == -32600


async def test_a_second_initialize(http: httpx2.AsyncClient, site: SseSite) -> None:
    async with connect(http, site) as client:
        await client.handshake("2025-06-18")
        assert (await client.refused(initialize("2024-11-05", id=3)))["code"] == -32600
        assert "structuredContent" in (await client.ask(ADD))["result"], "the session is as it was"


async def test_initialize_with_bad_params(http: httpx2.AsyncClient, site: SseSite) -> None:
    async with connect(http, site) as client:
        error = await client.refused(body_of("initialize", {"protocolVersion": 5}))
        assert error["code"] in (-32602, -32600)
        # It may try again.
        assert (await client.handshake())["protocolVersion"] == "2024-11-05"


async def test_the_same_id_twice_in_flight(http: httpx2.AsyncClient, site: SseSite) -> None:
    async with connect(http, site) as client:
        await client.handshake()
        name = f"twice-{client.session_id}"
        await client.post(call("wait", {"name": name}, id=4))
        await eventually(lambda: name in site.log.started)
        assert (await client.refused(call("add", {"a": 1, "b": 1}, id=4)))["code"] == -32600
        await client.ask(call("release", {"name": name}, id="4"))
        assert (await client.events.message())["id"] == 4


async def test_cancellation(http: httpx2.AsyncClient, site: SseSite) -> None:
    async with connect(http, site) as client:
        await client.handshake()
        name = f"cancel-{client.session_id}"
        await client.post(call("wait", {"name": name}, id=4))
        await eventually(lambda: name in site.log.started)
        assert (await client.post(body_of("notifications/cancelled", {"requestId": 4}, id=...))).status == 202
        await eventually(lambda: name in site.log.cancelled)
        # No answer to it: the next message is another one's.
        assert (await client.ask(ADD))["id"] == 7


async def test_the_session_ends_with_its_stream(http: httpx2.AsyncClient, site: SseSite) -> None:
    async with connect(http, site) as client:
        await client.handshake()
        name = f"end-{client.session_id}"
        await client.post(call("wait", {"name": name}, id=4))
        await eventually(lambda: name in site.log.started)
    await eventually(lambda: name in site.log.cancelled)
    await site.empty()
    assert (await client.post(ADD)).status == 404


async def test_a_question(http: httpx2.AsyncClient, site: SseSite) -> None:
    async with connect(http, site) as client:
        await client.handshake("2025-06-18", capabilities={"elicitation": {}})
        await client.post(call("ask", id=4))
        question = await client.events.message()
        assert question["method"] == "elicitation/create"
        result = {"action": "accept", "content": {"name": "Ada"}}
        assert (await client.post({"jsonrpc": "2.0", "id": question["id"], "result": result})).status == 202
        assert (await client.events.message())["result"]["content"][0]["text"] == "hello Ada"


async def test_notices(http: httpx2.AsyncClient, site: SseSite) -> None:
    async with connect(http, site) as client, connect(http, site) as other:
        for each in (client, other):
            await each.handshake()
        await client.ask(body_of("resources/subscribe", {"uri": "memo://one"}, id=2))
        await other.post(call("touch", {"uri": "memo://one"}, id=3))
        assert (await client.events.message())["method"] == "notifications/resources/updated"
        assert (await other.events.message())["id"] == 3
        assert other.events.silent


# Making the app


@pytest.mark.parametrize(
    "path",
    ["http://evil.example/messages", "//evil.example/messages", "/messages?x=1", "/messages#x", "messages", ""],
)
def test_a_message_path_that_is_no_plain_path(path: str) -> None:
    with pytest.raises(ValueError, match="message_path"):
        create_sse_app(make_server(Log()), path, "/sse")


def test_an_sse_path_without_slash() -> None:
    with pytest.raises(ValueError, match="slash"):
        create_sse_app(make_server(Log()), "/messages/", "sse")


async def test_paths_of_one_s_own(http: httpx2.AsyncClient) -> None:
    app = create_sse_app(make_server(Log()), "/post here", "/events")
    with run(app) as running:
        origin = f"http://127.0.0.1:{running.port}"
        async with stream(http, f"{origin}/events", headers={"accept": "text/event-stream"}) as events:
            first = await events.next()
            assert first.data.startswith("/post%20here?session_id=")
            assert (await send(http, origin + first.data, initialize())).status == 202
            assert (await events.message())["id"] == 1


@pytest.mark.parametrize("path", ["/messages", "/messages/"])
async def test_the_message_path_with_and_without_slash(path: str, http: httpx2.AsyncClient) -> None:
    with serve_sse() as site:
        async with connect(http, site) as client:
            reply = await send(http, f"{site.origin}{path}?session_id={client.session_id}", initialize())
            assert reply.status == 202


# Bounds and guards


async def test_a_body_over_the_limit(http: httpx2.AsyncClient) -> None:
    app = make_server(Log()).http_app(transport="sse", max_body_bytes=1000)  # type: ignore[arg-type]
    with run(app) as running:
        site = SseSite(running.port, "", Log(), app.drains[0].__self__)  # type: ignore[attr-defined]
        async with connect(http, site) as client:
            assert (await client.post(b" " * 1001)).status == 413


async def test_a_bounded_number_of_streams(http: httpx2.AsyncClient) -> None:
    app = make_server(Log()).http_app(transport="sse", max_sessions=1)
    with run(app) as running:
        site = SseSite(running.port, "", Log(), app.drains[0].__self__)  # type: ignore[attr-defined]
        async with connect(http, site):
            reply = await send(http, site.url, method="GET")
            assert (reply.status, reply.error["code"]) == (503, -32600)
        await site.empty()
        async with connect(http, site):
            pass


async def test_both_routes_are_guarded(http: httpx2.AsyncClient) -> None:
    tokens = {"a": {"client_id": "alice"}, "b": {"client_id": "bob"}, "a2": {"client_id": "alice"}}
    with serve_sse(auth=StaticTokenVerifier(tokens)) as site:
        for method, url in (("GET", site.url), ("POST", site.messages("0" * 32))):
            reply = await send(http, url, ADD if method == "POST" else None, method=method)
            assert reply.status == 401, method
            assert reply.headers["www-authenticate"].startswith("Bearer")
        async with connect(http, site, {"authorization": "Bearer a"}) as client:
            assert (await client.post(initialize())).status == 401
            assert (await client.post(initialize(), {"authorization": "Bearer b"})).status == 404
            assert (await client.post(initialize(), {"authorization": "Bearer a"})).status == 202
            assert (await client.events.message())["id"] == 1
            # A renewed token of the same client goes on.
            assert (await client.post(call("who", id=2), {"authorization": "Bearer a2"})).status == 202
            assert (await client.events.message())["result"]["content"][0]["text"] == "alice a2"


async def test_host_and_origin(http: httpx2.AsyncClient, site: SseSite) -> None:
    assert (await send(http, site.url, headers={"origin": "https://evil.example"}, method="GET")).status == 403
    assert (await send(http, site.url, headers={"host": "evil.example"}, method="GET")).status == 421
    await site.empty()


async def test_a_client_that_leaves_before_its_first_event(site: SseSite) -> None:
    for _ in range(5):
        _, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(f"GET {site.prefix}/sse HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        await writer.drain()
        writer.close()
    await site.empty()


async def test_a_request_without_host(site: SseSite) -> None:
    answer = await raw(site.port, f"GET {site.prefix}/sse HTTP/1.0\r\n\r\n".encode())
    assert answer.status == 421
    assert json.loads(answer.body)["error"]["code"] == -32600
