"""The identity provider behind a proxy: where it is asked, how, and what it answered (RFC 6749, 7009).

Its URLs are the operator's own configuration: private networks are allowed, plain http only to this machine.
"""

from __future__ import annotations

import base64
import logging
import math
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec
from msgspec import Struct, field

from ....exceptions import FetchError
from ....transports.http.fetch import Fetched, fetch

__all__ = ["Upstream", "UpstreamDown", "UpstreamRefused", "UpstreamTokens", "fetch_json"]

logger = logging.getLogger(__name__)

_MAX_BYTES = 256 * 1024
_OUR_FAULT = frozenset(
    {
        *("invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_request", "invalid_scope"),
        *("incorrect_client_credentials", "server_error", "temporarily_unavailable", "slow_down"),
    }
)
"""Errors that say nothing of the user: whoever set the proxy up must look, nobody is logged out."""


class UpstreamDown(Exception):
    """It can't be asked now, or does not know this proxy: not the user's fault."""


class UpstreamRefused(Exception):
    """It does not accept the code or refresh token: the user has to log in again."""


class UpstreamTokens(Struct, kw_only=True, omit_defaults=True):
    """What the provider gave for one user. `expires_at` in seconds since 1970; None: it did not say."""

    access_token: str
    refresh_token: str | None = None
    expires_at: float | None = None
    scope: str | None = None
    id_token: str | None = None
    claims: dict[str, Any] = field(default_factory=dict[str, Any])
    """Those of a verified ID token, where that is what counts."""

    def __repr__(self) -> str:
        return "<UpstreamTokens>"


class _Answer(Struct):
    access_token: str
    refresh_token: str | None = None
    expires_in: int | float | str | None = None
    scope: str | list[str] | None = None
    id_token: str | None = None


class Upstream(Struct, kw_only=True, frozen=True):
    """An identity provider and how this proxy is known there. `auth_method` None: basic where there is a secret."""

    authorization_endpoint: str
    token_endpoint: str
    client_id: str
    client_secret: str | None = None
    revocation_endpoint: str | None = None
    auth_method: str | None = None
    issuer: str | None = None
    """What ``iss`` in its answers must be (RFC 9207)."""
    says_issuer: bool = False
    """Whether each answer has ``iss``."""
    timeout: float = 10.0
    """Seconds for one request."""
    fallback_expiry: float | None = None
    """Seconds that a token counts as good where the provider does not say."""

    def __repr__(self) -> str:
        return f"<Upstream {self.authorization_endpoint}>"

    def __post_init__(self) -> None:
        for url in (self.authorization_endpoint, self.token_endpoint, self.revocation_endpoint or "https://x"):
            if urlsplit(url).scheme not in ("https", "http") or not urlsplit(url).hostname:
                raise ValueError(f"The URL of an identity provider must be https: {url}")
        if self.auth_method not in (None, "none", "client_secret_basic", "client_secret_post"):
            raise ValueError("token_endpoint_auth_method must be client_secret_basic, client_secret_post or none")

    def authorization_url(self, parameters: Mapping[str, str]) -> str:
        joint = "&" if "?" in self.authorization_endpoint else "?"
        return f"{self.authorization_endpoint}{joint}{urlencode(parameters)}"

    async def exchange(
        self, code: str, redirect_uri: str, verifier: str | None, extra: Mapping[str, str]
    ) -> UpstreamTokens:
        """Tokens for a code. Raises UpstreamRefused and UpstreamDown."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri, **extra}
        return await self._tokens({**form, "code_verifier": verifier} if verifier else form)

    async def refresh(self, tokens: UpstreamTokens, extra: Mapping[str, str]) -> UpstreamTokens:
        """New tokens; what the answer does not say stays as it was. Raises UpstreamRefused and UpstreamDown."""
        if tokens.refresh_token is None:
            raise UpstreamRefused("The identity provider gave no refresh token")
        form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token, **extra}
        new = await self._tokens(form)
        new.refresh_token = new.refresh_token or tokens.refresh_token
        new.scope = new.scope or tokens.scope
        new.claims = tokens.claims
        return new

    async def revoke(self, tokens: UpstreamTokens) -> None:
        """Tell it that the user is gone, where it can be told (RFC 7009). Raises UpstreamDown."""
        if self.revocation_endpoint is None:
            return
        token, hint = tokens.refresh_token, "refresh_token"
        if token is None:
            token, hint = tokens.access_token, "access_token"
        answer = await self._post(self.revocation_endpoint, {"token": token, "token_type_hint": hint})
        if answer.status >= 400:
            raise UpstreamDown(f"The identity provider answered {answer.status} to a revocation")

    async def _tokens(self, form: Mapping[str, str]) -> UpstreamTokens:
        answer = await self._post(self.token_endpoint, form)
        document = _document(answer)
        error = document.get("error")
        if answer.status >= 500 or answer.status == 429 or (error is None and answer.status != 200):
            raise UpstreamDown(f"The identity provider answered {answer.status}")
        if error in _OUR_FAULT:
            logger.error("The identity provider refuses this proxy: %.40r. Look at its client id and secret.", error)
            raise UpstreamDown("The identity provider does not take requests of this server")
        if error is not None:
            raise UpstreamRefused("The identity provider does not accept this login any more")
        try:
            given = msgspec.convert(document, _Answer)
        except msgspec.ValidationError:
            raise UpstreamDown("The identity provider answered with no token") from None
        return UpstreamTokens(
            access_token=given.access_token,
            refresh_token=given.refresh_token,
            expires_at=self._expiry(given.expires_in),
            scope=" ".join(given.scope) if isinstance(given.scope, list) else given.scope,
            id_token=given.id_token,
        )

    def _expiry(self, expires_in: int | float | str | None) -> float | None:
        try:
            seconds = self.fallback_expiry if expires_in is None else float(expires_in)
        except ValueError:
            seconds = self.fallback_expiry
        return time.time() + seconds if seconds is not None and math.isfinite(seconds) else None

    async def _post(self, url: str, form: Mapping[str, str]) -> Fetched:
        headers = {"accept": "application/json", "content-type": "application/x-www-form-urlencoded"}
        data = dict(form)
        method = self.auth_method or ("client_secret_basic" if self.client_secret else "none")
        if method == "client_secret_basic":
            pair = f"{quote(self.client_id, safe='')}:{quote(self.client_secret or '', safe='')}"  # RFC 6749, 2.3.1
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            data["client_id"] = self.client_id
        if method == "client_secret_post":
            data["client_secret"] = self.client_secret or ""
        try:
            return await fetch(
                url,
                method="POST",
                content=urlencode(data).encode(),
                headers=headers,
                max_bytes=_MAX_BYTES,
                timeout=self.timeout,
                allow_private=True,
            )
        except FetchError as error:
            raise UpstreamDown(str(error)) from None


async def fetch_json(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    content: bytes | None = None,
    timeout: float = 10.0,
) -> tuple[Fetched, dict[str, Any]]:
    """An answer of the identity provider, and its JSON ({} where it is none). Raises FetchError."""
    answer = await fetch(
        url,
        method=method,
        headers={"accept": "application/json", **(headers or {})},
        content=content,
        max_bytes=_MAX_BYTES,
        timeout=timeout,
        allow_private=True,
    )
    return answer, _document(answer)


def _document(answer: Fetched) -> dict[str, Any]:
    try:
        return msgspec.json.decode(answer.body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
