"""Streamable HTTP of 2025-03-26 to 2025-11-25, request by request, in three ways of serving."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from .servers import WAYS, Site, eventually, serve
from .wire import ACCEPT, body_of, call, initialize, modern, open_session, raw, send, stream, stream_of

SESSION = "session"  # stands for the id of the row's own session
UNKNOWN = "0" * 32


@dataclass(frozen=True, kw_only=True)
class Row:
    """One request, and the refusal it gets."""

    status: int
    code: int = -32600
    says: str
    """A part of the message."""
    method: str = "POST"
    body: Any = None
    session: str | None = SESSION
    id: Any = None
    """The id the error carries; None: no such member."""
    headers: dict[str, str | None] | None = None
    allow: str | None = None


ADD = call("add", {"a": 2, "b": 3}, id=7)
DEEP = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"a":' + b"[" * 200 + b"]" * 200 + b"}}"
NO_SSE: dict[str, str | None] = {"accept": "application/json"}


def _json(**members: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **members}).encode()


REFUSALS = {
    # Which session
    "post without session id": Row(status=400, says="Missing session ID", body=ADD, session=None, id=7),
    "notification without session id": Row(
        status=400, says="Missing session ID", body=body_of("notifications/initialized", id=...), session=None
    ),
    "response without session id": Row(
        status=400, says="Missing session ID", body=_json(id=3, result={}), session=None
    ),
    "ping without session id": Row(status=400, says="Missing session ID", body=body_of("ping"), session=None, id=1),
    "batch without session id": Row(status=400, says="Missing session ID", body=[ADD], session=None),
    "post with unknown session id": Row(status=404, says="Session not found", body=ADD, session=UNKNOWN, id=7),
    "notification with unknown session id": Row(
        status=404, says="Session not found", body=body_of("notifications/initialized", id=...), session=UNKNOWN
    ),
    "post with malformed session id": Row(status=404, says="Session not found", body=ADD, session="../../x", id=7),
    "get with unknown session id": Row(status=404, says="Session not found", method="GET", session=UNKNOWN),
    "delete with unknown session id": Row(status=404, says="Session not found", method="DELETE", session=UNKNOWN),
    "get without session id": Row(status=400, says="Missing session ID", method="GET", session=None),
    "delete without session id": Row(status=400, says="Missing session ID", method="DELETE", session=None),
    "initialize with unknown session id": Row(
        status=404, says="Session not found", body=initialize(id=5), session=UNKNOWN, id=5
    ),
    "second initialize on a session": Row(status=400, says="initialize is not possible", body=initialize(id=5), id=5),
    # Methods
    **{
        f"{method} is no method here": Row(
            status=405, says="Method not allowed", method=method, session=session, allow="GET, POST, DELETE"
        )
        for method, session in (("PUT", SESSION), ("PATCH", None), ("OPTIONS", None), ("PURGE", SESSION))
    },
    # Accept
    "post without accept": Row(status=406, says="Not acceptable", body=ADD, headers={"accept": None}),
    "post accepts only json": Row(status=406, says="Not acceptable", body=ADD, headers=NO_SSE),
    "post accepts only sse": Row(status=406, says="Not acceptable", body=ADD, headers={"accept": "text/event-stream"}),
    "post accepts html": Row(status=406, says="Not acceptable", body=ADD, headers={"accept": "text/html"}),
    "post accepts json with q=0": Row(
        status=406,
        says="Not acceptable",
        body=ADD,
        headers={"accept": "application/json;q=0, text/event-stream, text/html"},
    ),
    "initialize accepts only json": Row(
        status=406, says="Not acceptable", body=initialize(), session=None, headers=NO_SSE
    ),
    "get accepts only json": Row(status=406, says="text/event-stream", method="GET", headers=NO_SSE),
    "get without accept": Row(status=406, says="text/event-stream", method="GET", headers={"accept": None}),
    # Content-Type
    **{
        f"content type {media}": Row(status=415, says="Unsupported media", body=ADD, headers={"content-type": media})
        for media in (
            None,
            "text/plain",
            "application/json-patch+json",
            "application/jsonp",
            "application/json-rpc",
            "text/json",
            "application/json; charset=utf-16",
        )
    },
    # The body
    "empty body": Row(status=400, code=-32700, says="Parse error", body=b""),
    "broken json": Row(status=400, code=-32700, says="Parse error", body=b'{"jsonrpc":"2.0",'),
    "two values": Row(status=400, code=-32700, says="Parse error", body=json.dumps(ADD).encode() + b"{}"),
    "broken json behind a wrong member": Row(
        status=400, code=-32700, says="Parse error", body=b'{"jsonrpc":"1.0","id":1,"method":'
    ),
    "too deep": Row(status=400, code=-32700, says="Parse error", body=DEEP),
    "much too deep": Row(status=400, code=-32700, says="Parse error", body=b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "not utf-8": Row(status=400, code=-32700, says="UTF-8", body=b'{"jsonrpc":"2.0","id":1,"method":"\xff"}'),
    "utf-16": Row(status=400, code=-32700, says="Parse error", body='{"jsonrpc":"2.0"}'.encode("utf-16")),
    "an empty object": Row(status=400, says="Invalid request", body=b"{}"),
    "a string": Row(status=400, says="Invalid request", body=b'"initialize"'),
    "a number": Row(status=400, says="Invalid request", body=b"5"),
    "null": Row(status=400, says="Invalid request", body=b"null"),
    "no jsonrpc": Row(status=400, says="jsonrpc", body={"id": 1, "method": "ping"}),
    "jsonrpc 1.0": Row(status=400, says="jsonrpc", body={"jsonrpc": "1.0", "id": 1, "method": "ping"}),
    "method is a number": Row(status=400, says="method", body=_json(id=1, method=5)),
    "params by position": Row(status=400, says="params", body=_json(id=1, method="ping", params=[1])),
    "neither method nor result": Row(status=400, says="Invalid request", body=_json(id=1)),
    "a result that is a string": Row(status=400, says="Invalid request", body=_json(id=1, result="x")),
    "an envelope member twice": Row(
        status=400, says="twice", body=b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}'
    ),
    "an envelope member twice, once escaped": Row(
        status=400, says="twice", body=b'{"jsonrpc":"2.0","id":1,"method":"ping","meth\\u006fd":"tools/list"}'
    ),
    **{
        f"id {name}": Row(status=400, says="id", body=_json(id=id, method="tools/call", params=ADD["params"]))
        for name, id in (("null", None), ("true", True), ("fractional", 1.5), ("a list", [1]), ("an object", {}))
    },
    "null id of a notification": Row(status=400, says="id", body=_json(id=None, method="notifications/initialized")),
    "batch in 2025-11-25": Row(status=400, says="batch", body=[ADD, ADD]),
    "empty batch in 2025-11-25": Row(status=400, says="batch", body=[]),
    # Version
    "unsupported version": Row(
        status=400, says="2025-06-18", body=ADD, headers={"mcp-protocol-version": "2099-01-01"}, id=7
    ),
    "unsupported version of a notification": Row(
        status=400,
        says="2025-06-18",
        body=body_of("notifications/initialized", id=...),
        headers={"mcp-protocol-version": "1.0"},
    ),
    "two different versions": Row(
        status=400, says="2025-06-18", body=ADD, headers={"mcp-protocol-version": "2025-11-25, 2025-06-18"}, id=7
    ),
    "unsupported version of initialize": Row(
        status=400,
        says="2025-06-18",
        body=initialize(),
        session=None,
        headers={"mcp-protocol-version": "2099-01-01"},
        id=1,
    ),
    "unsupported version of a get": Row(
        status=400, says="2025-06-18", method="GET", headers={"mcp-protocol-version": "2099-01-01"}
    ),
    "unsupported version of a delete": Row(
        status=400, says="2025-06-18", method="DELETE", headers={"mcp-protocol-version": "2099-01-01"}
    ),
    # Resumption without an event store
    "last-event-id without event store": Row(
        status=400, says="not resumable", method="GET", headers={"last-event-id": "abc-1"}
    ),
}


@pytest.fixture(scope="module", params=WAYS)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with serve(request.param) as site:
        yield site


@pytest.fixture
async def session(http: httpx2.AsyncClient, site: Site):
    headers = await open_session(http, site.url)
    yield headers
    await send(http, site.url, headers=headers, method="DELETE")


def check_refusal(status: int, headers: Any, text: str, row: Row) -> None:
    assert status == row.status, text
    assert headers["content-type"] == "application/json"
    body = json.loads(text)
    assert body["jsonrpc"] == "2.0"
    assert body["error"]["code"] == row.code
    message = body["error"]["message"]
    assert row.says in message
    assert len(message) < 200
    assert "\n" not in message
    assert body.get("id", "absent") == ("absent" if row.id is None else row.id)
    assert "mcp-session-id" not in headers
    assert headers.get("allow") == row.allow


@pytest.mark.parametrize("row", REFUSALS.values(), ids=REFUSALS.keys())
async def test_refusals(row: Row, http: httpx2.AsyncClient, site: Site, session: dict[str, str]) -> None:
    before = await site.residue()
    headers: dict[str, str | None] = {}
    if row.session is not None:
        headers = {**session, "mcp-session-id": session["mcp-session-id"] if row.session == SESSION else row.session}
    reply = await send(http, site.url, row.body, {**headers, **(row.headers or {})}, method=row.method)
    check_refusal(reply.status, reply.headers, reply.text, row)
    await site.left_nothing(before)
    # The row's session lives on.
    assert (await send(http, site.url, ADD, session)).content == "5"


async def test_head_is_no_method_here(http: httpx2.AsyncClient, site: Site) -> None:
    before = await site.residue()
    reply = await send(http, site.url, method="HEAD")
    assert (reply.status, reply.headers["allow"], reply.text) == (405, "GET, POST, DELETE", "")
    await site.left_nothing(before)


@pytest.mark.parametrize(
    "headers",
    [
        {"accept": "*/*"},
        {"accept": "application/*, text/*"},
        {"accept": "application/*, text/event-stream"},
        {"accept": "Application/JSON, Text/Event-Stream"},
        {"accept": "text/event-stream;q=0.5, application/json ; q=0.9"},
        {"content-type": "application/json; charset=utf-8"},
        {"content-type": 'application/json;charset="UTF-8"'},
        {"content-type": "Application/JSON"},
        {"mcp-protocol-version": None},
    ],
    ids=str,
)
async def test_served_headers(
    headers: dict[str, str | None], http: httpx2.AsyncClient, site: Site, session: dict[str, str]
) -> None:
    reply = await send(http, site.url, ADD, {**session, **headers})
    assert (reply.status, reply.type, reply.content) == (200, "application/json", "5")


async def test_accept_in_two_fields_and_blanks_around_values(site: Site, session: dict[str, str]) -> None:
    body = json.dumps(ADD).encode()
    fields = [f"{name}:\t {value} \t" for name, value in session.items()]
    head = [f"POST {site.path} HTTP/1.1", f"Host: 127.0.0.1:{site.port}", "Connection: close"]
    head += ["Accept: application/json", "Accept: text/event-stream", "Content-Type: application/json", *fields]
    head.append(f"Content-Length: {len(body)}")
    answer = await raw(site.port, "\r\n".join([*head, "", ""]).encode() + body)
    assert answer.status == 200
    assert answer.json["id"] == 7


# The handshake


async def test_initialize_makes_a_session(http: httpx2.AsyncClient, site: Site) -> None:
    before = await site.residue()
    first = await send(http, site.url, initialize(id="one"))
    second = await send(http, site.url, initialize(id="two"))
    assert first.status == 200
    assert first.json["id"] == "one"
    assert first.result["serverInfo"]["name"] == "probe"
    ids = [reply.headers["mcp-session-id"] for reply in (first, second)]
    assert ids[0] != ids[1]
    assert all(re.fullmatch(r"[\x21-\x7e]{22,}", id) for id in ids)
    assert (await site.residue())["sessions"] == before["sessions"] + 2
    for id in ids:
        await send(http, site.url, headers={"mcp-session-id": id}, method="DELETE")
    await site.left_nothing(before)


@pytest.mark.parametrize(
    "params",
    [
        None,
        {},
        {"protocolVersion": "2025-06-18"},
        {"protocolVersion": 5, "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}},
        {"protocolVersion": "2025-06-18", "capabilities": [], "clientInfo": {"name": "x", "version": "1"}},
        {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"version": "1"}},
    ],
    ids=str,
)
async def test_initialize_with_bad_params_makes_no_session(params: Any, http: httpx2.AsyncClient, site: Site) -> None:
    before = await site.residue()
    reply = await send(http, site.url, body_of("initialize", params))
    assert reply.status in (200, 400)
    assert reply.error["code"] == -32602
    assert reply.json["id"] == 1
    assert "\n" not in reply.error["message"]
    assert "mcp-session-id" not in reply.headers
    await site.left_nothing(before)


async def test_requests_before_initialized_are_served(http: httpx2.AsyncClient, site: Site) -> None:
    reply = await send(http, site.url, initialize())
    session = {"mcp-session-id": reply.headers["mcp-session-id"]}
    assert (await send(http, site.url, ADD, session)).content == "5"
    assert (await send(http, site.url, headers=session, method="DELETE")).status == 200


async def test_delete_ends_a_session_at_once(http: httpx2.AsyncClient, site: Site) -> None:
    before = await site.residue()
    session = await open_session(http, site.url)
    reply = await send(http, site.url, headers=session, method="DELETE")
    assert (reply.status, reply.text) == (200, "")
    assert (await site.residue())["sessions"] == before["sessions"]
    for method, body in (("POST", ADD), ("GET", None), ("DELETE", None)):
        gone = await send(http, site.url, body, session, method=method)
        assert gone.status == 404, method
        assert gone.error["message"].startswith("Session not found")
    await site.left_nothing(before)


# Messages of a session


@pytest.mark.parametrize(
    "body",
    [
        body_of("notifications/initialized", id=...),
        body_of("notifications/roots/list_changed", id=...),
        body_of("notifications/cancelled", {"requestId": 99}, id=...),
        body_of("notifications/cancelled", {"requestId": None}, id=...),
        body_of("notifications/cancelled", {}, id=...),
        body_of("notifications/progress", {"progressToken": 1, "progress": 1}, id=...),
        body_of("notifications/unheard-of", id=...),
        {"jsonrpc": "2.0", "id": 99, "result": {}},
        {"jsonrpc": "2.0", "id": "nobody-asked", "error": {"code": -1, "message": "no"}},
        {"jsonrpc": "2.0", "error": {"code": -32700, "message": "could not read it"}},
    ],
    ids=lambda body: body.get("method", "response") + str(body.get("params", body.get("id", ""))),
)
async def test_notifications_and_responses_are_accepted(
    body: Any, http: httpx2.AsyncClient, site: Site, session: dict[str, str]
) -> None:
    before = await site.residue()
    reply = await send(http, site.url, body, session)
    assert (reply.status, reply.text) == (202, "")
    await site.left_nothing(before)


async def test_a_plain_call_is_answered_in_json(http: httpx2.AsyncClient, site: Site, session: dict[str, str]) -> None:
    before = await site.residue()
    reply = await send(http, site.url, ADD, session)
    assert (reply.status, reply.json["id"]) == (200, 7)
    assert reply.content == "5"
    assert "resultType" not in reply.result
    await site.left_nothing(before)


async def test_notes_make_the_answer_a_stream(http: httpx2.AsyncClient, site: Site, session: dict[str, str]) -> None:
    before = await site.residue()
    reply = await send(http, site.url, call("notes", {"count": 3}), session)
    assert reply.status == 200
    assert reply.type == "text/event-stream"
    assert reply.headers["x-accel-buffering"] == "no"
    assert "no-cache" in reply.headers["cache-control"]
    *notes, answer = reply.messages
    assert [note["method"] for note in notes] == ["notifications/message"] * 3
    assert [note["params"]["data"]["msg"] for note in notes] == ["note 0", "note 1", "note 2"]
    assert answer["id"] == 1
    assert reply.content == "noted"
    assert {event.event for event in reply.events} == {"message"}
    assert {event.id for event in reply.events} == {None}, "ids promise a resumption, and there is no store"
    await site.left_nothing(before)


async def test_progress_grows_and_only_for_a_token(
    http: httpx2.AsyncClient, site: Site, session: dict[str, str]
) -> None:
    reply = await send(http, site.url, call("progress", _meta={"progressToken": "p-1"}), session)
    *notes, answer = reply.messages
    assert [note["params"]["progress"] for note in notes] == [1, 2, 3]
    assert {note["params"]["progressToken"] for note in notes} == {"p-1"}
    assert "result" in answer
    silent = await send(http, site.url, call("progress"), session)
    assert silent.type == "application/json"


ERRORS = {
    "unknown method": (body_of("tools/burn"), -32601),
    "method of a later revision": (body_of("server/discover"), -32601),
    "method of the client": (body_of("sampling/createMessage"), -32601),
    "unknown tool": (call("nothing"), -32602),
    "tool without name": (body_of("tools/call", {}), -32602),
    "unknown prompt": (body_of("prompts/get", {"name": "nothing"}), -32602),
    "missing prompt argument": (body_of("prompts/get", {"name": "greet"}), -32602),
    "invalid cursor of tools": (body_of("tools/list", {"cursor": "bad"}), -32602),
    "invalid cursor of resources": (body_of("resources/list", {"cursor": "bad"}), -32602),
    "invalid cursor of templates": (body_of("resources/templates/list", {"cursor": "bad"}), -32602),
    "invalid cursor of prompts": (body_of("prompts/list", {"cursor": "bad"}), -32602),
    "cursor that is a number": (body_of("tools/list", {"cursor": 5}), -32602),
    "unknown resource": (body_of("resources/read", {"uri": "memo://nothing"}), -32002),
    "unknown log level": (body_of("logging/setLevel", {"level": "shouting"}), -32602),
}


@pytest.mark.parametrize(("body", "code"), ERRORS.values(), ids=ERRORS.keys())
async def test_errors_of_the_server_are_200(
    body: Any, code: int, http: httpx2.AsyncClient, site: Site, session: dict[str, str]
) -> None:
    before = await site.residue()
    reply = await send(http, site.url, body, session)
    assert reply.status == 200
    assert reply.error["code"] == code
    assert reply.json["id"] == 1
    if code == -32002:
        assert reply.error["data"] == {"uri": "memo://nothing"}
    await site.left_nothing(before)


async def test_a_failing_tool_is_a_result(http: httpx2.AsyncClient, site: Site, session: dict[str, str]) -> None:
    reply = await send(http, site.url, call("fail"), session)
    assert reply.status == 200
    assert reply.result["isError"] is True
    assert reply.result["content"][0]["text"] == "failed on purpose"


@pytest.mark.parametrize("arguments", [{"a": "x", "b": 1}, {"a": 1}, {}], ids=str)
@pytest.mark.parametrize(("version", "readable"), [("2025-03-26", False), ("2025-06-18", False), ("2025-11-25", True)])
async def test_bad_tool_arguments(
    version: str, readable: bool, arguments: Any, http: httpx2.AsyncClient, site: Site
) -> None:
    session = await open_session(http, site.url, version)
    reply = await send(http, site.url, call("add", arguments), session)
    assert reply.status == 200
    if readable:
        assert reply.result["isError"] is True
        assert "add" in reply.result["content"][0]["text"]
    else:
        assert reply.error["code"] == -32602
    await send(http, site.url, headers=session, method="DELETE")


async def test_the_same_id_twice_in_flight(http: httpx2.AsyncClient, site: Site, session: dict[str, str]) -> None:
    name = f"twice-{session['mcp-session-id']}"
    async with stream(
        http, site.url, call("wait", {"name": name, "note": True}, id=4), session, method="POST"
    ) as first:
        await first.message()
        before = await site.residue()
        second = await send(http, site.url, call("add", {"a": 1, "b": 1}, id=4), session)
        assert (second.status, second.error["code"], second.json["id"]) == (400, -32600, 4)
        # A string is another id, and so is the same number in another session.
        assert (await send(http, site.url, call("add", {"a": 1, "b": 1}, id="4"), session)).content == "2"
        await site.left_nothing(before)
        other = await open_session(http, site.url)
        assert (await send(http, site.url, call("add", {"a": 1, "b": 1}, id=4), other)).content == "2"
        await send(http, site.url, headers=other, method="DELETE")
        await site.release(http, name)
        assert (await first.message())["params"]["data"]["msg"] == f"released {name}"
        assert (await first.message())["id"] == 4
        await first.ended()
    # The id is free again.
    assert (await send(http, site.url, call("add", {"a": 1, "b": 1}, id=4), session)).content == "2"


# GET streams


async def test_get_opens_a_stream_that_stays(http: httpx2.AsyncClient, site: Site, session: dict[str, str]) -> None:
    before = await site.residue()
    async with stream(http, site.url, headers=session) as events:
        assert events.status == 200
        assert events.headers["content-type"] == "text/event-stream"
        assert events.headers["x-accel-buffering"] == "no"
        await send(http, site.url, call("change", {"kind": "tool"}), session)
        assert (await events.message())["method"] == "notifications/tools/list_changed"
        assert events.silent
    await site.left_nothing(before)


async def test_each_message_goes_to_the_newest_stream_only(
    http: httpx2.AsyncClient, site: Site, session: dict[str, str]
) -> None:
    before = await site.residue()
    async with stream(http, site.url, headers=session) as first:
        async with stream(http, site.url, headers=session) as second:
            await send(http, site.url, call("change", {"kind": "tool"}), session)
            assert (await second.message())["method"] == "notifications/tools/list_changed"
            assert first.silent
        await site.until(busy=1)
        await send(http, site.url, call("change", {"kind": "prompt"}), session)
        assert (await first.message())["method"] == "notifications/prompts/list_changed"
    await site.left_nothing(before)


async def test_past_the_bound_the_oldest_get_stream_ends(
    http: httpx2.AsyncClient, site: Site, session: dict[str, str]
) -> None:
    before = await site.residue()
    async with (
        stream(http, site.url, headers=session) as one,
        stream(http, site.url, headers=session) as two,
        stream(http, site.url, headers=session),
        stream(http, site.url, headers=session),
    ):
        assert one.silent
        async with stream(http, site.url, headers=session) as five:
            await one.ended()
            assert two.silent
            await send(http, site.url, call("change", {"kind": "tool"}), session)
            assert (await five.message())["method"] == "notifications/tools/list_changed"
            assert two.silent
    await site.left_nothing(before)


async def test_delete_ends_the_session_s_streams_and_calls(http: httpx2.AsyncClient, site: Site) -> None:
    before = await site.residue()
    session = await open_session(http, site.url)
    name = f"delete-{session['mcp-session-id']}"
    async with stream(http, site.url, headers=session) as events:
        waiting = asyncio.create_task(send(http, site.url, call("wait", {"name": name}), session))
        await eventually(lambda: name in site.log.started)
        assert (await send(http, site.url, headers=session, method="DELETE")).status == 200
        await events.ended()
        reply = await asyncio.wait_for(waiting, 5)
        assert "result" not in reply.text
    assert name in site.log.cancelled
    await site.left_nothing(before)


# Clients that leave


async def test_a_disconnect_does_not_cancel_a_call(site: Site, http: httpx2.AsyncClient) -> None:
    session = await open_session(http, site.url)
    before = await site.residue()
    name = f"drop-{session['mcp-session-id']}"
    body = json.dumps(call("wait", {"name": name, "note": True})).encode()
    async with stream_of(site.port, _head(site, session, len(body)) + body) as (reader, _):
        await asyncio.wait_for(reader.readuntil(b"waiting"), 5)
    # The server knows that the client is gone once it can be told by a second note that is not delivered.
    await site.release(http, name)
    await eventually(lambda: name in site.log.finished)
    assert name not in site.log.cancelled
    await site.left_nothing(before)
    await send(http, site.url, headers=session, method="DELETE")


async def test_a_client_that_leaves_in_the_middle_of_its_body(site: Site) -> None:
    before = await site.residue()
    async with stream_of(site.port, _head(site, {}, 500) + b'{"jsonrpc":"2.0",'):
        pass
    await site.left_nothing(before)


def _head(site: Site, headers: dict[str, str], length: int) -> bytes:
    lines = [f"POST {site.path} HTTP/1.1", f"Host: 127.0.0.1:{site.port}", f"Accept: {ACCEPT}"]
    lines += ["Content-Type: application/json", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode()


# Questions


@pytest.mark.parametrize(
    ("action", "result", "text"),
    [
        ("accept", {"action": "accept", "content": {"name": "Ada"}}, "hello Ada"),
        ("decline", {"action": "decline"}, "user: decline"),
        ("cancel", {"action": "cancel"}, "user: cancel"),
    ],
)
async def test_a_question_makes_the_answer_a_stream(
    action: str, result: Any, text: str, http: httpx2.AsyncClient, site: Site
) -> None:
    before = await site.residue()
    session = await open_session(http, site.url, capabilities={"elicitation": {}})
    async with stream(http, site.url, call("ask", {"name": action}), session, method="POST") as events:
        question = await events.message()
        assert question["method"] == "elicitation/create"
        assert question["params"]["message"] == "Who are you?"
        answer = {"jsonrpc": "2.0", "id": question["id"], "result": result}
        assert (await send(http, site.url, answer, session)).status == 202
        final = await events.message()
        assert final["id"] == 1
        assert final["result"]["content"][0]["text"] == text
        await events.ended()
    await send(http, site.url, headers=session, method="DELETE")
    await site.left_nothing(before)


async def test_an_answer_of_another_session_answers_nothing(http: httpx2.AsyncClient, site: Site) -> None:
    mine = await open_session(http, site.url, capabilities={"elicitation": {}})
    other = await open_session(http, site.url, capabilities={"elicitation": {}})
    async with stream(http, site.url, call("ask"), mine, method="POST") as events:
        question = await events.message()
        stolen = {"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": {"name": "Eve"}}}
        assert (await send(http, site.url, stolen, other)).status == 202
        own = {**stolen, "result": {"action": "accept", "content": {"name": "Ada"}}}
        assert (await send(http, site.url, own, mine)).status == 202
        assert (await events.message())["result"]["content"][0]["text"] == "hello Ada"
    for session in (mine, other):
        await send(http, site.url, headers=session, method="DELETE")


async def test_an_error_as_the_answer_to_a_question(http: httpx2.AsyncClient, site: Site) -> None:
    session = await open_session(http, site.url, capabilities={"elicitation": {}})
    async with stream(http, site.url, call("ask"), session, method="POST") as events:
        question = await events.message()
        refusal = {"jsonrpc": "2.0", "id": question["id"], "error": {"code": -1, "message": "no user here"}}
        await send(http, site.url, refusal, session)
        final = await events.message()
        assert "no user here" in json.dumps(final)
        await events.ended()
    await send(http, site.url, headers=session, method="DELETE")


UNASKABLE = {
    "no elicitation": ("2025-11-25", {}, "ask"),
    "no sampling": ("2025-11-25", {"elicitation": {}}, "ask_model"),
    "no roots": ("2025-11-25", {"elicitation": {}}, "ask_roots"),
    "no url elicitation": ("2025-11-25", {"elicitation": {"form": {}}}, "ask_url"),
    "no form elicitation": ("2025-11-25", {"elicitation": {"url": {}}}, "ask"),
    "a revision without elicitation": ("2025-03-26", {"elicitation": {}}, "ask"),
    "a revision without url elicitation": ("2025-06-18", {"elicitation": {"url": {}}}, "ask_url"),
}


@pytest.mark.parametrize(("version", "capabilities", "tool"), UNASKABLE.values(), ids=UNASKABLE.keys())
async def test_what_the_client_cannot_answer_is_not_asked(
    version: str, capabilities: Any, tool: str, http: httpx2.AsyncClient, site: Site
) -> None:
    session = await open_session(http, site.url, version, capabilities=capabilities)
    reply = await send(http, site.url, call(tool), session)
    assert reply.status == 200
    assert [message["id"] for message in reply.messages] == [1], "nothing was asked"
    assert reply.error["code"] == -32600
    await send(http, site.url, headers=session, method="DELETE")


# State of a session


async def test_state_lives_with_the_session(http: httpx2.AsyncClient, site: Site) -> None:
    mine, other = await open_session(http, site.url), await open_session(http, site.url)
    values = [
        (await send(http, site.url, call("remember", {"key": "k", "value": value}), session)).content
        for session, value in ((mine, "1"), (other, "2"), (mine, "3"), (other, "4"))
    ]
    assert values == ["nothing", "nothing", "1", "2"]
    for session in (mine, other):
        await send(http, site.url, headers=session, method="DELETE")


async def test_a_modern_request_on_a_session_s_path_needs_no_session(
    http: httpx2.AsyncClient, site: Site, session: dict[str, str]
) -> None:
    headers, body = modern(ADD)
    reply = await send(http, site.url, body, {**session, **headers})
    assert reply.result["resultType"] == "complete"
