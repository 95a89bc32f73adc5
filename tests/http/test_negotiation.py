"""Real negotiation of each handshake revision, what each gets, and the batches of 2025-03-26."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import jsonschema_rs
import pytest

from .servers import WAYS, Site, eventually, serve
from .wire import body_of, call, initialize, open_session, send, stream

VERSIONS = ["2025-03-26", "2025-06-18", "2025-11-25"]


@pytest.fixture(scope="module", params=WAYS)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with serve(request.param) as site:
        yield site


@pytest.fixture
async def old(http: httpx2.AsyncClient, site: Site):
    """A session of 2025-03-26."""
    headers = await open_session(http, site.url, "2025-03-26")
    yield headers
    await send(http, site.url, headers=headers, method="DELETE")


def add(id: Any, a: int = 1) -> dict[str, Any]:
    return call("add", {"a": a, "b": 1}, id=id)


INITIALIZED = body_of("notifications/initialized", id=...)


# Versions


@pytest.mark.parametrize(
    ("asked", "agreed"),
    [
        *((version, version) for version in VERSIONS),
        ("2026-07-28", "2025-11-25"),  # has no handshake
        ("2099-01-01", "2025-11-25"),
        ("2025-03-27", "2025-11-25"),
        ("1.0", "2025-11-25"),
        ("", "2025-11-25"),
        ("DRAFT-2025-v3", "2025-11-25"),
    ],
)
async def test_the_version_is_agreed_on(asked: str, agreed: str, http: httpx2.AsyncClient, site: Site) -> None:
    reply = await send(http, site.url, initialize(asked))
    assert reply.status == 200
    assert reply.result["protocolVersion"] == agreed
    await send(http, site.url, headers={"mcp-session-id": reply.headers["mcp-session-id"]}, method="DELETE")


@pytest.mark.parametrize("header", [None, *VERSIONS])
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_session_speaks_what_it_agreed_on(
    version: str, header: str | None, http: httpx2.AsyncClient, site: Site
) -> None:
    """Whatever served version a later request's header names, or none."""
    session: dict[str, Any] = await open_session(http, site.url, version)
    reply = await send(http, site.url, add(1), {**session, "mcp-protocol-version": header})
    assert reply.content == "2"
    assert ("structuredContent" in reply.result) == (version != "2025-03-26")
    await send(http, site.url, headers=session, method="DELETE")


@pytest.mark.parametrize("version", VERSIONS)
async def test_lists_and_results_are_of_the_revision(
    version: str, http: httpx2.AsyncClient, site: Site, schemas: dict[str, Any]
) -> None:
    """Valid against the official schema of the revision, and without members that it does not know."""
    session = await open_session(http, site.url, version)
    asked = {
        "InitializeResult": initialize(version),
        "ListToolsResult": body_of("tools/list"),
        "ListResourcesResult": body_of("resources/list"),
        "ListResourceTemplatesResult": body_of("resources/templates/list"),
        "ListPromptsResult": body_of("prompts/list"),
        "ReadResourceResult": body_of("resources/read", {"uri": "memo://one"}),
        "GetPromptResult": body_of("prompts/get", {"name": "greet", "arguments": {"name": "Ada"}}),
        "CallToolResult": add(1),
    }
    for name, body in asked.items():
        headers = {} if name == "InitializeResult" else session
        result = (await send(http, site.url, body, headers)).result
        valid(schemas[version], name, result)
        assert not {"resultType", "ttlMs", "cacheScope"} & result.keys()
    tools = (await send(http, site.url, body_of("tools/list"), session)).result["tools"]
    assert any("outputSchema" in tool for tool in tools) == (version != "2025-03-26")
    await send(http, site.url, headers=session, method="DELETE")


@pytest.fixture(scope="module")
def schemas() -> dict[str, Any]:
    folder = Path(__file__).parent.parent / "schemas"
    return {version: json.loads((folder / f"{version}.json").read_text()) for version in VERSIONS}


def valid(schema: dict[str, Any], name: str, value: Any) -> None:
    keyword = "$defs" if "$defs" in schema else "definitions"
    validator = jsonschema_rs.validator_for({"$ref": f"#/{keyword}/{name}", keyword: schema[keyword]})
    assert [error.message for error in validator.iter_errors(value)] == [], name


QUESTIONS = {
    # version: what the question has, and has not
    "2025-06-18": ({"message", "requestedSchema"}, {"mode"}),
    "2025-11-25": ({"message", "requestedSchema"}, set[str]()),
}


@pytest.mark.parametrize("version", QUESTIONS)
async def test_questions_are_of_the_revision(version: str, http: httpx2.AsyncClient, site: Site) -> None:
    session = await open_session(http, site.url, version, capabilities={"elicitation": {}})
    async with stream(http, site.url, call("ask"), session, method="POST") as events:
        params = (await events.message())["params"]
        has, has_not = QUESTIONS[version]
        assert has <= params.keys()
        assert not has_not & params.keys()
        await send(http, site.url, body_of("notifications/cancelled", {"requestId": 1}, id=...), session)
    await send(http, site.url, headers=session, method="DELETE")


# Batches


async def test_a_batch_is_answered_by_a_batch(http: httpx2.AsyncClient, site: Site, old: dict[str, str]) -> None:
    before = await site.residue()
    batch = [add(1), INITIALIZED, add("two", 2), body_of("ping", id=3), body_of("tools/burn", id=4), call("fail", id=5)]
    reply = await send(http, site.url, batch, old)
    assert (reply.status, reply.type) == (200, "application/json")
    assert isinstance(reply.json, list)
    answers = {message["id"]: message for message in reply.json}
    assert answers.keys() == {1, "two", 3, 4, 5}
    assert [answers[id]["result"]["content"][0]["text"] for id in (1, "two")] == ["2", "3"]
    assert answers[3]["result"] == {}
    assert answers[4]["error"]["code"] == -32601
    assert answers[5]["result"]["isError"] is True
    await site.left_nothing(before)


async def test_a_batch_of_one_is_answered_by_a_batch_of_one(
    http: httpx2.AsyncClient, site: Site, old: dict[str, str]
) -> None:
    reply = await send(http, site.url, [add(1)], old)
    assert [message["id"] for message in reply.json] == [1]


@pytest.mark.parametrize(
    "batch",
    [
        [INITIALIZED],
        [INITIALIZED, body_of("notifications/cancelled", {"requestId": 9}, id=...)],
        [{"jsonrpc": "2.0", "id": 9, "result": {}}],
        [INITIALIZED, {"jsonrpc": "2.0", "id": 9, "error": {"code": -1, "message": "no"}}],
    ],
    ids=["a notification", "notifications", "a response", "both"],
)
async def test_a_batch_without_requests(batch: Any, http: httpx2.AsyncClient, site: Site, old: dict[str, str]) -> None:
    before = await site.residue()
    reply = await send(http, site.url, batch, old)
    assert (reply.status, reply.text) == (202, "")
    await site.left_nothing(before)


async def test_50_items_and_no_more(http: httpx2.AsyncClient, site: Site, old: dict[str, str]) -> None:
    before = await site.residue()
    reply = await send(http, site.url, [add(number) for number in range(50)], old)
    assert {message["id"] for message in reply.json} == set(range(50))
    reply = await send(http, site.url, [add(number) for number in range(51)], old)
    assert (reply.status, reply.error["code"]) == (400, -32600)
    await site.left_nothing(before)


REFUSED = {
    "empty": (b"[]", -32600),
    "empty with blanks": (b" \n[ ]", -32600),
    "initialize alone": ([initialize()], -32600),
    "initialize in it": ([add(1), initialize(id=2)], -32600),
    "broken": (b'[{"jsonrpc":"2.0"', -32700),
    "too deep": (b"[" * 200 + b"]" * 200, -32700),
}


@pytest.mark.parametrize(("batch", "code"), REFUSED.values(), ids=REFUSED.keys())
async def test_refused_batches(
    batch: Any, code: int, http: httpx2.AsyncClient, site: Site, old: dict[str, str]
) -> None:
    before = await site.residue()
    reply = await send(http, site.url, batch, old)
    assert (reply.status, reply.error["code"]) == (400, code)
    assert isinstance(reply.json, dict)
    assert "id" not in reply.json
    await site.left_nothing(before)


async def test_a_batch_with_initialize_opens_no_session(http: httpx2.AsyncClient, site: Site) -> None:
    before = await site.residue()
    reply = await send(http, site.url, [initialize("2025-03-26")])
    assert reply.status == 400
    assert "mcp-session-id" not in reply.headers
    await site.left_nothing(before)


async def test_items_that_are_no_messages(http: httpx2.AsyncClient, site: Site, old: dict[str, str]) -> None:
    """Each gets the error it deserves, without an id; the others are served."""
    reply = await send(http, site.url, [1, {}, [], add(1), {"jsonrpc": "2.0", "id": None, "method": "ping"}], old)
    assert reply.status == 200
    served = [message for message in reply.json if "result" in message]
    refused = [message for message in reply.json if "error" in message]
    assert [message["id"] for message in served] == [1]
    assert [message["error"]["code"] for message in refused] == [-32600] * 4
    assert not any("id" in message for message in refused)


async def test_the_same_id_twice_in_a_batch(http: httpx2.AsyncClient, site: Site, old: dict[str, str]) -> None:
    name = f"batch-{old['mcp-session-id']}"
    batch = [call("wait", {"name": name}, id=1), add(1)]
    waiting = asyncio.create_task(send(http, site.url, batch, old))
    await eventually(lambda: name in site.log.started)
    await site.release(http, name)
    answers = (await waiting).json
    assert sorted("error" in answer for answer in answers) == [False, True]
    assert [answer["error"]["code"] for answer in answers if "error" in answer] == [-32600]


async def test_notes_in_a_batch_make_it_a_stream(http: httpx2.AsyncClient, site: Site, old: dict[str, str]) -> None:
    before = await site.residue()
    reply = await send(http, site.url, [call("notes", id=1), add(2)], old)
    assert reply.type == "text/event-stream"
    assert [message["method"] for message in reply.messages if "method" in message] == ["notifications/message"] * 2
    assert {message["id"] for message in reply.messages if "id" in message} == {1, 2}
    await site.left_nothing(before)


async def test_a_batch_without_session(http: httpx2.AsyncClient, site: Site) -> None:
    reply = await send(http, site.url, [add(1)])
    assert (reply.status, reply.error["code"]) == (400, -32600)


@pytest.mark.parametrize("version", ["2025-06-18", "2025-11-25"])
async def test_later_revisions_have_no_batches(version: str, http: httpx2.AsyncClient, site: Site) -> None:
    session = await open_session(http, site.url, version)
    before = await site.residue()
    reply = await send(http, site.url, [add(1)], session)
    assert (reply.status, reply.error["code"]) == (400, -32600)
    assert version in reply.error["message"]
    await site.left_nothing(before)
    await send(http, site.url, headers=session, method="DELETE")
