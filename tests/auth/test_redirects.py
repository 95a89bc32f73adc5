"""Where a code may go. The tricks are those that led other servers astray: none may pass."""

from __future__ import annotations

import json
import random
import subprocess
from urllib.parse import urlsplit

import pytest
from starlette.responses import RedirectResponse

from headrace import FastMCP
from headrace.server.auth import StaticTokenVerifier
from headrace.server.auth.oauth.contract import RegistrationError
from headrace.server.auth.oauth.redirects import check_patterns, check_redirect_uri, is_loopback, matches, parse_uri
from headrace.server.auth.oauth_proxy import OAuthProxy
from headrace.testing import asgi_server

GOOD = [
    "https://claude.ai/api/mcp/auth_callback",
    "https://app.example.com",
    "https://app.example.com:8443/cb?tenant=1&x=%2F",
    "https://xn--bcher-kva.example/cb",
    "https://10.1.2.3/cb",
    "https://[2001:db8::1]:8443/cb",
    "https://app.example.com/a..b/.hidden/...",
    "http://localhost:6274/oauth/callback",
    "http://localhost/",
    "http://127.0.0.1/cb",
    "http://127.9.8.7:33418/",
    "http://[::1]:1455/auth/callback",
    "cursor://anysphere.cursor-retrieval/oauth/user-1/callback",
    "vscode://vscode.github-authentication/did-authenticate",
    "com.example.app:/oauth2redirect",
    "com.example.app://callback",
    "com.example.app:/callback?x=1",
]
ALLOWED = [
    ("http://localhost:3000/any/path", "http://localhost:*"),
    ("http://localhost:3000/callback", "http://localhost"),  # RFC 8252, 7.3: any port
    ("http://127.0.0.1:3000/callback", "http://127.0.0.1/callback"),
    ("https://a.example.com/cb", "https://*.example.com/cb"),
    ("https://a.b.example.com/cb", "https://*.example.com/cb"),
    ("https://pr-12.example.com/cb", "https://pr-*.example.com/*"),
    ("https://example.com:443/cb", "https://example.com/cb"),
    ("https://example.com:8443/cb", "https://example.com:*/cb"),
    ("https://example.com/auth/a/b?x=1", "https://example.com/auth/*"),
    ("https://EXAMPLE.com/cb", "https://example.com"),
    ("https://example.com", "https://example.com/"),
    ("myapp://callback", "myapp://callback"),
    ("myapp://any/thing", "myapp://*"),
    ("cursor://any/thing", "cursor://*/*"),
    ("http://[::1]:99/cb", "http://[::1]:*/cb"),
]

REFUSED = [
    # Schemes that run something, read something, or take no answer
    *("javascript:alert(1)", "javascript://app.example.com/%0aalert(1)", "JavaScript:alert(1)", "data:text/html,x"),
    *("vbscript:x", "file:///etc/passwd", "about:blank", "blob:https://app.example.com/x", "ws://localhost/"),
    *("view-source:https://app.example.com/", "wss://app.example.com/", "urn:ietf:wg:oauth:2.0:oob", "myapp://cb"),
    *("mailto:x@example.com", "intent://cb#Intent;end", "javascript.app:alert(1)", "javascript+x.app:alert(1)"),
    *("http://app.example.com/cb", "http://10.0.0.1/cb", "http://localhost.example.com/cb", "http://app.localhost/cb"),
    # Not one URI to every parser
    *(
        "",
        "/cb",
        "//app.example.com/cb",
        "https:/app.example.com/cb",
        "https:app.example.com",
        "https:///cb",
        "https://",
    ),
    *("https://app.example.com\\@evil.example/cb", "https:\\\\evil.example/cb", "https://evil.example%5C.example.com/"),
    *("https://app.example.com/cb#frag", "https://app.example.com/cb#", "https://app.example.com/ cb"),
    *(" https://app.example.com/cb", "https://app.example.com/cb\r\nSet-Cookie: a=b", "https://app.example.com/\tcb"),
    *("https://app.example.com/%0d%0aSet-Cookie:%20a=b", "https://app.example.com/%00", "https://app.example.com/%zz"),
    *(
        "https://app.example.com/\u202ecb",
        "https://\u0430pp.example.com/cb",
        "https://app.example.com/<b>",
        'https://x/"',
    ),
    # Hosts that are others
    *("https://me@app.example.com/cb", "https://app.example.com:x@evil.example/", "http://localhost@evil.example/cb"),
    *("https://2130706433/cb", "https://0x7f.1/cb", "http://127.1/cb", "http://0177.0.0.1/cb", "http://[::1%25lo]/cb"),
    *(
        "http://[::ffff:127.0.0.1]/cb",
        "https://[::ffff:7f00:1]/cb",
        "https://app.example.com./cb",
        "https://*.example.com/cb",
        "https://a..b/cb",
    ),
    *("https://app.example.com:0/cb", "https://app.example.com:65536/cb", "https://app.example.com:/cb"),
    *("https://app.example.com:0443/cb", "https://app_x.example.com/cb", "https://app%2eexample.com/cb"),
    # Paths that are others
    *("https://app.example.com/cb/../steal", "https://app.example.com/cb/%2e%2e/steal", "https://app.example.com/."),
    *("https://app.example.com/cb/.%2E/steal", "https://app.example.com/cb/%252e%252e/steal", "com.app:/a/../b"),
    *("https://app.example.com/cb/..;/steal", "https://app.example.com/cb%2f..%2fsteal", "com.app://me@evil/"),
    "https://app.example.com/" + "a" * 2048,
]
UNMATCHED = [
    ("https://app.example.com/cb", "https://app.example.com/cb/"),
    ("https://app.example.com/cb", "https://app.example.com/CB"),
    ("https://app.example.com/cb", "https://app.example.com/%63b"),
    ("https://app.example.com/cb", "https://app.example.com/cb?next=https://evil.example"),
    ("https://app.example.com/cb?x=1", "https://app.example.com/cb"),
    ("https://app.example.com/cb", "https://app.example.com/cb/../steal"),
    ("https://app.example.com/cb", "https://app.example.com//cb"),
    ("https://app.example.com/cb", "https://app.example.com:8443/cb"),
    ("https://app.example.com/cb", "https://app.example.com.evil.example/cb"),
    ("https://app.example.com/cb", "https://app.example.com@evil.example/cb"),
    ("https://app.example.com/cb", "http://app.example.com/cb"),
    ("https://localhost/cb", "https://localhost:8443/cb"),
    ("http://localhost/cb", "http://127.0.0.1/cb"),
    ("http://localhost/cb", "http://localhost:3000/other"),
    ("http://localhost/cb", "http://localhost:3000/cb?x=1"),
    ("http://localhost/cb", "http://localhost:3000@evil.example/cb"),
    ("http://localhost/cb", "http://localhost.evil.example:3000/cb"),
    ("http://localhost/cb", "http://localhost:99999/cb"),
    ("http://localhost/cb", "https://localhost:3000/cb"),
    ("http://127.0.0.1/cb", "http://127.0.0.2:3000/cb"),
    ("http://127.0.0.1/cb", "http://127.1:3000/cb"),
    ("com.example.app:/cb", "com.example.app://cb"),
]
NOT_ALLOWED = [
    ("https://evil.example/.example.com", "https://*.example.com"),
    ("https://evil.example?.example.com", "https://*.example.com"),
    ("https://example.com@evil.example/", "https://*"),
    ("https://example.com", "https://*.example.com"),
    ("https://evilexample.com/", "https://*.example.com"),
    ("https://example.com.evil.example/", "https://*.example.com"),
    ("https://a.b.example.com/cb", "https://a*.example.com/cb"),
    ("https://example.com/auth/../steal", "https://example.com/auth/*"),
    ("https://example.com/auth/%2e%2e/steal", "https://example.com/auth/*"),
    ("https://example.com/other", "https://example.com/auth"),
    ("https://example.com:8443/", "https://example.com"),
    ("http://localhost:3000@evil.example/", "http://localhost:*"),
    ("http://localhost.evil.example/", "http://localhost:*"),
    ("https://localhost:3000/", "http://localhost:*"),
    ("http://example.com/", "http://example.com"),  # http to others stays closed, whatever a pattern says
    ("other://callback", "myapp://*"),
]


def test_there_are_so_many_tricks() -> None:
    every = [*REFUSED, *UNMATCHED, *NOT_ALLOWED]
    assert len(every) == len(set(every)) == 111


@pytest.mark.parametrize("uri", GOOD)
def test_what_may_be_registered(uri: str) -> None:
    check_redirect_uri(uri)
    assert matches([uri], uri)
    assert RedirectResponse(uri).headers["location"] == uri  # the browser is sent to what was compared


@pytest.mark.parametrize("uri", REFUSED)
def test_what_may_not_be_registered(uri: str) -> None:
    with pytest.raises(RegistrationError, match="redirect URI can't be used: ") as caught:
        check_redirect_uri(uri)
    assert caught.value.error == "invalid_redirect_uri"
    assert str(caught.value).isprintable()


def test_a_fragment_is_named() -> None:
    with pytest.raises(RegistrationError, match="no fragment"):
        check_redirect_uri("https://app.example.com/cb#x")


@pytest.mark.parametrize(("registered", "asked"), UNMATCHED)
def test_what_does_not_match(registered: str, asked: str) -> None:
    check_redirect_uri(registered)
    assert not matches([registered], asked)


@pytest.mark.parametrize(
    ("registered", "asked"),
    [
        ("http://localhost/cb", "http://localhost:51234/cb"),
        ("http://localhost:3000/cb", "http://localhost/cb"),
        ("http://127.0.0.1:3000/cb?a=1", "http://127.0.0.1:51234/cb?a=1"),
        ("http://[::1]/cb", "http://[::1]:51234/cb"),
    ],
)
def test_the_port_of_this_machine_is_free(registered: str, asked: str) -> None:
    assert matches(["https://app.example.com/cb", registered], asked)


def test_nothing_matches_without_a_registered_uri() -> None:
    assert not matches([], "http://localhost/cb")
    assert not matches(["not a uri"], "http://localhost/cb")


@pytest.mark.parametrize(("uri", "pattern"), ALLOWED)
def test_what_a_pattern_allows(uri: str, pattern: str) -> None:
    check_redirect_uri(uri, ["https://other.example", pattern])


@pytest.mark.parametrize(("uri", "pattern"), NOT_ALLOWED)
def test_what_a_pattern_does_not_allow(uri: str, pattern: str) -> None:
    with pytest.raises(RegistrationError):
        check_redirect_uri(uri, [pattern])


async def test_patterns_hold_for_registration_and_for_each_login() -> None:
    proxy = OAuthProxy(
        upstream_authorization_endpoint="https://idp.example/authorize",
        upstream_token_endpoint="https://idp.example/token",
        upstream_client_id="a",
        upstream_client_secret="b",
        token_verifier=StaticTokenVerifier({}),
        base_url="http://localhost:8000",
        allowed_client_redirect_uris=["http://localhost:*"],
    )
    async with asgi_server(FastMCP("x", auth=proxy)) as server, server.http_client(base_url=proxy.base_url) as http:
        refused = await http.post("/register", json={"redirect_uris": ["https://app.example.com/cb"]})
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_redirect_uri")
        client = (await http.post("/register", json={"redirect_uris": ["http://localhost:1234/cb"]})).json()
        query = {
            "client_id": client["client_id"],
            "redirect_uri": "http://localhost:1234/cb",
            "response_type": "code",
            "code_challenge": "a" * 43,
            "code_challenge_method": "S256",
        }
        assert (await http.get("/authorize", params=query)).status_code == 302
        proxy.redirect_patterns = ["https://*.example.com"]  # as after a restart with other options
        for asked in (query, {name: value for name, value in query.items() if name != "redirect_uri"}):
            answer = await http.get("/authorize", params=asked)
            assert (answer.status_code, "location" in answer.headers) == (400, False)
            assert "does not allow" in answer.text


def test_a_bad_pattern_is_told_at_once() -> None:
    with pytest.raises(ValueError, match="no pattern of redirect URIs"):
        OAuthProxy(
            upstream_authorization_endpoint="https://idp.example/authorize",
            upstream_token_endpoint="https://idp.example/token",
            upstream_client_id="a",
            token_verifier=StaticTokenVerifier({}),
            base_url="http://localhost:8000",
            allowed_client_redirect_uris=["*"],
        )


def test_no_pattern_allows_nothing() -> None:
    with pytest.raises(RegistrationError, match="does not allow"):
        check_redirect_uri("https://app.example.com/cb", [])


@pytest.mark.parametrize(
    "pattern",
    ["*", "", "https://", "javascript:*", "javascript://*", "data:*", "https://a@b", "https://x/#", "//x/cb", "h*://x"],
)
def test_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(ValueError, match="no pattern of redirect URIs: write"):
        check_patterns(["http://localhost:*", pattern])


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("http://localhost:1/", True),
        ("http://127.0.0.1/", True),
        ("http://[::1]/", True),
        ("https://localhost/", False),
        ("https://app.example.com/", False),
        ("com.example.app:/cb", False),
    ],
)
def test_what_is_this_machine(uri: str, expected: bool) -> None:
    assert is_loopback(uri) is expected


PIECES = [
    *"@:/\\#?%[].;&=+,!$'()*~_-^|`{}<>\"\t\r\n 0x9aZ",
    "%2e",
    "%2F",
    "..",
    "//",
    "[::1]",
    ":443",
    "127.0.0.1",
    "\u3002",
]
AS_A_BROWSER = """
const uris = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(uris.map((text) => {
  const url = new URL(text);
  return [url.protocol, url.hostname, url.port, url.pathname, url.search, url.username + url.password + url.hash];
})));
"""


def mutated(count: int) -> set[str]:
    """URIs that were made of all those above and may be registered."""
    chance = random.Random(1)
    seeds = [*GOOD, *REFUSED, *(uri for pair in (*UNMATCHED, *NOT_ALLOWED) for uri in pair)]
    accepted: set[str] = set()
    for _ in range(count):
        uri = chance.choice(seeds)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(uri) + 1)
            uri = uri[:at] + chance.choice([chance.choice(PIECES), chance.choice(seeds)[8:]]) + uri[at:]
        try:
            check_redirect_uri(uri)
        except RegistrationError:
            continue
        if "xn--" not in uri:  # a browser goes nowhere if what follows is nothing
            accepted.add(uri)
    return accepted


def test_every_parser_reads_the_same_out_of_what_may_be_registered(node: str) -> None:
    uris = [uri for uri in mutated(20_000) if parse_uri(uri).scheme in ("https", "http")]
    assert len(uris) > 500
    done = subprocess.run(
        [node, "-e", AS_A_BROWSER], input=json.dumps(uris), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    for uri, browser in zip(uris, json.loads(done.stdout), strict=True):
        ours, python = parse_uri(uri), urlsplit(uri)
        host = (ours.host or "").lower()
        default = {"https": 443, "http": 80}[ours.scheme]
        protocol, hostname, port, path, query, rest = browser
        assert (protocol, hostname, int(port or default)) == (f"{ours.scheme}:", host, ours.port or default), uri
        assert (path, query.replace("%27", "'"), rest) == (ours.path or "/", ours.query.rstrip("?"), ""), uri
        assert (python.hostname, python.port, python.username, python.path) == (
            host.strip("[]"),
            ours.port,
            None,
            ours.path,
        )
