"""What a browser makes of the pages and the endpoint: other sites, other users, and users without a mouse."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from headrace import FastMCP

from ..conftest import missing
from ..robustness.wire import serving
from .browser import PASSWORD, REBOUND, Browser, browsing, programs
from .conftest import Provider
from .servers import Host, embedded, hosting, proxied

VERIFIER = "a-verifier-that-is-long-enough-to-be-one-0123456789"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


class Listening:
    """A client's program: the port where its answers come, and what came."""

    def __init__(self) -> None:
        self.answers: list[dict[str, str]] = []
        self.app = Starlette(routes=[Route("/callback", self._take)])
        self.redirect = ""

    async def _take(self, request: Request) -> HTMLResponse:
        self.answers.append(dict(request.query_params))
        return HTMLResponse("<title>Done</title>Answer received")


@pytest.fixture
async def program() -> AsyncIterator[Listening]:
    listening = Listening()
    async with serving(listening.app) as running:
        listening.redirect = f"http://127.0.0.1:{running.port}/callback"
        yield listening


@pytest.fixture(params=["embedded", "proxied"])
async def host(request: pytest.FixtureRequest, provider: Provider, tmp_path: Path) -> AsyncIterator[Host]:
    make = embedded if request.param == "embedded" else proxied(provider.issuer)
    async with hosting(make, tmp_path) as host:
        yield host


@pytest.fixture(scope="module")
def other_chromium() -> Iterator[Browser]:
    found = programs()
    if found is None:
        missing("Chromium and its driver: apt-get install chromium chromium-driver")
    with browsing(*found) as browser:
        yield browser


@pytest.fixture
def stranger(other_chromium: Browser) -> Iterator[Browser]:
    """Somebody else, with a browser of their own."""
    other_chromium.forget()
    yield other_chromium
    other_chromium.done()


async def login_url(host: Host, program: Listening, name: str = "A program") -> str:
    """Where a user of a client that has just registered has to go."""
    document = {
        "client_name": name,
        "redirect_uris": [program.redirect],
        "token_endpoint_auth_method": "none",
        "application_type": "native",
    }
    async with httpx2.AsyncClient() as http:
        registered = (await http.post(f"{host.origin}/register", json=document)).raise_for_status().json()
    query = {
        "response_type": "code",
        "client_id": registered["client_id"],
        "redirect_uri": program.redirect,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "state": "a state",
        "scope": "read",
        "resource": host.url,
    }
    return f"{host.origin}/authorize?{urlencode(query)}"


async def in_thread(function: Any, *arguments: Any) -> Any:
    """The servers are in this thread."""
    return await asyncio.to_thread(function, *arguments)


def found(browser: Browser, selector: str) -> list[Any]:
    return browser.window.find_elements(By.CSS_SELECTOR, selector)


def page_of(html: str) -> Starlette:
    async def serve(request: Request) -> HTMLResponse:
        return HTMLResponse(html)

    return Starlette(routes=[Route("/", serve)])


# Other sites


async def test_a_page_is_not_framed(host: Host, program: Listening, browser: Browser) -> None:
    url = await login_url(host, program)
    await in_thread(browser.visit, url)
    assert found(browser, "form button")
    page = browser.window.current_url
    html = f'<!doctype html><title>Prizes</title><iframe id="framed" src="{page}"></iframe>'

    def inside() -> tuple[str, int]:
        browser.visit(f"http://localhost:{other.port}/")
        browser.window.switch_to.frame("framed")
        try:
            return browser.window.execute_script("return document.URL"), len(found(browser, "form, button, input"))
        finally:
            browser.window.switch_to.default_content()

    async with serving(page_of(html)) as other:
        assert await in_thread(inside) == ("chrome-error://chromewebdata/", 0)


ODD = {
    "a script": "<script>document.title = 'taken'</script>",
    "an image": "<img src=x onerror=\"document.title='taken'\">",
    "out of an attribute": "\"'><svg onload=document.title='taken'>",
    "an entity": "&lt;b&gt;bold",
    "a closed page": "</title></style></main><h1>Trusted</h1>",
}


@pytest.mark.parametrize("name", ODD.values(), ids=ODD.keys())
async def test_a_name_is_text(name: str, host: Host, program: Listening, browser: Browser) -> None:
    text = await in_thread(browser.visit, await login_url(host, program, name))
    assert name in text
    assert len(found(browser, "h1")) == 1
    assert not found(browser, "script, img, svg, b")
    assert "taken" not in browser.window.title
    assert not errors(browser), "nothing was even tried"


def errors(browser: Browser) -> list[str]:
    return [each["message"] for each in browser.window.get_log("browser") if "favicon" not in each["message"]]


@pytest.fixture
async def open_server() -> AsyncIterator[tuple[str, list[str]]]:
    """One that lets in everybody, on this machine: its port, and the tools that ran."""
    ran: list[str] = []
    server: FastMCP = FastMCP("open")

    @server.tool
    def change() -> str:
        ran.append("change")
        return "changed"

    async with serving(server.http_app()) as running:
        yield f"127.0.0.1:{running.port}", ran


CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "change", "arguments": {}}}


@pytest.mark.parametrize(("site", "refusal"), [("localhost", "Unsupported media type"), (REBOUND, "Origin")])
async def test_a_form_of_another_site(
    site: str, refusal: str, open_server: tuple[str, list[str]], browser: Browser
) -> None:
    """A form needs no permission to send text, and text can be made to look like JSON."""
    place, ran = open_server
    name, value = json.dumps({**CALL, "more": "="}).split("=")
    html = (
        f'<!doctype html><title>Prizes</title><form method="post" enctype="text/plain" action="http://{place}/mcp">'
        f"<input name='{name}' value='{value}'></form><script>document.forms[0].submit()</script>"
    )

    def sent() -> str:
        browser.leave(lambda: browser.window.get(f"http://{site}:{other.port}/"))
        WebDriverWait(browser.window, 20, 0.02).until(lambda window: place in window.current_url)
        return browser.text

    async with serving(page_of(html)) as other:
        assert refusal in await in_thread(sent)
    assert ran == []


FETCH = """
const [body, done] = arguments;
const headers = {
  "content-type": "application/json", accept: "application/json, text/event-stream",
  "mcp-protocol-version": "2025-11-25",
};
fetch("/mcp", {method: "POST", headers, body}).then((answer) => done(answer.status), (error) => done(String(error)));
"""


@pytest.mark.parametrize(("name", "status"), [("127.0.0.1", 200), (REBOUND, 403)])
async def test_a_name_that_leads_here(
    name: str, status: int, open_server: tuple[str, list[str]], browser: Browser
) -> None:
    """DNS rebinding: to the browser the server is the page's own, so it asks nobody before it sends JSON."""
    place, ran = open_server
    initialize = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "page", "version": "1"},
        },
    }

    def asked() -> Any:
        browser.visit(f"http://{name}:{place.partition(':')[2]}/mcp")
        return browser.window.execute_async_script(FETCH, json.dumps(initialize))

    assert await in_thread(asked) == status
    assert ran == []


# Other users


async def test_a_page_in_another_browser(host: Host, program: Listening, browser: Browser, stranger: Browser) -> None:
    """Whoever opened the page first answers it: a link to it, sent to somebody else, asks nothing there."""
    await in_thread(browser.visit, await login_url(host, program))
    text = await in_thread(stranger.visit, browser.window.current_url)
    assert not found(stranger, "form")
    assert "another browser" in text
    await in_thread(browser.log_in, browser.window.current_url)
    assert browser.pages[-1] == "Answer received"
    assert [each["state"] for each in program.answers] == ["a state"]


@pytest.mark.parametrize("host", ["proxied"], indirect=True)
async def test_the_way_to_the_provider_in_another_browser(
    host: Host, program: Listening, stranger: Browser, provider: Provider
) -> None:
    """An attacker allows their own client, and has a user log in at the provider: no code reaches the client."""
    async with httpx2.AsyncClient(follow_redirects=True) as http:
        page = await http.get(await login_url(host, program))
        form = dict(re.findall(r'name="(\w+)" value="([^"]+)"', page.text)) | {"answer": "allow"}
        onward = await http.post(page.url.copy_with(query=None), data=form, headers={"origin": host.origin})
    upstream = onward.headers["refresh"].partition("url=")[2]
    assert upstream.startswith(provider.issuer)
    await in_thread(stranger.log_in, upstream)
    assert "another browser" in stranger.pages[-1]
    assert program.answers == []


# The user


async def test_pages_are_for_everybody(host: Host, program: Listening, browser: Browser) -> None:
    await in_thread(browser.visit, await login_url(host, program))
    window = browser.window
    assert found(browser, "html")[0].get_attribute("lang") == "en"
    assert window.title
    assert len(found(browser, "h1")) == len(found(browser, "main")) == 1
    fields = found(browser, "input:not([type=hidden])")
    assert all(field.accessible_name for field in fields)
    buttons = [button.accessible_name for button in found(browser, "button")]
    assert len(buttons) == len(set(buttons)) == 2
    assert all(buttons)
    assert not errors(browser)


@pytest.mark.parametrize("host", ["embedded"], indirect=True)
async def test_a_login_with_the_keyboard(host: Host, program: Listening, browser: Browser) -> None:
    """The first field has the focus; Enter in the last one says yes. A wrong password is said, and not shown."""
    url = await login_url(host, program)

    def typed(name: str, password: str) -> str:
        active = browser.window.switch_to.active_element
        active.send_keys(name, Keys.TAB)
        browser.leave(lambda: browser.window.switch_to.active_element.send_keys(password, Keys.ENTER))
        return browser.text

    await in_thread(browser.visit, url)
    text = await in_thread(typed, "ann", "a wrong one")
    (alert,) = found(browser, "[role=alert]")
    assert alert.text in text
    assert "a wrong one" not in browser.window.page_source
    assert await in_thread(typed, "ann", PASSWORD) == "Answer received"
    (answer,) = program.answers
    assert set(answer) == {"code", "state", "iss"}


async def test_a_user_who_says_no(host: Host, program: Listening, browser: Browser) -> None:
    browser.decision = "deny"
    await in_thread(browser.log_in, await login_url(host, program))
    (answer,) = program.answers
    assert (answer["error"], answer["iss"]) == ("access_denied", host.origin)
    assert "code" not in answer
    assert not errors(browser), "no policy of the page stood in the way"


async def test_back_and_once_more(host: Host, program: Listening, browser: Browser) -> None:
    """The answer counts once: who goes back finds a page that says so."""
    url = await login_url(host, program)

    def twice() -> str:
        browser.visit(url)
        page = browser.window.current_url
        browser.log_in(page)
        assert not [each for each in errors(browser) if "Policy" in each], "no policy of the page stood in the way"
        return browser.visit(page)

    assert "over" in await in_thread(twice)
    assert len(program.answers) == 1
    assert parse_qs(urlsplit(url).query)["state"] == [program.answers[0]["state"]]
