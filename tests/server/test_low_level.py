"""A server out of handlers: both ways to give them, in every revision, over every transport."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from headrace import Client, Context
from headrace.exceptions import InvalidParams, McpError, MethodNotFound, ToolError
from headrace.protocol.types import (
    CallToolResult,
    Completion,
    CreateMessageResult,
    EmptyResult,
    GetPromptResult,
    ListToolsResult,
    Prompt,
    PromptMessage,
    PromptReference,
    Resource,
    ResourceTemplate,
    Result,
    TextContent,
    Tool,
)
from headrace.protocol.versions import HANDSHAKE_VERSIONS, LATEST
from headrace.server.low_level import LowLevelServer, ReadResourceContents, Server
from headrace.testing import asgi_client, run_server_async

ADD = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a"]}
SUM = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}


def decorated() -> LowLevelServer:
    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[dict[str, int]]:
        yield {"answer": 42}

    server = Server("decorated", "1.2", "Use it well", lifespan=lifespan)

    @server.list_tools()
    async def list_tools() -> list[Any]:
        return [
            Tool(name="add", input_schema=ADD, output_schema=SUM),
            {"name": "anything", "inputSchema": {"type": "object"}},
        ]

    @server.call_tool()
    async def call_tool(name: str, arguments: dict[str, Any]) -> Any:
        if name == "add":
            return {"sum": arguments["a"] + arguments.get("b", 0)} if arguments["a"] != 13 else {"sum": "unlucky"}
        kind = arguments.get("kind")
        if kind == "text":
            return [TextContent(text="hello")]
        if kind == "both":
            return [TextContent(text="hello")], {"said": "hello"}
        if kind == "result":
            return CallToolResult(content=[], is_error=True)
        if kind == "lifespan":
            return str(server.request_context.lifespan_context["answer"])
        if kind == "tool error":
            raise ToolError("no luck")
        if kind == "protocol error":
            raise McpError("mine", code=-32050)
        raise RuntimeError("secret")

    @server.list_resources()
    async def list_resources() -> list[Resource]:
        return [Resource(uri="data://x", name="x")]

    @server.list_resource_templates()
    async def list_templates() -> list[ResourceTemplate]:
        return [ResourceTemplate(uri_template="data://{x}", name="any")]

    @server.read_resource()
    async def read(uri: str) -> Any:
        return {
            "data://text": "text",
            "data://bytes": b"bytes",
            "data://parts": [ReadResourceContents("<p>", "text/html"), ReadResourceContents(b"\0")],
        }[uri]

    @server.list_prompts()
    async def list_prompts() -> list[Prompt]:
        return [Prompt(name="hi")]

    @server.get_prompt()
    async def get_prompt(name: str, arguments: dict[str, str] | None) -> Any:
        message = {"role": "user", "content": {"type": "text", "text": f"{name} {arguments}"}}
        return {"messages": [message]} if arguments else GetPromptResult(messages=[], description="none")

    @server.completion()
    async def complete(ref: Any, argument: Any, context: Any) -> Any:
        return {"many": ["a", "b"], "one": Completion(values=["c"]), "none": None}[argument.value]

    return server


EVERY = [*HANDSHAKE_VERSIONS, LATEST.version]


@pytest.mark.parametrize("version", EVERY)
async def test_everything_in_memory(version: str) -> None:
    async with Client(decorated(), protocol_version=version) as client:
        assert client.server_info is not None
        assert client.server_info.name == "decorated"
        assert client.instructions == "Use it well"
        assert await client.ping()
        assert [tool.name for tool in await client.list_tools()] == ["add", "anything"]
        added = await client.call_tool_mcp("add", {"a": 1, "b": 2})
        assert added.content == [TextContent(text='{"sum":3}')]
        assert [resource.uri for resource in await client.list_resources()] == ["data://x"]
        assert [template.name for template in await client.list_resource_templates()] == ["any"]
        assert [(part.text, part.mime_type) for part in await client.read_resource("data://text")] == [
            ("text", "text/plain")
        ]
        assert [prompt.name for prompt in await client.list_prompts()] == ["hi"]
        prompt = await client.get_prompt("hi", {"a": "1"})
        assert prompt.messages == [PromptMessage(role="user", content=TextContent(text="hi {'a': '1'}"))]


async def test_over_http() -> None:
    async with run_server_async(decorated()) as url, Client(url) as client:
        assert (await client.call_tool("add", {"a": 1, "b": 2})).data.sum == 3
        assert (await client.call_tool("anything", {"kind": "lifespan"})).text == "42"
    async with asgi_client(decorated(), mode="legacy") as client:
        assert (await client.call_tool("add", {"a": 1})).data.sum == 1
        assert client.session_id


PROGRAM = """
from headrace.server.low_level import Server
server = Server("piped")
@server.list_tools()
async def tools():
    print("not for the wire")
    return [{"name": "one", "inputSchema": {"type": "object"}}]
server.run()
"""


async def test_over_stdio() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    meta = (
        f'{{"io.modelcontextprotocol/protocolVersion":"{LATEST.version}",'
        '"io.modelcontextprotocol/clientCapabilities":{}}'
    )
    process.stdin.write(f'{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{"_meta":{meta}}}}}\n'.encode())
    try:
        async with asyncio.timeout(20):
            assert b'"name":"one"' in await process.stdout.readline()
            process.stdin.close()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize(
    ("arguments", "text", "structured", "failed"),
    [
        ({"kind": "text"}, "hello", None, False),
        ({"kind": "both"}, "hello", {"said": "hello"}, False),
        ({"kind": "result"}, "", None, True),
        ({"kind": "lifespan"}, "42", None, False),
        ({"kind": "tool error"}, "no luck", None, True),
        ({}, "Error calling tool 'anything': secret", None, True),
    ],
)
async def test_what_a_tool_returns(arguments: dict[str, Any], text: str, structured: Any, failed: bool) -> None:
    async with Client(decorated()) as client:
        result = await client.call_tool("anything", arguments, raise_on_error=False)
    assert (result.text, result.structured_content, result.is_error) == (text, structured, failed)


async def test_details_are_masked() -> None:
    server = decorated()
    server.mask_error_details = True
    async with Client(server) as client:
        with pytest.raises(ToolError, match=r"^Error calling tool 'anything'$"):
            await client.call_tool("anything")
        with pytest.raises(ToolError, match="no luck"):
            await client.call_tool("anything", {"kind": "tool error"})
        with pytest.raises(McpError) as caught:
            await client.call_tool("anything", {"kind": "protocol error"})
        assert caught.value.code == -32050


@pytest.mark.parametrize("mode", ["modern", "legacy"])
async def test_arguments_and_results_fit_the_schemas(mode: Any) -> None:
    async with Client(decorated(), mode=mode) as client:
        with pytest.raises(ToolError, match="Invalid arguments for 'add'"):
            await client.call_tool("add", {"a": "one"})
        with pytest.raises(ToolError, match="does not fit the output schema"):
            await client.call_tool("add", {"a": 13})
    async with Client(decorated(), protocol_version=HANDSHAKE_VERSIONS[-1]) as client:
        with pytest.raises(InvalidParams):
            await client.call_tool("add", {"a": "one"})


async def test_parts_of_a_resource_and_completions() -> None:
    async with Client(decorated()) as client:
        (blob,) = await client.read_resource("data://bytes")
        assert blob.blob == "Ynl0ZXM="
        html, binary = await client.read_resource("data://parts")
        assert (html.text, html.mime_type, binary.blob) == ("<p>", "text/html", "AA==")
        with pytest.raises(McpError, match="Internal error"):
            await client.read_resource("data://none")
        assert (await client.get_prompt("hi")).description == "none"
        for value, values in [("many", ["a", "b"]), ("one", ["c"]), ("none", [])]:
            done = await client.complete_mcp(PromptReference(name="hi"), {"name": "x", "value": value})
            assert done.completion.values == values


async def given(context: Context, params: Any) -> Any:
    answer = await context.sample("think", max_tokens=7)
    await context.report_progress(1, 1)
    return {"content": [{"type": "text", "text": f"{params.name} {answer.text}"}]}


@pytest.mark.parametrize("mode", ["modern", "legacy"])
async def test_handlers_with_context_and_params(mode: Any) -> None:
    async def tools(context: Context, params: Any) -> ListToolsResult:
        return ListToolsResult(
            tools=[Tool(name=params.cursor or "first", input_schema={"type": "object"})],
            next_cursor=None if params.cursor else "second",
        )

    server = LowLevelServer("given", on_list_tools=tools, on_call_tool=given)
    heard: list[float] = []

    def sample(messages: Any, params: Any, context: Any) -> CreateMessageResult:
        return CreateMessageResult(role="assistant", content=TextContent(text=f"in {params.max_tokens}"), model="m")

    async with Client(
        server, mode=mode, sampling_handler=sample, progress_handler=lambda done, *_: heard.append(done)
    ) as client:
        assert [tool.name for tool in await client.list_tools()] == ["first", "second"]
        assert (await client.call_tool("first")).text == "first in 7"
        assert heard == [1]
        assert client.server_capabilities.tools == {"listChanged": True}
        assert client.server_capabilities.resources is None
        assert client.server_capabilities.prompts is None


@pytest.mark.parametrize("method", ["resources/read", "prompts/list", "resources/subscribe"])
async def test_a_method_without_a_handler(method: str) -> None:
    async with Client(LowLevelServer("empty"), mode="legacy") as client:
        with pytest.raises(MethodNotFound, match="this server"):
            await client.request(method, {"uri": "data://x"}, EmptyResult)


@pytest.mark.parametrize(
    ("method", "params", "says"),
    [("resources/read", {}, "uri"), ("tools/call", {"name": 3}, "name"), ("prompts/get", {"name": None}, "name")],
)
async def test_params_that_do_not_fit(method: str, params: dict[str, Any], says: str) -> None:
    async with Client(decorated()) as client:
        with pytest.raises(InvalidParams, match=says):
            await client.request(method, params, Result)


async def test_a_method_of_an_extension() -> None:
    async def double(context: Context, params: dict[str, Any]) -> dict[str, Any]:
        return {"doubled": params["number"] * 2}

    server = LowLevelServer("extended")
    server.add_request_handler("com.example/double", None, double)

    class Doubled(Result, kw_only=True):
        doubled: int

    async with Client(server) as client:
        assert (await client.request("com.example/double", {"number": 4}, Doubled)).doubled == 8
    with pytest.raises(ValueError, match="takes no handler"):
        server.add_request_handler("initialize", None, double)
    with pytest.raises(TypeError, match="on_call_tools"):
        LowLevelServer("wrong", on_call_tools=double)


async def test_subscriptions_and_levels_of_a_session() -> None:
    server = decorated()
    told: list[Any] = []
    heard: list[Any] = []
    updated = asyncio.Event()

    @server.subscribe_resource()
    async def subscribe(uri: str) -> None:
        told.append(uri)

    @server.unsubscribe_resource()
    def unsubscribe(uri: str) -> None:
        told.append(f"not {uri}")

    @server.set_logging_level()
    async def level(level: str) -> None:
        told.append(level)

    def hear(notice: Any) -> None:
        heard.append((notice.method, notice.params))
        updated.set()

    async with Client(server, mode="legacy", message_handler=hear) as client:
        assert client.server_capabilities.logging == {}
        await client.set_logging_level("error")
        await client.subscribe_resource("data://x")
        await server.notify_resource_updated("data://other")
        await server.notify_resource_updated("data://x")
        async with asyncio.timeout(5):
            await updated.wait()
        await client.unsubscribe_resource("data://x")
    assert told == ["error", "data://x", "not data://x"]
    assert heard == [("notifications/resources/updated", {"uri": "data://x"})]


async def test_listening() -> None:
    server = LowLevelServer("heard", on_list_tools=given)
    async with Client(server) as client, client.listen(tools=True, prompts=True, uris=["data://x"]) as changes:
        assert changes.granted is not None
        assert changes.granted.tools_list_changed
        assert changes.granted.prompts_list_changed is None
        assert changes.granted.resource_subscriptions is None
        server.notify("notifications/tools/list_changed")
        async with asyncio.timeout(5):
            assert (await anext(aiter(changes))).method == "notifications/tools/list_changed"


async def test_marked_arguments_are_mirrored_once_listed() -> None:
    schema = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}

    async def tools(context: Context, params: Any) -> Any:
        return {"tools": [{"name": "where", "inputSchema": schema}]}

    async def call(context: Context, params: Any) -> Any:
        return {"content": [{"type": "text", "text": str(params.arguments)}]}

    async with asgi_client(LowLevelServer("marked", on_list_tools=tools, on_call_tool=call)) as client:
        await client.list_tools()
        assert (await client.call_tool("where", {"region": "eu"})).text == "{'region': 'eu'}"
