"""Served by ``headrace run``."""

from __future__ import annotations

from headrace import FastMCP

mcp = FastMCP("benchmark")


@mcp.tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b
