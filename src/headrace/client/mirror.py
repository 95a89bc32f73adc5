"""Headers that mirror a request's body (2026-07-28, Streamable HTTP, Request Metadata and Value Encoding)."""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Mapping
from typing import Any, cast

from ..protocol.mirrored import Mirrored, mirrored_arguments
from ..protocol.types import Tool

__all__ = ["header_value", "keep_valid", "parameter_headers"]

logger = logging.getLogger(__name__)

_PLAIN = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?|")
_SENTINEL = re.compile(r"=\?base64\?.*\?=")


def header_value(value: str) -> str:
    """The value itself where a header can carry it, else its base64 form."""
    if _PLAIN.fullmatch(value) and not _SENTINEL.fullmatch(value):
        return value
    return f"=?base64?{base64.b64encode(value.encode()).decode()}?="


def keep_valid(tools: list[Tool]) -> list[tuple[Tool, Mirrored]]:
    """The tools whose marks obey the rules, each with its marked arguments; one with a bad mark is left out."""
    valid: list[tuple[Tool, Mirrored]] = []
    for tool in tools:
        try:
            valid.append((tool, mirrored_arguments(tool.input_schema, tool.name)))
        except (ValueError, TypeError, AttributeError) as error:
            logger.warning("The tool %r is left out: %s", tool.name, error)
    return valid


def parameter_headers(marked: Mirrored, arguments: Mapping[str, Any]) -> dict[str, str]:
    """``Mcp-Param-*`` for the marked arguments that have a value."""
    headers: dict[str, str] = {}
    for header, (path, _) in marked.items():
        value: Any = arguments
        for name in path:
            value = cast("Mapping[str, Any]", value).get(name) if isinstance(value, Mapping) else None
        text = _text(value)
        if text is not None:
            headers[header] = header_value(text)
    return headers


def _text(value: Any) -> str | None:
    """None where there is no value, or one of a type that headers don't mirror: the server says what is wrong."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, str | int | float):
        return str(value)
    return None
