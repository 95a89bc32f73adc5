"""The official Python SDK's client: 2026-07-28 as it negotiates by itself, the handshake era, HTTP+SSE, and both eras
over stdio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import mcp_types as types
import pytest
from mcp import Client, MCPError
from mcp.client.session import ClientRequestContext
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.subscriptions import ResourceUpdated, ToolsListChanged

from .app import NOTE
from .conftest import STDIO

SECONDS = 15.0
CONNECTIONS = ["modern", "handshake", "sse", "stdio modern", "stdio handshake"]

# Logging, sampling, roots and subscribing are still there, and deprecated by 2026-07-28.
pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")


class Peer:
    """A client, and what reached it."""

    def __init__(self) -> None:
        self.client: Client
        self.logged: list[Any] = []
        self.notices: asyncio.Queue[str] = asyncio.Queue()
        self.asked: list[str] = []

    async def elicit(self, context: ClientRequestContext, params: types.ElicitRequestParams) -> types.ElicitResult:
        self.asked.append(params.message)
        answers: dict[str, Any] = {"Who are you?": {"name": "Ann", "people": 3}, "Sure, Ann?": {"value": "yes"}}
        return types.ElicitResult(action="accept", content=answers[params.message])

    async def sample(
        self, context: ClientRequestContext, params: types.CreateMessageRequestParams
    ) -> types.CreateMessageResult:
        self.asked.append("sample")
        text = types.TextContent(type="text", text=f"hello in {params.max_tokens}")
        return types.CreateMessageResult(role="assistant", content=text, model="m")

    async def list_roots(self, context: ClientRequestContext) -> types.ListRootsResult:
        self.asked.append("roots")
        return types.ListRootsResult(roots=[types.Root(uri="file:///here")])  # type: ignore[arg-type]

    async def log(self, params: types.LoggingMessageNotificationParams) -> None:
        self.logged.append(params.data)

    async def hear(self, message: Any) -> None:
        assert not isinstance(message, Exception), message
        self.notices.put_nowait(message.method)


Connect = Callable[[], AbstractAsyncContextManager[Peer]]


@pytest.fixture(params=CONNECTIONS)
def connection(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def connect(connection: str, request: pytest.FixtureRequest) -> Connect:
    def target() -> Any:
        """Only the server that is needed is started."""
        if connection.startswith("stdio"):
            return stdio_client(StdioServerParameters(command=STDIO[0], args=list(STDIO[1:])))
        if connection == "sse":
            return sse_client(request.getfixturevalue("sse_url"))
        return request.getfixturevalue("url")

    reached = target()

    @asynccontextmanager
    async def connected() -> AsyncIterator[Peer]:
        peer = Peer()
        async with Client(
            reached,
            mode="auto" if "modern" in connection else "legacy",
            elicitation_callback=peer.elicit,
            sampling_callback=peer.sample,
            list_roots_callback=peer.list_roots,
            logging_callback=peer.log,
            message_handler=peer.hear,
            log_level="info",
            read_timeout_seconds=SECONDS,
        ) as peer.client:
            yield peer

    return connected


async def test_negotiates(connection: str, connect: Connect) -> None:
    async with connect() as peer:
        assert peer.client.protocol_version == ("2026-07-28" if "modern" in connection else "2025-11-25")
        assert peer.client.server_info is not None
        assert peer.client.server_info.name == "peers"
        assert peer.client.instructions == "Ask away"


async def test_lists_and_calls(connect: Connect) -> None:
    async with connect() as peer:
        listed = await peer.client.list_tools()
        assert {tool.name for tool in listed.tools} >= {"add", "count", "survey", "mirrored", "fails"}
        called = await peer.client.call_tool("add", {"a": 1, "b": 2})
        assert (called.structured_content, called.is_error) == ({"result": 3}, False)
        failed = await peer.client.call_tool("fails")
        assert failed.is_error
        assert isinstance(failed.content[0], types.TextContent)
        assert "it broke" in failed.content[0].text
        with pytest.raises(MCPError) as refused:
            await peer.client.call_tool("no such tool")
        assert refused.value.error.code == -32602


async def test_an_argument_that_a_header_mirrors(connect: Connect) -> None:
    async with connect() as peer:
        await peer.client.list_tools()
        for region in ("eu-west", "", " blanks ", "Zürich", "=?base64?x?="):
            called = await peer.client.call_tool("mirrored", {"region": region})
            assert called.structured_content == {"result": region}


async def test_progress_and_log(connection: str, connect: Connect) -> None:
    async with connect() as peer:
        if "modern" not in connection:
            await peer.client.set_logging_level("info")
        seen: list[tuple[float, float | None, str | None]] = []

        async def noted(progress: float, total: float | None, message: str | None) -> None:
            seen.append((progress, total, message))

        called = await peer.client.call_tool("count", {"to": 3}, progress_callback=noted)
        assert called.structured_content == {"result": "done"}
        assert seen == [(1, 3, "at 1"), (2, 3, "at 2"), (3, 3, "at 3")]
        assert [data["msg"] for data in peer.logged] == ["counted to 3"]


async def test_elicits_samples_and_lists_roots(connect: Connect) -> None:
    async with connect() as peer:
        called = await peer.client.call_tool("survey")
        assert called.structured_content == {
            "name": "Ann",
            "people": 3,
            "said": "hello in 20",
            "roots": ["file:///here"],
            "sure": "yes",
        }
        assert sorted(peer.asked) == ["Sure, Ann?", "Who are you?", "roots", "sample"]


async def test_reads_prompts_and_completes(connect: Connect) -> None:
    async with connect() as peer:
        client = peer.client
        assert [str(resource.uri) for resource in (await client.list_resources()).resources] == [NOTE]
        templates = (await client.list_resource_templates()).resource_templates
        assert [template.uri_template for template in templates] == ["note://{name}"]
        for uri, text in ((NOTE, "a note"), ("note://mine", "the note mine")):
            (contents,) = (await client.read_resource(uri)).contents
            assert isinstance(contents, types.TextResourceContents)
            assert contents.text == text
        assert [prompt.name for prompt in (await client.list_prompts()).prompts] == ["greet"]
        (message,) = (await client.get_prompt("greet", {"who": "Ann"})).messages
        assert isinstance(message.content, types.TextContent)
        assert message.content.text == "Greet Ann"
        ref = types.PromptReference(type="ref/prompt", name="greet")
        assert (await client.complete(ref, {"name": "who", "value": "An"})).completion.values == ["Ann", "Anton"]


async def test_subscribes(connection: str, connect: Connect) -> None:
    async with connect() as peer:
        client = peer.client
        if "modern" in connection:
            async with client.listen(tools_list_changed=True, resource_subscriptions=[NOTE]) as subscription:
                await client.call_tool("change")
                seen: list[Any] = []
                async with asyncio.timeout(SECONDS):
                    async for event in subscription:
                        seen.append(event)
                        if len(seen) == 2:
                            break
                assert seen == [ResourceUpdated(uri=NOTE), ToolsListChanged()]
        else:
            await client.subscribe_resource(NOTE)
            await until_heard(
                peer,
                {"notifications/resources/updated", "notifications/tools/list_changed"},
                lambda: client.call_tool("change"),
            )
            await client.unsubscribe_resource(NOTE)


async def until_heard(peer: Peer, methods: set[str], change: Callable[[], Awaitable[Any]]) -> None:
    """The client opens its GET stream on the side, and nothing says when it is there: change until it hears."""
    missing = set(methods)
    async with asyncio.timeout(SECONDS):
        while missing:
            await change()
            try:
                while missing:
                    missing.discard(await asyncio.wait_for(peer.notices.get(), 0.3))
            except TimeoutError:
                continue


async def test_many_calls_at_once(connect: Connect) -> None:
    async with connect() as peer:
        called = await asyncio.gather(*(peer.client.call_tool("add", {"a": n, "b": 1}) for n in range(50)))
        assert [each.structured_content for each in called] == [{"result": n + 1} for n in range(50)]
