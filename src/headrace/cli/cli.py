"""The command group. A subcommand's module is imported when it is asked for, so that ``--help`` is quick."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

__all__ = ["LazyGroup", "app", "main"]


class LazyGroup(click.Group):
    """Each command is the object `command` of a module, imported when the command is asked for."""

    def __init__(self, *args: Any, modules: Mapping[str, tuple[str, str]], **options: Any) -> None:
        """`modules`: name of the command -> (module, one line of help)."""
        super().__init__(*args, **options)
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._modules:
            return None
        command: click.Command = import_module(self._modules[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._modules.items()])


_COMMANDS = {
    "run": ("headrace.cli.run", "Serve a FastMCP server."),
    "inspect": ("headrace.cli.inspect", "Show what a server offers."),
    "list": ("headrace.cli.listing", "Show what a server offers to its clients, wherever it is."),
    "call": ("headrace.cli.call", "Call a tool of a server."),
    "read": ("headrace.cli.read", "Read a resource of a server."),
    "bridge": ("headrace.cli.bridge", "Serve a server's URL on stdio, for clients that only start programs."),
    "install": ("headrace.cli.install", "Enter a server into the configuration of an MCP client."),
    "version": ("headrace.cli.version", "Show versions, for a bug report."),
}


@click.group(cls=LazyGroup, modules=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Headrace: MCP servers over HTTP and stdio."""


app = main
