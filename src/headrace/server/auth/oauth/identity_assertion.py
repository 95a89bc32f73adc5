"""Enterprise-managed authorization: an identity provider's word for a user, the ID-JAG, becomes an access token here.

draft-ietf-oauth-identity-assertion-authz-grant, 4.4; RFC 7523, 3; the extension
``io.modelcontextprotocol/enterprise-managed-authorization``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from ....exceptions import FetchError
from ....transports.http.fetch import fetch
from ..compact import BadToken, Compact
from ..keys import JWKS, KeysUnavailable, SigningKey, check_signature
from .assertions import check_claims, given_keys, read_assertion
from .contract import IdentityAssertionParams, OAuthClientInformationFull, TokenError

if TYPE_CHECKING:
    from .provider import OAuthProvider

__all__ = ["AssertedUser", "IdentityAssertion"]

logger = logging.getLogger(__name__)

_TYPE = "oauth-id-jag+jwt"
_KEPT_CLAIMS = ("email", "email_verified", "name", "auth_time", "acr", "amr")
_SECONDS = 5.0
_MAX_BYTES = 64 * 1024
_RETRY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class AssertedUser:
    """Whom an assertion is about, and for what it is good."""

    subject: str
    scopes: list[str]
    resource: str
    claims: dict[str, Any] = field(default_factory=dict[str, Any])


def _subject(claims: Mapping[str, Any]) -> str:
    # Only with its issuer does a subject name one user (OpenID Connect Core, 5.7).
    return f"{claims['iss']} {claims['sub']}"


class IdentityAssertion:
    """The identity providers that are believed, and who their users are here. Tokens have no refresh token.

    `trusted_issuers` are compared with ``iss`` as they are. Their keys: `jwks` (JWK sets) or `jwks_uris` by issuer, or
    else found by OpenID Connect Discovery. `audience` takes the place of this server's issuer in ``aud``. `algorithm`,
    or `algorithms` by issuer, is for keys that don't say theirs. `subject` makes a user's name out of the verified
    claims, None refuses; without it the name is ``iss``, a blank and ``sub``. Raises ValueError.
    """

    def __init__(
        self,
        trusted_issuers: Iterable[str],
        *,
        jwks_uris: Mapping[str, str] | None = None,
        jwks: Mapping[str, Mapping[str, Any]] | None = None,
        audience: str | None = None,
        required_scopes: Iterable[str] | None = None,
        algorithm: str | None = None,
        algorithms: Mapping[str, str] | None = None,
        access_token_expiry_seconds: int = 300,
        subject: Callable[[Mapping[str, Any]], str | None] | None = None,
    ) -> None:
        self.trusted_issuers = [trusted_issuers] if isinstance(trusted_issuers, str) else list(trusted_issuers)
        if not all(self.trusted_issuers) or not self.trusted_issuers:
            raise ValueError("trusted_issuers must name at least one identity provider")
        others = {*(jwks_uris or {}), *(jwks or {}), *(algorithms or {})} - set(self.trusted_issuers)
        if others:
            raise ValueError(f"These issuers are not among trusted_issuers: {', '.join(sorted(others))}")
        self.audience = audience
        self.required_scopes = list(required_scopes or ())
        self.access_token_expiry_seconds = access_token_expiry_seconds
        self._algorithms = {issuer: (algorithms or {}).get(issuer, algorithm) for issuer in self.trusted_issuers}
        self._given = dict(jwks or {})
        self._remote = {issuer: JWKS(url, self._algorithms[issuer]) for issuer, url in (jwks_uris or {}).items()}
        self._tried: dict[str, float] = {}
        self._subject = subject or _subject

    async def verify(
        self, provider: OAuthProvider, client: OAuthClientInformationFull, params: IdentityAssertionParams
    ) -> AssertedUser:
        """Whom the assertion is about, with those of the scopes that both it and the client name.

        Raises TokenError: ``invalid_grant``, ``invalid_target``.
        """
        try:
            claims = await self._verified(provider, client, params.assertion)
        except BadToken as error:
            raise TokenError("invalid_grant", f"{error}") from None
        resource = provider.resource_named(claims["resource"], provider.resources[0])
        if params.resource not in (None, resource):
            raise TokenError("invalid_target", "The assertion is for another resource than the request")
        subject = self._subject(claims)
        if not subject:
            raise TokenError("invalid_grant", "The assertion's user is not known here")
        asserted = str(claims.get("scope", "")).split()
        asked = asserted if params.scopes is None else params.scopes
        allowed = provider.scopes_of(client)
        scopes = [scope for scope in dict.fromkeys(asked) if scope in asserted and scope in allowed]
        if not set(self.required_scopes) <= set(scopes):
            raise TokenError("invalid_scope", f"These scopes are needed: {' '.join(self.required_scopes)}")
        kept = {name: claims[name] for name in _KEPT_CLAIMS if name in claims}
        idp = {"idp": claims["iss"], "idp_sub": claims["sub"]}
        return AssertedUser(subject, scopes, resource, {**kept, **idp})

    async def _verified(
        self, provider: OAuthProvider, client: OAuthClientInformationFull, assertion: str
    ) -> dict[str, Any]:
        signed, claims = read_assertion(assertion, _TYPE)
        issuer = claims.get("iss")
        if not isinstance(issuer, str) or issuer not in self.trusted_issuers:
            raise BadToken("The assertion's issuer is not trusted here")
        check_signature(signed, await self._keys_of(issuer, signed))
        for name in ("sub", "resource"):
            if not isinstance(claims.get(name), str) or not claims[name]:
                raise BadToken(f"The assertion needs a {name}")
        if claims.get("client_id") != client.client_id:
            raise BadToken("The assertion was given to another client")
        if "cnf" in claims:
            raise BadToken("The assertion is bound to a key, which can't be proved here")
        await check_claims(provider, claims, (self.audience or provider.issuer,))
        return claims

    async def _keys_of(self, issuer: str, token: Compact) -> Sequence[SigningKey]:
        if issuer in self._given:
            return given_keys(self._given[issuer])
        try:
            remote = self._remote.get(issuer)
            if remote is None:
                remote = self._remote[issuer] = JWKS(await self._found_keys(issuer), self._algorithms[issuer])
            return await remote.fitting(token.header["alg"], token.header.get("kid"))
        except (KeysUnavailable, FetchError) as error:
            # Where they are is nobody's business: anyone may write an assertion with that issuer.
            logger.warning("An identity assertion can't be checked: %s", error)
            raise TokenError("temporarily_unavailable", "The identity provider's keys can't be had now") from None

    async def _found_keys(self, issuer: str) -> str:
        """Where the issuer's keys are (OpenID Connect Discovery 1.0, 4). Raises FetchError, for a while at once."""
        if time.monotonic() - self._tried.get(issuer, float("-inf")) < _RETRY_SECONDS:
            raise FetchError(f"The keys of {issuer} can't be found")
        self._tried[issuer] = time.monotonic()
        url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        answer = await fetch(url, max_bytes=_MAX_BYTES, timeout=_SECONDS, allow_private=True)
        try:
            document = msgspec.json.decode(answer.body, type=_Configuration)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise FetchError(f"{url} is no configuration") from None
        if answer.status != 200 or document.issuer != issuer:
            raise FetchError(f"{url} is not the configuration of {issuer}")
        return document.jwks_uri


class _Configuration(Struct):
    issuer: str
    jwks_uri: str
