"""The client against a server in the same process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from headrace import Context, FastMCP
from headrace.call import Call
from headrace.client import Client, HandlerContext, Notice
from headrace.exceptions import ClientError, InvalidParams, McpError, MethodNotFound, ToolError
from headrace.protocol.types import (
    CallToolResult,
    ElicitRequestParams,
    ElicitResult,
    EmptyResult,
    InputRequest,
    InputRequiredResult,
    ListRootsResult,
    ListToolsResult,
    ProgressNotificationParams,
    RequestParams,
    SubscriptionFilter,
    TextContent,
    Tool,
)
from headrace.protocol.versions import HANDSHAKE_VERSIONS, LATEST, LATEST_HANDSHAKE

pytestmark = pytest.mark.usefixtures("no_tasks_left")
Eventually = Callable[[Callable[[], Any]], Awaitable[None]]


def text(value: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=value)])


async def test_both_eras_agree(stub: Any) -> None:
    server = stub()
    async with Client(server) as client:
        assert client.protocol_version == LATEST.version
        assert client.server_info is not None
        assert client.server_info.name == "stub"
        assert client.session_id is None
        assert server.lifespans == 1
    async with Client(server, mode="legacy") as client:
        assert client.protocol_version == LATEST_HANDSHAKE.version
        assert client.session_id
        assert client.initialize_result is not None
        assert await client.ping() if "ping" in server.handlers else True
    assert server.lifespans == 0
    assert not server.listeners


@pytest.mark.parametrize("version", [*HANDSHAKE_VERSIONS, LATEST.version])
async def test_a_version_can_be_pinned(stub: Any, version: str) -> None:
    ways: list[dict[str, Any]] = [{"protocol_version": version}, {"mode": version}]
    for options in ways:
        async with Client(stub(), **options) as client:
            assert client.protocol_version == version


async def test_an_unknown_version_is_refused(stub: Any) -> None:
    with pytest.raises(ClientError, match="1999"):
        await Client(stub(), protocol_version="1999-01-01").__aenter__()
    with pytest.raises(ClientError, match="Unknown mode 'modem'"):
        await Client(stub(), mode="modem").__aenter__()


async def test_a_server_without_discover_gets_a_handshake(stub: Any) -> None:
    async def unknown(call: Call) -> Any:
        raise MethodNotFound("Method not found")

    server = stub(server__discover=unknown)
    async with Client(server) as client:
        assert client.protocol_version == LATEST_HANDSHAKE.version
    with pytest.raises(ClientError, match="handshake"):
        await Client(server, mode="modern").__aenter__()
    assert server.lifespans == 0


async def test_entered_several_times_and_again(stub: Any) -> None:
    server = stub()
    client = Client(server)
    async with client:
        async with client:
            assert server.lifespans == 1
        assert client.is_connected()
    assert not client.is_connected()
    with pytest.raises(ClientError, match="Not connected"):
        await client.ping()
    async with client:
        assert await client.ping()

    async def one() -> None:
        async with client:
            await client.ping()

    await asyncio.gather(*(one() for _ in range(5)))
    assert server.lifespans == 0


async def test_a_failing_lifespan_is_told(stub: Any) -> None:
    server = stub()

    @contextlib.asynccontextmanager
    async def broken() -> AsyncIterator[None]:
        raise RuntimeError("no database")
        yield

    server.lifespan_context = broken
    with pytest.raises(RuntimeError, match="no database"):
        await Client(server).__aenter__()


async def test_a_question_that_the_client_did_not_declare_is_not_asked(stub: Any) -> None:
    async def call_tool(call: Call) -> Any:
        return InputRequiredResult(input_requests={"q": InputRequest(method="roots/list")})

    async with Client(stub(tools__call=call_tool)) as client:
        with pytest.raises(McpError, match="can't answer roots/list") as caught:
            await client.call_tool("t")
    assert caught.value.data == {"requiredCapabilities": {"roots": {}}}


async def test_handshake_questions_and_their_errors(stub: Any) -> None:
    async def call_tool(call: Call) -> Any:
        roots = await call.peer.ask(
            "roots/list", RequestParams(), check=lambda raw: msgspec.json.decode(raw, type=ListRootsResult)
        )
        try:
            await call.peer.ask("sampling/createMessage", RequestParams(), check=bytes)
        except McpError as error:
            return text(f"{roots.roots[0].uri} {error.code}")
        return text("answered")

    async with Client(stub(tools__call=call_tool), mode="legacy", roots=lambda context: ["file:///b"]) as client:
        assert (await client.call_tool("t")).text == "file:///b -32601"


@pytest.mark.parametrize("mode", ["modern", "legacy"])
async def test_progress_goes_to_the_call_that_asked(stub: Any, mode: Any) -> None:
    async def call_tool(call: Call) -> Any:
        meta = call.params.meta
        assert meta is not None
        assert meta.progress_token is not None
        for step in (1, 2):
            note = ProgressNotificationParams(progress_token=meta.progress_token, progress=step, total=2)
            await call.peer.note("notifications/progress", note)
        return text("done")

    heard: dict[str, list[float]] = {"a": [], "b": []}
    async with Client(stub(tools__call=call_tool), mode=mode) as client:

        async def one(name: str) -> None:
            await client.call_tool(name, progress_handler=lambda progress, total, message: heard[name].append(progress))

        await asyncio.gather(one("a"), one("b"))
    assert heard == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize("mode", ["modern", "legacy"])
async def test_cancelling_a_call_cancels_the_handler(stub: Any, mode: Any, eventually: Eventually) -> None:
    state: list[str] = []

    async def call_tool(call: Call) -> Any:
        state.append("started")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            state.append("cancelled")
            raise

    async with Client(stub(tools__call=call_tool), mode=mode) as client:
        task = asyncio.create_task(client.call_tool("t"))
        await eventually(lambda: state == ["started"])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await eventually(lambda: state == ["started", "cancelled"])

        state.clear()
        with pytest.raises(ClientError, match=r"within 0\.05 seconds"):
            await client.call_tool("t", timeout=0.05)
        await eventually(lambda: state == ["started", "cancelled"])

        state.clear()
        task = asyncio.create_task(client.call_tool("t"))
        await eventually(lambda: state == ["started"])
        assert await client.cancel(client.requests_in_flight[0], "changed my mind")
        with pytest.raises(ClientError, match="changed my mind"):
            await task
        await eventually(lambda: state == ["started", "cancelled"])
        assert not await client.cancel(99)

        state.clear()
        task = asyncio.create_task(client.call_tool("t"))
        await eventually(lambda: state == ["started"])
    with pytest.raises(ClientError, match="closed"):
        await task
    assert state == ["started", "cancelled"]


async def test_listen(stub: Any) -> None:
    async def listen(call: Call) -> Any:
        return SubscriptionFilter(tools_list_changed=True, resource_subscriptions=["data://x"])

    server = stub(subscriptions__listen=listen)
    async with Client(server) as client:
        async with client.listen(tools=True, prompts=True, uris=["data://x"]) as notices:
            assert notices.granted == SubscriptionFilter(tools_list_changed=True, resource_subscriptions=["data://x"])
            server.change("notifications/prompts/list_changed")
            server.change("notifications/resources/updated", "data://y")
            server.change("notifications/resources/updated", "data://x")
            first = await anext(notices)
            assert (first.method, first.params["uri"]) == ("notifications/resources/updated", "data://x")
            server.change("notifications/tools/list_changed")
            assert (await anext(notices)).method == "notifications/tools/list_changed"
        assert not server.listeners
        with pytest.raises(StopAsyncIteration):
            await anext(notices)
        open_until_the_client_closes = client.listen(tools=True)
        await open_until_the_client_closes.open()
    with pytest.raises(ClientError, match="closed"):
        await anext(open_until_the_client_closes)
    assert not server.listeners


async def test_listen_refused(stub: Any) -> None:
    async def listen(call: Call) -> Any:
        raise InvalidParams("not here")

    async with Client(stub(subscriptions__listen=listen)) as client:
        with pytest.raises(InvalidParams, match="not here"):
            async with client.listen(tools=True):
                pass
    async with Client(stub(), mode="legacy") as client:
        with pytest.raises(ClientError, match="subscriptions/listen"):
            client.listen(tools=True)


async def test_change_notices_of_a_handshake_session(stub: Any, eventually: Eventually) -> None:
    async def subscribe(call: Call) -> Any:
        assert call.params.uri is not None
        await call.peer.subscribe(call.params.uri, call.method == "resources/subscribe")
        return EmptyResult()

    heard: list[Notice] = []
    server = stub(resources__subscribe=subscribe, resources__unsubscribe=subscribe)
    async with Client(server, mode="legacy", message_handler=heard.append) as client:
        server.change("notifications/tools/list_changed")
        await eventually(lambda: len(heard) == 1)
        server.change("notifications/resources/updated", "data://x")
        await asyncio.sleep(0.02)
        await client.subscribe_resource("data://x")
        server.change("notifications/resources/updated", "data://x")
        await eventually(lambda: len(heard) == 2)
        await client.unsubscribe_resource("data://x")
    assert heard[1].params == {"uri": "data://x"}
    async with Client(server) as client:
        with pytest.raises(ClientError, match="listen"):
            await client.subscribe_resource("data://x")


async def test_pages_and_endless_lists(stub: Any) -> None:
    async def pages(call: Call) -> Any:
        cursor = call.params.cursor
        tool = Tool(name=f"t{cursor or 0}", input_schema={"type": "object"})
        following = {None: "1", "1": "2", "2": None}[cursor]
        return ListToolsResult(tools=[tool], next_cursor=following, ttl_ms=0, cache_scope="public")

    async def circle(call: Call) -> Any:
        return ListToolsResult(tools=[], next_cursor="again", ttl_ms=0, cache_scope="public")

    async with Client(stub(tools__list=pages)) as client:
        assert [tool.name for tool in await client.list_tools()] == ["t0", "t1", "t2"]
        assert (await client.list_tools_mcp("1")).next_cursor == "2"
    async with Client(stub(tools__list=circle)) as client:
        with pytest.raises(ClientError, match="circle"):
            await client.list_tools()


async def test_wrapped_results_are_unwrapped_by_the_output_schema(stub: Any) -> None:
    lists = 0

    async def list_tools(call: Call) -> Any:
        nonlocal lists
        lists += 1
        schema = {"type": "object", "x-fastmcp-wrap-result": True}
        tools = [
            Tool(name="wrapped", input_schema={"type": "object"}, output_schema=schema),
            Tool(name="plain", input_schema={"type": "object"}, output_schema={"type": "object"}),
        ]
        return ListToolsResult(tools=tools, ttl_ms=0, cache_scope="public")

    async def call_tool(call: Call) -> Any:
        return CallToolResult(content=[], structured_content={"result": 5})

    async with Client(stub(tools__list=list_tools, tools__call=call_tool)) as client:
        assert (await client.call_tool("wrapped")).data == 5
        assert (await client.call_tool("wrapped")).structured_content == {"result": 5}
        assert (await client.call_tool("plain")).data == {"result": 5}
    assert lists == 1


async def test_handlers_that_raise(stub: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def call_tool(call: Call) -> Any:
        meta = call.params.meta
        assert meta is not None
        assert meta.progress_token is not None
        note = ProgressNotificationParams(progress_token=meta.progress_token, progress=1)
        await call.peer.note("notifications/progress", note)
        return text("done")

    async def broken(*_: Any) -> None:
        raise ValueError("my fault")

    async with Client(stub(tools__call=call_tool)) as client:
        assert (await client.call_tool("t", progress_handler=broken)).text == "done"
    assert "my fault" in caplog.text


@pytest.mark.parametrize("mode", ["modern", "legacy"])
async def test_everything_with_our_server(ours: FastMCP, mode: Any) -> None:
    logs: list[Any] = []

    def elicit(message: str, kind: Any, params: ElicitRequestParams, context: HandlerContext) -> Any:
        return kind(value="Ada")

    async with Client(
        ours, mode=mode, elicitation_handler=elicit, log_handler=lambda note: logs.append(note.data)
    ) as client:
        assert (await client.call_tool("add", {"a": 1, "b": 2})).data == 3
        assert (await client.call_tool("greet")).data == "hello Ada"
        with pytest.raises(ToolError, match="no luck"):
            await client.call_tool("fail")
        assert (await client.call_tool("fail", raise_on_error=False)).is_error
        with pytest.raises(McpError) as unknown:
            await client.call_tool("nothing")
        assert unknown.value.code == -32602
        await client.call_tool("work")
        assert len(logs) == 1
        assert (await client.read_resource("data://x"))[0].text == "hey"
        prompt = await client.get_prompt("say", {"what": 5})
        assert isinstance(prompt.messages[0].content, TextContent)
        assert prompt.messages[0].content.text == "say 5"
        assert await client.ping()


async def test_declining(ours: FastMCP) -> None:
    async with Client(ours, elicitation_handler=lambda *_: ElicitResult(action="decline")) as client:
        result = await client.call_tool("greet", raise_on_error=False)
    assert result.is_error


async def test_targets_that_are_none() -> None:
    for target in (5, object()):
        with pytest.raises(ClientError, match="Can't connect"):
            Client(target)


class Panic(BaseException):
    """As extensions that are written in Rust raise."""


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_panic_ends_its_call_and_no_more(ours: FastMCP, mode: Any, caplog: pytest.LogCaptureFixture) -> None:
    @ours.tool
    async def panics() -> None:
        raise Panic

    async with asyncio.timeout(10), Client(ours, mode=mode) as client:
        with pytest.raises(McpError, match="Internal error"):
            await client.call_tool("panics")
        await client.ping() if mode == "legacy" else await client.list_tools()
    assert "Panic" in caplog.text


async def test_many_calls_at_once() -> None:
    server = FastMCP("many")

    @server.tool
    async def same(number: int) -> int:
        return number

    async with asyncio.timeout(30), Client(server) as client:
        results = await asyncio.gather(*(client.call_tool("same", {"number": number}) for number in range(1000)))
    assert [result.data for result in results] == list(range(1000))


async def test_notes_that_nobody_hears_take_a_bounded_amount_of_memory(
    monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setattr("headrace.client.transports.duplex.MAX_UNHEARD_BYTES", 100_000)
    mcp = FastMCP("loud")

    @mcp.tool
    async def shout(ctx: Context) -> str:
        for _ in range(100):
            await ctx.info("x" * 10_000)
        return "done"

    heard: list[int] = []
    listening = asyncio.Event()

    async def log(note: Any) -> None:
        heard.append(len(note.data["msg"]))
        await listening.wait()

    async with Client(mcp, log_handler=log, mode="legacy") as client:
        call = asyncio.create_task(client.call_tool("shout"))
        await eventually(lambda: bool(heard))  # the first one is heard, the others wait
        for _ in range(1000):
            await asyncio.sleep(0)
        listening.set()
        assert (await call).data == "done"
    assert 10 <= len(heard) <= 12


async def test_a_handler_may_close_its_client(eventually: Eventually) -> None:
    mcp = FastMCP("loud")

    @mcp.tool
    async def shout(ctx: Context) -> str:
        await ctx.info("x")
        await asyncio.Event().wait()
        return ""

    ended: list[str] = []

    async def log(note: Any) -> None:
        await client.close()
        ended.append("closed")

    before = asyncio.all_tasks()
    client = Client(mcp, log_handler=log)
    await client.__aenter__()
    with pytest.raises(ClientError, match="the client was closed"):
        await asyncio.wait_for(client.call_tool("shout"), 2)
    await eventually(lambda: ended == ["closed"] and asyncio.all_tasks() == before)


async def test_another_clients_requests_keep_their_order_inside_a_handler() -> None:
    counting = FastMCP("counting")

    @counting.tool
    async def count(ctx: Context) -> int:
        for number in range(3):
            await ctx.report_progress(number)
        return 3

    heard: list[list[float]] = []

    async def log(note: Any) -> None:
        numbers: list[float] = []

        async def progress(number: float, total: float | None, message: str | None) -> None:
            await asyncio.sleep(0)
            numbers.append(number)

        async with Client(counting) as other:
            await other.call_tool("count", progress_handler=progress)
        heard.append(numbers)

    async with Client(counting, log_handler=log) as client:
        await client.call_tool("count")

        @counting.tool
        async def note(ctx: Context) -> None:
            await ctx.info("x")

        await client.call_tool("note")
    assert heard == [[0.0, 1.0, 2.0]]
