"""What a client remembers of a server's tools: which arguments headers mirror, and what their results are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..protocol.mirrored import Mirrored
from ..protocol.types import CallToolResult, Tool
from .mirror import keep_valid, parameter_headers
from .results import Output, plain_data
from .versions import version_in

__all__ = ["KnownTools"]


class KnownTools:
    def __init__(self) -> None:
        self._tools: dict[str, Tool] = {}
        self._marked: dict[str, Mirrored] = {}
        self._outputs: dict[str, Output | None] = {}
        """Made when a result comes. None: the tool has no output schema, or is in no list."""

    def learn(self, tools: list[Tool], *, mirrors: bool) -> list[Tool]:
        """A new list; where headers mirror arguments, the tools whose marks break the rules are left out of it."""
        before, outputs = self._tools, self._outputs
        self.forget_all()
        if mirrors:
            valid = keep_valid(tools)
            tools = [tool for tool, _ in valid]
            self._marked = {tool.name: marks for tool, marks in valid if marks}
        self._tools = {tool.name: tool for tool in tools}
        for name in outputs.keys() & before.keys() & self._tools.keys():
            if before[name].output_schema == self._tools[name].output_schema:
                self._outputs[name] = outputs[name]
        return tools

    def forget(self) -> None:
        """The list has changed. Marks are kept: a server says so when they no longer hold."""
        self._tools, self._outputs = {}, {}

    def forget_all(self) -> None:
        self._tools, self._marked, self._outputs = {}, {}, {}

    def knows(self, name: str) -> bool:
        return name in self._tools or name in self._outputs

    def miss(self, name: str) -> None:
        """The tool is not in the list, or there is no list: it need not be asked for again."""
        if name not in self._tools:
            self._outputs[name] = None

    def data(self, name: str, result: CallToolResult, version: str | None) -> Any:
        """The structured content, shaped by the tool's output schema. `version` is the one that was called, if the
        caller named one: the list shows the highest, and another one's schema is not known."""
        tool = self._tools.get(name)
        if name not in self._outputs:
            schema = tool.output_schema if tool is not None else None
            self._outputs[name] = Output(name, schema) if schema else None
        output = self._outputs[name]
        if output is None:
            return plain_data(result)
        if tool is not None and version not in (None, version_in(tool.meta)):
            return output.plain(result.structured_content)
        return output.data(result.structured_content)

    def headers(self, name: str, arguments: Mapping[str, Any]) -> dict[str, str] | None:
        marked = self._marked.get(name)
        return parameter_headers(marked, arguments) if marked else None
