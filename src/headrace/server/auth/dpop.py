"""Proofs that whoever presents a token has the key it is bound to (DPoP: RFC 9449, 4.3 and 7)."""

from __future__ import annotations

import secrets
import time
import warnings
from collections.abc import Callable, MutableMapping
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from ...state.rates import Held
from ...transports.http.answer import Denied, Headers, Refuse, retry_after
from .challenge import ProofError
from .compact import BadToken, Compact, algorithms_of, base64url, read_compact, require_joserfc

if TYPE_CHECKING:
    from .provider import AccessToken

__all__ = ["DPoP"]

_MAX_BYTES = 8 * 1024
_MAX_JTI = 512
_MAX_SEEN = 50_000
_PUBLIC = {"RSA": ("kty", "n", "e"), "EC": ("kty", "crv", "x", "y"), "OKP": ("kty", "crv", "x")}


class DPoP:
    """Checks proofs. `mode`: "allowed", beside bearer tokens, or "required".

    A proof is good for `seconds` around its ``iat``, and once in this process. With `nonce_seconds` it must have a
    nonce of this process in it, which changes so often; the one before it is good, too. `clock` in seconds since 1970.
    """

    algorithms = ("ES256", "ES384", "ES512", "RS256", "PS256", "EdDSA", "Ed25519")

    def __init__(
        self,
        mode: str = "allowed",
        *,
        seconds: float = 60.0,
        nonce_seconds: float | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if mode not in ("allowed", "required"):
            raise ValueError(f"dpop is one of off, allowed, required, and not {mode!r}")
        require_joserfc("DPoP")
        self.required = mode == "required"
        self._seconds = seconds
        self._nonce_seconds = nonce_seconds
        self._clock = clock
        self._nonces = ("", "")
        self._renew_at = 0.0
        self._seen: dict[bytes, tuple[float, str]] = {}
        """The digest of a proof's key and jti, when nobody would take it any more, and whose it is."""
        self._seen_of = Held()

    def nonces(self) -> tuple[str, ...]:
        """Those that are good, the newest first; empty where none is asked for."""
        if self._nonce_seconds is None:
            return ()
        now = self._clock()
        if now >= self._renew_at:
            self._nonces = (secrets.token_urlsafe(16), self._nonces[0])
            self._renew_at = now + self._nonce_seconds
        return tuple(nonce for nonce in self._nonces if nonce)

    def nonce_headers(self) -> Headers:
        return [(b"dpop-nonce", nonce.encode()) for nonce in self.nonces()[:1]]

    def check(self, scope: MutableMapping[str, Any], url: str, access: AccessToken) -> dict[str, Any]:
        """The claims of the request's proof that it has the key of this token. Raises ProofError, and Denied (429) for
        whoever has more proofs remembered than its share.

        `url` is the public URL that was asked.
        """
        confirmation = access.claims.get("cnf")
        thumbprint = cast("dict[str, Any]", confirmation).get("jkt") if isinstance(confirmation, dict) else None
        if not isinstance(thumbprint, str):
            raise ProofError("invalid_token", "The access token is bound to no key: it is no DPoP token")
        proofs = [value for name, value in scope["headers"] if name == b"dpop"]
        if len(proofs) != 1:
            raise ProofError("invalid_dpop_proof", "A DPoP token comes with one proof in one DPoP field")
        try:
            claims = self._proved(proofs[0].decode("latin-1").strip(), thumbprint)
            self._check_request(claims, scope["method"], url, access.token)
        except BadToken as error:
            raise ProofError("invalid_dpop_proof", f"The DPoP proof is not good: {error}") from None
        nonces = self.nonces()
        if nonces and claims.get("nonce") not in nonces:
            raise ProofError("use_dpop_nonce", "The DPoP proof must have the nonce of this server in it")
        self._use_once(thumbprint, claims["jti"], access.principal)
        return claims

    def _proved(self, proof: str, thumbprint: str) -> dict[str, Any]:
        """The claims of a proof that was signed with the key in it, whose thumbprint this must be. Raises BadToken."""
        from joserfc.errors import JoseError
        from joserfc.jwk import import_key

        compact: Compact = read_compact(proof, ("dpop+jwt",), _MAX_BYTES)
        jwk, algorithm = compact.header.get("jwk"), compact.header["alg"]
        if not isinstance(jwk, dict) or algorithm not in self.algorithms:
            raise BadToken("its header needs a jwk and an alg that is taken here")
        members = cast("dict[str, Any]", jwk)
        names = _PUBLIC.get(str(members.get("kty")), ())
        if not names or not members.keys().isdisjoint(("d", "p", "q", "dp", "dq", "qi", "oth", "k")):
            raise BadToken("its jwk is no public key")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a key that is too short: it is refused
                key = import_key({name: members[name] for name in names})
            fits = algorithm in algorithms_of(key) or (
                key.key_type == "RSA" and algorithm == "PS256" and algorithms_of(key)
            )
        except (JoseError, ValueError, TypeError, KeyError):
            raise BadToken("its jwk can't be read") from None
        if not fits or not compact.signed_with(key):
            raise BadToken("it is not signed with its key")
        if not compare_digest(key.thumbprint().encode(), thumbprint.encode()):
            raise BadToken("the token is bound to another key")
        return compact.claims()

    def _check_request(self, claims: dict[str, Any], method: str, url: str, token: str) -> None:
        digest = base64url(sha256(token.encode()).digest())
        if claims.get("htm") != method:
            raise BadToken("htm is another method")
        if not isinstance(claims.get("htu"), str) or _comparable(claims["htu"]) != _comparable(url):
            raise BadToken("htu is another URL")
        if claims.get("ath") != digest:
            raise BadToken("ath is of another token")
        issued, id = claims.get("iat"), claims.get("jti")
        if isinstance(issued, bool) or not isinstance(issued, int | float):
            raise BadToken("iat is no time")
        if not abs(issued - self._clock()) <= self._seconds:
            raise BadToken("iat is too far from now")
        if not isinstance(id, str) or not 0 < len(id) <= _MAX_JTI:
            raise BadToken("it needs a jti")

    def _use_once(self, thumbprint: str, id: str, principal: str) -> None:
        now = self._clock()
        digest = sha256(f"{thumbprint} {id}".encode("utf-8", "surrogatepass")).digest()
        while self._seen and next(iter(self._seen.values()))[0] <= now:
            _, whose = self._seen.pop(next(iter(self._seen)))
            self._seen_of.release(whose)
        if digest in self._seen:
            raise ProofError("invalid_dpop_proof", "The DPoP proof was used before")
        # Forgetting one would let it be used again. So who has more than an equal share of the room waits, and nobody
        # else does, however many keys somebody makes.
        if len(self._seen) >= _MAX_SEEN and self._seen_of[principal] >= _MAX_SEEN // len(self._seen_of):
            wait = next(iter(self._seen.values()))[0] - now
            raise Denied(Refuse(429, "Too many DPoP proofs at once: try again", headers=retry_after(wait)))
        self._seen[digest] = now + 2 * self._seconds, principal
        self._seen_of[principal] += 1


def _comparable(url: str) -> tuple[str, str, int | None, str] | None:
    """A URL without query and fragment, in the one form that others are compared with (RFC 9449, 4.3)."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return None
    return parts.scheme, (parts.hostname or "").lower(), port, parts.path.rstrip("/")
