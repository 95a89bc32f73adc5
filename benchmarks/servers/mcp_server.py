"""The official SDK's MCPServer, in an environment of its own."""

from __future__ import annotations

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from shared import NOTES, add, add_sync, big_text, greeting, listed_tools, options, serve, text

mcp = MCPServer("benchmark", log_level="ERROR")


async def notes(ctx: Context) -> str:
    """Say how far it is, often."""
    for number in range(NOTES):
        await ctx.report_progress(number + 1, NOTES)
    return "done"


def main() -> None:
    chosen = options()
    if chosen.tools:
        for name, function in listed_tools(chosen.tools):
            mcp.add_tool(function, name=name)
    else:
        for function in (add, add_sync, big_text, notes):
            mcp.add_tool(function)
        mcp.resource("bench://text")(text)
        mcp.prompt()(greeting)
    serve(mcp.streamable_http_app(stateless_http=chosen.stateless, json_response=chosen.json), "mcp")


if __name__ == "__main__":
    main()
