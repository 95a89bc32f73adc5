"""The pages of the authorization server: nothing from outside becomes HTML, and everybody can use them."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest
from starlette.requests import Request
from starlette.responses import Response

from headrace.server.auth.oauth.browser import Binding
from headrace.server.auth.oauth.grants import Transaction
from headrace.server.auth.oauth.pages import consent_page, error_page, onward_page, sign_in_page

KEY = "0123456789abcdef0123456789abcdef"
VOID = {"meta", "input"}
MARKUP = [
    "<script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</strong><img src=x onerror=alert(1)>",
    '"><form action="https://evil.example"><button>',
    "' autofocus onfocus='alert(1)",
    "</style><style>*{background:url(https://evil.example)}",
    "<!--",
    "]]><svg/onload=alert(1)>",
    "&lt;b&gt;&#x3c;b&#x3e;",
    "javascript:alert(1)",
    "a\x00b\x1b[31m",
    "{{7*7}}${7*7}",
]


class Reader(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, page: Response) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(bytes(page.body).decode())
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data

    def shape(self) -> list[str]:
        return [tag for tag, _ in self.elements]


def asking(text: str, **changes: str) -> Transaction:
    return Transaction(
        client_name=changes.get("client_name", text),
        client_id=changes.get("client_id", text),
        redirect_uri=changes.get("redirect_uri", f"https://app.example/{text}"),
        scopes=[text, text],
        resource=text,
        code_challenge=text,
    )


def pages(text: str) -> dict[str, Response]:
    hidden = {"transaction": text, "token": text}
    return {
        "consent": consent_page(asking(text), text, action="https://h/consent", hidden=hidden, goes_on_at=text),
        "sign in": sign_in_page(asking(text), text, action="https://h/login", hidden=hidden, problem=text),
        "error": error_page(text, text),
    }


@pytest.mark.parametrize("text", MARKUP)
@pytest.mark.parametrize("name", ["consent", "sign in", "error"])
def test_what_comes_from_outside_stays_text(name: str, text: str) -> None:
    found, plain = Reader(pages(text)[name]), Reader(pages("words")[name])
    assert found.shape() == plain.shape()
    assert {attribute for _, members in found.elements for attribute in members if attribute.startswith("on")} == set()
    assert [m.get("action") for t, m in found.elements if t == "form"] == [
        m.get("action") for t, m in plain.elements if t == "form"
    ]
    assert " ".join("".join(c if c.isprintable() else " " for c in text).split()) in found.text
    assert "\x00" not in found.text


@pytest.mark.parametrize("name", ["consent", "sign in", "error"])
def test_a_page_runs_loads_and_is_framed_by_nothing(name: str) -> None:
    page = pages("words")[name]
    policy: dict[str, str] = {}
    for part in page.headers["content-security-policy"].split(";"):
        name, _, policy[name] = part.strip().partition(" ")
    style = re.search(r"<style>(.*?)</style>", bytes(page.body).decode(), re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    expected = {
        "x-frame-options": "DENY",
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",
        "cache-control": "no-store",
        "content-type": "text/html; charset=utf-8",
    }
    assert {header: page.headers[header] for header in expected} == expected
    assert not {"script", "img", "iframe", "link", "object"} & set(Reader(page).shape())


@pytest.mark.parametrize("name", ["consent", "sign in", "error"])
def test_a_page_can_be_used_without_seeing_it(name: str) -> None:
    reader = Reader(pages("words")[name])
    elements = reader.elements
    assert ("html", {"lang": "en"}) in elements
    assert reader.shape().count("title") == reader.shape().count("h1") == reader.shape().count("main") == 1
    labels = {members["for"] for tag, members in elements if tag == "label"}
    inputs = {m["id"] for tag, m in elements if tag == "input" and m.get("type") != "hidden"}
    assert labels == inputs
    if name != "consent":
        assert any(members.get("role") == "alert" for _, members in elements)
    if name != "error":
        assert [m["value"] for tag, m in elements if tag == "button"] == ["allow", "deny"]


def test_a_consent_page_says_who_and_where() -> None:
    asked = asking(
        "read",
        client_name="Notes",
        client_id="https://notes.example/client.json",
        redirect_uri="https://cb.example:8443/x",
    )
    text = Reader(consent_page(asked, "Mail", action="/", hidden={}, goes_on_at="idp.example")).text
    for part in ("Notes", "notes.example", "https://cb.example:8443", "read, read", "Mail", "idp.example"):
        assert part in text
    assert "/x" not in text


@pytest.mark.parametrize(
    ("redirect_uri", "warns"),
    [
        ("http://localhost:1234/callback", True),
        ("http://127.0.0.1/callback", True),
        ("http://[::1]:9/callback", True),
        ("https://app.example/callback", False),
        ("https://localhost.evil.example/callback", False),
        ("com.example.app:/callback", False),
    ],
)
def test_it_warns_where_any_program_could_be_the_client(redirect_uri: str, warns: bool) -> None:
    page = consent_page(asking("x", redirect_uri=redirect_uri), "x", action="/", hidden={}, goes_on_at="h")
    assert ("any program" in Reader(page).text) is warns


@pytest.mark.parametrize("hidden", ["\u202e", "\u2066", "\u200b", "\u00ad", "\ufeff", "\n", "\u2028", "\u0007"])
def test_a_name_can_not_turn_or_hide_what_stands_beside_it(hidden: str) -> None:
    name = f"Safe{hidden}App"
    text = Reader(consent_page(asking("x", client_name=name), "x", action="/", hidden={}, goes_on_at="h")).text
    assert "Safe App asks for access" in text


def test_a_name_is_not_longer_than_a_page() -> None:
    text = Reader(consent_page(asking("x", client_name="n" * 5000), "x", action="/", hidden={}, goes_on_at="h")).text
    assert "n" * 300 + "…" in text
    assert "n" * 301 not in text


def test_the_answer_to_a_form_leads_on() -> None:
    url = "https://app.example/cb?code=a&state=%22%3E"
    page = onward_page(url)
    assert page.headers["refresh"] == f"0; url={url}"
    assert [members["href"] for tag, members in Reader(page).elements if tag == "a"] == [url]
    for bad in (
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "//h",
        "/x",
        "https://ü",
    ):
        with pytest.raises(ValueError, match="no URL"):
            onward_page(bad)


def request_with(response: Response | None, cookie: str = "") -> Request:
    value = cookie or ("" if response is None else response.headers["set-cookie"].partition(";")[0])
    return Request({"type": "http", "headers": [(b"cookie", value.encode("latin-1"))]})


def test_a_cookie_is_of_this_host_and_out_of_reach() -> None:
    for url, prefix, secure in (("https://h.example/x", "__Host-", True), ("http://localhost:8000", "", False)):
        binding, response = Binding(KEY, url), Response()
        binding.remember(response, "an-id")
        name, _, attributes = response.headers["set-cookie"].partition("=")
        assert name.startswith(f"{prefix}headrace-")
        said = {each.strip().lower() for each in attributes.split(";")[1:]}
        assert said == {"httponly", "path=/", "samesite=lax", *(["secure"] if secure else [])}
        assert binding.browser(request_with(response)) == "an-id"


def test_apps_on_one_host_have_cookies_of_their_own() -> None:
    assert Binding(KEY, "http://localhost:1").cookie != Binding(KEY, "http://localhost:2").cookie


def test_only_what_was_signed_here_counts() -> None:
    binding, response = Binding(KEY, "https://h"), Response()
    binding.remember(response, "an-id")
    good = response.headers["set-cookie"].partition(";")[0]
    other = Response()
    Binding("x" * 32, "https://h").remember(other, "an-id")
    bad = ["", f"{binding.cookie}=", f"{binding.cookie}=an-id", f"{binding.cookie}=an-id.", good[:-1], f"{good}0"]
    bad += [good.replace("an-id", "an-ix"), good.replace("an-id", "é"), other.headers["set-cookie"].partition(";")[0]]
    assert [binding.browser(request_with(None, each or "a=b")) for each in bad] == [None] * len(bad)
    assert binding.browser(request_with(None, good)) == "an-id"


def test_a_form_token_is_for_one_browser_and_one_question() -> None:
    binding, response = Binding(KEY, "https://h"), Response()
    binding.remember(response, "an-id")
    request, token = request_with(response), binding.form_token("an-id", "transaction", "client")
    assert binding.answered_by(request, token, "transaction", "client") == "an-id"
    wrong = [
        binding.form_token("another", "transaction", "client"),
        binding.form_token("an-id", "transaction", "other"),
        binding.form_token("an-id", "transactionclient", ""),
        binding.form_token("an-id", "client", "transaction"),
        token[:-1],
        "",
        "é",
    ]
    assert [binding.answered_by(request, each, "transaction", "client") for each in wrong] == [None] * len(wrong)
    assert binding.answered_by(request_with(None, "a=b"), token, "transaction", "client") is None
