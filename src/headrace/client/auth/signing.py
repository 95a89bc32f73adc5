"""JSON Web Tokens that a client signs itself: its identity, and proofs that it holds a key.

joserfc is imported when the first one is made.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ...exceptions import ClientError

if TYPE_CHECKING:
    from joserfc.jwk import Key

    from .token_endpoint import AssertionProvider

__all__ = ["ProofKey", "signed_by"]

_ASSERTION_SECONDS = 60


def signed_by(pem: str | bytes, algorithm: str, client_id: str) -> AssertionProvider:
    """Assertions of a client, signed with its private key. Raises ClientError for one that can't be used so."""
    _require_joserfc()
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey, OKPKey, RSAKey

    kinds = {"ES": ECKey, "RS": RSAKey, "PS": RSAKey, "Ed": OKPKey}
    kind = kinds.get(algorithm[:2])
    if kind is None:
        raise ClientError(f"A client does not sign with {algorithm!r}: RS256, PS256, ES256 or EdDSA")
    try:
        key = kind.import_key(pem)
    except (ValueError, TypeError, JoseError) as error:
        raise ClientError(f"The private key for {algorithm} can't be read: {error}") from None
    if not key.is_private:
        raise ClientError("The private key is a public one")

    async def assertion(audience: str) -> str:
        now = int(time.time())
        claims = {"iss": client_id, "sub": client_id, "aud": audience, "jti": secrets.token_urlsafe(16)}
        return _signed({"alg": algorithm}, {**claims, "iat": now, "exp": now + _ASSERTION_SECONDS}, key)

    return assertion


class ProofKey:
    """The key that tokens are bound to, and proofs of having it (RFC 9449).

    `kept` is the key of an earlier login, as a JWK.
    """

    algorithm = "ES256"

    def __init__(self, kept: dict[str, Any] | None = None) -> None:
        _require_joserfc()
        from joserfc.jwk import ECKey

        self._key = ECKey.generate_key("P-256") if kept is None else ECKey.import_key(kept)
        self._public = self._key.as_dict(private=False)
        self._public = {name: self._public[name] for name in ("kty", "crv", "x", "y")}

    def as_dict(self) -> dict[str, Any]:
        """With the private part."""
        return dict(self._key.as_dict(private=True))

    def proof(self, method: str, url: str, nonce: str | None, access_token: str | None = None) -> str:
        """A proof for one request to a URL without query and fragment (RFC 9449, 4.2)."""
        claims: dict[str, Any] = {"jti": secrets.token_urlsafe(16), "htm": method, "htu": url, "iat": int(time.time())}
        if nonce is not None:
            claims["nonce"] = nonce
        if access_token is not None:
            digest = hashlib.sha256(access_token.encode()).digest()
            claims["ath"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return _signed({"alg": self.algorithm, "typ": "dpop+jwt", "jwk": self._public}, claims, self._key)


def _require_joserfc() -> None:
    if find_spec("joserfc") is None:
        raise ClientError("To sign tokens install joserfc: pip install 'headrace[auth]'")


def _signed(header: dict[str, Any], claims: dict[str, Any], key: Key) -> str:
    from joserfc import jwt

    return jwt.encode({"typ": "JWT", **header}, claims, key, algorithms=[header["alg"]])
