"""Versions of components: which is higher, and which ones a filter means."""

from __future__ import annotations

import msgspec

__all__ = ["VersionSpec", "version_key"]


def version_key(version: str | None) -> tuple[int, object]:
    """Sorts versions: none lowest, then PEP 440 versions by their numbers, then other text by its letters."""
    # Nothing is kept of it: clients name versions, too. A doorway: servers without versions do without the library.
    from packaging.version import Version

    if version is None:
        return (0, "")
    try:
        return (1, Version(version))
    except ValueError:  # no such version, or a number that Python refuses to read
        return (2, version)


class VersionSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """A range of versions: ``VersionSpec(gte="1.0", lt="2.0")`` or ``VersionSpec(eq="1.0")``."""

    gte: str | None = None
    lt: str | None = None
    eq: str | None = None

    def matches(self, version: str | None, *, match_none: bool = True) -> bool:
        """Whether a component of this version is meant; `match_none` is the answer for one without a version."""
        if version is None:
            return match_none and self.eq is None
        key = version_key(version)
        if self.eq is not None:
            return key == version_key(self.eq)
        if self.gte is not None and key < version_key(self.gte):
            return False
        return self.lt is None or key < version_key(self.lt)
