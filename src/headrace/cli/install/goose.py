"""``headrace install goose``: a link that Goose opens."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, urlencode

import click

from ..console import Misuse, say
from .shared import Installation, installation, installation_options, open_link

__all__ = ["command", "generate_goose_deeplink"]


def generate_goose_deeplink(
    name: str, command: str, args: list[str], *, description: str = "MCP server installed by Headrace"
) -> str:
    """The link that offers Goose's user to install the server."""
    identifier = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "headrace-server"
    members = [("cmd", command), *(("arg", each) for each in args)]
    members += [("id", identifier), ("name", name), ("description", description)]
    return f"goose://extension?{urlencode(members, quote_via=quote, safe='')}"


def _uvx(wanted: Installation) -> list[str]:
    """Goose's links start a few well-known programs only: uvx is one of them, uv is not."""
    if wanted.env:
        raise Misuse("a Goose link carries no variables: leave out --env and --env-file, and set them in Goose")
    if wanted.environment.project:
        raise Misuse("a Goose link has no --project: name its packages with --with or --with-editable")
    return ["uvx", *wanted.environment.arguments(), "headrace", *wanted.arguments]


@click.command("goose", help="Install a server in Goose.")
@installation_options
def command(target: str | None, module: str | None, **options: Any) -> None:
    wanted = installation(target, module, **options)
    program, *arguments = _uvx(wanted)
    open_link(generate_goose_deeplink(wanted.name, program, arguments), "Goose")
    say(f"Goose asks whether to install {wanted.name}", "green")
