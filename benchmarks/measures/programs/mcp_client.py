"""The official SDK's client."""

from __future__ import annotations

from calling import main
from common import add
from mcp.client import Client
from mcp.server import MCPServer

mcp = MCPServer("benchmark", log_level="ERROR")
mcp.add_tool(add)


async def sum_of(client: Client, a: int, b: int) -> int:
    content = (await client.call_tool("add", {"a": a, "b": b})).structured_content
    assert content is not None
    return content["result"]


if __name__ == "__main__":
    main(mcp, Client, sum_of)
