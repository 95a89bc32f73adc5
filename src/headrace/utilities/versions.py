"""`VersionSpec` at the path where users import it."""

from __future__ import annotations

from ..components.versions import VersionSpec

__all__ = ["VersionSpec"]
