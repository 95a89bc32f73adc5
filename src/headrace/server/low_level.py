"""`LowLevelServer`: a server out of handlers that you bring yourself, one per method.

Handlers are given as the official SDK's servers take them: ``on_*`` arguments (and `add_request_handler`) get the
context and the params and return the whole result; the decorators (``@server.call_tool()``) wrap simpler functions,
which get what they need and return what they have. A result is a struct of `headrace.protocol.types`, a dict with the
names of the wire, or a model of the official SDK.

The server is a `call.Served`: ``Client(server)``, `http_app` and `run` serve it in every revision. It answers
``initialize``, ``server/discover``, ``ping`` and ``subscriptions/listen`` itself; its capabilities are those of the
methods that have a handler.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec
from msgspec.structs import replace

from ..call import Answer, Call, Encoded
from ..components.component import struct
from ..components.context import Context, RequestContext
from ..components.dependencies import current, get_context
from ..exceptions import InvalidParams, MethodNotFound
from ..protocol.methods import METHODS
from ..protocol.mirrored import Mirrored, mirrored_arguments
from ..protocol.types import (
    CacheableResult,
    DiscoverResult,
    EmptyResult,
    Icon,
    InitializeResult,
    InputRequiredResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    Prompt,
    Resource,
    ResourceTemplate,
    Result,
    ServerCapabilities,
    Tool,
)
from ..protocol.versions import MODERN_VERSIONS
from ..types import ResourceContent as ReadResourceContents
from .extensions import MethodBinding, answer_extension
from .lifespan import Lifespan
from .low_level_functions import (
    RequestHandler,
    ToolFunction,
    called,
    completing,
    granted,
    listing,
    prompting,
    reading,
    telling,
)
from .servable import Servable

if TYPE_CHECKING:
    from .auth import AuthProvider

__all__ = ["LowLevelServer", "ReadResourceContents", "RequestHandler", "Server"]

logger = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])

_ON = {
    "on_list_tools": "tools/list",
    "on_call_tool": "tools/call",
    "on_list_resources": "resources/list",
    "on_list_resource_templates": "resources/templates/list",
    "on_read_resource": "resources/read",
    "on_subscribe_resource": "resources/subscribe",
    "on_unsubscribe_resource": "resources/unsubscribe",
    "on_list_prompts": "prompts/list",
    "on_get_prompt": "prompts/get",
    "on_completion": "completion/complete",
    "on_set_logging_level": "logging/setLevel",
}
_NOTHING: Mirrored = {}


class LowLevelServer(Servable):
    """`handlers` are ``on_list_tools``, ``on_call_tool`` and so on, one per method: see `RequestHandler`."""

    def __init__(
        self,
        name: str,
        version: str | None = None,
        instructions: str | None = None,
        website_url: str | None = None,
        icons: Iterable[Icon | dict[str, Any]] | None = None,
        lifespan: Lifespan | None = None,
        *,
        auth: AuthProvider | None = None,
        mask_error_details: bool | None = None,
        **handlers: RequestHandler,
    ) -> None:
        """`mask_error_details`: don't tell what a function of `call_tool` raised; None: as the settings say."""
        super().__init__(
            name,
            version or "0",
            instructions,
            website_url=website_url,
            icons=icons,
            lifespan=lifespan,
            auth=auth,
            mask_error_details=mask_error_details,
        )
        self._handlers: dict[str, RequestHandler] = {}
        self._tools: dict[str, Tool] = {}
        self._mirrored: dict[str, Mirrored] = {}
        self._own: dict[str, Callable[[Call, Context], Awaitable[Answer]]] = {
            "initialize": self._initialize,
            "server/discover": self._discover,
            "ping": self._ping,
            "resources/subscribe": self._subscribe,
            "resources/unsubscribe": self._subscribe,
            "logging/setLevel": self._set_level,
            "subscriptions/listen": self._listen,
        }
        for argument, handler in handlers.items():
            if argument not in _ON:
                raise TypeError(f"There is no {argument}: handlers are {', '.join(_ON)}")
            self._handlers[_ON[argument]] = handler

    def __repr__(self) -> str:
        return f"LowLevelServer({self.name!r})"

    # Handlers

    def add_request_handler(self, method: str, params_type: Any, handler: RequestHandler) -> None:
        """Answer a method, in place of the handler it had; one that is not the specification's is an extension's.

        `params_type` is for those: a struct, or anything pydantic validates; None is a dict. Raises ValueError for a
        method that a server does not answer, or answers itself.
        """
        if method in _ON.values():
            self._handlers[method] = handler
        elif method in METHODS:
            raise ValueError(f"{method} takes no handler: it is answered by the server itself, or goes to the client")
        else:
            self.extension_methods[method] = MethodBinding(method, params_type or dict[str, Any], handler)

    def list_tools(self) -> Callable[[F], F]:
        """``() -> [Tool, ...]``, or ``(params) -> ListToolsResult``; the other lists alike."""
        return self._register("tools/list", lambda f: listing(f, ListToolsResult, "tools", Tool))

    def list_resources(self) -> Callable[[F], F]:
        return self._register("resources/list", lambda f: listing(f, ListResourcesResult, "resources", Resource))

    def list_resource_templates(self) -> Callable[[F], F]:
        kind, item = ListResourceTemplatesResult, ResourceTemplate
        return self._register("resources/templates/list", lambda f: listing(f, kind, "resource_templates", item))

    def list_prompts(self) -> Callable[[F], F]:
        return self._register("prompts/list", lambda f: listing(f, ListPromptsResult, "prompts", Prompt))

    def call_tool(self, *, validate_input: bool = True) -> Callable[[F], F]:
        """``(name, arguments) ->`` content blocks, a dict (structured content), both as a tuple, or a CallToolResult.

        Arguments and structured content are checked against the schemas of the tool as it is listed.
        """

        return self._register("tools/call", lambda f: ToolFunction(f, self._listed, lambda: self.masks, validate_input))

    def read_resource(self) -> Callable[[F], F]:
        """``(uri) ->`` text, bytes, a list of `ReadResourceContents`, or a ReadResourceResult. The URI is a str."""
        return self._register("resources/read", reading)

    def get_prompt(self) -> Callable[[F], F]:
        """``(name, arguments) -> GetPromptResult``."""
        return self._register("prompts/get", prompting)

    def completion(self) -> Callable[[F], F]:
        """``(ref, argument, context) -> Completion``, a list of values, or None."""
        return self._register("completion/complete", completing)

    def subscribe_resource(self) -> Callable[[F], F]:
        """``(uri)``, called when a session subscribes; the subscription itself is kept for you."""
        return self._register("resources/subscribe", lambda f: telling(f, "uri"))

    def unsubscribe_resource(self) -> Callable[[F], F]:
        return self._register("resources/unsubscribe", lambda f: telling(f, "uri"))

    def set_logging_level(self) -> Callable[[F], F]:
        """``(level)``, called when a session sets the level, which `Context.log` heeds by itself."""
        return self._register("logging/setLevel", lambda f: telling(f, "level"))

    def _register(self, method: str, adapt: Callable[[Callable[..., Any]], RequestHandler]) -> Callable[[F], F]:
        def register(function: F) -> F:
            self._handlers[method] = adapt(function)
            return function

        return register

    # What transports need (`call.Served`), and what a context needs of its server

    async def serve(self, call: Call) -> Answer:
        """Answer a call, or raise what `protocol.errors` turns into an error."""
        context = Context(call, cast("Any", self))
        token = current.set(context)
        try:
            own, extension = self._own.get(call.method), self.extension_methods.get(call.method)
            if own is not None:
                return await own(call, context)
            if extension is not None:
                return await answer_extension(extension, call, context)
            result = await self._handled(call.method, _params(call), context)
            if isinstance(result, ListToolsResult):
                self._learn(result.tools, more=call.params.cursor is not None)
            if isinstance(result, CacheableResult) and result.ttl_ms is None:
                return replace(result, ttl_ms=0, cache_scope="private")  # 2026-07-28 demands both
            return result
        finally:
            context.finish()
            current.reset(token)

    def mirrored(self, tool: str) -> Mirrored:
        """Of a tool that was listed: lower-case header -> (path in the arguments, type)."""
        return self._mirrored.get(tool, _NOTHING)

    @property
    def lifespan_value(self) -> Any:
        """What the lifespan yielded; an empty dict without one."""
        return self.shared_lifespan.value

    @property
    def request_context(self) -> RequestContext:
        """The running call: ``server.request_context.lifespan_context``. Raises RuntimeError outside of one."""
        return get_context().request_context

    def get_capabilities(self) -> ServerCapabilities:
        """What the handlers amount to."""
        groups = {METHODS[method].capability for method in self._handlers}
        return ServerCapabilities(
            tools={"listChanged": True} if "tools" in groups else None,
            resources={"subscribe": True, "listChanged": True} if "resources" in groups else None,
            prompts={"listChanged": True} if "prompts" in groups else None,
            completions={} if "completions" in groups else None,
            logging={} if "logging" in groups else None,
        )

    # Answers

    async def _handled(self, method: str, params: Any, context: Context) -> Any:
        """What the handler returns, as a struct. Raises MethodNotFound without a handler, ValueError for no result."""
        handler = self._handlers.get(method)
        if handler is None:
            raise MethodNotFound(f"Method not found: {method} (this server has no handler for it)")
        value = await called(handler, context, params)
        if isinstance(value, Result | Encoded):
            return value
        kind = METHODS[method].result
        assert kind is not None
        if isinstance(value, dict) and cast("dict[str, Any]", value).get("resultType") == "input_required":
            kind = InputRequiredResult
        return struct({} if value is None else value, kind)

    def _learn(self, tools: list[Tool], *, more: bool = False) -> None:
        """Keep the tools that were listed last; `more`: they go on from an earlier page."""
        if not more:
            self._tools, self._mirrored = {}, {}
        for tool in tools:
            self._tools[tool.name] = tool
            try:
                self._mirrored[tool.name] = mirrored_arguments(tool.input_schema, tool.name)
            except ValueError as error:
                logger.warning("%s: its arguments are not looked for in headers", error)

    async def _listed(self, name: str, context: Context) -> Tool | None:
        """The tool as it is listed; asks the handler of the list for one that was not listed yet."""
        if name not in self._tools and "tools/list" in self._handlers:
            result = await self._handled("tools/list", PaginatedRequestParams(), context)
            if isinstance(result, ListToolsResult):
                self._learn(result.tools)
        return self._tools.get(name)

    async def _initialize(self, call: Call, context: Context) -> Answer:
        return InitializeResult(
            protocol_version=call.era.version,
            capabilities=self.get_capabilities(),
            server_info=self.info,
            instructions=self.instructions,
        )

    async def _discover(self, call: Call, context: Context) -> Answer:
        return DiscoverResult(
            supported_versions=MODERN_VERSIONS,
            capabilities=self.get_capabilities(),
            instructions=self.instructions,
            ttl_ms=0,
            cache_scope="private",
        )

    async def _ping(self, call: Call, context: Context) -> Answer:
        return EmptyResult()

    async def _subscribe(self, call: Call, context: Context) -> Answer:
        if self.get_capabilities().resources is None:
            raise MethodNotFound(f"Method not found: {call.method} (this server has no resources)")
        params = _params(call)
        result = await self._handled(call.method, params, context) if call.method in self._handlers else EmptyResult()
        await call.peer.subscribe(params.uri, call.method == "resources/subscribe")
        return result

    async def _set_level(self, call: Call, context: Context) -> Answer:
        params = _params(call)
        result = await self._handled(call.method, params, context)
        await call.peer.set_log_level(params.level)
        return result

    async def _listen(self, call: Call, context: Context) -> Answer:
        return granted(_params(call).notifications, self.get_capabilities())


Server = LowLevelServer
"""The name that the official SDK has for it."""


def _params(call: Call) -> Any:
    """The params as the struct of the method. Raises InvalidParams."""
    try:
        return msgspec.json.decode(call.raw or b"{}", type=METHODS[call.method].params)
    except msgspec.ValidationError as error:
        raise InvalidParams(f"Invalid params: {error}") from None
