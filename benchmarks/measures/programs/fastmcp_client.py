"""FastMCP's client."""

from __future__ import annotations

from typing import Any

from calling import main
from common import add
from fastmcp import Client, FastMCP  # pyright: ignore[reportMissingImports]

mcp = FastMCP("benchmark")
mcp.tool(add)


async def sum_of(client: Any, a: int, b: int) -> int:
    return (await client.call_tool("add", {"a": a, "b": b})).data


if __name__ == "__main__":
    main(mcp, Client, sum_of)
