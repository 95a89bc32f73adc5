"""The server under test: a FastMCP with a tool for every behaviour, and a log of what its functions did."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from headrace import Context, FastMCP
from headrace.exceptions import ToolError
from headrace.server.dependencies import get_access_token, get_http_headers, get_http_request

__all__ = ["Log", "make_server"]


@dataclass
class Log:
    """Written in the server's thread, read by the test."""

    started: list[str] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    runs: dict[str, int] = field(default_factory=dict)
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    thread_gate: threading.Event = field(default_factory=threading.Event)

    def gate(self, name: str) -> asyncio.Event:
        return self.gates.setdefault(name, asyncio.Event())


class Person(BaseModel):
    name: str


MIRRORED_SCHEMA = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "count": {"type": "integer", "x-mcp-header": "Count"},
        "dry": {"type": "boolean", "x-mcp-header": "Dry"},
        "inner": {"type": "object", "properties": {"id": {"type": "string", "x-mcp-header": "Inner"}}},
        "free": {"type": "string"},
    },
}


def make_server(log: Log, **options: Any) -> FastMCP:
    mcp = FastMCP("probe", **options)
    _add_plain_tools(mcp)
    _add_slow_tools(mcp, log)
    _add_questions(mcp, log)
    _add_views_of_the_request(mcp)
    _add_changes(mcp)
    return mcp


def _add_plain_tools(mcp: FastMCP) -> None:
    @mcp.tool
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @mcp.tool
    def fail() -> str:
        """Fail on purpose."""
        raise ToolError("failed on purpose")

    @mcp.tool
    async def notes(ctx: Context, count: int = 2) -> str:
        """Send log notes on the way."""
        for number in range(count):
            await ctx.info(f"note {number}")
        return "noted"

    @mcp.tool
    async def loud(ctx: Context) -> str:
        """One note of each of four levels."""
        await ctx.debug("debug")
        await ctx.info("info")
        await ctx.warning("warning")
        await ctx.error("error")
        return "said"

    @mcp.tool
    async def progress(ctx: Context) -> str:
        """Progress that once stands still and once goes back."""
        for done in (1, 2, 2, 1, 3):
            await ctx.report_progress(done, 3, f"step {done}")
        return "done"

    @mcp.tool(input_schema=MIRRORED_SCHEMA)
    def mirrored(
        region: str | None = None,
        count: int | None = None,
        dry: bool | None = None,
        inner: dict[str, str] | None = None,
        free: str | None = None,
    ) -> str:
        """Arguments that headers mirror."""
        return f"{region} {count} {dry} {inner} {free}"

    @mcp.tool
    async def remember(key: str, value: str, ctx: Context) -> str:
        """Keep a value; answers what was kept before."""
        before = await ctx.get_state(key, "nothing")
        await ctx.set_state(key, value)
        return str(before)

    @mcp.resource("memo://one", mime_type="text/plain")
    def memo() -> str:
        """A memo."""
        return "one"

    @mcp.resource("memo://{name}/text")
    def memo_of(name: str) -> str:
        """A memo by name."""
        return f"memo of {name}"

    @mcp.prompt
    def greet(name: str) -> str:
        """Greet someone."""
        return f"Hello, {name}!"

    @mcp.custom_route("/health", methods=["GET"])
    async def health(request: Request) -> Response:
        return JSONResponse({"seen": get_http_request().headers.get("x-probe")})


def _add_slow_tools(mcp: FastMCP, log: Log) -> None:
    @mcp.tool
    async def wait(name: str, ctx: Context, note: bool = False, close: bool = False) -> str:
        """Wait until `release` is called with the same name."""
        log.started.append(name)
        try:
            if note:
                await ctx.info(f"waiting {name}")
            if close:
                await ctx.close_sse_stream()
            await log.gate(name).wait()
        except asyncio.CancelledError:
            log.cancelled.append(name)
            raise
        if note:
            await ctx.info(f"released {name}")
        log.finished.append(name)
        return f"waited {name}"

    @mcp.tool
    async def release(name: str) -> str:
        """End the wait of that name."""
        log.gate(name).set()
        return "released"

    @mcp.tool
    async def flood(ctx: Context, size: int, count: int) -> str:
        """Many large notes."""
        for _ in range(count):
            await ctx.info("x" * size)
        log.finished.append("flood")
        return "flooded"

    @mcp.tool
    def block(name: str) -> str:
        """A sync function that waits in its thread."""
        log.started.append(name)
        assert log.thread_gate.wait(20)
        return f"unblocked {name}"


def _add_questions(mcp: FastMCP, log: Log) -> None:
    @mcp.tool
    async def ask(ctx: Context, name: str = "ask") -> str:
        """Ask the user for a name."""
        log.started.append(name)
        log.runs[name] = log.runs.get(name, 0) + 1
        try:
            answer = await ctx.elicit("Who are you?", response_type=Person, key="who")
        except asyncio.CancelledError:
            log.cancelled.append(name)
            raise
        return f"hello {answer.data.name}" if answer.action == "accept" else f"user: {answer.action}"

    @mcp.tool
    async def ask_url(ctx: Context) -> str:
        """Ask the user to open a page."""
        return (await ctx.elicit_url("Please log in", "https://example.com/login", key="url")).action

    @mcp.tool
    async def ask_model(ctx: Context) -> str:
        """Ask the client's model."""
        return (await ctx.sample("Say hi", max_tokens=10, key="model")).text or ""

    @mcp.tool
    async def ask_roots(ctx: Context) -> str:
        """Ask for the client's directories."""
        return ", ".join(root.uri for root in await ctx.list_roots(key="roots"))


def _add_views_of_the_request(mcp: FastMCP) -> None:
    @mcp.tool
    def headers(include_all: bool = False, include: list[str] | None = None) -> dict[str, str]:
        """The headers of this very request."""
        return get_http_headers(include_all=include_all, include=set(include) if include else None)

    @mcp.tool
    async def seen() -> dict[str, str]:
        """The request of this very call."""
        request = get_http_request()
        return {"method": request.method, "path": request.url.path, "probe": request.headers.get("x-probe", "")}

    @mcp.tool
    def seen_in_thread() -> dict[str, str]:
        """The same from a worker thread."""
        return {"thread": threading.current_thread().name, "probe": get_http_request().headers.get("x-probe", "")}

    @mcp.tool
    async def who() -> str:
        """The caller's token."""
        token = get_access_token()
        return "nobody" if token is None else f"{token.client_id} {token.token}"

    @mcp.tool
    def loop_thread(ctx: Context) -> str:
        """The thread that runs a sync function."""
        return threading.current_thread().name


def _add_changes(mcp: FastMCP) -> None:
    def extra() -> str:
        """Only there for a moment."""
        return "extra"

    @mcp.tool
    async def change(kind: Literal["tool", "prompt"]) -> str:
        """Add a component and take it away again: in the loop, where the two are one notice."""
        if kind == "tool":
            mcp.add_tool(extra)
            mcp.remove_tool("extra")
        else:
            mcp.add_prompt(extra)
            mcp.remove_prompt("extra")
        return "changed"

    @mcp.tool
    def change_resources(name: str) -> str:
        """Add a resource."""
        mcp.resource(f"memo://{name}")(extra)
        return "changed"

    @mcp.tool
    async def touch(uri: str, ctx: Context) -> str:
        """Say that a resource changed."""
        await ctx.notify_resource_updated(uri)
        return "touched"
