"""The seven public names, the apps they make, their routes, middleware, state, paths and lifespans."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import headrace.server.http as module
from headrace import FastMCP
from headrace.server.auth import RemoteAuthProvider, StaticTokenVerifier
from headrace.server.http import (
    RequestContextMiddleware,
    StarletteWithLifespan,
    StreamableHTTPASGIApp,
    combine_lifespans,
    create_base_app,
    create_sse_app,
    create_streamable_http_app,
    set_http_request,
)

from .probe import Log, make_server
from .servers import run, serve
from .wire import body_of, call, initialize, modern, open_session, send, stream

ADD = call("add", {"a": 2, "b": 3})

# Names and signatures

REQUIRED = inspect.Parameter.empty
SIGNATURES: dict[Any, list[tuple[str, Any]]] = {
    set_http_request: [("request", REQUIRED)],
    create_base_app: [("routes", REQUIRED), ("middleware", REQUIRED), ("debug", False), ("lifespan", None)],
    create_sse_app: [
        ("server", REQUIRED),
        ("message_path", REQUIRED),
        ("sse_path", REQUIRED),
        ("auth", None),
        ("debug", False),
        ("routes", None),
        ("middleware", None),
    ],
    create_streamable_http_app: [
        ("server", REQUIRED),
        ("streamable_http_path", REQUIRED),
        ("event_store", None),
        ("auth", None),
        ("json_response", False),
        ("stateless_http", False),
        ("debug", False),
        ("routes", None),
        ("middleware", None),
    ],
    StreamableHTTPASGIApp: [("session_manager", REQUIRED)],
    RequestContextMiddleware: [("app", REQUIRED)],
    FastMCP.http_app: [
        ("self", REQUIRED),
        ("path", None),
        ("middleware", None),
        ("json_response", None),
        ("stateless_http", None),
        ("transport", "http"),
        ("event_store", None),
    ],
    FastMCP.custom_route: [
        ("self", REQUIRED),
        ("path", REQUIRED),
        ("methods", REQUIRED),
        ("name", None),
        ("include_in_schema", True),
    ],
}


@pytest.mark.parametrize("callable", SIGNATURES, ids=lambda each: each.__qualname__)
def test_signatures(callable: Any) -> None:
    parameters = list(inspect.signature(callable).parameters.values())
    positional = [each for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
    assert [(each.name, each.default) for each in positional] == SIGNATURES[callable]
    others = [each for each in parameters if each not in positional]
    assert all(each.kind in (each.KEYWORD_ONLY, each.VAR_KEYWORD) for each in others)
    assert all(each.default is not REQUIRED for each in others if each.kind is each.KEYWORD_ONLY)


def test_the_seven_names_are_public() -> None:
    names = {each.__name__ for each in SIGNATURES if each.__module__ == module.__name__}
    assert names | {"StarletteWithLifespan", "set_http_request"} <= set(module.__all__)
    assert len(names | {"StarletteWithLifespan", "set_http_request"}) == 7


def test_starlette_with_lifespan() -> None:
    app = StarletteWithLifespan()
    assert isinstance(app, Starlette)
    assert app.lifespan is app.router.lifespan_context
    with pytest.raises(AttributeError):
        app.lifespan = None  # type: ignore[misc]


async def test_streamable_http_asgi_app_hands_every_method_on(http: httpx2.AsyncClient) -> None:
    class Manager:
        async def handle_request(self, scope: Scope, receive: Receive, send: Send) -> None:
            await PlainTextResponse(scope["method"])(scope, receive, send)

    app = Starlette(routes=[Route("/any", endpoint=StreamableHTTPASGIApp(Manager()))])
    with run(app) as running:
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PURGE"):
            assert (await send(http, f"http://127.0.0.1:{running.port}/any", method=method)).text == method


def test_base_app_changes_no_list_and_takes_any_sequence() -> None:
    routes: Any = (Route("/x", endpoint=_hello),)
    middleware: Any = (Middleware(_Mark, name="x"),)
    app = create_base_app(routes, middleware, debug=True)
    assert [each.cls for each in app.user_middleware] == [RequestContextMiddleware, _Mark]
    assert app.debug is True
    assert app.routes == list(routes)
    lists: tuple[list[Any], list[Any]] = ([], [])
    create_base_app(*lists)
    assert lists == ([], [])


async def test_base_app_runs_its_lifespan() -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncGenerator[None]:
        seen.append("in")
        yield
        seen.append("out")

    with run(create_base_app([], [], lifespan=lifespan)):
        assert seen == ["in"]
    assert seen == ["in", "out"]


def _hello(request: Request) -> Response:
    return PlainTextResponse("hello")


class _Mark:
    """Notes that a request passed, and what was known of it."""

    def __init__(self, app: ASGIApp, name: str, seen: list[Any] | None = None) -> None:
        self.app = app
        self.name = name
        self.seen = seen if seen is not None else []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.seen.append((self.name, scope["path"], "user" in scope))
        await self.app(scope, receive, send)


# app.state


@pytest.mark.parametrize(
    ("transport", "path", "kind", "expected"),
    [
        ("http", None, "streamable-http", "/mcp"),
        ("streamable-http", "/other", "streamable-http", "/other"),
        ("sse", None, "sse", "/sse"),
        ("sse", "/events", "sse", "/events"),
    ],
)
def test_app_state(transport: Any, path: str | None, kind: str, expected: str) -> None:
    auth = StaticTokenVerifier({})
    for mcp in (make_server(Log()), make_server(Log(), auth=auth)):
        app = mcp.http_app(transport=transport, path=path)
        assert app.state.fastmcp_server is mcp
        assert app.state.path == expected
        assert app.state.transport_type == kind
        assert app.state.fastmcp_auth is mcp.auth


def test_an_unknown_transport() -> None:
    with pytest.raises(ValueError, match=r"carrier-pigeon.*http.*sse"):
        make_server(Log()).http_app(transport="carrier-pigeon")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"carrier-pigeon.*http.*sse"):
        make_server(Log()).run(transport="carrier-pigeon")


@pytest.mark.parametrize("path", ["mcp", "mcp/"])
def test_a_path_without_a_leading_slash(path: str) -> None:
    with pytest.raises(ValueError, match="slash"):
        make_server(Log()).http_app(path=path)


def test_an_event_store_that_is_none() -> None:
    with pytest.raises(TypeError, match="event store"):
        make_server(Log()).http_app(event_store=object())


def test_an_unknown_option() -> None:
    with pytest.raises(TypeError):
        make_server(Log()).http_app(no_such_option=1)


# Routes and middleware


async def test_routes_in_matching_order(http: httpx2.AsyncClient) -> None:
    """Auth routes, the endpoint, `routes=`, custom routes: what comes earlier can't be replaced."""

    def say(text: str) -> Any:
        async def endpoint(request: Request) -> Response:
            return PlainTextResponse(text)

        return endpoint

    metadata = "/.well-known/oauth-protected-resource/mcp"
    auth = RemoteAuthProvider(StaticTokenVerifier({}), ["https://login.example"], "http://127.0.0.1")
    mcp = make_server(Log())
    for path in (metadata, "/mcp", "/both", "/custom"):
        mcp.custom_route(path, methods=["GET", "POST"])(say(f"custom {path}"))
    given: list[BaseRoute] = [Route(path, endpoint=say(f"given {path}")) for path in (metadata, "/mcp", "/both")]
    app = create_streamable_http_app(mcp, "/mcp", auth=auth, routes=given)
    with run(app) as running:
        origin = f"http://127.0.0.1:{running.port}"
        assert "resource" in (await send(http, origin + metadata, method="GET")).json
        assert (await send(http, origin + "/mcp", ADD)).status == 401
        assert (await send(http, origin + "/both", method="GET")).text == "given /both"
        assert (await send(http, origin + "/custom", method="GET")).text == "custom /custom"
        assert (await send(http, origin + "/nothing", method="GET")).status == 404
    assert [getattr(each, "path", "") for each in app.routes] == [
        metadata,
        "/mcp",
        "/mcp/",
        metadata,
        "/mcp",
        "/both",
        "/health",
        metadata,
        "/mcp",
        "/both",
        "/custom",
    ]


def test_middleware_outermost_first() -> None:
    auth = StaticTokenVerifier({})
    mcp = make_server(Log(), auth=auth)
    mine = [Middleware(_Mark, name="a"), Middleware(_Mark, name="b")]
    for transport in ("http", "sse"):
        app = mcp.http_app(transport=transport, middleware=mine)  # type: ignore[arg-type]
        classes = [each.cls for each in app.user_middleware]
        assert classes[:2] == [RequestContextMiddleware, module.HostOriginGuardMiddleware]
        assert classes[2:-2] == [each.cls for each in auth.get_middleware()]
        assert classes[-2:] == [_Mark, _Mark]
        assert [each.kwargs["name"] for each in app.user_middleware[-2:]] == ["a", "b"]
    assert len(mine) == 2


async def test_user_middleware_wraps_the_endpoint_and_other_routes(http: httpx2.AsyncClient) -> None:
    seen: list[Any] = []
    mine = [Middleware(_Mark, name=name, seen=seen) for name in ("outer", "inner")]
    auth = StaticTokenVerifier({"secret": {"client_id": "alice"}})
    with serve(server={"auth": auth}, middleware=mine) as site:
        headers, body = modern(ADD)
        bearer = {"authorization": "Bearer secret"}
        assert (await send(http, site.url, body, {**headers, **bearer})).content == "5"
        assert (await send(http, site.url, body, headers)).status == 401
        await send(http, f"{site.origin}/health", method="GET")
        await send(http, site.url, body, {**headers, "origin": "https://evil.example"})
    # Token parsing comes before the user's; the guard before all of it.
    assert seen == [(name, path, True) for path in ("/mcp", "/mcp", "/health") for name in ("outer", "inner")]


async def test_middleware_and_handlers_added_later(http: httpx2.AsyncClient) -> None:
    seen: list[Any] = []
    app = make_server(Log()).http_app()
    app.add_middleware(_Mark, name="added", seen=seen)

    async def not_found(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return JSONResponse({"own": error.status_code}, status_code=404)

    app.add_exception_handler(404, not_found)
    with run(app) as running:
        origin = f"http://127.0.0.1:{running.port}"
        headers, body = modern(ADD)
        assert (await send(http, f"{origin}/mcp", body, headers)).content == "5"
        assert (await send(http, f"{origin}/nothing", method="GET")).json == {"own": 404}
    assert [name for name, *_ in seen] == ["added", "added"]


# Paths


PATHS = {
    "default": (None, "", ["/mcp", "/mcp/"]),
    "own path": ("/a/b", "", ["/a/b", "/a/b/"]),
    "own path with a slash": ("/a/", "", ["/a", "/a/"]),
    "root": ("/", "", ["/", ""]),
    "mounted": ("/mcp", "/api", ["/api/mcp", "/api/mcp/"]),
    "mounted twice": ("/mcp", "/api/v1", ["/api/v1/mcp", "/api/v1/mcp/"]),
    "mounted at the root": ("/mcp", "/", ["/mcp", "/mcp/"]),
    "root mounted": ("/", "/mcp", ["/mcp/"]),
}


@pytest.mark.parametrize("wrapped", [False, True], ids=["direct", "with user middleware"])
@pytest.mark.parametrize(("path", "prefix", "served"), PATHS.values(), ids=PATHS.keys())
async def test_paths_with_and_without_slash(
    path: str | None, prefix: str, served: list[str], wrapped: bool, http: httpx2.AsyncClient
) -> None:
    app = make_server(Log()).http_app(path=path, middleware=[Middleware(_Mark, name="x")] if wrapped else None)
    parent = Starlette(routes=[Mount(prefix, app)], lifespan=app.lifespan) if prefix else app
    headers, body = modern(ADD)
    with run(parent) as running:
        for each in served:
            url = f"http://127.0.0.1:{running.port}{each}"
            assert (await send(http, url, body, headers)).content == "5", each
            assert (await send(http, url, initialize())).status == 200, each
            assert (await send(http, url, method="PUT")).status == 405, each
        assert (await send(http, f"http://127.0.0.1:{running.port}/nothing/mcpx", body, headers)).status == 404


async def test_fastapi(http: httpx2.AsyncClient) -> None:
    """As the documentation recommends it: the last route, at the root."""
    log = Log()
    mcp_app = make_server(log).http_app(path="/mcp")
    app = FastAPI(lifespan=mcp_app.lifespan)

    @app.get("/hello")
    def hello() -> dict[str, str]:
        return {"hello": "world"}

    app.mount("/", mcp_app)
    with run(app) as running:
        origin = f"http://127.0.0.1:{running.port}"
        assert (await send(http, f"{origin}/hello", method="GET")).json == {"hello": "world"}
        for path in ("/mcp", "/mcp/"):
            session = await open_session(http, origin + path)
            async with stream(http, origin + path, headers=session) as events:
                assert (await send(http, origin + path, call("change", {"kind": "tool"}), session)).content == "changed"
                assert (await events.message())["method"] == "notifications/tools/list_changed"
            assert (await send(http, origin + path, call("notes"), session)).content == "noted"
            assert (await send(http, origin + path, headers=session, method="DELETE")).status == 200


async def test_two_apps_of_one_server(http: httpx2.AsyncClient) -> None:
    """They share the functions and nothing else: a session of one is none of the other."""
    mcp = make_server(Log())
    one, two = mcp.http_app(path="/mcp"), mcp.http_app(path="/mcp")
    parent = Starlette(routes=[Mount("/one", one), Mount("/two", two)])
    with run(parent) as running:
        origin = f"http://127.0.0.1:{running.port}"
        session = await open_session(http, f"{origin}/one/mcp")
        assert (await send(http, f"{origin}/one/mcp", ADD, session)).content == "5"
        assert (await send(http, f"{origin}/two/mcp", ADD, session)).status == 404


async def test_other_scopes_reach_starlette() -> None:
    app = make_server(Log()).http_app()
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send_(message: Message) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/mcp", "headers": [], "query_string": b"", "scheme": "ws"}
    await app(scope, receive, send_)
    assert sent[0]["type"] == "websocket.close"


# Lifespan


def _with_lifespan(seen: list[str]) -> FastMCP:
    @asynccontextmanager
    async def lifespan(server: FastMCP) -> AsyncGenerator[dict[str, Any]]:
        seen.append(f"in {server.name}")
        yield {"pool": "ready"}
        seen.append("out")

    mcp = FastMCP("alive", lifespan=lifespan)

    @mcp.tool
    async def pool() -> str:
        """What the lifespan made."""
        return str(mcp.lifespan_value["pool"])

    return mcp


POOL = call("pool")


async def test_the_user_s_lifespan_is_entered_once_and_again(http: httpx2.AsyncClient) -> None:
    seen: list[str] = []
    app = _with_lifespan(seen).http_app()
    for _ in range(2):
        with run(app) as running:
            headers, body = modern(POOL)
            assert (await send(http, f"http://127.0.0.1:{running.port}/mcp", body, headers)).content == "ready"
            assert seen == ["in alive"]
        assert seen == ["in alive", "out"]
        seen.clear()


async def test_an_app_that_starts_again_serves_streams_again(http: httpx2.AsyncClient) -> None:
    app = make_server(Log()).http_app()
    for _ in range(2):
        with run(app) as running:
            url = f"http://127.0.0.1:{running.port}/mcp"
            headers, body = modern(body_of("subscriptions/listen", {"notifications": {"toolsListChanged": True}}))
            async with stream(http, url, body, headers, method="POST") as events:
                await events.message()
                headers, change = modern(call("change", {"kind": "tool"}))
                await send(http, url, change, headers)
                assert (await events.message())["method"] == "notifications/tools/list_changed"


async def test_mounted_without_lifespan_an_app_just_works(http: httpx2.AsyncClient) -> None:
    app = make_server(Log()).http_app(path="/mcp")
    with run(Starlette(routes=[Mount("/api", app)])) as running:
        url = f"http://127.0.0.1:{running.port}/api/mcp"
        session = await open_session(http, url)
        async with stream(http, url, headers=session) as events:
            await send(http, url, call("change", {"kind": "tool"}), session)
            assert (await events.message())["method"] == "notifications/tools/list_changed"


async def test_mounted_without_the_lifespan_it_needs_the_error_says_what_to_add(http: httpx2.AsyncClient) -> None:
    seen: list[str] = []
    app = _with_lifespan(seen).http_app(path="/mcp")
    with run(Starlette(routes=[Mount("/api", app)])) as running:
        url = f"http://127.0.0.1:{running.port}/api/mcp"
        headers, body = modern(POOL)
        reply = await send(http, url, body, headers)
        assert "lifespan=mcp_app.lifespan" in reply.text
        assert reply.status < 500
    assert seen == []


async def test_a_lifespan_passed_on_to_the_parent(http: httpx2.AsyncClient) -> None:
    seen: list[str] = []
    app = _with_lifespan(seen).http_app(path="/mcp")
    with run(Starlette(routes=[Mount("/api", app)], lifespan=app.lifespan)) as running:
        headers, body = modern(POOL)
        assert (await send(http, f"http://127.0.0.1:{running.port}/api/mcp", body, headers)).content == "ready"
    assert seen == ["in alive", "out"]


async def test_combined_lifespans(http: httpx2.AsyncClient) -> None:
    seen: list[str] = []
    apps = [_with_lifespan(seen).http_app(path="/mcp") for _ in range(2)]
    parent = Starlette(
        routes=[Mount("/one", apps[0]), Mount("/two", apps[1])],
        lifespan=combine_lifespans(*(app.lifespan for app in apps)),
    )
    with run(parent) as running:
        headers, body = modern(POOL)
        for name in ("one", "two"):
            assert (await send(http, f"http://127.0.0.1:{running.port}/{name}/mcp", body, headers)).content == "ready"
        assert seen == ["in alive", "in alive"]
    assert seen == ["in alive", "in alive", "out", "out"]
