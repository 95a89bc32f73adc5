"""FastMCP, in an environment of its own."""

from __future__ import annotations

from fastmcp import Context, FastMCP  # pyright: ignore[reportMissingImports]
from fastmcp.server.auth import StaticTokenVerifier  # pyright: ignore[reportMissingImports]
from shared import NOTES, add, add_sync, big_text, greeting, listed_tools, options, save, serve, text


async def notes(ctx: Context) -> str:
    """Say how far it is, often."""
    for number in range(NOTES):
        await ctx.report_progress(number + 1, NOTES)
    return "done"


def main() -> None:
    chosen = options()
    auth = StaticTokenVerifier({chosen.token: {"client_id": "benchmark"}}) if chosen.token else None
    mcp = FastMCP("benchmark", auth=auth)
    if chosen.tools:
        for name, function in listed_tools(chosen.tools):
            mcp.tool(function, name=name)
    else:
        for function in (add, add_sync, save, big_text, notes):
            mcp.tool(function)
        mcp.resource("bench://text")(text)
        mcp.prompt(greeting)
    serve(mcp.http_app(stateless_http=chosen.stateless, json_response=chosen.json), "fastmcp", "mcp")


if __name__ == "__main__":
    main()
