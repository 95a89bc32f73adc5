"""State from call to call: per user, and per handle; never across users."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import BaseModel

from headrace import Client, FastMCP
from headrace.exceptions import ToolError
from headrace.server.auth import StaticTokenVerifier
from headrace.server.dependencies import get_session
from headrace.server.sessions import (
    CurrentSession,
    MemoryStateStore,
    OptionalCurrentSession,
    Session,
    SessionId,
    SessionProvider,
    SessionStates,
    UserSession,
)
from headrace.testing import run_server_async

TOKENS = {
    "ann": {"client_id": "app", "sub": "ann"},
    "ann-renewed": {"client_id": "app", "sub": "ann"},
    "bob": {"client_id": "app", "sub": "bob"},
}


class Item(BaseModel):
    name: str


def shop(**options: Any) -> FastMCP:
    mcp = FastMCP("shop", **options)
    mcp.add_provider(SessionProvider())

    @mcp.tool
    async def remember(fact: str, session: UserSession) -> list[str]:
        facts = [*await session.get("facts", default=[]), fact]
        await session.set("facts", facts)
        return facts

    @mcp.tool
    async def who(session: UserSession | None = None) -> str:
        return "nobody" if session is None else f"somebody {session.id}"

    @mcp.tool
    async def whose(
        session: Session | None = OptionalCurrentSession(),  # noqa: B008
    ) -> bool:
        return session is not None

    @mcp.tool
    async def explicit(session: Session = CurrentSession()) -> Any:  # noqa: B008
        return await session.get("facts")

    @mcp.tool
    async def add(item: str, session_id: SessionId) -> list[dict[str, str]]:
        session = await get_session(session_id)
        assert session.id == session_id
        cart = [*await session.get("cart", []), Item(name=item)]
        await session.set("cart", cart)
        return await session.get("cart")

    @mcp.tool
    async def forget(session_id: SessionId, key: str | None = None) -> list[dict[str, str]]:
        session = await get_session(session_id)
        await (session.clear() if key is None else session.delete(key))
        return await session.get("cart", [])

    @mcp.tool
    async def end_meanwhile(session_id: SessionId) -> None:
        session = await get_session(session_id)
        await mcp.call_tool("end_session", {"session_id": session_id})
        await session.set("late", 1)

    @mcp.tool
    async def keep(value: str, session_id: SessionId) -> None:
        session = await get_session(session_id)
        await session.set("value", object() if value == "object" else value)

    return mcp


@asynccontextmanager
async def users(mcp: FastMCP, *tokens: str, mode: Any = "auto") -> AsyncGenerator[list[Client]]:
    mcp.auth = StaticTokenVerifier(TOKENS)
    async with run_server_async(mcp) as url:
        clients = [Client(url, auth=token, mode=mode, timeout=20) for token in tokens]
        for client in clients:
            await client.__aenter__()
        try:
            yield clients
        finally:
            for client in clients:
                await client.close()


async def call(client: Client, name: str, **arguments: Any) -> Any:
    result = await client.call_tool(name, arguments)
    return json.loads(result.text) if result.data is None and result.text else result.data


@pytest.mark.parametrize("mode", ["modern", "legacy"])
async def test_a_bucket_per_user(mode: Any) -> None:
    async with users(shop(), "ann", "bob", "ann-renewed", mode=mode) as (ann, bob, renewed):
        assert await call(ann, "remember", fact="a") == ["a"]
        assert await call(bob, "remember", fact="b") == ["b"]
        assert await call(renewed, "remember", fact="c") == ["a", "c"]
        assert await call(ann, "explicit") == ["a", "c"]
        assert (await call(ann, "who"), await call(ann, "whose")) == ("somebody None", True)


async def test_nobody_has_no_bucket() -> None:
    async with Client(shop()) as client:
        with pytest.raises(ToolError, match="nobody is: turn authentication on"):
            await call(client, "remember", fact="a")
        assert (await call(client, "who"), await call(client, "whose")) == ("nobody", False)


async def test_what_clients_see() -> None:
    async with Client(shop()) as client:
        tools = {tool.name: tool for tool in await client.list_tools()}
    assert set(tools["remember"].input_schema["properties"]) == {"fact"}
    assert tools["who"].input_schema["properties"] == {}
    handle = tools["add"].input_schema["properties"]["session_id"]
    assert (handle["type"], "create a session" in handle["description"]) == ("string", True)
    assert tools["add"].input_schema["required"] == ["item", "session_id"]
    assert set(tools["end_session"].input_schema["properties"]) == {"session_id"}
    assert tools["create_session"].input_schema["properties"] == {}


@pytest.mark.parametrize("mode", ["modern", "legacy"])
async def test_handles(mode: Any) -> None:
    async with Client(shop(), mode=mode) as client:
        one, other = await call(client, "create_session"), await call(client, "create_session")
        assert one != other
        assert len(one) >= 32
        assert await call(client, "add", item="a", session_id=one) == [{"name": "a"}]
        assert await call(client, "add", item="b", session_id=one) == [{"name": "a"}, {"name": "b"}]
        assert await call(client, "add", item="c", session_id=other) == [{"name": "c"}]
        assert await call(client, "forget", session_id=other, key="nosuch") == [{"name": "c"}]
        assert await call(client, "forget", session_id=other, key="cart") == []
        assert await call(client, "forget", session_id=one) == []
        assert await call(client, "add", item="d", session_id=one) == [{"name": "d"}]
        assert await call(client, "end_session", session_id=one) == "session ended"
        for tool, arguments in {"add": {"item": "e"}, "end_session": {}, "forget": {}}.items():
            with pytest.raises(ToolError, match="No such session"):
                await call(client, tool, session_id=one, **arguments)
        with pytest.raises(ToolError, match="No such session"):
            await call(client, "end_meanwhile", session_id=other)
        with pytest.raises(ToolError, match="No such session"):
            await call(client, "forget", session_id=other)


@pytest.mark.parametrize("handle", ["", "nosuch", "a:b", "a" * 65, "../x", "é"])
async def test_handles_that_are_none(handle: str) -> None:
    with pytest.raises(ToolError, match="No such session"):
        await shop().call_tool("end_session", {"session_id": handle})


async def test_a_handle_is_nothing_to_somebody_else() -> None:
    mcp = shop(mask_error_details=True)
    async with users(mcp, "ann", "bob") as (ann, bob):
        handle = await call(ann, "create_session")
        await call(ann, "add", item="a", session_id=handle)
        for tool, arguments in {"add": {"item": "b"}, "end_session": {}, "forget": {}}.items():
            with pytest.raises(ToolError, match=r"^No such session: create one first"):
                await call(bob, tool, session_id=handle, **arguments)
        with pytest.raises(ToolError, match="No such session"):
            await mcp.call_tool("forget", {"session_id": handle})  # nobody is somebody else, too
        assert await call(ann, "add", item="c", session_id=handle) == [{"name": "a"}, {"name": "c"}]


async def test_values_are_json() -> None:
    mcp = shop()
    async with Client(mcp) as client:
        handle = await call(client, "create_session")
        with pytest.raises(ToolError, match="Session state is JSON, which 'value' is not"):
            await call(client, "keep", value="object", session_id=handle)
        mcp.session_states = SessionStates(MemoryStateStore(max_record_bytes=100))
        handle = await call(client, "create_session")
        await call(client, "keep", value="small", session_id=handle)
        with pytest.raises(ToolError, match="at most 100 bytes"):
            await call(client, "keep", value="x" * 100, session_id=handle)


class SlowStore:
    """A store of somebody else's, which lets others go first at every step."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, Any]] = {}

    async def get(self, key: str) -> dict[str, Any] | None:
        await asyncio.sleep(0)
        return self.records.get(key)

    async def put(self, key: str, value: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        self.records[key] = value

    async def delete(self, key: str) -> bool:
        await asyncio.sleep(0)
        return self.records.pop(key, None) is not None


async def test_calls_at_a_time_lose_nothing() -> None:
    store = SlowStore()
    mcp = shop(session_state_store=store)

    @mcp.tool
    async def put(key: str, session_id: SessionId) -> None:
        await (await get_session(session_id)).set(key, key)

    async with Client(mcp) as client:
        handle = await call(client, "create_session")
        names = [f"k{number}" for number in range(20)]
        await asyncio.gather(*(call(client, "put", key=name, session_id=handle) for name in names))
    (record,) = store.records.values()
    assert record == {"state": {name: name for name in names}}


async def test_the_longest_idle_give_way() -> None:
    store = MemoryStateStore(max_records=2, max_bytes=40)
    await store.put("a", {"v": 1})
    await store.put("b", {"v": 2})
    assert await store.get("a") == {"v": 1}
    await store.put("c", {"v": 3})
    assert [await store.get(key) for key in "abc"] == [{"v": 1}, None, {"v": 3}]
    await store.put("a", {"v": "x" * 30})  # more bytes than there is room for both
    assert [await store.get(key) for key in "ac"] == [{"v": "x" * 30}, None]
    assert len(store) == 1
    await store.delete("a")
    await store.delete("a")
    await store.put("d", {"v": "x" * 30})
    assert len(store) == 1
