"""The smallest server: ``python examples/quickstart.py``, then http://127.0.0.1:8000/mcp."""

from __future__ import annotations

from headrace import FastMCP

mcp = FastMCP("quickstart")


@mcp.tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


if __name__ == "__main__":
    mcp.run(transport="http")
