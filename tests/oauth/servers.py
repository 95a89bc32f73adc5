"""MCP servers that are guarded in the three ways, and can be started again in the same place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
import uvicorn

from headrace import FastMCP
from headrace.server.auth import AuthProvider, RemoteAuthProvider, require_scopes
from headrace.server.auth.jwt import JWTVerifier
from headrace.server.auth.oauth.embedded import EmbeddedOAuthProvider
from headrace.server.auth.oauth.passwords import hash_password
from headrace.server.auth.oidc_proxy import OIDCProxy
from headrace.server.dependencies import get_access_token, get_http_request
from headrace.server.run import PROTOCOL
from headrace.state.records import RecordStore
from headrace.state.sqlite import SqliteRecordStore

from ..robustness.wire import listener
from .browser import PASSWORD

__all__ = ["TOKEN_SECONDS", "Host", "embedded", "hosting", "proxied", "remote"]

TOKEN_SECONDS = 3
"""How long access tokens are good."""
KEY = "0123456789abcdef0123456789abcdef-for-tests"
HASHED = hash_password(PASSWORD)

Make = Callable[[str, RecordStore], AuthProvider]
"""From the origin of the app, and a store that outlives it."""


class Host:
    """An app on a port of its own."""

    def __init__(self, make: Make, folder: Path, path: str) -> None:
        self._make = make
        self._file = folder / "records.db"
        self._bound = listener()
        self.origin = f"http://127.0.0.1:{self._bound.getsockname()[1]}"
        self.url = self.origin + path
        self._path = path
        self.ran: list[str] = []
        """Tools that ran."""
        self.tokens: list[str] = []
        """What they were called with."""
        self.auth: AuthProvider
        self._server: uvicorn.Server
        self._task: asyncio.Task[None]

    async def start(self) -> None:
        self._store = SqliteRecordStore(self._file)
        self.auth = self._make(self.origin, self._store)
        app = guarded(self.auth, self).http_app(self._path)
        config = uvicorn.Config(app, http=PROTOCOL, log_level="warning", ws="none", timeout_graceful_shutdown=5)
        self._server = uvicorn.Server(config)
        # It closes what it is given; the port stays ours, and who connects meanwhile waits.
        self._task = asyncio.create_task(self._server.serve([self._bound.dup()]))

    async def stop(self) -> None:
        self._server.should_exit = True
        await self._task
        await self._store.close()

    async def restart(self) -> None:
        """Another app in the same place: nothing is left of the first but what it wrote down."""
        await self.stop()
        await self.start()

    def close(self) -> None:
        self._bound.close()


@asynccontextmanager
async def hosting(make: Make, folder: Path, path: str = "/mcp") -> AsyncIterator[Host]:
    with closing(Host(make, folder, path)) as host:
        await host.start()
        try:
            yield host
        finally:
            await host.stop()


def guarded(auth: AuthProvider, host: Host) -> FastMCP:
    server: FastMCP = FastMCP("guarded", auth=auth)

    def called(tool: str) -> dict[str, Any]:
        host.ran.append(tool)
        host.tokens.append(get_http_request().headers["authorization"].removeprefix("Bearer "))
        return get_access_token().claims

    @server.tool
    def who() -> dict[str, Any]:
        """Who calls."""
        return called("who")

    @server.tool(auth=require_scopes("write"))
    def change() -> dict[str, Any]:
        """For those who may write."""
        return called("change")

    return server


def remote(issuer: str, path: str) -> Make:
    """Behind the tokens of an authorization server elsewhere."""

    def make(origin: str, store: RecordStore) -> AuthProvider:
        verifier = JWTVerifier(
            jwks_uri=f"{issuer}/jwks",
            issuer=issuer,
            audience=origin + path,
            algorithm="ES256",
            required_scopes=["read"],
            leeway_seconds=0,
        )
        return RemoteAuthProvider(verifier, [issuer], origin)

    return make


def embedded(origin: str, store: RecordStore) -> AuthProvider:
    """Its own authorization server, with a user who is kept in it."""
    return EmbeddedOAuthProvider(
        origin,
        users={"ann": HASHED},
        required_scopes=["read"],
        scopes_supported=["read", "write"],
        store=store,
        secret_key=KEY,
        access_token_seconds=TOKEN_SECONDS,
    )


class _Proxy(OIDCProxy):
    """The provider gives refresh tokens to those who ask for them."""

    def upstream_scopes(self, scopes: list[str]) -> list[str]:
        return [*super().upstream_scopes(scopes), "offline_access"]


def proxied(issuer: str, *, verify_id_token: bool = False) -> Make:
    """In front of a provider that knows it as one client."""

    @cache
    def registered(origin: str) -> dict[str, Any]:
        document = {
            "client_name": "proxy",
            "application_type": "native",  # or it had to be https
            "redirect_uris": [f"{origin}/auth/callback"],
            "grant_types": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_method": "client_secret_basic",
        }
        return httpx2.post(f"{issuer}/reg", json=document).raise_for_status().json()

    def make(origin: str, store: RecordStore) -> AuthProvider:
        client = registered(origin)
        return _Proxy(
            config_url=f"{issuer}/.well-known/openid-configuration",
            client_id=client["client_id"],
            client_secret=client["client_secret"],
            base_url=origin,
            required_scopes=["read"],
            valid_scopes=["read", "write"],
            verify_id_token=verify_id_token,
            extra_authorize_params={"prompt": "consent"},
            client_storage=store,
            jwt_signing_key=KEY,
            fastmcp_access_token_expiry_seconds=TOKEN_SECONDS,
        )

    return make
