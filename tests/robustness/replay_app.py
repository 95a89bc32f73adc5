"""Tools that ask several questions in every style of asyncio that users write, with waits that differ at every run."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from headrace import Context, FastMCP
from headrace.server.auth import AuthProvider
from headrace.server.elicitation import AcceptedElicitation

__all__ = ["STYLES", "Replay"]

Values = dict[str, Any]


async def number(ctx: Context, name: str | None = None, *, key: str | None = None) -> int:
    answer = await ctx.elicit("Your number?" if name is None else f"Value of {name}?", response_type=int, key=key)
    assert isinstance(answer, AcceptedElicitation), answer
    return answer.data


class Replay:
    """The server; `random` decides how long each question's coroutine waits before it asks."""

    def __init__(self, seed: int, auth: AuthProvider | None = None) -> None:
        self.random = random.Random(seed)
        self.runs: Counter[str] = Counter()
        """How often something happened, by name."""
        self.left: list[asyncio.Task[None]] = []
        self.mcp = FastMCP("replay", auth=auth)
        for style in STYLES:
            self.mcp.add_tool(self._tool(style))
        self._add_others()

    async def pause(self) -> None:
        """Nothing, some passes of the loop, a short sleep, or the way through a thread."""
        kind = self.random.choice(("none", "none", "passes", "sleep", "thread"))
        if kind == "passes":
            for _ in range(self.random.randrange(1, 14)):
                await asyncio.sleep(0)
        elif kind == "sleep":
            await asyncio.sleep(self.random.random() * 0.002)
        elif kind == "thread":
            await asyncio.to_thread(int)

    def _tool(self, style: str) -> Callable[..., Awaitable[Values]]:
        ask_all = STYLES[style]

        async def tool(names: list[str], pauses: bool, ctx: Context) -> Values:
            async def ask(name: str) -> Any:
                if pauses:
                    await self.pause()
                answer = await ctx.elicit(f"Value of {name}?", response_type=int)
                return getattr(answer, "data", answer.action)

            return await ask_all(ask, names)

        tool.__name__ = style
        return tool

    def _add_others(self) -> None:
        mcp, runs = self.mcp, self.runs

        @mcp.tool
        async def paid(run: str, ctx: Context) -> Values:
            """A step that must not run again, before and beside questions."""
            runs[f"run {run}"] += 1

            async def charge() -> str:
                runs[f"charge {run}"] += 1
                await asyncio.sleep(0.005)
                return f"receipt {run}"

            async def book() -> str:
                await asyncio.sleep(0.002)
                runs[f"book {run}"] += 1
                return f"booking {run}"

            receipt = await ctx.once("charge", charge)
            # The booking is still under way when the question parks.
            booking, one = await asyncio.gather(ctx.once("book", book), number(ctx, "one"))
            two = await number(ctx, "two")
            return {"receipt": receipt, "booking": booking, "sum": one + two}

        @mcp.tool
        async def shared_step(run: str, ctx: Context) -> Values:
            """Two branches that need the same step, and a step that asks."""

            async def step() -> int:
                runs[f"step {run}"] += 1
                await self.pause()
                return runs[f"step {run}"]

            async def asking() -> int:
                runs[f"asking {run}"] += 1
                return await number(ctx, "one")

            left, right, asked = await asyncio.gather(
                ctx.once("step", step), ctx.once("step", step), ctx.once("asking", asking)
            )
            two = await number(ctx, "two")
            return {"left": left, "right": right, "asked": asked, "two": two}

        @mcp.tool
        async def leaves_behind(run: str, ctx: Context) -> str:
            """A task of its own that asks when nobody waits for it any more."""
            over = asyncio.Event()

            async def late() -> None:
                await over.wait()
                try:
                    await number(ctx, "late")
                except asyncio.CancelledError:
                    runs[f"ended {run}"] += 1
                    raise

            async def background() -> None:
                try:
                    await number(ctx, "early")
                except asyncio.CancelledError:
                    runs[f"ended {run}"] += 1
                    raise

            loop = asyncio.get_running_loop()
            self.left = [loop.create_task(late()), loop.create_task(background())]
            await asyncio.sleep(0)
            loop.call_later(0.01, over.set)
            return "done"

        @mcp.tool
        async def keyed(ctx: Context) -> Values:
            """The same words twice: only the keys tell the questions apart."""

            async def ask(key: str) -> Any:
                await self.pause()
                return await number(ctx, key=key)

            left, right = await asyncio.gather(ask("left"), ask("right"))
            return {"left": left, "right": right}

        @mcp.tool
        async def same_words(ctx: Context) -> list[int]:
            """The same question three times, one after the other."""
            return [await number(ctx) for _ in range(3)]

        @mcp.tool
        async def one_key(ctx: Context) -> list[int]:
            """A mistake: a key stands for one question."""
            return [await number(ctx, key="n") for _ in range(2)]

        @mcp.tool
        async def remembers(ctx: Context) -> Values:
            await ctx.set_state("asked", (await ctx.get_state("asked", 0)) + 1)
            await number(ctx, "one")
            return {"asked": await ctx.get_state("asked")}

        @mcp.tool
        async def insists(ctx: Context) -> str:
            """Swallows even the cancellation, and goes on."""
            try:
                await number(ctx, "one")
            except asyncio.CancelledError:
                return "swallowed"
            return "answered"

        @mcp.tool
        async def tidy(run: str, ctx: Context) -> str:
            runs[f"open {run}"] += 1
            try:
                await number(ctx, "one")
            finally:
                runs[f"open {run}"] -= 1
            return "done"

        @mcp.tool
        async def without_end(ctx: Context) -> str:
            count = 0
            while True:
                await number(ctx, str(count))
                count += 1

        @mcp.tool
        async def too_many(ctx: Context) -> int:
            return len(await asyncio.gather(*(number(ctx, str(n)) for n in range(300))))

        @mcp.tool
        async def too_much(ctx: Context) -> str:
            await ctx.set_state("big", "x" * 300_000)
            await number(ctx, "one")
            return "done"

        @mcp.tool
        async def mixed(ctx: Context) -> Values:
            """Three kinds of question at once."""
            answer, said, roots = await asyncio.gather(
                number(ctx, "one"), ctx.sample("Say something"), ctx.list_roots()
            )
            return {"one": answer, "said": said.text, "roots": [str(root.uri) for root in roots]}

        @mcp.tool
        async def checked(ctx: Context) -> Values:
            answer = await ctx.elicit("Value of one?", response_type=int)
            return {"one": getattr(answer, "data", None), "action": answer.action}

        @mcp.prompt
        async def greet(who: str, ctx: Context) -> str:
            one, two = await asyncio.gather(number(ctx, "one"), number(ctx, "two"))
            return f"{who} {one} {two}"

        @mcp.resource("ask://{topic}")
        async def ask(topic: str, ctx: Context) -> str:
            one = await number(ctx, topic)
            return f"{topic} {one}"


Ask = Callable[[str], Coroutine[Any, Any, Any]]


async def _gather(ask: Ask, names: Sequence[str]) -> Values:
    return dict(zip(names, await asyncio.gather(*map(ask, names)), strict=True))


async def _gather_return_exceptions(ask: Ask, names: Sequence[str]) -> Values:
    found = await asyncio.gather(*map(ask, names), return_exceptions=True)
    # An exception that stands for an answer would get through to the result.
    return {
        name: repr(value) if isinstance(value, BaseException) else value
        for name, value in zip(names, found, strict=True)
    }


async def _task_group(ask: Ask, names: Sequence[str]) -> Values:
    async with asyncio.TaskGroup() as group:
        tasks = {name: group.create_task(ask(name)) for name in names}
    return {name: task.result() for name, task in tasks.items()}


async def _wait_for(ask: Ask, names: Sequence[str]) -> Values:
    found = await asyncio.gather(*(asyncio.wait_for(ask(name), 60) for name in names))
    return dict(zip(names, found, strict=True))


async def _except_exception(ask: Ask, names: Sequence[str]) -> Values:
    async def guarded(name: str) -> Any:
        try:
            return await ask(name)
        except Exception as error:
            return repr(error)

    return dict(zip(names, await asyncio.gather(*map(guarded, names)), strict=True))


async def _one_by_one(ask: Ask, names: Sequence[str]) -> Values:
    return {name: await ask(name) for name in names}


async def _timeout(ask: Ask, names: Sequence[str]) -> Values:
    async with asyncio.timeout(60):
        return await _gather(ask, names)


async def _as_completed(ask: Ask, names: Sequence[str]) -> Values:
    async def named(name: str) -> tuple[str, Any]:
        return name, await ask(name)

    found = dict([await each for each in asyncio.as_completed([named(name) for name in names])])
    return {name: found[name] for name in names}


async def _nested(ask: Ask, names: Sequence[str]) -> Values:
    middle = len(names) // 2
    halves = await asyncio.gather(_task_group(ask, names[:middle]), asyncio.wait_for(_gather(ask, names[middle:]), 60))
    return halves[0] | halves[1]


STYLES: dict[str, Callable[[Ask, Sequence[str]], Awaitable[Values]]] = {
    "gather": _gather,
    "gather_return_exceptions": _gather_return_exceptions,
    "task_group": _task_group,
    "wait_for": _wait_for,
    "except_exception": _except_exception,
    "one_by_one": _one_by_one,
    "timeout": _timeout,
    "as_completed": _as_completed,
    "nested": _nested,
}
