"""Change notices on GET streams and subscriptions, log levels, and lists in pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from .servers import WAYS, Site, serve
from .wire import META, body_of, call, modern, open_session, send, stream

LIST_CHANGES = {
    "notifications/tools/list_changed": call("change", {"kind": "tool"}),
    "notifications/prompts/list_changed": call("change", {"kind": "prompt"}),
}
WANTED = {
    "notifications/tools/list_changed": "toolsListChanged",
    "notifications/prompts/list_changed": "promptsListChanged",
    "notifications/resources/list_changed": "resourcesListChanged",
}
LEVELS = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]
SAID = ["debug", "info", "warning", "error"]
"""What the tool `loud` says."""


@pytest.fixture(scope="module", params=WAYS)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with serve(request.param) as site:
        yield site


@pytest.fixture
async def session(http: httpx2.AsyncClient, site: Site):
    headers = await open_session(http, site.url)
    yield headers
    await send(http, site.url, headers=headers, method="DELETE")


async def do(http: httpx2.AsyncClient, site: Site, body: Any) -> None:
    """A call by somebody else."""
    headers, body = modern(body)
    assert "content" in (await send(http, site.url, body, headers)).result


def listen(wanted: dict[str, Any], id: Any = 1):
    return modern(body_of("subscriptions/listen", {"notifications": wanted}, id=id))


# GET streams


@pytest.mark.parametrize("method", LIST_CHANGES)
async def test_list_changes_on_a_get_stream(
    method: str, http: httpx2.AsyncClient, site: Site, session: dict[str, str]
) -> None:
    async with stream(http, site.url, headers=session) as events:
        await do(http, site, LIST_CHANGES[method])
        assert await events.message() == {"jsonrpc": "2.0", "method": method}
        assert events.silent


async def test_changes_in_a_worker_thread(http: httpx2.AsyncClient, site: Site, session: dict[str, str]) -> None:
    async with stream(http, site.url, headers=session) as events:
        await do(http, site, call("change_resources", {"name": session["mcp-session-id"]}))
        assert (await events.message())["method"] == "notifications/resources/list_changed"


async def test_every_session_hears_of_it(http: httpx2.AsyncClient, site: Site) -> None:
    before = await site.residue()
    one, two = await open_session(http, site.url), await open_session(http, site.url, "2025-03-26")
    async with stream(http, site.url, headers=one) as first, stream(http, site.url, headers=two) as second:
        await do(http, site, LIST_CHANGES["notifications/tools/list_changed"])
        for events in (first, second):
            assert (await events.message())["method"] == "notifications/tools/list_changed"
    for session in (one, two):
        await send(http, site.url, headers=session, method="DELETE")
    await site.left_nothing(before)


async def test_updates_of_subscribed_resources_only(
    http: httpx2.AsyncClient, site: Site, session: dict[str, str]
) -> None:
    def about(method: str, uri: str) -> dict[str, Any]:
        return body_of(f"resources/{method}", {"uri": uri})

    async with stream(http, site.url, headers=session) as events:
        assert (await send(http, site.url, about("subscribe", "memo://one"), session)).result == {}
        await do(http, site, call("touch", {"uri": "memo://two"}))
        await do(http, site, call("touch", {"uri": "memo://one"}))
        updated = await events.message()
        assert updated == {
            "jsonrpc": "2.0",
            "method": "notifications/resources/updated",
            "params": {"uri": "memo://one"},
        }
        assert (await send(http, site.url, about("unsubscribe", "memo://one"), session)).result == {}
        await do(http, site, call("touch", {"uri": "memo://one"}))
        await do(http, site, LIST_CHANGES["notifications/tools/list_changed"])
        assert (await events.message())["method"] == "notifications/tools/list_changed", "unsubscribed, yet told"


async def test_subscriptions_are_of_their_session(http: httpx2.AsyncClient, site: Site) -> None:
    mine, other = await open_session(http, site.url), await open_session(http, site.url)
    await send(http, site.url, body_of("resources/subscribe", {"uri": "memo://one"}), mine)
    async with stream(http, site.url, headers=mine) as me, stream(http, site.url, headers=other) as them:
        await do(http, site, call("touch", {"uri": "memo://one"}))
        await do(http, site, LIST_CHANGES["notifications/tools/list_changed"])
        assert (await me.message())["method"] == "notifications/resources/updated"
        for events in (me, them):
            assert (await events.message())["method"] == "notifications/tools/list_changed"
    for session in (mine, other):
        await send(http, site.url, headers=session, method="DELETE")


async def test_notices_never_come_on_the_stream_of_a_call(
    http: httpx2.AsyncClient, site: Site, session: dict[str, str]
) -> None:
    """2025-11-25, Listening for Messages: what is unrelated to a request belongs on the GET stream."""
    name = session["mcp-session-id"]
    async with (
        stream(http, site.url, headers=session) as get,
        stream(http, site.url, call("wait", {"name": name, "note": True}), session, method="POST") as events,
    ):
        await events.message()
        await do(http, site, LIST_CHANGES["notifications/tools/list_changed"])
        assert (await get.message())["method"] == "notifications/tools/list_changed"
        assert events.silent
        await site.release(http, name)
        assert (await events.message())["params"]["data"]["msg"] == f"released {name}"
        assert get.silent


# subscriptions/listen


@pytest.mark.parametrize("method", WANTED)
async def test_listen_gets_what_it_asked_for(method: str, http: httpx2.AsyncClient, site: Site) -> None:
    before = await site.residue()
    headers, body = listen({WANTED[method]: True})
    async with stream(http, site.url, body, headers, method="POST") as events:
        acknowledged = (await events.message())["params"]
        assert acknowledged["notifications"] == {WANTED[method]: True}
        await do(http, site, call("touch", {"uri": "memo://one"}))
        await do(http, site, LIST_CHANGES["notifications/tools/list_changed"])
        await do(http, site, LIST_CHANGES["notifications/prompts/list_changed"])
        await do(http, site, call("change_resources", {"name": f"{site.way}-{method[14:19]}"}))
        assert await events.message() == {
            "jsonrpc": "2.0",
            "method": method,
            "params": {"_meta": {META + "subscriptionId": 1}},
        }
        assert events.silent
    await site.left_nothing(before)


@pytest.mark.parametrize("id", [0, "text", 'quote " and ü'], ids=repr)
async def test_the_subscription_id_is_the_request_s(id: Any, http: httpx2.AsyncClient, site: Site) -> None:
    headers, body = listen({"resourceSubscriptions": ["memo://ü?x=1"]}, id)
    async with stream(http, site.url, body, headers, method="POST") as events:
        assert (await events.message())["params"]["_meta"] == {META + "subscriptionId": id}
        await do(http, site, call("touch", {"uri": "memo://ü?x=1"}))
        updated = await events.message()
        assert updated["params"] == {"_meta": {META + "subscriptionId": id}, "uri": "memo://ü?x=1"}


async def test_nothing_asked_for_nothing_comes(http: httpx2.AsyncClient, site: Site) -> None:
    headers, body = listen({"toolsListChanged": False})
    async with stream(http, site.url, body, headers, method="POST") as events:
        assert (await events.message())["params"]["notifications"] == {}
        await do(http, site, LIST_CHANGES["notifications/tools/list_changed"])
        await do(http, site, call("add", {"a": 1, "b": 1}))
        assert events.silent


async def test_many_resources_are_too_many(http: httpx2.AsyncClient, site: Site) -> None:
    before = await site.residue()
    headers, body = listen({"resourceSubscriptions": [f"memo://{number}" for number in range(1001)]})
    reply = await send(http, site.url, body, headers)
    assert (reply.status, reply.error["code"]) == (200, -32602)
    await site.left_nothing(before)


# Log levels


@pytest.mark.parametrize("level", [None, *LEVELS])
async def test_log_levels_of_a_session(
    level: str | None, http: httpx2.AsyncClient, site: Site, session: dict[str, str]
) -> None:
    """All where none was set."""
    if level is not None:
        assert (await send(http, site.url, body_of("logging/setLevel", {"level": level}), session)).result == {}
    reply = await send(http, site.url, call("loud"), session)
    heard = [message["params"]["level"] for message in reply.messages if "method" in message]
    assert heard == [said for said in SAID if level is None or LEVELS.index(said) >= LEVELS.index(level)]


async def test_the_level_is_of_its_session(http: httpx2.AsyncClient, site: Site) -> None:
    quiet, loud = await open_session(http, site.url), await open_session(http, site.url)
    await send(http, site.url, body_of("logging/setLevel", {"level": "emergency"}), quiet)
    assert len((await send(http, site.url, call("loud"), quiet)).messages) == 1
    assert len((await send(http, site.url, call("loud"), loud)).messages) == 5
    for session in (quiet, loud):
        await send(http, site.url, headers=session, method="DELETE")


@pytest.mark.parametrize("level", [None, *LEVELS])
async def test_log_levels_of_a_request(level: str | None, http: httpx2.AsyncClient, site: Site) -> None:
    """None where none was asked for."""
    headers, body = modern(call("loud"), log=level)
    reply = await send(http, site.url, body, headers)
    heard = [message["params"]["level"] for message in reply.messages if "method" in message]
    assert heard == [said for said in SAID if level is not None and LEVELS.index(said) >= LEVELS.index(level)]


# Pages

LISTS = {"tools/list": "tools", "resources/list": "resources", "prompts/list": "prompts"}


@pytest.fixture(scope="module")
def paged() -> Iterator[Site]:
    with serve(server={"list_page_size": 3}) as site:
        for number in range(7):
            site.mcp.resource(f"page://{number}", name=f"page-{number}")(lambda: "page")

            site.mcp.prompt(f"prompt-{number}")(lambda: "prompt")
        yield site


@pytest.mark.parametrize("era", ["handshake", "modern"])
@pytest.mark.parametrize("method", LISTS)
async def test_pages_hold_everything_once_and_in_order(
    method: str, era: str, http: httpx2.AsyncClient, paged: Site
) -> None:
    session: dict[str, Any] = await open_session(http, paged.url) if era == "handshake" else {}

    async def page(cursor: str | None) -> dict[str, Any]:
        headers, body = session, body_of(method, {} if cursor is None else {"cursor": cursor})
        if era == "modern":
            headers, body = modern(body)
        return (await send(http, paged.url, body, headers)).result

    pages = [await page(None)]
    while "nextCursor" in pages[-1]:
        assert len(pages) < 50
        pages.append(await page(pages[-1]["nextCursor"]))
    sizes = [len(each[LISTS[method]]) for each in pages]
    assert len(pages) > 1
    assert sizes[:-1] == [3] * (len(pages) - 1)
    assert 1 <= sizes[-1] <= 3
    found = [item.get("uri") or item["name"] for each in pages for item in each[LISTS[method]]]
    assert len(found) == len(set(found)) == len(getattr(paged.mcp, LISTS[method]))
    assert await page(None) == pages[0], "the order depends on earlier requests"
    if era == "modern":
        assert len({(each["cacheScope"], each["ttlMs"]) for each in pages}) == 1


BAD_CURSORS = ["", "bad", "bzM", "bzM=x", "bzA=", "bzk5OTk=", "bzQ=", "ü", "x" * 10_000]
"""Some are cursors of the right form for places where no page begins."""


@pytest.mark.parametrize("cursor", BAD_CURSORS, ids=lambda cursor: cursor[:10])
async def test_cursors_that_were_never_given(cursor: str, http: httpx2.AsyncClient, paged: Site) -> None:
    for method in (*LISTS, "resources/templates/list"):
        headers, body = modern(body_of(method, {"cursor": cursor}))
        reply = await send(http, paged.url, body, headers)
        assert (reply.status, reply.error["code"]) == (200, -32602), method
