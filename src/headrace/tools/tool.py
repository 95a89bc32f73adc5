"""A tool: a function with a schema for its arguments and one for its result."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from types import EllipsisType
from typing import Any, ClassVar, TypeVar, cast, overload

from msgspec import Raw

from ..call import Call
from ..components.checks import AuthCheck
from ..components.component import Component, struct
from ..components.content import Output, explicit, json_bytes, tool_result
from ..components.context import Context
from ..components.dependencies import current, get_context
from ..components.docstrings import documented
from ..components.json_schema import JsonSchema
from ..components.signature import Function, function_name
from ..components.standalone import Pending, decorated, mark
from ..components.visibility import Kind
from ..exceptions import RateLimitError, ToolError, ValidationError
from ..protocol import types as wire
from ..protocol.mirrored import mirrored_arguments
from ..protocol.types import CallToolResult, Icon, InputRequiredResult, ToolAnnotations
from ..state.rates import Buckets, RateLimit, caller_of
from ..types import ToolResult

__all__ = ["FunctionTool", "Tool", "ToolResult", "tool"]

F = TypeVar("F", bound=Callable[..., Any])


class Tool(Component):
    """One tool; a subclass says in `run` what it does, and in `parameters` what it takes (a JSON schema).

    The router takes three steps, to tell whose fault an error is: `bind` (arguments), `call`, `result`.
    """

    kind: ClassVar[Kind] = "tool"

    def __init__(
        self,
        name: str,
        *,
        parameters: dict[str, Any] | None = None,
        output: Output | None = None,
        output_schema: dict[str, Any] | None = None,
        annotations: ToolAnnotations | dict[str, Any] | None = None,
        timeout: float | None = None,
        rate_limit: RateLimit | str | None = None,
        **component: Any,
    ) -> None:
        """`timeout` is in seconds. `rate_limit`: calls of one caller, as in ``10/s`` or ``600/m:50`` (a burst of 50);
        each round of a call that asks its client is one.

        Raises ValueError for a schema or a rate that is none.
        """
        super().__init__(name, **component)
        self.annotations = struct(annotations, ToolAnnotations)
        self.timeout = timeout
        self.buckets = Buckets.of(rate_limit)
        self.guarded = bool(self.checks) or self.buckets is not None
        self.parameters: dict[str, Any] = {"type": "object", "properties": {}} if parameters is None else parameters
        self.mirrored = mirrored_arguments(self.parameters, name)
        self.output = Output.from_schema(output_schema, f"Tool {name!r}, output_schema") if output_schema else output
        self._checked: JsonSchema | None = None
        if type(self).bind is Tool.bind:
            self._check_with(self.parameters)

    @staticmethod
    def from_function(
        fn: Callable[..., Any],
        name: str | None = None,
        *,
        title: str | None = None,
        description: str | None = None,
        icons: Iterable[Icon | dict[str, Any]] | None = None,
        tags: set[str] | None = None,
        annotations: ToolAnnotations | dict[str, Any] | None = None,
        input_schema: dict[str, Any] | None = None,
        output_schema: dict[str, Any] | EllipsisType | None = ...,
        exclude_args: Collection[str] | None = None,
        meta: dict[str, Any] | None = None,
        enabled: bool = True,
        version: str | float | None = None,
        auth: AuthCheck | Sequence[AuthCheck] | None = None,
        timeout: float | None = None,
        rate_limit: RateLimit | str | None = None,
        strict: bool | None = None,
        run_in_thread: bool = True,
    ) -> FunctionTool:
        """A tool from a function; what is not given comes from its name, docstring and annotations.

        `output_schema` None means no structured content, ``...`` the one of the return annotation. `exclude_args`:
        parameters with defaults that clients neither see nor give. Raises InvalidSignature or ValueError for what
        can't be a tool.
        """
        name = name or function_name(fn, "tool")
        texts = documented(fn)
        wrapped = Function(
            fn,
            f"tool {name!r}",
            run_in_thread=run_in_thread,
            by_name=input_schema is not None,
            hidden=exclude_args or (),
            texts=texts.parameters,
        )
        by_annotation = isinstance(output_schema, EllipsisType)
        return FunctionTool(
            name,
            wrapped,
            input_schema=input_schema,
            output=Output.from_annotation(wrapped.returns) if by_annotation else None,
            output_schema=None if isinstance(output_schema, EllipsisType) else output_schema,
            annotations=annotations,
            timeout=timeout,
            rate_limit=rate_limit,
            strict=strict,
            title=title,
            description=texts.description if description is None else description,
            icons=icons,
            tags=tags,
            meta=meta,
            enabled=enabled,
            version=version,
            auth=auth,
        )

    @property
    def output_schema(self) -> dict[str, Any] | None:
        return None if self.output is None else self.output.schema

    async def run(self, arguments: dict[str, Any]) -> Any:
        """What the tool does: any value that a function may return, or a ToolResult."""
        raise NotImplementedError(f"{type(self).__name__} has to define run()")

    def bind(self, arguments: Raw) -> dict[str, Any]:
        """Arguments from raw JSON. Raises ValidationError, one line per field."""
        assert self._checked is not None
        return self._checked.decode(arguments, f"Invalid arguments for tool {self.name!r}")

    def charge(self, call: Call) -> None:
        """Count a call. Raises RateLimitError for a caller that calls too often."""
        if self.buckets is not None:
            wait = self.buckets.take(caller_of(call.principal and call.principal.id, call.scope))
            if wait:
                raise RateLimitError(wait)

    def call(self, arguments: dict[str, Any], context: Context) -> Awaitable[Any]:
        """What the tool returns. Raises what it raises, and ToolError when it takes longer than `timeout`."""
        return self._answer(arguments, context) if self.timeout is None else self._limited(arguments, context)

    def result(self, value: Any) -> CallToolResult | InputRequiredResult:
        """What the tool returned, for the client. Raises ToolError for what does not fit the output schema."""
        try:
            return tool_result(value, self.output)
        except ValidationError as error:
            raise ToolError(f"Tool {self.name!r}: {error}") from error

    def to_wire(self) -> wire.Tool:
        """The tool as lists show it."""
        return wire.Tool(
            name=self.name,
            # Some clients drop a tool without a title instead of showing its name.
            title=self.title or (self.annotations and self.annotations.title) or _title(self.name),
            description=self.description,
            input_schema=self.parameters,
            output_schema=self.output_schema,
            annotations=self.annotations,
            icons=self.icons,
            meta=self.listed_meta(),
        )

    to_mcp_tool = to_wire

    def _answer(self, arguments: dict[str, Any], context: Context) -> Awaitable[Any]:
        return self.run(arguments)

    async def _limited(self, arguments: dict[str, Any], context: Context) -> Any:
        limit = asyncio.timeout(self.timeout)
        try:
            async with limit:
                return await self._answer(arguments, context)
        except TimeoutError:
            if not limit.expired():
                raise
            raise ToolError(f"Tool {self.name!r} timed out after {self.timeout:g} seconds") from None

    def _check_with(self, schema: dict[str, Any]) -> None:
        self._checked = JsonSchema(schema, f"Tool {self.name!r}, input schema")


class FunctionTool(Tool):
    """A tool that is a function; `fn` is the function."""

    def __init__(
        self,
        name: str,
        function: Function,
        *,
        input_schema: dict[str, Any] | None = None,
        strict: bool | None = None,
        **tool: Any,
    ) -> None:
        """`input_schema` replaces the one of the function's signature."""
        super().__init__(name, parameters=function.schema if input_schema is None else input_schema, **tool)
        self.function = function
        self.fn = function.function
        self.strict = strict
        if input_schema is not None:
            self._check_with(input_schema)

    def bind(self, arguments: Raw) -> dict[str, Any]:
        if self._checked is not None:
            given = super().bind(arguments)
            self.function.check_names(given)
            return given
        return self.function.bind(arguments, self.strict or None)  # False would overrule Field(strict=True)

    async def run(self, arguments: dict[str, Any]) -> ToolResult:
        """Call the tool yourself. Raises ValidationError, and what the function raises."""
        context = get_context() if self.function.wants_context else cast(Context, current.get(None))
        result = self.result(await self.call(self.bind(Raw(json_bytes(arguments))), context))
        if isinstance(result, InputRequiredResult):
            raise ToolError(f"Tool {self.name!r} asks the client for input, which only a call through a server can")
        return explicit(result)

    def _answer(self, arguments: dict[str, Any], context: Context) -> Awaitable[Any]:
        return self.function.call(arguments, context)


def _title(name: str) -> str:
    return name.replace("_", " ").replace("-", " ").title()


@overload
def tool(name_or_fn: F, /) -> F: ...


@overload
def tool(name_or_fn: str | None = None, /, **options: Any) -> Callable[[F], F]: ...


def tool(name_or_fn: Any = None, /, **options: Any) -> Any:
    """Mark a function as a tool that ``mcp.add_tool(function)`` registers later; options as for ``@mcp.tool``."""

    def register(function: F, **given: Any) -> F:
        return mark(function, Pending("tool", lambda target: Tool.from_function(target, **given)))

    return decorated(name_or_fn, options, register)
