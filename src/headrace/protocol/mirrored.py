"""Arguments that HTTP headers mirror: the ``x-mcp-header`` marks of an input schema.

2026-07-28, basic, transports, Streamable HTTP, Schema Extension. A mark that breaks a rule makes the whole tool
invalid, so it is refused when the tool is registered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

__all__ = ["MARK", "Mirrored", "mirrored_arguments"]

MARK = "x-mcp-header"
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_TYPES = ("string", "integer", "boolean")
_DATA = ("default", "const", "enum", "examples")
"""Keywords that hold values, not schemas."""

_Found = dict[str, tuple[tuple[str, ...], str]]
Mirrored = Mapping[str, tuple[tuple[str, ...], str]]
"""Lower-case header name -> (path in the arguments, type)."""


def mirrored_arguments(schema: dict[str, Any], tool: str) -> Mirrored:
    """The marked arguments of an input schema. Raises ValueError that names the tool and the broken rule."""
    found: _Found = {}
    _collect(schema, (), found, tool)
    return found


def _collect(schema: dict[str, Any], path: tuple[str, ...], found: _Found, tool: str) -> None:
    """Walk along ``properties``; anywhere else a mark is refused."""
    for keyword, value in schema.items():
        if keyword == MARK:
            _add(schema, path, found, tool)
        elif keyword == "properties" and isinstance(value, dict):
            for name, property in cast(dict[str, Any], value).items():
                if isinstance(property, dict):
                    _collect(cast(dict[str, Any], property), (*path, name), found, tool)
        elif keyword not in _DATA and _is_marked(value):
            raise ValueError(
                f"Tool {tool!r}: {MARK} stands under {keyword!r}, but it may only stand on arguments "
                "that are reached through properties alone"
            )


def _add(schema: dict[str, Any], path: tuple[str, ...], found: _Found, tool: str) -> None:
    header = schema[MARK]
    where = ".".join(path) or "the arguments themselves"
    if not isinstance(header, str) or not _TOKEN.match(header):
        raise ValueError(f"Tool {tool!r}: {MARK} of {where} is {header!r}, which is no HTTP header name")
    if schema.get("type") not in _TYPES or not path:
        raise ValueError(f"Tool {tool!r}: {MARK} may stand on a string, integer or boolean, not on {where}")
    name = f"mcp-param-{header.lower()}"
    if name in found:
        raise ValueError(f"Tool {tool!r}: two arguments have the {MARK} {header!r} (upper and lower case are equal)")
    found[name] = (path, schema["type"])


def _is_marked(value: Any) -> bool:
    """Whether a mark stands anywhere in a part of a schema."""
    if isinstance(value, dict):
        items = cast(dict[str, Any], value)
        return MARK in items or any(_is_marked(part) for key, part in items.items() if key not in _DATA)
    return isinstance(value, list) and any(_is_marked(part) for part in cast(list[Any], value))
