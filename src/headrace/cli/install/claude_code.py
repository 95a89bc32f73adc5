"""``headrace install claude-code``: ``claude mcp add``."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import click

from ..console import Failure, say
from .shared import Installation, installation, installation_options, run_program

__all__ = ["command", "find_claude_command", "install_claude_code"]


def find_claude_command() -> str | None:
    """Where Claude Code's command is; often only a shell's alias, so its usual places are tried, too."""
    usual = (
        Path.home() / ".claude/local/claude",
        Path.home() / ".npm-global/bin/claude",
        Path("/usr/local/bin/claude"),
    )
    return shutil.which("claude") or next((str(path) for path in usual if path.is_file()), None)


def install_claude_code(wanted: Installation) -> None:
    """Raises Failure."""
    claude = find_claude_command()
    if claude is None:
        raise Failure("Claude Code is not installed: there is no claude command")
    variables = [part for name, value in wanted.env.items() for part in ("-e", f"{name}={value}")]
    run_program([claude, "mcp", "add", wanted.name, *variables, "--", *wanted.command], "claude mcp add")


@click.command("claude-code", help="Install a server in Claude Code.")
@installation_options
def command(target: str | None, module: str | None, **options: Any) -> None:
    wanted = installation(target, module, **options)
    install_claude_code(wanted)
    say(f"Installed {wanted.name} in Claude Code", "green")
