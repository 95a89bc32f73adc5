"""Logins from end to end, through Chromium: three ways to guard a server, three client programs.

The parties: oidc-provider; this project's client, the official Python SDK's, the Inspector's command line.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from headrace import Client
from headrace.client.auth import OAuth
from headrace.client.oauth_callback import BrowserCallback
from headrace.server.auth.oauth.provider import OAuthProvider

from ..conftest import ROOT
from .browser import Browser
from .conftest import Provider
from .inspector import Inspector
from .sdk_client import sdk_client
from .servers import TOKEN_SECONDS, Host, embedded, hosting, proxied, remote

Call = Callable[[str], Awaitable[dict[str, Any]]]
"""Calls a tool: the claims that it saw."""
PAGES = {
    "remote": ["login", "consent"],
    "embedded": ["sign in"],
    "proxied": ["allow", "login", "consent"],
}
"""What the user meets in one login."""


@pytest.fixture(params=list(PAGES))
def guard(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def host(guard: str, provider: Provider, tmp_path: Path) -> AsyncIterator[Host]:
    make, path = {
        "remote": (remote(provider.issuer, "/brief"), "/brief"),
        "embedded": (embedded, "/mcp"),
        "proxied": (proxied(provider.issuer), "/brief"),
    }[guard]
    async with hosting(make, tmp_path, path) as host:
        yield host


@pytest.fixture(params=["headrace", "sdk", "inspector"])
def connect(request: pytest.FixtureRequest, browser: Browser) -> Callable[[str], Any]:
    if request.param == "headrace":
        return lambda url: headrace_calls(url, browser)
    if request.param == "sdk":
        return lambda url: sdk_calls(url, browser)
    node, home = request.getfixturevalue("node"), request.getfixturevalue("tmp_path")
    return lambda url: inspector_calls(url, Inspector(node, home, browser.open))


@asynccontextmanager
async def headrace_calls(url: str, browser: Browser) -> AsyncIterator[Call]:
    async with Client(url, auth=OAuth(callback=BrowserCallback(open=browser.open))) as client:

        async def call(tool: str) -> dict[str, Any]:
            return (await client.call_tool(tool)).data

        yield call


@asynccontextmanager
async def sdk_calls(url: str, browser: Browser) -> AsyncIterator[Call]:
    async with sdk_client(url, browser.open) as client:

        async def call(tool: str) -> dict[str, Any]:
            found = (await client.call_tool(tool)).structured_content
            assert found is not None
            return found

        yield call


@asynccontextmanager
async def inspector_calls(url: str, inspector: Inspector) -> AsyncIterator[Call]:
    """A program for each call: it knows the user by what the one before wrote down."""

    async def call(tool: str) -> dict[str, Any]:
        return await asyncio.to_thread(inspector.call, url, tool)

    yield call


async def expired(claims: dict[str, Any]) -> None:
    """Clients count from when they got a token, which is up to a second later than its own clock says."""
    await asyncio.sleep(max(0, claims["exp"] + 1.2 - time.time()))


async def test_login_and_refresh(guard: str, host: Host, connect: Callable[[str], Any], browser: Browser) -> None:
    """One login, and tokens that end; the server is another one before the second refresh."""
    async with connect(host.url) as call:
        claims = [await call("who")]
        browser.done()
        assert [page.splitlines()[0] for page in browser.pages[:-1]] == PAGES[guard]
        for _ in range(2):
            await expired(claims[-1])
            claims.append(await call("who"))
            await host.restart()
    assert {each["sub"] for each in claims} == {"ann"}
    assert {each["aud"] for each in claims} == {host.url}
    assert len({each["jti"] for each in claims}) == 3
    assert len(browser.opened) == 1


STEP_UP = [("remote", "headrace"), *itertools.product(["embedded", "proxied"], ["headrace", "sdk"])]
"""Without the Inspector, which asks for all scopes at once, or does not find the tool: it lists them first. Without the
SDK at oidc-provider, where it registers for the scopes that it wants at first, and is held to them."""


@pytest.mark.parametrize(("guard", "connect"), STEP_UP, indirect=True)
async def test_step_up(host: Host, connect: Callable[[str], Any], browser: Browser) -> None:
    async with connect(host.url) as call:
        assert (await call("who"))["scope"] == "read"
        assert set((await call("change"))["scope"].split()) == {"read", "write"}
    assert host.ran == ["who", "change"]
    assert len(browser.opened) == 2


@pytest.mark.parametrize("guard", ["embedded", "proxied"], indirect=True)
async def test_revoked(host: Host, connect: Callable[[str], Any], browser: Browser) -> None:
    """What is revoked here ends at once, and the user is asked again."""
    async with connect(host.url) as call:
        await call("who")
        assert isinstance(host.auth, OAuthProvider)
        token = await host.auth.load_access_token(host.tokens[-1])
        assert token is not None
        await host.auth.revoke_token(token)
        assert (await call("who"))["sub"] == "ann"
    assert len(browser.opened) == 2


async def test_tokens_that_cant_be_read(provider: Provider, browser: Browser, tmp_path: Path) -> None:
    """The provider's own tokens are opaque where it is asked for an ID token: who the user is, that one says."""
    make = proxied(provider.issuer, verify_id_token=True)
    async with hosting(make, tmp_path) as host, headrace_calls(host.url, browser) as call:
        first = await call("who")
        await expired({"exp": time.time() + TOKEN_SECONDS})
        second = await call("who")
    assert (first["sub"], second["sub"]) == ("ann", "ann")
    assert len(set(host.tokens)) == 2
    assert len(browser.opened) == 1


async def test_the_example(browser: Browser, free_port: int, tmp_path: Path) -> None:
    browser.user, browser.password = "ada", "lovelace"
    command = [sys.executable, str(ROOT / "examples/guarded.py"), "--port", str(free_port), "--logins", "logins.db"]
    pipe = asyncio.subprocess.PIPE
    program = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, stdout=pipe)
    try:
        assert program.stdout is not None
        async with asyncio.timeout(20):
            while b"serves MCP on" not in await program.stdout.readline():
                assert not program.stdout.at_eof()
        auth = OAuth(callback=BrowserCallback(open=browser.open))
        async with Client(f"http://127.0.0.1:{free_port}/mcp", auth=auth) as client:
            assert (await client.call_tool("whoami")).data == "ada"
            await client.call_tool("note", {"text": "buy milk"})
            assert (await client.call_tool("notes")).data == ["buy milk"]
        assert len(browser.opened) == 2, "it asks again before it may write"
        program.terminate()
        await program.communicate()
    finally:
        if program.returncode is None:
            program.kill()
            await program.communicate()
