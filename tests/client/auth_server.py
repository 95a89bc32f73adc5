"""An authorization server of a few lines that can be told to misbehave, and an MCP server that trusts it."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from headrace import FastMCP
from headrace.server.auth import AccessToken, AuthProvider, RemoteAuthProvider, require_scopes
from headrace.testing import run_server_async
from headrace.testing.ports import find_available_port

__all__ = ["AuthorizationServer", "protected"]

Answer = Callable[[Mapping[str, str]], Response | None]


class AuthorizationServer:
    """`metadata` goes over what is published, `redirect` over the parameters of the redirect (None takes one out);
    `token`, `register` answer instead where they return something. `scopes` None grants what is asked for."""

    def __init__(self) -> None:
        self.issuer = ""
        self.metadata: dict[str, Any] = {}
        self.redirect: dict[str, str | None] = {}
        self.token: Answer = lambda form: None
        self.register: Answer = lambda document: None
        self.scopes: str | None = None
        self.require: Callable[[str], None]
        """One more scope for the MCP server."""
        self.lifetime: int | None = 3600
        self.delay: Callable[[Mapping[str, str]], Awaitable[None]] | None = None
        self.heads: list[bytes] = []
        """All headers that came."""
        self.valid: dict[str, AccessToken] = {}
        self.refresh: dict[str, str] = {}
        """Refresh tokens, and their scopes."""
        self.clients: dict[str, dict[str, Any]] = {}
        self.codes: dict[str, Mapping[str, str]] = {}
        self.seen: list[tuple[str, Mapping[str, Any]]] = []

    def asked(self, what: str) -> list[Mapping[str, Any]]:
        return [params for name, params in self.seen if name == what]

    def http_app(self, **_: Any) -> Any:
        well_known = "/.well-known/oauth-authorization-server"
        app = Starlette(
            routes=[
                Route(well_known, self._metadata),
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
                Route("/register", self._register, methods=["POST"]),
            ]
        )
        app.state.path = ""
        app.drain = lambda: None  # pyright: ignore[reportAttributeAccessIssue]
        return app

    async def _metadata(self, request: Request) -> Response:
        published = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "registration_endpoint": f"{self.issuer}/register",
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            **self.metadata,
        }
        return JSONResponse({name: value for name, value in published.items() if value is not None})

    async def _register(self, request: Request) -> Response:
        document = await request.json()
        self.seen.append(("register", document))
        instead = self.register(document)
        if instead is not None:
            return instead
        client_id = f"client-{len(self.clients) + 1}"
        self.clients[client_id] = document
        return JSONResponse({**document, "client_id": client_id}, 201)

    async def _authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        self.seen.append(("authorize", asked))
        code = secrets.token_urlsafe()
        self.codes[code] = asked
        given = {"code": code, "state": asked["state"], "iss": self.issuer, **self.redirect}
        answer = urlencode({name: value for name, value in given.items() if value is not None})
        return RedirectResponse(f"{asked['redirect_uri']}?{answer}", 302)

    async def _token(self, request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        self.seen.append(("token", {**form, "authorization": request.headers.get("authorization")}))
        self.heads += [value for pair in request.headers.raw for value in pair]
        if self.delay is not None:
            await self.delay(form)
        instead = self.token(form)
        if instead is not None:
            return instead
        if form["grant_type"] == "refresh_token":
            scope = self.refresh.pop(form["refresh_token"], None)
            if scope is None:
                return JSONResponse({"error": "invalid_grant"}, 400)
            return self._granted(scope)
        if form["grant_type"] == "client_credentials":
            return self._granted(form.get("scope", ""))
        asked = self.codes.pop(form["code"])
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == asked["code_challenge"]
        assert form["redirect_uri"] == asked["redirect_uri"]
        assert form["resource"] == asked["resource"]
        return self._granted(asked.get("scope", ""))

    def _granted(self, scope: str) -> Response:
        granted = scope if self.scopes is None else self.scopes
        token, refresh = secrets.token_urlsafe(), secrets.token_urlsafe()
        self.valid[token] = AccessToken(token=token, client_id="c", scopes=granted.split())
        self.refresh[refresh] = granted
        given = {"access_token": token, "token_type": "Bearer", "scope": granted, "refresh_token": refresh}
        return JSONResponse(given if self.lifetime is None else {**given, "expires_in": self.lifetime})


class Verifier(AuthProvider):
    cache_seconds = 0  # tests end tokens at once

    def __init__(self, server: AuthorizationServer) -> None:
        super().__init__()
        self.server = server

    async def verify_token(self, token: str) -> AccessToken | None:
        return self.server.valid.get(token)


@asynccontextmanager
async def protected(server: AuthorizationServer, *, scopes_supported: list[str] | None = None) -> AsyncIterator[str]:
    """The URL of an MCP server whose tokens come from `server`, which is served meanwhile."""
    async with run_server_async(server) as issuer:
        server.issuer = issuer
        port = find_available_port()
        base_url = f"http://127.0.0.1:{port}"
        auth = RemoteAuthProvider(Verifier(server), [issuer], base_url, scopes_supported=scopes_supported)
        server.require = auth.required_scopes.append
        mcp = FastMCP("protected", auth=auth)

        @mcp.tool
        def add(a: int, b: int) -> int:
            return a + b

        @mcp.tool(auth=require_scopes("admin"))
        def secret() -> str:
            return "told"

        async with run_server_async(mcp, port=port) as url:
            yield url
