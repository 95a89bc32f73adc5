"""What tools, resources, templates and prompts have in common."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec

from ..protocol.types import Icon

__all__ = ["Component", "described", "icon_list", "struct"]

S = TypeVar("S", bound=msgspec.Struct)


class Component:
    """Name, texts and flags of something registered."""

    def __init__(
        self,
        name: str,
        *,
        title: str | None = None,
        description: str | None = None,
        icons: Iterable[Icon | dict[str, Any]] | None = None,
        tags: set[str] | None = None,
        meta: dict[str, Any] | None = None,
        enabled: bool = True,
    ) -> None:
        self.name = name
        self.title = title
        self.description = description
        self.icons = icon_list(icons)
        self.tags: set[str] = set(tags or ())
        self.meta = meta
        self.enabled = enabled

    def listed_meta(self) -> dict[str, Any] | None:
        """The component's ``_meta`` in lists: the user's, and the tags."""
        if not self.tags:
            return self.meta
        return {**(self.meta or {}), "fastmcp": {"tags": sorted(self.tags)}}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


def described(function: Callable[..., Any], description: str | None) -> str | None:
    """The given description, else the function's docstring."""
    if description is not None:
        return description
    return inspect.getdoc(function) if getattr(function, "__name__", None) else None


def struct(value: Any, kind: type[S]) -> S | None:
    """A wire struct from one, from a dict with its wire names, or from a model of the official SDK.

    Raises ValueError for what does not fit.
    """
    if value is None or isinstance(value, kind):
        return value
    if hasattr(value, "model_dump"):
        value = value.model_dump(by_alias=True, exclude_none=True, mode="json")
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"No {kind.__name__}: {error}") from None


def icon_list(icons: Iterable[Any] | None) -> list[Icon] | None:
    if icons is None:
        return None
    converted = (struct(icon, Icon) for icon in icons)
    return [icon for icon in converted if icon is not None]
