"""Signed tokens, read strictly (RFC 7515, compact serialization): two programs must not read one token differently."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from joserfc.jwk import Key

__all__ = ["BadToken", "Compact", "algorithms_of", "base64url", "read_compact", "require_joserfc"]

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)\.([A-Za-z0-9_-]+)")
_MAX_HEADER = 4096
_OPENED = re.compile(r"[\[{]")
_MAX_OPENED = 2000
"""Arrays and objects in a document; far fewer than what would exhaust the stack if each were in another."""
_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}


class BadToken(ValueError):
    """It is not signed as it must be. The text is for the log."""


@dataclass(frozen=True, slots=True)
class Compact:
    """A token whose signature is still to be checked; its header is to be believed in nothing but which key to try."""

    header: dict[str, Any]
    payload: bytes
    signed: bytes
    signature: bytes

    def signed_with(self, key: Key) -> bool:
        """Whether the key made the signature, by the header's algorithm. Raises BadToken where these don't fit."""
        from joserfc.errors import JoseError
        from joserfc.jws import JWSRegistry

        name: str = self.header["alg"]
        if name == "EdDSA":
            name = str(key.as_dict(private=False)["crv"])  # the name that says which (RFC 9864)
        try:
            algorithm = JWSRegistry(algorithms=[name]).get_alg(name)
            algorithm.check_key(key)
            return algorithm.verify(self.signed, self.signature, key)
        except (JoseError, ValueError, TypeError) as error:
            raise BadToken(f"The key does not fit the algorithm {name}: {error}") from None

    def claims(self) -> dict[str, Any]:
        """The payload, once its signature was checked. Raises BadToken."""
        return _object(self.payload)


def require_joserfc(what: str) -> None:
    if find_spec("joserfc") is None:
        raise ImportError(f"{what} needs joserfc: pip install 'headrace[auth]'")


def read_compact(token: str, types: Sequence[str], max_bytes: int) -> Compact:
    """The parts of a token whose ``typ`` is one of `types` (lower case, "" for none). Raises BadToken."""
    match = _COMPACT.fullmatch(token) if len(token) <= max_bytes and token.isascii() else None
    if match is None or len(match[1]) > _MAX_HEADER:
        raise BadToken("It is no JWT in compact form")
    head, payload, signature = (_decoded(part) for part in match.groups())
    header = _object(head)
    # An extension that must be understood, and none is; b64 changes what is signed (RFC 7797).
    if not header.keys().isdisjoint(("crit", "b64", "zip", "enc")):
        raise BadToken("Its header has an extension that is not known here")
    type, key_id = header.get("typ", ""), header.get("kid", "")
    if not isinstance(type, str) or type.lower().removeprefix("application/") not in types:
        raise BadToken("Its typ is that of another kind of token")
    if not isinstance(header.get("alg"), str) or not isinstance(key_id, str):
        raise BadToken("Its header has no alg, or a kid that is no text")
    return Compact(header, payload, token[: match.end(2)].encode(), signature)


def algorithms_of(key: Key) -> tuple[str, ...]:
    """What a key is for where nobody says: one algorithm, in the names that it has; none for an unsafe key."""
    kind, members = key.key_type, key.as_dict(private=False)
    if kind == "RSA":
        # Too short is unsafe, too long is slow on purpose (RFC 7518, 3.3).
        return ("RS256",) if 2048 <= len(str(members["n"])) * 6 < 8300 and len(str(members["e"])) <= 8 else ()
    if kind == "EC":
        name = _CURVES.get(str(members["crv"]))
        return () if name is None else (name,)
    if kind == "OKP" and members["crv"] in ("Ed25519", "Ed448"):
        return (str(members["crv"]), "EdDSA")
    return ()


def base64url(data: bytes) -> str:
    """Without padding (RFC 7515, 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise BadToken("It is no base64url") from None
    if base64url(data) != text:
        raise BadToken("It is no base64url in its only form")  # another text for the same token
    return data


def _object(data: bytes) -> dict[str, Any]:
    """A JSON object without a member twice and without numbers that are none. Raises BadToken."""
    try:
        text = data.decode()
        if len(_OPENED.findall(text)) > _MAX_OPENED:
            raise BadToken("It is nested too deeply")
        value = json.loads(text, object_pairs_hook=_members, parse_constant=_number, parse_float=_number)
    except (ValueError, RecursionError) as error:
        raise BadToken(f"It is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadToken("It is no JSON object")
    return cast("dict[str, Any]", value)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise BadToken("A member is there twice")
    return members


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise BadToken(f"{text} is no number")
    return number
