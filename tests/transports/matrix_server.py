"""The server of the matrix: every transport serves it, stdio as a program of its own."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel

from headrace import Context, FastMCP
from headrace.exceptions import ToolError
from headrace.server.elicitation import AcceptedElicitation

__all__ = ["NOTE", "make"]

NOTE = "note://now"


class Pair(BaseModel):
    left: int
    right: str


def extra() -> str:
    return "extra"


def make() -> FastMCP:
    mcp = FastMCP("matrix", instructions="Ask away", list_page_size=4)
    done: dict[str, int] = {"cancelled": 0, "effects": 0}

    @mcp.tool
    def add(a: int, b: int) -> int:
        return a + b

    @mcp.tool
    async def pair(left: int) -> Pair:
        return Pair(left=left, right="ü\n\u2028")  # more than one line, but not on the wire

    @mcp.tool
    async def fail() -> str:
        raise ToolError("it broke")

    @mcp.tool
    async def count(to: int, ctx: Context) -> str:
        for number in range(1, to + 1):
            await ctx.report_progress(number, to, f"at {number}")
        await ctx.info("counted", extra={"to": to})
        return "done"

    @mcp.tool
    async def ask(ctx: Context) -> str:
        answer = await ctx.elicit("Which pair?", response_type=Pair)
        return answer.data.right if isinstance(answer, AcceptedElicitation) else answer.action

    @mcp.tool
    async def sample(ctx: Context) -> str:
        return (await ctx.sample("Say hello")).text or ""

    @mcp.tool
    async def roots(ctx: Context) -> list[str]:
        return [str(root.uri) for root in await ctx.list_roots()]

    @mcp.tool
    async def survey(ctx: Context) -> list[Any]:
        """An effect that happens once, and two questions at a time, whatever the revision replays."""

        async def effect() -> int:
            done["effects"] += 1
            return done["effects"]

        number = await ctx.once("effect", effect)
        said, roots = await asyncio.gather(ctx.sample("Say hello"), ctx.list_roots())
        return [done["effects"] - number, said.text, len(roots)]

    @mcp.tool
    async def hang(ctx: Context) -> str:
        try:
            await ctx.report_progress(0)
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            done["cancelled"] += 1
            raise
        return "never"

    @mcp.tool
    async def cancelled() -> int:
        return done["cancelled"]

    @mcp.tool
    async def change(ctx: Context) -> str:
        await ctx.notify_resource_updated(NOTE)
        mcp.add_tool(extra)
        mcp.remove_tool("extra")
        return "changed"

    @mcp.resource(NOTE)
    def now() -> str:
        return "a note"

    @mcp.resource("note://{name}")
    async def named(name: str) -> str:
        return f"the note {name}"

    @mcp.prompt
    def greet(who: str) -> str:
        return f"Greet {who}"

    @mcp.completion
    def complete(ref: Any, argument: Any, context: Any) -> list[str]:
        return [name for name in ("Ann", "Anton", "Bob") if name.startswith(argument.value)]

    return mcp


if __name__ == "__main__":
    make().run(show_banner=False)
