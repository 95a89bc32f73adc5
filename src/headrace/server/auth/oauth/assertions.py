"""JWTs that others sign for this server: a client's proof of who it is, an identity provider's word (RFC 7523, 3)."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ....exceptions import FetchError
from ..compact import BadToken, Compact, read_compact
from ..keys import ASYMMETRIC, SigningKey, keys_in

if TYPE_CHECKING:
    from .provider import OAuthProvider

__all__ = ["ALGORITHMS", "check_claims", "given_keys", "read_assertion"]

ALGORITHMS = tuple(ASYMMETRIC)
"""A key of the signer's own, never a shared secret."""
_MAX_BYTES = 16 * 1024
_SKEW = 30
_LONGEST = 3600
"""Seconds that an assertion may be good for: as long its id is remembered."""


def read_assertion(token: str, *types: str) -> tuple[Compact, dict[str, Any]]:
    """The token, whose ``typ`` is one of these, and its claims; nothing of it is checked. Raises BadToken."""
    read = read_compact(token, types, _MAX_BYTES)
    return read, read.claims()


def given_keys(jwks: Mapping[str, Any] | None) -> list[SigningKey]:
    """The public keys of a JWK set. Raises BadToken for what is none."""
    try:
        return keys_in(msgspec.json.encode(jwks or {"keys": []}), None)
    except FetchError:
        raise BadToken("The keys are no JWK set") from None


async def check_claims(provider: OAuthProvider, claims: Mapping[str, Any], audiences: Collection[str]) -> None:
    """That it is for this server (one of the `audiences`, and for nobody else), now, and used for the first time.

    Raises BadToken.
    """
    now = time.time()
    audience = claims.get("aud")
    # With a second audience whoever that is could use what it was sent (draft-ietf-oauth-rfc7523bis, 4).
    if not any(audience in (each, [each]) for each in audiences):
        raise BadToken(f"The assertion's aud must be {next(iter(audiences))} and nothing else")
    over, since = claims.get("exp"), claims.get("nbf", claims.get("iat", 0))
    if not isinstance(over, int | float) or not isinstance(since, int | float):
        raise BadToken("The assertion needs exp, in seconds since 1970")
    if over <= now - _SKEW or since > now + _SKEW:
        raise BadToken("The assertion is expired, or not good yet")
    if over > now + _LONGEST + _SKEW:
        raise BadToken(f"The assertion must expire within {_LONGEST} seconds")
    id = claims.get("jti")
    if not isinstance(id, str) or not id:
        raise BadToken("The assertion needs a jti")
    if not await provider.use_once(f"jti {claims.get('iss')}", id, over - now + 2 * _SKEW):
        raise BadToken("The assertion was used before: sign a new one")
