"""Where a server says what it is, also when its app is mounted, and who may read it (RFC 9728)."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from headrace import FastMCP
from headrace.server.auth import RemoteAuthProvider, StaticTokenVerifier, well_known_routes
from headrace.server.auth.metadata import document_route
from headrace.testing.asgi import StreamingASGITransport, run_asgi_lifespan

from ..http.wire import initialize, send

HOST = "https://mcp.example.com"
PLACE = "/.well-known/oauth-protected-resource"


def provider(base_url: str = HOST, **options: Any) -> RemoteAuthProvider:
    verifier = StaticTokenVerifier({"t": {"client_id": "app"}})
    return RemoteAuthProvider(verifier, ["https://login.example.com"], base_url, **options)


async def asking(stack: AsyncExitStack, app: Any) -> httpx2.AsyncClient:
    state = await stack.enter_async_context(run_asgi_lifespan(app))
    transport = StreamingASGITransport(app, state=state)
    return await stack.enter_async_context(httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1"))


@pytest.mark.parametrize("prefix", ["/api", "/a/b"])
@pytest.mark.parametrize("path", ["/mcp", "/"])
async def test_a_mounted_app(prefix: str, path: str) -> None:
    """What the challenge names is there, at the root of the host."""
    mcp_app = FastMCP("mounted", auth=provider(HOST + prefix)).http_app(path)
    parent = Starlette(routes=[*well_known_routes(mcp_app), Mount(prefix, app=mcp_app)], lifespan=mcp_app.lifespan)
    async with AsyncExitStack() as stack:
        http = await asking(stack, parent)
        refused = await send(http, f"{prefix}{path}", initialize())
        url = refused.headers["www-authenticate"].partition('resource_metadata="')[2].rstrip('"')
        resource = (HOST + prefix + path).rstrip("/")
        assert url == f"{HOST}{PLACE}{prefix}{path}".rstrip("/")
        reply = await http.get(url.removeprefix(HOST))
        assert reply.json()["resource"] == resource


async def test_two_apps_under_one_parent() -> None:
    apps = {prefix: FastMCP(prefix, auth=provider(HOST + prefix)).http_app("/mcp") for prefix in ("/one", "/two")}
    routes = [route for app in apps.values() for route in well_known_routes(app)]
    parent = Starlette(routes=[*routes, *(Mount(prefix, app=app) for prefix, app in apps.items())])
    async with AsyncExitStack() as stack:
        http = await asking(stack, parent)
        for prefix in apps:
            assert (await http.get(f"{PLACE}{prefix}/mcp")).json()["resource"] == f"{HOST}{prefix}/mcp"


def test_an_open_server_needs_no_routes() -> None:
    assert well_known_routes(FastMCP("open").http_app()) == []


async def test_another_url_of_the_resource() -> None:
    auth = provider("https://internal.example", resource_base_url=HOST)
    (route,) = auth.get_well_known_routes("/mcp")
    assert route.path == f"{PLACE}/mcp"
    assert auth.metadata("/mcp")["resource"] == f"{HOST}/mcp"
    assert auth.metadata_url("/mcp") == f"{HOST}{PLACE}/mcp"


def test_whether_tokens_can_be_renewed_is_no_scope_of_a_resource() -> None:
    assert provider(scopes_supported=["read", "offline_access"]).metadata("/mcp")["scopes_supported"] == ["read"]
    assert "scopes_supported" not in provider().metadata("/mcp")


async def test_every_page_may_read_it() -> None:
    asked = 0

    def make() -> dict[str, Any]:
        nonlocal asked
        asked += 1
        return {"asked": asked}

    async with AsyncExitStack() as stack:
        http = await asking(stack, Starlette(routes=[document_route("/.well-known/x", make, "x")]))
        for number in (1, 2):
            reply = await http.get("/.well-known/x")
            assert reply.json() == {"asked": number}
            assert reply.headers["cache-control"] == "public, max-age=3600"
            assert reply.headers["access-control-allow-origin"] == "*"
        preflight = await http.options("/.well-known/x")
        assert (preflight.status_code, preflight.content) == (204, b"")
        assert preflight.headers["access-control-allow-origin"] == "*"
        assert preflight.headers["access-control-allow-headers"] == "mcp-protocol-version"
        assert (await http.post("/.well-known/x")).status_code == 405
