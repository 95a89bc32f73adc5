"""What belongs to one principal is out of reach for another: its session, its streams, its request state, its tools.

`tests/soak/test_isolation.py` does it with many at once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator

import httpx2
import pytest

from headrace.state.rates import caller_of

from ..http.servers import Running
from ..http.wire import body_of, call, initialize, modern, send
from .isolated import ELICITATION, Caller, callers, new_markers, served

MARKERS = new_markers(2)


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with served(MARKERS) as running:
        yield running


@pytest.fixture
async def two(running: Running) -> AsyncGenerator[list[Caller]]:
    """Two principals that have each asked, in both eras."""
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as http:
        found = await callers(http, running, MARKERS)
        for caller in found:
            await caller.ask(True)
            await caller.ask(False)
        yield found


async def test_another_s_session_is_404_and_lives_on(two: list[Caller]) -> None:
    owner, thief = two
    stolen = {**owner.session, **thief.token}
    for method, body in (
        ("POST", call("echo", {"marker": "x"})),
        ("POST", body_of("tools/list")),
        ("POST", initialize()),
        ("POST", body_of("notifications/cancelled", {"requestId": 1}, id=...)),
        ("POST", {"jsonrpc": "2.0", "id": 1, "result": {"action": "cancel"}}),
        ("GET", None),
        ("DELETE", None),
    ):
        reply = await send(thief.http, thief.url, body, stolen, method=method)
        assert (reply.status, reply.error["code"]) == (404, -32600), (method, body)
        thief.look(reply.text)
    await owner.echo(False)


async def test_another_s_event_id_is_400_and_tells_nothing(two: list[Caller]) -> None:
    owner, thief = two
    assert len(owner.event_ids) >= 1
    for headers, status in ((thief.session, 400), ({**owner.session, **thief.token}, 404)):
        reply = await send(thief.http, thief.url, None, {**headers, "last-event-id": owner.event_ids[-1]}, method="GET")
        assert (reply.status, reply.error["code"]) == (status, -32600)
        thief.look(reply.text)
    await thief.echo(False)


async def test_another_s_request_state_is_refused(two: list[Caller]) -> None:
    owner, thief = two
    for marker in (thief.marker, "x"):
        params = {
            "name": "ask",
            "arguments": {"marker": marker},
            "inputResponses": {"who": {"action": "accept", "content": {"marker": "x"}}},
            "requestState": owner.states[0],
        }
        headers, body = modern(body_of("tools/call", params), capabilities=ELICITATION)
        reply = await send(thief.http, thief.url, body, {**headers, **thief.token})
        assert (reply.status, reply.error["code"]) == (200, -32602)
        thief.look(reply.text)


async def test_another_s_tool_is_not_there(two: list[Caller]) -> None:
    owner, thief = two
    for era in (True, False):
        await thief.lists(era)
        body = call(f"own-{owner.marker}", {"marker": "x"})
        headers = thief.session
        if era:
            own, body = modern(body)
            headers = {**thief.token, **own}
        reply = await send(thief.http, thief.url, body, headers)
        assert (reply.status, reply.error["code"]) == (200, -32602)


async def test_without_a_token_nothing_opens(two: list[Caller]) -> None:
    owner = two[0]
    bare = {name: value for name, value in owner.session.items() if name != "authorization"}
    for method in ("POST", "GET", "DELETE"):
        reply = await send(owner.http, owner.url, call("echo", {"marker": "x"}), bare, method=method)
        assert reply.status == 401
        assert owner.marker not in reply.text


def test_a_principal_called_like_an_address_is_not_counted_with_it() -> None:
    scope = {"client": ("192.0.2.1", 1)}
    assert caller_of("network 192.0.2.1", scope) != caller_of(None, scope)
