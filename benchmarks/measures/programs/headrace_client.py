"""Headrace's client."""

from __future__ import annotations

from calling import main
from common import add

from headrace import Client, FastMCP

mcp = FastMCP("benchmark")
mcp.tool(add)


async def sum_of(client: Client, a: int, b: int) -> int:
    return (await client.call_tool("add", {"a": a, "b": b})).data


if __name__ == "__main__":
    main(mcp, Client, sum_of)
