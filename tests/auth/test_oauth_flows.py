"""200 ways to get a code or a token that nobody allowed: each is refused with one error, and nothing is issued.

RFC 6749, 7009, 7523, 7636, 8707, 9207, 9700; 2026-07-28, Authorization. Cases are rows; those that take several steps
are functions.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from joserfc.jwk import ECKey, RSAKey

from .oauth_app import (
    CHALLENGE,
    CLIENT_KEY,
    CODE_FORM,
    IDP,
    IDP_KEY,
    ISSUER,
    QUERY,
    REDIRECT,
    RESOURCE,
    SECRET,
    VERIFIER,
    Pairs,
    Site,
    basic,
    changed,
    client_assertion,
    id_jag,
    query_of,
    running,
)

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
FORM = {"content-type": "application/x-www-form-urlencoded"}


def said(reply: httpx2.Response) -> str:
    """The error of a reply, after what must hold for each of its kind."""
    assert "code" not in (httpx2.URL(reply.headers.get("location", "")).params), reply.headers
    assert '"access_token":' not in reply.text
    assert '"refresh_token":' not in reply.text
    if reply.status_code == 405:
        return "405"
    assert reply.headers["cache-control"] == "no-store"
    if reply.status_code == 302:
        answer = query_of(reply)
        assert answer["iss"] == ISSUER
        return f"302 {answer['error']}"
    if reply.headers.get("content-type", "").startswith("application/json"):
        assert ("www-authenticate" in reply.headers) is (
            reply.status_code == 401 and "authorization" in reply.request.headers
        )
        return f"{reply.status_code} {reply.json()['error']}"
    assert "location" not in reply.headers
    return f"{reply.status_code} page" if "html" in reply.headers.get("content-type", "") else f"{reply.status_code}"


async def check(site: Site, ask: Callable[[], Awaitable[httpx2.Response]], expected: str) -> httpx2.Response:
    before = site.store.grants
    reply = await ask()
    assert said(reply) == expected, (expected, reply.status_code, reply.headers, reply.text)
    assert site.store.grants == before, "a grant was made or moved on"
    return reply


# 1. What never leaves the server: the client or the redirect URI is not known

FOREIGN_REDIRECTS = [
    "https://evil.example/callback",
    "https://app.example.evil.example/callback",
    "https://evil.example/app.example/callback",
    "https://app.example@evil.example/callback",
    "https://app.example:443@evil.example/callback",
    "https://user@app.example/callback",
    "https://app.example:8443/callback",
    "https://app.example:443/callback",
    "https://APP.EXAMPLE/callback",
    "https://app.example./callback",
    "https://sub.app.example/callback",
    "http://app.example/callback",
    "HTTPS://app.example/callback",
    "https://app.example/callback/",
    "https://app.example/callback/more",
    "https://app.example/callback?",
    "https://app.example/callback?next=x",
    "https://app.example/callback#",
    "https://app.example/callback#fragment",
    "https://app.example/Callback",
    "https://app.example/callbac%6b",
    "https://app.example//callback",
    "https://app.example/x/../callback",
    "https://app.example/x/%2e%2e/callback",
    "https://app.example\\callback",
    "https://app.example\\@evil.example/callback",
    "https://app.example/callback\r\nset-cookie: a=b",
    "https://app.example/callback ",
    " https://app.example/callback",
    "https://app.example/callback\x00",
    "//app.example/callback",
    "/callback",
    "javascript:alert(1)//app.example/callback",
    "data:text/html,<script>alert(1)</script>",
    "https://127.0.0.1/callback",
    "http://127.0.0.1/other",
    "http://127.0.0.2:3000/callback",
    "http://localhost:3000/callback",
    "http://[::1]:3000/callback",
    "http://127.0.0.1:3000/callback?x=1",
    "http://127.0.0.1:99999/callback",
    "http://127.0.0.1@evil.example/callback",
    "http://127.0.0.1.evil.example/callback",
    "http://2130706433/callback",
]
assert len(FOREIGN_REDIRECTS) == 44


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_foreign_redirect_uri_is_never_followed(method: str) -> None:
    async with running() as site:
        for uri in FOREIGN_REDIRECTS:
            await check(site, lambda uri=uri: site.authorize(changed(QUERY, redirect_uri=uri), method), "400 page")


PAGES: dict[str, Pairs] = {
    "no client": changed(QUERY, client_id=None),
    "an empty client": changed(QUERY, client_id=""),
    "an unknown client": changed(QUERY, client_id="nobody"),
    "a client in other letters": changed(QUERY, client_id="Public"),
    "two clients": [*QUERY, ("client_id", "other")],
    "the client twice": [*QUERY, ("client_id", "public")],
    "two redirect URIs": [*QUERY, ("redirect_uri", "https://evil.example/callback")],
    "the redirect URI twice": [*QUERY, ("redirect_uri", REDIRECT)],
    "no redirect URI, of several": changed(QUERY, redirect_uri=None),
    "the redirect URI of another client": changed(QUERY, redirect_uri="https://other.example/callback"),
    "a client without redirect URIs": changed(QUERY, client_id="machine"),
    "a client document that can't be": changed(QUERY, client_id="https://127.0.0.1/client.json"),
    "a client document without a path": changed(QUERY, client_id="https://client.example"),
    "nothing": [],
    "65 parameters": [*QUERY, *((f"x{number}", "y") for number in range(60))],
}
assert len(PAGES) == 15


@pytest.mark.parametrize("case", PAGES)
async def test_without_a_known_client_there_is_a_page(case: str) -> None:
    async with running() as site:
        await check(site, lambda: site.authorize(PAGES[case]), "400 page")


# 2. What the client is told at its redirect URI

TOLD: dict[str, tuple[Pairs, str]] = {
    "no response type": (changed(QUERY, response_type=None), "invalid_request"),
    "an empty response type": (changed(QUERY, response_type=""), "invalid_request"),
    "a token": (changed(QUERY, response_type="token"), "unsupported_response_type"),
    "an id token": (changed(QUERY, response_type="id_token"), "unsupported_response_type"),
    "a code and a token": (changed(QUERY, response_type="code token"), "unsupported_response_type"),
    "CODE": (changed(QUERY, response_type="CODE"), "unsupported_response_type"),
    "an answer in the fragment": (changed(QUERY, response_mode="fragment"), "invalid_request"),
    "an answer by a form": (changed(QUERY, response_mode="form_post"), "invalid_request"),
    "no PKCE": (changed(QUERY, code_challenge=None, code_challenge_method=None), "invalid_request"),
    "an empty challenge": (changed(QUERY, code_challenge=""), "invalid_request"),
    "a method without a challenge": (changed(QUERY, code_challenge=None), "invalid_request"),
    "no method, which is plain": (changed(QUERY, code_challenge_method=None), "invalid_request"),
    "plain": (changed(QUERY, code_challenge=VERIFIER, code_challenge_method="plain"), "invalid_request"),
    "s256": (changed(QUERY, code_challenge_method="s256"), "invalid_request"),
    "S512": (changed(QUERY, code_challenge_method="S512"), "invalid_request"),
    "a short challenge": (changed(QUERY, code_challenge=CHALLENGE[:-1]), "invalid_request"),
    "a long challenge": (changed(QUERY, code_challenge=CHALLENGE + "A"), "invalid_request"),
    "a padded challenge": (changed(QUERY, code_challenge=CHALLENGE + "="), "invalid_request"),
    "a challenge that is no base64url": (changed(QUERY, code_challenge="+" * 43), "invalid_request"),
    "two challenges": ([*QUERY, ("code_challenge", "B" * 43)], "invalid_request"),
    "two methods": ([*QUERY, ("code_challenge_method", "plain")], "invalid_request"),
    "two response types": ([*QUERY, ("response_type", "code")], "invalid_request"),
    "two scopes": ([*QUERY, ("scope", "read"), ("scope", "write")], "invalid_request"),
    "something unknown twice": ([*QUERY, ("x", "1"), ("x", "2")], "invalid_request"),
    "an unknown scope": (changed(QUERY, scope="root"), "invalid_scope"),
    "one unknown scope of two": (changed(QUERY, scope="read root"), "invalid_scope"),
    "a scope in other letters": (changed(QUERY, scope="READ"), "invalid_scope"),
    "two blanks": (changed(QUERY, scope="read  write"), "invalid_scope"),
    "a quoted scope": (changed(QUERY, scope='"read"'), "invalid_scope"),
    "a line in a scope": (changed(QUERY, scope="read\nwrite"), "invalid_scope"),
    "more than the client was registered for": (
        changed(QUERY, client_id="reader", scope="read write"),
        "invalid_scope",
    ),
    "another server's resource": (changed(QUERY, resource="https://other.example/mcp"), "invalid_target"),
    "a resource beside ours": (changed(QUERY, resource=f"{ISSUER}/mcp2"), "invalid_target"),
    "the host alone": (changed(QUERY, resource=ISSUER), "invalid_target"),
    "a path below": (changed(QUERY, resource=f"{RESOURCE}/x"), "invalid_target"),
    "our resource elsewhere": (changed(QUERY, resource="http://localhost:8001/mcp"), "invalid_target"),
    "our resource over https": (changed(QUERY, resource="https://localhost:8000/mcp"), "invalid_target"),
    "our resource with a query": (changed(QUERY, resource=f"{RESOURCE}?x=1"), "invalid_target"),
    "our resource with a fragment": (changed(QUERY, resource=f"{RESOURCE}#x"), "invalid_target"),
    "our resource with a user": (changed(QUERY, resource="http://localhost:8000@evil.example/mcp"), "invalid_target"),
    "no URL": (changed(QUERY, resource="mcp"), "invalid_target"),
    "two resources": ([*QUERY, ("resource", "https://other.example/mcp")], "invalid_target"),
    "a request object": (changed(QUERY, request="e30.e30."), "request_not_supported"),
    "a request elsewhere": (
        changed(QUERY, request_uri="https://evil.example/request"),
        "request_uri_not_supported",
    ),
    "a client that may not": (
        changed(QUERY, client_id="closed"),
        "unauthorized_client",
    ),
}
assert len(TOLD) == 45


@pytest.mark.parametrize("case", TOLD)
async def test_the_client_is_told(case: str) -> None:
    query, error = TOLD[case]
    async with running() as site:
        reply = await check(site, lambda: site.authorize(query), f"302 {error}")
        assert reply.headers["location"].startswith(f"{REDIRECT}?error=")
        assert query_of(reply)["state"] == "a state & more"


async def test_a_state_that_came_twice_is_not_sent_back() -> None:
    async with running() as site:
        reply = await check(site, lambda: site.authorize([*QUERY, ("state", "another")]), "302 invalid_request")
        assert "state" not in query_of(reply)


# 3. A code

CODE: dict[str, tuple[dict[str, str | None], str]] = {
    "no code": ({"code": None}, "400 invalid_request"),
    "an empty code": ({"code": ""}, "400 invalid_request"),
    "another code": ({"code": "nonsense"}, "400 invalid_grant"),
    "dots": ({"code": "..."}, "400 invalid_grant"),
    "no verifier": ({"code_verifier": None}, "400 invalid_request"),
    "an empty verifier": ({"code_verifier": ""}, "400 invalid_request"),
    "another verifier": ({"code_verifier": VERIFIER[:-1] + "x"}, "400 invalid_grant"),
    "the challenge as verifier": ({"code_verifier": CHALLENGE}, "400 invalid_grant"),
    "a short verifier": ({"code_verifier": VERIFIER[:42]}, "400 invalid_grant"),
    "a long verifier": ({"code_verifier": VERIFIER * 3}, "400 invalid_grant"),
    "a verifier with a blank": ({"code_verifier": VERIFIER + " "}, "400 invalid_grant"),
    "another redirect URI": ({"redirect_uri": "https://evil.example/callback"}, "400 invalid_grant"),
    "another one of the client": ({"redirect_uri": "http://127.0.0.1/callback"}, "400 invalid_grant"),
    "the redirect URI with a slash": ({"redirect_uri": REDIRECT + "/"}, "400 invalid_grant"),
    "the redirect URI in capitals": ({"redirect_uri": REDIRECT.upper()}, "400 invalid_grant"),
    "another client": ({"client_id": "other"}, "400 invalid_grant"),
    "another client with its secret": ({"client_id": "post", "client_secret": SECRET}, "400 invalid_grant"),
    "no client": ({"client_id": None}, "401 invalid_client"),
    "an unknown client": ({"client_id": "nobody"}, "401 invalid_client"),
    "another server's resource": ({"resource": "https://other.example/mcp"}, "400 invalid_target"),
    "no grant type": ({"grant_type": None}, "400 invalid_request"),
    "a password": ({"grant_type": "password"}, "400 unsupported_grant_type"),
    "an implicit grant": ({"grant_type": "implicit"}, "400 unsupported_grant_type"),
    "a token exchange": (
        {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange"},
        "400 unsupported_grant_type",
    ),
    "a grant type in capitals": ({"grant_type": "AUTHORIZATION_CODE"}, "400 unsupported_grant_type"),
    "a method of Python": ({"grant_type": "__init__"}, "400 unsupported_grant_type"),
}
assert len(CODE) == 26


@pytest.mark.parametrize("case", CODE)
async def test_a_code_is_not_redeemed(case: str) -> None:
    changes, expected = CODE[case]
    async with running() as site:
        code = await site.code()
        await check(site, lambda: site.post("/token", changed(CODE_FORM, **{"code": code, **changes})), expected)
        # It was not used up either, for the client that has all of it.
        assert (await site.redeem(code)).status_code == 200


HOW: dict[str, tuple[Callable[[Site, str], Awaitable[httpx2.Response]], str]] = {
    "in the URL": (
        lambda site, form: site.post(f"/token?{form}", ""),
        "400 invalid_request",
    ),
    "half in the URL": (
        lambda site, form: site.post("/token?grant_type=authorization_code", form),
        "400 invalid_request",
    ),
    "as JSON": (
        lambda site, form: site.post("/token", "{}", {"content-type": "application/json"}),
        "400 invalid_request",
    ),
    "as text": (
        lambda site, form: site.post("/token", form, {"content-type": "text/plain"}),
        "400 invalid_request",
    ),
    "as multipart": (
        lambda site, form: site.post("/token", form, {"content-type": "multipart/form-data; boundary=x"}),
        "400 invalid_request",
    ),
    "without a type": (lambda site, form: site.post("/token", form, {"content-type": ""}), "400 invalid_request"),
    "too long": (lambda site, form: site.post("/token", f"{form}&x={'y' * 65536}"), "400 invalid_request"),
    "too long, in pieces": (
        lambda site, form: site.http.post("/token", content=_pieces(form), headers=FORM),
        "400 invalid_request",
    ),
    "too many": (
        lambda site, form: site.post("/token", form + "".join(f"&x{n}=" for n in range(64))),
        "400 invalid_request",
    ),
    "not UTF-8": (lambda site, form: site.post("/token", f"{form}&x=%ff"), "400 invalid_request"),
    "not ASCII": (lambda site, form: site.post("/token", form.encode() + b"&x=\xc3\xa4"), "400 invalid_request"),
    "the code twice": (lambda site, form: site.post("/token", f"{form}&code=x"), "400 invalid_request"),
    "the verifier twice": (lambda site, form: site.post("/token", f"{form}&code_verifier=x"), "400 invalid_request"),
    "the client twice": (lambda site, form: site.post("/token", f"{form}&client_id=public"), "400 invalid_request"),
    "the grant type twice": (
        lambda site, form: site.post("/token", f"{form}&grant_type=refresh_token"),
        "400 invalid_request",
    ),
    "two resources": (
        lambda site, form: site.post("/token", f"{form}&resource={RESOURCE}&resource=x"),
        "400 invalid_request",
    ),
    "nothing": (lambda site, form: site.post("/token", ""), "401 invalid_client"),
    "by GET": (lambda site, form: site.http.get(f"/token?{form}"), "405"),
    "by PUT": (lambda site, form: site.http.put("/token", content=form, headers=FORM), "405"),
    "authorize by PUT": (lambda site, form: site.http.put("/authorize", content=urlencode(QUERY), headers=FORM), "405"),
    "authorize with too much": (
        lambda site, form: site.authorize(changed(QUERY, state="s" * 65536), "POST"),
        "400 page",
    ),
    "authorize with JSON": (
        lambda site, form: site.http.post("/authorize", json=dict(QUERY)),
        "400 page",
    ),
    "authorize with a form and a query": (
        lambda site, form: site.post(f"/authorize?{urlencode(QUERY)}", QUERY),
        "400 page",
    ),
}
assert len(HOW) == 23


async def _pieces(form: str) -> AsyncIterator[bytes]:
    yield form.encode()
    for _ in range(70):
        yield b"&x=" + b"y" * 1000


@pytest.mark.parametrize("case", HOW)
async def test_a_request_has_one_form(case: str) -> None:
    ask, expected = HOW[case]
    async with running() as site:
        form = urlencode(changed(CODE_FORM, code=await site.code()))
        await check(site, lambda: ask(site, form), expected)


# 4. Who a client is

FOREIGN_KEY = ECKey.generate_key("P-256", {"kid": "client"})
NOW = time.time()
AS_KEY = {"grant_type": "authorization_code", "code": "x", "client_assertion_type": ASSERTION}


def _basic_form(**more: str) -> dict[str, str]:
    return {"grant_type": "authorization_code", "code": "x", **more}


CLIENT: dict[str, tuple[Callable[[], dict[str, str]], dict[str, str], str]] = {
    "no secret": (lambda: _basic_form(client_id="basic"), {}, "401 invalid_client"),
    "an empty secret": (lambda: _basic_form(client_id="post", client_secret=""), {}, "401 invalid_client"),
    "a wrong secret": (_basic_form, basic("basic", "wrong"), "401 invalid_client"),
    "a wrong secret in the form": (
        lambda: _basic_form(client_id="post", client_secret="wrong"),
        {},
        "401 invalid_client",
    ),
    "a secret and more": (_basic_form, basic("basic", SECRET + "x"), "401 invalid_client"),
    "another client's secret": (_basic_form, basic("odd%20%3A%2B%25", SECRET), "401 invalid_client"),
    "an expired secret": (_basic_form, basic("lapsed", SECRET), "401 invalid_client"),
    "an unknown client": (_basic_form, basic("nobody", SECRET), "401 invalid_client"),
    "a secret of a public client": (
        lambda: _basic_form(client_id="public", client_secret=SECRET),
        {},
        "401 invalid_client",
    ),
    "a secret of a client with a key": (_basic_form, basic("key", SECRET), "401 invalid_client"),
    "a client with a key, without": (lambda: _basic_form(client_id="key"), {}, "401 invalid_client"),
    "two ways": (
        lambda: _basic_form(client_id="basic", client_secret=SECRET),
        basic("basic", SECRET),
        "400 invalid_request",
    ),
    "two clients": (lambda: _basic_form(client_id="public"), basic("basic", SECRET), "401 invalid_client"),
    "Basic without a colon": (_basic_form, {"authorization": "Basic YmFzaWM="}, "401 invalid_client"),
    "Basic that is no base64": (_basic_form, {"authorization": "Basic !"}, "401 invalid_client"),
    "Basic that is no UTF-8": (_basic_form, {"authorization": "Basic //86/w=="}, "401 invalid_client"),
    "Bearer": (lambda: _basic_form(client_id="public"), {"authorization": "Bearer x"}, "401 invalid_client"),
    "no type of assertion": (
        lambda: {**AS_KEY, "client_assertion_type": "x", "client_assertion": client_assertion()},
        {},
        "401 invalid_client",
    ),
    "no JWT": (lambda: {**AS_KEY, "client_assertion": "x.y.z"}, {}, "401 invalid_client"),
    "a foreign key": (lambda: {**AS_KEY, "client_assertion": client_assertion(FOREIGN_KEY)}, {}, "401 invalid_client"),
    "no signature": (
        lambda: {**AS_KEY, "client_assertion": _unsigned(client_assertion())},
        {},
        "401 invalid_client",
    ),
    "a secret made of the public key": (
        lambda: {
            **AS_KEY,
            "client_assertion": public_as_secret(client_assertion(), CLIENT_KEY),
        },
        {},
        "401 invalid_client",
    ),
    "another audience": (
        lambda: {**AS_KEY, "client_assertion": client_assertion(aud="https://other.example")},
        {},
        "401 invalid_client",
    ),
    "two audiences": (
        lambda: {**AS_KEY, "client_assertion": client_assertion(aud=[ISSUER, "https://other.example"])},
        {},
        "401 invalid_client",
    ),
    "no audience": (lambda: {**AS_KEY, "client_assertion": client_assertion(aud=None)}, {}, "401 invalid_client"),
    "another issuer": (lambda: {**AS_KEY, "client_assertion": client_assertion(iss="x")}, {}, "401 invalid_client"),
    "another subject": (
        lambda: {**AS_KEY, "client_assertion": client_assertion(sub="basic", iss="basic")},
        {},
        "401 invalid_client",
    ),
    "another client_id": (
        lambda: {**AS_KEY, "client_assertion": client_assertion(), "client_id": "basic"},
        {},
        "401 invalid_client",
    ),
    "expired": (lambda: {**AS_KEY, "client_assertion": client_assertion(exp=1)}, {}, "401 invalid_client"),
    "never expires": (lambda: {**AS_KEY, "client_assertion": client_assertion(exp=None)}, {}, "401 invalid_client"),
    "expires in a year": (
        lambda: {**AS_KEY, "client_assertion": client_assertion(exp=int(NOW) + 365 * 86400)},
        {},
        "401 invalid_client",
    ),
    "not yet good": (
        lambda: {**AS_KEY, "client_assertion": client_assertion(nbf=int(NOW) + 600)},
        {},
        "401 invalid_client",
    ),
    "no jti": (lambda: {**AS_KEY, "client_assertion": client_assertion(jti=None)}, {}, "401 invalid_client"),
}
assert len(CLIENT) == 33


def public_as_secret(token: str, key: ECKey) -> str:
    """The token, signed with what a verifier would use that lets a token choose the algorithm."""
    header = urlsafe_b64encode(b'{"alg":"HS256","typ":"oauth-id-jag+jwt"}').rstrip(b"=").decode()
    signed = f"{header}.{token.split('.')[1]}"
    mac = hmac.digest(key.as_pem(private=False), signed.encode(), "sha256")
    return f"{signed}.{urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def _unsigned(token: str) -> str:
    header = urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    return f"{header}.{token.split('.')[1]}."


@pytest.mark.parametrize("case", CLIENT)
async def test_a_client_proves_who_it_is(case: str) -> None:
    form, headers, expected = CLIENT[case]
    async with running() as site:
        await check(site, lambda: site.post("/token", list(form().items()), headers), expected)


# 5. What an identity provider says

RSA = RSAKey.generate_key(2048, {"kid": "idp"})
JAG: dict[str, tuple[Callable[[], str], dict[str, str], str]] = {
    "no assertion": (lambda: "", {}, "invalid_request"),
    "no JWT": (lambda: "nonsense", {}, "invalid_grant"),
    "five parts": (lambda: "a.b.c.d.e", {}, "invalid_grant"),
    "no signature": (lambda: _unsigned(id_jag()), {}, "invalid_grant"),
    "another signature": (lambda: id_jag()[:-8] + "AAAAAAAA", {}, "invalid_grant"),
    "a foreign key": (lambda: id_jag(ECKey.generate_key("P-256", {"kid": "idp"})), {}, "invalid_grant"),
    "a foreign key of another kind": (lambda: id_jag(RSA, {"alg": "RS256"}), {}, "invalid_grant"),
    "a secret made of the public key": (
        lambda: public_as_secret(id_jag(), IDP_KEY),
        {},
        "invalid_grant",
    ),
    "another kid": (lambda: id_jag(header={"kid": "other"}), {}, "invalid_grant"),
    "an access token": (lambda: id_jag(header={"typ": "at+jwt"}), {}, "invalid_grant"),
    "an id token": (lambda: id_jag(header={"typ": "JWT"}), {}, "invalid_grant"),
    "no type": (lambda: id_jag(header={"typ": ""}), {}, "invalid_grant"),
    "an issuer that is not trusted": (lambda: id_jag(iss="https://evil.example"), {}, "invalid_grant"),
    "an issuer with a slash": (lambda: id_jag(iss=IDP + "/"), {}, "invalid_grant"),
    "no issuer": (lambda: id_jag(iss=None), {}, "invalid_grant"),
    "no user": (lambda: id_jag(sub=None), {}, "invalid_grant"),
    "a user who is a number": (lambda: id_jag(sub=7), {}, "invalid_grant"),
    "another server": (lambda: id_jag(aud="https://other.example"), {}, "invalid_grant"),
    "the resource as audience": (lambda: id_jag(aud=RESOURCE), {}, "invalid_grant"),
    "two audiences": (lambda: id_jag(aud=[ISSUER, "https://other.example"]), {}, "invalid_grant"),
    "no audience": (lambda: id_jag(aud=None), {}, "invalid_grant"),
    "another client": (lambda: id_jag(client_id="public"), {}, "invalid_grant"),
    "no client": (lambda: id_jag(client_id=None), {}, "invalid_grant"),
    "expired": (lambda: id_jag(exp=int(NOW) - 60), {}, "invalid_grant"),
    "never expires": (lambda: id_jag(exp=None), {}, "invalid_grant"),
    "expires never and always": (lambda: id_jag(exp=float("nan")), {}, "invalid_grant"),
    "expires at the end of time": (lambda: id_jag(exp=float("inf")), {}, "invalid_grant"),
    "expires as text": (lambda: id_jag(exp=str(int(NOW) + 60)), {}, "invalid_grant"),
    "expires in a year": (lambda: id_jag(exp=int(NOW) + 365 * 86400), {}, "invalid_grant"),
    "not yet good": (lambda: id_jag(nbf=int(NOW) + 600), {}, "invalid_grant"),
    "made in the future": (lambda: id_jag(iat=int(NOW) + 600), {}, "invalid_grant"),
    "no jti": (lambda: id_jag(jti=None), {}, "invalid_grant"),
    "bound to a key": (lambda: id_jag(cnf={"jkt": "x"}), {}, "invalid_grant"),
    "no resource": (lambda: id_jag(resource=None), {}, "invalid_grant"),
    "two resources": (lambda: id_jag(resource=[RESOURCE, "https://other.example/mcp"]), {}, "invalid_grant"),
    "another resource": (lambda: id_jag(resource="https://other.example/mcp"), {}, "invalid_target"),
    "another resource in the request": (id_jag, {"resource": "https://other.example/mcp"}, "invalid_target"),
}
assert len(JAG) == 37


@pytest.mark.parametrize("case", JAG)
async def test_an_identity_assertion_is_not_believed(case: str) -> None:
    make, more, error = JAG[case]
    async with running() as site:
        form = {"grant_type": JWT_BEARER, "assertion": make(), **more}
        await check(site, lambda: site.post("/token", list(form.items()), basic("basic", SECRET)), f"400 {error}")


# 6. A program that asks for itself

MACHINE: dict[str, tuple[dict[str, str], dict[str, str], str]] = {
    "a public client": ({"client_id": "public machine"}, {}, "400 unauthorized_client"),
    "a client that logs users in": ({}, basic("basic", SECRET), "400 unauthorized_client"),
    "another scope": ({"scope": "admin"}, basic("machine", SECRET), "400 invalid_scope"),
    "one scope of two": ({"scope": "read admin"}, basic("machine", SECRET), "400 invalid_scope"),
    "another resource": ({"resource": "https://other.example"}, basic("machine", SECRET), "400 invalid_target"),
    "no secret": ({"client_id": "machine"}, {}, "401 invalid_client"),
    "a wrong secret": ({}, basic("machine", "x"), "401 invalid_client"),
}


@pytest.mark.parametrize("case", MACHINE)
async def test_a_program_gets_no_more_than_its_own(case: str) -> None:
    form, headers, expected = MACHINE[case]
    async with running() as site:
        sent = {"grant_type": "client_credentials", **form}
        await check(site, lambda: site.post("/token", list(sent.items()), headers), expected)


# 7. Several steps

Flow = Callable[[Site, pytest.MonkeyPatch], Awaitable[None]]
FLOWS: dict[str, Flow] = {}


def flow(function: Flow) -> Flow:
    FLOWS[function.__name__] = function
    return function


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + seconds)


async def is_over(site: Site, tokens: dict[str, Any]) -> bool:
    refused = await site.refresh(tokens["refresh_token"])
    return refused.status_code == 400 and not await site.is_good(tokens["access_token"])


@flow
async def code_twice(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    code = await site.code()
    tokens = (await site.redeem(code)).json()
    await check(site, lambda: site.redeem(code), "400 invalid_grant")
    assert await is_over(site, tokens)


@flow
async def code_again_after_a_refresh(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    code = await site.code()
    tokens = (await site.refresh((await site.redeem(code)).json()["refresh_token"])).json()
    await check(site, lambda: site.redeem(code), "400 invalid_grant")
    assert await is_over(site, tokens)


@flow
async def code_again_by_another_client_ends_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    code = await site.code()
    tokens = (await site.redeem(code)).json()
    await check(site, lambda: site.redeem(code, client_id="other"), "400 invalid_grant")
    assert await site.is_good(tokens["access_token"])


@flow
async def code_by_many_at_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    code = await site.code()
    replies = await asyncio.gather(*(site.redeem(code) for _ in range(20)))
    good = [reply.json() for reply in replies if reply.status_code == 200]
    assert len(good) == 1
    assert all(reply.json()["error"] == "invalid_grant" for reply in replies if reply.status_code != 200)
    assert await is_over(site, good[0])


@flow
async def code_that_expired(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    code = await site.code()
    later(monkeypatch, 121)
    await check(site, lambda: site.redeem(code), "400 invalid_grant")


@flow
async def code_of_another_login_with_its_own_verifier(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = await site.code()
    theirs = await site.code(code_challenge="B" * 43)
    await check(site, lambda: site.redeem(theirs), "400 invalid_grant")
    assert (await site.redeem(mine)).status_code == 200


@flow
async def code_of_another_server(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as other:
        code = await other.code()
        await check(site, lambda: site.redeem(code), "400 invalid_grant")


@flow
async def code_as_refresh_token(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    code = await site.code()
    await check(site, lambda: site.refresh(code), "400 invalid_grant")


@flow
async def refresh_token_as_code(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = await site.tokens()
    await check(site, lambda: site.redeem(tokens["refresh_token"]), "400 invalid_grant")
    assert await site.is_good(tokens["access_token"])


@flow
async def access_token_as_refresh_token(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = await site.tokens()
    await check(site, lambda: site.refresh(tokens["access_token"]), "400 invalid_grant")


@flow
async def refresh_token_as_access_token(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not await site.is_good((await site.tokens())["refresh_token"])


@flow
async def refresh_token_twice(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await site.tokens()
    second = (await site.refresh(first["refresh_token"])).json()
    await check(site, lambda: site.refresh(first["refresh_token"]), "400 invalid_grant")
    assert await is_over(site, second)


@flow
async def refresh_token_of_two_turns_ago(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await site.tokens()
    second = (await site.refresh(first["refresh_token"])).json()
    third = (await site.refresh(second["refresh_token"])).json()
    await check(site, lambda: site.refresh(first["refresh_token"]), "400 invalid_grant")
    assert await is_over(site, third)


@flow
async def refresh_token_by_many_at_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    token = (await site.tokens())["refresh_token"]
    replies = await asyncio.gather(*(site.refresh(token) for _ in range(20)))
    good = [reply.json() for reply in replies if reply.status_code == 200]
    assert len(good) == 1
    assert await is_over(site, good[0])


@flow
async def refresh_token_of_another_client(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    token = (await site.tokens())["refresh_token"]
    await check(site, lambda: site.refresh(token, "other"), "400 invalid_grant")
    assert (await site.refresh(token)).status_code == 200


@flow
async def used_refresh_token_by_another_client_ends_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await site.tokens()
    second = (await site.refresh(first["refresh_token"])).json()
    await check(site, lambda: site.refresh(first["refresh_token"], "other"), "400 invalid_grant")
    assert await site.is_good(second["access_token"])


@flow
async def guessed_refresh_tokens_end_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = await site.tokens()
    id, number, mac = tokens["refresh_token"].split(".")
    for guess in (
        f"{id}.0.{mac}",
        f"{id}.2.{mac}",
        f"{id}.{number}.",
        f"{id}.-1.{mac}",
        f"{id}.{number}.{mac}x",
        f"{id}.01.{mac}",
        id,
    ):
        await check(site, lambda guess=guess: site.refresh(guess), "400 invalid_grant")
    assert (await site.refresh(tokens["refresh_token"])).status_code == 200


@flow
async def refresh_token_that_expired(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    token = (await site.tokens())["refresh_token"]
    later(monkeypatch, 30 * 86400 + 1)
    await check(site, lambda: site.refresh(token), "400 invalid_grant")


@flow
async def access_token_that_expired(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    token = (await site.tokens())["access_token"]
    later(monkeypatch, 3601)
    assert not await site.is_good(token)


@flow
async def wider_scopes_at_a_refresh(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    token = (await site.tokens(scope="read"))["refresh_token"]
    await check(site, lambda: site.refresh(token, scope="read write"), "400 invalid_scope")
    await check(site, lambda: site.refresh(token, scope="admin"), "400 invalid_scope")
    assert (await site.refresh(token, scope="read")).json()["scope"] == "read"


@flow
async def another_resource_at_a_refresh(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    token = (await site.tokens())["refresh_token"]
    await check(site, lambda: site.refresh(token, resource="https://other.example/mcp"), "400 invalid_target")


@flow
async def refresh_without_a_refresh_token(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    code = await site.code(client_id="unrefreshed")
    assert "refresh_token" not in (await site.redeem(code, client_id="unrefreshed")).json()
    await check(site, lambda: site.refresh("x", "unrefreshed"), "400 unauthorized_client")
    await check(
        site,
        lambda: site.post("/token", [("grant_type", "refresh_token"), ("client_id", "public")]),
        "400 invalid_request",
    )


@flow
async def assertion_of_a_user_twice(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    form = [("grant_type", JWT_BEARER), ("assertion", id_jag())]
    assert (await site.post("/token", form, basic("basic", SECRET))).status_code == 200
    await check(site, lambda: site.post("/token", form, basic("basic", SECRET)), "400 invalid_grant")


@flow
async def assertion_of_a_user_by_many_at_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    form = [("grant_type", JWT_BEARER), ("assertion", id_jag())]
    replies = await asyncio.gather(*(site.post("/token", form, basic("basic", SECRET)) for _ in range(10)))
    assert sorted(reply.status_code for reply in replies) == [200] + [400] * 9


@flow
async def assertion_of_a_client_twice(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    form = list({**AS_KEY, "client_assertion": client_assertion()}.items())
    await check(
        site, lambda: site.post("/token", form), "400 invalid_grant"
    )  # the client is who it says, the code none
    await check(site, lambda: site.post("/token", form), "401 invalid_client")


@flow
async def assertion_of_a_user_without_the_client(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    form = [("grant_type", JWT_BEARER), ("assertion", id_jag()), ("client_id", "basic")]
    await check(site, lambda: site.post("/token", form), "401 invalid_client")


@flow
async def assertion_where_nobody_is_trusted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(identity_assertion=None) as other:
        form = [("grant_type", JWT_BEARER), ("assertion", id_jag())]
        ask = lambda: other.post("/token", form, basic("basic", SECRET))  # noqa: E731
        await check(other, ask, "400 unsupported_grant_type")


@flow
async def revoked_by_its_client(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for member in ("refresh_token", "access_token"):
        tokens = await site.tokens()
        assert (await site.post("/revoke", [("client_id", "public"), ("token", tokens[member])])).status_code == 200
        assert await is_over(site, tokens)


@flow
async def revoked_by_another_client(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = await site.tokens()
    for token in (tokens["refresh_token"], tokens["access_token"], "nonsense"):
        assert (await site.post("/revoke", [("client_id", "other"), ("token", token)])).status_code == 200
    assert await site.is_good(tokens["access_token"])


@flow
async def revoked_by_nobody(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = await site.tokens()
    form = [("token", tokens["refresh_token"])]
    await check(site, lambda: site.post("/revoke", form), "401 invalid_client")
    await check(site, lambda: site.post("/revoke", [("client_id", "public")]), "400 invalid_request")
    await check(site, lambda: site.post("/revoke", [*form, *form, ("client_id", "public")]), "400 invalid_request")
    assert await site.is_good(tokens["access_token"])


@flow
async def token_of_another_server_with_the_same_secret(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "k" * 32
    async with running(secret_key=key) as one, running(secret_key=key, store=one.store) as same:
        token = (await one.tokens())["access_token"]
        assert await same.is_good(token)
        same.provider.resources[:] = [f"{ISSUER}/another"]
        assert not await same.is_good(token)


@flow
async def client_that_is_gone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    document = {"redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none"}
    client_id = (await site.http.post("/register", json=document)).json()["client_id"]
    code = await site.code(client_id=client_id)
    tokens = (await site.redeem(code, client_id=client_id)).json()
    await site.provider.records.delete("oauth-client", client_id)
    await check(site, lambda: site.refresh(tokens["refresh_token"], client_id), "401 invalid_client")
    await check(site, lambda: site.authorize(changed(QUERY, client_id=client_id)), "400 page")


@pytest.mark.parametrize("name", FLOWS)
async def test_steps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as site:
        await FLOWS[name](site, monkeypatch)


def test_there_are_more_than_200() -> None:
    counted = [FOREIGN_REDIRECTS, PAGES, TOLD, CODE, HOW, CLIENT, JAG, MACHINE, FLOWS]
    assert sum(map(len, counted)) == 262
