"""The server that test_bad_input.py sends its requests to, in a process of its own, and what it tells of its inside.

``/debug`` says what is left in the process: objects, tasks, memory.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import sys
from collections import Counter
from typing import Annotated, Any

import uvicorn
from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from headrace import Context, FastMCP
from headrace.exceptions import ToolError, ValidationError
from headrace.state.memory import MemoryEventStore


class Line(BaseModel):
    sku: str
    count: int


class Order(BaseModel):
    lines: list[Line]


def make() -> FastMCP:
    mcp = FastMCP("bad input")

    @mcp.tool
    def add(a: int, b: int) -> int:
        return a + b

    @mcp.tool
    async def echo(text: str) -> str:
        return text

    @mcp.tool
    async def order(order: Order) -> int:
        return sum(line.count for line in order.lines)

    @mcp.tool
    async def count(to: Annotated[int, Field(ge=0, le=10)], ctx: Context) -> str:
        for number in range(to):
            await ctx.report_progress(number + 1, to)
            await ctx.info(f"at {number}")
        return "done"

    @mcp.tool
    async def ask(names: Annotated[list[str], Field(max_length=5)], ctx: Context) -> int:
        try:
            found = await asyncio.gather(*(ctx.elicit(f"Value of {name}?", response_type=int) for name in names))
        except ValidationError:  # in the handshake era an answer that does not fit is the function's to handle
            return -1
        return len(found)

    @mcp.tool
    async def where(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]) -> str:
        return region

    @mcp.tool
    async def fails() -> str:
        raise ToolError("it broke")

    @mcp.resource("note://now")
    async def now() -> str:
        return "a note"

    @mcp.resource("note://{name}")
    async def named(name: str) -> str:
        return f"the note {name}"

    @mcp.prompt
    async def greet(who: str) -> str:
        return f"Greet {who}"

    @mcp.completion
    async def complete(ref: Any, argument: Any, context: Any) -> list[str]:
        return [argument.value + "nn"]

    return mcp


def rss() -> int:
    """Bytes in memory now; the most there ever were where the system does not tell."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def alive() -> dict[str, int]:
    """How many objects of Headrace's own classes there are, by class: what is not let go of is among them."""
    gc.collect()
    kinds = Counter(f"{type(each).__module__}.{type(each).__name__}" for each in gc.get_objects())
    return {kind: number for kind, number in kinds.items() if kind.startswith("headrace.")}


def make_app() -> Starlette:
    plain = make().http_app()
    resumable = make().http_app(event_store=MemoryEventStore())

    async def debug(request: Request) -> JSONResponse:
        return JSONResponse({"alive": alive(), "tasks": len(asyncio.all_tasks()), "rss": rss()})

    return Starlette(
        routes=[Route("/debug", debug), Mount("/resumable", resumable), Mount("/", plain)], lifespan=plain.lifespan
    )


if __name__ == "__main__":
    uvicorn.run(make_app(), host="127.0.0.1", port=0, log_level="info", access_log=False, ws="none")
