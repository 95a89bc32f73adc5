"""A tool: a function with a schema for its arguments and one for its result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from types import EllipsisType
from typing import Any

from msgspec import Raw

from ..components.component import Component, described, struct
from ..components.content import Output, tool_result
from ..components.context import Context
from ..components.json_schema import JsonSchema
from ..components.signature import Function, function_name
from ..exceptions import ToolError, ValidationError
from ..protocol import types as wire
from ..protocol.mirrored import mirrored_arguments
from ..protocol.types import CallToolResult, Icon, InputRequiredResult, ToolAnnotations
from ..types import ToolResult

__all__ = ["Tool", "ToolResult"]


class Tool(Component):
    """One tool. `run` = `bind` (arguments) + `call`; the router keeps them apart to tell whose fault an error is."""

    def __init__(
        self,
        name: str,
        function: Function,
        *,
        input_schema: dict[str, Any] | None = None,
        output: Output | None = None,
        annotations: ToolAnnotations | dict[str, Any] | None = None,
        timeout: float | None = None,
        strict: bool | None = None,
        **component: Any,
    ) -> None:
        """`input_schema` replaces the one of the function's signature; `timeout` is in seconds."""
        super().__init__(name, **component)
        self.function = function
        self.annotations = struct(annotations, ToolAnnotations)
        self.timeout = timeout
        self.strict = strict
        self.input_schema = function.schema if input_schema is None else input_schema
        self.mirrored = mirrored_arguments(self.input_schema, name)
        self._checked = None if input_schema is None else JsonSchema(input_schema, f"Tool {name!r}, input_schema")
        self._output = output
        self._what = f"Invalid arguments for tool {name!r}"

    @classmethod
    def from_function(
        cls,
        function: Callable[..., Any],
        name: str | None = None,
        *,
        title: str | None = None,
        description: str | None = None,
        icons: Iterable[Icon | dict[str, Any]] | None = None,
        tags: set[str] | None = None,
        annotations: ToolAnnotations | dict[str, Any] | None = None,
        input_schema: dict[str, Any] | None = None,
        output_schema: dict[str, Any] | EllipsisType | None = ...,
        meta: dict[str, Any] | None = None,
        enabled: bool = True,
        timeout: float | None = None,
        strict: bool | None = None,
        run_in_thread: bool = True,
    ) -> Tool:
        """A tool from a function; what is not given comes from its name, docstring and annotations.

        `output_schema` None means no structured content, ``...`` the one of the return annotation. Raises
        InvalidSignature or ValueError for what can't be a tool.
        """
        name = name or function_name(function, "tool")
        label = f"tool {name!r}"
        wrapped = Function(function, label, run_in_thread=run_in_thread, by_name=input_schema is not None)
        if isinstance(output_schema, EllipsisType):
            output = Output.from_annotation(wrapped.returns)
        elif output_schema is None:
            output = None
        else:
            output = Output.from_schema(output_schema, f"Tool {name!r}, output_schema")
        return cls(
            name,
            wrapped,
            input_schema=input_schema,
            output=output,
            annotations=annotations,
            timeout=timeout,
            strict=strict,
            title=title,
            description=described(function, description),
            icons=icons,
            tags=tags,
            meta=meta,
            enabled=enabled,
        )

    @property
    def output_schema(self) -> dict[str, Any] | None:
        return None if self._output is None else self._output.schema

    def bind(self, arguments: Raw) -> dict[str, Any]:
        """Keyword arguments from raw JSON. Raises ValidationError, one line per field."""
        if self._checked is not None:
            return self._checked.decode(arguments, self._what)
        return self.function.bind(arguments, strict=self.strict)

    async def call(self, arguments: dict[str, Any], context: Context) -> CallToolResult | InputRequiredResult:
        """Run the function. Raises what it raises, and ToolError when it takes longer than `timeout`."""
        if self.timeout is None:
            value = await self.function.call(arguments, context)
        else:
            limit = asyncio.timeout(self.timeout)
            try:
                async with limit:
                    value = await self.function.call(arguments, context)
            except TimeoutError:
                if not limit.expired():
                    raise
                raise ToolError(f"Tool {self.name!r} timed out after {self.timeout:g} seconds") from None
        try:
            return tool_result(value, self._output)
        except ValidationError as error:
            raise ToolError(f"Tool {self.name!r}: {error}") from error

    async def run(self, arguments: Raw, context: Context) -> CallToolResult | InputRequiredResult:
        return await self.call(self.bind(arguments), context)

    def to_wire(self) -> wire.Tool:
        """The tool as lists show it."""
        return wire.Tool(
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema=self.input_schema,
            output_schema=self.output_schema,
            annotations=self.annotations,
            icons=self.icons,
            meta=self.listed_meta(),
        )
