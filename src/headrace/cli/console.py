"""What the command line says: rich in a terminal, plain lines elsewhere; errors on stderr, one line each."""

from __future__ import annotations

from typing import IO, Any

import click
from rich.console import Console
from rich.text import Text

__all__ = ["Failure", "Misuse", "console", "note", "say"]


def console(*, stderr: bool = False, file: IO[Any] | None = None) -> Console:
    """No markup and no line breaks of our own: what users named goes in as it is, and a path can be copied."""
    return Console(file=file, stderr=stderr, soft_wrap=True, highlight=False, markup=False, emoji=False)


class Failure(click.ClickException):
    """One line for the user that says what to do; exit code 1."""

    def show(self, file: IO[Any] | None = None) -> None:
        console(stderr=file is None, file=file).print(Text.assemble(("Error:", "bold red"), " ", self.format_message()))


class Misuse(Failure):
    """The flags do not go together; exit code 2, as for any flag that does not fit."""

    exit_code = 2


def say(text: str, style: str = "") -> None:
    """A line on stdout."""
    console().print(Text(text, style))


def note(text: str) -> None:
    """A line on stderr, where it disturbs no server that speaks on stdout."""
    console(stderr=True).print(Text(text, "dim"))
