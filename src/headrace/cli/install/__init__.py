"""``headrace install CLIENT TARGET``: enters a server into the configuration of an MCP client.

What the client is told to start is ``uv run --with headrace ... headrace run /path/to/server.py:object``, so that it
needs nothing but uv. Programs are started from argument lists, never through a shell.
"""

from __future__ import annotations

import click

from ..cli import LazyGroup

__all__ = ["command"]

_CLIENTS = {
    "claude-code": ("headrace.cli.install.claude_code", "Through Claude Code's own command."),
    "claude-desktop": ("headrace.cli.install.claude_desktop", "In Claude Desktop's configuration file."),
    "cursor": ("headrace.cli.install.cursor", "Through a link that Cursor opens, or in a workspace's file."),
    "gemini-cli": ("headrace.cli.install.gemini_cli", "Through Gemini CLI's own command."),
    "goose": ("headrace.cli.install.goose", "Through a link that Goose opens."),
    "mcp-json": ("headrace.cli.install.mcp_json", "Print the JSON for any other client."),
    "vscode": ("headrace.cli.install.vscode", "Through VS Code's own command, or a link that it opens."),
}


@click.group("install", cls=LazyGroup, modules=_CLIENTS)
def command() -> None:
    """Enter a server into the configuration of an MCP client."""
