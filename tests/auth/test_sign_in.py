"""The sign-in page of the embedded server: who is let in, and in which browser."""

from __future__ import annotations

import asyncio
import html
import re
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from headrace.server.auth.oauth.contract import OAuthClientInformationFull
from headrace.server.auth.oauth.embedded import EmbeddedOAuthProvider
from headrace.server.auth.oauth.passwords import hash_password

from ..http.servers import eventually
from .oauth_app import CLIENTS, ISSUER, QUERY, REDIRECT, Pairs, Site, Watched, changed, query_of, running

HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')


@dataclass
class Directory:
    """Users whose password is their name. What it was asked is counted."""

    asked: list[str] = field(default_factory=list[str])

    async def authenticate(self, name: str, password: str) -> str | None:
        self.asked.append(name)
        await asyncio.sleep(0)
        return f"id of {name}" if name == password else None


@asynccontextmanager
async def signing_in(users: Any = None, url: str = ISSUER, **options: Any) -> AsyncGenerator[Site]:
    known: dict[str, Any] = {"clients": CLIENTS, "scopes_supported": ["read", "write"], "required_scopes": ["read"]}
    store = Watched()
    provider = EmbeddedOAuthProvider(url, users=users or Directory(), store=store, **{**known, **options})
    async with running(provider) as site:
        site.store = store
        yield site


@dataclass
class Login:
    """One browser at one login."""

    site: Site
    path: str = ""
    cookies: dict[str, str] = field(default_factory=dict[str, str])
    hidden: dict[str, str] = field(default_factory=dict[str, str])

    async def begin(self, query: Pairs = QUERY) -> httpx2.Response:
        reply = await self.site.authorize(query)
        self.path = reply.headers["location"].removeprefix(ISSUER)
        return await self.open()

    async def open(self) -> httpx2.Response:
        page = await self.site.http.get(self.path, headers=self._cookie())
        self.cookies.update(page.cookies)
        self.site.http.cookies.clear()
        self.hidden = {name: html.unescape(value) for name, value in HIDDEN.findall(page.text)}
        return page

    async def answer(self, name: str = "alice", password: str = "alice", **more: str) -> httpx2.Response:
        form = {**self.hidden, "username": name, "password": password, "answer": "allow", **more}
        return await self.site.post("/login", list(form.items()), self._cookie())

    def _cookie(self) -> dict[str, str]:
        return {"cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}


def onward(reply: httpx2.Response) -> dict[str, str]:
    """What the client is told: by a page that leads on, since Chromium holds redirects after a form to its policy."""
    assert reply.status_code == 200, reply.text
    url = reply.headers["refresh"].removeprefix("0; url=")
    assert url.startswith(f"{REDIRECT}?")
    return query_of(httpx2.Response(302, headers={"location": url}))


async def test_a_user_signs_in() -> None:
    async with signing_in() as site:
        login = Login(site)
        page = await login.begin(changed(QUERY, scope="read write"))
        for shown in ("Public", "https://app.example", "read, write"):
            assert shown in page.text
        answer = onward(await login.answer())
        assert answer["state"] == "a state & more"
        assert answer["iss"] == ISSUER
        tokens = (await site.redeem(answer["code"])).json()
        access = await site.provider.verify_token(tokens["access_token"])
    assert access is not None
    assert access.claims["sub"] == "id of alice"
    assert access.claims["preferred_username"] == "alice"


async def test_the_page_is_safe() -> None:
    client = OAuthClientInformationFull(
        client_id="odd",
        client_name="<script>alert(1)</script>",
        redirect_uris=[REDIRECT],
        token_endpoint_auth_method="none",
    )
    async with signing_in(clients=[client]) as site:
        page = await Login(site).begin(changed(QUERY, client_id="odd"))
    assert "<script" not in page.text
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "same-origin"
    cookie = page.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie


async def test_the_cookie_is_of_one_host() -> None:
    async with signing_in(url="https://host.example") as site:
        reply = await site.authorize(changed(QUERY, resource=None))
        cookie = (await site.http.get(reply.headers["location"].removeprefix("https://host.example"))).headers[
            "set-cookie"
        ]
    assert cookie.startswith("__Host-")
    assert "Secure" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie


async def test_a_wrong_password() -> None:
    async with signing_in() as site:
        login = Login(site)
        await login.begin()
        for _ in range(5):
            page = await login.answer(password="wrong")
            assert "are wrong" in page.text
        assert onward(await login.answer())["error"] == "access_denied"
        assert "is over" in (await login.answer()).text
        assert site.store.grants == 0


async def test_passwords_tried_at_once() -> None:
    users = Directory()
    async with signing_in(users) as site:
        login = Login(site)
        await login.begin()
        await asyncio.gather(*(login.answer(password="wrong") for _ in range(30)))
        assert len(users.asked) <= 5


async def test_passwords_tried_for_one_name() -> None:
    users = Directory()
    async with signing_in(users) as site:
        for number in range(14):
            login = Login(site)
            await login.begin()
            reply = await login.answer("Alice" if number % 2 else "alice", "wrong")
            assert ("are wrong" in reply.text) is (number < 10)
        other = Login(site)
        await other.begin()
        assert "code" in onward(await other.answer("bob", "bob"))
    assert len(users.asked) == 11


async def test_more_passwords_than_can_be_checked() -> None:
    gate = asyncio.Event()
    asked: list[str] = []

    async def slow(name: str, password: str) -> str | None:
        asked.append(name)
        await gate.wait()
        return None

    async with signing_in(slow) as site:
        logins = [Login(site) for _ in range(9)]
        for login in logins:
            await login.begin()
        waiting = [asyncio.create_task(login.answer(f"user {n}")) for n, login in enumerate(logins[:8])]
        await eventually(lambda: len(asked) == 8)
        assert (await logins[8].answer()).status_code == 503
        gate.set()
        assert {reply.status_code for reply in await asyncio.gather(*waiting)} == {200}


async def test_a_user_says_no() -> None:
    async with signing_in() as site:
        login = Login(site)
        await login.begin()
        answer = onward(await login.answer(answer="deny", name="", password=""))
        assert (answer["error"], answer["iss"]) == ("access_denied", ISSUER)
        assert site.store.grants == 0


Spoil = Callable[[Login, Login], object]


def _set(**hidden: str) -> Spoil:
    return lambda login, other: login.hidden.update(hidden)


SPOILED: dict[str, Spoil] = {
    "no cookie": lambda login, other: login.cookies.clear(),
    "another browser's cookie": lambda login, other: login.cookies.update(other.cookies),
    "a forged cookie": lambda login, other: login.cookies.update(dict.fromkeys(login.cookies, "x.y")),
    "a changed cookie": lambda login, other: login.cookies.update({n: "x" + v for n, v in login.cookies.items()}),
    "no form token": lambda login, other: login.hidden.pop("csrf"),
    "an empty form token": _set(csrf=""),
    "a wrong form token": _set(csrf="0" * 64),
    "a form token that is no ASCII": _set(csrf="\u00e4"),
    "another login's form token": lambda login, other: login.hidden.update(csrf=other.hidden["csrf"]),
    "another login": lambda login, other: login.hidden.update(transaction=other.hidden["transaction"]),
    "another browser's form": lambda login, other: login.hidden.update(other.hidden),
    "no login": _set(transaction=""),
    "an unknown login": _set(transaction="nonsense"),
}


@pytest.mark.parametrize("case", SPOILED)
async def test_a_form_is_good_in_its_browser_only(case: str) -> None:
    users = Directory()
    async with signing_in(users) as site:
        login, other = Login(site), Login(site)
        await login.begin()
        await other.begin()
        SPOILED[case](login, other)
        assert (await login.answer()).status_code == 400
        assert users.asked == []
        assert site.store.grants == 0


async def test_a_login_is_of_the_browser_that_opened_it() -> None:
    async with signing_in() as site:
        login = Login(site)
        await login.begin()
        captured = Login(site, path=login.path)
        assert "another browser" in (await captured.open()).text
        assert (await login.open()).status_code == 200
        assert "code" in onward(await login.answer())


async def test_an_answer_counts_once() -> None:
    async with signing_in() as site:
        login = Login(site)
        await login.begin()
        replies = await asyncio.gather(*(login.answer() for _ in range(4)))
        assert sum("refresh" in reply.headers for reply in replies) == 1
        assert site.store.grants == 1


async def test_a_login_is_over_after_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    async with signing_in() as site:
        login = Login(site)
        await login.begin()
        now = time.time
        monkeypatch.setattr(time, "time", lambda: now() + 601)
        assert (await login.answer()).status_code == 400
        assert (await login.open()).status_code == 400


async def test_a_form_of_another_site() -> None:
    async with signing_in() as site:
        login = Login(site)
        await login.begin()
        form = list({**login.hidden, "username": "alice", "password": "alice"}.items())
        for origin, status in (("https://evil.example", 403), ("null", 403), (ISSUER, 200)):
            reply = await site.post("/login", form, {**login._cookie(), "origin": origin})
            assert reply.status_code == status


async def test_users_with_hashed_passwords() -> None:
    async with signing_in({"alice": hash_password("right")}) as site:
        login = Login(site)
        await login.begin()
        assert "are wrong" in (await login.answer(password="wrong")).text
        assert "are wrong" in (await login.answer(name="bob", password="right")).text
        assert "code" in onward(await login.answer(password="right"))
