"""`Servable`: what transports, apps and a context need of a server, whatever it is that answers its calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from ..call import Answer, Call
from ..components.component import icon_list
from ..protocol.jsonrpc import encode
from ..protocol.mirrored import Mirrored
from ..protocol.subscriptions import RESOURCE_UPDATED
from ..protocol.types import Icon, Implementation, LoggingLevel
from ..protocol.versions import Era
from ..settings import Settings
from .extensions import MethodBinding
from .lifespan import Lifespan, SharedLifespan

if TYPE_CHECKING:
    from .auth import AuthProvider
    from .http import StarletteWithLifespan

__all__ = ["CustomRoute", "Notice", "Servable"]

Notice = Callable[[str, str | None], None]


@dataclass(frozen=True, slots=True)
class CustomRoute:
    """An HTTP route beside MCP; `endpoint` is an async function that takes a Starlette Request."""

    path: str
    methods: list[str]
    name: str | None
    include_in_schema: bool
    endpoint: Callable[..., Any]


class Servable:
    """A `call.Served` with a name, a lifespan and the ways to serve it. A subclass answers calls in `serve`."""

    def __init__(
        self,
        name: str,
        version: str,
        instructions: str | None,
        *,
        website_url: str | None,
        icons: Iterable[Icon | dict[str, Any]] | None,
        lifespan: Lifespan | None,
        auth: AuthProvider | None,
        mask_error_details: bool | None,
        client_log_level: LoggingLevel = "debug",
    ) -> None:
        self.name = name
        self.version = version
        self.instructions = instructions
        self.info = Implementation(name=name, version=version, website_url=website_url, icons=icon_list(icons) or None)
        self.auth = auth
        self.mask_error_details = mask_error_details
        self.masked_by_settings = False
        self.client_log_level: LoggingLevel = client_log_level
        self.custom_routes: list[CustomRoute] = []
        self.extension_methods: dict[str, MethodBinding] = {}
        self._listeners: dict[object, Notice] = {}
        self.shared_lifespan = SharedLifespan(lifespan, self)
        self._stamp = encode(self.info)

    # What transports need (`call.Served`)

    def serve(self, call: Call) -> CoroutineType[Any, Any, Answer]:
        """Answer a call, or raise what `protocol.errors` turns into an error."""
        raise NotImplementedError

    def mirrored(self, tool: str) -> Mirrored:
        """Lower-case header -> (path in the arguments, type), for the tool's marked arguments."""
        raise NotImplementedError

    def stamp(self, era: Era) -> bytes:
        """The server's Implementation as JSON; only revisions that know all its members ask for it."""
        return self._stamp

    def on_change(self, notice: Notice) -> Callable[[], None]:
        """Call `notice(method, uri)` at every change; the return value ends that."""
        key = object()
        self._listeners[key] = notice

        def end() -> None:
            self._listeners.pop(key, None)

        return end

    async def notify_resource_updated(self, uri: str) -> None:
        """Tell those who subscribed to the resource that it changed."""
        self.notify(RESOURCE_UPDATED, str(uri))

    def notify(self, method: str, uri: str | None = None) -> None:
        """Tell of a change to every client that listens for it."""
        for notice in list(self._listeners.values()):
            notice(method, uri)

    @property
    def masks(self) -> bool:
        """Whether clients are spared the details of errors: the user's word, else the last app's settings."""
        return self.masked_by_settings if self.mask_error_details is None else self.mask_error_details

    # Lifespan

    @property
    def lifespan(self) -> Lifespan | None:
        return self.shared_lifespan.factory

    @property
    def lifespan_running(self) -> bool:
        """Whether functions find what the lifespan yields; always true without a lifespan."""
        return self.shared_lifespan.running

    @property
    def lifespan_value(self) -> Any:
        """What the lifespan yielded; an empty dict without one. Raises RuntimeError where it was never started."""
        if not self.shared_lifespan.running:
            raise RuntimeError(
                f"The lifespan of {self.name!r} is not running: pass it on to the app around this one, "
                "as in FastAPI(lifespan=mcp_app.lifespan)"
            )
        return self.shared_lifespan.value

    def lifespan_context(self) -> AbstractAsyncContextManager[Any]:
        """Enter the user's lifespan; once, however many apps are inside."""
        return self.shared_lifespan.enter()

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
        session_idle_timeout (seconds), max_sessions, max_sessions_per_client, rate_limit ("100/s"), max_body_bytes.
        There is no rate limit unless one is given: behind a proxy all clients may have one address.

        Raises ValueError for an unknown transport.
        """
        from .http import make_app

        return make_app(
            self,
            Settings.load(),
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

    async def run_streamable_http_async(self, **options: Any) -> None:
        await self.run_http_async(transport="streamable-http", **options)

    async def run_sse_async(self, **options: Any) -> None:
        await self.run_http_async(transport="sse", **options)

    async def run_stdio_async(self, **options: Any) -> None:
        """Serve over stdin and stdout; options as in `server.run.run_stdio_async`."""
        from .run import run_stdio_async

        await run_stdio_async(self, **options)
