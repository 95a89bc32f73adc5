"""JWTVerifier behind the door: forged tokens, good ones next to them, whom a token is for, and where keys come from."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from joserfc.jwk import ECKey, Key, OctKey, RSAKey

from headrace.server.auth import JWTVerifier, MultiAuth, RemoteAuthProvider, RSAKeyPair
from headrace.server.auth.keys import JWKS, KeysUnavailable

from .answering import Answering, answering
from .door import door, doors
from .forged import BASE, FORGED, ISSUER, KEYS, RESOURCE, claims, good, signed


def verifier(kind: str = "rsa", **options: Any) -> JWTVerifier:
    return JWTVerifier(**{"issuer": ISSUER, "base_url": BASE, "required_scopes": ["read"], **KEYS[kind], **options})


def test_there_are_so_many() -> None:
    assert len(FORGED) == 211
    assert len({each.name for each in FORGED}) == len(FORGED)
    assert {each.kind for each in FORGED} == {each.kind for each in good()} == KEYS.keys()


@pytest.mark.parametrize("kind", KEYS)
async def test_a_forged_token_lets_nobody_in(kind: str) -> None:
    async with door(verifier(kind)) as ask:
        for each in FORGED:
            if each.kind == kind:
                said = await ask(each.token)
                assert (said.status, 'error="invalid_token"' in said.challenges[0]) == (401, True), each.name
        assert ask.ran == []
        welcome = [each for each in good() if each.kind == kind]
        for each in welcome:  # the same door opens
            assert (await ask(each.token)).claims.get("sub") == "ann", each.name
        assert len(ask.ran) == len(welcome)


# Whom it is for


async def test_two_apps_of_one_server_and_provider() -> None:
    """A token for one path does not open the other, also once the first knows it."""
    tokens = {path: signed(payload=claims(aud=BASE + path)) for path in ("/a", "/b")}
    for auth in (
        verifier(),
        RemoteAuthProvider(verifier(base_url=None), [ISSUER], BASE),
        MultiAuth(verifiers=[verifier(base_url=None)], base_url=BASE, required_scopes=["read"]),
        MultiAuth(server=RemoteAuthProvider(verifier(base_url=None), [ISSUER], BASE)),
    ):
        async with doors(auth, "/a", "/b") as (a, b):
            for _ in range(2):
                assert [(await ask(tokens["/a"])).status for ask in (a, b)] == [200, 401]
                assert [(await ask(tokens["/b"])).status for ask in (a, b)] == [401, 200]


async def test_an_audience_of_ones_own_takes_the_place_of_the_resource() -> None:
    async with door(verifier(audience=["api://one", "api://two"])) as ask:
        for audience, status in {"api://one": 200, "api://two": 200, RESOURCE: 401, "api://three": 401}.items():
            assert (await ask(signed(payload=claims(aud=audience)))).status == status, audience


async def test_a_resource_without_a_path_has_two_spellings() -> None:
    async with door(verifier(), "/") as ask:
        for audience, status in {BASE: 200, f"{BASE}/": 200, RESOURCE: 401}.items():
            assert (await ask(signed(payload=claims(aud=audience)))).status == status, audience


async def test_whom_tokens_are_for_is_never_left_unchecked() -> None:
    alone = verifier(base_url=None)
    assert await alone.verify_token(signed()) is None
    with pytest.raises(ValueError, match=r"base_url= .* or audience="):
        async with door(alone):
            pass
    with pytest.raises(ValueError, match=r"base_url= .* or audience="):
        async with door(MultiAuth(verifiers=[verifier(), alone])):
            pass


# What it says


async def test_what_is_known_of_a_token() -> None:
    token = signed(payload=claims(scope="read write", aud=["https://other.example", RESOURCE], tenant="t"))
    access = await verifier(audience=RESOURCE).verify_token(token)
    assert access is not None
    assert (access.client_id, access.scopes, access.resource) == ("app", ["read", "write"], RESOURCE)
    assert (access.claims["sub"], access.claims["tenant"]) == ("ann", "t")
    assert access.expires_at == access.claims["exp"]


async def test_a_missing_scope_is_403() -> None:
    async with door(verifier()) as ask:
        said = await ask(signed(payload=claims(scope="write")))
        assert said.status == 403
        assert 'error="insufficient_scope"' in said.challenges[0]
        assert 'scope="read"' in said.challenges[0]


async def test_clocks_may_differ_by_as_much_as_is_said() -> None:
    now = int(time.time())
    late, early = signed(payload=claims(exp=now - 30)), signed(payload=claims(nbf=now + 30))
    for leeway, status in ((60, 200), (0, 401)):
        async with door(verifier(leeway_seconds=leeway)) as ask:
            assert [(await ask(late)).status, (await ask(early)).status] == [status, status]


async def test_a_pair_for_tests_makes_tokens_that_are_accepted() -> None:
    pair = RSAKeyPair.generate()
    assert "PRIVATE" not in repr(pair)
    async with door(verifier(public_key=pair.public_key)) as ask:
        token = pair.create_token("ann", ISSUER, RESOURCE, ["read"], additional_claims={"more": 1}, kid="k")
        assert (await ask(token)).claims["more"] == 1
        assert (await ask(RSAKeyPair.generate().create_token("ann", ISSUER, RESOURCE, ["read"]))).status == 401


SHORT = b"31 bytes of what nobody may know"[:31]
P256 = ECKey.generate_key("P-256").as_pem(private=False)
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no key": ({}, "either public_key or jwks_uri"),
    "two keys": ({"public_key": P256, "jwks_uri": "https://a.example"}, "either public_key or jwks_uri"),
    "none": ({"public_key": P256, "algorithm": "none"}, "Unknown algorithm"),
    "a secret without an algorithm": ({"public_key": "x" * 40}, "algorithm='HS256'"),
    "a short secret": ({"public_key": SHORT, "algorithm": "HS256"}, "at least 32 bytes"),
    "a short secret for its hash": ({"public_key": "x" * 40, "algorithm": "HS512"}, "at least 64 bytes"),
    "a public key as a secret": ({"public_key": P256, "algorithm": "HS256"}, "others may know"),
    "a secret in a key set": ({"jwks_uri": "https://a.example", "algorithm": "HS256"}, "shared secret"),
    "another kind of key": ({"public_key": P256, "algorithm": "RS256"}, "not for RS256"),
    "another curve": ({"public_key": P256, "algorithm": "ES384"}, "not for ES384"),
    "no PEM inside": ({"public_key": "-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----"}, "can't be read"),
    "an empty audience": ({"public_key": P256, "audience": []}, "audience"),
    "an empty issuer": ({"public_key": P256, "issuer": ""}, "issuer"),
    "a long leeway": ({"public_key": P256, "leeway_seconds": 3600}, "leeway_seconds"),
    "a leeway that is none": ({"public_key": P256, "leeway_seconds": float("nan")}, "leeway_seconds"),
    "an interval that is none": ({"jwks_uri": "https://a.example", "jwks_refresh_interval": -1}, "interval"),
}


@pytest.mark.parametrize(("options", "said"), WRONG.values(), ids=WRONG.keys())
def test_settings_that_cannot_be_meant(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as raised:
        JWTVerifier(**options)
    assert "\n" not in str(raised.value)


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_a_short_rsa_key_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        JWTVerifier(public_key=RSAKey.generate_key(1024).as_pem(private=False))


# Key sets


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


ONE, TWO = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")


def key_set(**keys: Key) -> dict[str, Any]:
    return {"keys": [jwk(key, kid) for kid, key in keys.items()]}


def jwk(key: Key, kid: str, /, **changed: Any) -> dict[str, Any]:
    members = {**key.as_dict(private=False), "kid": kid, **changed}
    return {name: value for name, value in members.items() if value is not None}


async def statuses(site: Answering, *tokens: str, **options: Any) -> list[int]:
    auth = JWTVerifier(jwks_uri=site.url, issuer=ISSUER, base_url=BASE, cache_seconds=0, **options)
    async with door(auth) as ask:
        return [(await ask(token)).status for token in tokens]


async def test_a_key_set() -> None:
    rsa = RSAKey.generate_key(2048)
    async with answering(key_set(one=ONE, two=TWO, three=rsa)) as site:
        tokens = {
            signed("ec", {"kid": "one"}, key=ONE): 200,
            signed("ec", {"kid": "two"}, key=TWO): 200,
            signed("rsa", {"kid": "three"}, key=rsa): 200,
            signed("ec", key=TWO): 200,
            signed("ec", {"kid": "one"}, key=TWO): 401,
            signed("ec", {"kid": "nobody"}, key=ONE): 401,
            signed("rsa", {"kid": "three"}, key=rsa, by="RS512"): 401,
        }
        assert await statuses(site, *tokens) == list(tokens.values())
        assert len(site.asked) == 1, "the unknown kid came too soon after the first fetch"


NOT_FOR_THIS = {
    "for encryption": {"use": "enc"},
    "an operation of another kind": {"key_ops": ["encrypt"]},
    "operations that are none": {"key_ops": "verify"},
    "of another algorithm": {"alg": "ES384"},
    "an algorithm that is none": {"alg": 1},
    "of another type": {"kty": "RSA"},
    "of no type": {"kty": "oct", "k": "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg"},
    "a point of another curve": {"crv": "P-384"},
    "not on the curve": {"x": "AAAA"},
    "a kid that is none": {"kid": 1},
}


@pytest.mark.parametrize("changed", NOT_FOR_THIS.values(), ids=NOT_FOR_THIS.keys())
async def test_keys_that_are_not_for_signatures_are_left_out(changed: dict[str, Any]) -> None:
    tokens = [signed("ec", key=ONE), signed("ec", key=TWO), signed("hs", key=OctKey.import_key("x" * 32))]
    async with answering({"keys": [jwk(ONE, "one", **changed), jwk(TWO, "two"), None, 1]}) as site:
        assert await statuses(site, *tokens) == [401, 200, 401]
    async with answering({"keys": [jwk(ONE, "one", use="sig", key_ops=["verify"], alg="ES256")]}) as site:
        assert await statuses(site, tokens[0]) == [200]


async def test_rotation() -> None:
    clock = Clock()
    async with answering(key_set(one=ONE)) as site:
        keys = JWKS(site.url, interval=30, clock=clock)

        async def known(kid: str) -> bool:
            return bool(await keys.fitting("ES256", kid))

        assert await known("one")
        site.document = key_set(two=TWO)
        clock.now += 29
        assert [await known("two"), await known("one"), len(site.asked)] == [False, True, 1]
        clock.now += 1
        assert [await known("two"), await known("one"), len(site.asked)] == [True, False, 2]
        for kid in range(50):
            assert not await known(f"guess {kid}")
        assert len(site.asked) == 2, "who guesses makes nobody fetch"
        clock.now += 3601
        assert [await known("two"), len(site.asked)] == [True, 3]


FAILURES: dict[str, tuple[int, Any]] = {
    "500": (500, {"keys": []}),
    "a page": (200, b"<html>"),
    "no set": (200, {"keys": "none"}),
    "too long": (200, b" " * 600_000),
}


@pytest.mark.parametrize(("status", "document"), FAILURES.values(), ids=FAILURES.keys())
async def test_while_the_set_is_down(status: int, document: Any) -> None:
    clock = Clock()
    async with answering(key_set(one=ONE)) as site:
        keys = JWKS(site.url, interval=30, clock=clock)
        assert await keys.fitting("ES256", "one")
        good, site.status, site.document = site.document, status, document
        clock.now += 3600
        for _ in range(3):
            assert await keys.fitting("ES256", "one"), "a known key is good for a day"
        assert len(site.asked) == 2
        with pytest.raises(KeysUnavailable):  # it may be a new one
            await keys.fitting("ES256", "two")
        clock.now += 24 * 3600
        with pytest.raises(KeysUnavailable):
            await keys.fitting("ES256", "one")
        site.status, site.document = 200, good
        clock.now += 30
        assert await keys.fitting("ES256", "one")


async def test_a_set_that_was_never_there_is_503() -> None:
    async with answering(b"") as site:
        site.status = 500
        assert await statuses(site, signed("ec", key=ONE)) == [503]
        assert await statuses(site, signed("ec", key=ONE), ssrf_safe=True) == [503], "this machine is not public"
        assert len(site.asked) == 1


async def test_one_fetch_for_all_who_wait() -> None:
    async with answering(key_set(one=ONE)) as site:
        site.gate = asyncio.Event()
        keys = JWKS(site.url)
        waiting = [asyncio.create_task(keys.fitting("ES256", "one")) for _ in range(20)]
        await asyncio.wait_for(site.came.wait(), 5)
        waiting[0].cancel()  # the first goes away; the others still get theirs
        site.gate.set()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert all(len(each) == 1 for each in found[1:] if not isinstance(each, BaseException))
        assert len(site.asked) == 1
