"""The official SDK's MCPServer over stdio."""

from __future__ import annotations

from mcp.server import MCPServer

mcp = MCPServer("benchmark", log_level="ERROR")


@mcp.tool()
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


if __name__ == "__main__":
    mcp.run()
