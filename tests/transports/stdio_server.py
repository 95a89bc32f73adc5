"""A server with bad manners, as a program over stdio. Its first argument may ask for `stateless`."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from headrace import Context, FastMCP


@asynccontextmanager
async def lifespan(server: FastMCP) -> AsyncIterator[None]:
    print("lifespan began", flush=True)
    yield
    print("lifespan ended", flush=True)


mcp = FastMCP("rude", lifespan=lifespan)


@mcp.tool
def noise() -> str:
    """Writes to stdout in every way there is, and reads from stdin."""
    print("printed")
    sys.stdout.write("written\n")
    assert sys.__stdout__ is not None
    print("to the original", file=sys.__stdout__, flush=True)
    os.write(1, b"to the descriptor\n")
    subprocess.run([sys.executable, "-c", "print('from a subprocess')"], check=True)
    read = subprocess.run([sys.executable, "-c", "import sys; print(sys.stdin.read())"], check=True)
    assert read.returncode == 0
    try:
        return input("a prompt")
    except EOFError:
        return "nothing to read"


@mcp.tool
async def sleep(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "slept"


@mcp.tool
def block(seconds: float) -> str:
    """In a thread, which nothing can end."""
    time.sleep(seconds)
    return "blocked"


@mcp.tool
async def big(size: int) -> str:
    return "x" * size


@mcp.tool
async def ask(ctx: Context) -> str:
    return str(await ctx.elicit("Are you there?", response_type=None))


@mcp.tool
async def env(name: str) -> list[str | None]:
    return [os.environ.get(name), os.getcwd()]


@mcp.tool
async def leave() -> str:
    os._exit(3)


if __name__ == "__main__":
    mcp.run("stdio", show_banner=False, **dict.fromkeys(sys.argv[1:], True))
