"""Access tokens of one's own: signed JWTs (RFC 9068), under keys that are derived from the app's secret.

Only this program reads them, so that the keys are symmetric (HS256). joserfc is imported when the first one is made.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from joserfc.jwk import OctKey

__all__ = ["TokenSigner"]

_TYPE = "at+jwt"
_MAX_BYTES = 16 * 1024


class TokenSigner:
    """`keys`: the first signs, each verifies. `issuer` is the ``iss`` of what it signs."""

    def __init__(self, issuer: str, keys: Sequence[str]) -> None:
        if find_spec("joserfc") is None:
            raise ImportError("An authorization server needs joserfc: pip install 'headrace[auth]'")
        self._issuer = issuer
        self._secrets = [hmac.digest(key.encode(), b"headrace access-token", hashlib.sha256) for key in keys]
        self._keys: list[OctKey] = []

    def sign(self, claims: dict[str, Any], seconds: int) -> str:
        """A token with these claims that is good for so long."""
        from joserfc import jwt

        now = int(time.time())
        mine = {"iss": self._issuer, "iat": now, "exp": now + seconds, "jti": secrets.token_urlsafe(16)}
        return jwt.encode({"typ": _TYPE, "alg": "HS256"}, {**claims, **mine}, self._signing_keys()[0])

    def verify(self, token: str) -> dict[str, Any] | None:
        """The claims of a token that was signed here and is not over; None for any other text."""
        from joserfc import jwt
        from joserfc.errors import JoseError

        if len(token) > _MAX_BYTES or not token.isascii():
            return None
        for key in self._signing_keys():
            try:
                decoded = jwt.decode(token, key, algorithms=["HS256"])
            except (JoseError, ValueError):
                continue
            claims, over = decoded.claims, decoded.claims.get("exp")
            signed_here = decoded.header.get("typ") == _TYPE and claims.get("iss") == self._issuer
            return claims if signed_here and isinstance(over, int) and over > time.time() else None
        return None

    def _signing_keys(self) -> list[OctKey]:
        if not self._keys:
            from joserfc.jwk import OctKey

            self._keys = [OctKey.import_key(secret) for secret in self._secrets]
        return self._keys
