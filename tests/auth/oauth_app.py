"""An authorization server with clients of every kind, over HTTP without a socket, and what they send."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
from joserfc import jwt
from joserfc.jwk import ECKey, Key

from headrace import FastMCP
from headrace.server.auth.oauth.contract import OAuthClientInformationFull
from headrace.server.auth.oauth.embedded import InMemoryOAuthProvider
from headrace.server.auth.oauth.identity_assertion import IdentityAssertion
from headrace.server.auth.oauth.provider import OAuthProvider
from headrace.state.memory_records import MemoryRecordStore
from headrace.testing import asgi_server

__all__ = [
    "CHALLENGE",
    "CLIENT_KEY",
    "CODE_FORM",
    "IDP",
    "IDP_KEY",
    "ISSUER",
    "QUERY",
    "REDIRECT",
    "RESOURCE",
    "SECRET",
    "VERIFIER",
    "Pairs",
    "Site",
    "Watched",
    "basic",
    "changed",
    "client_assertion",
    "id_jag",
    "query_of",
    "running",
]

ISSUER = "http://localhost:8000"
RESOURCE = f"{ISSUER}/mcp"
REDIRECT = "https://app.example/callback"
LOOPBACK = "http://127.0.0.1/callback"
SECRET = "the-secret-of-this-client"
IDP = "https://idp.example"
VERIFIER = "a-verifier-that-is-long-enough-to-be-one-0123456789"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
CLIENT_KEY = ECKey.generate_key("P-256", {"kid": "client"})
IDP_KEY = ECKey.generate_key("P-256", {"kid": "idp"})

Pairs = Sequence[tuple[str, str]]

QUERY: Pairs = (
    ("response_type", "code"),
    ("client_id", "public"),
    ("redirect_uri", REDIRECT),
    ("code_challenge", CHALLENGE),
    ("code_challenge_method", "S256"),
    ("state", "a state & more"),
    ("resource", RESOURCE),
)
CODE_FORM: Pairs = (
    ("grant_type", "authorization_code"),
    ("client_id", "public"),
    ("redirect_uri", REDIRECT),
    ("code_verifier", VERIFIER),
)


def _client(client_id: str, method: str = "none", **members: Any) -> OAuthClientInformationFull:
    known = {"redirect_uris": [REDIRECT, LOOPBACK], "client_name": client_id.title(), **members}
    return OAuthClientInformationFull(client_id=client_id, token_endpoint_auth_method=method, **known)


CLIENTS = (
    _client("public"),
    _client("other", redirect_uris=["https://other.example/callback", REDIRECT]),
    _client("single", redirect_uris=[REDIRECT]),
    _client("reader", scope="read"),
    _client("closed", grant_types=["client_credentials"]),
    _client("unrefreshed", grant_types=["authorization_code"]),
    _client("basic", "client_secret_basic", client_secret=SECRET),
    _client("post", "client_secret_post", client_secret=SECRET),
    _client("odd :+%", "client_secret_basic", client_secret="a secret: +%"),
    _client("lapsed", "client_secret_basic", client_secret=SECRET, client_secret_expires_at=1),
    _client("key", "private_key_jwt", jwks={"keys": [CLIENT_KEY.as_dict(private=False)]}),
    _client(
        "machine",
        "client_secret_basic",
        client_secret=SECRET,
        grant_types=["client_credentials"],
        scope="read write",
        redirect_uris=None,
    ),
    _client("public machine", grant_types=["client_credentials"], redirect_uris=None),
)


class Watched(MemoryRecordStore):
    """Tells what was written: no grant is issued without it."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: time.time())
        self.written: list[str] = []

    async def put(self, kind: str, key: str, value: bytes, *, ttl: float | None = None) -> None:
        self.written.append(kind)
        await super().put(kind, key, value, ttl=ttl)

    async def swap(
        self, kind: str, key: str, expected: bytes | None, value: bytes, *, ttl: float | None = None
    ) -> bool:
        done = await super().swap(kind, key, expected, value, ttl=ttl)
        if done:
            self.written.append(kind)
        return done

    @property
    def grants(self) -> int:
        """How often a grant was made or moved on."""
        return self.written.count("oauth-grant")


@dataclass
class Site:
    provider: Any
    store: Watched
    http: httpx2.AsyncClient

    async def authorize(self, query: Pairs = QUERY, method: str = "GET", **options: Any) -> httpx2.Response:
        if method == "GET":
            return await self.http.get(f"/authorize?{urlencode(query)}", **options)
        return await self.post("/authorize", query, **options)

    async def post(
        self, path: str, form: Pairs | bytes | str, headers: Mapping[str, str] | None = None, **options: Any
    ) -> httpx2.Response:
        content = form if isinstance(form, bytes | str) else urlencode(form)
        sent = {"content-type": "application/x-www-form-urlencoded", **(headers or {})}
        return await self.http.post(path, content=content, headers=sent, **options)

    async def code(self, **changes: str | None) -> str:
        reply = await self.authorize(changed(QUERY, **changes))
        return query_of(reply)["code"]

    async def redeem(self, code: str, **changes: str | None) -> httpx2.Response:
        return await self.post("/token", changed(CODE_FORM, code=code, **changes))

    async def tokens(self, **changes: str | None) -> dict[str, Any]:
        """Those of the public client."""
        reply = await self.redeem(await self.code(**changes))
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def refresh(self, token: str, client_id: str = "public", **form: str) -> httpx2.Response:
        known = {"grant_type": "refresh_token", "client_id": client_id, "refresh_token": token}
        return await self.post("/token", list({**known, **form}.items()))

    async def is_good(self, token: str) -> bool:
        return await self.provider.verify_token(token) is not None


@asynccontextmanager
async def running(provider: OAuthProvider | None = None, **options: Any) -> AsyncGenerator[Site]:
    store = Watched()
    known: dict[str, Any] = {
        "required_scopes": ["read"],
        "scopes_supported": ["read", "write", "admin"],
        "store": store,
        "clients": CLIENTS,
        "identity_assertion": IdentityAssertion([IDP], jwks={IDP: {"keys": [IDP_KEY.as_dict(private=False)]}}),
    }
    provider = provider or InMemoryOAuthProvider(ISSUER, **{**known, **options})
    async with asgi_server(FastMCP("tests", auth=provider)) as server, server.http_client() as http:
        yield Site(provider, store, http)


def changed(pairs: Pairs, **changes: str | None) -> list[tuple[str, str]]:
    """With other values, with more, and without those that are None."""
    kept = [(name, value) for name, value in pairs if name not in changes]
    return kept + [(name, value) for name, value in changes.items() if value is not None]


def query_of(reply: httpx2.Response) -> dict[str, str]:
    """What a redirect says; each member once."""
    assert reply.status_code == 302, (reply.status_code, reply.text)
    found = parse_qs(urlsplit(reply.headers["location"]).query, keep_blank_values=True)
    assert all(len(values) == 1 for values in found.values()), found
    return {name: values[0] for name, values in found.items()}


def basic(client_id: str, secret: str) -> dict[str, str]:
    text = f"{client_id}:{secret}".encode()
    return {"authorization": "Basic " + base64.b64encode(text).decode()}


def _signed(header: Mapping[str, Any], claims: Mapping[str, Any], key: Key) -> str:
    return jwt.encode(dict(header), {n: v for n, v in claims.items() if v is not None}, key, algorithms=[header["alg"]])


def client_assertion(key: Key = CLIENT_KEY, alg: str = "ES256", **changes: Any) -> str:
    """What the client ``key`` signs. A claim that is None is left out."""
    now = int(time.time())
    claims = {"iss": "key", "sub": "key", "aud": ISSUER, "jti": f"{now} {id(changes)}", "iat": now, "exp": now + 60}
    return _signed({"alg": alg, "kid": "client"}, {**claims, **changes}, key)


def id_jag(key: Key = IDP_KEY, header: Mapping[str, Any] | None = None, **changes: Any) -> str:
    """What the identity provider says of Alice to the client ``basic``. A claim that is None is left out."""
    now = int(time.time())
    claims = {
        "iss": IDP,
        "sub": "alice",
        "aud": ISSUER,
        "client_id": "basic",
        "jti": "the only one",
        "iat": now,
        "exp": now + 300,
        "resource": RESOURCE,
        "scope": "read write",
        "email": "alice@corp.example",
    }
    return _signed(
        {"alg": "ES256", "kid": "idp", "typ": "oauth-id-jag+jwt", **(header or {})}, {**claims, **changes}, key
    )
