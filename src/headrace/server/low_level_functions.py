"""Simple functions as handlers of a `LowLevelServer`: they get what they need, and return what they have."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, cast

import msgspec

from ..components.component import struct
from ..components.content import block, tool_result
from ..components.context import Context
from ..components.json_schema import JsonSchema
from ..components.sdk import from_sdk
from ..exceptions import InvalidParams, McpError, ToolError, UnsupportedByClient, ValidationError
from ..protocol.jsonrpc import encode
from ..protocol.subscriptions import check_uris
from ..protocol.types import (
    CallToolRequestParams,
    CallToolResult,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    EmptyResult,
    GetPromptRequestParams,
    GetPromptResult,
    InputRequiredResult,
    ReadResourceRequestParams,
    Result,
    ServerCapabilities,
    SubscriptionFilter,
    TextContent,
    Tool,
)
from ..redaction import log_failure
from ..resources.results import read_result

__all__ = [
    "RequestHandler",
    "ToolFunction",
    "called",
    "completing",
    "granted",
    "listing",
    "prompting",
    "reading",
    "telling",
]

logger = logging.getLogger(__name__)

RequestHandler = Callable[[Context, Any], Awaitable[Any]]
"""(context, params) -> result; the params are the struct of the method."""

_MAX_COMPILED = 1000
"""Schemas that are kept compiled."""


async def called(function: Callable[..., Any], *arguments: Any) -> Any:
    value = function(*arguments)
    return await value if inspect.isawaitable(value) else value


def listing(
    function: Callable[..., Any], kind: type[Result], member: str, item: type[msgspec.Struct]
) -> RequestHandler:
    """Out of ``() -> items`` or ``(params) -> result``."""
    takes_params = bool(inspect.signature(function).parameters)

    async def handler(context: Context, params: Any) -> Any:
        value: Any = await called(function, *([params] if takes_params else []))
        if isinstance(value, Result | dict) or hasattr(value, "model_dump"):
            return cast("Any", value)
        items: dict[str, Any] = {member: [struct(each, item) for each in value]}
        return kind(**items)

    return handler


def reading(function: Callable[..., Any]) -> RequestHandler:
    """Out of ``(uri) -> contents``."""

    async def handler(context: Context, params: ReadResourceRequestParams) -> Any:
        value: Any = from_sdk(await called(function, params.uri))
        if isinstance(value, str | bytes | dict | Result):
            mime_type = "text/plain" if isinstance(value, str) else None
            return cast("Any", value if isinstance(value, Result) else read_result(value, params.uri, mime_type))
        return read_result([from_sdk(each) for each in value], params.uri, None)

    return handler


def prompting(function: Callable[..., Any]) -> RequestHandler:
    """Out of ``(name, arguments) -> GetPromptResult``."""

    async def handler(context: Context, params: GetPromptRequestParams) -> Any:
        value = await called(function, params.name, params.arguments)
        return value if isinstance(value, Result) else struct(value, GetPromptResult)

    return handler


def completing(function: Callable[..., Any]) -> RequestHandler:
    """Out of ``(ref, argument, context) -> values``."""

    async def handler(context: Context, params: CompleteRequestParams) -> Any:
        value: Any = await called(function, params.ref, params.argument, params.context)
        if value is None or isinstance(value, list):
            value = Completion(values=cast("list[str]", value or []))
        return (
            value
            if isinstance(value, Result)
            else CompleteResult(completion=cast(Completion, struct(value, Completion)))
        )

    return handler


def telling(function: Callable[..., Any], member: str) -> RequestHandler:
    """Out of a function that gets one member of the params and has nothing to say."""

    async def handler(context: Context, params: Any) -> EmptyResult:
        await called(function, getattr(params, member))
        return EmptyResult()

    return handler


def granted(wanted: SubscriptionFilter, has: ServerCapabilities) -> SubscriptionFilter:
    """Of the notices that a listener wants those that the server sends. Raises InvalidParams for too many resources."""
    uris = list(dict.fromkeys(wanted.resource_subscriptions or ())) if has.resources else []
    check_uris(uris)
    return SubscriptionFilter(
        tools_list_changed=(wanted.tools_list_changed and has.tools is not None) or None,
        prompts_list_changed=(wanted.prompts_list_changed and has.prompts is not None) or None,
        resources_list_changed=(wanted.resources_list_changed and has.resources is not None) or None,
        resource_subscriptions=uris or None,
    )


class ToolFunction:
    """A handler out of ``(name, arguments) ->`` content, structured content, both, or a CallToolResult.

    `find` gives the tool as it is listed, None where it is not; `masked` says whether failures tell no details.
    """

    def __init__(
        self,
        function: Callable[[str, dict[str, Any]], Any],
        find: Callable[[str, Context], Awaitable[Tool | None]],
        masked: Callable[[], bool],
        validate_input: bool,
    ) -> None:
        self._function = function
        self._find = find
        self._masked = masked
        self._validate_input = validate_input
        self._compiled: dict[tuple[str, str], JsonSchema] = {}

    async def __call__(self, context: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
        arguments = params.arguments or {}
        tool = await self._find(params.name, context)
        if tool is not None and self._validate_input:
            try:
                self._schema(tool, "arguments", tool.input_schema).check(
                    arguments, f"Invalid arguments for {tool.name!r}"
                )
            except ValidationError as error:
                if context.call.era.argument_errors_in_result:
                    return _failed(str(error))
                raise InvalidParams(str(error)) from None
        try:
            result = _tool_result(await called(self._function, params.name, arguments))
            if tool is not None and tool.output_schema is not None and isinstance(result, CallToolResult):
                self._check_output(tool, tool.output_schema, result)
            return result
        except (McpError, UnsupportedByClient):
            raise
        except ToolError as error:
            return _failed(str(error))
        except Exception as error:
            log_failure(logger, error, context.call.secrets, "Error calling tool %r", params.name)
            return _failed(f"Error calling tool {params.name!r}" + ("" if self._masked() else f": {error}"))

    def _check_output(self, tool: Tool, schema: dict[str, Any], result: CallToolResult) -> None:
        if result.is_error:
            return
        if result.structured_content is msgspec.UNSET:
            raise ValidationError("it has an output schema, but returned no structured content")
        value = msgspec.json.decode(encode(result.structured_content))
        self._schema(tool, "output", schema).check(value, "the structured content does not fit the output schema")

    def _schema(self, tool: Tool, which: str, schema: dict[str, Any]) -> JsonSchema:
        known = self._compiled.get((tool.name, which))
        if known is None or known.schema != schema:
            if len(self._compiled) >= _MAX_COMPILED:
                self._compiled.clear()
            known = self._compiled[tool.name, which] = JsonSchema(schema, f"the {which} of tool {tool.name!r}")
        return known


def _tool_result(value: Any) -> CallToolResult | InputRequiredResult:
    value = from_sdk(value)
    if isinstance(value, CallToolResult | InputRequiredResult):
        return value
    if isinstance(value, tuple) and len(cast("tuple[Any, ...]", value)) == 2:
        content, structured = cast("tuple[Any, Any]", value)
        if isinstance(structured, dict):
            return CallToolResult(content=[block(each) for each in _items(content)], structured_content=structured)
    if isinstance(value, dict | str | bytes) or value is None:
        return cast(CallToolResult, tool_result(value, None))
    return CallToolResult(content=[block(each) for each in _items(value)])


def _items(value: Any) -> Iterable[Any]:
    if isinstance(value, str | bytes | dict) or not isinstance(value, Iterable):
        return [cast("Any", value)]
    return [from_sdk(each) for each in cast("Iterable[Any]", value)]


def _failed(text: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=text)], is_error=True)
