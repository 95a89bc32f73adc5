"""What tools, resources, templates and prompts have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, TypeVar

import msgspec

from ..protocol.types import Icon
from .checks import AuthCheck, as_checks
from .sdk import as_data
from .visibility import Kind

__all__ = ["Component", "icon_list", "struct"]

S = TypeVar("S", bound=msgspec.Struct)


class Component:
    """Name, texts and flags of something registered."""

    kind: ClassVar[Kind]

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
        version: str | float | None = None,
        auth: AuthCheck | Sequence[AuthCheck] | None = None,
    ) -> None:
        """`auth`: checks that must all pass for a caller to see and use it.

        Raises ValueError for a version with an ``@``, which ends the identifier in a key.
        """
        self.name = name
        self.title = title
        self.description = description
        self.icons = icon_list(icons)
        self.tags: set[str] = set(tags or ())
        self.meta = meta
        self.version = None if version is None else str(version)
        if self.version is not None and ("@" in self.version or not self.version):
            raise ValueError(f"A version is a text without @, not {self.version!r}")
        self.checks = as_checks(auth)
        self.guarded = bool(self.checks)
        """Whether there is something to ask before a caller may use it."""
        self._enabled = enabled
        self._watchers: list[Callable[[], None]] = []

    @property
    def identifier(self) -> str:
        """What it is registered by: the name, or the URI."""
        return self.name

    @property
    def key(self) -> str:
        """``kind:identifier@version``, which no other component of a server has; the version may be empty."""
        return f"{self.kind}:{self.identifier}@{self.version or ''}"

    @property
    def enabled(self) -> bool:
        """Whether it is listed and can be used where no rule of the server says otherwise."""
        return self._enabled

    @enabled.setter
    def enabled(self, enabled: bool) -> None:
        if enabled != self._enabled:
            self._enabled = enabled
            for changed in list(self._watchers):
                changed()

    def enable(self) -> None:
        self.enabled = True

    def disable(self) -> None:
        self.enabled = False

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` whenever the component is switched on or off."""
        self._watchers.append(changed)

    def unwatch(self, changed: Callable[[], None]) -> None:
        self._watchers.remove(changed)

    def listed_meta(self) -> dict[str, Any] | None:
        """The component's ``_meta`` in lists: the user's, and tags and version under ``fastmcp``."""
        own: dict[str, Any] = {}
        if self.tags:
            own["tags"] = sorted(self.tags)
        if self.version is not None:
            own["version"] = self.version
        if own:
            return {**(self.meta or {}), "fastmcp": own}
        return None if self.meta is None else dict(self.meta)

    def __repr__(self) -> str:
        version = f" {self.version}" if self.version else ""
        return f"<{type(self).__name__} {self.identifier!r}{version}>"


def struct(value: Any, kind: type[S]) -> S | None:
    """A wire struct from one, from a dict with its wire names, or from a model of the official SDK.

    Raises ValueError for what does not fit.
    """
    if value is None or isinstance(value, kind):
        return value
    if hasattr(value, "model_dump"):
        value = as_data(value)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"No {kind.__name__}: {error}") from None


def icon_list(icons: Iterable[Any] | None) -> list[Icon] | None:
    if icons is None:
        return None
    converted = (struct(icon, Icon) for icon in icons)
    return [icon for icon in converted if icon is not None]
