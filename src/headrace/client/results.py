"""What `Client.call_tool` returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from msgspec import UNSET

from ..protocol.types import CallToolResult as WireResult
from ..protocol.types import ContentBlock, TextContent

__all__ = ["WRAP_RESULT", "CallToolResult", "is_wrapped", "says_wrapped"]

WRAP_RESULT = "x-fastmcp-wrap-result"
"""Marks an output schema whose value is wrapped: ``{"result": value}``."""


@dataclass(frozen=True, slots=True)
class CallToolResult:
    content: list[ContentBlock]
    structured_content: Any
    """Any JSON value; None if there is none."""
    data: Any
    """The structured content, out of its wrapper."""
    is_error: bool
    meta: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        """All text of the content."""
        return "\n".join(block.text for block in self.content if isinstance(block, TextContent))

    @classmethod
    def of(cls, result: WireResult, *, wrapped: bool) -> CallToolResult:
        """`wrapped`: the structured content is a wrapper, and has its shape."""
        structured: Any = None if result.structured_content is UNSET else result.structured_content
        data: Any = cast("dict[str, Any]", structured)["result"] if wrapped else structured
        return cls(result.content, structured, data, bool(result.is_error), result.meta)


def is_wrapped(structured: Any) -> bool:
    """Whether the value has the shape of a wrapper. The output schema says if it is one."""
    return isinstance(structured, dict) and list(cast("dict[str, Any]", structured)) == ["result"]


def says_wrapped(meta: dict[str, Any] | None) -> bool | None:
    """What a FastMCP server says in the result itself; None if nothing."""
    said: Any = (meta or {}).get("fastmcp")
    return (
        bool(cast("dict[str, Any]", said)["wrap_result"]) if isinstance(said, dict) and "wrap_result" in said else None
    )
