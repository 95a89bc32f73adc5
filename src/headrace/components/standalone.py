"""Decorators: the ways to write one, and functions that are marked now and registered later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from .component import Component
from .visibility import Kind

__all__ = ["Pending", "decorated", "mark", "pending"]

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__fastmcp__"


@dataclass(frozen=True, slots=True)
class Pending:
    """What a marked function becomes; `make` takes the function, which may be bound to an object by then."""

    kind: Kind
    make: Callable[[Callable[..., Any]], Component]


def mark(function: F, pending: Pending) -> F:
    """The function unchanged, with what it is to become. Raises TypeError for an object that can't be marked."""
    try:
        marked: Any = function
        if isinstance(marked, staticmethod):  # what its class gives is the function inside
            marked = marked.__func__
        setattr(marked, _MARK, pending)
    except AttributeError:
        raise TypeError(f"{function!r} can't be marked: decorate the function before it is bound") from None
    return function


def pending(function: Callable[..., Any]) -> Pending | None:
    """What a standalone decorator said of the function."""
    found = getattr(function, _MARK, None)
    return found if isinstance(found, Pending) else None


def decorated(name_or_fn: Any, options: dict[str, Any], register: Callable[..., Any]) -> Any:
    """The three ways to write a decorator: bare, with a name, with options.

    `register` gets the function and the options. Raises TypeError for anything else.
    """
    given = dict(options)
    if isinstance(name_or_fn, str):
        if "name" in given:
            raise TypeError("The name is given twice")
        given["name"] = name_or_fn
    elif name_or_fn is not None:
        if isinstance(name_or_fn, classmethod):
            raise TypeError("A classmethod is registered from outside of its class: mcp.tool(TheClass.method)")
        if not callable(name_or_fn):
            raise TypeError(f"A decorator takes a function or a name, not {name_or_fn!r}")
        return register(name_or_fn, **given)

    def decorate(function: Callable[..., Any]) -> Any:
        return register(function, **given)

    return decorate
