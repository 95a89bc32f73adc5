"""OIDCProxy: an `OAuthProxy` that reads what it needs of the identity provider from its configuration document.

OpenID Connect Discovery 1.0, 4; OpenID Connect Core 1.0, 3.1.3.7. The document is fetched when it is first needed, so
that a server starts while its identity provider is away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Unpack
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct, field

from ...exceptions import FetchError
from .claims import Audience, access_token_of
from .compact import BadToken, read_compact
from .jwt import JWTVerifier
from .keys import JWKS, KeysUnavailable, check_signature
from .oauth.upstream import Upstream, UpstreamDown, UpstreamTokens, fetch_json
from .oauth_proxy import OAuthProxy, ProxyOptions
from .provider import AccessToken, AuthProvider

__all__ = ["OIDCConfiguration", "OIDCProxy"]

logger = logging.getLogger(__name__)

_LEEWAY = 60
_MAX_BYTES = 16 * 1024


class OIDCConfiguration(Struct, kw_only=True):
    """What of the document is used."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str | None = None
    revocation_endpoint: str | None = None
    authorization_response_iss_parameter_supported: bool = False
    token_endpoint_auth_methods_supported: list[str] = field(default_factory=lambda: ["client_secret_basic"])

    @classmethod
    async def read(cls, url: str, *, strict: bool = True, timeout: float = 10.0) -> OIDCConfiguration:
        """The document at the URL. Raises UpstreamDown, also for one of another issuer where it is `strict`."""
        try:
            answer, document = await fetch_json(url, timeout=timeout)
            if answer.status != 200:
                raise UpstreamDown(f"{url} answered {answer.status}: is this the URL of the configuration?")
            configuration = msgspec.convert(document, cls)
        except FetchError as error:
            raise UpstreamDown(str(error)) from None
        except msgspec.ValidationError as error:
            raise UpstreamDown(f"{url} is no OpenID configuration: {error}") from None
        if strict and url not in _places(configuration.issuer):
            raise UpstreamDown(f"{url} is of another issuer, {configuration.issuer!r}: strict=False takes it")
        return configuration


class OIDCProxy(OAuthProxy):
    """See `OAuthProxy`. Tokens of the provider are JWTs for `audience`, unless a `token_verifier` knows better.

    Without `audience` they must be for `client_id` or for this server. `verify_id_token`: who the user is comes from
    the ID token, for providers whose access tokens can't be read. `strict=False` takes a document whose issuer is not
    the one of its URL. Raises ValueError for settings that don't go together.
    """

    def __init__(
        self,
        *,
        config_url: str,
        client_id: str,
        client_secret: str | None = None,
        base_url: str,
        audience: str | None = None,
        strict: bool | None = None,
        token_verifier: AuthProvider | None = None,
        algorithm: str | None = None,
        required_scopes: list[str] | None = None,
        verify_id_token: bool = False,
        token_endpoint_auth_method: str | None = None,
        **options: Unpack[ProxyOptions],
    ) -> None:
        if token_verifier is not None and (algorithm is not None or required_scopes is not None):
            raise ValueError("algorithm and required_scopes are the token_verifier's: give them to it")
        scopes = required_scopes if token_verifier is None else token_verifier.required_scopes
        self._set_up(str(base_url), token_verifier, list(scopes or ()), options)
        self.config_url = str(config_url)
        self.audience = audience
        self.client_id = client_id
        self._secret = client_secret
        self._auth_method = token_endpoint_auth_method
        self._strict = strict is not False
        self._algorithm = algorithm
        self._verify_id_token = verify_id_token
        self._configuration: OIDCConfiguration | None = None
        self._reading = asyncio.Lock()
        self._keys: JWKS | None = None

    async def upstream(self) -> Upstream:
        configuration = await self.configuration()
        secret, method = self._secret, self._auth_method
        supported = configuration.token_endpoint_auth_methods_supported
        if method is None and secret and "client_secret_basic" not in supported and "client_secret_post" in supported:
            method = "client_secret_post"
        try:
            return Upstream(
                authorization_endpoint=configuration.authorization_endpoint,
                token_endpoint=configuration.token_endpoint,
                revocation_endpoint=configuration.revocation_endpoint,
                client_id=self.client_id,
                client_secret=secret,
                auth_method=method,
                issuer=configuration.issuer,
                says_issuer=configuration.authorization_response_iss_parameter_supported,
                timeout=self.timeout,
                fallback_expiry=self.fallback_expiry,
            )
        except ValueError as error:
            raise UpstreamDown(f"{self.config_url}: {error}") from None

    async def configuration(self) -> OIDCConfiguration:
        """The document, fetched once. Raises UpstreamDown where it can't be read; the next call tries again."""
        async with self._reading:
            if self._configuration is None:
                read = await OIDCConfiguration.read(self.config_url, strict=self._strict, timeout=self.timeout)
                if read.jwks_uri is not None:
                    self._keys = JWKS(read.jwks_uri, self._algorithm)
                if self.token_verifier is None and not self._verify_id_token:
                    self.token_verifier = self.get_token_verifier(read)
                self._configuration = read
            return self._configuration

    def get_token_verifier(self, configuration: OIDCConfiguration) -> AuthProvider:
        """What verifies the provider's access tokens, where no `token_verifier` was given."""
        if configuration.jwks_uri is None:
            raise UpstreamDown(f"{self.config_url} names no keys (jwks_uri): give a token_verifier")
        return JWTVerifier(
            jwks_uri=configuration.jwks_uri,
            issuer=configuration.issuer,
            audience=[self.audience] if self.audience else [self.client_id, *self.resources],
            algorithm=self._algorithm,
            required_scopes=self.required_scopes,
        )

    def upstream_scopes(self, scopes: list[str]) -> list[str]:
        spelled = super().upstream_scopes(scopes)
        return ["openid", *spelled] if self._verify_id_token and "openid" not in spelled else spelled

    def more_parameters(self, nonce: str) -> dict[str, str]:
        audience = {"audience": self.audience} if self.audience else {}
        asked = {"nonce": nonce} if self._verify_id_token else {}
        return {**audience, **asked, **super().more_parameters(nonce)}

    def token_parameters(self, scopes: list[str], resource: str) -> dict[str, str]:
        audience = {"audience": self.audience} if self.audience else {}
        return {**audience, **super().token_parameters(scopes, resource)}

    async def verify_login(self, tokens: UpstreamTokens, nonce: str | None) -> AccessToken | None:
        await self.configuration()
        if self._verify_id_token and (tokens.id_token is not None or nonce is not None):
            claims = await self._id_claims(tokens.id_token or "", nonce)
            if claims is None:
                return None
            tokens.claims = claims
        return await self.verify_upstream(tokens)

    async def verify_upstream(self, tokens: UpstreamTokens) -> AccessToken | None:
        await self.configuration()
        if not self._verify_id_token:
            return await super().verify_upstream(tokens)
        # It was verified when it came; from then on the access token's time counts.
        return AccessToken(
            token=tokens.access_token,
            client_id=self.client_id,
            scopes=(tokens.scope or "").split(),
            claims=tokens.claims,
        )

    async def _id_claims(self, token: str, nonce: str | None) -> dict[str, Any] | None:
        """The claims of an ID token that is for this proxy. Raises UpstreamDown where the keys can't be had."""
        configuration, keys = await self.configuration(), self._keys
        if keys is None:
            raise UpstreamDown(f"{self.config_url} names no keys (jwks_uri)")
        try:
            compact = read_compact(token, ("jwt", ""), _MAX_BYTES)
            check_signature(compact, await keys.fitting(compact.header["alg"], compact.header.get("kid")))
            claims = compact.claims()
            access_token_of(
                token, claims, issuers=[configuration.issuer], audience=Audience([self.client_id], None), leeway=_LEEWAY
            )
            _check_id_claims(claims, self.client_id, nonce)
            return claims
        except BadToken as error:
            logger.warning("An ID token is refused: %s", error)
            return None
        except KeysUnavailable as error:
            raise UpstreamDown(str(error)) from None


def _check_id_claims(claims: Mapping[str, Any], client_id: str, nonce: str | None) -> None:
    """What an ID token has besides (OpenID Connect Core 1.0, 3.1.3.7). Raises BadToken."""
    if not claims.get("sub") or "iat" not in claims:
        raise BadToken("It has no sub or no iat")
    if claims.get("azp", client_id) != client_id:
        raise BadToken("azp is another client")
    if nonce is not None and claims.get("nonce") != nonce:
        raise BadToken("nonce is another one")


def _places(issuer: str) -> tuple[str, ...]:
    """Where the configuration of an issuer is (OpenID Connect Discovery 1.0, 4.1; RFC 8414, 3.1)."""
    parts, base = urlsplit(issuer), issuer.rstrip("/")
    root, path = f"{parts.scheme}://{parts.netloc}/.well-known", parts.path.rstrip("/")
    return (
        f"{base}/.well-known/openid-configuration",
        f"{root}/openid-configuration{path}",
        f"{root}/oauth-authorization-server{path}",
    )
