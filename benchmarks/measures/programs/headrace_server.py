"""Headrace, with sessions that expire early and a tool that changes the list of tools."""

from __future__ import annotations

from common import add, extra, idle_timeout, serve

from headrace import FastMCP

mcp = FastMCP("benchmark")
mcp.tool(add)
mcp.tool(extra)


@mcp.tool
async def switch(on: bool) -> str:
    """Show or hide a tool."""
    if on:
        mcp.enable(names={"extra"})
    else:
        mcp.disable(names={"extra"})
    return "done"


if __name__ == "__main__":
    serve(mcp.http_app(session_idle_timeout=idle_timeout(), max_sessions_per_client=10_000), "headrace")
