"""`FastMCP`: what a server offers, and the ways to serve it.

Decorators register a function and give it back unchanged. The object is a `call.Served`: transports need
nothing else of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import reduce
from threading import Lock
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, cast, overload

from ..call import Answer, Call
from ..components.checks import allowed_to
from ..components.component import Component
from ..components.dependencies import current
from ..components.registry import OnDuplicate, Registry, may_be_seen
from ..components.standalone import decorated, pending
from ..components.versions import VersionSpec
from ..components.visibility import Kind, Rule, changes, followed_by, rule, shown
from ..exceptions import NotFoundError
from ..prompts.prompt import Prompt
from ..prompts.prompt_manager import PromptManager
from ..protocol.subscriptions import PROMPTS_CHANGED, RESOURCES_CHANGED, TOOLS_CHANGED
from ..protocol.types import (
    LOG_LEVELS,
    CacheScope,
    GetPromptResult,
    Icon,
    LoggingLevel,
    ServerCapabilities,
)
from ..resources.resource import Resource
from ..resources.resource_manager import ResourceManager
from ..resources.security import DEFAULT_RESOURCE_SECURITY, ResourceSecurity
from ..resources.template import ResourceTemplate
from ..tools.tool import FunctionTool, Tool
from ..tools.tool_manager import ToolManager
from ..types import PromptResult, ResourceResult, ToolResult
from ..version import __version__
from . import direct
from .extensions import ServerExtension, check_bindings
from .lifespan import Lifespan
from .request_state import RequestStateSecurity
from .router import Router
from .servable import CustomRoute, Servable
from .sessions import SessionStates, StateStore

if TYPE_CHECKING:
    from .auth import AuthProvider

__all__ = ["CustomRoute", "FastMCP", "Provider"]

C = TypeVar("C", bound=Component)
F = TypeVar("F", bound=Callable[..., Any])

_NOTHING: Mapping[str, tuple[tuple[str, ...], str]] = {}


class Provider(Protocol):
    """Registers components with a server."""

    def register(self, server: FastMCP) -> None: ...


class FastMCP(Servable):
    """An MCP server.

    >>> mcp = FastMCP("demo")
    >>> @mcp.tool
    ... def add(a: int, b: int) -> int:
    ...     return a + b
    """

    _changing_rules = Lock()

    def __init__(
        self,
        name: str | None = None,
        instructions: str | None = None,
        *,
        version: str | float | None = None,
        website_url: str | None = None,
        icons: Iterable[Icon | dict[str, Any]] | None = None,
        lifespan: Lifespan | None = None,
        auth: AuthProvider | None = None,
        mask_error_details: bool | None = None,
        list_page_size: int | None = None,
        strict_input_validation: bool | None = None,
        on_duplicate: OnDuplicate = "warn",
        on_duplicate_tools: OnDuplicate | None = None,
        on_duplicate_resources: OnDuplicate | None = None,
        on_duplicate_prompts: OnDuplicate | None = None,
        tools: Iterable[Tool | Callable[..., Any]] | None = None,
        include_tags: Collection[str] | None = None,
        exclude_tags: Collection[str] | None = None,
        cache_ttl: float = 0,
        cache_scope: CacheScope = "public",
        client_log_level: LoggingLevel = "debug",
        dereference_schemas: bool = True,
        include_fastmcp_meta: bool = True,
        resource_security: ResourceSecurity | None = DEFAULT_RESOURCE_SECURITY,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        session_state_store: StateStore | None = None,
        request_state_security: RequestStateSecurity | None = None,
    ) -> None:
        """What clients see: name, instructions, version, website, icons.

        `cache_ttl` in seconds: how long clients may keep lists and resources (2026-07-28). `mask_error_details` None:
        as the settings say, once an app is made. `list_page_size` None: one page. `client_log_level`: the lowest
        level of log notes for clients that named none (handshake era). `dereference_schemas`: lists show schemas
        without ``$ref``. `include_fastmcp_meta`: lists show tags and versions, in ``_meta``. `include_tags` and
        `exclude_tags` are rules of visibility, as `enable` and `disable` make. `session_state_store` None: memory.
        `request_state_security` None: the key of the settings.

        Raises ValueError for an option that is out of its range.
        """
        if list_page_size is not None and list_page_size < 1:
            raise ValueError(f"list_page_size is at least 1, not {list_page_size}")
        if client_log_level not in LOG_LEVELS:
            raise ValueError(f"client_log_level is one of {', '.join(LOG_LEVELS)}, not {client_log_level!r}")
        super().__init__(
            name or "Headrace",
            __version__ if version is None else str(version),
            instructions,
            website_url=website_url,
            icons=icons,
            lifespan=lifespan,
            auth=auth,
            mask_error_details=mask_error_details,
            client_log_level=client_log_level,
        )
        self.list_page_size = list_page_size
        self.strict_input_validation = bool(strict_input_validation)
        self.cache_ttl_ms = round(cache_ttl * 1000)
        self.cache_scope: CacheScope = cache_scope
        self.dereference_schemas = dereference_schemas
        self.include_fastmcp_meta = include_fastmcp_meta
        self.experimental_capabilities = experimental_capabilities
        self.request_state_security = request_state_security
        self.session_states = SessionStates(session_state_store)
        self.rules: tuple[Rule, ...] = ()
        """Which components are shown; a tuple that is replaced when a rule is added."""
        self.extensions: list[ServerExtension] = []
        self.completer: Callable[..., Any] | None = None
        self._router = Router(self)
        self.tools = ToolManager(on_duplicate_tools or on_duplicate, self._changed(TOOLS_CHANGED))
        self.resource_manager = ResourceManager(
            on_duplicate_resources or on_duplicate, security=resource_security, changed=self._changed(RESOURCES_CHANGED)
        )
        self.resources = self.resource_manager.resources
        self.templates = self.resource_manager.templates
        self.prompts = PromptManager(on_duplicate_prompts or on_duplicate, self._changed(PROMPTS_CHANGED))
        for tool in tools or ():
            self.add_tool(tool)
        if include_tags is not None:
            self.disable(without_tags=include_tags)
        if exclude_tags is not None:
            self.disable(tags=exclude_tags)

    def __repr__(self) -> str:
        return f"FastMCP({self.name!r})"

    # What transports need (`call.Served`)

    def serve(self, call: Call) -> CoroutineType[Any, Any, Answer]:
        """Answer a call, or raise what `protocol.errors` turns into an error."""
        return self._router.serve(call)

    def capabilities(self) -> ServerCapabilities:
        """What clients that ask are told."""
        return self._router.capabilities()

    def mirrored(self, tool: str) -> Mapping[str, tuple[tuple[str, ...], str]]:
        """Lower-case header -> (path in the arguments, type), for the tool's marked arguments."""
        found = self.tools.find(tool, self.rules)
        return _NOTHING if found is None else found.mirrored

    def _changed(self, *methods: str) -> Callable[[], None]:
        def changed() -> None:
            self._router.forget()
            for method in methods:
                self.notify(method)

        return changed

    # Which components are shown

    def enable(self, *, only: bool = False, **criteria: Any) -> Self:
        """Show the components that meet all criteria; with `only`, no others.

        Criteria: `names` (or URIs), `keys`, `tags`, `without_tags`, `components` (kinds) as sets, `version`. A later
        rule wins.
        """
        show = rule(True, **criteria)
        return self._add_rules(rule(False, match_all=True), show) if only else self._add_rules(show)

    def disable(self, **criteria: Any) -> Self:
        """Hide the components that meet all criteria: they are neither listed nor can they be used."""
        return self._add_rules(rule(False, **criteria))

    def _add_rules(self, *added: Rule) -> Self:
        with self._changing_rules:
            self.rules = reduce(followed_by, added, self.rules)
        self._changed(*changes(added[0]))()
        return self

    # Registration

    def add_tool(self, tool: Tool | Callable[..., Any]) -> Tool:
        """Register a tool, or a function as one. Raises ValueError, InvalidSignature."""
        if not isinstance(tool, Tool):
            tool = cast("Tool | None", _pending(tool, "tool")) or Tool.from_function(tool)
        if isinstance(tool, FunctionTool) and tool.strict is None:
            tool.strict = self.strict_input_validation
        return self.tools.add(tool)

    def add_resource(self, resource: Resource | Callable[..., Any]) -> Resource | ResourceTemplate:
        """Register a resource, or a function that ``@resource`` marked. Raises ValueError, TypeError."""
        found = resource if isinstance(resource, Resource) else _pending(resource, "resource", "template")
        if isinstance(found, ResourceTemplate):
            return self.templates.add(found)
        if found is None:
            raise TypeError(f"No resource: {resource!r}; a function needs a URI, as in @resource('data://config')")
        return self.resources.add(found)

    def add_template(self, template: ResourceTemplate) -> ResourceTemplate:
        return self.templates.add(template)

    def add_prompt(self, prompt: Prompt | Callable[..., Any]) -> Prompt:
        """Register a prompt, or a function as one. Raises ValueError, InvalidSignature."""
        if not isinstance(prompt, Prompt):
            prompt = cast("Prompt | None", _pending(prompt, "prompt")) or Prompt.from_function(prompt)
        return self.prompts.add(prompt)

    def remove_tool(self, name: str, version: str | None = None) -> None:
        """Remove a version of a tool, or all. Raises NotFoundError for an unknown tool."""
        self.tools.remove(name, version)

    def remove_resource(self, uri: str, version: str | None = None) -> None:
        """Remove a resource or a template. Raises NotFoundError for an unknown one."""
        (self.templates if uri in self.templates else self.resources).remove(uri, version)

    def remove_prompt(self, name: str, version: str | None = None) -> None:
        """Raises NotFoundError for an unknown prompt."""
        self.prompts.remove(name, version)

    @property
    def local_provider(self) -> Self:
        """What is registered here is here: `remove_tool` and its like, where FastMCP's users look for them."""
        return self

    @overload
    def tool(self, name_or_fn: F, /) -> F: ...

    @overload
    def tool(self, name_or_fn: str | None = None, /, **options: Any) -> Callable[[F], F]: ...

    def tool(self, name_or_fn: Any = None, /, **options: Any) -> Any:
        """Register the function as a tool: ``@mcp.tool``, ``@mcp.tool("name")``, ``@mcp.tool(title=..., ...)``.

        `options` are those of `FunctionTool.from_function`.
        """

        def register(function: F, **given: Any) -> F:
            self.add_tool(Tool.from_function(function, **given))
            return function

        return decorated(name_or_fn, options, register)

    def resource(self, uri: str, *, name: str | None = None, **options: Any) -> Callable[[F], F]:
        """Register the function as a resource; as a template if the URI has parameters.

        `options` are those of `Resource.from_function` and `ResourceTemplate.from_function`.
        """
        if not isinstance(uri, str):  # pyright: ignore[reportUnnecessaryIsInstance] - a bare decorator
            raise TypeError('@mcp.resource needs a URI: @mcp.resource("data://config")')

        def register(function: F) -> F:
            self.resource_manager.add_resource_or_template_from_fn(function, uri, name, **options)
            return function

        return register

    @overload
    def prompt(self, name_or_fn: F, /) -> F: ...

    @overload
    def prompt(self, name_or_fn: str | None = None, /, **options: Any) -> Callable[[F], F]: ...

    def prompt(self, name_or_fn: Any = None, /, **options: Any) -> Any:
        """Register the function as a prompt. `options` are those of `FunctionPrompt.from_function`."""

        def register(function: F, **given: Any) -> F:
            self.add_prompt(Prompt.from_function(function, **given))
            return function

        return decorated(name_or_fn, options, register)

    @overload
    def completion(self, function: F) -> F: ...

    @overload
    def completion(self) -> Callable[[F], F]: ...

    def completion(self, function: Any = None) -> Any:
        """Register the function that completes arguments: ``(ref, argument, context) -> values``, async or not."""

        def register(function: F) -> F:
            self.completer = function
            self._router.forget()
            return function

        return register if function is None else register(function)

    def add_completion_handler(self, function: Callable[..., Any]) -> None:
        """`completion`, as a call."""
        self.completion(function)

    def add_provider(self, provider: Provider) -> None:
        """Take what a provider registers, such as the tools of a `SessionProvider`."""
        provider.register(self)

    def add_extension(self, extension: ServerExtension) -> None:
        """Advertise and serve a protocol extension. Raises ValueError for one whose name or methods are taken,
        RuntimeError for one with a lifespan while the server runs: it would never be entered."""
        if not extension.identifier:
            raise ValueError(f"{type(extension).__name__} has no identifier, as in identifier = 'com.example/name'")
        if any(each.identifier == extension.identifier for each in self.extensions):
            raise ValueError(f"The extension {extension.identifier} is already there")
        bindings = check_bindings(extension, self.extension_methods)
        if extension.has_lifespan:
            self.shared_lifespan.also(extension.lifespan)
        extension.server = self
        self.extensions.append(extension)
        self.extension_methods.update(bindings)
        self._router.forget()

    # Calls without a client, and what there is

    async def call_tool(
        self, name: str, arguments: Mapping[str, Any] | None = None, *, version: str | None = None
    ) -> ToolResult:
        """Raises ToolError for a tool that failed, NotFoundError, AuthorizationError, RateLimitError."""
        return await direct.call_tool(self, name, arguments, version)

    async def read_resource(self, uri: Any, *, version: str | None = None) -> ResourceResult:
        """Raises NotFoundError, ResourceError."""
        return await direct.read_resource(self, str(uri), version)

    async def render_prompt(
        self, name: str, arguments: Mapping[str, Any] | None = None, *, version: str | None = None
    ) -> PromptResult:
        """Raises NotFoundError, PromptError."""
        return await direct.render_prompt(self, name, arguments, version)

    async def prompt_result(self, name: str, arguments: Mapping[str, Any] | None = None) -> GetPromptResult:
        """`render_prompt`, as it goes over the wire."""
        return await direct.get_prompt(self, name, arguments, None)

    async def list_tools(self) -> list[Tool]:
        """The tools that are shown, in every version."""
        return await self._all(self.tools)

    async def list_resources(self) -> list[Resource]:
        return await self._all(self.resources)

    async def list_resource_templates(self) -> list[ResourceTemplate]:
        return await self._all(self.templates)

    async def list_prompts(self) -> list[Prompt]:
        return await self._all(self.prompts)

    async def get_tool(self, name: str, version: VersionSpec | str | None = None) -> Tool:
        """Raises NotFoundError for an unknown or hidden tool."""
        return await self._one(self.tools, name, version)

    async def get_resource(self, uri: str, version: VersionSpec | str | None = None) -> Resource:
        return await self._one(self.resources, uri, version)

    async def get_resource_template(self, uri: str, version: VersionSpec | str | None = None) -> ResourceTemplate:
        return await self._one(self.templates, uri, version)

    async def get_prompt(self, name: str, version: VersionSpec | str | None = None) -> Prompt:
        return await self._one(self.prompts, name, version)

    async def get_tools(self) -> dict[str, Tool]:
        """The tools that are shown, by name."""
        return {each.name: each for each in self.tools.shown(self.rules, await self._allowed(self.tools))}

    async def get_resources(self) -> dict[str, Resource]:
        return {each.uri: each for each in self.resources.shown(self.rules, await self._allowed(self.resources))}

    async def get_resource_templates(self) -> dict[str, ResourceTemplate]:
        return {
            each.uri_template: each for each in self.templates.shown(self.rules, await self._allowed(self.templates))
        }

    async def get_prompts(self) -> dict[str, Prompt]:
        return {each.name: each for each in self.prompts.shown(self.rules, await self._allowed(self.prompts))}

    async def _all(self, registry: Registry[C]) -> list[C]:
        allowed = await self._allowed(registry)
        return [each for each in registry if may_be_seen(each, allowed) and shown(each, self.rules)]

    async def _one(self, registry: Registry[C], key: str, version: VersionSpec | str | None) -> C:
        if isinstance(version, str):
            version = VersionSpec(eq=version)
        allowed = await self._allowed(registry)
        for found in registry.candidates(key, self.rules, version):
            if may_be_seen(found, allowed):
                return found
        raise NotFoundError(f"Unknown {registry.kind}: {key!r}" + (f" {version}" if version else ""))

    async def _allowed(self, registry: Registry[C]) -> frozenset[Component] | None:
        """Inside of a call, what its caller may see of what is checked; None outside: the program sees everything."""
        context = current.get(None)
        return None if context is None else await allowed_to(context.call, registry.checked)

    # HTTP beside MCP

    def custom_route(
        self, path: str, methods: list[str], name: str | None = None, include_in_schema: bool = True
    ) -> Callable[[F], F]:
        """Register an async function as an HTTP route of the server's apps. It is not authenticated."""

        def register(function: F) -> F:
            self.custom_routes.append(CustomRoute(path, list(methods), name, include_in_schema, function))
            return function

        return register


def _pending(function: Callable[..., Any], *kinds: Kind) -> Any:
    """What a standalone decorator made of the function, if that is of these kinds."""
    found = pending(function)
    return found.make(function) if found is not None and found.kind in kinds else None
