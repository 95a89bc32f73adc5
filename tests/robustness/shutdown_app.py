"""What test_shutdown.py serves, in a process of its own."""

from __future__ import annotations

import asyncio

from headrace import FastMCP

__all__ = ["app", "mcp", "sse_app"]

mcp = FastMCP("shutdown")


@mcp.tool
async def work(port: int, number: int) -> str:
    """Tells the test at `port` that it runs, and ends when the test says so."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"%d\n" % number)
        await reader.readline()
    finally:
        writer.close()
    return f"done {number}"


app = mcp.http_app()
sse_app = mcp.http_app(transport="sse")
