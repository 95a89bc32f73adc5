"""``headrace install cursor``: a link that Cursor opens, or an entry in a workspace's file."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from ...mcp_config import StdioMCPServer, update_config_file
from ..console import Failure, say
from .shared import installation, installation_options, open_link

__all__ = ["command", "generate_cursor_deeplink"]


def generate_cursor_deeplink(server_name: str, server_config: StdioMCPServer) -> str:
    """The link that offers Cursor's user to install the server."""
    config = json.dumps(server_config.model_dump(mode="json", exclude_none=True, exclude_unset=True))
    encoded = base64.b64encode(config.encode()).decode()
    return (
        "cursor://anysphere.cursor-deeplink/mcp/install"
        f"?name={quote(server_name, safe='')}&config={quote(encoded, safe='')}"
    )


@click.command("cursor", help="Install a server in Cursor.")
@installation_options
@click.option(
    "--workspace",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Write .cursor/mcp.json in this directory instead of opening a link.",
)
def command(target: str | None, module: str | None, workspace: Path | None, **options: Any) -> None:
    wanted = installation(target, module, **options)
    if workspace is None:
        open_link(generate_cursor_deeplink(wanted.name, wanted.server), "Cursor")
        say(f"Cursor asks whether to install {wanted.name}", "green")
        return
    file = workspace / ".cursor" / "mcp.json"
    try:
        update_config_file(file, wanted.name, wanted.server)
    except (OSError, ValueError) as error:
        raise Failure(str(error)) from error
    say(f"Installed {wanted.name} for this workspace ({file})", "green")
