"""The official SDK's MCPServer, in an environment of its own."""

from __future__ import annotations

from mcp.server import MCPServer
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import Context
from pydantic import AnyHttpUrl
from shared import NOTES, add, add_sync, big_text, greeting, listed_tools, options, save, serve, text


class OneToken:
    """It has no verifier of its own for a table of tokens; this does as little as one can."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def verify_token(self, token: str) -> AccessToken | None:
        return AccessToken(token=token, client_id="benchmark", scopes=[]) if token == self._token else None


async def notes(ctx: Context) -> str:
    """Say how far it is, often."""
    for number in range(NOTES):
        await ctx.report_progress(number + 1, NOTES)
    return "done"


def main() -> None:
    chosen = options()
    verifier, auth = None, None
    if chosen.token:
        verifier = OneToken(chosen.token)
        auth = AuthSettings(issuer_url=AnyHttpUrl("http://127.0.0.1/issuer"), resource_server_url=None)
    mcp = MCPServer("benchmark", log_level="ERROR", token_verifier=verifier, auth=auth)
    if chosen.tools:
        for name, function in listed_tools(chosen.tools):
            mcp.add_tool(function, name=name)
    else:
        for function in (add, add_sync, save, big_text, notes):
            mcp.add_tool(function)
        mcp.resource("bench://text")(text)
        mcp.prompt()(greeting)
    serve(mcp.streamable_http_app(stateless_http=chosen.stateless, json_response=chosen.json), "mcp")


if __name__ == "__main__":
    main()
