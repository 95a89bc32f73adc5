"""Keys that tokens are signed with: one that is given, or the set at a URL, kept and renewed (RFC 7517)."""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, cast

import msgspec

from ...exceptions import FetchError
from ...transports.http.fetch import fetch
from .compact import BadToken, Compact, algorithms_of, require_joserfc

if TYPE_CHECKING:
    from joserfc.jwk import Key

__all__ = [
    "ASYMMETRIC",
    "JWKS",
    "SYMMETRIC",
    "Keys",
    "KeysUnavailable",
    "OneKey",
    "RSAKeyPair",
    "SigningKey",
    "check_signature",
    "keys_in",
]

SYMMETRIC = {"HS256": 32, "HS384": 48, "HS512": 64}
"""With the shortest secret in bytes: as long as the hash (RFC 7518, 3.2)."""
ASYMMETRIC = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    "ES256": "EC",
    "ES384": "EC",
    "ES512": "EC",
    **dict.fromkeys(("EdDSA", "Ed25519", "Ed448"), "OKP"),
}
"""With the type of their keys."""

_MAX_BYTES = 512 * 1024
_MAX_KEYS = 100
_MAX_TRIED = 8
"""Keys of one set for a token that names none: each costs time."""
_SECONDS = 5.0
_FRESH = 3600.0
_STALE = 24 * 3600.0
"""Keys are renewed after an hour; while that fails they are good for a day."""


class KeysUnavailable(Exception):
    """Whether the token is good can't be known now."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key, and the algorithms it may be used with."""

    key: Key
    algorithms: tuple[str, ...]
    kid: str | None = None

    def fits(self, algorithm: str, kid: str | None) -> bool:
        return algorithm in self.algorithms and (kid is None or self.kid is None or kid == self.kid)


class Keys(Protocol):
    async def fitting(self, algorithm: str, kid: str | None) -> Sequence[SigningKey]:
        """The keys a token of that header may be signed with. Raises KeysUnavailable."""
        ...


def check_signature(token: Compact, keys: Sequence[SigningKey]) -> None:
    """That one of the keys made it: the one it names, where it names one. Raises BadToken."""
    # Whoever writes a header says what to try, nothing else: its jwk, jku, x5u and x5c are never read.
    fitting = [each for each in keys if each.fits(token.header["alg"], token.header.get("kid"))]
    if not any(token.signed_with(each.key) for each in fitting[:_MAX_TRIED]):
        raise BadToken("It is signed with no key of its issuer, or not by its algorithm")


class OneKey:
    """A public key as PEM, or a secret for the HS algorithms, which must be named. Raises ValueError."""

    def __init__(self, key: str | bytes, algorithm: str | None) -> None:
        require_joserfc("A JWTVerifier")
        data = key.encode() if isinstance(key, str) else key
        self._key = _secret(data, algorithm) if algorithm in SYMMETRIC else _public(data, algorithm)

    async def fitting(self, algorithm: str, kid: str | None) -> Sequence[SigningKey]:
        # There is one key, whatever its issuer calls it.
        return [self._key] if algorithm in self._key.algorithms else []


class JWKS:
    """The key set at a URL: fetched when first needed, again after an hour or for a kid that is not in it.

    At most one fetch in `interval` seconds, and one for all who wait. While the set can't be had the keys of the last
    one are good for a day. `ssrf_safe`: only public addresses. `clock` in seconds.
    """

    def __init__(
        self,
        url: str,
        algorithm: str | None = None,
        *,
        ssrf_safe: bool = False,
        interval: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        require_joserfc("A JWTVerifier")
        self.url = url
        self._algorithm = algorithm
        self._allow_private = not ssrf_safe
        self._interval = interval
        self._clock = clock
        self._keys: list[SigningKey] = []
        self._fetched: float | None = None
        self._tried: float | None = None
        self._failure: str | None = None
        """Why the last fetch brought nothing."""
        self._task: asyncio.Task[None] | None = None

    async def fitting(self, algorithm: str, kid: str | None) -> Sequence[SigningKey]:
        found = self._found(algorithm, kid)
        if found and self._age() < _FRESH:
            return found
        if self._task is not None or self._tried is None or self._clock() - self._tried >= self._interval:
            await self._refresh()
            found = self._found(algorithm, kid)
        if self._failure is not None and (not found or self._age() >= _STALE):
            raise KeysUnavailable(f"The keys at {self.url} can't be had: {self._failure}")
        return found

    def _found(self, algorithm: str, kid: str | None) -> list[SigningKey]:
        return [key for key in self._keys if key.fits(algorithm, kid)]

    def _age(self) -> float:
        return float("inf") if self._fetched is None else self._clock() - self._fetched

    async def _refresh(self) -> None:
        if self._task is None:
            self._tried = self._clock()
            self._task = asyncio.create_task(self._fetch())
        # Who stops waiting leaves the fetch to the others.
        await asyncio.shield(self._task)

    async def _fetch(self) -> None:
        try:
            answer = await fetch(
                self.url,
                max_bytes=_MAX_BYTES,
                timeout=_SECONDS,
                allow_private=self._allow_private,
                headers={"accept": "application/json"},
            )
            if answer.status != 200:
                raise FetchError(f"the answer is {answer.status}")
            self._keys = keys_in(answer.body, self._algorithm)
            self._fetched, self._failure = self._clock(), None
        except FetchError as error:
            self._failure = str(error)
        finally:
            self._task = None


def keys_in(document: bytes, algorithm: str | None) -> list[SigningKey]:
    """The keys of a JWK set that verify signatures; others are left out (RFC 7517, 5). Raises FetchError."""
    try:
        members = msgspec.json.decode(document, type=dict[str, Any]).get("keys")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        members = None
    if not isinstance(members, list):
        raise FetchError("this is no JWK set")
    found = [_of_jwk(each, algorithm) for each in cast("list[Any]", members)[:_MAX_KEYS]]
    return [key for key in found if key is not None]


def _of_jwk(jwk: Any, algorithm: str | None) -> SigningKey | None:
    from joserfc.errors import JoseError
    from joserfc.jwk import import_key

    if not isinstance(jwk, dict):
        return None
    members = cast("dict[str, Any]", jwk)
    operations, kid = members.get("key_ops", ["verify"]), members.get("kid")
    if members.get("kty") not in ("RSA", "EC", "OKP") or members.get("use", "sig") != "sig":
        return None
    if not isinstance(operations, list) or "verify" not in operations or not isinstance(kid, str | None):
        return None
    public = {name: members[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in members}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a key that is too short: it is left out
            key = import_key(public)
        algorithms = _allowed(key, members.get("alg") if algorithm is None else algorithm)
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    if members.get("alg") is not None and members["alg"] not in algorithms:
        return None
    return SigningKey(key, algorithms, kid) if algorithms else None


def _allowed(key: Key, algorithm: Any) -> tuple[str, ...]:
    """The one algorithm of a key, in its names; none where key and algorithm don't fit."""
    default = algorithms_of(key)
    if algorithm is None or algorithm in default or not default:
        return default
    # Only RSA keys have more than one.
    return (algorithm,) if key.key_type == "RSA" and ASYMMETRIC.get(algorithm) == "RSA" else ()


def _secret(data: bytes, algorithm: str) -> SigningKey:
    from joserfc.jwk import OctKey

    if b"-----BEGIN" in data or data.lstrip().startswith((b"ssh-", b"ecdsa-", b"{")):
        raise ValueError(f"{algorithm} takes a secret that both sides share, and this is a key that others may know")
    if len(data) < SYMMETRIC[algorithm]:
        raise ValueError(
            f"A secret for {algorithm} has at least {SYMMETRIC[algorithm]} bytes, and this has {len(data)}"
        )
    return SigningKey(OctKey.import_key(data), (algorithm,))


def _public(data: bytes, algorithm: str | None) -> SigningKey:
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey, OKPKey, RSAKey

    if b"-----BEGIN" not in data:
        raise ValueError("The public key is no PEM; for a shared secret say algorithm='HS256'")
    for kind in (RSAKey, ECKey, OKPKey):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                key = kind.import_key(data)
            algorithms = _allowed(key, algorithm)
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        if not algorithms:
            raise ValueError(f"This {kind.key_type} key is not for {algorithm or 'signatures'}, or it is too short")
        return SigningKey(key, algorithms)
    raise ValueError("The public key can't be read: it is no PEM of an RSA, EC, Ed25519 or Ed448 key")


@dataclass(frozen=True, slots=True)
class RSAKeyPair:
    """Keys as PEM, and tokens signed with them: for tests and for development."""

    private_key: str = field(repr=False)
    public_key: str

    @classmethod
    def generate(cls) -> RSAKeyPair:
        """A new pair of 2048 bits."""
        require_joserfc("An RSAKeyPair")
        from joserfc.jwk import RSAKey

        key = RSAKey.generate_key(2048)
        return cls(key.as_pem(private=True).decode(), key.as_pem(private=False).decode())

    def create_token(
        self,
        subject: str = "headrace-user",
        issuer: str = "https://headrace.example.com",
        audience: str | list[str] | None = None,
        scopes: Sequence[str] | None = None,
        expires_in_seconds: int = 3600,
        additional_claims: Mapping[str, Any] | None = None,
        kid: str | None = None,
    ) -> str:
        """A JWT signed with RS256."""
        from joserfc import jwt
        from joserfc.jwk import RSAKey

        now = int(time.time())
        claims: dict[str, Any] = {"sub": subject, "iss": issuer, "iat": now, "exp": now + expires_in_seconds}
        claims |= {"aud": audience} if audience else {}
        claims |= {"scope": " ".join(scopes)} if scopes else {}
        header = {"typ": "at+jwt", "alg": "RS256"} | ({"kid": kid} if kid else {})
        return jwt.encode(header, {**claims, **(additional_claims or {})}, RSAKey.import_key(self.private_key))
