"""OAuthProxy and OIDCProxy in front of a scripted identity provider: who gets in, in which browser, how long."""

from __future__ import annotations

import asyncio
import html
import logging
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest
from joserfc.jwk import RSAKey

from headrace import FastMCP
from headrace.server.auth import AccessToken
from headrace.server.auth.oauth.upstream import Upstream as UpstreamConfiguration
from headrace.server.auth.oauth.upstream import UpstreamDown
from headrace.server.auth.oauth_proxy import OAuthProxy
from headrace.server.auth.oidc_proxy import OIDCProxy
from headrace.server.auth.providers.userinfo import UserinfoVerifier
from headrace.server.dependencies import get_access_token
from headrace.state.memory_records import MemoryRecordStore
from headrace.state.sqlite import SqliteRecordStore
from headrace.testing import asgi_server

from .oauth_app import CHALLENGE, ISSUER, REDIRECT, RESOURCE, VERIFIER
from .upstream import CLIENT_ID, SECRET, Upstream, upstream

KEY = "0123456789abcdef0123456789abcdef"
HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')


@pytest.fixture
def idp() -> Iterator[Upstream]:
    with upstream() as provider:
        yield provider


class Verifier(UserinfoVerifier):
    def __init__(self, idp: Upstream) -> None:
        super().__init__(["read"])
        self.url = f"{idp.base}/userinfo"

    async def verify_token(self, token: str) -> AccessToken | None:
        asked = await self.ask(self.url, token)
        if asked is None:
            return None
        return AccessToken(
            token=token, client_id="app", scopes=asked[1]["scope"].split(), claims={"sub": asked[1]["sub"], **asked[1]}
        )


@dataclass
class Browser:
    """One browser, with cookies of its own; it stops at each page and redirect."""

    http: httpx2.AsyncClient

    async def get(self, url: str) -> httpx2.Response:
        return await self.http.get(url.removeprefix(ISSUER))

    async def post(self, path: str, form: dict[str, str]) -> httpx2.Response:
        return await self.http.post(
            path, content=urlencode(form), headers={"content-type": "application/x-www-form-urlencoded"}
        )

    async def ask(self, page: str) -> dict[str, str]:
        """What the form of the consent page would send."""
        reply = await self.get(page)
        assert reply.status_code == 200, reply.text
        return {name: html.unescape(value) for name, value in HIDDEN.findall(reply.text)}

    async def allow(self, page: str) -> str:
        """The provider's URL."""
        reply = await self.post("/consent", {**await self.ask(page), "answer": "allow"})
        assert reply.status_code == 200, reply.text
        return onward(reply)


@dataclass
class Site:
    proxy: OAuthProxy
    server: Any
    http: httpx2.AsyncClient
    client_id: str = ""

    @asynccontextmanager
    async def browser(self) -> AsyncGenerator[Browser]:
        async with self.server.http_client() as http:
            yield Browser(http)

    async def register(self, **metadata: Any) -> str:
        known = {"redirect_uris": [REDIRECT], "client_name": "A program", "token_endpoint_auth_method": "none"}
        reply = await self.http.post("/register", json={**known, **metadata})
        assert reply.status_code == 201, reply.text
        self.client_id = reply.json()["client_id"]
        return self.client_id

    async def authorize(self, **changes: str) -> str:
        """The consent page."""
        query = {
            "response_type": "code",
            "client_id": self.client_id or await self.register(),
            "redirect_uri": REDIRECT,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "state": "of the client",
            "resource": RESOURCE,
            **changes,
        }
        reply = await self.http.get(f"/authorize?{urlencode(query)}")
        assert reply.status_code == 302, reply.text
        return reply.headers["location"]

    async def code(self, **changes: str) -> str:
        async with self.browser() as browser:
            back = await at_provider(await browser.allow(await self.authorize(**changes)))
            return said(await browser.get(back))["code"]

    async def token(self, **form: str) -> httpx2.Response:
        return await self.http.post(
            "/token",
            content=urlencode({"client_id": self.client_id, **form}),
            headers={"content-type": "application/x-www-form-urlencoded"},
        )

    async def login(self, **changes: str) -> dict[str, Any]:
        code = await self.code(**changes)
        reply = await self.token(
            grant_type="authorization_code", code=code, code_verifier=VERIFIER, redirect_uri=REDIRECT
        )
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def refresh(self, tokens: dict[str, Any]) -> httpx2.Response:
        return await self.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])

    async def whoami(self, tokens: dict[str, Any]) -> httpx2.Response:
        body = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {
                "name": "whoami",
                "arguments": {},
                "_meta": {
                    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                    "io.modelcontextprotocol/clientCapabilities": {},
                },
            },
        }
        return await self.http.post(
            "/mcp",
            json=body,
            headers={
                "authorization": f"Bearer {tokens['access_token']}",
                "accept": "application/json, text/event-stream",
                "mcp-protocol-version": "2026-07-28",
                "mcp-method": "tools/call",
                "mcp-name": "whoami",
            },
        )


@asynccontextmanager
async def serving(proxy: OAuthProxy) -> AsyncGenerator[Site]:
    mcp = FastMCP("tests", auth=proxy)

    @mcp.tool
    def whoami() -> dict[str, Any]:
        token = get_access_token()
        assert token is not None
        return {"token": token.token, "sub": token.claims["sub"], "scopes": list(token.scopes), **token.claims}

    async with asgi_server(mcp) as server, server.http_client() as http:
        yield Site(proxy, server, http)


def proxy_of(idp: Upstream, **options: Any) -> OAuthProxy:
    known: dict[str, Any] = {
        "upstream_authorization_endpoint": f"{idp.base}/authorize",
        "upstream_token_endpoint": f"{idp.base}/token",
        "upstream_revocation_endpoint": f"{idp.base}/revoke",
        "upstream_client_id": CLIENT_ID,
        "upstream_client_secret": SECRET,
        "token_verifier": Verifier(idp),
        "base_url": ISSUER,
        "valid_scopes": ["read", "write"],
        "jwt_signing_key": KEY,
    }
    return OAuthProxy(**{**known, **options})


def oidc_of(idp: Upstream, **options: Any) -> OIDCProxy:
    known: dict[str, Any] = {
        "config_url": f"{idp.base}/.well-known/openid-configuration",
        "client_id": CLIENT_ID,
        "client_secret": SECRET,
        "base_url": ISSUER,
        "required_scopes": ["read"],
        "jwt_signing_key": KEY,
    }
    return OIDCProxy(**{**known, **options})


async def at_provider(url: str) -> str:
    """The user agrees at the identity provider: the URL that leads back."""
    async with httpx2.AsyncClient(trust_env=False) as http:
        reply = await http.get(url)
    assert reply.status_code == 302, reply.text
    return reply.headers["location"]


def onward(reply: httpx2.Response) -> str:
    """Where the answer to a form leads: by itself and by a link alike."""
    url = reply.headers["refresh"].removeprefix("0; url=")
    assert f'href="{html.escape(url)}"' in reply.text
    return url


def said(reply: httpx2.Response) -> dict[str, str]:
    """What the client is told."""
    assert reply.status_code == 302, reply.text
    return query_of(reply.headers["location"])


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


async def test_a_login_gives_a_token_of_ones_own_and_the_tool_the_providers(idp: Upstream) -> None:
    idp.scope = "read write"
    async with serving(proxy_of(idp)) as site:
        tokens = await site.login(scope="read write")
        reply = await site.whoami(tokens)
    assert reply.status_code == 200, reply.text
    assert '"token":"upstream-access-1"' in reply.text.replace("\\", "").replace(" ", "")
    assert "upstream" not in str(tokens)
    asked = idp.came("/authorize")[0]
    assert asked["code_challenge"] not in ("", CHALLENGE)
    assert asked["code_challenge_method"] == "S256"
    assert asked["state"] != "of the client"
    assert (asked["client_id"], asked["redirect_uri"], asked["resource"], asked["scope"]) == (
        CLIENT_ID,
        f"{ISSUER}/auth/callback",
        RESOURCE,
        "read write",
    )


async def test_nothing_of_the_provider_is_in_the_store_or_the_logs(
    idp: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    written: list[bytes] = []

    class Store(MemoryRecordStore):
        async def put(self, kind: str, key: str, value: bytes, *, ttl: float | None = None) -> None:
            written.append(f"{kind} {key}".encode() + value)
            await super().put(kind, key, value, ttl=ttl)

    async with serving(proxy_of(idp, client_storage=Store())) as site:
        tokens = await site.login()
        assert (await site.refresh(tokens)).status_code == 200
        idp.refuses = "invalid_client"
    assert len(written) > 4
    assert b"upstream-" not in b"".join(written).replace(b"oauth-upstream-", b"")
    assert "upstream-access" not in caplog.text
    assert "upstream-refresh" not in caplog.text


async def test_a_captured_url_of_the_provider_is_worth_nothing_in_another_browser(idp: Upstream) -> None:
    """CVE-2026-27124: an attacker allows in their own browser, and sends the victim the provider's URL."""
    async with serving(proxy_of(idp)) as site, site.browser() as attacker, site.browser() as victim:
        page = await site.authorize()
        captured = await attacker.allow(page)
        assert (await victim.get(page)).status_code == 400
        await victim.ask(await site.authorize())  # it has a cookie of its own
        back = await at_provider(captured)
        reply = await victim.get(back)
        assert reply.status_code == 400
        assert "another browser" in reply.text
        assert "location" not in reply.headers
        assert idp.came("/token") == []
        # It is not used up by that.
        assert "code" in said(await attacker.get(back))


@pytest.mark.parametrize("wrong", ["no cookie", "token of another page", "cookie of another browser", "no token"])
async def test_an_answer_counts_only_in_the_browser_that_was_asked(idp: Upstream, wrong: str) -> None:
    async with serving(proxy_of(idp)) as site, site.browser() as one, site.browser() as other:
        form = {**await one.ask(await site.authorize()), "answer": "allow"}
        answering = one
        if wrong == "no cookie":
            answering = other
        elif wrong == "cookie of another browser":
            await other.ask(await site.authorize())
            answering = other
        elif wrong == "token of another page":
            form["token"] = (await one.ask(await site.authorize()))["token"]
        else:
            del form["token"]
        reply = await answering.post("/consent", form)
    assert reply.status_code in (400, 403)
    assert "refresh" not in reply.headers
    assert idp.asked == []


async def test_a_state_is_good_once_and_only_one_that_was_given(idp: Upstream) -> None:
    async with serving(proxy_of(idp)) as site, site.browser() as browser:
        back = await at_provider(await browser.allow(await site.authorize()))
        for changed in (back.replace("state=", "state=x"), back.replace("state=", "other="), ISSUER + "/auth/callback"):
            assert (await browser.get(changed)).status_code == 400
        assert "code" in said(await browser.get(back))
        assert (await browser.get(back)).status_code == 400
    assert len(idp.came("/token")) == 1


async def test_who_says_no_sends_the_client_away(idp: Upstream) -> None:
    async with serving(proxy_of(idp)) as site, site.browser() as browser:
        page = await site.authorize()
        url = onward(await browser.post("/consent", {**await browser.ask(page), "answer": "deny"}))
        assert url.startswith(REDIRECT)
        answer = query_of(url)
        assert (answer["error"], answer["state"], answer["iss"]) == ("access_denied", "of the client", ISSUER)
        assert (await browser.get(page)).status_code == 400
    assert idp.asked == []


PROBLEMS: list[tuple[dict[str, Any], dict[str, str], str]] = [
    # the provider's mood, what it adds to its answer, what the client is told
    ({}, {"error": "access_denied", "error_description": 'no "<script>"\n'}, "access_denied"),
    ({}, {"error": "<script>alert(1)</script>"}, "server_error"),
    ({"refuses": "invalid_grant"}, {}, "access_denied"),
    ({"refuses": "bad_verification_code", "status": 200}, {}, "access_denied"),
    ({"refuses": "invalid_client"}, {}, "temporarily_unavailable"),
    ({"down": True}, {}, "temporarily_unavailable"),
]


@pytest.mark.parametrize(("mood", "added", "error"), PROBLEMS)
async def test_what_fails_at_the_provider_goes_back_to_the_client(
    idp: Upstream, mood: dict[str, Any], added: dict[str, str], error: str
) -> None:
    async with serving(proxy_of(idp)) as site, site.browser() as browser:
        back = await at_provider(await browser.allow(await site.authorize()))
        for name, value in mood.items():
            setattr(idp, name, value)
        answer = said(await browser.get(f"{back}&{urlencode(added)}"))
    assert (answer["error"], answer["state"], answer["iss"]) == (error, "of the client", ISSUER)
    assert not set(answer.get("error_description", "")) & set('"<>\n') - {"<", ">"}
    assert "code" not in answer


async def test_an_answer_of_another_provider_is_refused(idp: Upstream) -> None:
    """RFC 9207: mix-up."""
    async with serving(proxy_of(idp, upstream_issuer="https://other.example")) as site, site.browser() as browser:
        back = await at_provider(await browser.allow(await site.authorize()))
        assert said(await browser.get(back))["error"] == "server_error"
    assert idp.came("/token") == []


async def test_the_providers_token_is_renewed_once_for_many_calls(idp: Upstream) -> None:
    idp.expires_in = 0
    async with serving(proxy_of(idp)) as site:
        tokens = await site.login()
        idp.expires_in = 3600
        found = await asyncio.gather(*(site.proxy.verify_token(tokens["access_token"]) for _ in range(8)))
    assert {each.token for each in found if each is not None} == {"upstream-access-2"}
    assert len(found) == 8
    assert [form["grant_type"] for form in idp.came("/token")] == ["authorization_code", "refresh_token"]


async def test_a_login_lasts_over_restarts(idp: Upstream, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with serving(proxy_of(idp, client_storage=SqliteRecordStore(path))) as site:
        tokens = await site.login()
        client_id = site.client_id
    for _ in range(3):
        async with serving(proxy_of(idp, client_storage=SqliteRecordStore(path))) as site:
            site.client_id = client_id
            assert (await site.whoami(tokens)).status_code == 200
            reply = await site.refresh(tokens)
            assert reply.status_code == 200, reply.text
            tokens = reply.json()
    assert len(idp.refresh_tokens) == 1  # rotated each time
    assert b"upstream-access" not in path.read_bytes()


async def test_a_provider_that_is_down_logs_nobody_out(idp: Upstream) -> None:
    async with serving(proxy_of(idp)) as site:
        tokens = await site.login()
        idp.down = True
        reply = await site.refresh(tokens)
        assert (reply.status_code, reply.json()["error"]) == (503, "temporarily_unavailable")
        assert (await site.whoami(tokens)).status_code == 503
        idp.down = False
        assert (await site.refresh(tokens)).status_code == 200


async def test_who_was_shut_out_at_the_provider_is_out_here(idp: Upstream) -> None:
    async with serving(proxy_of(idp)) as site:
        tokens = await site.login()
        idp.refresh_tokens.clear()
        idp.live.clear()
        assert (await site.whoami(tokens)).status_code == 401
        reply = await site.refresh(tokens)
        assert (reply.status_code, reply.json()["error"]) == (400, "invalid_grant")
        assert await site.proxy.load_access_token(tokens["access_token"]) is None


async def test_a_token_of_another_user_is_not_taken_for_this_ones(idp: Upstream) -> None:
    async with serving(proxy_of(idp)) as site:
        tokens = await site.login()
        idp.subject = "mallory"
        reply = await site.refresh(tokens)
        assert (reply.status_code, reply.json()["error"]) == (400, "invalid_grant")


async def test_a_refresh_token_that_stays_is_used_again(idp: Upstream) -> None:
    idp.rotates = False
    async with serving(proxy_of(idp)) as site:
        tokens = await site.login()
        for _ in range(3):
            reply = await site.refresh(tokens)
            assert reply.status_code == 200, reply.text
            tokens = reply.json()
    assert idp.refresh_tokens == {"upstream-refresh-1"}


async def test_a_revocation_is_passed_on(idp: Upstream) -> None:
    async with serving(proxy_of(idp)) as site:
        tokens = await site.login()
        form = {"client_id": site.client_id, "token": tokens["refresh_token"]}
        headers = {"content-type": "application/x-www-form-urlencoded"}
        reply = await site.http.post("/revoke", content=urlencode(form), headers=headers)
        assert reply.status_code == 200
        assert (await site.whoami(tokens)).status_code == 401
    assert idp.revoked == ["upstream-refresh-1"]


async def test_scopes_are_those_that_both_agreed_to(idp: Upstream) -> None:
    idp.scope = "read write admin"
    async with serving(proxy_of(idp)) as site:
        few = await site.proxy.verify_token((await site.login(scope="read"))["access_token"])
        idp.scope = "read"
        less = await site.proxy.verify_token((await site.login(scope="read write"))["access_token"])
    assert few is not None
    assert less is not None
    assert (list(few.scopes), list(less.scopes)) == (["read"], ["read"])


@pytest.mark.parametrize("consent", [True, "remember", False, "external"])
async def test_how_often_a_browser_is_asked(idp: Upstream, consent: Any) -> None:
    async with serving(proxy_of(idp, require_authorization_consent=consent)) as site, site.browser() as browser:
        first = await browser.get(await site.authorize())
        if first.status_code == 200:
            form = {name: html.unescape(value) for name, value in HIDDEN.findall(first.text)}
            await browser.post("/consent", {**form, "answer": "allow"})
        second = await browser.get(await site.authorize())
        wider = await browser.get(await site.authorize(scope="read write"))
        other_client = await site.register(client_name="A program")
        other = await browser.get(await site.authorize(client_id=other_client))
        async with site.browser() as elsewhere:
            there = await elsewhere.get(await site.authorize())
    answers = [reply.status_code for reply in (first, second, wider, other, there)]
    asks = {True: [200] * 5, "remember": [200, 302, 200, 200, 200], False: [302] * 5, "external": [302] * 5}
    assert answers == asks[consent]


async def test_a_slip_in_a_setting_is_an_error(idp: Upstream) -> None:
    with pytest.raises(TypeError, match="require_consent"):
        proxy_of(idp, require_consent=True)
    with pytest.raises(ValueError, match="at least 32"):
        proxy_of(idp, jwt_signing_key="short")
    with pytest.raises(ValueError, match="https"):
        proxy_of(idp, base_url="http://example.com")
    with pytest.raises(ValueError, match="token_endpoint_auth_method"):
        proxy_of(idp, token_endpoint_auth_method="tls")


async def test_no_password_goes_over_plain_http_to_another_machine() -> None:
    there = UpstreamConfiguration(
        authorization_endpoint="http://idp.example/a", token_endpoint="http://10.0.0.1/t", client_id="x"
    )
    with pytest.raises(UpstreamDown, match="Plain http"):
        await there.exchange("code", "https://x", None, {})


async def test_only_redirect_uris_of_the_patterns_are_registered(idp: Upstream) -> None:
    patterns = ["https://*.example/callback", "http://localhost:*"]
    async with serving(proxy_of(idp, allowed_client_redirect_uris=patterns)) as site:
        await site.register(redirect_uris=["http://localhost:7/x"])
        for bad in ("https://app.evil.test/callback", "https://app.example/other", "https://example/callback"):
            reply = await site.http.post("/register", json={"redirect_uris": [bad]})
            assert (reply.status_code, reply.json()["error"]) == (400, "invalid_redirect_uri")
    with pytest.raises(ValueError, match="no pattern"):
        proxy_of(idp, allowed_client_redirect_uris=["*"])


async def test_tokens_are_asked_for_the_resource_of_the_login(idp: Upstream) -> None:
    async with serving(proxy_of(idp)) as site:
        tokens = await site.login()
        await site.refresh(tokens)
    assert [form["resource"] for form in idp.came("/token")] == [RESOURCE, RESOURCE]


async def test_a_provider_that_knows_no_pkce_and_no_resource(idp: Upstream) -> None:
    options = {"forward_pkce": False, "forward_resource": False, "extra_authorize_params": {"prompt": "login"}}
    async with serving(proxy_of(idp, **options, extra_token_params={"more": "yes"})) as site:
        await site.login()
    asked, exchanged = idp.came("/authorize")[0], idp.came("/token")[0]
    assert set(asked) == {"response_type", "client_id", "redirect_uri", "scope", "state", "prompt"}
    assert not exchanged.keys() & {"code_verifier", "resource"}
    assert exchanged["more"] == "yes"


async def test_what_a_client_says_of_itself_is_no_html(idp: Upstream) -> None:
    async with serving(proxy_of(idp)) as site, site.browser() as browser:
        await site.register(client_name="</strong><script>alert(1)</script>")
        page = await browser.get(await site.authorize())
        assert "<script" not in page.text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
        for path in ("/consent?transaction=<script>", "/auth/callback?state=<script>&error=<script>", "/consent"):
            reply = await browser.get(path)
            assert reply.status_code == 400
            assert "<script" not in reply.text
            assert "script-src" not in reply.headers["content-security-policy"]


# OpenID Connect


async def test_oidc_reads_its_configuration_when_it_is_needed(idp: Upstream) -> None:
    idp.jwts, idp.scope, idp.down = True, "read", True
    async with serving(oidc_of(idp)) as site, site.browser() as browser:
        page = await site.authorize()
        assert (await browser.get(page)).status_code == 503
        idp.down = False
        tokens = await site.login()
        assert (await site.whoami(tokens)).status_code == 200
        assert len(idp.came("/configuration")) == 2


@pytest.mark.parametrize(
    ("changed", "options"),
    [
        ({"issuer": "https://other.example"}, {}),
        ({"token_endpoint": None}, {}),
        ({"authorization_endpoint": "javascript:alert(1)"}, {}),
        ({"jwks_uri": None}, {}),
    ],
)
async def test_a_configuration_that_can_not_be_used_is_said_and_not_used(
    idp: Upstream, changed: dict[str, Any], options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    idp.configuration = changed
    async with serving(oidc_of(idp, **options)) as site, site.browser() as browser:
        reply = await browser.get(await site.authorize())
    assert reply.status_code == 503
    assert idp.base in caplog.text
    assert idp.came("/authorize") == []


async def test_another_issuer_is_taken_where_that_is_said(idp: Upstream) -> None:
    idp.configuration = {"issuer": "https://other.example"}
    async with serving(oidc_of(idp, strict=False)) as site, site.browser() as browser:
        assert (await browser.get(await site.authorize())).status_code == 200


async def test_an_answer_without_iss_is_refused_where_the_provider_always_says_it(idp: Upstream) -> None:
    async with serving(oidc_of(idp)) as site, site.browser() as browser:
        back = await at_provider(await browser.allow(await site.authorize()))
        bare = re.sub(r"&iss=[^&]*", "", back)
        assert bare != back
        assert said(await browser.get(bare))["error"] == "server_error"
    assert idp.came("/token") == []


async def test_who_a_user_is_can_come_from_the_id_token(idp: Upstream) -> None:
    async with serving(oidc_of(idp, verify_id_token=True)) as site:
        tokens = await site.login()
        reply = await site.whoami(tokens)
        assert reply.status_code == 200, reply.text
        assert "alice@corp.example" in reply.text
        assert (await site.refresh(tokens)).status_code == 200
    assert idp.came("/authorize")[0]["scope"] == "openid read"


WRONG_ID_TOKENS: list[dict[str, Any]] = [
    {"nonce": "another"},
    {"nonce": None},
    {"aud": "another"},
    {"aud": [CLIENT_ID, "another"], "azp": "another"},
    {"iss": "https://other.example"},
    {"exp": 1},
    {"exp": None},
    {"iat": 4102444800},
    {"sub": None},
]


@pytest.mark.parametrize("wrong", WRONG_ID_TOKENS)
async def test_an_id_token_that_is_not_for_this_login_is_refused(idp: Upstream, wrong: dict[str, Any]) -> None:
    idp.id_claims = wrong
    async with serving(oidc_of(idp, verify_id_token=True)) as site, site.browser() as browser:
        back = await at_provider(await browser.allow(await site.authorize()))
        assert said(await browser.get(back))["error"] == "access_denied"


async def test_an_id_token_of_another_key_is_refused(idp: Upstream) -> None:
    idp.key = RSAKey.generate_key(2048, {"kid": "one"})
    async with serving(oidc_of(idp, verify_id_token=True)) as site, site.browser() as browser:
        back = await at_provider(await browser.allow(await site.authorize()))
        assert said(await browser.get(back))["error"] == "access_denied"


@pytest.mark.parametrize(
    ("claims", "options", "good"),
    [
        ({}, {}, True),
        ({"aud": RESOURCE}, {}, True),
        ({"aud": "another"}, {}, False),
        ({"aud": None}, {}, False),
        ({"aud": "api"}, {"audience": "api"}, True),
        ({}, {"audience": "api"}, False),
        ({"iss": "https://other.example"}, {}, False),
        ({"exp": 1}, {}, False),
    ],
)
async def test_an_access_token_must_be_for_this_server(
    idp: Upstream, claims: dict[str, Any], options: dict[str, Any], good: bool
) -> None:
    idp.jwts, idp.scope, idp.access_claims = True, "read", claims
    async with serving(oidc_of(idp, **options)) as site, site.browser() as browser:
        back = await at_provider(await browser.allow(await site.authorize()))
        assert ("code" in said(await browser.get(back))) is good
    assert idp.came("/authorize")[0].get("audience") == options.get("audience")
