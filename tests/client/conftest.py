"""Servers for the client's tests: one of a few lines, our own over HTTP, and the official SDK's."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from headrace import Context, FastMCP
from headrace.call import Call, Encoded
from headrace.client.eras import forget_servers
from headrace.exceptions import ToolError
from headrace.protocol.types import DiscoverResult, Implementation, InitializeResult, Result, ServerCapabilities
from headrace.protocol.versions import MODERN_VERSIONS, Era


class Stub:
    """A `Served` of a few lines: `handlers` answer by method."""

    name = "stub"

    def __init__(self, **handlers: Callable[[Call], Awaitable[Any]]) -> None:
        self.handlers = {name.replace("__", "/"): handler for name, handler in handlers.items()}
        self.extension_methods: set[str] = set()
        self.listeners: list[Callable[[str, str | None], None]] = []
        self.seen: list[Call] = []
        self.lifespans = 0

    async def serve(self, call: Call) -> Result | Encoded:
        self.seen.append(call)
        if call.method in self.handlers:
            return await self.handlers[call.method](call)
        if call.method == "initialize":
            return InitializeResult(
                protocol_version=call.era.version,
                capabilities=ServerCapabilities(tools={}),
                server_info=Implementation(name="stub", version="1"),
            )
        assert call.method == "server/discover", call.method
        return DiscoverResult(
            supported_versions=MODERN_VERSIONS,
            capabilities=ServerCapabilities(tools={}),
            ttl_ms=0,
            cache_scope="public",
        )

    def stamp(self, era: Era) -> bytes:
        return b'{"name":"stub","version":"1"}'

    def mirrored(self, tool: str) -> Mapping[str, tuple[tuple[str, ...], str]]:
        return {}

    def on_change(self, notice: Callable[[str, str | None], None]) -> Callable[[], None]:
        self.listeners.append(notice)
        return lambda: self.listeners.remove(notice)

    def change(self, method: str, uri: str | None = None) -> None:
        for listener in list(self.listeners):
            listener(method, uri)

    @asynccontextmanager
    async def lifespan_context(self) -> AsyncIterator[None]:
        self.lifespans += 1
        try:
            yield
        finally:
            self.lifespans -= 1


@pytest.fixture(autouse=True)
def servers_are_strangers() -> None:
    """Scripted servers share a URL and differ in what they speak."""
    forget_servers()


@pytest.fixture
def stub() -> type[Stub]:
    return Stub


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], Awaitable[None]]:
    async def until(condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + 5
        while not condition():
            assert time.monotonic() < deadline, "it did not become true in time"
            await asyncio.sleep(0.005)

    return until


@pytest.fixture
async def no_tasks_left() -> AsyncIterator[None]:
    """Every task that the test's client made has ended with it."""
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0.05)
    # The plugin runs each step of a test in a task of its own.
    left = {task for task in asyncio.all_tasks() - before if not task.done() and "TestRunner" not in repr(task)}
    assert not left, left


def make_server() -> FastMCP:
    """The same components as `peer_server.py`."""
    server = FastMCP("ours")

    @server.tool
    async def add(a: int, b: int) -> int:
        return a + b

    @server.tool
    async def work(ctx: Context) -> str:
        await ctx.report_progress(1, 2, "half")
        await ctx.info("working")
        await ctx.report_progress(2, 2, "done")
        return "worked"

    @server.tool
    async def fail() -> str:
        raise ToolError("no luck")

    @server.tool
    async def greet(ctx: Context) -> str:
        answer = await ctx.elicit("Your name?", str)
        return f"hello {answer.data}"  # pyright: ignore[reportAttributeAccessIssue]

    @server.tool
    async def sleep(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "slept"

    @server.resource("data://x")
    async def x() -> str:
        return "hey"

    @server.prompt
    async def say(what: str) -> str:
        return f"say {what}"

    return server


@pytest.fixture
def ours() -> FastMCP:
    return make_server()


@pytest.fixture(scope="session")
def our_server() -> Iterator[tuple[FastMCP, str]]:
    """Our server and its URL: uvicorn in a thread."""
    server = make_server()
    sock = socket.socket(proto=socket.IPPROTO_TCP)  # asyncio sets TCP_NODELAY only then
    sock.bind(("127.0.0.1", 0))
    runner = uvicorn.Server(uvicorn.Config(server.http_app(), log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=lambda: asyncio.run(runner.serve(sockets=[sock])), daemon=True)
    thread.start()
    _wait_for(sock.getsockname()[1])
    yield server, f"http://127.0.0.1:{sock.getsockname()[1]}/mcp"
    runner.should_exit = True
    thread.join(10)
    sock.close()


@pytest.fixture(scope="session")
def peer_url() -> Iterator[str]:
    """The URL of the official SDK's server, in a process of its own."""
    pytest.importorskip("mcp.server.mcpserver")
    script = Path(__file__).parent / "peer_server.py"
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        port = int(process.stdout.readline())
        _wait_for(port)
        yield f"http://127.0.0.1:{port}/mcp"
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
