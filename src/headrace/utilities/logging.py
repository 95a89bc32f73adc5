"""Loggers of Headrace, and how to see what they say. Nothing is set up before `configure_logging` is called."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.logging import RichHandler

__all__ = ["configure_logging", "get_logger", "temporary_log_level"]

_ROOT = "headrace"


def get_logger(name: str) -> logging.Logger:
    """The logger of that name below ``headrace``."""
    return logging.getLogger(name if name == _ROOT or name.startswith(f"{_ROOT}.") else f"{_ROOT}.{name}")


def configure_logging(
    level: str | int = "INFO",
    logger: logging.Logger | None = None,
    enable_rich_tracebacks: bool = True,
    **rich_kwargs: Any,
) -> None:
    """Show what Headrace (or `logger`) logs, on stderr, in rich. `rich_kwargs` are those of `RichHandler`.

    Handlers that an earlier call put there are replaced, others stay. Raises ValueError for an unknown level.
    """
    logger = logging.getLogger(_ROOT) if logger is None else logger
    logger.setLevel(level.upper() if isinstance(level, str) else level)
    logger.propagate = False
    options: dict[str, Any] = {
        "console": Console(stderr=True),
        "rich_tracebacks": enable_rich_tracebacks,
        "show_path": False,
        **rich_kwargs,
    }
    handler = _Shown(**options)
    handler.setFormatter(logging.Formatter("%(message)s"))
    for old in _ours(logger):
        logger.removeHandler(old)
    logger.addHandler(handler)


@contextmanager
def temporary_log_level(
    level: str | int | None,
    logger: logging.Logger | None = None,
    enable_rich_tracebacks: bool = True,
    **rich_kwargs: Any,
) -> Generator[None]:
    """Within the block log from this level on; afterwards all is as before. None changes nothing."""
    if level is None:
        yield
        return
    logger = logging.getLogger(_ROOT) if logger is None else logger
    before, propagated, handlers = logger.level, logger.propagate, _ours(logger)
    configure_logging(level, logger, enable_rich_tracebacks, **rich_kwargs)
    try:
        yield
    finally:
        for handler in _ours(logger):
            logger.removeHandler(handler)
        for handler in handlers:
            logger.addHandler(handler)
        logger.propagate = propagated
        logger.setLevel(before)


class _Shown(RichHandler):
    """A handler that `configure_logging` made."""


def _ours(logger: logging.Logger) -> list[logging.Handler]:
    return [handler for handler in logger.handlers if isinstance(handler, _Shown)]
