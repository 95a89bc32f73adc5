"""Every way out of a client, again and again: 1,000 rounds in `make soak`, a tenth of them in `make test`. Afterwards
tasks, descriptors, child processes and objects are counted."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from headrace import Context, FastMCP
from headrace.client import Client
from headrace.client.transports import MemoryTransport, SSETransport, StdioTransport
from headrace.exceptions import ClientError

from ..client.raw_http import DONE, HANDSHAKE, MODERN, Exchange, raw_server
from ..client.test_sse_client import Old
from .leftovers import nothing_left

ROUNDS = 1000 if os.environ.get("HEADRACE_SOAK") else 100
AT_ONCE = 10
SECONDS = 20.0
PROGRAM = str(Path(__file__).parent / "program.py")
KINDS = ["modern", "handshake", "sse", "stdio modern", "stdio handshake", "memory modern", "memory handshake"]

pytestmark = pytest.mark.timeout(300)


class Site(NamedTuple):
    """What makes clients of one kind of server: one that does as it is told, one that never answers, none."""

    client: Callable[[], Client]
    silent: Callable[[], Client] | None = None
    none: Callable[[], Client] | None = None
    forget: Callable[[], None] = lambda: None
    """What the server remembers of its clients."""


# The servers: they hold a call, or die in it, where its tool is called so


def noted(exchange: Exchange) -> bytes:
    params = {"progressToken": exchange.message["params"]["_meta"]["progressToken"], "progress": 1}
    return msgspec.json.encode({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})


async def call(exchange: Exchange) -> None:
    match exchange.message["params"]["name"]:
        case "hold":
            await exchange.stream()
            await exchange.event(noted(exchange))
            await exchange.hold()
        case "die":
            exchange.die()
        case _:
            await exchange.result(DONE)


async def script(exchange: Exchange) -> bool | None:
    if exchange.path == "/silent":
        await exchange.hold()
    elif exchange.method == "tools/call":
        await call(exchange)
    else:
        return False
    return None


class OldSite(Old):
    """HTTP+SSE for many clients: each has an endpoint of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count()
        self.streams: dict[str, Exchange] = {}

    async def __call__(self, exchange: Exchange) -> None:
        if exchange.path == "/silent":
            await exchange.hold()
        elif exchange.verb == "GET":
            endpoint = f"/post?session={next(self.numbers)}"
            self.streams[endpoint] = exchange
            await exchange.stream()
            await exchange.event(endpoint.encode(), "endpoint")
            await exchange.hold()
        else:
            self.stream = self.streams[exchange.path]
            if exchange.method == "tools/call":
                await self.called(exchange, self.stream)
            else:
                await super().__call__(exchange)

    async def called(self, exchange: Exchange, stream: Exchange) -> None:
        await exchange.answer(202)
        match exchange.message["params"]["name"]:
            case "hold":
                await stream.event(noted(exchange))
            case "die":
                stream.die()
            case _:
                await stream.event(exchange.response(DONE))


@asynccontextmanager
async def over_http(kind: str) -> AsyncIterator[Site]:
    old = OldSite()
    async with raw_server(script if kind != "sse" else old) as server:

        def client(path: str = "/mcp", port: int = server.port) -> Client:
            url = f"http://127.0.0.1:{port}{path}"
            if kind == "sse":
                return Client(SSETransport(url))
            return Client(url, protocol_version=MODERN if kind == "modern" else HANDSHAKE)

        async with raw_server(script) as closed:
            pass

        def forget() -> None:
            server.seen.clear()
            old.streams.clear()
            old.stream = None

        yield Site(client, lambda: client("/silent"), lambda: client(port=closed.port), forget)


def over_stdio(kind: str) -> Site:
    version = MODERN if kind.endswith("modern") else HANDSHAKE

    def client(how: str, command: str = sys.executable) -> Client:
        # Without `site` Python starts in a third of the time.
        return Client(StdioTransport(command, ["-I", "-S", PROGRAM, how]), protocol_version=version)

    return Site(lambda: client("serve"), lambda: client("silent"), lambda: client("serve", "/nowhere/python"))


def in_memory(kind: str) -> Site:
    server = FastMCP("memory")

    @server.tool
    async def hold(ctx: Context) -> None:
        await ctx.report_progress(1)
        await asyncio.Event().wait()

    @server.tool
    async def done() -> str:
        return "done"

    version = MODERN if kind.endswith("modern") else HANDSHAKE
    return Site(lambda: Client(MemoryTransport(server), protocol_version=version))


@pytest.fixture(params=KINDS)
async def site(request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    kind: str = request.param
    async with nothing_left():
        if kind.startswith("stdio"):
            yield over_stdio(kind)
        elif kind.startswith("memory"):
            yield in_memory(kind)
        else:
            async with over_http(kind) as made:
                yield made


# The ways out


async def after(turns: int, work: Awaitable[Any]) -> None:
    """Cancelled after so many turns of the loop, wherever it is then."""
    task = asyncio.ensure_future(work)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def normal(site: Site, number: int) -> None:
    async with site.client() as client:
        assert (await client.call_tool("done")).text == "done"


async def cancelled(site: Site, number: int) -> None:
    runs = asyncio.Event()

    async def work() -> None:
        async with site.client() as client:
            await client.call_tool("hold", progress_handler=lambda *_: runs.set())

    task = asyncio.create_task(work())
    await runs.wait()
    await after(number % 3, task)


async def timeout(site: Site, number: int) -> None:
    async with site.client() as client:
        with pytest.raises(ClientError, match="did not answer"):
            await client.call_tool("hold", timeout=0.01, progress_handler=lambda *_: None)


async def killed(site: Site, number: int) -> None:
    async with site.client() as client:
        with pytest.raises(ClientError):
            await client.call_tool("die")


async def refused(site: Site, number: int) -> None:
    assert site.none is not None
    with pytest.raises(ClientError):
        await site.none().__aenter__()


async def aborted(site: Site, number: int) -> None:
    client = (site.silent or site.client)()
    if number % 2:
        await after(number // 2, client.__aenter__())
    else:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(number % 20 / 500):
                await client.__aenter__()
    await client.close()  # one in memory may have been there already


async def left(site: Site, number: int) -> None:
    """Cancelled on the way out."""
    client = site.client()
    await client.__aenter__()
    await after(number // 2 + 1, client.__aexit__(None, None, None))
    assert not client.is_connected()


WAYS = [normal, cancelled, timeout, killed, refused, aborted, left]


async def rounds(way: Callable[[Site, int], Awaitable[None]], site: Site, numbers: range) -> int:
    """Our own objects that there are afterwards."""
    for first in numbers[::AT_ONCE]:
        async with asyncio.timeout(SECONDS):
            await asyncio.gather(*(way(site, number % 100) for number in range(first, first + AT_ONCE)))
    site.forget()
    gc.collect()
    # str: of some classes it is a descriptor.
    return sum(str(type(each).__module__).startswith("headrace.") for each in gc.get_objects())


@pytest.mark.parametrize("way", WAYS)
async def test_nothing_is_left(way: Callable[[Site, int], Awaitable[None]], site: Site) -> None:
    if (way is refused and site.none is None) or (way is killed and site.silent is None):
        pytest.skip("a server in this process is there, and lives")
    half = await rounds(way, site, range(ROUNDS // 2))
    more = await rounds(way, site, range(ROUNDS // 2, ROUNDS)) - half
    # The last rounds may not have been let go altogether.
    assert more < 5 * AT_ONCE, f"{more} objects more after {ROUNDS // 2} rounds"
