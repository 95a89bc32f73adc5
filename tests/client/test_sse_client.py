"""HTTP+SSE from the client's side, and how a URL turns out to be one of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from headrace import FastMCP
from headrace.client import Client
from headrace.client.transports import SSETransport, StreamableHttpTransport, transport_for
from headrace.exceptions import ClientError, FastMCPError, McpError, ToolError
from headrace.protocol.versions import LATEST_HANDSHAKE

from .raw_http import DONE, INITIALIZED, MODERN, Exchange, raw_server

pytestmark = pytest.mark.usefixtures("no_tasks_left")
SECONDS = 10.0
Eventually = Callable[[Callable[[], Any]], Awaitable[None]]


@asynccontextmanager
async def serving(server: FastMCP, path: str = "/sse") -> AsyncIterator[str]:
    """The URL of the server, over HTTP+SSE alone."""
    sock = socket.socket(proto=socket.IPPROTO_TCP)
    sock.bind(("127.0.0.1", 0))
    sock.listen()  # connections wait until the server takes them
    app = server.http_app(transport="sse", path=path)
    runner = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    task = asyncio.create_task(runner.serve(sockets=[sock]))
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}{path}"
    finally:
        runner.should_exit = True
        await asyncio.wait([task])
        sock.close()


async def test_everything_works(ours: FastMCP) -> None:
    told: list[Any] = []
    async with serving(ours) as url, asyncio.timeout(SECONDS):
        client = Client(
            SSETransport(url, headers={"x-trace": "7"}, auth="token"),
            progress_handler=lambda progress, total, message: told.append((progress, total, message)),
            log_handler=lambda note: told.append(note.data),
            elicitation_handler=lambda *asked: {"value": "Ada"},
        )
        for _ in range(2):  # it can be entered again
            async with client:
                assert client.protocol_version == LATEST_HANDSHAKE.version
                assert client.session_id is None
                assert "add" in {tool.name for tool in await client.list_tools()}
                assert (await client.call_tool("add", {"a": 1, "b": 2})).data == 3
                assert (await client.call_tool("work")).data == "worked"
                assert (await client.call_tool("greet")).data == "hello Ada"
                assert (await client.read_resource("data://x"))[0].text == "hey"  # pyright: ignore[reportAttributeAccessIssue]
                with pytest.raises(ToolError, match="no luck"):
                    await client.call_tool("fail")
                with pytest.raises(ClientError, match="within"):
                    await client.call_tool("sleep", {"seconds": 60}, timeout=0.05)
                assert await client.ping()
    assert [each for each in told if isinstance(each, tuple)] == [(1, 2, "half"), (2, 2, "done")] * 2


@pytest.mark.parametrize("path", ["/sse", "/anything"])
async def test_a_url_that_turns_out_to_be_one(ours: FastMCP, path: str) -> None:
    async with serving(ours, path) as url, asyncio.timeout(SECONDS):
        for _ in range(2):  # the second time it is known to need a handshake
            async with Client(url) as client:
                assert client.protocol_version == LATEST_HANDSHAKE.version
                assert (await client.call_tool("add", {"a": 1, "b": 2})).data == 3


async def test_no_falling_back_where_it_is_not_wanted(ours: FastMCP) -> None:
    async with serving(ours, "/anything") as url:
        for target in (StreamableHttpTransport(url), transport_for(url, fall_back=False)):
            with pytest.raises(McpError, match="Method not allowed"):
                await Client(target).__aenter__()
        with pytest.raises(ClientError, match="needs a handshake"):
            await Client(url, mode="modern").__aenter__()


Answer = Callable[[Exchange], Any]


class Old:
    """A server of HTTP+SSE, as a script: what it answers a POST with, and what its stream begins with."""

    def __init__(self, endpoint: bytes | None = b"/post?session=1", **answers: Answer) -> None:
        self.endpoint = endpoint
        self.answers = {name.replace("__", "/"): answer for name, answer in answers.items()}
        self.stream: Exchange | None = None

    async def __call__(self, exchange: Exchange) -> None:
        if exchange.path == "/mcp" and exchange.verb == "POST":
            await exchange.answer(405)
        elif exchange.path == "/stall":
            await exchange.hold()
        elif exchange.path == "/mcp":
            self.stream = exchange
            await exchange.stream()
            if self.endpoint is not None:
                await exchange.event(self.endpoint, "endpoint")
            await exchange.hold()
        elif (answer := self.answers.get(exchange.method)) is not None:
            await answer(exchange)
        else:
            await exchange.answer(202)
            if exchange.method == "initialize":
                await self.say(exchange.response(INITIALIZED))

    async def say(self, message: bytes) -> None:
        assert self.stream is not None
        await self.stream.event(message)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("place", ["evil.example/post", "127.0.0.1:1/post", "127.0.0.1.evil.example"])
async def test_an_endpoint_elsewhere_is_refused(scheme: str, place: str) -> None:
    async with raw_server(Old(f"{scheme}://{place}".encode())) as server, asyncio.timeout(SECONDS):
        for target in (SSETransport(server.url, auth="secret"), server.url):
            with pytest.raises(ClientError, match="names an endpoint at another origin"):
                await Client(target).__aenter__()
        assert not [each for each in server.seen if each.path != "/mcp"]


async def test_a_stream_that_begins_with_something_else() -> None:
    async with raw_server(Old(None)) as server, asyncio.timeout(SECONDS):
        with pytest.raises(ClientError, match=r"did not answer within 0\.1 seconds"):
            await Client(SSETransport(server.url), timeout=0.1).__aenter__()

        async def other(exchange: Exchange) -> None:
            await exchange.stream()
            await exchange.event(b"{}", "message")
            await exchange.hold()

        server.script = other
        with pytest.raises(ClientError, match=r"no HTTP\+SSE server"):
            await Client(SSETransport(server.url)).__aenter__()


@pytest.mark.parametrize("status", [400, 404, 405])
async def test_what_speaks_neither_is_told_as_it_was(status: int) -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.answer(status, b"not here", media="text/plain")

    async with raw_server(refuse) as server, asyncio.timeout(SECONDS):
        with pytest.raises(ClientError, match=f"answered {status} Said: not here$"):
            await Client(server.url).__aenter__()
        assert [each.method for each in server.seen] == ["server/discover", "initialize", "GET"]


@pytest.mark.parametrize(("code", "falls_back"), [(-32601, False), (-32022, False), (-32000, True)])
async def test_an_error_that_only_newer_servers_know_is_no_sign_of_an_older_one(code: int, falls_back: bool) -> None:
    old = Old()

    async def refuse(exchange: Exchange) -> None:
        if exchange.verb == "POST" and exchange.path == "/mcp":
            error = b'{"jsonrpc":"2.0","id":%d,"error":{"code":%d,"message":"no"}}' % (exchange.id, code)
            await exchange.answer(400, error)
        else:
            await old(exchange)

    async with raw_server(refuse) as server, asyncio.timeout(SECONDS):
        client = Client(server.url)
        if falls_back:
            async with client:
                assert client.protocol_version == LATEST_HANDSHAKE.version
        else:
            with pytest.raises(FastMCPError, match="no"):
                await client.__aenter__()
        assert bool([each for each in server.seen if each.verb == "GET"]) is falls_back


async def refuse_post(exchange: Exchange) -> None:
    await exchange.answer(503, b"busy", media="text/plain")


async def drop_post(exchange: Exchange) -> None:
    exchange.die()


@pytest.mark.parametrize(("answer", "told"), [(refuse_post, "503 Said: busy"), (drop_post, "failed")])
async def test_a_post_that_fails(answer: Answer, told: str) -> None:
    async with raw_server(Old(tools__call=answer)) as server, asyncio.timeout(SECONDS):
        async with Client(SSETransport(server.url)) as client:
            with pytest.raises(ClientError, match=told):
                await client.call_tool("t")
        assert len(server.ids("tools/call")) == 1


@pytest.mark.parametrize("how", ["abort", "close"])
async def test_the_stream_is_the_connection(how: str) -> None:
    async def end(exchange: Exchange) -> None:
        await exchange.answer(202)
        assert old.stream is not None
        if how == "abort":
            old.stream.die()
        else:
            old.stream.writer.close()

    old = Old(tools__call=end)
    async with raw_server(old) as server, asyncio.timeout(SECONDS), Client(SSETransport(server.url)) as client:
        for _ in range(2):
            with pytest.raises(ClientError, match=r"failed|ended the connection"):
                await client.call_tool("t")


async def test_out_of_order_twice_and_to_nobody() -> None:
    waiting: list[Exchange] = []

    async def call(exchange: Exchange) -> None:
        await exchange.answer(202)
        waiting.append(exchange)
        if len(waiting) % 3 == 0:
            for each in reversed(waiting[-3:]):
                result = {"content": [{"type": "text", "text": str(each.id)}]}
                await old.say(each.response(result, 999))
                await old.say(each.response(result))
                await old.say(each.response({"content": 5}))

    old = Old(tools__call=call)
    async with raw_server(old) as server, asyncio.timeout(SECONDS), Client(SSETransport(server.url)) as client:
        for _ in range(2):
            texts = [each.text for each in await asyncio.gather(*(client.call_tool("t") for _ in range(3)))]
            assert texts == sorted(texts, key=int)


async def test_a_flood_and_a_long_line() -> None:
    async def flood(exchange: Exchange) -> None:
        await exchange.answer(202)
        events = b'data: {"jsonrpc":"2.0","id":999,"result":{}}\n\n' * 50
        assert old.stream is not None
        while True:
            await old.stream.write(events)

    async def long_line(exchange: Exchange) -> None:
        await exchange.answer(202)
        assert old.stream is not None
        await old.stream.write(b"data: ")
        for _ in range(100):
            await old.stream.write(b"x" * (1 << 20))

    for answer, told in ((flood, "within"), (long_line, "a line longer than")):
        old = Old(tools__call=answer)
        async with raw_server(old) as server, Client(SSETransport(server.url)) as client:
            with pytest.raises(ClientError, match=told):
                await client.call_tool("t", timeout=0.2 if answer is flood else SECONDS)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors are counted in /proc")
async def test_failures_leave_nothing(eventually: Eventually) -> None:
    async def once() -> None:
        async with Client(SSETransport(server.url)) as client:
            with pytest.raises(ClientError):
                await client.call_tool("t")
        with pytest.raises(ClientError):
            await Client(SSETransport(server.url.replace("/mcp", "/stall")), timeout=0.01).__aenter__()

    def left() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async with raw_server(Old(tools__call=drop_post)) as server:
        await once()
        await eventually(lambda: not server.writers)
        before = left()
        for _ in range(50):
            await once()
        await eventually(lambda: not server.writers)
        await eventually(lambda: left() <= before)


async def test_a_server_of_today_is_asked_nothing_older() -> None:
    async def answer(exchange: Exchange) -> bool | None:
        if exchange.method != "tools/call":
            return False
        await exchange.result(DONE)
        return None

    async with raw_server(answer) as server, Client(server.url) as client:
        assert client.protocol_version == MODERN
        assert (await client.call_tool("t")).text == "done"
        assert [each.method for each in server.seen] == ["server/discover", "tools/call"]


async def test_urls_that_are_none() -> None:
    for url in ("ftp://example.com/sse", "http://", "example.com/sse"):
        with pytest.raises(ClientError, match="a URL begins with"):
            SSETransport(url)
