"""Tokens that are bound to a key, and proofs of it at the door (RFC 9449, 4.3 and 7)."""

from __future__ import annotations

import base64
import hashlib
import time
from typing import Any

import pytest
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from headrace import FastMCP
from headrace.server.auth import DPoP, JWTVerifier, MultiAuth, RemoteAuthProvider, StaticTokenVerifier, require_scopes
from headrace.testing import asgi_server

from ..http.wire import call, modern, send
from .door import Ask, Said, door
from .forged import BASE, ISSUER, KEYS, RESOURCE, claims, signed

KEY, OTHER = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
BOUND = signed(payload=claims(cnf={"jkt": KEY.thumbprint()}))
PLAIN = signed()


def provider(dpop: Any) -> RemoteAuthProvider:
    return RemoteAuthProvider(JWTVerifier(issuer=ISSUER, **KEYS["rsa"]), [ISSUER], BASE, dpop=dpop)


made = 0


def proof(
    token: str = BOUND,
    *,
    key: Key = KEY,
    by: str = "ES256",
    header: Any = None,
    without: str = "",
    **changed: Any,
) -> str:
    """A good proof, but for what is `changed`."""
    global made
    made += 1
    digest = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
    own: dict[str, Any] = {
        "jti": f"proof {made}",
        "htm": "POST",
        "htu": RESOURCE,
        "iat": int(time.time()),
        "ath": digest,
    }
    body = {name: value for name, value in {**own, **changed}.items() if name != without}
    head = {"typ": "dpop+jwt", "jwk": key.as_dict(private=False), **(header or {})}
    return signed("ec", head, body, key=key, by=by)


async def proved(ask: Ask, *proofs: str, token: str = BOUND, scheme: str = "DPoP") -> Said:
    return await ask(token, scheme, [("dpop", each) for each in proofs])


def error_of(said: Said) -> str | None:
    (dpop,) = (each for each in said.challenges if each.startswith("DPoP"))
    assert 'algs="ES256' in dpop
    return dpop.partition('error="')[2].partition('"')[0] or None


async def test_switched_off_a_bound_token_opens_nothing() -> None:
    """It is no bearer token: whoever stole it could show it, too."""
    async with door(provider("off")) as ask:
        for said in (await ask(BOUND), await proved(ask, proof())):
            assert said.status == 401
            assert [each.partition(" ")[0] for each in said.challenges] == ["Bearer"]
        assert (await ask(PLAIN)).status == 200
    for cnf in ({}, {"x5t#S256": "x"}, "x"):
        async with door(StaticTokenVerifier({"t": {"client_id": "app", "cnf": cnf}})) as ask:
            assert (await ask("t")).status == 401, cnf


async def test_who_may_come_in() -> None:
    for mode, plain in (("allowed", 200), ("required", 401)):
        async with door(provider(mode)) as ask:
            assert (await proved(ask, proof())).claims["sub"] == "ann"
            assert (await proved(ask, proof(), scheme="dpop")).status == 200
            assert (await ask(PLAIN)).status == plain
            for said in (
                await proved(ask, proof(), scheme="Bearer"),
                await ask(BOUND),
                await proved(ask, proof(PLAIN), token=PLAIN),
                await proved(ask, proof(), token=f"{BOUND}x"),
                await ask(None),
            ):
                assert said.status == 401
                assert len(said.challenges) == (2 if mode == "allowed" else 1)
                assert all("resource_metadata=" in each for each in said.challenges)


def pair(key: Key) -> tuple[str, str]:
    token = signed(payload=claims(cnf={"jkt": key.thumbprint()}))
    by = {"RSA": "PS256", "OKP": "Ed25519", "EC": "ES384"}[key.key_type]
    return token, proof(token, key=key, by=by)


async def test_keys_of_each_kind() -> None:
    async with door(provider("required")) as ask:
        for key in (RSAKey.generate_key(2048), OKPKey.generate_key("Ed25519"), ECKey.generate_key("P-384")):
            token, good = pair(key)
            assert (await proved(ask, good, token=token)).status == 200, key.key_type


def bad_proofs() -> dict[str, tuple[str, ...]]:
    now = int(time.time())
    private = {"jwk": KEY.as_dict(private=True)}
    return {
        "none": (),
        "two": (proof(), proof()),
        "no JWT": ("x",),
        "another key": (proof(key=OTHER),),
        "the key of another in its header": (proof(key=OTHER, header={"jwk": KEY.as_dict(private=False)}),),
        "a private key": (proof(header=private),),
        "no key": (proof(header={"jwk": None}),),
        "a secret": (proof(header={"jwk": OctKey.import_key("x" * 32).as_dict(), "alg": "HS256"}),),
        "alg none": (proof(header={"alg": "none"}),),
        "another alg": (proof(header={"alg": "ES384"}),),
        "typ JWT": (proof(header={"typ": "JWT"}),),
        "typ at+jwt": (proof(header={"typ": "at+jwt"}),),
        "crit": (proof(header={"crit": ["x"], "x": 1}),),
        "another method": (proof(htm="GET"),),
        "another case": (proof(htm="post"),),
        "another path": (proof(htu=f"{RESOURCE}2"),),
        "another host": (proof(htu="https://evil.example/mcp"),),
        "another scheme": (proof(htu=RESOURCE.replace("https", "http")),),
        "another port": (proof(htu=f"{BASE}:444/mcp"),),
        "a port that is none": (proof(htu=f"{BASE}:x/mcp"),),
        "a URL that is none": (proof(htu=["x"]),),
        "of another token": (proof(PLAIN),),
        "an hour old": (proof(iat=now - 3600),),
        "in an hour": (proof(iat=now + 3600),),
        "a time that is none": (proof(iat=str(now)),),
        "an empty jti": (proof(jti=""),),
        "a long jti": (proof(jti="x" * 1000),),
        **{f"without {name}": (proof(without=name),) for name in ("htm", "htu", "ath", "iat", "jti")},
    }


async def test_proofs_that_do_not_do() -> None:
    async with door(provider("required")) as ask:
        for name, proofs in bad_proofs().items():
            said = await proved(ask, *proofs)
            assert (said.status, error_of(said)) == (401, "invalid_dpop_proof"), name
        assert ask.ran == []
        for good in (
            proof(),
            proof(iat=int(time.time()) - 50),
            proof(htu=f"{RESOURCE}?a=b#c"),
            proof(htu=RESOURCE.replace("https://mcp", "HTTPS://MCP").replace("com/", "com:443/")),
        ):
            assert (await proved(ask, good)).status == 200


async def test_a_missing_scope_is_said_in_the_scheme_of_the_token() -> None:
    bound = signed(payload=claims(cnf={"jkt": KEY.thumbprint()}, scope=""))
    auth = RemoteAuthProvider(
        JWTVerifier(issuer=ISSUER, required_scopes=["read"], **KEYS["rsa"]), [ISSUER], BASE, dpop="allowed"
    )
    async with door(auth) as ask:
        for said, with_error in (
            (await proved(ask, proof(bound), token=bound), "DPoP"),
            (await ask(signed(payload=claims(scope=""))), "Bearer"),
        ):
            assert said.status == 403
            (told,) = (each for each in said.challenges if 'error="insufficient_scope"' in each)
            assert told.startswith(with_error)


async def test_a_tool_s_scope_is_asked_for_in_the_scheme_of_the_token() -> None:
    mcp = FastMCP("guarded", auth=provider("allowed"))

    @mcp.tool(auth=require_scopes("admin"))
    def secret() -> str:
        return "secret"

    headers, body = modern(call("secret"))
    async with asgi_server(mcp) as site, site.http_client() as http:
        for more, scheme in (
            ({"authorization": f"DPoP {BOUND}", "dpop": proof()}, "DPoP"),
            ({"authorization": f"Bearer {PLAIN}"}, "Bearer"),
        ):
            reply = await send(http, "/mcp", body, {**headers, **more})
            told = reply.headers["www-authenticate"]
            assert (reply.status, told.partition(" ")[0]) == (403, scheme)
            assert 'error="insufficient_scope"' in told
            assert ('algs="ES256 ' in told) is (scheme == "DPoP")


async def test_a_proof_is_good_once() -> None:
    async with door(provider("required")) as ask:
        once = proof()
        assert [(await proved(ask, once)).status for _ in range(3)] == [200, 401, 401]
        assert len(ask.ran) == 1


async def test_what_was_used_is_remembered_as_long_as_it_would_be_taken() -> None:
    now = time.time()
    dpop = DPoP("required", clock=lambda: now)
    async with door(provider(dpop)) as ask:
        for _ in range(5):
            assert (await proved(ask, proof(iat=now + 59))).status == 200
        assert len(dpop._seen) == 5
        old = proof(iat=now + 59)
        assert (await proved(ask, old)).status == 200
        now += 118
        assert (await proved(ask, old)).status == 401
        now += 3
        assert (await proved(ask, proof(iat=now))).status == 200
        assert len(dpop._seen) == 1, "nothing is kept of what is over"


async def test_nonces() -> None:
    now = time.time()
    async with door(provider(DPoP("required", nonce_seconds=60, clock=lambda: now))) as ask:
        first = await proved(ask, proof())
        assert error_of(first) == "use_dpop_nonce"
        nonce = first.headers["dpop-nonce"]
        assert (await proved(ask, proof(nonce=nonce))).status == 200
        assert error_of(await proved(ask, proof(nonce="mine"))) == "use_dpop_nonce"
        now += 61
        assert (await proved(ask, proof(nonce=nonce, iat=now))).status == 200, "the one before is good, too"
        now += 61
        again = await proved(ask, proof(nonce=nonce, iat=now))
        assert error_of(again) == "use_dpop_nonce"
        assert again.headers["dpop-nonce"] != nonce


async def test_the_metadata_says_so() -> None:
    for mode, required in (("allowed", False), ("required", True)):
        document = provider(mode).metadata("/mcp")
        assert document["dpop_bound_access_tokens_required"] is required
        assert "ES256" in document["dpop_signing_alg_values_supported"]
    assert "dpop_bound_access_tokens_required" not in provider("off").metadata("/mcp")


async def test_a_verifier_of_several_checks_proofs_too() -> None:
    auth = MultiAuth(server=provider("allowed"), verifiers=[StaticTokenVerifier({"t": {"client_id": "app"}})])
    async with door(auth) as ask:
        assert [(await proved(ask, proof())).status, (await ask("t")).status, (await ask(BOUND)).status] == [
            200,
            200,
            401,
        ]


def test_settings_that_cannot_be_meant() -> None:
    with pytest.raises(ValueError, match="off, allowed, required"):
        provider("on")
    with pytest.raises(ValueError, match="base_url="):
        JWTVerifier(**KEYS["rsa"], audience="a", dpop="required").authenticator("/mcp")


async def test_whoever_sends_too_many_proofs_waits_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.server.auth.dpop._MAX_SEEN", 4)
    theirs = signed(payload=claims(cnf={"jkt": KEY.thumbprint()}, sub="ben"))
    more = signed(payload=claims(cnf={"jkt": OTHER.thumbprint()}))
    now = time.time()
    async with door(provider(DPoP("required", clock=lambda: now))) as ask:
        assert [(await proved(ask, proof())).status for _ in range(5)] == [200] * 4 + [429]
        said = await proved(ask, proof(more, key=OTHER), token=more)
        assert (said.status, said.headers["retry-after"]) == (429, "120"), "another key is no other client"
        assert [(await proved(ask, proof(theirs), token=theirs)).status for _ in range(3)] == [200, 200, 429]
        now += 121
        assert (await proved(ask, proof(iat=now))).status == 200
