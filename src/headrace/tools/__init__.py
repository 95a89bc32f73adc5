"""Tools: functions that a model calls."""

from __future__ import annotations

from ..types import ToolResult
from .tool import FunctionTool, Tool, tool

__all__ = ["FunctionTool", "Tool", "ToolResult", "tool"]
