"""What operations give: typed data, raw results, kept results, clear errors, an end in time."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from typing import Any, Literal

import msgspec
import pytest
from msgspec import Raw

from headrace import FastMCP
from headrace.call import Call
from headrace.client import Client
from headrace.client.cache import MAX_TTL_MS, Key, ResponseCache, key_of
from headrace.exceptions import ClientError, InvalidParams, McpError, NotFoundError, ToolError
from headrace.protocol.types import (
    CallToolResult,
    CompleteResult,
    Completion,
    ElicitRequestParams,
    GetPromptResult,
    InputRequest,
    InputRequiredResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    ProgressNotificationParams,
    PromptReference,
    ReadResourceResult,
    ResourceContents,
    SubscriptionFilter,
    TextContent,
    Tool,
)

pytestmark = pytest.mark.usefixtures("no_tasks_left")
Eventually = Callable[[Callable[[], Any]], Awaitable[None]]
MODES = pytest.mark.parametrize("mode", ["modern", "legacy"])
URI = "data://x"
FORM = {"type": "object", "properties": {"value": {"type": "string"}}}


def tool(name: str = "t", output_schema: dict[str, Any] | None = None, version: str | None = None) -> Tool:
    meta = None if version is None else {"fastmcp": {"version": version}}
    return Tool(name=name, input_schema={"type": "object"}, output_schema=output_schema, meta=meta)


def answering(result: Any) -> Callable[[Call], Awaitable[Any]]:
    async def answer(call: Call) -> Any:
        return result(call) if callable(result) else result

    return answer


def tools(*listed: Tool, ttl_ms: int = 0, cursor: str | None = None) -> ListToolsResult:
    return ListToolsResult(tools=list(listed), next_cursor=cursor, ttl_ms=ttl_ms, cache_scope="private")


def asked(server: Any, method: str) -> int:
    return sum(call.method == method for call in server.seen)


# Typed data


@dataclasses.dataclass
class Person:
    name: str
    born: date
    nick: str | None = None


@MODES
async def test_data_has_the_types_of_the_output_schema(mode: Any) -> None:
    server = FastMCP("types")
    ada = Person("Ada", date(1815, 12, 10))

    @server.tool
    async def person() -> Person:
        return ada

    @server.tool
    async def people() -> list[Person]:
        return [ada]

    @server.tool
    async def when() -> datetime:
        return datetime(2026, 7, 28, 12)

    @server.tool
    async def counts() -> dict[str, int]:
        return {"a": 1}

    @server.tool
    async def maybe() -> Literal["a"] | None:
        return None

    @server.tool
    async def untyped():  # type: ignore[no-untyped-def]
        return {"a": [1]}

    async with Client(server, mode=mode) as client:
        data = (await client.call_tool("person")).data
        assert (type(data).__name__, data.name, data.born, data.nick) == ("Person", "Ada", date(1815, 12, 10), None)
        assert [each.born.year for each in (await client.call_tool("people")).data] == [1815]
        result = await client.call_tool("when")
        assert result.data == datetime(2026, 7, 28, 12)
        assert result.structured_content == {"result": "2026-07-28T12:00:00"}
        assert (await client.call_tool("counts")).data == {"a": 1}
        assert (await client.call_tool("maybe")).data is None
        assert (await client.call_tool("untyped")).data == {"a": [1]}


WRAPS = {"x-fastmcp-wrap-result": True}


@pytest.mark.parametrize(
    ("schema", "structured", "data", "warning"),
    [
        ({"type": "object", **WRAPS}, {"result": 5}, 5, ""),
        ({"type": "object", **WRAPS}, {"other": 5}, {"other": 5}, ""),
        ({"type": "object", "properties": {"result": {"type": "integer"}}, **WRAPS}, {"result": "x"}, "x", "fit"),
        ({"type": "object", "properties": {"a": {"type": "integer"}}}, {"a": "x"}, {"a": "x"}, "fit"),
        ({"type": "array", "items": {"format": "date", "type": "string"}}, ["2026-07-28"], [date(2026, 7, 28)], ""),
        ({"type": "object", "properties": 3}, {"a": 1}, {"a": 1}, "not usable"),
        ({"$ref": "https://example.com/schema"}, {"a": 1}, {"a": 1}, "not usable"),
        ({"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}}, {"a": 1}, {"a": 1}, "not usable"),
        (None, {"result": 5}, {"result": 5}, ""),
    ],
)
async def test_data_falls_back_to_the_plain_value(
    stub: Any, schema: Any, structured: Any, data: Any, warning: str, caplog: pytest.LogCaptureFixture
) -> None:
    result = CallToolResult(content=[], structured_content=structured)
    server = stub(tools__list=answering(tools(tool(output_schema=schema))), tools__call=answering(result))
    async with Client(server) as client:
        for _ in range(2):
            assert (await client.call_tool("t")).data == data
        assert (await client.call_tool_mcp("t")).structured_content == structured
    assert asked(server, "tools/list") == 1
    assert warning in caplog.text
    assert bool(warning) == bool(caplog.text)


async def test_the_list_is_asked_for_once(stub: Any) -> None:
    async def call_tool(call: Call) -> Any:
        if call.params.name == "plain":
            return CallToolResult(content=[])
        return CallToolResult(content=[], structured_content={"result": 1})

    server = stub(tools__list=answering(tools(tool())), tools__call=call_tool)
    async with Client(server) as client:
        await client.call_tool("plain")
        assert asked(server, "tools/list") == 0
        await asyncio.gather(*(client.call_tool("t") for _ in range(20)))
        assert asked(server, "tools/list") == 1
        for _ in range(2):
            assert (await client.call_tool("hidden")).data == {"result": 1}
        assert asked(server, "tools/list") == 2


async def test_a_version_that_is_not_the_listed_one_stays_plain(stub: Any) -> None:
    schema = {"type": "object", "properties": {"result": {"type": "number"}}, **WRAPS}
    result = CallToolResult(content=[], structured_content={"result": 10})
    server = stub(tools__list=answering(tools(tool(output_schema=schema, version="2"))), tools__call=answering(result))
    async with Client(server) as client:
        for version, kind in ((None, float), ("2", float), ("1", int)):
            assert type((await client.call_tool("t", version=version)).data) is kind
    assert server.seen[-1].params.meta.fastmcp == {"version": "1"}


@pytest.mark.parametrize("fails", ["refuses", "stalls"])
async def test_a_list_that_does_not_come_costs_no_result(stub: Any, fails: str) -> None:
    async def list_tools(call: Call) -> Any:
        if fails == "stalls":
            await asyncio.sleep(60)
        raise McpError("no list")

    result = CallToolResult(content=[], structured_content={"a": 1})
    server = stub(tools__list=list_tools, tools__call=answering(result))
    async with asyncio.timeout(5), Client(server) as client:
        for _ in range(2):
            assert (await client.call_tool("t", timeout=0.1)).data == {"a": 1}
    assert asked(server, "tools/list") == 1


async def test_a_failed_tool(stub: Any) -> None:
    failed = CallToolResult(content=[TextContent(text="a"), TextContent(text="b")], is_error=True)
    async with Client(stub(tools__call=answering(failed))) as client:
        with pytest.raises(ToolError, match="a\nb"):
            await client.call_tool("t")
        result = await client.call_tool("t", raise_on_error=False)
        assert (result.is_error, result.data, result.text) == (True, None, "a\nb")


# Raw results


@MODES
async def test_every_operation_has_a_raw_form(stub: Any, mode: Any) -> None:
    server = stub(
        tools__list=answering(tools()),
        tools__call=answering(CallToolResult(content=[], is_error=True)),
        resources__list=answering(ListResourcesResult(resources=[], ttl_ms=0, cache_scope="private")),
        resources__templates__list=answering(
            ListResourceTemplatesResult(resource_templates=[], ttl_ms=0, cache_scope="private")
        ),
        resources__read=answering(ReadResourceResult(contents=[], ttl_ms=0, cache_scope="private")),
        prompts__list=answering(ListPromptsResult(prompts=[], ttl_ms=0, cache_scope="private")),
        prompts__get=answering(lambda call: GetPromptResult(messages=[], description=str(call.params.name))),
        completion__complete=answering(CompleteResult(completion=Completion(values=["a"]))),
    )
    async with Client(server, mode=mode) as client:
        results = [
            await client.list_tools_mcp(),
            await client.call_tool_mcp("t", {}),
            await client.list_resources_mcp(),
            await client.list_resource_templates_mcp(),
            await client.read_resource_mcp(URI),
            await client.list_prompts_mcp(),
            await client.get_prompt_mcp("p", {"a": 1}),
            await client.complete_mcp(PromptReference(name="p"), {"name": "a", "value": ""}),
        ]
        assert [type(each) for each in results] == [
            ListToolsResult,
            CallToolResult,
            ListResourcesResult,
            ListResourceTemplatesResult,
            ReadResourceResult,
            ListPromptsResult,
            GetPromptResult,
            CompleteResult,
        ]
        assert (await client.get_prompt("p")).description == "p"
        assert (await client.complete(PromptReference(name="p"), {"name": "a", "value": ""})).values == ["a"]


# Errors


@MODES
@pytest.mark.parametrize(("code", "missing"), [(-32002, True), (-32602, True), (-32603, False), (-32601, False)])
async def test_an_unknown_resource(stub: Any, mode: Any, code: int, missing: bool) -> None:
    async def read(call: Call) -> Any:
        raise McpError("gone fishing", code=code, data={"k": 1})

    async with Client(stub(resources__read=read, prompts__get=read), mode=mode) as client:
        with pytest.raises(McpError, match="gone fishing") as told:
            await client.read_resource("data://gone")
        assert (told.value.code, told.value.data) == (code, {"k": 1})
        assert isinstance(told.value, NotFoundError) == missing
        if isinstance(told.value, NotFoundError):
            assert told.value.uri == "data://gone"
            assert str(told.value) == "the server 'stub' has no resource 'data://gone': gone fishing"
        with pytest.raises(McpError) as other:
            await client.get_prompt("p")
        assert not isinstance(other.value, NotFoundError)


# Kept results


def reading(ttl_ms: int | None, scope: Any = "private") -> Callable[[Call], Awaitable[Any]]:
    numbers: dict[str, int] = {}

    async def read(call: Call) -> Any:
        uri = str(call.params.uri)
        numbers[uri] = numbers.get(uri, 0) + 1
        part = ResourceContents(uri=uri, text=str(numbers[uri]))
        return ReadResourceResult(contents=[part], ttl_ms=ttl_ms, cache_scope=scope)

    return read


async def read(client: Client, uri: str = URI, **options: Any) -> str | None:
    return (await client.read_resource(uri, **options))[0].text


@pytest.mark.parametrize(
    ("ttl_ms", "options", "times"),
    [
        (60_000, {}, 1),
        (60_000, {"cache": False}, 3),
        (60_000, {"mode": "legacy"}, 3),
        (0, {}, 3),
        (-5, {}, 3),
        (10**15, {}, 1),
    ],
)
async def test_a_result_is_kept_as_long_as_the_server_says(
    stub: Any, ttl_ms: int, options: dict[str, Any], times: int
) -> None:
    server = stub(resources__read=reading(ttl_ms), tools__list=answering(tools(tool(), ttl_ms=ttl_ms)))
    async with Client(server, **options) as client:
        for _ in range(3):
            (await client.list_tools())[0].name = "spoilt"
            await read(client)
        assert (await client.list_tools())[0].name == "t"
        assert await read(client, "data://y") == "1"
        await client.ping() if options.get("mode") != "legacy" else None
    assert asked(server, "resources/read") == times + 1
    assert asked(server, "tools/list") == (1 if times == 1 else 4)


async def test_a_ping_and_a_request_with_meta_are_always_sent(stub: Any) -> None:
    server = stub(resources__read=reading(60_000))
    async with Client(server) as client:
        assert await read(client) == "1"
        assert await read(client, meta={"com.example/a": 1}) == "2"
        assert await read(client, version="3") == "3"
        assert await read(client) == "1"
        assert await read(client, cache_mode="bypass") == "4"
        assert await read(client) == "1"
        assert await read(client, cache_mode="refresh") == "5"
        assert await read(client) == "5"
        before = asked(server, "server/discover")
        await client.ping()
        await client.ping()
        assert asked(server, "server/discover") == before + 2


@pytest.mark.parametrize(
    ("method", "uri", "stale"),
    [
        ("notifications/tools/list_changed", None, {"tools/list"}),
        ("notifications/prompts/list_changed", None, {"prompts/list"}),
        (
            "notifications/resources/list_changed",
            None,
            {"resources/list", "resources/templates/list", "resources/read"},
        ),
        ("notifications/resources/updated", URI, {"resources/read"}),
        ("notifications/resources/updated", f"{URI}/part", {"resources/read"}),
        ("notifications/resources/updated", f"{URI}y", set()),
    ],
)
async def test_a_notice_ends_what_is_kept(stub: Any, method: str, uri: str | None, stale: set[str]) -> None:
    long = {"ttl_ms": 60_000, "cache_scope": "public"}

    async def listen(call: Call) -> Any:
        uris = [URI, f"{URI}/part", f"{URI}y"]
        return SubscriptionFilter(
            tools_list_changed=True,
            prompts_list_changed=True,
            resources_list_changed=True,
            resource_subscriptions=uris,
        )

    server = stub(
        subscriptions__listen=listen,
        tools__list=answering(tools(ttl_ms=60_000)),
        prompts__list=answering(ListPromptsResult(prompts=[], **long)),
        resources__list=answering(ListResourcesResult(resources=[], **long)),
        resources__templates__list=answering(ListResourceTemplatesResult(resource_templates=[], **long)),
        resources__read=reading(60_000),
    )

    async def all_of_them(client: Client) -> None:
        await client.list_tools()
        await client.list_prompts()
        await client.list_resources()
        await client.list_resource_templates()
        await client.read_resource(URI)

    async with Client(server) as client, client.listen(tools=True) as notices:
        await all_of_them(client)
        server.seen.clear()
        await all_of_them(client)
        assert server.seen == []
        server.change(method, uri)
        assert (await asyncio.wait_for(anext(notices), 5)).method == method
        await all_of_them(client)
        assert {call.method for call in server.seen} == stale


async def test_an_answer_under_way_when_a_notice_comes_is_not_kept(stub: Any) -> None:
    reached, go = asyncio.Event(), asyncio.Event()
    number = reading(60_000)

    async def slow(call: Call) -> Any:
        result = await number(call)
        reached.set()
        await go.wait()
        return result

    server = stub(resources__read=slow, subscriptions__listen=answering(SubscriptionFilter(tools_list_changed=True)))
    async with Client(server) as client, client.listen(tools=True) as notices:
        first = asyncio.create_task(read(client))
        await reached.wait()
        server.change("notifications/tools/list_changed")
        await asyncio.wait_for(anext(notices), 5)
        go.set()
        assert await first == "1"
        assert await read(client) == "2"
        assert await read(client) == "2"


@pytest.mark.parametrize("with_state", [False, True])
async def test_what_answers_led_to_is_not_kept(stub: Any, with_state: bool) -> None:
    rounds = 0

    async def read_resource(call: Call) -> Any:
        nonlocal rounds
        rounds += 1
        if rounds % 2:
            question = InputRequest(method="elicitation/create", params={"message": "?", "requestedSchema": FORM})
            state = "s" if with_state else None
            return InputRequiredResult(input_requests={"q": question}, request_state=state)
        part = ResourceContents(uri=URI, text=str(rounds))
        return ReadResourceResult(contents=[part], ttl_ms=60_000, cache_scope="public")

    def answer(message: str, kind: Any, params: ElicitRequestParams, context: Any) -> Any:
        return {"value": "x"}

    async with Client(stub(resources__read=read_resource), elicitation_handler=answer) as client:
        assert [await read(client), await read(client)] == ["2", "4"]


async def test_private_results_end_with_the_connection_and_none_are_shared(stub: Any) -> None:
    for scope, after in (("private", "3"), ("public", "1"), (None, "3")):
        server = stub(resources__read=reading(60_000, scope))
        client, other = Client(server), Client(server)
        async with client, other:
            assert [await read(client), await read(other), await read(client)] == ["1", "2", "1"]
        with pytest.raises(ClientError, match="Not connected"):
            await read(client)
        async with client:
            assert await read(client) == after


async def test_a_kept_page_with_a_cursor_that_is_no_longer_valid(stub: Any) -> None:
    generation = 1

    async def list_tools(call: Call) -> Any:
        cursor = call.params.cursor
        if cursor is None:
            return tools(tool(f"first-{generation}"), ttl_ms=60_000, cursor=f"c{generation}")
        if cursor != f"c{generation}":
            raise InvalidParams("unknown cursor")
        return tools(tool(f"second-{generation}"))

    async with Client(stub(tools__list=list_tools)) as client:
        assert [each.name for each in await client.list_tools()] == ["first-1", "second-1"]
        generation = 2
        assert [each.name for each in await client.list_tools()] == ["first-2", "second-2"]
        with pytest.raises(InvalidParams, match="unknown cursor"):
            await client.list_tools_mcp("c1")


def kept(ttl_ms: int | None, scope: Any = "public") -> ReadResourceResult:
    return ReadResourceResult(contents=[], ttl_ms=ttl_ms, cache_scope=scope)


async def test_the_cache_is_bounded_and_forgets_in_time() -> None:
    now = 100.0
    cache = ResponseCache(lambda: now, max_entries=3, max_bytes=40)
    keys = [Key("v", "resources/read", str(number)) for number in range(4)]
    for key in keys[:3]:
        cache.put(key, Raw(b"12345"), kept(1000), 0)
    assert bytes(cache.get(keys[0]) or b"") == b"12345"
    cache.put(keys[3], Raw(b"12345"), kept(2000), 0)
    assert [cache.get(key) is not None for key in keys] == [True, False, True, True]
    cache.put(keys[1], Raw(b"1234567890+"), kept(1000), 0)  # too large
    assert cache.get(keys[1]) is None
    now += 1
    assert [cache.get(key) is not None for key in keys] == [False, False, False, True]
    cache.put(keys[3], Raw(b"x"), kept(0), 0)
    assert cache.get(keys[3]) is None
    cache.put(keys[0], Raw(b"x"), kept(10**15), 0)
    now += MAX_TTL_MS / 1000
    assert cache.get(keys[0]) is None
    for size in (9, 10, 10, 10):
        cache.put(Key("v", "tools/list", str(size)), Raw(b"x" * size), kept(1000), 0)
    assert cache.get(Key("v", "tools/list", "9")) is not None
    assert cache.forget("tools/list")
    assert not cache.forget("tools/list")
    cache.put(keys[0], Raw(b"x"), kept(1000), 0)  # asked for before something changed
    assert cache.get(keys[0]) is None


@pytest.mark.parametrize(
    ("method", "params", "key"),
    [
        ("tools/list", {}, Key("v", "tools/list", None)),
        ("tools/list", {"cursor": ""}, Key("v", "tools/list", "")),
        ("resources/read", {"uri": URI}, Key("v", "resources/read", URI)),
        ("resources/read", {"uri": 5}, None),
        ("resources/read", {"uri": URI, "inputResponses": {}}, None),
        ("tools/list", {"filter": "x"}, None),
        ("tools/call", {"name": "t"}, None),
        ("server/discover", {}, None),
    ],
)
async def test_what_may_be_kept(method: str, params: Any, key: Any) -> None:
    assert key_of("v", method, params) == key


async def test_a_notice_that_does_not_say_of_what() -> None:
    cache = ResponseCache()
    key = Key("v", "resources/read", URI)
    cache.put(key, Raw(b"x"), kept(1000), 0)
    cache.hear("notifications/message", Raw(b"{}"))
    assert cache.get(key) is not None
    cache.hear("notifications/resources/updated", Raw(msgspec.json.encode({"uri": 3})))
    assert cache.get(key) is None


# An end in time


@MODES
async def test_progress_extends_no_timeout(stub: Any, mode: Any) -> None:
    async def call_tool(call: Call) -> Any:
        assert call.params.meta is not None
        for step in range(10_000):
            note = ProgressNotificationParams(progress_token=call.params.meta.progress_token or 0, progress=step)
            await call.peer.note("notifications/progress", note)
            await asyncio.sleep(0.01)

    heard: list[float] = []
    async with asyncio.timeout(10), Client(stub(tools__call=call_tool), mode=mode) as client:
        with pytest.raises(ClientError, match=r"the server 'stub' did not answer tools/call within 0\.2 seconds"):
            await client.call_tool(
                "t",
                timeout=timedelta(seconds=0.2),
                progress_handler=lambda progress, total, text: heard.append(progress),
            )
    assert heard


@pytest.mark.parametrize("options", [{"timeout": timedelta(seconds=0.1)}, {"init_timeout": 0.1}])
async def test_a_server_that_does_not_begin(stub: Any, options: dict[str, Any]) -> None:
    async def stall(call: Call) -> Any:
        await asyncio.sleep(60)

    server = stub(server__discover=stall)
    async with asyncio.timeout(5):
        with pytest.raises(ClientError, match=r"within 0\.1 seconds"):
            await Client(server, **options).__aenter__()
    assert server.lifespans == 0


def slow_to_end(server: Any) -> asyncio.Event:
    """The event lets the server's lifespan end."""
    go = asyncio.Event()

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        server.lifespans += 1
        try:
            yield
        finally:
            await go.wait()
            server.lifespans -= 1

    server.lifespan_context = lifespan
    return go


@pytest.mark.parametrize("cancellations", [1, 2])
async def test_leaving_is_not_broken_off(stub: Any, eventually: Eventually, cancellations: int) -> None:
    server = stub()
    go = slow_to_end(server)
    inside, leave = asyncio.Event(), asyncio.Event()
    client = Client(server)

    async def use() -> None:
        async with client:
            inside.set()
            await leave.wait()

    task = asyncio.create_task(use())
    await inside.wait()
    leave.set()
    await eventually(lambda: not client.is_connected())
    for _ in range(cancellations):
        task.cancel()
        await asyncio.sleep(0.01)
    assert task.done() == (cancellations == 2)
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: server.lifespans == 0)
    async with client:
        assert await client.ping()


async def test_cancelled_while_connecting(stub: Any) -> None:
    reached = asyncio.Event()

    async def stall(call: Call) -> Any:
        reached.set()
        await asyncio.sleep(60)

    server = stub(server__discover=stall)
    task = asyncio.create_task(Client(server).__aenter__())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert server.lifespans == 0


async def test_a_task_that_leaves_while_another_connects(stub: Any) -> None:
    """A cancellation that comes while it waits for its turn costs no exit."""
    server = stub()
    client = Client(server)
    await client.__aenter__()
    async with client._lock:  # pyright: ignore[reportPrivateUsage]
        task = asyncio.create_task(client.__aexit__(None, None, None))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.sleep(0.01)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not client.is_connected()
    assert server.lifespans == 0


async def test_closing_from_inside_of_a_handler(stub: Any, eventually: Eventually) -> None:
    async def call_tool(call: Call) -> Any:
        assert call.params.meta is not None
        note = ProgressNotificationParams(progress_token=call.params.meta.progress_token or 0, progress=1)
        await call.peer.note("notifications/progress", note)
        await asyncio.sleep(60)

    server = stub(tools__call=call_tool)
    client = Client(server)

    async def close(*_: Any) -> None:
        await client.close()

    async with asyncio.timeout(15):
        await client.__aenter__()
        with pytest.raises(ClientError, match="closed"):
            await client.call_tool("t", progress_handler=close)
        await eventually(lambda: server.lifespans == 0)


async def test_a_task_that_is_cancelled_while_its_request_is_given_up(stub: Any) -> None:
    reached = asyncio.Event()

    async def call_tool(call: Call) -> Any:
        reached.set()
        await asyncio.sleep(60)

    async with Client(stub(tools__call=call_tool)) as client:
        task = asyncio.create_task(client.call_tool("t"))
        await reached.wait()
        assert await client.cancel(client.requests_in_flight[0])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert client.requests_in_flight == []
