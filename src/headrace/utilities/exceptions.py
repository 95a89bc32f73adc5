"""Exceptions out of the groups that task groups put them in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, cast

__all__ = ["get_catch_handlers", "iter_exc"]


def iter_exc(group: BaseExceptionGroup[Any]) -> Iterator[BaseException]:
    """Every exception in a group that is no group itself."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from iter_exc(cast("BaseExceptionGroup[Any]", error))
        else:
            yield error


def get_catch_handlers() -> Mapping[type[BaseException], Callable[[BaseExceptionGroup[Any]], Any]]:
    """What `exceptiongroup.catch` takes to raise the first exception of a group instead of the group."""
    return {Exception: _raise_first}


def _raise_first(group: BaseExceptionGroup[Any]) -> NoReturn:
    for error in iter_exc(group):
        raise error
    raise group
