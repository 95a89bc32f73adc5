"""Two stateless workers on one port: ``python examples/two_workers.py``, or with a key of your own

    export HEADRACE_SECRET_KEY=...
    uvicorn --app-dir examples --workers 2 --http headrace.server.uvicorn_protocol:HardenedProtocol two_workers:app

Any worker serves any request. A question to the user works too (2026-07-28): what the tool knows so far travels
sealed through the client, and with the same key the other worker can open it.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import uvicorn

from headrace import Context, FastMCP

mcp = FastMCP("two workers")


@mcp.tool
def worker() -> int:
    """The process that answers."""
    return os.getpid()


@mcp.tool
async def greet(ctx: Context) -> str:
    """Ask for a name in one worker, and greet in whichever gets the answer."""
    asked_by = await ctx.once("asked_by", process)
    answer = await ctx.elicit("What is your name?", response_type=str, key="name")
    if answer.action != "accept":
        return "Nobody to greet."
    return f"Hello, {answer.data}! Asked by {asked_by}, answered by {os.getpid()}."


async def process() -> int:
    return os.getpid()


app = mcp.http_app(stateless_http=True)


if __name__ == "__main__":
    # The workers inherit the environment. For more than one machine, set one key on all of them.
    os.environ.setdefault("HEADRACE_SECRET_KEY", secrets.token_hex(32))
    protocol = "headrace.server.uvicorn_protocol:HardenedProtocol"  # as mcp.run() has it
    uvicorn.run("two_workers:app", app_dir=str(Path(__file__).parent), workers=2, http=protocol)
