"""``headrace inspect``: what a server offers, for people or as JSON."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from .console import Failure, Misuse, console, say
from .inspection import FastMCPInfo, InspectFormat, format_info, inspect_server
from .loading import said
from .run import ScriptCommand, apply_deployment
from .target import environment_options, find_target, target_options, with_argv
from .uv import uv_command, uv_run

__all__ = ["command"]


@click.command("inspect", cls=ScriptCommand)
@target_options
@click.option(
    "-f",
    "--format",
    "format_name",
    type=click.Choice([each.value for each in InspectFormat]),
    help="JSON: headrace's own, FastMCP's manifest, or what clients are told.  [default: a summary as text]",
)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the JSON there.")
@environment_options
@click.option("--skip-env", is_flag=True, help="Load it in this environment, whatever the file or the flags ask for.")
@click.pass_context
def command(
    ctx: click.Context,
    target: str | None,
    module: str | None,
    format_name: str | None,
    output: Path | None,
    skip_env: bool,
    **environment: Any,
) -> None:
    """Show what a server offers. The target is as that of run."""
    if output is not None and format_name is None:
        raise Misuse("--output needs --format")
    found = find_target(target, module, **environment)
    if found.config.environment.needed and not skip_env:
        uv_run(uv_command(found.config.environment, ScriptCommand.again(ctx, "--skip-env")))
    output = output and output.resolve()  # before the config changes the working directory
    apply_deployment(found)
    # What the file prints is no part of the JSON.
    with with_argv(found.config, ctx.meta["script"]), contextlib.redirect_stdout(sys.stderr):
        server = found.config.source.load()
        try:
            info = asyncio.run(inspect_server(server))
            text = None if format_name is None else asyncio.run(format_info(server, format_name, info))
        except Exception as error:  # of its lifespan, or of components that are its own classes
            raise Failure(f"{server.name} can't be inspected: {said(error)}") from error
    if text is None:
        _summary(info)
        return
    if output is None:
        click.echo(text)
        return
    try:
        output.write_bytes(text + b"\n")
    except OSError as error:
        raise Failure(f"{output} can't be written: {error.strerror}") from error
    say(f"Written to {output}", "green")


def _summary(info: FastMCPInfo) -> None:
    rows = [
        ("server", f"{info.name} {info.version or ''}".rstrip()),
        ("instructions", next(iter((info.instructions or "").strip().splitlines()), "")),
        ("website", info.website_url or ""),
        ("tools", ", ".join(tool.name for tool in info.tools) or "none"),
        ("resources", ", ".join(resource.uri for resource in info.resources) or "none"),
        ("templates", ", ".join(template.uri_template for template in info.templates) or "none"),
        ("prompts", ", ".join(prompt.name for prompt in info.prompts) or "none"),
        ("headrace", f"{info.fastmcp_version}, MCP up to {info.mcp_version}"),
    ]
    for label, text in rows:
        if text:
            console().print(Text.assemble((f"{label:14}", "bold"), text))
