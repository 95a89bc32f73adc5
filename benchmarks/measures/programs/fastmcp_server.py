"""FastMCP, with sessions that expire early."""

from __future__ import annotations

from common import add, idle_timeout, serve
from fastmcp import FastMCP  # pyright: ignore[reportMissingImports]

mcp = FastMCP("benchmark")
mcp.tool(add)

if __name__ == "__main__":
    serve(mcp.http_app(session_idle_timeout=idle_timeout()), "fastmcp", "mcp")
