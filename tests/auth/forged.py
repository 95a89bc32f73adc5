"""JWTs that must not let anybody in, each next to good ones that do: 150 and more ways to lie."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

__all__ = ["BASE", "FORGED", "ISSUER", "KEYS", "RESOURCE", "Forged", "claims", "good", "signed"]

BASE = "https://mcp.example.com"
RESOURCE = f"{BASE}/mcp"
ISSUER = "https://login.example.com/tenant"
SECRET = "a shared secret of more than 32 bytes"

RSA, EC, ED = RSAKey.generate_key(2048), ECKey.generate_key("P-256"), OKPKey.generate_key("Ed25519")
OTHER_RSA, OTHER_EC, P384 = RSAKey.generate_key(2048), ECKey.generate_key("P-256"), ECKey.generate_key("P-384")
OTHER_ED = OKPKey.generate_key("Ed25519")
HS = OctKey.import_key(SECRET)
PEM = RSA.as_pem(private=False).decode()
KEYS: dict[str, Any] = {
    "rsa": {"public_key": PEM},
    "ec": {"public_key": EC.as_pem(private=False)},
    "ed": {"public_key": ED.as_pem(private=False)},
    "hs": {"public_key": SECRET, "algorithm": "HS256"},
}
"""What the verifiers are made with."""
_SIGNED_BY: dict[str, tuple[str, Key]] = {"rsa": ("RS256", RSA), "ec": ("ES256", EC), "ed": ("EdDSA", ED)}
_SIGNED_BY["hs"] = ("HS256", HS)
_ABSENT = object()


class Forged(NamedTuple):
    name: str
    kind: str
    """Of the verifier that it is shown to."""
    token: str


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    every = {"iss": ISSUER, "aud": RESOURCE, "sub": "ann", "client_id": "app", "scope": "read", "jti": "1"}
    every |= {"iat": now, "exp": now + 3600, **changed}
    return {name: value for name, value in every.items() if value is not _ABSENT}


def signed(
    kind: str = "rsa", header: Any = None, payload: Any = None, *, key: Any = None, by: str | None = None
) -> str:
    """A token with a right signature, whatever else is wrong; `header` and `payload` may be bytes."""
    algorithm, own = _SIGNED_BY[kind]
    algorithm = by or algorithm
    head = header if isinstance(header, bytes) else json.dumps({"alg": algorithm, **(header or {})}).encode()
    body = payload if isinstance(payload, bytes) else json.dumps(claims() if payload is None else payload).encode()
    text = f"{b64(head)}.{b64(body)}"
    model = JWSRegistry.algorithms["Ed25519" if algorithm == "EdDSA" else algorithm]
    return f"{text}.{b64(model.sign(text.encode(), key or own))}"


def _raw(**members: str) -> bytes:
    """The claims as JSON, some of them written as given."""
    kept = claims(**dict.fromkeys(members, _ABSENT))
    more = ", ".join(f"{json.dumps(name)}: {text}" for name, text in members.items())
    return f"{json.dumps(kept)[:-1]}, {more}}}".encode()


def _algorithms() -> Iterator[Forged]:
    good = signed().split(".")
    for name in ("none", "None", "NONE", "nOnE", ""):
        head = b64(json.dumps({"alg": name, "typ": "JWT"}).encode())
        yield Forged(f"alg {name!r} without signature", "rsa", f"{head}.{good[1]}.")
        yield Forged(f"alg {name!r} with the signature of another", "rsa", f"{head}.{good[1]}.{good[2]}")
    for text in (b'{"typ": "JWT"}', b'{"alg": null}', b'{"alg": 1}', b'{"alg": ["RS256"]}', b'{"alg": {"RS256": 1}}'):
        yield Forged(f"header {text.decode()}", "rsa", signed(header=text))
    for name in ("rs256", "RS256 ", "RS1", "XX256"):
        yield Forged(f"alg {name!r}", "rsa", signed(header={"alg": name}))
    for secret in (PEM, PEM.strip(), RSA.as_der(private=False), PEM.encode() + b"\0"):
        head = b64(b'{"alg":"HS256"}')
        text = f"{head}.{good[1]}"
        data = secret if isinstance(secret, bytes) else secret.encode()
        signature = b64(hmac.digest(data, text.encode(), hashlib.sha256))
        yield Forged(f"the public key as a secret, {len(data)} bytes", "rsa", f"{text}.{signature}")
    for name in ("RS384", "RS512", "PS256", "PS384"):
        yield Forged(f"{name} where RS256 is pinned", "rsa", signed(by=name))
    for name in ("HS384", "HS512"):
        yield Forged(f"{name} where HS256 is pinned", "hs", signed("hs", by=name))
    for name in ("ES256", "EdDSA"):
        yield Forged(f"header says {name}", "hs", signed("hs", {"alg": name}))


def _headers() -> Iterator[Forged]:
    jwk = {**OTHER_RSA.as_dict(private=False), "kid": "mine"}
    ec = OTHER_EC.as_dict(private=False)
    yield Forged("its own jwk", "rsa", signed(header={"jwk": jwk}, key=OTHER_RSA))
    yield Forged("its own jwk and kid", "rsa", signed(header={"jwk": jwk, "kid": "mine"}, key=OTHER_RSA))
    yield Forged("its own jwk of a curve", "ec", signed("ec", {"jwk": ec}, key=OTHER_EC))
    for name in ("jku", "x5u"):
        yield Forged(name, "rsa", signed(header={name: "https://evil.example/keys.json"}, key=OTHER_RSA))
    yield Forged("x5c", "rsa", signed(header={"x5c": [b64(OTHER_RSA.as_der(private=False))]}, key=OTHER_RSA))
    for value in ([], ["exp"], ["b64"], "exp", None, ["unknown"]):
        yield Forged(f"crit {value!r}", "rsa", signed(header={"crit": value, "unknown": 1}))
    for value in (False, True):
        yield Forged(f"b64 {value}", "rsa", signed(header={"b64": value}))
    for value in (1, ["a"], {"a": 1}, None):
        yield Forged(f"kid {value!r}", "rsa", signed(header={"kid": value}))
    for value in ("../../dev/null", "' OR 1=1 --", "https://evil.example/key", "\0"):
        yield Forged(f"kid {value!r} of another key", "rsa", signed(header={"kid": value}, key=OTHER_RSA))
    for value in (
        "dpop+jwt",
        "oauth-id-jag+jwt",
        "logout+jwt",
        "secevent+jwt",
        "application/dpop+jwt",
        "client-auth+jwt",
    ):
        yield Forged(f"typ {value}", "rsa", signed(header={"typ": value}))
    for value in (1, ["at+jwt"], None, {"at+jwt": 1}):
        yield Forged(f"typ {value!r}", "rsa", signed(header={"typ": value}))


def _signatures() -> Iterator[Forged]:
    for kind in ("rsa", "ec", "ed", "hs"):
        text, _, signature = signed(kind).rpartition(".")
        data = base64.urlsafe_b64decode(signature + "==")
        wrong = {
            "none": b"",
            "short": data[:-1],
            "long": data + b"\0",
            "zeros": bytes(len(data)),
            "first bit": bytes([data[0] ^ 1]) + data[1:],
            "last bit": data[:-1] + bytes([data[-1] ^ 1]),
        }
        for name, changed in wrong.items():
            yield Forged(f"{kind} signature: {name}", kind, f"{text}.{b64(changed)}")
        yield Forged(f"{kind} signature of other claims", kind, f"{text}.{signed(kind, None, {}).rpartition('.')[2]}")
    for kind, key in (("rsa", OTHER_RSA), ("ec", OTHER_EC), ("ed", OTHER_ED), ("hs", OctKey.import_key("x" * 40))):
        yield Forged(f"{kind}: another key", kind, signed(kind, key=key))
    yield Forged("another curve", "ec", signed("ec", key=P384, by="ES384"))
    yield Forged("another curve under the name of this", "ec", signed("ec", {"alg": "ES256"}, key=P384, by="ES384"))
    text, _, signature = signed("ec").rpartition(".")
    data = base64.urlsafe_b64decode(signature + "==")
    yield Forged("r and s swapped", "ec", f"{text}.{b64(data[32:] + data[:32])}")
    der = b"\x30\x44\x02\x20" + data[:32] + b"\x02\x20" + data[32:]
    yield Forged("ES256 as DER", "ec", f"{text}.{b64(der)}")
    good = signed().split(".")
    for changed in ({"sub": "root"}, {"scope": "read admin"}, {"exp": 2**40}, {"client_id": "other"}):
        body = b64(json.dumps(claims(**changed)).encode())
        yield Forged(f"claims changed afterwards: {changed}", "rsa", f"{good[0]}.{body}.{good[2]}")


def _times() -> Iterator[Forged]:
    now = int(time.time())
    for value in (now - 61, 0, -1, 1.5, None, _ABSENT, "9999999999", True, [], [now + 3600], {}):
        shown = "absent" if value is _ABSENT else repr(value)
        yield Forged(f"exp {shown}", "rsa", signed(payload=claims(exp=value)))
    for text in ("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1" + "0" * 30, "1" + "0" * 400):
        yield Forged(f"exp {text}", "rsa", signed(payload=_raw(exp=text)))
    for name in ("nbf", "iat"):
        for value in (now + 3600, str(now), True, [now]):
            yield Forged(f"{name} {value!r}", "rsa", signed(payload=claims(**{name: value})))


def _parties() -> Iterator[Forged]:
    near = (
        "",
        BASE,
        f"{BASE}/",
        RESOURCE[:-1],
        f"{RESOURCE}/",
        f"{RESOURCE}2",
        f"{RESOURCE}?",
        f"{RESOURCE}#a",
        f"{RESOURCE}/../mcp",
        RESOURCE.upper(),
        RESOURCE.replace("https", "http"),
        RESOURCE.replace("mcp.", "mcp.evil."),
        f" {RESOURCE}",
        f"{RESOURCE} https://evil.example",
        RESOURCE.replace("m", "\u217f", 1),
    )
    odd = (None, _ABSENT, 1, True, [], {}, {RESOURCE: 1}, [[RESOURCE]], [None], ["https://evil.example"])
    for value in (*near, *odd):
        shown = "absent" if value is _ABSENT else repr(value)
        yield Forged(f"aud {shown}", "rsa", signed(payload=claims(aud=value)))
    issuers = ("", f"{ISSUER}/", ISSUER[:-1], ISSUER.upper(), ISSUER.replace("https", "http"), f" {ISSUER}", "evil")
    for value in (*issuers, ISSUER.replace("//", "//a@"), None, _ABSENT, 1, [ISSUER], {ISSUER: 1}):
        shown = "absent" if value is _ABSENT else repr(value)
        yield Forged(f"iss {shown}", "rsa", signed(payload=claims(iss=value)))
    for more in ({"at_hash": "x"}, {"c_hash": "x"}, {"nonce": "x"}, {"token_use": "id"}, {"token_use": 1}):
        yield Forged(f"an ID token: {more}", "rsa", signed(payload=claims(**more)))
    for more in ({"sub": 1}, {"sub": ["ann"]}, {"scope": 1}, {"scope": {"read": 1}}, {"scope": [1]}, {"client_id": 1}):
        yield Forged(f"not of its type: {more}", "rsa", signed(payload=claims(**more)))


def _shapes() -> Iterator[Forged]:
    good = signed()
    head, body, signature = good.split(".")
    shapes = {
        "a word": "a",
        "two parts": f"{head}.{body}",
        "four parts": f"{good}.a",
        "five parts, as of a JWE": f"{head}..a.{body}.{signature}",
        "a dot in front": f".{good}",
        "a dot behind": f"{good}.",
        "no header": f".{body}.{signature}",
        "no claims": f"{head}..{signature}",
        "padding": f"{head}=.{body}.{signature}",
        "padding behind": f"{good}==",
        "another alphabet": f"{head}.{body}.{signature[:-2]}+/",
        "a blank": f"{head}.{body} .{signature}",
        "a letter that is none": f"{head}.{body}.{signature[:-1]}\xe9",
        "bits that do not count": f"{head}.{body}.{_respelled(signature)}",
        "longer than allowed": signed(payload=claims(more="x" * 20_000)),
    }
    for name, token in shapes.items():
        yield Forged(name, "rsa", token)
    for name, data in {
        "no JSON": b"{",
        "an array": b"[]",
        "text": b'"a"',
        "UTF-16": json.dumps({"alg": "RS256"}).encode("utf-16"),
        "no UTF-8": b'{"alg": "RS256", "a": "\xff"}',
        "deep": b'{"alg": "RS256", "a": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    }.items():
        yield Forged(f"header: {name}", "rsa", signed(header=data))
        yield Forged(f"claims: {name}", "rsa", signed(payload=data))
    yield Forged("alg twice", "rsa", signed(header=b'{"alg": "none", "alg": "RS256"}'))
    for name in ("sub", "aud", "exp", "scope"):
        text = json.dumps(claims())
        yield Forged(f"{name} twice", "rsa", signed(payload=f'{{"{name}": 1, {text[1:]}'.encode()))
    yield Forged("a member twice further in", "rsa", signed(payload=_raw(more='{"a": 1, "a": 2}')))


def _respelled(signature: str) -> str:
    """The last character stands for bits of which some are of no byte."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return signature[:-1] + letters[letters.index(signature[-1]) ^ 1]


def good() -> Iterator[Forged]:
    """Tokens that are good now, some of them for half a minute."""
    now = int(time.time())
    for kind in KEYS:
        yield Forged(f"{kind}, as it should be", kind, signed(kind))
    yield Forged("RFC 9864's name", "ed", signed("ed", {"alg": "Ed25519"}, by="Ed25519"))
    for typ in ("at+jwt", "application/at+jwt", "AT+JWT", "JWT"):
        yield Forged(f"typ {typ}", "rsa", signed(header={"typ": typ}))
    yield Forged("a kid", "rsa", signed(header={"kid": "a"}))
    for more in (
        {"aud": [RESOURCE]},
        {"aud": ["https://other.example", RESOURCE]},
        {"exp": now - 30},
        {"exp": now + 3600.5},
        {"exp": 2**52},
        {"nbf": now + 30},
        {"iat": _ABSENT},
        {"scope": ["read"]},
        {"scope": _ABSENT, "scp": "read"},
        {"scope": _ABSENT, "scopes": ["read"]},
        {"token_use": "access"},
        {"client_id": _ABSENT, "azp": "app"},
    ):
        shown = {name: "absent" if value is _ABSENT else value for name, value in more.items()}
        yield Forged(f"claims {shown}", "rsa", signed(payload=claims(**more)))


FORGED = [*_algorithms(), *_headers(), *_signatures(), *_times(), *_parties(), *_shapes()]
