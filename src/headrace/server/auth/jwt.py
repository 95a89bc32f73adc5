"""JWTVerifier: access tokens that are signed (RFC 9068; what RFC 8725 asks of whoever reads a JWT)."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .claims import Audience, access_token_of, as_list
from .compact import BadToken, read_compact
from .dpop import DPoP
from .keys import ASYMMETRIC, JWKS, SYMMETRIC, Keys, OneKey, check_signature
from .provider import AccessToken
from .verifiers import TokenVerifier

__all__ = ["JWTVerifier"]

logger = logging.getLogger(__name__)

_MAX_BYTES = 16 * 1024
_TYPES = ("at+jwt", "jwt", "")
_MAX_LEEWAY = 300


class JWTVerifier(TokenVerifier):
    """Access tokens as signed JWTs, under a key (`public_key`: PEM, or the secret of an HS algorithm) or a key set.

    One algorithm is good: `algorithm`, or what the key is for (RS256 for RSA, ES256 for P-256, EdDSA for Ed25519).
    Tokens must expire, and be for this server: ``aud`` is the canonical URI of the resource they are presented to, or
    one of `audience`. `issuer` are the values of ``iss`` that will do; None: any, the key alone tells. Clocks may
    differ by `leeway_seconds`. `ssrf_safe` lets `jwks_uri` be at public addresses only; it is fetched again at
    most every `jwks_refresh_interval` seconds. Raises ValueError for settings that can't be meant.
    """

    def __init__(
        self,
        *,
        public_key: str | bytes | None = None,
        jwks_uri: str | None = None,
        issuer: str | Sequence[str] | None = None,
        audience: str | Sequence[str] | None = None,
        algorithm: str | None = None,
        required_scopes: Iterable[str] | None = None,
        base_url: str | None = None,
        ssrf_safe: bool = False,
        jwks_refresh_interval: float = 30.0,
        leeway_seconds: float = 60.0,
        cache_seconds: float = 60.0,
        dpop: str | DPoP = "off",
    ) -> None:
        super().__init__(base_url, required_scopes, dpop=dpop)
        if algorithm is not None and algorithm not in ASYMMETRIC and algorithm not in SYMMETRIC:
            raise ValueError(f"Unknown algorithm {algorithm!r}: it is one of {', '.join([*ASYMMETRIC, *SYMMETRIC])}")
        if not 0 <= leeway_seconds <= _MAX_LEEWAY:
            raise ValueError(
                f"leeway_seconds is between 0 and {_MAX_LEEWAY} seconds: clocks that differ more must be set"
            )
        if not 0 <= jwks_refresh_interval < math.inf:
            raise ValueError("jwks_refresh_interval is a number of seconds")
        if (public_key is None) == (jwks_uri is None):
            raise ValueError("Give a JWTVerifier either public_key or jwks_uri")
        if jwks_uri is not None and algorithm in SYMMETRIC:
            raise ValueError(f"{algorithm} takes a shared secret, which no key set has: give it as public_key=")
        self.issuer = as_list(issuer, "issuer")
        self.leeway_seconds = leeway_seconds
        self.cache_seconds = cache_seconds
        self._audience = Audience(as_list(audience, "audience"), self.base_url)
        self._keys: Keys = (
            OneKey(public_key or b"", algorithm)
            if jwks_uri is None
            else JWKS(str(jwks_uri), algorithm, ssrf_safe=ssrf_safe, interval=jwks_refresh_interval)
        )

    def check_resource(self, resource: str | None) -> None:
        self._audience.check_known(resource)

    async def verify_token(self, token: str) -> AccessToken | None:
        """The token if it is good here. Raises KeysUnavailable where that can't be known."""
        try:
            compact = read_compact(token, _TYPES, _MAX_BYTES)
            check_signature(compact, await self._keys.fitting(compact.header["alg"], compact.header.get("kid")))
            claims = compact.claims()
            if not str(compact.header.get("typ", "")).lower().endswith("at+jwt"):
                _check_is_access_token(claims)
            return access_token_of(
                token, claims, issuers=self.issuer, audience=self._audience, leeway=self.leeway_seconds
            )
        except BadToken as error:
            logger.debug("A JWT is refused: %s", error)
            return None


def _check_is_access_token(claims: Mapping[str, Any]) -> None:
    """Issuers sign ID tokens, refresh tokens and logout tokens with the same keys, and not all say so in ``typ``."""
    kind = claims.get("typ") or claims.get("token_use")
    if kind is not None and str(kind).lower() not in ("bearer", "access", "at+jwt", "dpop"):
        raise BadToken(f"It is a token of another kind: {kind!r}")
    if not claims.keys().isdisjoint(("at_hash", "c_hash", "s_hash", "events")) or ("nonce" in claims and kind is None):
        raise BadToken("It is an ID token or a logout token")
