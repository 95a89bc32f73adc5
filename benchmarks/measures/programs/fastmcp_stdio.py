"""Served by ``fastmcp run``."""

from __future__ import annotations

from fastmcp import FastMCP  # pyright: ignore[reportMissingImports]

mcp = FastMCP("benchmark")


@mcp.tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b
