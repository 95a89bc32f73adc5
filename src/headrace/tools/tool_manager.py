"""The tools of a server, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..components.registry import OnDuplicate, Registry
from ..exceptions import NotFoundError
from ..types import ToolResult
from .tool import Tool

__all__ = ["ToolManager"]


class ToolManager(Registry[Tool]):
    """A registry of tools with the words of FastMCP's; it works alone, too."""

    def __init__(self, duplicate_behavior: OnDuplicate = "warn", changed: Callable[[], None] | None = None) -> None:
        super().__init__("tool", duplicate_behavior, changed)

    def add_tool(self, tool: Tool) -> Tool:
        """Raises ValueError for a duplicate under the policy "error"."""
        return self.add(tool)

    def add_tool_from_fn(self, fn: Callable[..., Any], name: str | None = None, **options: Any) -> Tool:
        return self.add(Tool.from_function(fn, name, **options))

    def remove_tool(self, key: str, version: str | None = None) -> None:
        """Raises NotFoundError for an unknown tool."""
        self.remove(key, version)

    async def has_tool(self, key: str) -> bool:
        return key in self

    async def get_tool(self, key: str) -> Tool:
        """Raises NotFoundError for an unknown tool."""
        tool = self.get(key)
        if tool is None:
            raise NotFoundError(f"Unknown tool: {key}")
        return tool

    async def get_tools(self) -> dict[str, Tool]:
        """Tools by name, each in its highest version."""
        return {tool.name: tool for tool in self.shown()}

    async def call_tool(self, key: str, arguments: dict[str, Any]) -> ToolResult:
        """Raises NotFoundError, ValidationError, and what the tool raises."""
        return await (await self.get_tool(key)).run(arguments)
