"""The official SDK's server with the tools that `test_http.py` calls. Prints its port; ends when stdin does."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from typing import Annotated, Any

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver.context import Context
from mcp.server.mcpserver.resolve import Elicit, Resolve
from pydantic import BaseModel

server = MCPServer("peer")


class Name(BaseModel):
    name: str


def ask_name() -> Elicit[Name]:
    return Elicit("Your name?", Name)


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
async def work(ctx: Context[Any]) -> str:
    """Report progress and log."""
    await ctx.report_progress(1, 2, "half")
    await ctx.info("working")
    await ctx.report_progress(2, 2, "done")
    return "worked"


@server.tool()
def fail() -> str:
    """Fail."""
    raise ValueError("no luck")


@server.tool()
def greet(name: Annotated[Name, Resolve(ask_name)]) -> str:
    """Ask for a name."""
    return f"hello {name.name}"


@server.tool()
async def sleep(seconds: float) -> str:
    """Take a while."""
    await asyncio.sleep(seconds)
    return "slept"


@server.resource("data://x")
def x() -> str:
    """Some text."""
    return "hey"


@server.prompt()
def say(what: str) -> str:
    """Say something."""
    return f"say {what}"


def main() -> None:
    sock = socket.socket(proto=socket.IPPROTO_TCP)  # asyncio sets TCP_NODELAY only then
    sock.bind(("127.0.0.1", 0))
    print(sock.getsockname()[1], flush=True)
    runner = uvicorn.Server(
        uvicorn.Config(server.streamable_http_app(), log_level="error", timeout_graceful_shutdown=1)
    )

    def until_parent_ends() -> None:
        sys.stdin.read()
        runner.should_exit = True

    threading.Thread(target=until_parent_ends, daemon=True).start()
    asyncio.run(runner.serve(sockets=[sock]))


if __name__ == "__main__":
    main()
