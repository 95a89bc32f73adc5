"""Our client and real servers of others: the official Python SDK and FastMCP in both eras, and the TypeScript servers
`server-everything` and `server-filesystem`. What is asserted is what the client's user sees."""

from __future__ import annotations

import asyncio
import base64
import gzip
import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypedDict

import pytest

from headrace import Client
from headrace.client.transports import NodeStdioTransport, StdioTransport, stdio
from headrace.client.transports.url import UrlTransport
from headrace.exceptions import ClientError, McpError, MethodNotFound, NotFoundError, ToolError
from headrace.protocol.types import (
    Annotations,
    EmbeddedResource,
    ImageContent,
    PromptReference,
    ResourceLink,
    ResourceTemplateReference,
    TextContent,
)

from ..conftest import ROOT, missing
from .python_servers import NOTE, PIXEL

SECONDS = 15.0
SERVERS = str(Path(__file__).parent / "python_servers.py")
PACKAGES = ROOT / "tests/node/node_modules/@modelcontextprotocol"
EVERYTHING = PACKAGES / "server-everything/dist/index.js"
FILESYSTEM = PACKAGES / "server-filesystem/dist/index.js"
MODERN, HANDSHAKE = "2026-07-28", "2025-11-25"
PYTHON = [
    *(f"{name} {way}" for name in ("sdk", "fastmcp") for way in ("http modern", "http handshake", "sse handshake")),
    *(f"{name} stdio {era}" for name in ("sdk", "fastmcp") for era in ("modern", "handshake")),
]


class Peer:
    """A client, and what reached its handlers."""

    def __init__(self, target: Any, **options: Any) -> None:
        self.logged: list[Any] = []
        self.notices: list[tuple[str, Any]] = []
        self.asked: list[str] = []
        self.roots = ["file:///here"]
        self.client = Client(
            target,
            timeout=SECONDS,
            elicitation_handler=self.elicit,
            sampling_handler=self.sample,
            roots=lambda context: self.roots,
            log_handler=lambda note: self.logged.append(note.data),
            message_handler=lambda notice: self.notices.append((notice.method, notice.params.get("uri"))),
            **options,
        )

    async def elicit(self, message: str, response_type: Any, params: Any, context: Any) -> Any:
        self.asked.append(params.url or message)
        return None if params.mode == "url" else response_type(name="Ann")

    async def sample(self, messages: Any, params: Any, context: Any) -> str:
        self.asked.append("sample")
        return f"{messages[0].content.text} in {params.max_tokens}"

    @property
    def said(self) -> list[str]:
        """Log notes as text: frameworks wrap theirs in objects of their own."""
        return [data["msg"] if isinstance(data, Mapping) else data for data in self.logged]


async def eventually(condition: Callable[[], Any | Awaitable[Any]]) -> None:
    async with asyncio.timeout(SECONDS):
        while True:
            value = condition()
            if await value if isinstance(value, Awaitable) else value:
                return
            await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the servers' own words go."""
    return tmp_path_factory.mktemp("servers") / "stderr"


def reached(port: int) -> str:
    """The address of a server, once it listens."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return f"http://127.0.0.1:{port}"
        except OSError:
            assert time.monotonic() < deadline, "the server does not listen"
            time.sleep(0.02)


@pytest.fixture(scope="module")
def started(quiet: Path) -> Iterator[Callable[..., str]]:
    """Start a server over HTTP, once, and say where it is."""
    running: dict[tuple[str, ...], tuple[subprocess.Popen[str], str]] = {}

    def start(*command: str, env: Mapping[str, str] | None = None, port: int | None = None) -> str:
        if command not in running:
            with quiet.open("a") as log:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE if port is None else log,
                    stderr=log,
                    text=True,
                    env={**os.environ, **(env or {})},
                )
            running[command] = process, ""
            if port is None:
                assert process.stdout is not None
                port = int(process.stdout.readline())
            running[command] = process, reached(port)
        return running[command][1]

    yield start
    for process, _ in running.values():
        with process:  # closes the pipes
            process.terminate()


# The official SDK and FastMCP


@pytest.fixture(scope="module", params=PYTHON)
def connection(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
async def python(connection: str, quiet: Path, started: Callable[..., str]) -> AsyncIterator[Peer]:
    """Connected as a user would; the era is agreed on, or chosen with `mode`."""
    framework, way, era = connection.split()
    if importlib.util.find_spec("mcp" if framework == "sdk" else "fastmcp") is None:
        missing(f"{framework}: pip install 'headrace[test]'")
    if way == "stdio":
        target: Any = StdioTransport(sys.executable, [SERVERS, framework, way], log_file=quiet)
    else:
        target = started(sys.executable, SERVERS, framework, way) + ("/sse" if way == "sse" else "/mcp")
    peer = Peer(target, mode="legacy" if era == "handshake" and way != "sse" else "auto")
    async with peer.client:
        yield peer


async def test_it_agrees_on_a_revision(connection: str, python: Peer) -> None:
    client = python.client
    assert client.protocol_version == (MODERN if connection.endswith("modern") else HANDSHAKE)
    assert client.server_info is not None
    assert client.server_info.name == "theirs"
    assert client.instructions == "Ask away"
    assert await client.ping()


async def test_it_lists_and_calls(python: Peer) -> None:
    client = python.client
    assert {"weather", "pictures", "count", "survey"} <= {tool.name for tool in await client.list_tools()}
    weather = await client.call_tool("weather", {"city": "Rome"})
    assert (weather.data.city, weather.data.degrees, weather.data.winds) == ("Rome", 21.5, [1, 2])
    assert weather.structured_content == {"city": "Rome", "degrees": 21.5, "winds": [1, 2]}
    text, image, inside, link = (await client.call_tool("pictures")).content
    assert isinstance(text, TextContent)
    assert text.annotations == Annotations(audience=["user"], priority=0.7)
    assert isinstance(image, ImageContent)
    assert (image.data, image.mime_type) == (PIXEL, "image/png")
    assert isinstance(inside, EmbeddedResource)
    assert inside.resource.text == "a note"
    assert isinstance(link, ResourceLink)
    assert link.uri == NOTE


async def test_it_tells_failures(python: Peer) -> None:
    client = python.client
    with pytest.raises(ToolError, match="it broke"):
        await client.call_tool("fails")
    assert (await client.call_tool("fails", raise_on_error=False)).is_error
    with pytest.raises((ToolError, McpError), match=r"(?i)city|required"):
        await client.call_tool("weather")
    with pytest.raises((ToolError, McpError), match="nothing"):
        await client.call_tool("nothing")
    with pytest.raises(NotFoundError, match="has no resource 'other://x'"):
        await client.read_resource("other://x")


async def test_it_hears_progress_and_logs(python: Peer) -> None:
    seen: list[Any] = []
    called = await python.client.call_tool("count", {"to": 3}, progress_handler=lambda *said: seen.append(said))
    assert called.text == "done"
    assert seen == [(1, 3, "at 1"), (2, 3, "at 2"), (3, 3, "at 3")]
    assert python.said == ["counted to 3"]


async def test_it_answers_questions(python: Peer) -> None:
    """Elicitation with the form's default, sampling, roots: in rounds, or while the call waits."""
    assert (await python.client.call_tool("survey")).text == "Ann, 2, Say hello in 20, file:///here"
    assert sorted(python.asked) == ["Who are you?", "sample"]


async def test_it_reads_prompts_and_completes(python: Peer) -> None:
    client = python.client
    assert [resource.uri for resource in await client.list_resources()] == [NOTE]
    assert [each.uri_template for each in await client.list_resource_templates()] == ["note://{name}"]
    for uri, text in ((NOTE, "a note"), ("note://mine", "the note mine")):
        assert [contents.text for contents in await client.read_resource(uri)] == [text]
    assert [prompt.name for prompt in await client.list_prompts()] == ["greet"]
    (message,) = (await client.get_prompt("greet", {"who": "Ann"})).messages
    assert message.content == TextContent(text="Greet Ann")
    completed = await client.complete(PromptReference(name="greet"), {"name": "who", "value": "An"})
    assert completed.values == ["Ann", "Anton"]


@pytest.mark.parametrize("how", ["task", "timeout", "cancel"])
async def test_giving_up_reaches_the_server(how: str, python: Peer) -> None:
    client = python.client
    runs = asyncio.Event()
    limit = 0.5 if how == "timeout" else None
    calling = asyncio.create_task(
        client.call_tool("wait", {"name": how}, timeout=limit, progress_handler=lambda *_: runs.set())
    )
    await asyncio.wait_for(runs.wait(), SECONDS)
    if how == "task":
        calling.cancel()
    elif how == "cancel":
        assert await client.cancel(client.requests_in_flight[-1])
    with pytest.raises(asyncio.CancelledError if how == "task" else ClientError):
        await calling

    async def is_told() -> bool:
        return how in (await client.call_tool("gave_up")).structured_content["result"]

    await eventually(is_told)


async def test_it_makes_many_calls_at_once(python: Peer) -> None:
    calls = [python.client.call_tool("weather", {"city": str(number)}) for number in range(30)]
    assert [each.data.city for each in await asyncio.gather(*calls)] == [str(number) for number in range(30)]


async def test_it_subscribes(connection: str, python: Peer) -> None:
    client = python.client
    if connection.startswith("fastmcp"):  # which tells of no changes
        with pytest.raises(MethodNotFound):
            await (client.listen(tools=True).open() if "modern" in connection else client.subscribe_resource(NOTE))
    elif "modern" in connection:
        async with asyncio.timeout(SECONDS), client.listen(tools=True, uris=[NOTE]) as notices:
            await client.call_tool("change")
            heard = [await anext(notices), await anext(notices)]
        assert {notice.method for notice in heard} == {
            "notifications/resources/updated",
            "notifications/tools/list_changed",
        }


# The TypeScript `server-everything`: it has a handshake


class _Node(TypedDict):
    node_cmd: str
    log_file: Path


@pytest.fixture
def run_by(node: str, quiet: Path) -> _Node:
    return {"node_cmd": node, "log_file": quiet}


@pytest.fixture(params=["http", "sse", "sse by fallback", "stdio"])
def everything(
    request: pytest.FixtureRequest,
    node: str,
    run_by: _Node,
    started: Callable[..., str],
    free_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[], Any]:
    """Makes a `Peer` that is connected to it; each has a session of its own."""
    way: str = request.param
    monkeypatch.setattr(stdio, "_END_SECONDS", 0.2)  # its timers keep it alive when stdin ends

    def target() -> Any:
        if way == "stdio":
            return NodeStdioTransport(EVERYTHING, ["stdio"], **run_by)
        kind = "streamableHttp" if way == "http" else "sse"
        url = started(node, str(EVERYTHING), kind, env={"PORT": str(free_port)}, port=free_port)
        if way == "sse by fallback":
            return UrlTransport(f"{url}/sse")
        return f"{url}/{'mcp' if way == 'http' else 'sse'}"

    @asynccontextmanager
    async def connected(**options: Any) -> AsyncIterator[Peer]:
        peer = Peer(target(), **options)
        async with asyncio.timeout(2 * SECONDS), peer.client:
            yield peer

    return connected


async def test_everything_begins_with_a_handshake(everything: Callable[..., Any]) -> None:
    async with everything() as peer:
        client = peer.client
        assert client.protocol_version == HANDSHAKE
        assert client.initialize_result.server_info.name == "mcp-servers/everything"
        assert "Everything Server" in client.instructions
        assert await client.ping()
        # It offers these to clients that can do what they need.
        assert {"trigger-sampling-request", "trigger-elicitation-request", "get-roots-list"} <= {
            tool.name for tool in await client.list_tools()
        }
    with pytest.raises(ClientError):
        async with everything(mode="modern"):
            pass


async def test_everything_is_called(everything: Callable[..., Any]) -> None:
    async with everything() as peer:
        client = peer.client
        assert (await client.call_tool("echo", {"message": "Grüße 😀"})).text == "Echo: Grüße 😀"
        weather = (await client.call_tool("get-structured-content", {"location": "Chicago"})).data
        assert (weather.temperature, weather.conditions, weather.humidity) == (36, "Light rain / drizzle", 82)
        text, image = (
            await client.call_tool("get-annotated-message", {"messageType": "error", "includeImage": True})
        ).content
        assert text.annotations == Annotations(audience=["user", "assistant"], priority=1.0)
        assert base64.b64decode(image.data).startswith(b"\x89PNG")
        links = (await client.call_tool("get-resource-links", {"count": 2})).content[1:]
        read = [(await client.read_resource(link.uri))[0] for link in links]
        assert base64.b64decode(read[0].blob).startswith(b"Resource 1: ")
        assert read[1].text.startswith("Resource 2: ")
        _, inside, _ = (
            await client.call_tool("get-resource-reference", {"resourceType": "Text", "resourceId": 7})
        ).content
        assert inside.resource.uri == "demo://resource/dynamic/text/7"
        data = "data:text/plain;base64," + base64.b64encode(b"squeeze me").decode()
        (link,) = (await client.call_tool("gzip-file-as-resource", {"name": "x.gz", "data": data})).content
        (contents,) = await client.read_resource(link.uri)
        assert gzip.decompress(base64.b64decode(contents.blob)) == b"squeeze me"
        with pytest.raises(ToolError, match="expected string"):
            await client.call_tool("echo")
        with pytest.raises(ToolError, match="no-such not found"):
            await client.call_tool("no-such")
        with pytest.raises(NotFoundError, match="has no resource 'demo://nothing'"):
            await client.read_resource("demo://nothing")


async def test_everything_takes_long(everything: Callable[..., Any]) -> None:
    async with everything() as peer:
        client = peer.client
        seen: list[Any] = []
        arguments: dict[str, Any] = {"duration": 0.2, "steps": 4}
        called = await client.call_tool(
            "trigger-long-running-operation", arguments, progress_handler=lambda *said: seen.append(said)
        )
        assert called.text.startswith("Long running operation completed")
        assert seen == [(step, 4, None) for step in (1, 2, 3, 4)]
        with pytest.raises(ClientError, match=r"did not answer tools/call within 0\.3 seconds"):
            await client.call_tool("trigger-long-running-operation", {"duration": 60, "steps": 600}, timeout=0.3)
        calling = asyncio.create_task(
            client.call_tool("trigger-long-running-operation", {"duration": 60, "steps": 600})
        )
        await eventually(lambda: client.requests_in_flight)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert (await client.call_tool("get-sum", {"a": 1, "b": 2})).text == "The sum of 1 and 2 is 3."


async def test_everything_asks(everything: Callable[..., Any]) -> None:
    async with everything() as peer:
        client = peer.client
        elicited = (await client.call_tool("trigger-elicitation-request")).text
        assert "- Name: Ann\n- Favorite Integer: 42\n" in elicited  # the second by default
        url: dict[str, Any] = {"url": "https://example.com/x", "message": "Go there", "elicitationId": "e"}
        assert "User completed" in (await client.call_tool("trigger-url-elicitation", url)).text
        with pytest.raises(McpError, match="browser-based authorization") as refused:
            await client.call_tool("trigger-url-elicitation", {**url, "errorPath": True})
        assert refused.value.code == -32042
        assert refused.value.data["elicitations"][0]["url"] == "https://modelcontextprotocol.io"
        sampled = await client.call_tool("trigger-sampling-request", {"prompt": "Hi", "maxTokens": 7})
        assert "context: Hi in 7" in sampled.text
        assert peer.asked[1:] == ["https://example.com/x", "sample"]


async def test_everything_wants_roots(everything: Callable[..., Any]) -> None:
    async with everything() as peer:
        assert "file:///here" in (await peer.client.call_tool("get-roots-list")).text
        peer.roots = ["file:///there", "file:///everywhere"]
        await peer.client.send_roots_list_changed()

        async def are_known() -> bool:
            return "file:///everywhere" in (await peer.client.call_tool("get-roots-list")).text

        await eventually(are_known)


async def test_everything_logs_and_tells_of_updates(everything: Callable[..., Any]) -> None:
    async with everything() as peer:
        client, uri = peer.client, "demo://resource/dynamic/text/1"
        await client.set_logging_level("debug")
        await client.call_tool("toggle-simulated-logging")
        await eventually(lambda: any("level" in each for each in peer.logged))
        await client.subscribe_resource(uri)
        await client.call_tool("toggle-subscriber-updates")
        await eventually(lambda: ("notifications/resources/updated", uri) in peer.notices)
        await client.unsubscribe_resource(uri)


async def test_everything_has_prompts_and_completes(everything: Callable[..., Any]) -> None:
    async with everything() as peer:
        client = peer.client
        assert {"simple-prompt", "args-prompt"} <= {prompt.name for prompt in await client.list_prompts()}
        (message,) = (await client.get_prompt("args-prompt", {"city": "Rome"})).messages
        assert message.content.text == "What's weather in Rome?"
        _, inside = (await client.get_prompt("resource-prompt", {"resourceType": "Text", "resourceId": "2"})).messages
        assert inside.content.resource.uri == "demo://resource/dynamic/text/2"
        with pytest.raises(McpError, match="city"):
            await client.get_prompt("args-prompt", {})
        ref = PromptReference(name="completable-prompt")
        assert (await client.complete(ref, {"name": "department", "value": "S"})).values == ["Sales", "Support"]
        chosen = {"department": "Sales"}
        assert (await client.complete(ref, {"name": "name", "value": "D"}, chosen)).values == ["David"]
        (template, *_) = await client.list_resource_templates()
        reference = ResourceTemplateReference(uri=template.uri_template)
        assert (await client.complete(reference, {"name": "resourceId", "value": "3"})).values == ["3"]
        assert len(await client.list_resources()) > 3


# The TypeScript `server-filesystem`: over stdio, and its directories are the client's roots


@asynccontextmanager
async def files(run_by: _Node, *roots: Path) -> AsyncIterator[Peer]:
    peer = Peer(NodeStdioTransport(FILESYSTEM, **run_by))
    peer.roots = [root.as_uri() for root in roots]
    async with asyncio.timeout(2 * SECONDS), peer.client:

        async def knows() -> bool:
            # It asks for the roots after the handshake, on the side.
            allowed = await peer.client.call_tool("list_allowed_directories", raise_on_error=False)
            return all(str(root) in allowed.text for root in roots)

        await eventually(knows)
        yield peer


async def test_files_are_written_read_and_found(run_by: _Node, tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(base64.b64decode(PIXEL))
    async with files(run_by, tmp_path) as peer:
        call = peer.client.call_tool
        note = str(tmp_path / "note.txt")
        await call("write_file", {"path": note, "content": "one\ntwo\nthree\n"})
        assert (tmp_path / "note.txt").read_text() == "one\ntwo\nthree\n"
        assert (await call("read_text_file", {"path": note, "head": 1})).data.content == "one"
        edited = await call("edit_file", {"path": note, "edits": [{"oldText": "two", "newText": "2"}]})
        assert "+2" in edited.text
        found = await call("search_files", {"path": str(tmp_path), "pattern": "**/*.txt"})
        assert found.text == note
        (image,) = (await call("read_media_file", {"path": str(tmp_path / "p.png")})).content
        assert isinstance(image, ImageContent)
        assert (image.data, image.mime_type) == (PIXEL, "image/png")
        many = await asyncio.gather(*(call("read_text_file", {"path": note}) for _ in range(20)))
        assert {each.data.content for each in many} == {"one\n2\nthree\n"}
        await call("move_file", {"source": note, "destination": str(tmp_path / "moved")})
        assert sorted(os.listdir(tmp_path)) == ["moved", "p.png"]


async def test_files_outside_the_roots_are_refused(run_by: _Node, tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    for each in (mine, other):
        each.mkdir()
        (each / "note").write_text("a note")
    async with files(run_by, mine) as peer:
        call = peer.client.call_tool
        with pytest.raises(ToolError, match="Access denied"):
            await call("read_text_file", {"path": str(other / "note")})
        peer.roots = [other.as_uri()]
        await peer.client.send_roots_list_changed()

        async def may_read() -> bool:
            return not (await call("read_text_file", {"path": str(other / "note")}, raise_on_error=False)).is_error

        await eventually(may_read)
        with pytest.raises(ToolError, match="Access denied"):
            await call("read_text_file", {"path": str(mine / "note")})


# As users write it down


async def test_a_script_is_a_target(node: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(node).parent}{os.pathsep}{os.environ['PATH']}")
    async with Client(EVERYTHING, timeout=SECONDS) as client:
        assert (await client.call_tool("echo", {"message": "hi"})).text == "Echo: hi"


async def test_three_servers_of_three_makers_are_one(node: str, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("a note")
    servers: dict[str, Any] = {
        "everything": {"command": node, "args": [str(EVERYTHING)]},
        "files": {"command": node, "args": [str(FILESYSTEM), str(tmp_path)]},
        "sdk": {"command": sys.executable, "args": [SERVERS, "sdk", "stdio"]},
    }
    async with Client({"mcpServers": servers}, timeout=SECONDS) as client:
        names = {tool.name for tool in await client.list_tools()}
        assert {"everything_echo", "files_read_text_file", "sdk_weather"} <= names
        assert (await client.call_tool("everything_echo", {"message": "hi"})).text == "Echo: hi"
        read = await client.call_tool("files_read_text_file", {"path": str(tmp_path / "note")})
        assert read.data.content == "a note"
        assert (await client.call_tool("sdk_weather", {"city": "Rome"})).data.city == "Rome"
        assert NOTE in {resource.uri.replace("sdk/", "") for resource in await client.list_resources()}
