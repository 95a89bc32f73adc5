"""Calls without a client, from anywhere and from inside of a call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from headrace import Client, Context, FastMCP, Image
from headrace.dependencies import Depends
from headrace.exceptions import (
    InvalidParams,
    McpError,
    NotFoundError,
    PromptError,
    ResourceError,
    ToolError,
    UnsupportedByClient,
)
from headrace.types import ImageContent, InputRequest, InputRequiredResult, ToolResult

MODES = ("legacy", "modern")


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def mcp() -> FastMCP:
    mcp = FastMCP("direct")

    @mcp.tool
    def add(a: int, b: int = 2) -> int:
        return a + b

    @mcp.tool
    async def picture() -> ToolResult:
        return ToolResult([Image(data=b"x"), "text"], meta={"k": 1})

    @mcp.tool
    async def fail(kind: str) -> str:
        raise {"value": ValueError("inside"), "tool": ToolError("told"), "mcp": McpError("mine", code=7)}[kind]

    @mcp.tool
    async def notes(ctx: Context) -> list[str | None]:
        await ctx.info("x")
        await ctx.report_progress(1, 2)
        await ctx.set_state("k", "kept")
        kept = await ctx.get_state("k")
        await ctx.delete_state("k")
        return [ctx.transport, ctx.session_id, ctx.client_id, kept, await ctx.get_state("k")]

    @mcp.tool
    async def asks(ctx: Context) -> str:
        return str(await ctx.elicit("?", str))

    @mcp.tool
    async def returns_a_question() -> InputRequiredResult:
        return InputRequiredResult(input_requests={"k": InputRequest(method="roots/list")})

    @mcp.resource("data://{id}", mime_type="application/json")
    def read(id: int) -> dict[str, int]:
        return {"id": id}

    @mcp.resource("data://broken")
    def broken() -> str:
        raise ValueError("inside")

    @mcp.resource("data://bytes")
    def raw() -> bytes:
        return b"\1"

    @mcp.prompt(description="Asks")
    def ask(topic: str, times: int = 1) -> str:
        return topic * times

    @mcp.prompt
    def broken_prompt() -> str:
        raise ValueError("inside")

    return mcp


async def test_results(mcp: FastMCP) -> None:
    assert (await mcp.call_tool("add", {"a": "1"})).structured_content == {"result": 3}
    result: Any = await mcp.call_tool("picture")
    assert isinstance(result.content[0], ImageContent)
    assert (result.content[1].text, result.meta, result.is_error) == ("text", {"k": 1}, False)
    parts = (await mcp.read_resource("data://3")).contents
    assert [(part.content, part.mime_type, part.uri) for part in parts] == [
        ('{"id":3}', "application/json", "data://3")
    ]
    assert (await mcp.read_resource("data://bytes")).contents[0].content == b"\1"
    prompt = await mcp.render_prompt("ask", {"topic": "x", "times": 2})
    assert (prompt.messages[0].content.text, prompt.messages[0].role, prompt.description) == ("xx", "user", "Asks")


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda mcp: mcp.call_tool("none"), NotFoundError, "Unknown tool: 'none'"),
        (lambda mcp: mcp.call_tool("add", {}), ToolError, "a: required, but missing"),
        (lambda mcp: mcp.call_tool("add", {"a": 1}, version="2"), NotFoundError, "Unknown tool"),
        (lambda mcp: mcp.call_tool("fail", {"kind": "value"}), ToolError, "inside"),
        (lambda mcp: mcp.call_tool("fail", {"kind": "tool"}), ToolError, "^told$"),
        (lambda mcp: mcp.call_tool("fail", {"kind": "mcp"}), McpError, "^mine$"),
        (lambda mcp: mcp.call_tool("asks"), UnsupportedByClient, "can't ask its user"),
        (lambda mcp: mcp.call_tool("returns_a_question"), McpError, "asks the client for input"),
        (lambda mcp: mcp.read_resource("data://x"), InvalidParams, "id: Input should be a valid integer"),
        (lambda mcp: mcp.read_resource("no://x"), NotFoundError, "no://x"),
        (lambda mcp: mcp.read_resource("data://broken"), ResourceError, "inside"),
        (lambda mcp: mcp.render_prompt("none"), NotFoundError, "Unknown prompt"),
        (lambda mcp: mcp.render_prompt("ask"), InvalidParams, "topic: required, but missing"),
        (lambda mcp: mcp.render_prompt("broken_prompt"), PromptError, "inside"),
    ],
)
async def test_errors(mcp: FastMCP, call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        await call(mcp)


async def test_nobody_hears_and_state_ends_with_the_call(mcp: FastMCP) -> None:
    for _ in range(2):
        result = await mcp.call_tool("notes")
        assert result.structured_content == {"result": ["direct", None, None, "kept", None]}


async def test_components(mcp: FastMCP) -> None:
    assert [each.name for each in await mcp.list_tools()][:2] == ["add", "picture"]
    assert [each.uri for each in await mcp.list_resources()] == ["data://broken", "data://bytes"]
    assert [each.uri_template for each in await mcp.list_resource_templates()] == ["data://{id}"]
    assert [each.name for each in await mcp.list_prompts()] == ["ask", "broken_prompt"]
    assert (await mcp.get_tool("add")) is (await mcp.get_tools())["add"]
    assert (await mcp.get_prompt("ask")) is (await mcp.get_prompts())["ask"]
    assert (await mcp.get_resource("data://bytes")) is (await mcp.get_resources())["data://bytes"]
    template = await mcp.get_resource_template("data://{id}")
    assert template is (await mcp.get_resource_templates())["data://{id}"]
    for unknown in (mcp.get_tool("x"), mcp.get_resource("x://x"), mcp.get_resource_template("x"), mcp.get_prompt("x")):
        with pytest.raises(NotFoundError, match="Unknown"):
            await unknown


async def test_components_alone(mcp: FastMCP) -> None:
    """A tool, a resource or a prompt by itself, without a server's call."""
    assert (await (await mcp.get_tool("add")).run({"a": 1})).structured_content == {"result": 3}
    assert await (await mcp.get_resource("data://bytes")).read() == b"\1"
    rendered = await (await mcp.get_prompt("ask")).render({"topic": "x"})
    assert rendered.messages[0].content.text == "x"
    with pytest.raises(RuntimeError, match="No active context"):
        await (await mcp.get_tool("notes")).run({})
    with pytest.raises(ToolError, match="only a call through a server"):
        await (await mcp.get_tool("returns_a_question")).run({})


async def test_inside_of_a_call(mcp: FastMCP, mode: Any) -> None:
    """The client of the call is the client of the direct call: it gets the notes and the questions."""
    heard: list[Any] = []

    @mcp.tool
    async def outer(ctx: Context) -> list[Any]:
        answer: Any = await ctx.fastmcp.call_tool("asks")
        listed = [each.uri for each in await ctx.list_resources()]
        content = (await ctx.read_resource("data://5")).contents[0].content
        prompt: Any = (await ctx.get_prompt("ask", {"topic": "y", "times": 3})).messages[0].content
        with pytest.raises(ToolError, match="told"):
            await ctx.fastmcp.call_tool("fail", {"kind": "tool"})
        with pytest.raises(NotFoundError):
            await ctx.read_resource("no://x")
        await ctx.fastmcp.call_tool("notes")
        return [answer.content[0].text, listed, content, prompt.text]

    async def accept(message: str, kind: Any, params: Any, context: Any) -> Any:
        return {"value": "yes"}

    async def log(message: Any) -> None:
        heard.append(message.data["msg"])

    async with Client(mcp, mode=mode, elicitation_handler=accept, log_handler=log) as client:
        await client.set_logging_level("info")
        result = await client.call_tool("outer")
        assert "[\"AcceptedElicitation(data='yes'" in result.text.replace(
            '"AcceptedElicitation', '"AcceptedElicitation'
        )
        assert '["data://broken","data://bytes"],"{\\"id\\":5}","yyy"]' in result.text
    assert heard == ["x"]


async def test_another_server_from_inside_of_a_call(mode: Any) -> None:
    """Its lifespan is entered for the call; the outer server's stays as it is."""
    steps: list[str] = []

    def lifespan(name: str) -> Any:
        @asynccontextmanager
        async def run(server: FastMCP) -> AsyncIterator[dict[str, str]]:
            steps.append(f"start {name}")
            yield {"name": name}
            steps.append(f"end {name}")

        return run

    inner = FastMCP("inner", lifespan=lifespan("inner"))

    @inner.tool
    async def who(ctx: Context) -> str:
        return f"{ctx.fastmcp.name} {ctx.lifespan_context['name']}"

    outer = FastMCP("outer", lifespan=lifespan("outer"))

    @outer.tool
    async def call(ctx: Context) -> str:
        result: Any = await inner.call_tool("who")
        return f"{result.content[0].text}, {ctx.fastmcp.name} {ctx.lifespan_context['name']}"

    async with Client(outer, mode=mode) as client:
        for _ in range(2):
            assert (await client.call_tool("call")).text == "inner inner, outer outer"
    assert steps == ["start outer", *["start inner", "end inner"] * 2, "end outer"]


async def test_lifespan_of_a_direct_call() -> None:
    running = 0
    most = 0

    @asynccontextmanager
    async def lifespan(server: FastMCP) -> AsyncIterator[dict[str, int]]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        yield {"n": 5}
        running -= 1

    mcp = FastMCP(lifespan=lifespan)

    @mcp.tool
    async def look(ctx: Context, twice: int = Depends(lambda: 2)) -> int:
        await asyncio.sleep(0)
        return twice * ctx.lifespan_context["n"]

    results = await asyncio.gather(*(mcp.call_tool("look") for _ in range(10)))
    assert {result.structured_content["result"] for result in results} == {10}
    assert (running, most) == (0, 1)
    async with Client(mcp):
        await mcp.call_tool("look")
        assert running == 1
    assert (running, most) == (0, 1)
