"""An MCP server behind the provider's tokens, also those that are bound to a key, and what it saw."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn

from headrace import FastMCP
from headrace.server.auth import AccessToken, DPoP, JWTVerifier, RemoteAuthProvider
from headrace.server.dependencies import get_access_token

from ..robustness.wire import listener

__all__ = ["Site", "serving_site"]


class Verifier(JWTVerifier):
    """Knows which tokens it saw, and can end them."""

    def __init__(self, issuer: str) -> None:
        super().__init__(
            jwks_uri=f"{issuer}/jwks",
            issuer=issuer,
            algorithm="ES256",
            required_scopes=["read"],
            leeway_seconds=0,
            cache_seconds=0,
        )
        self.ended: set[str] = set()
        """Tokens that this server no longer takes."""
        self.seen: list[str] = []

    async def verify_token(self, token: str) -> AccessToken | None:
        if token not in self.seen:
            self.seen.append(token)
        return None if token in self.ended else await super().verify_token(token)


class Proofs(DPoP):
    """Asks for a nonce that a test can change."""

    def __init__(self) -> None:
        super().__init__("required")
        self.nonce = "first"
        self.proofs: list[dict[str, Any]] = []
        """The claims of those that were good."""

    def nonces(self) -> tuple[str, ...]:
        return (self.nonce,)

    def check(self, scope: MutableMapping[str, Any], url: str, access: AccessToken) -> dict[str, Any]:
        claims = super().check(scope, url, access)
        self.proofs.append(claims)
        return claims


@dataclass
class Site:
    url: str
    verifier: Verifier
    provider: RemoteAuthProvider
    door: Proofs
    ran: list[str] = field(default_factory=list[str])
    """Tools that ran."""


def make_server(provider: RemoteAuthProvider, ran: list[str]) -> FastMCP:
    server: FastMCP = FastMCP("guarded", auth=provider)

    @server.tool
    def who() -> dict[str, Any]:
        ran.append("who")
        return get_access_token().claims

    return server


@asynccontextmanager
async def serving_site(issuer: str, path: str, *, dpop: bool) -> AsyncIterator[Site]:
    """The server on a free loopback port. Tokens live for an hour; those for the path "/brief" for seconds."""
    bound = listener()
    origin = f"http://127.0.0.1:{bound.getsockname()[1]}"
    verifier, door = Verifier(issuer), Proofs()
    provider = RemoteAuthProvider(verifier, [issuer], origin, dpop=door if dpop else "off")
    ran: list[str] = []
    app = make_server(provider, ran).http_app(path)
    config = uvicorn.Config(app, log_level="warning", ws="none", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve([bound]))
    try:
        yield Site(origin + path, verifier, provider, door, ran)
    finally:
        server.should_exit = True
        await task
