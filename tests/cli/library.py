"""A server for the commands that speak with one, on a socket of this machine, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Literal

from pydantic import BaseModel, Field

from headrace import Context, FastMCP
from headrace.exceptions import ToolError
from headrace.testing import run_server_async
from headrace.types import Image

__all__ = ["PIXEL", "STEERING", "make_server", "serving"]

PIXEL = b"\x89PNG\x00\xff"
STEERING = "\x1b]0;owned\x07\x9b2J\u202e\r"
"""Sets a terminal's title, clears its screen, turns the direction of writing."""


class Member(BaseModel):
    name: str = Field(description="As on the card")
    age: int = Field(18, ge=0)
    shelf: Literal["fiction", "science"] = "fiction"
    mail: str | None = None


class Options(BaseModel):
    deep: bool = False


def make_server(**options: Any) -> FastMCP:
    server = FastMCP("library", version="1.4", **options)

    @server.tool
    def find(
        title: str,
        count: int = 1,
        tags: list[str] | None = None,
        exact: bool = False,
        options: Options | None = None,
        shelf: Literal["a", "b"] = "a",
        ratio: float | None = None,
    ) -> str:
        """Where a book stands."""
        return repr((title, count, tags, exact, options, shelf, ratio))

    @server.tool
    async def work(ctx: Context, times: int = 2) -> str:
        for step in range(times):
            await ctx.report_progress(step + 1, times, f"step {step}{STEERING}")
            await ctx.info(f"working{STEERING}")
        await ctx.debug("details")
        return f"worked{STEERING}"

    @server.tool
    def fail() -> str:
        raise ToolError("no luck\nat all")

    @server.tool
    def picture() -> list[Any]:
        return ["a pixel", Image(data=PIXEL, format="png")]

    @server.tool
    async def join(ctx: Context) -> str:
        answer = await ctx.elicit(f"Who are you?{STEERING}", Member)
        return f"{answer.action}: {getattr(answer, 'data', None)!r}"

    @server.tool
    async def choose(ctx: Context) -> str:
        sizes = [{"const": "s", "title": "Small"}, {"const": "l", "title": "Large"}]
        colors = {"type": "array", "items": {"type": "string", "enum": ["red", "green", "blue"]}, "minItems": 1}
        properties = {"size": {"type": "string", "oneOf": sizes}, "colors": colors, "gift": {"type": "boolean"}}
        form = {"type": "object", "properties": properties, "required": list(properties)}
        return repr(getattr(await ctx.elicit("Which one?", form), "data", None))

    @server.tool
    async def visit(ctx: Context, url: str) -> str:
        return (await ctx.elicit_url("Please pay", url)).action

    @server.resource("book://one", mime_type="text/plain")
    def one() -> str:
        return f"Once{STEERING}\n"

    @server.resource("book://cover", mime_type="image/png")
    def cover() -> bytes:
        return PIXEL

    @server.resource("book://page/{number}")
    def page(number: int) -> str:
        """A page."""
        return f"page {number}"

    @server.prompt
    def review(title: str, how: str = "kindly") -> str:
        """Ask for a review."""
        return f"Review {title} {how}"

    return server


@contextmanager
def serving(server: Any, **options: Any) -> Generator[str]:
    """The URL of the server, which runs until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    context = run_server_async(server, path="/mcp", **options)
    try:
        yield asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result(20)
    finally:
        asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()
