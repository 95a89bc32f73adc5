"""IntrospectionTokenVerifier: the issuer is asked, and what it answers is checked (RFC 7662)."""

from __future__ import annotations

import base64
import time
from typing import Any
from urllib.parse import parse_qsl

import pytest

from headrace.server.auth import IntrospectionTokenVerifier, RemoteAuthProvider

from .answering import Answering, answering
from .door import door

BASE = "https://mcp.example.com"
RESOURCE = f"{BASE}/mcp"
ACTIVE = {"active": True, "client_id": "app", "sub": "ann", "scope": "read", "aud": RESOURCE}


def verifier(site: Answering, **options: Any) -> IntrospectionTokenVerifier:
    every: dict[str, Any] = {"client_id": "me: & co", "client_secret": "s/e%c ret", "base_url": BASE, **options}
    return IntrospectionTokenVerifier(introspection_url=site.url, **every)


async def test_the_issuer_is_asked_once_in_a_while() -> None:
    async with answering(ACTIVE) as site:
        for seconds, asked in ((None, 1), (0, 3)):
            site.asked.clear()
            async with door(verifier(site, cache_ttl_seconds=seconds)) as ask:
                for _ in range(3):
                    assert (await ask("opaque")).claims["sub"] == "ann"
            assert len(site.asked) == asked


async def test_how_the_client_says_who_it_is() -> None:
    async with answering(ACTIVE) as site:
        await verifier(site).verify_token("a&b=c")
        await verifier(site, client_auth_method="client_secret_post").verify_token("a&b=c")
    (head, basic), (other, post) = site.asked
    assert head.startswith(b"POST ")
    sent = base64.b64encode(b"me%3A+%26+co:s%2Fe%25c+ret")
    assert b"authorization: Basic " + sent in head.replace(b"Authorization", b"authorization")
    assert dict(parse_qsl(basic.decode())) == {"token": "a&b=c", "token_type_hint": "access_token"}
    assert b"uthorization" not in other
    assert dict(parse_qsl(post.decode()))["client_secret"] == "s/e%c ret"
    with pytest.raises(ValueError, match="client_secret_basic"):
        verifier(site, client_auth_method="none")


NOW = int(time.time())
ANSWERS: dict[str, tuple[dict[str, Any], int]] = {
    "as it should be": ({}, 200),
    "several audiences": ({"aud": ["x", RESOURCE]}, 200),
    "an expiry": ({"exp": NOW + 1000}, 200),
    "scopes as a list": ({"scope": ["read"]}, 200),
    "inactive": ({"active": False}, 401),
    "active, in other words": ({"active": "true"}, 401),
    "active as a number": ({"active": 1}, 401),
    "nothing of active": ({"active": None}, 401),
    "another audience": ({"aud": "https://other.example"}, 401),
    "no audience": ({"aud": None}, 401),
    "an audience that is none": ({"aud": {RESOURCE: 1}}, 401),
    "expired": ({"exp": NOW - 1000}, 401),
    "not yet": ({"nbf": NOW + 1000}, 401),
    "an expiry that is none": ({"exp": "soon"}, 401),
    "nobody's": ({"client_id": None, "sub": None}, 401),
    "a scope that is none": ({"scope": 1}, 401),
    "bound to a key": ({"cnf": {"jkt": "x"}}, 401),
    "without the scope": ({"scope": "write"}, 403),
}


@pytest.mark.parametrize(("changed", "status"), ANSWERS.values(), ids=ANSWERS.keys())
async def test_what_the_issuer_answers(changed: dict[str, Any], status: int) -> None:
    document = {name: value for name, value in {**ACTIVE, **changed}.items() if value is not None}
    async with answering(document) as site, door(verifier(site, required_scopes=["read"])) as ask:
        assert (await ask("opaque")).status == status
        assert len(ask.ran) == (status == 200)


async def test_an_issuer_that_knows_by_who_asks() -> None:
    document = {name: value for name, value in ACTIVE.items() if name != "aud"}
    async with answering(document) as site, door(verifier(site, require_audience=False)) as ask:
        assert (await ask("one")).status == 200
        site.document = {**ACTIVE, "aud": "https://other.example"}
        assert (await ask("two")).status == 401


DOWN: dict[str, tuple[int, Any]] = {
    "500": (500, ACTIVE),
    "not its client": (401, ACTIVE),
    "a redirect": (302, ACTIVE),
    "a page": (200, b"<html>"),
    "a list": (200, [ACTIVE]),
    "too long": (200, {**ACTIVE, "more": "x" * 100_000}),
}


@pytest.mark.parametrize(("status", "document"), DOWN.values(), ids=DOWN.keys())
async def test_an_issuer_that_cannot_be_asked_is_503(status: int, document: Any) -> None:
    async with answering(document) as site:
        site.status = status
        async with door(RemoteAuthProvider(verifier(site, base_url=None), [BASE], BASE)) as ask:
            said = await ask("opaque")
            assert (said.status, said.challenges, ask.ran) == (503, [], [])
            site.status, site.document = 200, ACTIVE
            assert (await ask("opaque")).status == 200
