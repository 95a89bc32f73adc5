"""The client over HTTP against our own server and the official SDK's, in both eras."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from headrace import FastMCP
from headrace.client import Client, Notice
from headrace.exceptions import ClientError, McpError, ToolError
from headrace.protocol.types import TextContent
from headrace.protocol.versions import LATEST, LATEST_HANDSHAKE

pytestmark = pytest.mark.usefixtures("no_tasks_left")
Eventually = Callable[[Callable[[], Any]], Awaitable[None]]


@pytest.fixture(params=["ours", "peer"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "peer":
        return request.getfixturevalue("peer_url")
    return request.getfixturevalue("our_server")[1]


@pytest.fixture(params=["auto", "legacy"])
def mode(request: pytest.FixtureRequest) -> Any:
    return request.param


async def test_call_list_read_prompt(url: str, mode: Any) -> None:
    async with Client(url, mode=mode) as client:
        assert client.protocol_version == (LATEST if mode == "auto" else LATEST_HANDSHAKE).version
        assert (client.session_id is None) == (mode == "auto")
        assert {"add", "greet"} <= {tool.name for tool in await client.list_tools()}
        assert (await client.call_tool("add", {"a": 2, "b": 3})).structured_content == {"result": 5}
        assert (await client.read_resource("data://x"))[0].text == "hey"
        assert [resource.uri for resource in await client.list_resources()] == ["data://x"]
        assert await client.list_resource_templates() == []
        assert [prompt.name for prompt in await client.list_prompts()] == ["say"]
        content = (await client.get_prompt("say", {"what": "hi"})).messages[0].content
        assert isinstance(content, TextContent)
        assert content.text == "say hi"
        assert await client.ping()


async def test_progress_logs_and_errors(url: str, mode: Any) -> None:
    logs: list[Any] = []
    progress: list[Any] = []
    async with Client(url, mode=mode, log_handler=lambda note: logs.append(note.level)) as client:
        called = await client.call_tool("work", progress_handler=lambda *step: progress.append(step))
        assert called.text == "worked"
        assert progress == [(1, 2, "half"), (2, 2, "done")]
        assert logs == ["info"]
        with pytest.raises(ToolError, match=r"fail|no luck"):
            await client.call_tool("fail")
        with pytest.raises(McpError):
            await client.read_resource("data://nothing")


async def test_elicitation(url: str, mode: Any) -> None:
    def answer(message: str, kind: Any, params: Any, context: Any) -> Any:
        return dict.fromkeys(params.requested_schema["properties"], "Ada")

    async with Client(url, mode=mode, elicitation_handler=answer) as client:
        assert (await client.call_tool("greet")).text == "hello Ada"


async def test_many_calls_at_once(url: str, mode: Any) -> None:
    async with Client(url, mode=mode) as client:
        results = await asyncio.gather(*(client.call_tool("add", {"a": n, "b": n}) for n in range(20)))
    assert [result.text for result in results] == [str(2 * n) for n in range(20)]


async def test_timeout_and_cancellation(url: str, mode: Any) -> None:
    async with Client(url, mode=mode) as client:
        with pytest.raises(ClientError, match=r"within 0\.1 seconds"):
            await client.call_tool("sleep", {"seconds": 30}, timeout=0.1)
        task = asyncio.create_task(client.call_tool("sleep", {"seconds": 30}))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await client.ping()


async def test_listen_and_change_notices(our_server: tuple[FastMCP, str], mode: Any, eventually: Eventually) -> None:
    server, url = our_server

    async def extra() -> None:
        pass

    heard: list[Notice] = []
    async with Client(url, mode=mode, message_handler=heard.append) as client:
        if mode == "auto":
            async with client.listen(tools=True) as notices:
                server.tool(extra)
                server.remove_tool("extra")
                assert (await asyncio.wait_for(anext(notices), 5)).method == "notifications/tools/list_changed"
        else:
            server.tool(extra)
            server.remove_tool("extra")
            await eventually(lambda: heard)
            assert heard[0].method == "notifications/tools/list_changed"


async def test_a_session_ended_by_someone_else(our_server: tuple[FastMCP, str]) -> None:
    _, url = our_server
    async with Client(url, mode="legacy") as client, Client(url, mode="legacy") as other:
        assert client.session_id != other.session_id
        other.transport.session_id = client.session_id  # pyright: ignore[reportAttributeAccessIssue]
        ended = client.session_id
        await other.close()
        results = await asyncio.gather(*(client.call_tool("add", {"a": n, "b": n}) for n in range(10)))
        assert [result.data for result in results] == [2 * n for n in range(10)]
        assert client.session_id not in (None, ended)
