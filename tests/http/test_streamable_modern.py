"""Streamable HTTP of 2026-07-28 on the same URL, request by request, in three ways of serving."""

from __future__ import annotations

import asyncio
import base64
import json
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from headrace.state.sealer import AeadSealer

from .servers import WAYS, Site, eventually, serve
from .wire import (
    ACCEPT,
    META,
    MODERN,
    body_of,
    call,
    initialize,
    modern,
    open_session,
    raw,
    send,
    stream,
    stream_of,
)

ADD = call("add", {"a": 2, "b": 3}, id=7)
LOG_LEVEL = META + "logLevel"
SUBSCRIPTION_ID = META + "subscriptionId"


@pytest.fixture(scope="module", params=WAYS)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with serve(request.param) as site:
        yield site


def base64_form(text: str) -> str:
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


# Refusals at the door


@dataclass(frozen=True, kw_only=True)
class Row:
    """A proper request, changed in `headers` (None: left out) and `meta` (...: left out), and what it gets."""

    status: int
    code: int
    says: str = ""
    body: Any = None
    headers: dict[str, str | None] | None = None
    meta: dict[str, Any] | None = None
    data: Callable[[Any], bool] | None = None


READ = body_of("resources/read", {"uri": "memo://one"}, id=7)
GREET = body_of("prompts/get", {"name": "greet", "arguments": {"name": "x"}}, id=7)
MISMATCH: Any = {"status": 400, "code": -32020}

REFUSALS = {
    # _meta
    "no version in _meta": Row(status=400, code=-32602, says="protocolVersion", meta={META + "protocolVersion": ...}),
    "no capabilities in _meta": Row(
        status=400, code=-32602, says="clientCapabilities", meta={META + "clientCapabilities": ...}
    ),
    "capabilities are a list": Row(status=400, code=-32602, meta={META + "clientCapabilities": []}),
    "version is a number": Row(status=400, code=-32602, meta={META + "protocolVersion": 2026}),
    "an unknown log level": Row(status=400, code=-32602, says="loud", meta={LOG_LEVEL: "loud"}),
    "a log level in capitals": Row(status=400, code=-32602, says="INFO", meta={LOG_LEVEL: "INFO"}),
    # _meta comes before headers
    "no capabilities, and no method header": Row(
        status=400, code=-32602, meta={META + "clientCapabilities": ...}, headers={"mcp-method": None}
    ),
    # Headers
    "no version header": Row(**MISMATCH, says="MCP-Protocol-Version", headers={"mcp-protocol-version": None}),
    "another version in the header": Row(**MISMATCH, headers={"mcp-protocol-version": "2025-11-25"}),
    "an unknown version in the header": Row(**MISMATCH, headers={"mcp-protocol-version": "2099-01-01"}),
    "version header in base64": Row(**MISMATCH, headers={"mcp-protocol-version": base64_form(MODERN)}),
    "no method header": Row(**MISMATCH, says="Mcp-Method", headers={"mcp-method": None}),
    "another method in the header": Row(**MISMATCH, headers={"mcp-method": "tools/list"}),
    "method header in other case": Row(**MISMATCH, headers={"mcp-method": "Tools/Call"}),
    "method header in base64": Row(**MISMATCH, headers={"mcp-method": base64_form("tools/call")}),
    "empty method header": Row(**MISMATCH, headers={"mcp-method": ""}),
    "no name header": Row(**MISMATCH, says="Mcp-Name", headers={"mcp-name": None}),
    "no name header of a prompt": Row(**MISMATCH, says="Mcp-Name", body=GREET, headers={"mcp-name": None}),
    "no name header of a resource": Row(**MISMATCH, says="Mcp-Name", body=READ, headers={"mcp-name": None}),
    "another name in the header": Row(**MISMATCH, headers={"mcp-name": "subtract"}),
    "name header in other case": Row(**MISMATCH, headers={"mcp-name": "ADD"}),
    "another uri in the header": Row(**MISMATCH, body=READ, headers={"mcp-name": "memo://two"}),
    "name header with broken base64": Row(**MISMATCH, headers={"mcp-name": "=?base64?YWR?="}),
    "name header in base64 of something else": Row(**MISMATCH, headers={"mcp-name": base64_form("subtract")}),
    "name header in base64 that is no utf-8": Row(**MISMATCH, headers={"mcp-name": "=?base64?/w==?="}),
    # Headers come before the version, the version before the method
    "an unserved version, and no method header": Row(
        **MISMATCH,
        meta={META + "protocolVersion": "2099-01-01"},
        headers={"mcp-protocol-version": "2099-01-01", "mcp-method": None},
    ),
    "an unserved version": Row(
        status=400,
        code=-32022,
        meta={META + "protocolVersion": "2099-01-01"},
        headers={"mcp-protocol-version": "2099-01-01"},
        data=lambda data: MODERN in data["supported"] and data["requested"] == "2099-01-01",
    ),
    "a handshake version in _meta": Row(
        status=400,
        code=-32022,
        meta={META + "protocolVersion": "2025-11-25"},
        headers={"mcp-protocol-version": "2025-11-25"},
        data=lambda data: data["supported"] == [MODERN] and data["requested"] == "2025-11-25",
    ),
    "an unserved version of an unknown method": Row(
        status=400,
        code=-32022,
        body=body_of("tools/burn", id=7),
        meta={META + "protocolVersion": "2099-01-01"},
        headers={"mcp-protocol-version": "2099-01-01"},
    ),
    # Methods
    "an unknown method": Row(status=404, code=-32601, says="tools/burn", body=body_of("tools/burn", id=7)),
    **{
        f"{method}, which this revision has not": Row(status=404, code=-32601, body=body_of(method, params, id=7))
        for method, params in (
            ("initialize", initialize()["params"]),
            ("ping", None),
            ("logging/setLevel", {"level": "info"}),
            ("resources/subscribe", {"uri": "memo://one"}),
            ("sampling/createMessage", {}),
            ("elicitation/create", {}),
            ("roots/list", {}),
            ("notifications/cancelled", {"requestId": 1}),
        )
    },
    # Capabilities
    "elicitation not declared": Row(
        status=400,
        code=-32021,
        body=call("ask", id=7),
        data=lambda data: "elicitation" in data["requiredCapabilities"],
    ),
    "sampling not declared": Row(
        status=400,
        code=-32021,
        body=call("ask_model", id=7),
        data=lambda data: "sampling" in data["requiredCapabilities"],
    ),
    "roots not declared": Row(
        status=400, code=-32021, body=call("ask_roots", id=7), data=lambda data: "roots" in data["requiredCapabilities"]
    ),
    "url elicitation not declared": Row(
        status=400,
        code=-32021,
        body=call("ask_url", id=7),
        meta={META + "clientCapabilities": {"elicitation": {"form": {}}}},
        data=lambda data: "url" in data["requiredCapabilities"]["elicitation"],
    ),
}


@pytest.mark.parametrize("row", REFUSALS.values(), ids=REFUSALS.keys())
async def test_refusals(row: Row, http: httpx2.AsyncClient, site: Site) -> None:
    before = await site.residue()
    headers, body = modern(row.body or ADD)
    for key, value in (row.meta or {}).items():
        if value is ...:
            del body["params"]["_meta"][key]
        else:
            body["params"]["_meta"][key] = value
    reply = await send(http, site.url, body, {**headers, **(row.headers or {})})
    assert (reply.status, reply.error["code"]) == (row.status, row.code), reply.text
    assert reply.json["id"] == 7
    assert row.says in reply.error["message"]
    assert "\n" not in reply.error["message"]
    assert row.data is None or row.data(reply.error["data"]), reply.error
    assert "mcp-session-id" not in reply.headers
    await site.left_nothing(before)


ENVELOPES = {
    "a batch": (json.dumps([modern(ADD)[1]]).encode(), -32600),
    "an empty batch": (b"[]", -32600),
    "a response": (json.dumps({"jsonrpc": "2.0", "id": 1, "result": {}}).encode(), -32600),
    "an error response": (b'{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"x"}}', -32600),
    "a null id": (json.dumps({**modern(ADD)[1], "id": None}).encode(), -32600),
    "a fractional id": (json.dumps({**modern(ADD)[1], "id": 1.5}).encode(), -32600),
    "a boolean id": (json.dumps({**modern(ADD)[1], "id": True}).encode(), -32600),
    "no json": (b"hello", -32700),
    "nothing": (b"", -32700),
    "no object": (b"17", -32600),
    "params are a list": (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[]}', -32600),
}


@pytest.mark.parametrize(("body", "code"), ENVELOPES.values(), ids=ENVELOPES.keys())
async def test_refused_envelopes(body: bytes, code: int, http: httpx2.AsyncClient, site: Site) -> None:
    before = await site.residue()
    reply = await send(http, site.url, body, modern(ADD)[0])
    assert (reply.status, reply.error["code"]) == (400, code)
    assert "id" not in reply.json
    await site.left_nothing(before)


async def test_no_meta_at_all(http: httpx2.AsyncClient, site: Site) -> None:
    reply = await send(http, site.url, ADD, modern(ADD)[0])
    assert (reply.status, reply.error["code"], reply.json["id"]) == (400, -32602, 7)


async def test_a_head_field_sent_twice(site: Site) -> None:
    headers, body = modern(ADD)
    answer = await _raw_post(site, headers, body, "Mcp-Name: add")
    assert (answer.status, answer.json["error"]["code"]) == (400, -32020)


async def _raw_post(site: Site, headers: dict[str, str | None], body: Any, *fields: str):
    content = json.dumps(body).encode()
    lines = [f"POST {site.path} HTTP/1.1", f"Host: 127.0.0.1:{site.port}", f"Accept: {ACCEPT}", "Connection: close"]
    lines += ["Content-Type: application/json", *(f"{name}: {value}" for name, value in headers.items()), *fields]
    head = "\r\n".join([*lines, f"Content-Length: {len(content)}", "", ""])
    return await raw(site.port, head.encode("latin-1") + content)


# What is let in


@pytest.mark.parametrize(
    "headers",
    [
        {"mcp-protocol-version": f"  {MODERN}  ", "mcp-method": "\ttools/call \t", "mcp-name": "  add "},
        {"mcp-name": base64_form("add")},
        {"mcp-name": " " + base64_form("add") + "\t"},
        {"mcp-session-id": "of-another-era"},
        {"last-event-id": "7-1"},
        {"mcp-param-anything": "at all"},
    ],
    ids=str,
)
async def test_served_headers(headers: dict[str, str | None], site: Site) -> None:
    before = await site.residue()
    proper, body = modern(ADD)
    answer = await _raw_post(site, {**proper, **headers}, body)
    assert answer.status == 200
    assert answer.json["result"]["content"][0]["text"] == "5"
    assert "mcp-session-id" not in answer.headers
    await site.left_nothing(before)


async def test_the_server_chooses_the_era_by_request(http: httpx2.AsyncClient, site: Site) -> None:
    """`_meta` first, then the header; an initialize without either is the handshake."""
    headers, body = modern(ADD)
    assert (await send(http, site.url, body, headers)).result["resultType"] == "complete"
    handshake = await send(http, site.url, initialize())
    assert handshake.result["protocolVersion"] == "2025-11-25"
    await send(http, site.url, headers={"mcp-session-id": handshake.headers["mcp-session-id"]}, method="DELETE")
    by_header = await send(http, site.url, initialize(), {"mcp-protocol-version": MODERN, "mcp-method": "initialize"})
    assert (by_header.status, by_header.error["code"]) == (400, -32602)


async def test_a_plain_call(http: httpx2.AsyncClient, site: Site) -> None:
    headers, body = modern(ADD)
    reply = await send(http, site.url, body, headers)
    assert (reply.status, reply.type, reply.json["id"]) == (200, "application/json", 7)
    assert reply.content == "5"
    assert reply.result["resultType"] == "complete"
    assert reply.result["_meta"][META + "serverInfo"]["name"] == "probe"


@pytest.mark.parametrize("id", [0, -1, 2**53, "text", "", "7"], ids=repr)
async def test_ids_come_back_as_they_were(id: Any, http: httpx2.AsyncClient, site: Site) -> None:
    headers, body = modern({**ADD, "id": id})
    found = (await send(http, site.url, body, headers)).json["id"]
    assert found == id
    assert type(found) is type(id)


CACHED = {
    "tools/list": None,
    "prompts/list": None,
    "resources/list": None,
    "resources/templates/list": None,
    "resources/read": {"uri": "memo://one"},
    "server/discover": None,
}


@pytest.mark.parametrize("method", CACHED)
async def test_cacheable_results_say_so(method: str, http: httpx2.AsyncClient, site: Site) -> None:
    headers, body = modern(body_of(method, CACHED[method]))
    first, second = await send(http, site.url, body, headers), await send(http, site.url, body, headers)
    assert first.text == second.text
    assert first.result["ttlMs"] >= 0
    assert first.result["cacheScope"] in ("public", "private")
    assert first.result["resultType"] == "complete"
    assert META + "serverInfo" in first.result["_meta"]


async def test_discover(http: httpx2.AsyncClient, site: Site) -> None:
    headers, body = modern(body_of("server/discover"))
    result = (await send(http, site.url, body, headers)).result
    assert result["supportedVersions"] == [MODERN]
    assert {"tools", "prompts", "resources"} <= result["capabilities"].keys()


# What the handler answers

ERRORS = {
    "unknown tool": (call("nothing"), -32602),
    "unknown prompt": (body_of("prompts/get", {"name": "nothing"}), -32602),
    "missing prompt argument": (body_of("prompts/get", {"name": "greet"}), -32602),
    "unknown resource": (body_of("resources/read", {"uri": "memo://nothing"}), -32602),
    "bad cursor": (body_of("tools/list", {"cursor": "bad"}), -32602),
    "foreign request state": (call("ask", requestState="bogus"), -32602),
    "listen without a filter": (body_of("subscriptions/listen", {}), -32602),
}


@pytest.mark.parametrize(("body", "code"), ERRORS.values(), ids=ERRORS.keys())
async def test_errors_of_the_handler_are_200(body: Any, code: int, http: httpx2.AsyncClient, site: Site) -> None:
    before = await site.residue()
    headers, body = modern(body, capabilities={"elicitation": {}})
    reply = await send(http, site.url, body, headers)
    assert (reply.status, reply.error["code"], reply.json["id"]) == (200, code, 1)
    if body["method"] == "resources/read":
        assert reply.error["data"] == {"uri": "memo://nothing"}
    await site.left_nothing(before)


@pytest.mark.parametrize(
    ("body", "text"),
    [(call("fail"), "failed on purpose"), (call("add", {"a": "x", "b": 1}), "add"), (call("add"), "add")],
    ids=["tool raised", "wrong arguments", "no arguments"],
)
async def test_failures_the_model_reads(body: Any, text: str, http: httpx2.AsyncClient, site: Site) -> None:
    headers, body = modern(body)
    reply = await send(http, site.url, body, headers)
    assert reply.status == 200
    assert reply.result["isError"] is True
    assert reply.result["resultType"] == "complete"
    assert text in reply.result["content"][0]["text"]


# Notifications


@pytest.mark.parametrize(
    "body",
    [
        body_of("notifications/cancelled", {"requestId": 1}, id=...),
        body_of("notifications/cancelled", {}, id=...),
        body_of("notifications/progress", {"progressToken": 1, "progress": 1}, id=...),
        body_of("notifications/unheard-of", id=...),
    ],
    ids=lambda body: body["method"] + str(body.get("params", "")),
)
async def test_notifications_need_no_meta_and_no_mcp_headers(body: Any, http: httpx2.AsyncClient, site: Site) -> None:
    before = await site.residue()
    reply = await send(http, site.url, body, {"mcp-protocol-version": MODERN})
    assert (reply.status, reply.text) == (202, "")
    await site.left_nothing(before)


async def test_a_notification_is_modern_by_its_meta_too(http: httpx2.AsyncClient, site: Site) -> None:
    params = {"requestId": 1, "_meta": {META + "protocolVersion": MODERN}}
    reply = await send(http, site.url, body_of("notifications/cancelled", params, id=...))
    assert (reply.status, reply.text) == (202, "")


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
async def test_other_methods_open_nothing(method: str, http: httpx2.AsyncClient, site: Site) -> None:
    """The handshake era is served on this path too, so GET and DELETE are methods here: of sessions."""
    before = await site.residue()
    reply = await send(http, site.url, headers={"mcp-protocol-version": MODERN}, method=method)
    assert reply.status == (405 if method == "PUT" else 400)
    assert reply.error["code"] == -32600
    await site.left_nothing(before)


# Streams


async def test_log_notes_only_from_the_level_asked_for(http: httpx2.AsyncClient, site: Site) -> None:
    headers, body = modern(call("loud"))
    assert (await send(http, site.url, body, headers)).type == "application/json"
    headers, body = modern(call("loud"), log="warning")
    reply = await send(http, site.url, body, headers)
    assert reply.headers["content-type"] == "text/event-stream"
    assert reply.headers["x-accel-buffering"] == "no"
    *notes, answer = reply.messages
    assert [note["params"]["level"] for note in notes] == ["warning", "error"]
    assert answer["result"]["resultType"] == "complete"
    assert {event.id for event in reply.events} == {None}, "streams of this revision are not resumable"
    assert "mcp-session-id" not in reply.headers


async def test_progress_only_for_a_token(http: httpx2.AsyncClient, site: Site) -> None:
    headers, body = modern(call("progress"), progress=5)
    *notes, answer = (await send(http, site.url, body, headers)).messages
    assert [note["params"]["progress"] for note in notes] == [1, 2, 3]
    assert {note["params"]["progressToken"] for note in notes} == {5}
    assert answer["id"] == 1


async def test_two_requests_with_the_same_id(http: httpx2.AsyncClient, site: Site) -> None:
    before = await site.residue()
    headers, body = modern(call("wait", {"name": f"same-{site.way}"}, id=1))
    waiting = [asyncio.create_task(send(http, site.url, body, headers)) for _ in range(2)]
    await eventually(lambda: site.log.started.count(f"same-{site.way}") == 2)
    await site.release(http, f"same-{site.way}")
    assert [(await each).content for each in waiting] == [f"waited same-{site.way}"] * 2
    await site.left_nothing(before)


async def test_state_of_a_call_does_not_outlive_it(http: httpx2.AsyncClient, site: Site) -> None:
    headers, body = modern(call("remember", {"key": "k", "value": "v"}))
    replies = [await send(http, site.url, body, {**headers, "mcp-session-id": "same"}) for _ in range(2)]
    assert [reply.content for reply in replies] == ["nothing", "nothing"]


# Disconnects


@pytest.mark.parametrize("half", [False, True], ids=["closed", "half closed"])
@pytest.mark.parametrize("note", [False, True], ids=["before the answer", "in the stream"])
async def test_a_disconnect_cancels(half: bool, note: bool, http: httpx2.AsyncClient, site: Site) -> None:
    before = await site.residue()
    name = f"gone-{site.way}-{half}-{note}"
    headers, body = modern(call("wait", {"name": name, "note": note}), log="debug")
    content = json.dumps(body).encode()
    lines = [f"POST {site.path} HTTP/1.1", f"Host: 127.0.0.1:{site.port}", f"Accept: {ACCEPT}"]
    lines += ["Content-Type: application/json", *(f"{key}: {value}" for key, value in headers.items())]
    head = "\r\n".join([*lines, f"Content-Length: {len(content)}", "", ""]).encode()
    async with stream_of(site.port, head + content) as (reader, writer):
        await eventually(lambda: name in site.log.started)
        if note:
            await asyncio.wait_for(reader.readuntil(b"waiting"), 5)
        if half:
            writer.write_eof()  # can't be told from a close
            await eventually(lambda: name in site.log.cancelled)
    await eventually(lambda: name in site.log.cancelled)
    await site.left_nothing(before)
    await site.release(http, name)
    assert name not in site.log.finished


# Mirrored arguments

MIRRORED: dict[str, tuple[dict[str, Any], dict[str, str | None], bool]] = {
    "equal": ({"region": "eu"}, {"mcp-param-region": "eu"}, True),
    "in base64": ({"region": "eu"}, {"mcp-param-region": base64_form("eu")}, True),
    "not ascii, in base64": ({"region": "Zürich"}, {"mcp-param-region": base64_form("Zürich")}, True),
    "blanks inside": ({"region": "a b"}, {"mcp-param-region": "a b"}, True),
    "blanks around the header": ({"region": "eu"}, {"mcp-param-region": " eu\t"}, True),
    "empty equals empty": ({"region": ""}, {"mcp-param-region": ""}, True),
    "missing": ({"region": "eu"}, {}, False),
    "different": ({"region": "eu"}, {"mcp-param-region": "us"}, False),
    "different in case": ({"region": "eu"}, {"mcp-param-region": "EU"}, False),
    "empty header for a value": ({"region": "eu"}, {"mcp-param-region": ""}, False),
    "header for an absent argument": ({}, {"mcp-param-region": "eu"}, False),
    "header for a null argument": ({"region": None}, {"mcp-param-region": "eu"}, False),
    "empty header for an absent argument": ({}, {"mcp-param-region": ""}, False),
    "nothing for an absent argument": ({}, {}, True),
    "nothing for a null argument": ({"region": None}, {}, True),
    "integer": ({"count": 42}, {"mcp-param-count": "42"}, True),
    "integer as a fraction": ({"count": 42}, {"mcp-param-count": "42.0"}, True),
    "fraction in the body": ({"count": 42.0}, {"mcp-param-count": "42"}, True),
    "negative integer": ({"count": -1}, {"mcp-param-count": "-1"}, True),
    "another integer": ({"count": 42}, {"mcp-param-count": "43"}, False),
    "no integer": ({"count": 42}, {"mcp-param-count": "42x"}, False),
    "hexadecimal": ({"count": 42}, {"mcp-param-count": "0x2a"}, False),
    "true": ({"dry": True}, {"mcp-param-dry": "true"}, True),
    "false": ({"dry": False}, {"mcp-param-dry": "false"}, True),
    "true for false": ({"dry": False}, {"mcp-param-dry": "true"}, False),
    "True in Python's way": ({"dry": True}, {"mcp-param-dry": "True"}, False),
    "1 for true": ({"dry": True}, {"mcp-param-dry": "1"}, False),
    "nested": ({"inner": {"id": "x"}}, {"mcp-param-inner": "x"}, True),
    "nested, different": ({"inner": {"id": "x"}}, {"mcp-param-inner": "y"}, False),
    "nested, missing": ({"inner": {"id": "x"}}, {}, False),
    "unmarked argument": ({"free": "x"}, {"mcp-param-free": "y"}, True),
    "unknown header": ({}, {"mcp-param-unheard-of": "y"}, True),
    "broken base64": ({"region": "eu"}, {"mcp-param-region": "=?base64?ZX?="}, False),
    "two arguments": ({"region": "eu", "count": 1}, {"mcp-param-region": "eu", "mcp-param-count": "1"}, True),
    "one of two missing": ({"region": "eu", "count": 1}, {"mcp-param-region": "eu"}, False),
}


@pytest.mark.parametrize(("arguments", "fields", "served"), MIRRORED.values(), ids=MIRRORED.keys())
async def test_mirrored_arguments(arguments: Any, fields: dict[str, str | None], served: bool, site: Site) -> None:
    before = await site.residue()
    headers, body = modern(call("mirrored", arguments))
    answer = await _raw_post(site, {**headers, **fields}, body)
    if served:
        assert answer.status == 200
        assert "result" in answer.json
    else:
        assert (answer.status, answer.json["error"]["code"]) == (400, -32020)
        assert answer.json["id"] == 1
    await site.left_nothing(before)


@pytest.mark.parametrize("second", ["eu", "us"])
async def test_a_mirrored_header_sent_twice(second: str, site: Site) -> None:
    headers, body = modern(call("mirrored", {"region": "eu"}))
    answer = await _raw_post(site, {**headers, "mcp-param-region": "eu"}, body, f"Mcp-Param-Region: {second}")
    assert (answer.status, answer.json["error"]["code"]) == (400, -32020)


async def test_mirrored_headers_do_not_matter_before(http: httpx2.AsyncClient, site: Site) -> None:
    session = await open_session(http, site.url)
    reply = await send(http, site.url, call("mirrored", {"region": "eu"}), {**session, "mcp-param-region": "us"})
    assert reply.status == 200
    assert "eu" in reply.content
    await send(http, site.url, headers=session, method="DELETE")


# Questions


async def _ask(http: httpx2.AsyncClient, site: Site, body: Any, capabilities: Any = None):
    headers, body = modern(body, capabilities=capabilities or {"elicitation": {}})
    return await send(http, site.url, body, headers)


async def test_a_question_is_a_result_to_retry(http: httpx2.AsyncClient, site: Site) -> None:
    before = await site.residue()
    first = await _ask(http, site, call("ask", {"name": f"q-{site.way}"}))
    assert (first.status, first.type) == (200, "application/json")
    assert first.result["resultType"] == "input_required"
    assert first.result["inputRequests"]["who"]["method"] == "elicitation/create"
    assert META + "serverInfo" in first.result["_meta"]
    assert "ttlMs" not in first.result
    await site.left_nothing(before)  # nothing is parked
    answer = {"who": {"action": "accept", "content": {"name": "Ada"}}}
    second = await _ask(
        http,
        site,
        call("ask", {"name": f"q-{site.way}"}, id=2, inputResponses=answer, requestState=first.result["requestState"]),
    )
    assert second.content == "hello Ada"
    assert second.result["resultType"] == "complete"
    assert site.log.runs[f"q-{site.way}"] == 2


async def test_request_state_belongs_to_its_request(http: httpx2.AsyncClient, site: Site) -> None:
    first = await _ask(http, site, call("ask", {"name": "mine"}))
    state = first.result["requestState"]
    flipped = state[:-2] + ("A" if state[-2] != "A" else "B") + state[-1]
    refused = {
        "other arguments": call("ask", {"name": "other"}, requestState=state),
        "other tool": call("ask_model", requestState=state),
        "tampered": call("ask", {"name": "mine"}, requestState=flipped),
        "cut off": call("ask", {"name": "mine"}, requestState=state[:-5]),
        "empty": call("ask", {"name": "mine"}, requestState=""),
        "no base64": call("ask", {"name": "mine"}, requestState="ü" * 40),
    }
    runs = site.log.runs["mine"]
    for name, body in refused.items():
        reply = await _ask(http, site, body, {"elicitation": {}, "sampling": {}})
        assert (reply.status, reply.error["code"]) == (200, -32602), name
    assert site.log.runs["mine"] == runs, "nothing runs on state that is refused"


@pytest.mark.parametrize("plain", [b"", b"1", b"12", b"123"], ids=len)
def test_request_state_has_one_spelling(plain: bytes) -> None:
    """Whichever character is another: also where the last one has bits that decode to nothing."""
    sealer = AeadSealer()
    sealed = sealer.seal(plain)
    assert sealer.open(sealed) == plain
    for position in range(len(sealed)):
        for character in {*string.ascii_letters, *string.digits, *"-_="} - {sealed[position]}:
            assert sealer.open(sealed[:position] + character + sealed[position + 1 :]) is None
    for other in (sealed + "=", sealed.rstrip("=") + "====", sealed + "\n", " " + sealed, sealed.replace("=", "")[:-1]):
        assert sealer.open(other) is None


async def test_an_answer_that_does_not_fit_is_asked_again(http: httpx2.AsyncClient, site: Site) -> None:
    first = await _ask(http, site, call("ask", {"name": "again"}))
    for answers in ({}, {"other": {"action": "accept"}}, {"who": {"action": "accept", "content": {"name": 5}}}):
        body = call("ask", {"name": "again"}, inputResponses=answers, requestState=first.result["requestState"])
        reply = await _ask(http, site, body)
        assert reply.result["resultType"] == "input_required", answers
        assert reply.result["inputRequests"].keys() == {"who"}


# Subscriptions


async def test_listen(http: httpx2.AsyncClient, site: Site) -> None:
    before = await site.residue()
    wanted = {"toolsListChanged": True, "resourceSubscriptions": ["memo://one"]}
    headers, body = modern(body_of("subscriptions/listen", {"notifications": wanted}, id="sub-1"))
    async with stream(http, site.url, body, headers, method="POST") as events:
        assert events.headers["content-type"] == "text/event-stream"
        assert events.headers["x-accel-buffering"] == "no"
        acknowledged = await events.message()
        assert acknowledged["method"] == "notifications/subscriptions/acknowledged"
        assert acknowledged["params"]["notifications"] == wanted
        assert acknowledged["params"]["_meta"][SUBSCRIPTION_ID] == "sub-1"
        for body in (
            call("change", {"kind": "prompt"}),  # not asked for
            call("touch", {"uri": "memo://two"}),  # not asked for
            call("change", {"kind": "tool"}),
            call("touch", {"uri": "memo://one"}),
        ):
            headers, body = modern(body)
            assert (await send(http, site.url, body, headers)).status == 200
        changed, updated = await events.message(), await events.message()
        assert changed["method"] == "notifications/tools/list_changed"
        assert updated["method"] == "notifications/resources/updated"
        assert updated["params"]["uri"] == "memo://one"
        assert {note["params"]["_meta"][SUBSCRIPTION_ID] for note in (changed, updated)} == {"sub-1"}
        assert events.silent
    await site.left_nothing(before)


async def test_listeners_are_keyed_by_stream(http: httpx2.AsyncClient, site: Site) -> None:
    before = await site.residue()
    headers, body = modern(body_of("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, id=1))
    async with stream(http, site.url, body, headers, method="POST") as first:
        async with stream(http, site.url, body, headers, method="POST") as second:
            for events in (first, second):
                await events.message()
            await site.until(listeners=2)
        await site.until(listeners=1)
        headers, change = modern(call("change", {"kind": "tool"}))
        await send(http, site.url, change, headers)
        assert (await first.message())["method"] == "notifications/tools/list_changed"
    await site.left_nothing(before)


async def test_listen_is_no_get(http: httpx2.AsyncClient, site: Site) -> None:
    headers, body = modern(body_of("subscriptions/listen", {"notifications": {"toolsListChanged": True}}))
    reply = await send(http, site.url, body, {**headers, "accept": "application/json"})
    assert reply.status == 406
