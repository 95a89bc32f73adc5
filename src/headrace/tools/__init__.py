"""Tools: functions that a model calls."""

from __future__ import annotations

from ..types import ToolResult
from .tool import Tool

__all__ = ["Tool", "ToolResult"]
