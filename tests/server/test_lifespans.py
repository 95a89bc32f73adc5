"""Lifespans: entered once however many are inside, joined with others, ended by the last, whatever goes wrong."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from headrace import Client, Context, FastMCP
from headrace.server.lifespan import lifespan, merged
from headrace.testing import asgi_client

STEPS = list[str]


def stepping(steps: STEPS, name: str = "x", value: Any = None) -> Any:
    @lifespan
    async def run(server: FastMCP) -> AsyncIterator[Any]:
        steps.append(f"start {name}")
        try:
            yield value
        finally:
            steps.append(f"end {name}")

    return run


def make(lifespan: Any) -> FastMCP:
    mcp = FastMCP("live", lifespan=lifespan)

    @mcp.tool
    async def look(ctx: Context) -> Any:
        return str(ctx.lifespan_context)

    @mcp.tool
    def look_sync(ctx: Context) -> Any:
        return str(ctx.lifespan_context)

    return mcp


def text_of(result: Any) -> str:
    return result.content[0].text


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        ([{"a": 1}, {"b": 2}], {"a": 1, "b": 2}),
        ([{"a": 1}, {"a": 2}], {"a": 2}),
        ([{"a": 1}, None], {"a": 1}),
        ([None, None], {}),
        ([{"a": 1}, {"b": 2}, {"c": 3}], {"a": 1, "b": 2, "c": 3}),
    ],
)
@pytest.mark.parametrize("way", ["|", "merged"])
async def test_joined(values: list[Any], seen: dict[str, int], way: str) -> None:
    steps: STEPS = []
    parts = [stepping(steps, str(number), value) for number, value in enumerate(values)]
    joined = merged(*parts)
    if way == "|":
        joined = parts[0]
        for part in parts[1:]:
            joined = joined | part
    async with Client(make(joined)) as client:
        for tool in ("look", "look_sync"):
            assert (await client.call_tool(tool)).text == str(seen)
    order = [str(number) for number in range(len(values))]
    assert steps == [f"start {name}" for name in order] + [f"end {name}" for name in reversed(order)]


async def test_joined_lifespans_yield_dicts() -> None:
    steps: STEPS = []
    mcp = make(stepping(steps, "a", {"a": 1}) | stepping(steps, "b", 5))
    with pytest.raises(TypeError, match="joined yield dicts, not int"):
        await mcp.call_tool("look")
    assert steps == ["start a", "start b", "end b", "end a"]


@pytest.mark.parametrize(("value", "seen"), [(None, "{}"), (5, "5"), ({"a": 1}, "{'a': 1}"), ("x", "x")])
async def test_alone_a_lifespan_yields_anything(value: Any, seen: str) -> None:
    async with Client(make(stepping([], value=value))) as client:
        assert (await client.call_tool("look")).text == seen


async def test_joined_with_a_plain_context_manager() -> None:
    @asynccontextmanager
    async def plain(server: FastMCP) -> AsyncIterator[dict[str, str]]:
        yield {"server": server.name}

    async with Client(make(stepping([], value={"a": 1}) | plain)) as client:
        assert (await client.call_tool("look")).text == "{'a': 1, 'server': 'live'}"


async def test_once_for_all() -> None:
    steps: STEPS = []
    mcp = make(stepping(steps, value={"a": 1}))
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(mcp, mode=mode)) for mode in ("legacy", "modern")]  # type: ignore[arg-type]
        clients.append(await stack.enter_async_context(asgi_client(mcp)))
        for client in clients:
            assert (await client.call_tool("look")).text == "{'a': 1}"
        await mcp.call_tool("look")
        assert steps == ["start x"]
    assert steps == ["start x", "end x"]
    assert not mcp.lifespan_running
    with pytest.raises(RuntimeError, match="'live' is not running"):
        assert mcp.lifespan_value
    await mcp.call_tool("look")
    assert steps == ["start x", "end x"] * 2


@pytest.mark.parametrize("where", ["start", "end"])
async def test_a_failing_lifespan(where: str) -> None:
    failing = True

    @lifespan
    async def run(server: FastMCP) -> AsyncIterator[Any]:
        if failing and where == "start":
            raise ValueError("no start")
        yield {"a": 1}
        if failing:
            raise ValueError("no end")

    mcp = make(run)
    with pytest.raises(ValueError, match=f"no {where}"):
        async with mcp.lifespan_context():
            assert where == "end"
    calls = await asyncio.gather(*(mcp.call_tool("look") for _ in range(3)), return_exceptions=True)
    assert any(isinstance(call, ValueError) for call in calls)
    assert not mcp.lifespan_running
    failing = False
    assert text_of(await mcp.call_tool("look")) == "{'a': 1}"


class Slow:
    """A lifespan that starts when it is let, and counts."""

    def __init__(self) -> None:
        self.started = self.ended = self.most = 0
        self.begun, self.go = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def __call__(self, server: FastMCP) -> AsyncIterator[dict[str, int]]:
        self.started += 1
        self.most = max(self.most, self.started - self.ended)
        try:
            self.begun.set()
            await self.go.wait()
            yield {"a": 1}
        finally:
            self.ended += 1


async def entered(mcp: FastMCP, go: asyncio.Event, inside: asyncio.Event | None = None) -> Any:
    async with mcp.lifespan_context() as value:
        if inside is not None:
            inside.set()
        await go.wait()
        return value


async def test_the_first_one_is_cancelled_while_it_starts() -> None:
    """Nothing is left behind by the one who gives up, and who waits beside it gets the same lifespan."""
    slow, leave, inside = Slow(), asyncio.Event(), asyncio.Event()
    mcp = make(slow)
    first = asyncio.ensure_future(entered(mcp, leave))
    await slow.begun.wait()
    second = asyncio.ensure_future(entered(mcp, leave, inside))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    slow.go.set()
    await asyncio.wait_for(inside.wait(), 5)
    third = asyncio.ensure_future(entered(mcp, leave))
    assert (slow.started, slow.ended) == (1, 0)
    leave.set()
    assert await asyncio.gather(second, third) == [{"a": 1}, {"a": 1}]
    assert (slow.started, slow.ended, slow.most) == (1, 1, 1)


async def test_the_only_one_is_cancelled_while_it_starts() -> None:
    slow = Slow()
    mcp = make(slow)
    only = asyncio.ensure_future(entered(mcp, asyncio.Event()))
    await slow.begun.wait()
    only.cancel()
    with pytest.raises(asyncio.CancelledError):
        await only
    assert (slow.started, slow.ended) == (1, 1)
    slow.go.set()
    assert text_of(await mcp.call_tool("look")) == "{'a': 1}"
    assert (slow.started, slow.ended, slow.most) == (2, 2, 1)


async def test_who_comes_while_it_ends_gets_a_new_one_after_it() -> None:
    ending, go_on = asyncio.Event(), asyncio.Event()
    steps: STEPS = []

    @lifespan
    async def run(server: FastMCP) -> AsyncIterator[dict[str, int]]:
        steps.append("start")
        yield {"n": len(steps)}
        ending.set()
        await go_on.wait()
        steps.append("end")

    mcp = make(run)
    first = asyncio.ensure_future(mcp.call_tool("look"))
    await ending.wait()
    second = asyncio.ensure_future(mcp.call_tool("look"))
    await asyncio.sleep(0)
    assert steps == ["start"]
    go_on.set()
    assert text_of(await first) == "{'n': 1}"
    assert text_of(await second) == "{'n': 3}"
    assert steps == ["start", "end"] * 2


@pytest.mark.parametrize("where", ["before", "after"])
async def test_a_lifespan_that_calls_its_server(where: str) -> None:
    """It is told so, instead of waiting for itself."""

    @lifespan
    async def run(server: FastMCP) -> AsyncIterator[None]:
        if where == "before":
            await server.call_tool("look")
        yield
        await server.call_tool("look")

    mcp = make(run)
    with pytest.raises(RuntimeError, match="A lifespan can't call its own server"):
        await asyncio.wait_for(mcp.call_tool("look"), 5)


async def test_a_task_of_the_lifespan_may_call_its_server() -> None:
    got: list[Any] = []

    @lifespan
    async def run(server: FastMCP) -> AsyncIterator[dict[str, int]]:
        async def work() -> None:
            got.append(text_of(await server.call_tool("look")))

        async with asyncio.TaskGroup() as group:
            group.create_task(work())
            yield {"a": 1}

    await make(run).call_tool("look")
    assert got == ["{'a': 1}"]


async def test_two_event_loops() -> None:
    """Each has its own lifespan: what belongs to one loop is of no use in another."""
    steps: STEPS = []
    loops: list[Any] = []

    @lifespan
    async def run(server: FastMCP) -> AsyncIterator[dict[str, int]]:
        steps.append("start")
        loops.append(asyncio.get_running_loop())
        yield {"loop": len(loops)}
        assert asyncio.get_running_loop() in loops
        steps.append("end")

    mcp = make(run)

    def elsewhere(answers: list[Any]) -> None:
        async def call() -> None:
            answers.append(text_of(await mcp.call_tool("look")))

        asyncio.run(call())

    async with Client(mcp) as client:
        assert (await client.call_tool("look")).text == "{'loop': 1}"
        answers: list[Any] = []
        thread = threading.Thread(target=elsewhere, args=(answers,))
        thread.start()
        await asyncio.to_thread(thread.join, 10)
        assert answers == ["{'loop': 2}"]
        assert steps == ["start", "start", "end"]
        assert (await client.call_tool("look")).text == "{'loop': 1}"
    assert steps == ["start", "start", "end", "end"]
