"""``headrace install gemini-cli``: ``gemini mcp add``."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import click

from ..console import Failure, say
from .shared import Installation, installation, installation_options, run_program

__all__ = ["command", "find_gemini_command", "install_gemini_cli"]


def find_gemini_command() -> str | None:
    """Where Gemini CLI's command is."""
    usual = (Path.home() / ".npm-global/bin/gemini", Path("/usr/local/bin/gemini"), Path("/opt/homebrew/bin/gemini"))
    return shutil.which("gemini") or next((str(path) for path in usual if path.is_file()), None)


def install_gemini_cli(wanted: Installation) -> None:
    """Raises Failure."""
    gemini = find_gemini_command()
    if gemini is None:
        raise Failure("Gemini CLI is not installed: there is no gemini command")
    variables = [part for name, value in wanted.env.items() for part in ("-e", f"{name}={value}")]
    program, *arguments = wanted.command
    run_program([gemini, "mcp", "add", *variables, wanted.name, program, "--", *arguments], "gemini mcp add")


@click.command("gemini-cli", help="Install a server in Gemini CLI.")
@installation_options
def command(target: str | None, module: str | None, **options: Any) -> None:
    wanted = installation(target, module, **options)
    install_gemini_cli(wanted)
    say(f"Installed {wanted.name} in Gemini CLI", "green")
