"""Headrace: the full `http_app()` with its default guards."""

from __future__ import annotations

from shared import NOTES, add, add_sync, big_text, greeting, listed_tools, options, save, serve, text

from headrace import Context, FastMCP
from headrace.server.auth import StaticTokenVerifier
from headrace.server.run import PROTOCOL


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
            mcp.tool(name=name)(function)
    else:
        for function in (add, add_sync, save, big_text, notes):
            mcp.tool(function)
        mcp.resource("bench://text")(text)
        mcp.prompt(greeting)
    # The load comes from one address, as it does from behind a proxy.
    app = mcp.http_app(stateless_http=chosen.stateless, json_response=chosen.json, max_sessions_per_client=10_000)
    serve(app, "headrace", granian=chosen.granian, http=PROTOCOL)


if __name__ == "__main__":
    main()
