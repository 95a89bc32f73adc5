"""An MCP server behind the provider's tokens, and a door that takes DPoP (RFC 9449, 7)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx2
import uvicorn
from joserfc import jwk, jwt
from joserfc.errors import JoseError
from joserfc.jws import extract_compact
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headrace import FastMCP
from headrace.server.auth import AccessToken, RemoteAuthProvider, TokenVerifier
from headrace.server.dependencies import get_access_token

from ..robustness.wire import listener

__all__ = ["Site", "serving_site"]


class Verifier(TokenVerifier):
    """JWT access tokens (RFC 9068) of one issuer for one resource."""

    def __init__(self, issuer: str, resource: str, keys: jwk.KeySet) -> None:
        super().__init__(required_scopes=["read"])
        self._keys = keys
        self._claims = jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": resource},
            exp={"essential": True},
        )
        self.ended: set[str] = set()
        """Tokens that this server no longer takes."""
        self.seen: list[str] = []

    async def verify_token(self, token: str) -> AccessToken | None:
        if token not in self.seen:
            self.seen.append(token)
        try:
            decoded = jwt.decode(token, self._keys, algorithms=["ES256"])
            self._claims.validate(decoded.claims)
        except (JoseError, ValueError):
            return None
        if decoded.header.get("typ") != "at+jwt" or token in self.ended:
            return None
        claims = decoded.claims
        return AccessToken(
            token=token,
            client_id=claims["client_id"],
            scopes=claims.get("scope", "").split(),
            expires_at=claims["exp"],
            resource=claims["aud"],
            claims=claims,
        )


class Door:
    """Lets in whoever proves to have the key of a DPoP token; a proof needs the nonce of this server."""

    def __init__(self, app: ASGIApp, url: str) -> None:
        self._app = app
        self._url = url
        self.nonce = "first"
        self.proofs: list[dict[str, Any]] = []
        """The claims of those that were good."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != urlsplit(self._url).path:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        scheme, _, token = headers.get("authorization", "").partition(" ")
        error = self._error(scope["method"], headers.getlist("dpop"), token) if scheme == "DPoP" else None
        if error is not None:
            challenge = f'DPoP error="{error}", algs="ES256"'
            await Response(status_code=401, headers={"www-authenticate": challenge, "dpop-nonce": self.nonce})(
                scope, receive, send
            )
            return
        # A token without proof reaches the app as no token at all: it is bound to a key.
        kept = [pair for pair in scope["headers"] if pair[0] != b"authorization"]
        if scheme == "DPoP":
            kept.append((b"authorization", f"Bearer {token}".encode()))

        async def as_dpop(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    (name, b"DPoP" + value.removeprefix(b"Bearer") if name == b"www-authenticate" else value)
                    for name, value in message["headers"]
                ]
            await send(message)

        await self._app({**scope, "headers": kept}, receive, as_dpop)

    def _error(self, method: str, proofs: list[str], token: str) -> str | None:
        """RFC 9449, 4.3: what is wrong with a proof."""
        try:
            (proof,) = proofs
            key = jwk.import_key(extract_compact(proof.encode()).headers()["jwk"])
            decoded = jwt.decode(proof, key, algorithms=["ES256"])
            claims = decoded.claims
            facts = (decoded.header["typ"], key.is_private, claims["htm"], claims["htu"], claims["ath"])
            bound = json.loads(extract_compact(token.encode()).payload)["cnf"]["jkt"] == key.thumbprint()
            fresh = abs(claims["iat"] - time.time()) < 60 and claims["jti"] not in [each["jti"] for each in self.proofs]
        except (JoseError, ValueError, KeyError):
            return "invalid_dpop_proof"
        digest = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
        if facts != ("dpop+jwt", False, method, self._url, digest) or not bound or not fresh:
            return "invalid_dpop_proof"
        if claims.get("nonce") != self.nonce:
            return "use_dpop_nonce"
        self.proofs.append(claims)
        return None


@dataclass
class Site:
    url: str
    verifier: Verifier
    provider: RemoteAuthProvider
    door: Door
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
    async with httpx2.AsyncClient() as http:
        keys = jwk.KeySet.import_key_set((await http.get(f"{issuer}/jwks")).json())
    bound = listener()
    origin = f"http://127.0.0.1:{bound.getsockname()[1]}"
    verifier = Verifier(issuer, origin + path, keys)
    provider = RemoteAuthProvider(verifier, [issuer], origin)
    ran: list[str] = []
    app = make_server(provider, ran).http_app(path)
    door = Door(app, origin + path)
    config = uvicorn.Config(door if dpop else app, log_level="warning", ws="none", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve([bound]))
    try:
        yield Site(origin + path, verifier, provider, door, ran)
    finally:
        server.should_exit = True
        await task
