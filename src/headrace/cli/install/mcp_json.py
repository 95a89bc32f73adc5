"""``headrace install mcp-json``: the JSON for any client."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import click

from ..console import Failure, say
from .shared import installation, installation_options

__all__ = ["command"]

_CLIPBOARDS = (["pbcopy"], ["clip.exe"], ["wl-copy"], ["xclip", "-selection", "clipboard"], ["xsel", "-ib"])
COPY_SECONDS = 10


@click.command("mcp-json", help="Print the JSON of a server for any MCP client.")
@installation_options
@click.option("--copy", is_flag=True, help="Copy it instead of printing it.")
def command(target: str | None, module: str | None, copy: bool, **options: Any) -> None:
    wanted = installation(target, module, **options)
    entry = wanted.server.model_dump(mode="json", exclude_none=True, exclude_unset=True)
    text = json.dumps({wanted.name: entry}, indent=2, ensure_ascii=False)
    if not copy:
        click.echo(text)
        return
    _copy(text)
    say(f"Copied the JSON of {wanted.name}", "green")


def _copy(text: str) -> None:
    """Raises Failure where no program takes it."""
    program = next((each for each in _CLIPBOARDS if shutil.which(each[0])), None)
    if program is None:
        raise Failure("no program here can copy (pbcopy, wl-copy, xclip or xsel): leave out --copy")
    quiet = subprocess.DEVNULL  # not a pipe: xclip stays in the background and would hold it open
    try:
        subprocess.run(program, input=text.encode(), stdout=quiet, stderr=quiet, check=True, timeout=COPY_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        raise Failure(f"{program[0]} failed: {error}") from None
