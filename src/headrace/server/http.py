"""Starlette apps around the MCP endpoints: the names that FastMCP users import from ``server.http``.

The MCP path does not go through Starlette's router. It gets a stack of its own: the endpoint itself where the
user added no middleware, else the same middleware around it; everything else is an ordinary Starlette app.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from ..components.dependencies import http_request, set_http_request
from ..settings import Settings
from ..state.events import EventStore, TwoMethodStore, adapt
from ..state.memory import MemoryBus, MemorySessionStore
from ..state.rates import Buckets
from ..transports.http.admission import Rules
from ..transports.http.answer import Denied
from ..transports.http.endpoint import Endpoint
from ..transports.http.entrance import Authenticate, send_denied
from ..transports.http.guard import Guard
from ..transports.http.head import Head
from ..transports.http.limited import LimitedRoutes, limited
from ..transports.http.pace import Limits
from ..transports.http.sse_legacy import SseEndpoint, check_message_path
from .lifespan import merged
from .request_state import sealer_of

if TYPE_CHECKING:
    from .auth import AuthProvider
    from .servable import Servable

__all__ = [
    "HostOriginGuardMiddleware",
    "RequestContextMiddleware",
    "StarletteWithLifespan",
    "StreamableHTTPASGIApp",
    "combine_lifespans",
    "create_base_app",
    "create_sse_app",
    "create_streamable_http_app",
    "make_app",
    "set_http_request",
]


class RequestContextMiddleware:
    """Pure ASGI: for ``http`` scopes the app runs inside `set_http_request`; other scopes pass untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        token = http_request.set(scope)  # a Request is made when someone asks for it
        try:
            await self.app(scope, receive, send)
        finally:
            http_request.reset(token)


class HostOriginGuardMiddleware:
    """Pure ASGI: foreign Origins are 403 on every route, foreign Hosts 421 where Host is checked."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self.app = app
        self.guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self.guard.check(Head.of(scope))
            except Denied as denied:
                await send_denied(send, denied)
                return
        await self.app(scope, receive, send)


class StreamableHTTPASGIApp:
    """The endpoint as an ASGI callable; an instance, so that Starlette's Route passes every method through."""

    def __init__(self, session_manager: Any) -> None:
        self.session_manager = session_manager

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.session_manager.handle_request(scope, receive, send)


class StarletteWithLifespan(Starlette):
    """A Starlette app whose lifespan a parent app can pass on: ``FastAPI(lifespan=mcp_app.lifespan)``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.own_middleware = 0
        """How many of `user_middleware`, from the outside, are ours; an endpoint served directly does their work."""
        self.drains: Sequence[Callable[[], None]] = ()
        self._direct: dict[str, ASGIApp] = {}
        self._stacks: dict[str, ASGIApp] = {}

    @property
    def lifespan(self) -> Lifespan[Starlette]:
        return self.router.lifespan_context

    def drain(self) -> None:
        """End open streams properly and let calls finish for a bounded time; for servers that are embedded."""
        for drain in self.drains:
            drain()

    def serve_directly(self, path: str, app: ASGIApp) -> None:
        """Serve `path`, with and without a slash at its end, past the router. `app` guards itself."""
        self._direct = dict.fromkeys(_with_and_without_slash(path), app)

    def build_middleware_stack(self) -> ASGIApp:
        self._stacks = {path: self._stack_around(app) for path, app in self._direct.items()}
        return super().build_middleware_stack()

    def _stack_around(self, app: ASGIApp) -> ASGIApp:
        if len(self.user_middleware) == self.own_middleware and not self.exception_handlers:
            return app
        sibling = Starlette(
            debug=self.debug, middleware=self.user_middleware, exception_handlers=dict(self.exception_handlers)
        )
        sibling.router = _as_router(app)
        return sibling.build_middleware_stack()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if self.middleware_stack is None:
                self.middleware_stack = self.build_middleware_stack()
            root: str = scope.get("root_path", "")
            direct = self._stacks.get(scope["path"].removeprefix(root) if root else scope["path"])
            if direct is not None:
                scope["app"] = self
                await direct(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


def _as_router(app: ASGIApp) -> Any:
    """The endpoint where Starlette's middleware stack expects the router: it only calls it."""
    return app


combine_lifespans = merged
"""One lifespan out of several, for a parent app with several apps in it."""


def create_base_app(
    routes: list[BaseRoute],
    middleware: list[Middleware],
    debug: bool = False,
    lifespan: Callable[..., Any] | None = None,
) -> StarletteWithLifespan:
    """A Starlette app with `RequestContextMiddleware` outermost. The given lists are not changed."""
    return StarletteWithLifespan(
        routes=list(routes),
        middleware=[Middleware(RequestContextMiddleware), *middleware],
        debug=debug,
        lifespan=lifespan,
    )


def create_sse_app(
    server: Servable,
    message_path: str,
    sse_path: str,
    auth: AuthProvider | None = None,
    debug: bool = False,
    routes: list[BaseRoute] | None = None,
    middleware: list[Middleware] | None = None,
    *,
    settings: Settings | None = None,
) -> StarletteWithLifespan:
    """The HTTP+SSE transport of 2024-11-05: GET `sse_path`, POST `message_path`.

    Raises ValueError for a message path that is no plain absolute path, and for an SSE path without a leading slash.
    """
    check_message_path(message_path)
    settings = settings or Settings()
    guard, buckets = _guard(settings), Buckets.of(settings.rate_limit)
    endpoint = SseEndpoint(
        server,
        message_path=message_path,
        rules=Rules(guard, json_response=False, stateless=False, max_body_bytes=settings.max_body_bytes),
        limits=Limits(),
        bus=MemoryBus(),
        max_sessions=settings.max_sessions,
        max_sessions_per_client=settings.max_sessions_per_client,
        authenticate=_authenticate(auth, sse_path, buckets),
    )
    own_routes: list[BaseRoute] = [
        *_auth_routes(auth, sse_path),
        *(Route(path, endpoint=_Endpoint(endpoint.handle_sse)) for path in _with_and_without_slash(sse_path)),
        *(Route(path, endpoint=_Endpoint(endpoint.handle_message)) for path in _with_and_without_slash(message_path)),
    ]
    app = _assemble(server, endpoint, sse_path, "sse", auth, guard, own_routes, debug, routes, middleware)
    _limit_others(app, buckets, sse_path, message_path)
    return app


def create_streamable_http_app(
    server: Servable,
    streamable_http_path: str,
    event_store: EventStore | TwoMethodStore | None = None,
    auth: AuthProvider | None = None,
    json_response: bool = False,
    stateless_http: bool = False,
    debug: bool = False,
    routes: list[BaseRoute] | None = None,
    middleware: list[Middleware] | None = None,
    *,
    retry_interval: int | None = None,
    settings: Settings | None = None,
) -> StarletteWithLifespan:
    """Streamable HTTP, 2025-03-26 and later on one path. `retry_interval` in milliseconds.

    Raises ValueError for a path that does not begin with a slash.
    """
    settings = settings or Settings()
    guard, buckets = _guard(settings), Buckets.of(settings.rate_limit)
    store = None
    if not stateless_http:
        store = MemorySessionStore(
            limit=settings.max_sessions,
            per_owner=settings.max_sessions_per_client,
            idle_timeout=settings.session_idle_timeout,
        )
    endpoint = Endpoint(
        server,
        rules=Rules(
            guard, json_response=json_response, stateless=stateless_http, max_body_bytes=settings.max_body_bytes
        ),
        limits=Limits(),
        bus=MemoryBus(),
        store=store,
        events=None if event_store is None else adapt(event_store),
        sealer=sealer_of(server, settings),
        authenticate=_authenticate(auth, streamable_http_path, buckets),
        retry_ms=retry_interval,
        max_streams_per_client=settings.max_sessions_per_client,
    )
    asgi = StreamableHTTPASGIApp(endpoint)
    own_routes: list[BaseRoute] = [
        *_auth_routes(auth, streamable_http_path),
        *(Route(path, endpoint=asgi) for path in _with_and_without_slash(streamable_http_path)),
    ]
    app = _assemble(
        server, endpoint, streamable_http_path, "streamable-http", auth, guard, own_routes, debug, routes, middleware
    )
    _limit_others(app, buckets, streamable_http_path)
    app.serve_directly(streamable_http_path, endpoint.handle_request)
    return app


def make_app(
    server: Servable,
    settings: Settings,
    *,
    transport: str = "http",
    path: str | None = None,
    middleware: list[Middleware] | None = None,
    json_response: bool | None = None,
    stateless_http: bool | None = None,
    event_store: EventStore | TwoMethodStore | None = None,
    retry_interval: int | None = None,
    **changed: Any,
) -> StarletteWithLifespan:
    """What ``server.http_app()`` returns: settings where an argument is None; `changed` are settings by name.

    Raises ValueError for an unknown transport and TypeError for an unknown setting.
    """
    settings = replace(settings, **{name: value for name, value in changed.items() if value is not None})
    server.masked_by_settings = settings.mask_error_details
    if transport == "sse":
        return create_sse_app(
            server,
            settings.message_path,
            path or settings.sse_path,
            server.auth,
            settings.debug,
            middleware=middleware,
            settings=settings,
        )
    if transport not in ("http", "streamable-http"):
        raise ValueError(f"Unknown transport {transport!r}: an HTTP app is one of http, streamable-http, sse")
    return create_streamable_http_app(
        server,
        path or settings.streamable_http_path,
        event_store,
        server.auth,
        settings.json_response if json_response is None else json_response,
        settings.stateless_http if stateless_http is None else stateless_http,
        settings.debug,
        middleware=middleware,
        retry_interval=retry_interval,
        settings=settings,
    )


class _Endpoint:
    """An ASGI callable as an instance: Starlette takes bound methods for request handlers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def _assemble(
    server: Servable,
    endpoint: Endpoint | SseEndpoint,
    path: str,
    transport_type: str,
    auth: AuthProvider | None,
    guard: Guard,
    own_routes: list[BaseRoute],
    debug: bool,
    routes: list[BaseRoute] | None,
    middleware: list[Middleware] | None,
) -> StarletteWithLifespan:
    """Routes in matching order: auth, MCP, the caller's, the server's own. Middleware outermost first."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[dict[str, Any]]:
        endpoint.reopen()
        async with server.lifespan_context():
            endpoint.signals.install()
            try:
                yield {}
            finally:
                endpoint.signals.restore()
                endpoint.drain()

    custom = [
        Route(
            route.path,
            endpoint=route.endpoint,
            methods=route.methods,
            name=route.name,
            include_in_schema=route.include_in_schema,
        )
        for route in server.custom_routes
    ]
    app = create_base_app(
        [*own_routes, *(routes or []), *custom],
        [
            Middleware(HostOriginGuardMiddleware, guard=guard),
            *(auth.get_middleware() if auth is not None else []),
            *(middleware or []),
        ],
        debug,
        lifespan,
    )
    app.own_middleware = len(app.user_middleware) - len(middleware or [])
    app.drains = [endpoint.drain]
    app.state.fastmcp_server = server
    app.state.path = path
    app.state.transport_type = transport_type
    app.state.fastmcp_auth = auth
    return app


def _with_and_without_slash(path: str) -> list[str]:
    """Both forms of a path are served, without a redirect. Raises ValueError without a leading slash."""
    if not path.startswith("/"):
        raise ValueError(f"The path {path!r} does not begin with a slash")
    bare = path.rstrip("/")
    return [bare, bare + "/"] if bare else ["/"]


def _guard(settings: Settings) -> Guard:
    return Guard(settings.allowed_hosts, settings.allowed_origins)


def _limit_others(app: StarletteWithLifespan, buckets: Buckets | None, *paths: str) -> None:
    """Count the requests for all other routes, too; those for `paths` are counted there."""
    if buckets is not None:
        own = frozenset(each for path in paths for each in _with_and_without_slash(path))
        app.add_middleware(LimitedRoutes, buckets=buckets, without=own)
        app.own_middleware += 1


def _authenticate(auth: AuthProvider | None, path: str, buckets: Buckets | None) -> Authenticate | None:
    """Who may come in, and how often; None: everybody, always."""
    authenticate = None if auth is None else auth.authenticator(path)
    return authenticate if buckets is None else limited(buckets, authenticate)


def _auth_routes(auth: AuthProvider | None, path: str) -> list[BaseRoute]:
    return [] if auth is None else list(auth.get_routes(path))
