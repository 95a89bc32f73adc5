"""``headrace version``."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import click
from rich.console import Console
from rich.table import Table

from ..protocol.versions import ERAS

__all__ = ["command"]

_DEPENDENCIES = ("msgspec", "pydantic", "starlette", "uvicorn", "httptools", "uvloop", "anyio", "httpx2")


@click.command("version", help="Show versions, for a bug report.")
def command() -> None:
    table = Table.grid(padding=(0, 2))
    table.add_row("headrace", _version_of("headrace"), style="bold")
    table.add_row("protocol", ", ".join(reversed(ERAS)))
    table.add_row("python", f"{platform.python_version()} ({platform.python_implementation()}, {platform.system()})")
    for name in _DEPENDENCIES:
        table.add_row(name, _version_of(name))
    # A line that is cut to the width of a terminal would be of no use in a bug report.
    Console(highlight=False, soft_wrap=True).print(table)


def _version_of(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
