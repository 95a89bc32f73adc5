"""A small identity provider on a loopback port that does what a test tells it, and remembers what it was asked."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from ..http.servers import run

__all__ = ["CLIENT_ID", "SECRET", "Upstream", "upstream"]

CLIENT_ID = "proxy-at-the-provider"
SECRET = "a secret: of %the proxy"
KEY = RSAKey.generate_key(2048, {"kid": "one"})


@dataclass
class Upstream:
    """`refuses`: the error that the token endpoint answers, with `status`; `down`: every answer is a 503."""

    base: str = ""
    subject: str = "alice"
    scope: str | None = None
    expires_in: int | None = 3600
    rotates: bool = True
    refuses: str | None = None
    status: int = 400
    down: bool = False
    jwts: bool = False
    key: RSAKey = field(default_factory=lambda: KEY)
    """What it signs with; it publishes `KEY`."""
    access_claims: dict[str, Any] = field(default_factory=dict)
    id_claims: dict[str, Any] = field(default_factory=dict)
    configuration: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    live: dict[str, str] = field(default_factory=dict)
    """Access tokens that are good: whose."""
    refresh_tokens: set[str] = field(default_factory=set)
    revoked: list[str] = field(default_factory=list)
    _pending: dict[str, dict[str, str]] = field(default_factory=dict)
    _made: int = 0

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
                Route("/revoke", self._revoke, methods=["POST"]),
                Route("/userinfo", self._userinfo),
                Route("/jwks", self._jwks),
                Route("/.well-known/openid-configuration", self._configuration),
            ]
        )

    def came(self, path: str) -> list[dict[str, str]]:
        return [form for where, form in self.asked if where == path]

    async def _authorize(self, request: Request) -> Response:
        query = dict(request.query_params)
        self.asked.append(("/authorize", query))
        code = f"upstream-code-{len(self._pending)}"
        self._pending[code] = query
        answer = {"code": code, "state": query["state"], "iss": self.base}
        return RedirectResponse(f"{query['redirect_uri']}?{urlencode(answer)}", 302)

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        self.asked.append(("/token", form))
        if self.down:
            return Response("down", 503)
        pair = base64.b64encode(b"proxy-at-the-provider:a%20secret%3A%20of%20%25the%20proxy").decode()
        if request.headers.get("authorization") != f"Basic {pair}":
            return JSONResponse({"error": "invalid_client"}, 401)
        if self.refuses is not None:
            return JSONResponse({"error": self.refuses}, self.status)
        nonce = None
        if form["grant_type"] == "authorization_code":
            query = self._pending.pop(form["code"], None)
            digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
            proof = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            if (
                query is None
                or query.get("code_challenge", proof) != proof
                or query["redirect_uri"] != form["redirect_uri"]
            ):
                return JSONResponse({"error": "invalid_grant"}, 400)
            nonce = query.get("nonce")
        elif form["refresh_token"] not in self.refresh_tokens:
            return JSONResponse({"error": "invalid_grant"}, 400)
        elif self.rotates:
            self.refresh_tokens.discard(form["refresh_token"])
        return JSONResponse(self._tokens(nonce))

    def _tokens(self, nonce: str | None) -> dict[str, Any]:
        self._made += 1
        now = int(time.time())
        claims = {"iss": self.base, "sub": self.subject, "iat": now, "exp": now + 3600}
        access = f"upstream-access-{self._made}"
        if self.jwts:
            said = {**claims, "aud": CLIENT_ID, "scope": self.scope or "", "jti": access, **self.access_claims}
            access = self.signed(said)
        refresh = f"upstream-refresh-{self._made}"
        self.live[access] = self.subject
        answer: dict[str, Any] = {"access_token": access, "token_type": "bearer"}
        if self.rotates or self._made == 1:
            self.refresh_tokens.add(refresh)
            answer["refresh_token"] = refresh
        if self.expires_in is not None:
            answer["expires_in"] = self.expires_in
        if self.scope is not None:
            answer["scope"] = self.scope
        if nonce is not None or self.id_claims:
            id_claims = {**claims, "aud": CLIENT_ID, "nonce": nonce, "email": "alice@corp.example", **self.id_claims}
            answer["id_token"] = self.signed({name: value for name, value in id_claims.items() if value is not None})
        return answer

    def signed(self, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.key)

    async def _revoke(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        self.revoked.append(form["token"])
        return Response(status_code=503 if self.down else 200)

    async def _userinfo(self, request: Request) -> Response:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        self.asked.append(("/userinfo", {"token": token}))
        if self.down:
            return Response("down", 503)
        if token not in self.live:
            return JSONResponse({"error": "invalid_token"}, 401)
        return JSONResponse({"sub": self.live[token], "name": "Alice", "scope": self.scope or ""})

    async def _jwks(self, request: Request) -> Response:
        return JSONResponse({"keys": [KEY.as_dict(private=False)]})

    async def _configuration(self, request: Request) -> Response:
        self.asked.append(("/configuration", {}))
        if self.down:
            return Response("down", 503)
        known = {
            "issuer": self.base,
            "authorization_endpoint": f"{self.base}/authorize",
            "token_endpoint": f"{self.base}/token",
            "revocation_endpoint": f"{self.base}/revoke",
            "jwks_uri": f"{self.base}/jwks",
            "authorization_response_iss_parameter_supported": True,
        }
        return JSONResponse({**known, **self.configuration})


@contextmanager
def upstream() -> Iterator[Upstream]:
    provider = Upstream()
    with run(provider.app()) as running:
        provider.base = f"http://127.0.0.1:{running.port}"
        yield provider
