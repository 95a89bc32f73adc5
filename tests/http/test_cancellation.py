"""What ends a call before its answer, and what does not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from headrace.state.memory import MemoryEventStore

from .servers import WAYS, Site, eventually, serve
from .wire import body_of, call, initialize, modern, open_session, send, stream


@pytest.fixture(scope="module", params=WAYS)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with serve(request.param) as site:
        yield site


@pytest.fixture
async def session(http: httpx2.AsyncClient, site: Site):
    headers = await open_session(http, site.url, capabilities={"elicitation": {}})
    yield headers
    await send(http, site.url, headers=headers, method="DELETE")


def cancelled(id: Any) -> dict[str, Any]:
    return body_of("notifications/cancelled", {"requestId": id, "reason": "enough"}, id=...)


async def start(http: httpx2.AsyncClient, site: Site, session: Any, name: str, id: Any = 4, **arguments: Any):
    """A call that waits; the task of its answer."""
    waiting = asyncio.create_task(send(http, site.url, call("wait", {"name": name, **arguments}, id=id), session))
    await eventually(lambda: name in site.log.started)
    return waiting


def unique(session: dict[str, str], name: str = "") -> str:
    return name + session["mcp-session-id"]


@pytest.mark.parametrize("id", [4, 0, "four"], ids=repr)
async def test_cancelled_cancels_the_call(
    id: Any, http: httpx2.AsyncClient, site: Site, session: dict[str, str]
) -> None:
    before = await site.residue()
    name = unique(session, repr(id))
    waiting = await start(http, site, session, name, id)
    assert (await send(http, site.url, cancelled(id), session)).status == 202
    reply = await waiting
    assert name in site.log.cancelled
    assert (reply.status, reply.text) == (202, ""), "a cancelled request gets no response"
    await site.left_nothing(before)
    # The id is free again, and the session as good as before.
    assert (await send(http, site.url, call("add", {"a": 1, "b": 1}, id=id), session)).content == "2"


async def test_a_cancelled_stream_ends_without_a_response(
    http: httpx2.AsyncClient, site: Site, session: dict[str, str]
) -> None:
    before = await site.residue()
    name = unique(session)
    async with stream(http, site.url, call("wait", {"name": name, "note": True}), session, method="POST") as events:
        assert "method" in await events.message()
        await send(http, site.url, cancelled(1), session)
        await events.ended()
    assert name in site.log.cancelled
    await site.left_nothing(before)


IGNORED = {
    "an unknown id": 99,
    "the id as text": "4",
    "a fraction": 4.5,
    "null": None,
    "true": True,
    "a list": [4],
}


@pytest.mark.parametrize("id", IGNORED.values(), ids=IGNORED.keys())
async def test_what_is_ignored(id: Any, http: httpx2.AsyncClient, site: Site, session: dict[str, str]) -> None:
    name = unique(session)
    waiting = await start(http, site, session, name)
    reply = await send(http, site.url, cancelled(id), session)
    assert (reply.status, reply.text) == (202, "")
    await site.release(http, name)
    assert (await waiting).content == f"waited {name}"
    assert name not in site.log.cancelled


async def test_another_session_s_cancellation(http: httpx2.AsyncClient, site: Site, session: dict[str, str]) -> None:
    other = await open_session(http, site.url)
    name = unique(session)
    waiting = await start(http, site, session, name)
    assert (await send(http, site.url, cancelled(4), other)).status == 202
    await site.release(http, name)
    assert (await waiting).content == f"waited {name}"
    assert name not in site.log.cancelled
    await send(http, site.url, headers=other, method="DELETE")


async def test_a_modern_cancellation_matches_nothing(
    http: httpx2.AsyncClient, site: Site, session: dict[str, str]
) -> None:
    """Neither a session's call nor another modern one: ids are the client's own."""
    names = [unique(session, prefix) for prefix in ("old", "new")]
    headers, body = modern(call("wait", {"name": names[1]}, id=4))
    waiting = [
        await start(http, site, session, names[0]),
        asyncio.create_task(send(http, site.url, body, headers)),
    ]
    await eventually(lambda: names[1] in site.log.started)
    headers = {"mcp-protocol-version": "2026-07-28", "mcp-session-id": session["mcp-session-id"]}
    assert (await send(http, site.url, cancelled(4), headers)).status == 202
    for name in names:
        await site.release(http, name)
    assert [(await each).content for each in waiting] == [f"waited {name}" for name in names]


async def test_after_the_answer_it_is_too_late(http: httpx2.AsyncClient, site: Site, session: dict[str, str]) -> None:
    assert (await send(http, site.url, call("add", {"a": 1, "b": 1}, id=4), session)).content == "2"
    assert (await send(http, site.url, cancelled(4), session)).status == 202
    assert (await send(http, site.url, call("add", {"a": 1, "b": 2}, id=4), session)).content == "3"


async def test_only_the_one_call(http: httpx2.AsyncClient, site: Site, session: dict[str, str]) -> None:
    names = [unique(session, letter) for letter in "abc"]
    waiting = [await start(http, site, session, name, number) for number, name in enumerate(names)]
    await send(http, site.url, cancelled(1), session)
    assert (await waiting[1]).status == 202
    for name in names:
        await site.release(http, name)
    assert [(await waiting[number]).content for number in (0, 2)] == [f"waited {names[0]}", f"waited {names[2]}"]
    assert [name for name in names if name in site.log.cancelled] == [names[1]]


async def test_while_it_waits_for_the_client(http: httpx2.AsyncClient, site: Site, session: dict[str, str]) -> None:
    """The client's user need not answer any more."""
    before = await site.residue()
    name = unique(session)
    async with stream(http, site.url, call("ask", {"name": name}), session, method="POST") as events:
        question = await events.message()
        await send(http, site.url, cancelled(1), session)
        ended = await events.message()
        assert ended["method"] == "notifications/cancelled"
        assert ended["params"]["requestId"] == question["id"]
        await events.ended()
    assert name in site.log.cancelled
    await site.left_nothing(before)
    late = {"jsonrpc": "2.0", "id": question["id"], "result": {"action": "cancel"}}
    assert (await send(http, site.url, late, session)).status == 202


async def test_a_sync_function_runs_on_and_its_result_is_dropped(
    http: httpx2.AsyncClient, site: Site, session: dict[str, str]
) -> None:
    site.log.thread_gate.clear()
    before = await site.residue()
    name = unique(session)
    waiting = asyncio.create_task(send(http, site.url, call("block", {"name": name}, id=4), session))
    await eventually(lambda: name in site.log.started)
    await send(http, site.url, cancelled(4), session)
    assert (await asyncio.wait_for(waiting, 2)).text == ""
    await site.left_nothing(before)
    site.log.thread_gate.set()


async def test_in_a_batch(http: httpx2.AsyncClient, site: Site) -> None:
    session = await open_session(http, site.url, "2025-03-26")
    name = unique(session)
    batch = [call("wait", {"name": name}, id=1), call("add", {"a": 1, "b": 1}, id=2)]
    waiting = asyncio.create_task(send(http, site.url, batch, session))
    await eventually(lambda: name in site.log.started)
    await send(http, site.url, cancelled(1), session)
    (only,) = (await waiting).messages
    assert only["id"] == 2
    assert only["result"]["content"][0]["text"] == "2"
    assert name in site.log.cancelled
    await send(http, site.url, headers=session, method="DELETE")


async def test_an_initialize_can_t_be_cancelled(http: httpx2.AsyncClient, site: Site) -> None:
    first = await send(http, site.url, initialize(id=1))
    session = {"mcp-session-id": first.headers["mcp-session-id"]}
    assert (await send(http, site.url, cancelled(1), session)).status == 202
    assert (await send(http, site.url, call("add", {"a": 1, "b": 1}), session)).content == "2"
    await send(http, site.url, headers=session, method="DELETE")


async def test_a_lost_stream_can_still_be_cancelled(http: httpx2.AsyncClient) -> None:
    with serve(event_store=MemoryEventStore()) as site:
        session = await open_session(http, site.url)
        before = await site.residue()
        body = call("wait", {"name": "lost", "note": True}, id=4)
        async with stream(http, site.url, body, session, method="POST") as events:
            await events.next()
            last = await events.next()
        await send(http, site.url, cancelled(4), session)
        await eventually(lambda: "lost" in site.log.cancelled)
        await site.left_nothing(before)
        resumed = {**session, "last-event-id": last.id or ""}
        assert (await send(http, site.url, headers=resumed, method="GET")).events == []


@pytest.mark.parametrize("era", ["handshake", "modern"])
async def test_a_tool_s_own_timeout_bounds_it(era: str, http: httpx2.AsyncClient) -> None:
    with serve() as site:

        @site.mcp.tool(timeout=0.1)
        async def slow() -> str:
            """Never done by itself."""
            try:
                await asyncio.Event().wait()
            finally:
                site.log.cancelled.append("slow")
            return "never"

        headers: dict[str, Any] = {}
        body = call("slow")
        if era == "modern":
            headers, body = modern(body)
        else:
            headers = await open_session(http, site.url)
        before = await site.residue()
        reply = await send(http, site.url, body, headers)
        assert reply.status == 200
        assert reply.result["isError"] is True
        assert site.log.cancelled == ["slow"]
        await site.left_nothing(before)
