"""Logins at oidc-provider, an authorization server that is certified for OpenID Connect, through Chromium."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest
from joserfc.jwk import ECKey

from headrace import Client
from headrace.client.auth import ClientCredentials, FileTokenStorage, OAuth
from headrace.client.oauth_callback import BrowserCallback
from headrace.exceptions import ClientError

from .browser import Browser, Decision
from .conftest import DOCUMENT, SECRET, Provider
from .resource import Site

Serve = Callable[..., Awaitable[Site]]
ONE_LOGIN = ["login", "consent", "Answer received"]


class Shelf:
    """A storage of the user's own."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {}

    async def get(self, key: str) -> dict[str, Any] | None:
        return self.kept.get(key)

    async def put(self, key: str, value: Mapping[str, Any]) -> None:
        self.kept[key] = dict(value)

    async def delete(self, key: str) -> None:
        self.kept.pop(key, None)

    @property
    def tokens(self) -> list[dict[str, Any]]:
        return [value for key, value in self.kept.items() if key.startswith("tokens")]


def oauth(browser: Browser, **options: Any) -> OAuth:
    return OAuth(callback=BrowserCallback(open=browser.open), **options)


async def who(client: Client) -> dict[str, Any]:
    """The claims of the token that the server saw."""
    return (await client.call_tool("who")).data


def met(browser: Browser) -> list[str]:
    """The pages that the user met, by their first lines."""
    browser.done()
    return [page.splitlines()[0] for page in browser.pages]


CLIENTS = {
    "registered now": ({}, "none"),
    "secret, basic": ({"client_id": "basic", "client_secret": SECRET}, "client_secret_basic"),
    "metadata document": ({"client_metadata_url": DOCUMENT}, "none"),
}


@pytest.mark.parametrize(("options", "method"), CLIENTS.values(), ids=CLIENTS.keys())
async def test_login(options: dict[str, Any], method: str, browser: Browser, site: Site, provider: Provider) -> None:
    async with Client(site.url, auth=oauth(browser, **options)) as client:
        claims = await who(client)
        await who(client)
    assert met(browser) == ONE_LOGIN
    events = {each["event"]: each for each in provider.happened()}
    client_id = options.get("client_id") or options.get("client_metadata_url") or events["authorized"]["client_id"]
    assert claims["sub"] == "ann"
    assert (claims["iss"], claims["aud"], claims["client_id"]) == (provider.issuer, site.url, client_id)
    asked, granted = events["authorized"], events["granted"]
    assert (asked["code_challenge_method"], asked["resource"], granted["resource"]) == ("S256", site.url, site.url)
    assert granted["method"] == method
    assert ("registered" in events) == (not options)
    if not options:
        assert events["registered"]["application_type"] == "native"


async def test_a_secret_in_the_form(browser: Browser, serve: Serve, strict_provider: Provider) -> None:
    site = await serve(issuer=strict_provider.issuer)
    async with Client(site.url, auth=oauth(browser, client_id="post", client_secret=SECRET)) as client:
        assert (await who(client))["client_id"] == "post"
    assert [each["method"] for each in strict_provider.happened("granted")] == ["client_secret_post"]


async def test_oauth_by_name(browser: Browser, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cast(Any, BrowserCallback.__init__).__kwdefaults__, "open", browser.open)
    async with Client(site.url, auth="oauth") as client:
        assert (await who(client))["sub"] == "ann"
    assert met(browser) == ONE_LOGIN


# Tokens that end


async def end(site: Site, shelf: Shelf) -> None:
    """The end of the tokens: by the clock where they are short-lived, else the server takes them no longer."""
    if site.url.endswith("/brief"):
        await asyncio.sleep(shelf.tokens[0]["expires_at"] - time.time())
    else:
        site.verifier.ended.update(site.verifier.seen)


REFRESHED = {"expired": ("/brief", "auto"), "refused": ("/mcp", "auto"), "refused in a session": ("/mcp", "legacy")}


@pytest.mark.parametrize(("path", "mode"), REFRESHED.values(), ids=REFRESHED.keys())
async def test_refresh(path: str, mode: Any, browser: Browser, serve: Serve, provider: Provider) -> None:
    site, shelf = await serve(path), Shelf()
    async with Client(site.url, auth=oauth(browser, token_storage=shelf), mode=mode) as client:
        seen = {(await who(client))["jti"]}
        for _ in range(2):
            await end(site, shelf)
            seen.add((await who(client))["jti"])
    assert len(seen) == 3
    assert met(browser) == ONE_LOGIN
    refreshed = [each for each in provider.happened("granted") if each["grant_type"] == "refresh_token"]
    used = [each["refresh_token"] for each in refreshed]
    assert len(set(used)) == len(used) >= 2, "each refresh token is used once"
    assert shelf.tokens[0]["refresh_token"] not in used
    assert {each["resource"] for each in refreshed} == {site.url}


async def test_one_refresh_for_all(browser: Browser, site: Site, provider: Provider) -> None:
    async with Client(site.url, auth=oauth(browser)) as client:
        await who(client)
        site.verifier.ended.update(site.verifier.seen)
        provider.happened()
        await asyncio.gather(*(who(client) for _ in range(5)))
    assert [each["grant_type"] for each in provider.happened("granted")] == ["refresh_token"]
    assert met(browser) == ONE_LOGIN


async def test_a_revoked_refresh_token(browser: Browser, site: Site, provider: Provider) -> None:
    shelf = Shelf()
    async with Client(site.url, auth=oauth(browser, token_storage=shelf)) as client:
        await who(client)
        (tokens,) = shelf.tokens
        form = {"token": tokens["refresh_token"], "client_id": tokens["client_id"]}
        async with httpx2.AsyncClient() as http:
            revoked = await http.post(f"{provider.issuer}/token/revocation", data=form)
        assert revoked.status_code == 200, revoked.text
        site.verifier.ended.update(site.verifier.seen)
        assert (await who(client))["sub"] == "ann"
    # The browser still knows the user, the grant is a new one.
    assert met(browser) == [*ONE_LOGIN, *ONE_LOGIN[1:]]
    assert [each["error"] for each in provider.happened("grant refused")] == ["invalid_grant"]


# Scopes


async def test_step_up(browser: Browser, site: Site, provider: Provider) -> None:
    async with Client(site.url, auth=oauth(browser)) as client:
        assert (await who(client))["scope"] == "read"
        site.provider.required_scopes.append("write")
        assert set((await who(client))["scope"].split()) == {"read", "write"}
    assert met(browser) == [*ONE_LOGIN, *ONE_LOGIN[1:]]
    first, second = ([*each["scope"].split()] for each in provider.happened("authorized"))
    assert "write" not in first
    assert set(second) == {*first, "write"}


async def test_a_scope_that_nobody_gets(browser: Browser, site: Site) -> None:
    async with Client(site.url, auth=oauth(browser)) as client:
        await who(client)
        site.provider.required_scopes.append("everything")
        with pytest.raises(ClientError, match="everything"):
            await who(client)
    assert site.ran == ["who"]
    assert len(browser.opened) == 2, "one login, and one that asked for more"


# The user says no


@pytest.mark.parametrize("decision", ["deny", "deny at login"])
async def test_denied(decision: Decision, browser: Browser, site: Site) -> None:
    browser.decision, shelf = decision, Shelf()
    with pytest.raises(ClientError, match="access_denied") as raised:
        async with Client(site.url, auth=oauth(browser, token_storage=shelf)) as client:
            await who(client)
    assert "\n" not in str(raised.value)
    assert len(browser.opened) == 1
    assert shelf.tokens == []
    assert site.ran == []


async def test_a_step_up_that_is_denied(browser: Browser, site: Site) -> None:
    shelf = Shelf()
    async with Client(site.url, auth=oauth(browser, token_storage=shelf)) as client:
        before = await who(client)
        kept = shelf.tokens
        browser.decision = "deny"
        site.provider.required_scopes.append("write")
        with pytest.raises(ClientError, match="access_denied"):
            await who(client)
        site.provider.required_scopes.remove("write")
        assert await who(client) == before
    assert shelf.tokens == kept


# What is kept

SECOND = """
import asyncio, sys
from headrace import Client
from headrace.client.auth import FileTokenStorage, OAuth
from headrace.client.oauth_callback import BrowserCallback

def no_browser(url):
    sys.exit("a second login")

async def main(url, path):
    auth = OAuth(callback=BrowserCallback(open=no_browser), token_storage=FileTokenStorage(path))
    async with Client(url, auth=auth) as client:
        print((await client.call_tool("who")).data["sub"])

asyncio.run(main(*sys.argv[1:]))
"""


async def test_another_program_needs_no_login(browser: Browser, site: Site, tmp_path: Path) -> None:
    path = tmp_path / "logins"
    async with Client(site.url, auth=oauth(browser, token_storage=FileTokenStorage(path))) as client:
        await who(client)
    site.verifier.ended.update(site.verifier.seen)  # it finds tokens that it must refresh
    command = [sys.executable, "-c", SECOND, site.url, str(path)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=30)
    assert done.stdout.split() == ["ann"], done.stderr
    assert site.verifier.seen[0] not in path.read_text()
    assert met(browser) == ONE_LOGIN


async def test_tokens_are_for_one_server(browser: Browser, serve: Serve) -> None:
    one, other, shelf = await serve(), await serve(), Shelf()
    for site in (one, other, one):
        async with Client(site.url, auth=oauth(browser, token_storage=shelf)) as client:
            assert (await who(client))["aud"] == site.url
    assert len(browser.opened) == 2
    assert not set(one.verifier.seen) & set(other.verifier.seen)


# The port of the redirect


async def test_others_call_the_port(browser: Browser, site: Site) -> None:
    answers: list[int] = []

    def open(url: str) -> bool:
        redirect = parse_qs(urlsplit(url).query)["redirect_uri"][0]
        for path in (
            "/favicon.ico",
            "/callback",
            "/callback?" + urlencode({"code": "theirs", "state": "theirs"}),
            "/callback?" + urlencode({"error": "access_denied", "state": "theirs"}),
        ):
            answers.append(httpx2.get(httpx2.URL(redirect).join(path)).status_code)
        return browser.open(url)

    async with Client(site.url, auth=OAuth(callback=BrowserCallback(open=open))) as client:
        assert (await who(client))["sub"] == "ann"
    assert answers
    assert all(400 <= status < 500 for status in answers)
    assert met(browser) == ONE_LOGIN


# Programs without a user


def machine(key: ECKey | None, **options: Any) -> ClientCredentials:
    if key is None:
        return ClientCredentials("machine", SECRET, scopes="read", **options)
    return ClientCredentials("machine-key", private_key=key.as_pem(private=True), scopes="read", **options)


@pytest.mark.parametrize("method", ["client_secret_basic", "private_key_jwt"])
async def test_client_credentials(method: str, machine_key: ECKey, serve: Serve, provider: Provider) -> None:
    site = await serve()
    key = machine_key if method == "private_key_jwt" else None
    async with Client(site.url, auth=machine(key)) as client:
        claims = await who(client)
        site.verifier.ended.update(site.verifier.seen)
        await who(client)
    assert claims["client_id"] == ("machine" if key is None else "machine-key")
    assert claims["aud"] == site.url
    assert [each["method"] for each in provider.happened("granted")] == [method] * 2


async def test_a_wrong_secret(site: Site, provider: Provider) -> None:
    with pytest.raises(ClientError, match="invalid_client") as raised:
        async with Client(site.url, auth=ClientCredentials("machine", "wrong")) as client:
            await who(client)
    assert "\n" not in str(raised.value)
    assert "wrong" not in str(raised.value)
    assert len(provider.happened("grant refused")) == 1


# DPoP


@pytest.mark.parametrize("path", ["/mcp", "/brief"])
@pytest.mark.parametrize("user", ["ann", None], ids=["login", "client credentials"])
async def test_dpop(user: str | None, path: str, browser: Browser, serve: Serve, provider: Provider) -> None:
    site, shelf = await serve(path, dpop=True), Shelf()
    options: dict[str, Any] = {"dpop": True, "token_storage": shelf}
    async with Client(site.url, auth=oauth(browser, **options) if user else machine(None, **options)) as client:
        claims = await who(client)
        site.door.nonce = "second"
        await end(site, shelf)
        again = await who(client)
    assert claims["cnf"] == again["cnf"]
    assert claims["jti"] != again["jti"]
    assert {proof["nonce"] for proof in site.door.proofs} == {"first", "second"}
    assert [each["error"] for each in provider.happened("grant refused")] == ["use_dpop_nonce"]
    assert len(browser.opened) == (1 if user else 0)
