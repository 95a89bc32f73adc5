"""The directories that a client works in: ``Client(server, roots=["file:///home/ada/work"])``, or a function."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias

from ..protocol.types import Root
from .handlers import HandlerContext

__all__ = ["Root", "RootsHandler", "RootsList", "convert_roots_list", "create_roots_callback"]

RootsList: TypeAlias = list[str] | list[Root] | list[str | Root]
RootsHandler: TypeAlias = Callable[[HandlerContext], "RootsList | Awaitable[RootsList]"]


def convert_roots_list(roots: Iterable[Any]) -> list[Root]:
    """Roots out of roots and file URLs. Raises ValueError for anything else."""
    return [_root(root) for root in roots]


def create_roots_callback(handler: RootsList | RootsHandler) -> Callable[[HandlerContext], Awaitable[list[Root]]]:
    """A function for `Client`'s `roots`, out of a list or of a function that makes one. Raises ValueError."""
    if callable(handler):
        make = handler

        async def ask(context: HandlerContext) -> list[Root]:
            roots = make(context)
            return convert_roots_list(await roots if inspect.isawaitable(roots) else roots)

        return ask
    fixed = convert_roots_list(handler)

    async def tell(context: HandlerContext) -> list[Root]:
        return fixed

    return tell


def _root(root: Any) -> Root:
    if isinstance(root, Root):
        return root
    uri = str(root)
    if not uri.startswith("file://"):
        raise ValueError(f"A root is a file:// URL, not {uri!r}")
    return Root(uri=uri)
