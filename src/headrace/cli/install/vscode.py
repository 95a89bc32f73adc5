"""``headrace install vscode``: ``code --add-mcp``, or a link where that command is missing."""

from __future__ import annotations

import json
import shutil
import sys
from typing import Any
from urllib.parse import quote

import click

from ..console import say
from .shared import Installation, installation, installation_options, open_link, run_program

__all__ = ["command", "generate_vscode_deeplink"]


def _entry(wanted: Installation) -> str:
    server = wanted.server.model_dump(mode="json", exclude_none=True, exclude_unset=True)
    return json.dumps({"name": wanted.name, **server})


def generate_vscode_deeplink(wanted: Installation) -> str:
    """The link that offers VS Code's user to install the server."""
    return f"vscode:mcp/install?{quote(_entry(wanted), safe='')}"


@click.command("vscode", help="Install a server in VS Code.")
@installation_options
def command(target: str | None, module: str | None, **options: Any) -> None:
    wanted = installation(target, module, **options)
    # On Windows it is a batch file, which reads the quotes of JSON in its own way.
    code = None if sys.platform == "win32" else shutil.which("code")
    if code is None:
        open_link(generate_vscode_deeplink(wanted), "VS Code")
        say(f"VS Code asks whether to install {wanted.name}", "green")
        return
    run_program([code, "--add-mcp", _entry(wanted)], "code --add-mcp")
    say(f"Installed {wanted.name} in VS Code", "green")
