"""`FastMCP`: what a server offers, and the ways to serve it.

Decorators register a function and give it back unchanged. The object is a `call.Served`: transports need
nothing else of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from types import CoroutineType
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from ..call import Answer, Call
from ..components.component import icon_list
from ..components.registry import OnDuplicate, Registry
from ..components.signature import Function
from ..components.uri_template import UriTemplate
from ..exceptions import NotFoundError
from ..prompts.prompt import Prompt
from ..protocol.jsonrpc import encode
from ..protocol.subscriptions import RESOURCE_UPDATED
from ..protocol.types import CacheScope, Icon, Implementation
from ..protocol.versions import Era
from ..resources.resource import Resource
from ..resources.template import ResourceTemplate
from ..settings import Settings
from ..tools.tool import Tool
from .lifespan import Lifespan, SharedLifespan
from .router import Router

if TYPE_CHECKING:
    from .auth import AuthProvider
    from .http import StarletteWithLifespan

__all__ = ["CustomRoute", "FastMCP"]

F = TypeVar("F", bound=Callable[..., Any])
Notice = Callable[[str, str | None], None]

_NOTHING: Mapping[str, tuple[tuple[str, ...], str]] = {}


@dataclass(frozen=True, slots=True)
class CustomRoute:
    """An HTTP route beside MCP; `endpoint` is an async function that takes a Starlette Request."""

    path: str
    methods: list[str]
    name: str | None
    include_in_schema: bool
    endpoint: Callable[..., Any]


class FastMCP:
    """An MCP server.

    >>> mcp = FastMCP("demo")
    >>> @mcp.tool
    ... def add(a: int, b: int) -> int:
    ...     return a + b
    """

    def __init__(
        self,
        name: str = "Headrace",
        instructions: str | None = None,
        *,
        version: str | None = None,
        website_url: str | None = None,
        icons: Iterable[Icon | dict[str, Any]] | None = None,
        lifespan: Lifespan | None = None,
        auth: AuthProvider | None = None,
        mask_error_details: bool | None = None,
        list_page_size: int | None = None,
        strict_input_validation: bool = False,
        on_duplicate: OnDuplicate = "warn",
        tools: Iterable[Tool | Callable[..., Any]] | None = None,
        cache_ttl: float = 0,
        cache_scope: CacheScope = "public",
    ) -> None:
        """`cache_ttl` in seconds: how long clients may keep lists and resources (2026-07-28).

        `mask_error_details` None: as the settings say, once an app is made. `list_page_size` None: one page.
        """
        if list_page_size is not None and list_page_size < 1:
            raise ValueError(f"list_page_size is at least 1, not {list_page_size}")
        if on_duplicate not in ("warn", "error", "replace", "ignore"):
            raise ValueError(f"on_duplicate is warn, error, replace or ignore, not {on_duplicate!r}")
        self.name = name
        self.instructions = instructions
        self.version = version or _package_version()
        self.info = Implementation(
            name=name, version=self.version, website_url=website_url, icons=icon_list(icons) or None
        )
        self.auth = auth
        self.mask_error_details = mask_error_details
        self.list_page_size = list_page_size
        self.strict_input_validation = strict_input_validation
        self.cache_ttl_ms = round(cache_ttl * 1000)
        self.cache_scope: CacheScope = cache_scope
        self.tools: Registry[Tool] = self._registry("tool", "tools", on_duplicate)
        self.resources: Registry[Resource] = self._registry("resource", "resources", on_duplicate)
        self.templates: Registry[ResourceTemplate] = self._registry("template", "resources", on_duplicate)
        self.prompts: Registry[Prompt] = self._registry("prompt", "prompts", on_duplicate)
        self.completer: Callable[..., Any] | None = None
        self.custom_routes: list[CustomRoute] = []
        self.extension_methods: Set[str] = frozenset()
        self._listeners: dict[object, Notice] = {}
        self._lifespan = SharedLifespan(lifespan, self)
        self._stamp = encode(self.info)
        self._router = Router(self)
        for tool in tools or ():
            self.add_tool(tool)

    def __repr__(self) -> str:
        return f"FastMCP({self.name!r})"

    # What transports need (`call.Served`)

    def serve(self, call: Call) -> CoroutineType[Any, Any, Answer]:
        """Answer a call, or raise what `protocol.errors` turns into an error."""
        return self._router(call)

    def stamp(self, era: Era) -> bytes:
        """The server's Implementation as JSON; only revisions that know all its members ask for it."""
        return self._stamp

    def mirrored(self, tool: str) -> Mapping[str, tuple[tuple[str, ...], str]]:
        """Lower-case header -> (path in the arguments, type), for the tool's marked arguments."""
        found = self.tools.get(tool)
        return _NOTHING if found is None else found.mirrored

    def on_change(self, notice: Notice) -> Callable[[], None]:
        """Call `notice(method, uri)` at every change; the return value ends that."""
        key = object()
        self._listeners[key] = notice

        def end() -> None:
            self._listeners.pop(key, None)

        return end

    async def notify_resource_updated(self, uri: str) -> None:
        """Tell those who subscribed to the resource that it changed."""
        self._notify(RESOURCE_UPDATED, str(uri))

    def _notify(self, method: str, uri: str | None = None) -> None:
        for notice in list(self._listeners.values()):
            notice(method, uri)

    def _registry(self, kind: str, listed: str, on_duplicate: OnDuplicate) -> Registry[Any]:
        def changed() -> None:
            self._router.forget()
            self._notify(f"notifications/{listed}/list_changed")

        return Registry(kind, on_duplicate, changed)

    # Lifespan

    @property
    def lifespan(self) -> Lifespan | None:
        return self._lifespan.factory

    @property
    def lifespan_running(self) -> bool:
        """Whether functions find what the lifespan yields; always true without a lifespan."""
        return self._lifespan.running

    @property
    def lifespan_value(self) -> Any:
        """What the lifespan yielded; an empty dict without one. Raises RuntimeError where it was never started."""
        if not self._lifespan.running:
            raise RuntimeError(
                f"The lifespan of {self.name!r} is not running: pass it on to the app around this one, "
                "as in FastAPI(lifespan=mcp_app.lifespan)"
            )
        return self._lifespan.value

    def lifespan_context(self) -> AbstractAsyncContextManager[Any]:
        """Enter the user's lifespan; once, however many apps are inside."""
        return self._lifespan.enter()

    # Tools

    def add_tool(self, tool: Tool | Callable[..., Any]) -> Tool:
        """Register a tool, or a function as one. Raises ValueError, InvalidSignature."""
        if not isinstance(tool, Tool):
            tool = Tool.from_function(tool, strict=self.strict_input_validation)
        return self.tools.add(tool.name, tool)

    def remove_tool(self, name: str) -> None:
        """Raises NotFoundError for an unknown tool."""
        _remove(self.tools, name, "tool")

    @overload
    def tool(self, name_or_fn: F, /) -> F: ...

    @overload
    def tool(self, name_or_fn: str | None = None, /, **options: Any) -> Callable[[F], F]: ...

    def tool(self, name_or_fn: Any = None, /, **options: Any) -> Any:
        """Register the function as a tool: ``@mcp.tool``, ``@mcp.tool("name")``, ``@mcp.tool(title=..., ...)``.

        `options` are those of `Tool.from_function`.
        """

        def register(function: F, name: str | None = None) -> F:
            given: dict[str, Any] = {"strict": self.strict_input_validation, **options}
            if name is not None:
                given["name"] = name
            self.add_tool(Tool.from_function(function, **given))
            return function

        return _decorated(name_or_fn, options, register)

    # Resources

    def add_resource(self, resource: Resource) -> Resource:
        return self.resources.add(resource.uri, resource)

    def add_template(self, template: ResourceTemplate) -> ResourceTemplate:
        return self.templates.add(template.uri_template, template)

    def remove_resource(self, uri: str) -> None:
        """Remove a resource or a template. Raises NotFoundError for an unknown one."""
        _remove(self.templates if uri in self.templates else self.resources, uri, "resource")

    def resource(self, uri: str, /, *, name: str | None = None, **options: Any) -> Callable[[F], F]:
        """Register the function as a resource; as a template if the URI or the function has parameters.

        `options` are those of `Resource.from_function` and `ResourceTemplate.from_function`.
        """
        if not isinstance(uri, str):  # pyright: ignore[reportUnnecessaryIsInstance] - a bare decorator
            raise TypeError('@mcp.resource needs a URI: @mcp.resource("data://config")')

        def register(function: F) -> F:
            if UriTemplate(uri).names or Function(function, f"resource {uri!r}").required:
                self.add_template(ResourceTemplate.from_function(function, uri, name, **options))
            else:
                self.add_resource(Resource.from_function(function, uri, name, **options))
            return function

        return register

    # Prompts and completion

    def add_prompt(self, prompt: Prompt | Callable[..., Any]) -> Prompt:
        """Register a prompt, or a function as one. Raises ValueError, InvalidSignature."""
        if not isinstance(prompt, Prompt):
            prompt = Prompt.from_function(prompt)
        return self.prompts.add(prompt.name, prompt)

    def remove_prompt(self, name: str) -> None:
        """Raises NotFoundError for an unknown prompt."""
        _remove(self.prompts, name, "prompt")

    @overload
    def prompt(self, name_or_fn: F, /) -> F: ...

    @overload
    def prompt(self, name_or_fn: str | None = None, /, **options: Any) -> Callable[[F], F]: ...

    def prompt(self, name_or_fn: Any = None, /, **options: Any) -> Any:
        """Register the function as a prompt. `options` are those of `Prompt.from_function`."""

        def register(function: F, name: str | None = None) -> F:
            given = dict(options)
            if name is not None:
                given["name"] = name
            self.add_prompt(Prompt.from_function(function, **given))
            return function

        return _decorated(name_or_fn, options, register)

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

    # HTTP beside MCP

    def custom_route(
        self, path: str, methods: list[str], name: str | None = None, include_in_schema: bool = True
    ) -> Callable[[F], F]:
        """Register an async function as an HTTP route of the server's apps. It is not authenticated."""

        def register(function: F) -> F:
            self.custom_routes.append(CustomRoute(path, list(methods), name, include_in_schema, function))
            return function

        return register

    # Doorways

    def http_app(
        self,
        path: str | None = None,
        middleware: list[Any] | None = None,
        json_response: bool | None = None,
        stateless_http: bool | None = None,
        transport: str = "http",
        event_store: Any = None,
        **options: Any,
    ) -> StarletteWithLifespan:
        """The server as a Starlette app ("http", "streamable-http" or "sse"); what is None comes from the settings.

        `options`: retry_interval (milliseconds), and settings by name: allowed_hosts, allowed_origins,
        session_idle_timeout (seconds), max_sessions, max_body_bytes. Raises ValueError for an unknown transport.
        """
        from .http import make_app

        settings = Settings.load()
        if self.mask_error_details is None:
            self.mask_error_details = settings.mask_error_details
        return make_app(
            self,
            settings,
            transport=transport,
            path=path,
            middleware=middleware,
            json_response=json_response,
            stateless_http=stateless_http,
            event_store=event_store,
            **options,
        )

    def run(self, transport: str | None = None, **options: Any) -> None:
        """Serve until a signal ends it: ``mcp.run(transport="http", host=..., port=..., path=...)``."""
        from .run import run

        run(self, transport, **options)

    async def run_async(self, transport: str | None = None, **options: Any) -> None:
        """`run` in a loop of the caller's."""
        from .run import run_async

        await run_async(self, transport, **options)

    async def run_http_async(self, **options: Any) -> None:
        """Serve over HTTP; options as in `server.run.run_http_async`."""
        from .run import run_http_async

        await run_http_async(self, **options)


@cache
def _package_version() -> str:
    try:
        return installed_version("headrace")
    except PackageNotFoundError:  # a source tree that is not installed
        return "0+unknown"


def _remove(registry: Registry[Any], key: str, kind: str) -> None:
    try:
        registry.remove(key)
    except KeyError:
        raise NotFoundError(f"Unknown {kind}: {key}") from None


def _decorated(name_or_fn: Any, options: dict[str, Any], register: Callable[..., Any]) -> Any:
    """The three ways to write a decorator: bare, with a name, with options."""
    if name_or_fn is None:
        return register
    if isinstance(name_or_fn, str):
        if "name" in options:
            raise TypeError("The name is given twice")
        return partial(register, name=name_or_fn)
    if callable(name_or_fn) or isinstance(name_or_fn, staticmethod):
        return register(cast(Any, name_or_fn))
    raise TypeError(f"A decorator takes a function or a name, not {name_or_fn!r}")
