"""What a client can be given, and several servers of one config."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import AnyUrl

from headrace import Context, FastMCP
from headrace.client import Client
from headrace.client.transports import (
    FastMCPTransport,
    MCPConfigTransport,
    MemoryTransport,
    NodeStdioTransport,
    NpxStdioTransport,
    PythonStdioTransport,
    SSETransport,
    StdioTransport,
    StreamableHttpTransport,
    UvStdioTransport,
    UvxStdioTransport,
    transport_for,
)
from headrace.client.transports.base import Refused
from headrace.client.transports.joined import JoinedTransport
from headrace.client.transports.member import Member, Part
from headrace.exceptions import ClientError, McpError, ToolError
from headrace.mcp_config import MCPConfig
from headrace.protocol.types import (
    EmbeddedResource,
    PromptReference,
    ResourceLink,
    ResourceTemplateReference,
)
from headrace.protocol.versions import LATEST, LATEST_HANDSHAKE
from headrace.types import TextResourceContents

Eventually = Callable[[Callable[[], Any]], Awaitable[None]]
SECONDS = 20.0
SERVER = """
import sys
from headrace import FastMCP
mcp = FastMCP("program")
@mcp.tool
def argument(number: int) -> str:
    return sys.argv[number]
print("to stderr", file=sys.stderr, flush=True)
mcp.run(show_banner=False)
"""
NODE = """
const lines = require("readline").createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const message = JSON.parse(line);
  if (message.method !== "initialize") {
    if (message.id !== undefined)
      console.log(JSON.stringify({ jsonrpc: "2.0", id: message.id, error: { code: -32601, message: "no" } }));
    return;
  }
  const info = { name: "node", version: process.argv[2] || "1" };
  const result = { protocolVersion: "2025-06-18", capabilities: {}, serverInfo: info };
  console.log(JSON.stringify({ jsonrpc: "2.0", id: message.id, result }));
});
"""


def written(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


# Which transport


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("http://a.example/mcp", StreamableHttpTransport),
        ("HTTPS://a.example/mcp", StreamableHttpTransport),
        ("http://a.example/sse", SSETransport),
        ("http://a.example/sse?key=1", SSETransport),
        (AnyUrl("http://a.example/mcp"), StreamableHttpTransport),
        (httpx2.URL("http://a.example/sse"), SSETransport),
        (FastMCP("a"), FastMCPTransport),
        ({"mcpServers": {"a": {"url": "http://a.example/mcp"}}}, MCPConfigTransport),
        ({"a": {"command": "a"}, "b": {"command": "b"}}, MCPConfigTransport),
        (MCPConfig.from_dict({"mcpServers": {"a": {"command": "a"}}}), MCPConfigTransport),
        (StdioTransport("a"), StdioTransport),
    ],
)
def test_targets(target: Any, kind: type) -> None:
    assert isinstance(transport_for(target), kind)
    assert isinstance(Client(target).transport, kind)


def test_files(tmp_path: Path) -> None:
    config = {"mcpServers": {"a": {"command": "a"}}}
    for name, text, kind in (
        ("server.py", "", PythonStdioTransport),
        ("server.js", "", NodeStdioTransport),
        ("servers.json", json.dumps(config), MCPConfigTransport),
    ):
        file = written(tmp_path / name, text)
        assert isinstance(transport_for(file), kind)
        assert isinstance(transport_for(str(file)), kind)


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (5, "Can't connect to int: a target is a server, a URL"),
        ("example.com", "Can't connect to 'example.com': a target is a server, a URL"),
        ("http://", "a URL begins with"),
        ("absent.py", "Can't start absent.py: there is no such file in"),
        ("absent.json", "No MCP servers defined"),
        ({}, "names no server"),
        ({"mcpServers": {"a": {"args": []}}}, r"The config does not fit: mcpServers\.a"),
        ({"mcpServers": {"a": {"url": "ftp://a.example"}}}, "The server 'a': its URL begins with"),
        ({"mcpServers": {"a": {"url": "http://a.example", "type": "pigeon"}}}, "unknown transport 'pigeon'"),
        ({"mcpServers": {"a": {"url": "http://a.example", "auth": 5}}}, "auth is a bearer token"),
    ],
)
def test_what_is_no_target(target: Any, told: str) -> None:
    with pytest.raises(ClientError, match=told) as error:
        transport_for(target)
    assert "\n" not in str(error.value)


def test_a_config_that_is_no_json_is_told_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match="config"):
        transport_for(written(tmp_path / "a.json", "{"))
    with pytest.raises(ClientError, match="headers and auth are for URLs"):
        transport_for(FastMCP("a"), headers={"a": "b"})


@pytest.mark.parametrize(
    ("server", "kind"),
    [
        ({"url": "http://a.example/mcp"}, StreamableHttpTransport),
        ({"url": "http://a.example/sse"}, SSETransport),
        ({"url": "http://a.example/sse", "transport": "http"}, StreamableHttpTransport),
        ({"url": "http://a.example/mcp", "transport": "sse"}, SSETransport),
        ({"url": "http://a.example/mcp", "type": "sse"}, SSETransport),
        ({"url": "http://a.example/mcp", "type": "http", "auth": "token"}, StreamableHttpTransport),
    ],
)
def test_transports_of_a_config(server: dict[str, Any], kind: type) -> None:
    assert isinstance(MCPConfigTransport({"mcpServers": {"a": server}}).transport, kind)


def test_commands(tmp_path: Path) -> None:
    directory = str(tmp_path)
    python = written(tmp_path / "a.py", "")
    node = written(tmp_path / "a.js", "")
    for transport, command, args, cwd in (
        (PythonStdioTransport(python, ["-v"]), sys.executable, [str(python), "-v"], None),
        (PythonStdioTransport(python, python_cmd="python9"), "python9", [str(python)], None),
        (NodeStdioTransport(node, cwd=directory), "node", [str(node)], directory),
        (UvStdioTransport("a", ["b"]), "uv", ["run", "a", "b"], None),
        (
            UvStdioTransport("a", None, True, tmp_path, "3.12", ["x", "y"], "r.txt"),
            "uv",
            f"run --python 3.12 --directory {directory} --with x --with y --with-requirements r.txt --module a".split(),
            None,
        ),
        (UvxStdioTransport("a", ["b"], directory), "uvx", ["a", "b"], directory),
        (
            UvxStdioTransport("a", python_version="3.12", with_packages=["x"], from_package="p"),
            "uvx",
            ["--python", "3.12", "--from", "p", "--with", "x", "a"],
            None,
        ),
        (NpxStdioTransport("p", ["b"]), "npx", ["--prefer-offline", "p", "b"], None),
        (NpxStdioTransport("p", use_package_lock=False, env_vars={"A": "b"}), "npx", ["p"], None),
    ):
        assert (transport.command, transport.args, transport.cwd) == (command, args, cwd)
    for make in (lambda: PythonStdioTransport(node), lambda: NodeStdioTransport(python)):
        with pytest.raises(ClientError, match="the script is no"):
            make()
    with pytest.raises(ClientError, match="no such directory"):
        NpxStdioTransport("p", project_directory=str(tmp_path / "absent"))


async def test_scripts_are_run(tmp_path: Path) -> None:
    script = written(tmp_path / "server.py", SERVER)
    log = tmp_path / "log"
    async with asyncio.timeout(SECONDS):
        async with Client(script) as client:
            assert client.protocol_version == LATEST.version
        async with Client(PythonStdioTransport(script, ["a"], log_file=log)) as client:
            assert (await client.call_tool("argument", {"number": 1})).data == "a"
        assert "to stderr" in log.read_text()
        with log.open("a") as file:
            async with Client(PythonStdioTransport(str(script), log_file=file)):
                pass
        assert log.read_text().count("to stderr") == 2


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
async def test_node_scripts_are_run(tmp_path: Path) -> None:
    script = written(tmp_path / "server.js", NODE)
    async with asyncio.timeout(SECONDS), Client(NodeStdioTransport(script, ["7"])) as client:
        assert client.server_info is not None
        assert (client.server_info.name, client.server_info.version) == ("node", "7")


async def test_one_server_of_a_config_is_reached_as_it_is(tmp_path: Path) -> None:
    script = written(tmp_path / "server.py", SERVER)
    servers = {"a": {"command": sys.executable, "args": [str(script), "x"], "env": {"A": 5}}}
    file = written(tmp_path / "servers.json", json.dumps({"mcpServers": servers}))
    async with asyncio.timeout(SECONDS), Client(file) as client:
        assert client.protocol_version == LATEST.version
        assert (await client.call_tool("argument", {"number": 1})).data == "x"


async def test_the_timeout_of_a_config(tmp_path: Path) -> None:
    script = written(tmp_path / "server.py", "import time; time.sleep(60)")
    config = {"mcpServers": {"a": {"command": sys.executable, "args": [str(script)], "timeout": 100}}}
    async with asyncio.timeout(SECONDS):
        with pytest.raises(ClientError, match=r"did not answer .* within 0\.1 seconds"):
            await Client(config, mode="modern").__aenter__()


# Several servers


def library() -> FastMCP:
    mcp = FastMCP("library", instructions="Read.")

    @mcp.tool
    async def find(word: str, ctx: Context) -> str:
        await ctx.report_progress(1, 2, "looking")
        await ctx.info("looking")
        return f"found {word}"

    @mcp.tool
    async def ask(ctx: Context) -> str:
        answer = await ctx.elicit("Name?", str)
        return f"hello {answer.data}"  # pyright: ignore[reportAttributeAccessIssue]

    @mcp.tool
    async def think(ctx: Context) -> str:
        return (await ctx.sample("Think")).text or ""

    @mcp.tool
    async def roots(ctx: Context) -> list[str]:
        return [str(root.uri) for root in await ctx.list_roots()]

    @mcp.tool
    def fail() -> str:
        raise ToolError("no luck")

    @mcp.tool
    async def sleep() -> str:
        await asyncio.sleep(60)
        return ""

    @mcp.tool
    def recommend() -> list[Any]:
        contents = TextResourceContents(uri="book://first", text="")
        return [ResourceLink(uri="book://first", name="first"), EmbeddedResource(resource=contents)]

    @mcp.resource("book://first")
    def first() -> str:
        return "Call me Ishmael."

    @mcp.resource("book://{name}/page/{number}")
    def page(name: str, number: int) -> str:
        return f"{name} {number}"

    @mcp.prompt
    def review(title: str) -> str:
        return f"Review {title}."

    return mcp


def small() -> FastMCP:
    mcp = FastMCP("small")

    @mcp.tool
    def find(word: str) -> str:
        return f"small {word}"

    return mcp


class Pinned(MemoryTransport):
    """A server that a client of the config meets in the handshake era."""

    async def request(self, outgoing: Any, hear: Any) -> Any:
        if outgoing.method == "server/discover":
            raise Refused("no", 404)
        return await super().request(outgoing, hear)


ERAS = pytest.mark.parametrize("kind", [MemoryTransport, Pinned], ids=["modern", "handshake"])


@asynccontextmanager
async def joined(kind: type[MemoryTransport], **options: Any) -> AsyncIterator[Client]:
    members = {"books": Member(kind(library())), "books_old": Member(MemoryTransport(small()))}
    async with asyncio.timeout(SECONDS), Client(JoinedTransport(members), **options) as client:
        yield client


@ERAS
@pytest.mark.usefixtures("no_tasks_left")
async def test_names(kind: type[MemoryTransport]) -> None:
    async with joined(kind) as client:
        assert client.protocol_version == LATEST_HANDSHAKE.version
        assert client.server_info is not None
        assert client.server_info.name == "books, books_old"
        assert client.instructions == "# books\n\nRead."
        tools = {tool.name for tool in await client.list_tools()}
        assert {"books_find", "books_ask", "books_old_find"} <= tools
        assert [prompt.name for prompt in await client.list_prompts()] == ["books_review"]
        assert [each.uri for each in await client.list_resources()] == ["book://books/first"]
        templates = [each.uri_template for each in await client.list_resource_templates()]
        assert templates == ["book://books/{name}/page/{number}"]
        assert (await client.call_tool("books_find", {"word": "whale"})).data == "found whale"
        assert (await client.call_tool("books_old_find", {"word": "whale"})).data == "small whale"
        [content] = await client.read_resource("book://books/first")
        assert (content.uri, content.text) == ("book://books/first", "Call me Ishmael.")  # pyright: ignore[reportAttributeAccessIssue]
        assert (await client.read_resource("book://books/moby/page/3"))[0].text == "moby 3"  # pyright: ignore[reportAttributeAccessIssue]
        message = (await client.get_prompt("books_review", {"title": "it"})).messages[0]
        assert message.content.text == "Review it."  # pyright: ignore[reportAttributeAccessIssue]
        assert await client.ping()


@ERAS
async def test_errors_are_those_of_the_server(kind: type[MemoryTransport]) -> None:
    async with joined(kind) as client:
        with pytest.raises(ToolError, match="no luck"):
            await client.call_tool("books_fail")
        with pytest.raises(McpError, match="Unknown tool: 'absent'"):
            await client.call_tool("books_absent")
        with pytest.raises(McpError, match="Unknown tool: 'find': it begins with the name of a server"):
            await client.call_tool("find")
        with pytest.raises(McpError, match="Unknown prompt"):
            await client.get_prompt("review")
        with pytest.raises(McpError, match="book://first"):
            await client.read_resource("book://first")
        with pytest.raises(ClientError, match="did not answer tools/call within"):
            await client.call_tool("books_sleep", timeout=0.05)


@ERAS
async def test_questions_and_notes_reach_the_handlers(kind: type[MemoryTransport]) -> None:
    logged: list[Any] = []
    told: list[Any] = []
    options: dict[str, Any] = {
        "elicitation_handler": lambda *asked: {"value": "Ada"},
        "sampling_handler": lambda *asked: "thought",
        "roots": ["file:///a"],
        "log_handler": lambda note: logged.append(note.data),
    }
    async with joined(kind, **options) as client:
        called = await client.call_tool(
            "books_find", {"word": "a"}, progress_handler=lambda *progress: told.append(progress)
        )
        assert called.data == "found a"
        assert told == [(1, 2, "looking")]
        assert len(logged) == 1
        assert (await client.call_tool("books_ask")).data == "hello Ada"
        assert (await client.call_tool("books_think")).data == "thought"
        assert (await client.call_tool("books_roots")).data == ["file:///a"]
    async with joined(kind) as client:
        with pytest.raises(McpError, match="did not declare that capability"):
            await client.call_tool("books_ask")


@ERAS
@pytest.mark.usefixtures("no_tasks_left")
async def test_changes_are_told(kind: type[MemoryTransport], eventually: Eventually) -> None:
    heard: list[tuple[str, Any]] = []
    server = library()
    members = {"a": Member(kind(server)), "b": Member(kind(small()))}
    options: dict[str, Any] = {
        "message_handler": lambda notice: heard.append((notice.method, notice.params.get("uri")))
    }
    updated = ("notifications/resources/updated", "book://a/first")
    async with asyncio.timeout(SECONDS), Client(JoinedTransport(members), **options) as client:
        assert client.server_capabilities.tools == {"listChanged": True}
        await client.subscribe_resource("book://a/first")
        await server.notify_resource_updated("book://first")
        await eventually(lambda: heard.count(updated) == 1)
        await client.unsubscribe_resource("book://a/first")
        await server.notify_resource_updated("book://first")
        server.remove_tool("fail")
        await eventually(lambda: ("notifications/tools/list_changed", None) in heard)
        assert heard.count(updated) == 1


async def test_changes_are_told_again_after_a_stream_broke(
    eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What changed meanwhile is not known, so everything may have."""
    monkeypatch.setattr(f"{Part.__module__}.MAX_WAIT", 0.01)
    heard: list[str] = []
    server = library()
    transport = MemoryTransport(server)
    members = {"a": Member(transport), "b": Member(MemoryTransport(small()))}
    handler: dict[str, Any] = {"message_handler": lambda notice: heard.append(notice.method)}
    async with asyncio.timeout(SECONDS), Client(JoinedTransport(members), **handler) as client:
        await client.subscribe_resource("book://a/first")
        part = client.transport._parts["a"]  # pyright: ignore[reportAttributeAccessIssue]
        for id in part.requests_in_flight:
            await part.cancel(id)
        await eventually(lambda: {"notifications/tools/list_changed", "notifications/resources/updated"} <= {*heard})
        heard.clear()
        server.remove_tool("fail")
        await server.notify_resource_updated("book://first")
        await eventually(lambda: {"notifications/tools/list_changed", "notifications/resources/updated"} <= {*heard})


async def test_what_a_result_names_can_be_read() -> None:
    async with joined(MemoryTransport) as client:
        link, embedded = (await client.call_tool("books_recommend")).content
        assert isinstance(link, ResourceLink)
        assert isinstance(embedded, EmbeddedResource)
        assert link.uri == embedded.resource.uri == "book://books/first"
        assert (await client.read_resource(link.uri))[0].text == "Call me Ishmael."  # pyright: ignore[reportAttributeAccessIssue]


async def test_completion() -> None:
    server = library()

    @server.completion
    async def complete(ref: Any, argument: Any, context: Any) -> Any:
        return [getattr(ref, "name", None) or ref.uri]

    async with Client(JoinedTransport({"a": Member(MemoryTransport(server)), "b": Member(Pinned(small()))})) as client:
        found = await client.complete(PromptReference(name="a_review"), {"name": "title", "value": ""})
        assert found.values == ["review"]
        reference = ResourceTemplateReference(uri="book://a/{name}/page/{number}")
        found = await client.complete(reference, {"name": "name", "value": ""})
        assert found.values == ["book://{name}/page/{number}"]


async def test_a_server_that_can_not_be_reached_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    gone = Member(StdioTransport("/nowhere/absent"))
    async with Client(JoinedTransport({"a": gone, "b": Member(MemoryTransport(small()))})) as client:
        assert [tool.name for tool in await client.list_tools()] == ["b_find"]
    assert [each.levelno for each in caplog.records if "'a' is left out" in each.getMessage()] == [logging.WARNING]
    with pytest.raises(ClientError, match="None of the servers a, b can be reached: Can't start"):
        await Client(JoinedTransport({"a": gone, "b": gone})).__aenter__()


async def test_several_servers_speak_the_handshake_to_the_outside() -> None:
    members = {name: Member(MemoryTransport(small())) for name in "ab"}
    with pytest.raises(ClientError, match="the servers a, b needs a handshake"):
        await Client(JoinedTransport(members), mode="modern").__aenter__()


@pytest.mark.usefixtures("no_tasks_left")
async def test_several_servers_of_a_config(our_server: tuple[FastMCP, str], tmp_path: Path) -> None:
    script = written(tmp_path / "server.py", SERVER)
    config = {
        "mcpServers": {
            "web": {"url": our_server[1]},
            "program": {"command": sys.executable, "args": [str(script), "x"]},
        }
    }
    client = Client(config)
    async with asyncio.timeout(SECONDS):
        for _ in range(2):
            async with client:
                assert (await client.call_tool("web_add", {"a": 1, "b": 2})).data == 3
                assert (await client.call_tool("program_argument", {"number": 1})).data == "x"
                assert (await client.read_resource("data://web/x"))[0].text == "hey"  # pyright: ignore[reportAttributeAccessIssue]
