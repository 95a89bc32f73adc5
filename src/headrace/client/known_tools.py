"""What a client remembers of a server's tools: which arguments headers mirror, and whose results are wrapped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..protocol.mirrored import Mirrored
from ..protocol.types import Tool
from .mirror import keep_valid, parameter_headers
from .results import WRAP_RESULT

__all__ = ["KnownTools"]


class KnownTools:
    def __init__(self) -> None:
        self._tools: dict[str, Tool] = {}
        self._marked: dict[str, Mirrored] = {}

    def learn(self, tools: list[Tool], *, mirrors: bool) -> list[Tool]:
        """A new list; where headers mirror arguments, the tools whose marks break the rules are left out of it."""
        self._marked = {}
        if mirrors:
            valid = keep_valid(tools)
            tools = [tool for tool, _ in valid]
            self._marked = {tool.name: marks for tool, marks in valid if marks}
        self._tools = {tool.name: tool for tool in tools}
        return tools

    def forget(self) -> None:
        """The list has changed. Marks are kept: a server says so when they no longer hold."""
        self._tools = {}

    def forget_all(self) -> None:
        self._tools, self._marked = {}, {}

    def knows(self, name: str) -> bool:
        return name in self._tools

    def wraps(self, name: str) -> bool:
        """Whether the tool's structured content is wrapped, by its output schema."""
        tool = self._tools.get(name)
        return bool(tool is not None and tool.output_schema and tool.output_schema.get(WRAP_RESULT))

    def headers(self, name: str, arguments: Mapping[str, Any]) -> dict[str, str] | None:
        marked = self._marked.get(name)
        return parameter_headers(marked, arguments) if marked else None
