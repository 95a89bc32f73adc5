"""Records as they are kept: JSON of structs. What another version wrote in another way counts as absent."""

from __future__ import annotations

from typing import TypeVar

import msgspec

__all__ = ["record_of"]

_T = TypeVar("_T")


def record_of(data: bytes | None, type: type[_T]) -> _T | None:
    try:
        return None if data is None else msgspec.json.decode(data, type=type)
    except msgspec.DecodeError:
        return None
