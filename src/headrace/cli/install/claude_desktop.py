"""``headrace install claude-desktop``: an entry in its configuration file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from ...mcp_config import update_config_file
from ...settings import variable
from ..console import Failure, say
from .shared import Installation, installation, installation_options

__all__ = ["command", "get_claude_config_path", "install_claude_desktop"]


def get_claude_config_path() -> Path | None:
    """The directory of Claude Desktop's configuration, or None where there is none."""
    if sys.platform == "win32":
        path = Path.home() / "AppData/Roaming/Claude"
    elif sys.platform == "darwin":
        path = Path.home() / "Library/Application Support/Claude"
    else:
        path = Path(variable("XDG_CONFIG_HOME") or Path.home() / ".config") / "Claude"
    return path if path.is_dir() else None


def install_claude_desktop(wanted: Installation, directory: Path | None = None) -> Path:
    """The file that was changed; variables that an earlier entry of that name has are kept. Raises Failure."""
    directory = directory or get_claude_config_path()
    if directory is None:
        raise Failure("Claude Desktop's configuration is not there: start Claude Desktop once, or name --config-path")
    file = directory / "claude_desktop_config.json"
    try:
        update_config_file(file, wanted.name, wanted.server)
    except (OSError, ValueError) as error:
        raise Failure(str(error)) from error
    return file


@click.command("claude-desktop", help="Install a server in Claude Desktop.")
@installation_options
@click.option(
    "--config-path",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The directory of claude_desktop_config.json.",
)
def command(target: str | None, module: str | None, config_path: Path | None, **options: Any) -> None:
    wanted = installation(target, module, **options)
    file = install_claude_desktop(wanted, config_path)
    say(f"Installed {wanted.name} in Claude Desktop ({file}); restart it to see the server", "green")
