"""Call -> component -> result: the Handler that every transport serves.

A table of methods per revision, one context per call, and lists that are encoded once and kept until something
registered changes.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec
from msgspec.structs import replace

from ..call import Answer, Call
from ..components.context import Context, severity
from ..components.dependencies import current
from ..components.versions import VersionSpec
from ..exceptions import (
    FastMCPError,
    InvalidParams,
    McpError,
    MethodNotFound,
    NotFoundError,
    PromptError,
    ResourceError,
    ToolError,
    UnsupportedByClient,
    ValidationError,
)
from ..protocol.methods import METHODS
from ..protocol.subscriptions import check_uris
from ..protocol.types import (
    CallToolResult,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    DiscoverResult,
    EmptyResult,
    InitializeResult,
    InputRequiredResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PromptReference,
    ReadResourceResult,
    ServerCapabilities,
    SetLevelRequestParams,
    SubscriptionFilter,
    SubscriptionsListenRequestParams,
    TextContent,
)
from ..protocol.versions import ERAS, MODERN_VERSIONS, Era
from ..redaction import log_failure, without_query
from ..tools.tool import Tool
from .extensions import CallNext, ServerExtension, answer_extension
from .lists import Lists

if TYPE_CHECKING:
    from .server import FastMCP

__all__ = ["MAX_COMPLETIONS", "Router"]

logger = logging.getLogger(__name__)

MAX_COMPLETIONS = 100
"""Values in one answer (server, completion)."""

T = TypeVar("T")
E = TypeVar("E", bound=Exception)
Method = Callable[[Call, Context], Awaitable[Answer]]

_ANSWERS = (McpError, UnsupportedByClient)
"""Exceptions of users' functions that are answers of the protocol itself."""

_decode_level = msgspec.json.Decoder(SetLevelRequestParams).decode
_decode_listen = msgspec.json.Decoder(SubscriptionsListenRequestParams).decode
_decode_complete = msgspec.json.Decoder(CompleteRequestParams).decode


class Router:
    """Answers every method a server has. `server` holds what is registered."""

    def __init__(self, server: FastMCP) -> None:
        self._server = server
        self._lists = Lists(server)
        self._interceptors: list[ServerExtension] = []
        methods: dict[str, Method] = {
            "initialize": self._initialize,
            "server/discover": self._discover,
            "ping": self._ping,
            "tools/list": self._list_tools,
            "tools/call": self._call_tool,
            "resources/list": self._list_resources,
            "resources/templates/list": self._list_templates,
            "resources/read": self._read_resource,
            "resources/subscribe": self._subscribe,
            "resources/unsubscribe": self._unsubscribe,
            "prompts/list": self._list_prompts,
            "prompts/get": self._get_prompt,
            "completion/complete": self._complete,
            "logging/setLevel": self._set_level,
            "subscriptions/listen": self._listen,
        }
        self._methods: dict[Era, dict[str, Method]] = {
            era: {name: method for name, method in methods.items() if METHODS[name].served(era)}
            for era in ERAS.values()
        }

    def forget(self) -> None:
        """Something registered changed: lists are made anew."""
        self._lists.forget()
        # The last is wrapped around the others, and is the first that was added.
        self._interceptors = [each for each in reversed(self._server.extensions) if each.intercepts]

    async def serve(self, call: Call) -> Answer:
        method = self._methods[call.peer.era].get(call.method) or self._extension(call)
        if not self._server.shared_lifespan.running:
            raise McpError(
                f"The lifespan of {self._server.name!r} is not running: the app around this one has to pass it on, "
                "as in FastAPI(lifespan=mcp_app.lifespan)"
            )
        context = Context(call, self._server)
        token = current.set(context)
        try:
            return await method(call, context)
        finally:
            context.finish()
            current.reset(token)

    def _extension(self, call: Call) -> Method:
        """Raises MethodNotFound for a method that neither the revision nor an extension has."""
        binding = self._server.extension_methods.get(call.method)
        versions = None if binding is None else binding.protocol_versions
        if binding is None or (versions is not None and call.era.version not in versions):
            raise MethodNotFound(f"Method not found: {call.method}")
        return partial(answer_extension, binding)

    # Who we are

    async def _initialize(self, call: Call, context: Context) -> Answer:
        def make() -> InitializeResult:
            return InitializeResult(
                protocol_version=call.era.version,
                capabilities=self.capabilities(),
                server_info=self._server.info,
                instructions=self._server.instructions,
            )

        return self._lists.kept(call, self._server.instructions, make)

    async def _discover(self, call: Call, context: Context) -> Answer:
        def make() -> DiscoverResult:
            return DiscoverResult(
                supported_versions=MODERN_VERSIONS,
                capabilities=self.capabilities(),
                instructions=self._server.instructions,
                ttl_ms=self._server.cache_ttl_ms,
                cache_scope=self._server.cache_scope,
            )

        return self._lists.kept(call, self._server.instructions, make)

    async def _ping(self, call: Call, context: Context) -> Answer:
        return EmptyResult()

    def capabilities(self) -> ServerCapabilities:
        """What clients that ask are told."""
        return ServerCapabilities(
            tools={"listChanged": True},
            resources={"subscribe": True, "listChanged": True},
            prompts={"listChanged": True},
            logging={},
            completions={} if self._server.completer is not None else None,
            experimental=self._server.experimental_capabilities,
            extensions={each.identifier: each.settings() for each in self._server.extensions} or None,
        )

    # Lists

    async def _list_tools(self, call: Call, context: Context) -> Answer:
        return await self._lists.page(call, context, self._server.tools, ListToolsResult, "tools")

    async def _list_resources(self, call: Call, context: Context) -> Answer:
        return await self._lists.page(call, context, self._server.resources, ListResourcesResult, "resources")

    async def _list_templates(self, call: Call, context: Context) -> Answer:
        return await self._lists.page(
            call, context, self._server.templates, ListResourceTemplatesResult, "resource_templates"
        )

    async def _list_prompts(self, call: Call, context: Context) -> Answer:
        return await self._lists.page(call, context, self._server.prompts, ListPromptsResult, "prompts")

    # Tools

    async def _call_tool(self, call: Call, context: Context) -> Answer:
        params = call.params
        name = _named(params.name, "name")
        rules = await context.rules() if call.peer.era.handshake else self._server.rules
        tool = self._server.tools.find(name, rules, _version(call))
        if tool is None:
            raise NotFoundError(f"Unknown tool: {name!r}")
        if tool.guarded:
            if tool.checks:
                tool = await self._server.tools.permitted(name, call, rules, _version(call))
            tool.charge(call)
        try:
            arguments = tool.bind(params.arguments)
        except ValidationError as error:
            if call.era.argument_errors_in_result:
                return _failed(str(error))
            raise InvalidParams(str(error)) from None
        except Exception as error:  # a validator of the user's own
            return self._tool_error(call, tool.name, error)
        try:
            if not self._interceptors:
                return tool.result(await tool.call(arguments, context))
            run: CallNext = partial(_run_tool, tool, arguments, context)
            for extension in self._interceptors:
                run = partial(extension.intercept_tool_call, params, context, run)
            answer: Any = await run()
            if not isinstance(answer, CallToolResult | InputRequiredResult):
                raise TypeError("intercept_tool_call returned no result: it has to return that of call_next()")
            return answer
        except Exception as error:
            return self._tool_error(call, tool.name, error)

    def _tool_error(self, call: Call, name: str, error: Exception) -> CallToolResult:
        """What the model reads. Raises the error where it is an answer of the protocol itself."""
        answer = _inside(error, _ANSWERS)
        if answer is not None:
            raise answer
        meant = _inside(error, (ToolError,))
        if meant is not None:
            return _failed(str(meant))
        log_failure(logger, error, call.secrets, "Error calling tool %r", name)
        return _failed(self._masked(f"Error calling tool {name!r}", error))

    def _masked(self, what: str, error: Exception) -> str:
        return what if self._server.masks else f"{what}: {error}"

    # Resources

    async def _read_resource(self, call: Call, context: Context) -> Answer:
        uri = _named(call.params.uri, "uri")
        answer = self._server.resource_manager.answer(uri, context, await context.rules(), _version(call))
        result = await self._translated(call, answer, ResourceError, "Error reading resource", uri)
        if isinstance(result, ReadResourceResult) and result.ttl_ms is None:
            scope = self._server.cache_scope if call.principal is None else "private"
            return replace(result, ttl_ms=self._server.cache_ttl_ms, cache_scope=scope)
        return result

    async def _subscribe(self, call: Call, context: Context) -> Answer:
        uri = _named(call.params.uri, "uri")
        await self._server.resource_manager.check_watched(uri, context, await context.rules())
        await call.peer.subscribe(uri, True)
        return EmptyResult()

    async def _unsubscribe(self, call: Call, context: Context) -> Answer:
        await call.peer.subscribe(_named(call.params.uri, "uri"), False)
        return EmptyResult()

    # Prompts

    async def _get_prompt(self, call: Call, context: Context) -> Answer:
        name = _named(call.params.name, "name")
        prompt = await self._server.prompts.permitted(name, call, await context.rules(), _version(call))
        try:
            arguments = prompt.bind(call.params.arguments)
        except ValidationError as error:
            raise InvalidParams(str(error)) from None
        return await self._translated(
            call, prompt.answer(arguments, context), PromptError, "Error rendering prompt", name
        )

    async def _translated(self, call: Call, answer: Awaitable[T], kind: type[FastMCPError], what: str, name: str) -> T:
        """The answer; an exception of the user's function becomes `kind`, logged and perhaps masked."""
        try:
            return await answer
        except Exception as error:
            meant = _inside(error, (*_ANSWERS, kind, NotFoundError))
            if meant is not None:
                raise meant from None
            log_failure(logger, error, call.secrets, "%s %r", what, without_query(name))
            raise kind(self._masked(f"{what} {name!r}", error)) from error

    # The rest

    async def _complete(self, call: Call, context: Context) -> Answer:
        completer = self._server.completer
        if completer is None:
            raise MethodNotFound("Method not found: completion/complete (this server completes nothing)")
        params = _decoded(_decode_complete, call)
        rules = await context.rules()
        if isinstance(params.ref, PromptReference):
            await self._server.prompts.permitted(params.ref.name, call, rules)
        else:
            await self._server.resource_manager.check_named(params.ref.uri, context, rules)
        value = completer(params.ref, params.argument, params.context)
        return CompleteResult(completion=_completion(await value if inspect.isawaitable(value) else value))

    async def _set_level(self, call: Call, context: Context) -> Answer:
        level = _decoded(_decode_level, call).level
        if severity(level) is None:
            raise InvalidParams(f"Unknown log level: {level}")
        await call.peer.set_log_level(level)
        return EmptyResult()

    async def _listen(self, call: Call, context: Context) -> Answer:
        wanted = _decoded(_decode_listen, call).notifications
        uris = list(dict.fromkeys(wanted.resource_subscriptions or ()))
        check_uris(uris)
        uris = await self._server.resource_manager.watched(uris, context, await context.rules())
        return SubscriptionFilter(
            tools_list_changed=wanted.tools_list_changed or None,
            prompts_list_changed=wanted.prompts_list_changed or None,
            resources_list_changed=wanted.resources_list_changed or None,
            resource_subscriptions=uris or None,
        )


async def _run_tool(tool: Tool, arguments: dict[str, Any], context: Context) -> CallToolResult | InputRequiredResult:
    return tool.result(await tool.call(arguments, context))


def _version(call: Call) -> VersionSpec | None:
    """The version of a component that the client asks for, as FastMCP's clients do: in ``_meta``."""
    meta = call.params.meta
    if meta is None or meta.fastmcp is None:
        return None
    version = cast("dict[str, Any]", meta.fastmcp).get("version") if isinstance(meta.fastmcp, dict) else None
    return VersionSpec(eq=version) if isinstance(version, str) else None


def _named(value: str | None, member: str) -> str:
    if value is None:
        raise InvalidParams(f"Invalid params: {member} is missing")
    return value


def _decoded(decode: Callable[[Any], T], call: Call) -> T:
    try:
        return decode(call.raw)
    except msgspec.ValidationError as error:
        raise InvalidParams(f"Invalid params: {error}") from None


def _failed(text: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=text)], is_error=True)


def _inside(error: BaseException, kinds: tuple[type[E], ...]) -> E | None:
    """The error if it is of these kinds, or the first such in the group that a TaskGroup raised."""
    if isinstance(error, kinds):
        return error
    if isinstance(error, BaseExceptionGroup):
        for part in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            found = _inside(part, kinds)
            if found is not None:
                return found
    return None


def _completion(value: Any) -> Completion:
    """What a completion function returned; more values than an answer holds are counted, not sent."""
    if isinstance(value, Completion):
        values, total, has_more = value.values, value.total, value.has_more
    else:
        values, total, has_more = [str(item) for item in value or ()], None, None
    if len(values) > MAX_COMPLETIONS:
        total = total if total is not None else len(values)
        values, has_more = values[:MAX_COMPLETIONS], True
    return Completion(
        values=values,
        total=len(values) if total is None and not has_more else total,
        has_more=bool(has_more),
    )
