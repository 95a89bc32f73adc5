"""``headrace bridge``: clients of both eras that start it, and a server behind it that they never meet."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import mcp_types
import msgspec
import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from pydantic import Field

from headrace import Client, Context, FastMCP
from headrace.cli.relay import MAX_CALLS, MAX_SENDING, Relay
from headrace.client.transports import StdioTransport
from headrace.exceptions import McpError
from headrace.server.dependencies import get_http_request
from headrace.testing import run_server_async

from ..client.raw_http import DONE, HANDSHAKE, MODERN, Exchange, raw_server
from .commands import COMMAND, SECONDS

ERAS = ["2025-06-18", "2025-11-25", "2026-07-28"]


def make_server() -> FastMCP:
    server = FastMCP("behind")

    @server.tool
    async def add(a: int, b: int, ctx: Context) -> int:
        await ctx.report_progress(1, 2, "half")
        await ctx.info("adding")
        return a + b

    @server.tool
    async def ask(ctx: Context) -> str:
        answer = await ctx.elicit("Your name?", str)
        model = await ctx.sample("Hello?")
        roots = await ctx.list_roots()
        return f"{answer.data}, {model.text}, {roots[0].uri}"  # pyright: ignore[reportAttributeAccessIssue]

    @server.tool
    async def hang(ctx: Context) -> None:
        try:
            await ctx.report_progress(0)
            await asyncio.sleep(SECONDS)
        finally:
            gone.set()

    gone = asyncio.Event()
    server.gone = gone  # pyright: ignore[reportAttributeAccessIssue]

    @server.tool
    async def headers(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})] = "") -> Any:
        return dict(get_http_request().headers)

    @server.tool
    async def grow() -> None:
        @server.tool
        def grown() -> None: ...

    @server.resource("data://x")
    async def x() -> str:
        return "hey"

    return server


def bridge(url: str, *arguments: str) -> StdioTransport:
    program, *rest = COMMAND
    return StdioTransport(program, [*rest, "bridge", url, *arguments], {**os.environ})


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "home"))


@pytest.fixture
async def server() -> FastMCP:
    return make_server()


@pytest.fixture
async def url(server: FastMCP) -> AsyncIterator[str]:
    async with run_server_async(server, path="/mcp") as url:
        yield url


@pytest.mark.parametrize("era", ERAS)
async def test_everything_passes(era: str, url: str, server: Any) -> None:
    progress: list[Any] = []
    logs: list[Any] = []
    notices: asyncio.Queue[str] = asyncio.Queue()
    client = Client(
        bridge(url, "--header", "X-Key: 1"),
        protocol_version=era,
        elicitation_handler=lambda message, kind, params, context: {"value": "Ada"},
        sampling_handler=lambda messages, params, context: "hi",
        roots=["file:///home"],
        log_handler=lambda note: logs.append(note.data),
        message_handler=lambda notice: notices.put_nowait(notice.method),
        progress_handler=lambda *told: progress.append(told),
    )
    async with asyncio.timeout(SECONDS), client:
        assert (client.protocol_version, client.server_info and client.server_info.name) == (era, "behind")
        assert [tool.name for tool in await client.list_tools()] == ["add", "ask", "hang", "headers", "grow"]
        assert (await client.call_tool("add", {"a": 1, "b": 2})).data == 3
        assert (progress, len(logs)) == ([(1, 2, "half")], 1)
        assert (await client.call_tool("ask")).data == "Ada, hi, file:///home"
        assert (await client.read_resource("data://x"))[0].text == "hey"
        headers = (await client.call_tool("headers", {"region": "Köln"})).data
        assert (headers["x-key"], headers["mcp-protocol-version"]) == ("1", era)
        mirrored = client.initialize_result is None
        assert headers.get("mcp-param-region") == ("=?base64?S8O2bG4=?=" if mirrored else None)
        with pytest.raises(McpError, match="Unknown tool"):
            await client.call_tool("none")
        answers = await asyncio.gather(*(client.call_tool("add", {"a": n, "b": 1}) for n in range(50)))
        assert [answer.data for answer in answers] == list(range(1, 51))
        if client.initialize_result is None:
            async with client.listen(tools=True) as changes:
                await client.call_tool("grow")
                assert (await anext(changes)).method == "notifications/tools/list_changed"
        else:
            await client.call_tool("grow")
            while await notices.get() != "notifications/tools/list_changed":
                pass


@pytest.mark.parametrize("era", ERAS)
async def test_cancellation(era: str, url: str, server: Any) -> None:
    begun = asyncio.Event()
    async with asyncio.timeout(SECONDS), Client(bridge(url), protocol_version=era) as client:
        call = asyncio.create_task(client.call_tool("hang", progress_handler=lambda *told: begun.set()))
        await begun.wait()
        call.cancel()
        await server.gone.wait()
        assert (await client.call_tool("add", {"a": 1, "b": 2})).data == 3


async def test_a_client_of_the_official_sdk(url: str) -> None:
    program, *rest = COMMAND
    parameters = StdioServerParameters(command=program, args=[*rest, "bridge", url], env={**os.environ})
    async with asyncio.timeout(SECONDS), stdio_client(parameters) as streams, ClientSession(*streams) as session:
        assert (await session.initialize()).server_info.name == "behind"
        result = await session.call_tool("add", {"a": 1, "b": 2})
        assert isinstance(result, mcp_types.CallToolResult)
        assert result.structured_content == {"result": 3}


# Message by message


INITIALIZE = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
META = {"_meta": {"io.modelcontextprotocol/protocolVersion": MODERN}}


class Bridge:
    """The bridge's process, and what is said to it and heard from it, a line each."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        assert process.stdin is not None
        assert process.stdout is not None
        self.stdin, self.stdout = process.stdin, process.stdout

    def say(self, method: str, params: Any = None, id: Any = None) -> None:
        message = {"jsonrpc": "2.0", "method": method, "params": params or {}}
        self.line(msgspec.json.encode(message if id is None else {**message, "id": id}))

    def line(self, line: bytes) -> None:
        self.stdin.write(line + b"\n")

    async def hear(self) -> Any:
        return msgspec.json.decode(await self.stdout.readline())

    async def end(self) -> tuple[list[Any], int, str]:
        """Close stdin: what was still said, the exit code, and what went to stderr."""
        self.stdin.close()
        said, stderr = await self.process.communicate()
        return [msgspec.json.decode(line) for line in said.splitlines()], self.process.returncode or 0, stderr.decode()

    async def begin(self) -> None:
        self.say("initialize", INITIALIZE, 0)
        assert (await self.hear())["result"]["protocolVersion"] == HANDSHAKE
        self.say("notifications/initialized")


@asynccontextmanager
async def bridging(url: str, *arguments: str) -> AsyncIterator[Bridge]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "bridge", url, *arguments, stdin=pipe, stdout=pipe, stderr=pipe
    )
    try:
        async with asyncio.timeout(SECONDS):
            yield Bridge(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def error(code: int, message: str, **data: Any) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": message, **data}})


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize(
    ("status", "body", "code", "said"),
    [
        (404, b"", -32601, "{url} answered 404 Said"),
        (400, error(-32000, "Bad Request: no session"), -32000, "Bad Request: no session"),
        (400, error(-32022, "Unsupported", data={"supported": ["x"]}), -32022, "Unsupported"),
        (200, error(-32601, "Method not found"), -32601, "Method not found"),
    ],
)
async def test_a_revision_that_the_server_does_not_speak(
    modern: bool, status: int, body: bytes, code: int, said: str
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.answer(status, body)

    async with raw_server(script) as server, bridging(server.url, "-t", "http") as bridge:
        bridge.say("server/discover", META, 1) if modern else bridge.say("initialize", INITIALIZE, 1)
        answer = await bridge.hear()
        revision = MODERN if modern else HANDSHAKE
        assert answer["error"]["code"] == code
        message = f"{server.url} does not speak {revision}: {said.format(url=server.url)}"
        assert answer["error"]["message"] == message
        assert ("data" in answer["error"]) == (b"data" in body)
        assert await bridge.end() == ([], 0, "")


async def test_a_client_that_asks_which_revision_it_is() -> None:
    async def script(exchange: Exchange) -> bool | None:
        return await exchange.answer(400) if exchange.method == "server/discover" else False

    async with raw_server(script) as server, asyncio.timeout(SECONDS), Client(bridge(server.url)) as client:
        assert client.protocol_version == HANDSHAKE


async def test_the_end_of_stdin() -> None:
    """What is under way is answered, what has no end is ended, and the server hears that the session is over."""
    listening, left = asyncio.Event(), asyncio.Event()

    async def script(exchange: Exchange) -> bool | None:
        if exchange.method == "initialize":
            await exchange.answer(200, exchange.response({"protocolVersion": HANDSHAKE}), "mcp-session-id: s1")
        elif exchange.method == "tools/call":
            await left.wait()
            await exchange.result(DONE)
        elif exchange.method == "subscriptions/listen":
            await exchange.stream()
            listening.set()
            await exchange.hold()
            left.set()
        else:
            return False
        return None

    async with raw_server(script) as server, bridging(server.url) as bridge:
        await bridge.begin()
        bridge.say("tools/call", {"name": "slow"}, "a")
        bridge.say("subscriptions/listen", META, "b")
        await listening.wait()
        said, code, stderr = await bridge.end()
        assert ([each["id"] for each in said], code, stderr) == (["a"], 0, "")
        last = server.seen[-1]
        assert (last.verb, last.headers["mcp-session-id"]) == ("DELETE", "s1")


async def test_a_session_that_is_forgotten() -> None:
    """The client does not notice: another session is begun with its own words, and what it subscribed to is again."""
    sessions = 0

    async def script(exchange: Exchange) -> bool | None:
        nonlocal sessions
        if exchange.method == "initialize":
            sessions += 1
            body = exchange.response({"protocolVersion": HANDSHAKE})
            await exchange.answer(200, body, f"mcp-session-id: s{sessions}")
        elif exchange.method == "tools/call" and exchange.headers["mcp-session-id"] == "s1":
            await exchange.answer(404)
        elif exchange.method in ("tools/call", "resources/subscribe"):
            await exchange.result(DONE)
        else:
            return False
        return None

    async with raw_server(script) as server, bridging(server.url) as bridge:
        await bridge.begin()
        bridge.say("resources/subscribe", {"uri": "data://x"}, 1)
        assert (await bridge.hear())["id"] == 1
        bridge.say("tools/call", {"name": "x"}, 2)
        assert await bridge.hear() == {"jsonrpc": "2.0", "id": 2, "result": DONE}
        again = [each for each in server.seen if each.method in ("initialize", "resources/subscribe")]
        assert [each.message["params"] for each in again[2:]] == [INITIALIZE, {"uri": "data://x"}]
        assert await bridge.end() == ([], 0, "")


@pytest.mark.parametrize(
    ("lines", "answers"),
    [
        ([b"hello"], [(None, -32700)]),
        ([b"{}"], [(None, -32600)]),
        ([b"[]"], [(None, -32600)]),
        ([b'[{"jsonrpc":"2.0","id":1,"method":"ping"}, 7, {"jsonrpc":"2.0","id":2,"method":"ping"}]'], [[1, None, 2]]),
        ([b'{"jsonrpc":"2.0","id":5,"method":"tools/call"}'] * 2, [(5, -32600), (5, None)]),
        ([b'{"jsonrpc":"2.0","id":9,"result":{}}', b'{"jsonrpc":"2.0","method":"notifications/cancelled"}'], []),
    ],
)
async def test_lines(lines: list[bytes], answers: list[Any]) -> None:
    async def script(exchange: Exchange) -> bool | None:
        if exchange.method == "tools/call":
            await asyncio.sleep(0.2)
            await exchange.result(DONE)
            return None
        if exchange.method == "POST":
            await exchange.answer(202)
            return None
        return False

    async with raw_server(script) as server, bridging(server.url) as bridge:
        await bridge.begin()
        for line in lines:
            bridge.line(line)
        said, code, stderr = await bridge.end()
        heard = [
            sorted((each.get("id") for each in one), key=str)
            if isinstance(one, list)
            else (one.get("id"), one.get("error", {}).get("code"))
            for one in said
        ]
        assert heard == [sorted(each, key=str) if isinstance(each, list) else each for each in answers]
        assert (code, stderr) == (0, "")


async def test_a_server_that_is_gone(free_port: int) -> None:
    async with bridging(f"http://user:s3cret@127.0.0.1:{free_port}/mcp?key=s3cret") as bridge:
        bridge.say("initialize", INITIALIZE, 1)
        said = (await bridge.hear())["error"]["message"]
        assert said.startswith(f"The connection to http://127.0.0.1:{free_port}/mcp failed: ")
        assert (await bridge.end())[1:] == (0, "")


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_signals(number: int, code: int) -> None:
    async def script(exchange: Exchange) -> bool | None:
        if exchange.method == "initialize":
            await exchange.answer(200, exchange.response({"protocolVersion": HANDSHAKE}), "mcp-session-id: s1")
            return None
        if exchange.method == "tools/call":
            called.set()
            await exchange.hold()
            return None
        return False

    called = asyncio.Event()
    async with raw_server(script) as server, bridging(server.url) as bridge:
        await bridge.begin()
        bridge.say("tools/call", {"name": "slow"}, 1)
        await called.wait()
        bridge.process.send_signal(number)
        assert await bridge.process.wait() == code
        assert await bridge.end() == ([], code, "")
        assert server.seen[-1].verb == "DELETE"


async def test_a_client_that_is_gone() -> None:
    """Nobody reads stdout any more: the bridge ends by itself."""
    async with raw_server(lambda exchange: _false()) as server, bridging(server.url) as bridge:
        await bridge.begin()
        transport: Any = bridge.stdout._transport  # pyright: ignore[reportAttributeAccessIssue]
        transport.close()
        bridge.say("ping", {}, 1)
        assert await bridge.process.wait() == 0


async def _false() -> bool:
    return False


class Silent:
    """A transport whose server says nothing."""

    name = "silent"
    session_id = None

    async def request(self, outgoing: Any, hear: Any) -> Any:
        await asyncio.Event().wait()

    async def send(self, body: bytes) -> None:
        await asyncio.Event().wait()


async def test_bounds_and_leaks() -> None:
    """So many requests wait at most, so many notes; nothing is left of them at the end."""
    said: list[Any] = []

    async def emit(body: bytes) -> None:
        said.append(msgspec.json.decode(body))

    before = asyncio.all_tasks()
    transport: Any = Silent()
    relay = Relay(transport, emit)
    for id in range(MAX_CALLS + 1):
        await relay.take(b'{"jsonrpc":"2.0","id":%d,"method":"tools/call"}' % id)
    for _ in range(MAX_SENDING):
        await relay.take(b'{"jsonrpc":"2.0","method":"notifications/x"}')
    full = asyncio.create_task(relay.take(b'{"jsonrpc":"2.0","method":"notifications/x"}'))
    await asyncio.wait([full], timeout=0.05)
    assert not full.done()
    full.cancel()
    assert [(each["id"], each["error"]["code"]) for each in said] == [(MAX_CALLS, -32600)]
    await relay.close()
    await asyncio.wait([full])
    assert {task for task in asyncio.all_tasks() - before if not task.done()} == set()
    assert len(said) == 1
