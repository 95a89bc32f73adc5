"""Settings and logs within one test."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, cast

from ..settings import Settings

__all__ = ["caplog_for_fastmcp", "temporary_settings"]


@contextmanager
def temporary_settings(**changes: Any) -> Generator[Settings]:
    """Within the block these settings are in the environment, where programs and apps made there read them.

    Names are those of `Settings`; None takes a variable away. Yields the settings as they are now. Raises TypeError
    for an unknown name, ValueError for a value that does not fit; afterwards the environment is as it was.
    """
    unknown = sorted(changes.keys() - {field.name for field in fields(Settings)})
    if unknown:
        raise TypeError(f"There is no setting {unknown[0]!r}")
    names = {name: f"HEADRACE_{name.upper()}" for name in changes}
    before = {variable: os.environ.get(variable) for variable in names.values()}
    try:
        for name, value in changes.items():
            _set(names[name], None if value is None else _text(value))
        yield Settings.load()
    finally:
        for variable, text in before.items():
            _set(variable, text)


@contextmanager
def caplog_for_fastmcp(caplog: Any) -> Generator[None]:
    """pytest's `caplog` hears Headrace's loggers within the block, also once `configure_logging` was called."""
    logger = logging.getLogger("headrace")
    if logger.propagate:
        yield
        return
    logger.addHandler(caplog.handler)
    try:
        yield
    finally:
        logger.removeHandler(caplog.handler)


def _set(variable: str, text: str | None) -> None:
    if text is None:
        os.environ.pop(variable, None)
    else:
        os.environ[variable] = text


def _text(value: Any) -> str:
    if isinstance(value, list | tuple | set | frozenset):
        return ",".join(str(part) for part in cast("list[Any]", value))
    return str(value).lower() if isinstance(value, bool) else str(value)
