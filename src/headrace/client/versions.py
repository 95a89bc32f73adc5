"""Versions of components, as FastMCP's clients and servers tell of them: in ``_meta``, under ``fastmcp``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

__all__ = ["version_in", "with_version"]


def with_version(meta: Mapping[str, Any] | None, version: str | None) -> Mapping[str, Any] | None:
    """The ``_meta`` of a request for that version; None is the highest."""
    if version is None:
        return meta
    members = dict(meta or {})
    return {**members, "fastmcp": {**members.get("fastmcp", {}), "version": version}}


def version_in(meta: Mapping[str, Any] | None) -> str | None:
    own: Any = (meta or {}).get("fastmcp")
    return cast("Mapping[str, Any]", own).get("version") if isinstance(own, Mapping) else None
