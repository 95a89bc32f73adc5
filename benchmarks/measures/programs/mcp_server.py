"""The official SDK's MCPServer, with sessions that expire early and a tool that tells of a change of the tools."""

from __future__ import annotations

from common import add, idle_timeout, serve
from mcp.server import MCPServer
from mcp.server.mcpserver import Context

mcp = MCPServer("benchmark", log_level="ERROR")
mcp.add_tool(add)


@mcp.tool()
async def switch(on: bool, ctx: Context) -> str:
    """Say that the tools have changed."""
    await ctx.notify_tools_changed()
    return "done"


if __name__ == "__main__":
    serve(mcp.streamable_http_app(session_idle_timeout=idle_timeout()), "mcp")
