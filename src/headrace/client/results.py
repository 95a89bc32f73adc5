"""What `Client.call_tool` returns, and how a tool's output schema shapes its `data`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, cast

import pydantic
from msgspec import UNSET

from ..components.json_types import json_schema_to_type
from ..protocol.types import CallToolResult as WireResult
from ..protocol.types import ContentBlock, TextContent

__all__ = ["WRAP_RESULT", "CallToolResult", "Output", "plain_data", "text_of"]

logger = logging.getLogger(__name__)

WRAP_RESULT = "x-fastmcp-wrap-result"
"""Marks an output schema whose value is wrapped: ``{"result": value}``."""


@dataclass(frozen=True, slots=True)
class CallToolResult:
    content: list[ContentBlock]
    structured_content: Any
    """Any JSON value; None if there is none."""
    data: Any
    """The structured content, out of its wrapper, as the types of the output schema: an object with named properties
    is a dataclass, a date-time a datetime. The plain value where there is no schema or it doesn't fit."""
    is_error: bool
    meta: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        """All text of the content."""
        return text_of(self.content)

    @classmethod
    def of(cls, result: WireResult, data: Any) -> CallToolResult:
        structured: Any = None if result.structured_content is UNSET else result.structured_content
        return cls(result.content, structured, data, bool(result.is_error), result.meta)


def text_of(content: list[ContentBlock]) -> str:
    return "\n".join(block.text for block in content if isinstance(block, TextContent))


class Output:
    """What a tool's output schema says; the schema may be a stranger's, and is never a reason to fail."""

    def __init__(self, tool: str, schema: dict[str, Any]) -> None:
        self._tool = tool
        self._wraps = bool(schema.get(WRAP_RESULT))
        self._adapter: pydantic.TypeAdapter[Any] | None = None
        try:
            self._adapter = pydantic.TypeAdapter(json_schema_to_type(schema))
        except Exception as error:
            logger.warning("The results of %r stay plain, its output schema is not usable: %s", tool, error)

    def plain(self, structured: Any) -> Any:
        """Out of its wrapper."""
        return cast("dict[str, Any]", structured)["result"] if self._unwraps(structured) else structured

    def data(self, structured: Any) -> Any:
        """In the types of the schema, too."""
        if self._adapter is None:
            return self.plain(structured)
        try:
            value = self._adapter.validate_python(structured)
        except (pydantic.ValidationError, RecursionError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, pydantic.ValidationError) else "too deep"
            logger.warning("The result of %r stays plain, it does not fit its output schema: %s", self._tool, reason)
            return self.plain(structured)
        if not self._unwraps(structured):
            return value
        return cast("dict[str, Any]", value)["result"] if isinstance(value, dict) else value.result

    def _unwraps(self, structured: Any) -> bool:
        return self._wraps and _is_wrapped(structured)


def plain_data(result: WireResult) -> Any:
    """The structured content without a schema: out of the wrapper that a FastMCP server itself tells of."""
    structured: Any = None if result.structured_content is UNSET else result.structured_content
    said: Any = (result.meta or {}).get("fastmcp")
    wraps = isinstance(said, dict) and bool(cast("dict[str, Any]", said).get("wrap_result"))
    return cast("dict[str, Any]", structured)["result"] if wraps and _is_wrapped(structured) else structured


def _is_wrapped(structured: Any) -> bool:
    return isinstance(structured, dict) and list(cast("dict[str, Any]", structured)) == ["result"]
