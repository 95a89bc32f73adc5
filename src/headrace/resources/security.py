"""Which values a resource template takes from a URI.

A value may end up in a path on disk or in another URL, so those that would leave their place are refused: the URI
then stands for nothing, and the client learns only that.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass

__all__ = ["DEFAULT_RESOURCE_SECURITY", "ResourceSecurity"]

_ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:")


@dataclass(frozen=True)
class ResourceSecurity:
    """The checks on decoded values; each is on unless switched off.

    >>> ResourceSecurity(exempt_params={"ref"})  # HEAD/../x is a git ref, not a path
    """

    reject_path_traversal: bool = True
    """Refuse ``..`` as a component (``v1..v2`` is none), and separators in a value that is one segment of the path."""
    reject_absolute_paths: bool = True
    """Refuse ``/x``, ``\\x`` and ``C:x``."""
    reject_null_bytes: bool = True
    exempt_params: Set[str] = frozenset()
    """Names of parameters that are not checked, as the template or as the function spells them."""

    def validate(self, params: Mapping[str, object], segments: Collection[str] = ()) -> str | None:
        """The name of the first parameter that is refused, or None. `segments`: those that stand for one segment."""
        exempt = {name.replace("-", "_") for name in self.exempt_params}
        for name, value in params.items():
            if name in exempt:
                continue
            values: list[object] = list(value) if isinstance(value, list | tuple) else [value]  # pyright: ignore[reportUnknownArgumentType]
            if any(isinstance(each, str) and self._refuses(each, name in segments) for each in values):
                return name
        return None

    def _refuses(self, value: str, segment: bool) -> bool:
        if self.reject_null_bytes and "\0" in value:
            return True
        if self.reject_absolute_paths and _ABSOLUTE.match(value):
            return True
        if not self.reject_path_traversal:
            return False
        components = value.replace("\\", "/").split("/")
        return ".." in components or value == "." or (segment and len(components) > 1)


DEFAULT_RESOURCE_SECURITY = ResourceSecurity()
"""What applies where neither the template nor the server says otherwise."""
