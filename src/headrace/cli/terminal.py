"""What a server says, on the user's terminal: its text can't steer the terminal, its progress is a bar."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ..protocol.types import LOG_LEVELS, LoggingMessageNotificationParams

__all__ = ["Bar", "Notes", "emit", "emit_json", "harmless", "logs_as_notes", "one_line"]

# What is no text: control characters other than tab and line feed, and those that turn the direction of writing.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_MAX_LINE = 2000
_MAX_LABEL = 60


def harmless(text: str) -> str:
    r"""Control characters as ``\u001b``: a sequence of them could rewrite the screen, or type for the user."""
    return _STEERING.sub(lambda match: f"\\u{ord(match[0]):04x}", text.replace("\r\n", "\n"))


def one_line(text: Any, limit: int = _MAX_LINE) -> str:
    line = harmless(" ".join(str(text).split()))
    return line if len(line) <= limit else f"{line[: limit - 3]}..."


def emit(text: str, *, stderr: bool = False) -> None:
    """Text and a line feed; as it is, in UTF-8, unless it goes to a terminal."""
    stream = sys.stderr if stderr else sys.stdout
    if stream.isatty():
        click.echo(harmless(text), file=stream, color=True)
    else:
        click.echo(text.encode(), err=stderr)


def emit_json(value: Any) -> None:
    emit(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


class Bar:
    """A progress bar on stderr from the first report on; nothing where stderr is no terminal."""

    def __init__(self) -> None:
        self._shown: Progress | None = None
        self._task = TaskID(0)

    def report(self, progress: float, total: float | None, message: str | None) -> None:
        if not sys.stderr.isatty():
            return
        if self._shown is None:
            columns = TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn()
            # What goes to stderr meanwhile stands above the bar.
            console = Console(stderr=True)
            self._shown = Progress(*columns, console=console, transient=True, redirect_stdout=False)
            self._task = self._shown.add_task("", total=None)
        count = f"{progress:g}" if total is None else f"{progress:g}/{total:g}"
        label = one_line(f"{count} {message or ''}", _MAX_LABEL)
        self._shown.update(self._task, completed=progress, total=total, description=label)
        self._shown.start()

    def stop(self) -> None:
        """Take the bar away; the next report brings it back."""
        shown, self._shown = self._shown, None
        if shown is not None:
            shown.stop()


class Notes:
    """The server's log, on stderr, from `level` on."""

    def __init__(self, level: str) -> None:
        self._lowest = LOG_LEVELS.index(level)

    def hear(self, params: LoggingMessageNotificationParams) -> None:
        if LOG_LEVELS.index(params.level) < self._lowest:
            return
        data: Any = params.data
        if isinstance(data, dict) and isinstance(said := cast("dict[str, Any]", data).get("msg"), str):
            data = said  # as servers of FastMCP and of ours wrap it
        if not isinstance(data, str):
            data = msgspec.json.encode(data).decode()
        emit(one_line(f"{params.level}{f' {params.logger}' if params.logger else ''}: {data}"), stderr=True)


class _AsNotes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        failure = record.exc_info[1] if record.exc_info else None
        emit(one_line(f"{record.getMessage()}: {failure}" if failure else record.getMessage()), stderr=True)


@contextmanager
def logs_as_notes() -> Generator[None]:
    """What this package logs, from warnings on, as lines on stderr."""
    handler, logger = _AsNotes(logging.WARNING), logging.getLogger("headrace")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
