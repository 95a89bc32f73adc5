"""Requests to a token endpoint: who the client is, what it asks for, what it gets (RFC 6749, 3.2)."""

from __future__ import annotations

import base64
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote_plus

import msgspec
from msgspec import Struct

from ...transports.http.fetch import Fetched
from .discovery import Site
from .documents import LoginError, RegisteredClient, TokenAnswer, Tokens, bearer_text, checked_url, read, scopes_of
from .signing import ProofKey
from .web import Web

__all__ = ["JWT_BEARER", "AssertionProvider", "Identity", "Proofs", "TokenEndpoint"]

AssertionProvider = Callable[[str], Awaitable[str]]
"""Makes a JWT that says who the client is, for one audience (RFC 7523, 3)."""

_EARLY_SECONDS = 30.0
"""A token is renewed so long before its end, one that lives shortly after half its life."""
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Identity(NamedTuple):
    """Who the client is. With `assertion` it says so with a JWT (private_key_jwt); else `client` may have a secret."""

    client: RegisteredClient
    assertion: AssertionProvider | None = None


class Proofs:
    """The proofs of a key, with the nonces that servers want in them; those of each origin are its own."""

    def __init__(self, key: ProofKey) -> None:
        self.key = key
        self._nonces: dict[str, str] = {}

    def header(self, method: str, url: str, access_token: str | None = None) -> dict[str, str]:
        target = checked_url(url, "The URL of a request that is signed").copy_with(query=None, fragment=None)
        return {"dpop": self.key.proof(method, str(target), self._nonces.get(target.netloc.decode()), access_token)}

    def hear(self, url: str, headers: Mapping[str, str]) -> None:
        """Take the nonce that an answer brings (RFC 9449, 8.2)."""
        if "dpop-nonce" in headers:
            origin = checked_url(url, "The URL of a request that is signed").netloc.decode()
            self._nonces[origin] = headers["dpop-nonce"]


class _Refusal(Struct):
    error: str = ""
    error_description: str | None = None


class TokenEndpoint:
    """The one of a site, as one client sees it."""

    def __init__(self, web: Web, site: Site, identity: Identity, proofs: Proofs | None) -> None:
        if site.server.token_endpoint is None:
            raise LoginError(f"The authorization server {site.server.issuer} has no token endpoint")
        self._web = web
        self._site = site
        self._identity = identity
        self._proofs = proofs
        self._url = site.server.token_endpoint

    async def tokens(self, grant: Mapping[str, str], requested: Sequence[str], before: Tokens | None = None) -> Tokens:
        """`before` are the tokens that are refreshed. Raises LoginError with OAuth's code."""
        site, client = self._site, self._identity.client
        answer = read(TokenAnswer, await self._asked({**grant, "resource": site.resource}), self._what)
        kind = answer.token_type.lower()
        if kind != ("bearer" if self._proofs is None else "dpop"):
            raise LoginError(f"{self._what} gave a token of the type {answer.token_type!r}: not used")
        granted = scopes_of(answer.scope) if answer.scope is not None else None
        now, lifetime = time.time(), answer.expires_in
        return Tokens(
            issuer=site.server.issuer,
            client_id=client.client_id,
            access_token=bearer_text(answer.access_token),
            refresh_token=answer.refresh_token or (before.refresh_token if before else None),
            expires_at=None if lifetime is None else now + lifetime,
            renew_at=None if lifetime is None else now + lifetime - min(_EARLY_SECONDS, lifetime / 2),
            requested=list(requested),
            granted=granted if granted is not None or before is None else before.granted,
            dpop_key=None if self._proofs is None else self._proofs.key.as_dict(),
        )

    async def exchanged(self, grant: Mapping[str, str]) -> str:
        """The token of a token exchange, of whatever type (RFC 8693)."""
        return read(TokenAnswer, await self._asked(grant), self._what).access_token

    @property
    def _what(self) -> str:
        return f"The token endpoint {self._url}"

    async def _asked(self, grant: Mapping[str, str]) -> bytes:
        answer = await self._sent(grant)
        if self._proofs is not None and answer.status == 400 and _refusal(answer).error == "use_dpop_nonce":
            answer = await self._sent(grant)
        refusal = _refusal(answer)
        if answer.status in (200, 201) and not refusal.error:  # some refuse with 200
            return answer.body
        said = f": {refusal.error}" if refusal.error else ""
        described = f" ({refusal.error_description})" if refusal.error_description else ""
        raise LoginError(f"{self._what} answered {answer.status}{said}{described}", error=refusal.error)

    async def _sent(self, grant: Mapping[str, str]) -> Fetched:
        form, headers = await self._authenticated(dict(grant))
        if self._proofs is not None:
            headers |= self._proofs.header("POST", self._url)
        answer = await self._web.post_form(self._url, form, headers, self._what)
        if self._proofs is not None:
            self._proofs.hear(self._url, answer.headers)
        return answer

    async def _authenticated(self, form: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
        """The form and headers that say who asks (RFC 6749, 2.3; RFC 7523, 2.2)."""
        client, assertion = self._identity
        method = self._method()
        if method == "client_secret_basic":
            pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret or '')}"
            return form, {"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        form["client_id"] = client.client_id
        if method == "client_secret_post":
            form["client_secret"] = client.client_secret or ""
        elif assertion is not None:
            form["client_assertion_type"] = _ASSERTION
            form["client_assertion"] = await assertion(self._site.server.issuer)  # the audience of RFC 7523bis
        return form, {}

    def _method(self) -> str:
        client, assertion = self._identity
        if assertion is not None:
            return "private_key_jwt"
        if not client.client_secret:
            return "none"
        if client.token_endpoint_auth_method in ("client_secret_basic", "client_secret_post", "none"):
            return client.token_endpoint_auth_method
        supported = self._site.server.token_endpoint_auth_methods_supported or ["client_secret_basic"]
        return "client_secret_basic" if "client_secret_basic" in supported else "client_secret_post"


def _refusal(answer: Fetched) -> _Refusal:
    try:
        return msgspec.json.decode(answer.body, type=_Refusal)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Refusal()
