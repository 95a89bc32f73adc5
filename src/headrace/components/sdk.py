"""Objects of the official SDK (``mcp.types``), which servers written for FastMCP return, as our own.

The SDK is not imported: its classes carry the specification's names, as ours do.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..protocol import types as wire

__all__ = ["as_data", "from_sdk", "is_sdk"]

_PACKAGES = ("mcp", "mcp_types")


def is_sdk(kind: Any) -> bool:
    """Whether a class is the SDK's."""
    return kind.__module__.partition(".")[0] in _PACKAGES


def as_data(model: Any) -> Any:
    """A pydantic model as JSON-like data with its wire names."""
    return model.model_dump(by_alias=True, exclude_none=True, mode="json")


def from_sdk(value: Any) -> Any:
    """The wire struct that a model of the SDK stands for; anything else as it is. Raises msgspec.ValidationError."""
    kind: Any = value.__class__
    if not is_sdk(kind) or not hasattr(value, "model_dump"):
        return value
    struct: Any = getattr(wire, kind.__name__, None)
    if struct is None:
        return value
    return msgspec.convert(as_data(value), struct)
