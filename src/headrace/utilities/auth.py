"""Scopes as they are written in environment variables and configuration."""

from __future__ import annotations

import json
from typing import Any, cast

__all__ = ["parse_scopes"]


def parse_scopes(value: Any) -> list[str] | None:
    """A list of scopes from a list, a JSON array, or text with commas or blanks between; None stays None."""
    if value is None:
        return None
    if isinstance(value, str):
        text = value.strip()
        value = text.replace(",", " ").split()
        if text.startswith("["):
            try:
                value = json.loads(text)
            except json.JSONDecodeError:
                pass  # a scope may begin with a bracket
    if not isinstance(value, list | tuple | set | frozenset):
        raise ValueError(f"Scopes are a list or text, not {type(value).__name__}")
    return [scope for scope in (str(item).strip() for item in cast("list[Any]", value)) if scope]
