"""Every route there is, on real servers: the MCP endpoint, HTTP+SSE, OAuth, well-known documents, custom routes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from headrace.server.auth import OAuthProxy, StaticTokenVerifier
from headrace.server.auth.oauth.contract import OAuthClientInformationFull
from headrace.server.auth.oauth.embedded import EmbeddedOAuthProvider
from headrace.server.auth.oauth.passwords import hash_password

from ..http.probe import Log, make_server
from ..http.servers import Site, run, serve
from ..http.wire import ACCEPT, Raw, raw

__all__ = ["BASE", "ROUTES", "House", "Route", "ask", "house"]

BASE = "http://localhost:8000"
"""What the authorization server calls itself; where it listens does not matter to it."""
REDIRECT = "https://app.example/callback"


@dataclass(frozen=True)
class Route:
    app: str
    method: str
    path: str
    type: str = "application/json"

    def __str__(self) -> str:
        return f"{self.app} {self.method} {self.path}"


FORM = "application/x-www-form-urlencoded"
ROUTES = (
    Route("plain", "POST", "/mcp"),
    Route("plain", "GET", "/mcp"),
    Route("plain", "DELETE", "/mcp"),
    Route("plain", "GET", "/health"),
    Route("plain", "GET", "/nothing"),
    Route("sse", "GET", "/sse"),
    Route("sse", "POST", "/messages/"),
    Route("oauth", "POST", "/mcp"),
    Route("oauth", "GET", "/.well-known/oauth-protected-resource/mcp"),
    Route("oauth", "GET", "/.well-known/oauth-authorization-server"),
    Route("oauth", "GET", "/authorize"),
    Route("oauth", "POST", "/authorize", FORM),
    Route("oauth", "POST", "/token", FORM),
    Route("oauth", "POST", "/register"),
    Route("oauth", "POST", "/revoke", FORM),
    Route("oauth", "GET", "/login"),
    Route("oauth", "POST", "/login", FORM),
    Route("proxy", "GET", "/consent"),
    Route("proxy", "POST", "/consent", FORM),
    Route("proxy", "GET", "/auth/callback"),
)


@dataclass
class House:
    site: Site
    """The app without authentication."""
    ports: Mapping[str, int]

    def port(self, route: Route) -> int:
        return self.ports[route.app]


@contextmanager
def house() -> Iterator[House]:
    client = OAuthClientInformationFull(
        client_id="known", token_endpoint_auth_method="none", redirect_uris=[REDIRECT], client_name="Known"
    )
    auth = EmbeddedOAuthProvider(BASE, users={"ann": hash_password("a good password")}, clients=[client])
    proxy = OAuthProxy(
        upstream_authorization_endpoint="http://127.0.0.1:1/authorize",
        upstream_token_endpoint="http://127.0.0.1:1/token",
        upstream_client_id="at the provider",
        token_verifier=StaticTokenVerifier({}),
        base_url=BASE,
    )
    with ExitStack() as stack:
        site = stack.enter_context(serve())
        oauth = stack.enter_context(run(make_server(Log(), auth=auth).http_app()))
        proxied = stack.enter_context(run(make_server(Log(), auth=proxy).http_app()))
        sse = stack.enter_context(run(make_server(Log()).http_app(transport="sse")))
        yield House(site, {"plain": site.port, "oauth": oauth.port, "proxy": proxied.port, "sse": sse.port})


async def ask(port: int, route: Route, headers: Mapping[str, str | None] | None = None, body: bytes = b"") -> Raw:
    """One request on a connection of its own, as bytes; a header that is None is not sent."""
    fields: dict[str, Any] = {"Host": f"127.0.0.1:{port}", "Connection": "close", "Accept": ACCEPT}
    if route.method == "POST":
        fields |= {"Content-Type": route.type, "Content-Length": len(body)}
    for name, value in (headers or {}).items():
        fields[name] = value
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    head = "\r\n".join([f"{route.method} {route.path} HTTP/1.1", *lines, "", ""])
    return await raw(port, head.encode("latin-1") + body)


def content(message: Any) -> bytes:
    return json.dumps(message).encode()
