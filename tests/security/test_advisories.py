"""The advisories of other MCP servers, clients and the libraries below them: one test for each, on every route it
concerns. `docs/security.md` says what each was."""

from __future__ import annotations

import ast
import asyncio
import base64
import gc
import hmac
import importlib.metadata
import json
import re
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx2
import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from headrace import FastMCP
from headrace.client.auth.documents import LoginError, checked_url
from headrace.exceptions import FetchError
from headrace.server.auth import AccessToken, StaticTokenVerifier
from headrace.server.auth.jwt import JWTVerifier
from headrace.server.auth.oauth.cimd import ClientDocuments
from headrace.server.auth.oauth.contract import RegistrationError
from headrace.server.auth.oauth.grants import Grant
from headrace.server.auth.oauth.logins import Logins
from headrace.server.auth.oauth.redirects import check_patterns, check_redirect_uri
from headrace.server.auth.oauth.upstream import UpstreamTokens
from headrace.state.memory import MemoryEventStore
from headrace.state.memory_records import MemoryRecordStore
from headrace.transports.http.fetch import fetch
from headrace.transports.memory import memory_pair

from ..conftest import ROOT
from ..http.servers import run, serve
from ..http.wire import body_of, call, initialize, modern, open_session, raw, send, stream
from .houses import BASE, FORM, ROUTES, House, Route, ask, content, house

SRC = ROOT / "src/headrace"


@pytest.fixture(scope="module")
def every() -> Iterator[House]:
    with house() as made:
        yield made


async def test_the_house_stands(every: House) -> None:
    """Each route is there, or a test of it would hold nothing."""
    for route in ROUTES:
        if route.path != "/sse":  # its answer has no end
            answer = await ask(every.port(route), route, body=b"x")
            assert (answer.status == 404) is (route.path == "/nothing"), (route, answer)


GARBAGE = (
    b"",
    b"\x00",
    b"{",
    b"null",
    b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":null}',
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":[]}}',
    b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":{}}}',
    b'{"id":"\\u001f\x80"}',
    b"[" * 50_000,  # in one piece: uvicorn resets the connection of who is refused and still sends
    b"=&=&%zz&a",
    b"grant_type=authorization_code&client_id=known&code=\xff",
)


@pytest.mark.parametrize("route", [route for route in ROUTES if route.method == "POST"], ids=str)
async def test_cve_2025_53366_a_malformed_request_harms_nobody(
    route: Route, every: House, http: httpx2.AsyncClient
) -> None:
    session = await open_session(http, every.site.url)
    for body in GARBAGE:
        answer = await ask(every.port(route), route, body=body)
        assert 200 <= answer.status < 500, (body, answer)
    reply = await send(http, every.site.url, call("add", {"a": 1, "b": 2}), session)
    assert reply.content == "3"
    await send(http, every.site.url, headers=session, method="DELETE")


async def test_cve_2025_53366_in_memory() -> None:
    """No line of nonsense ends what reads the lines: the same loop serves stdio."""
    async with memory_pair(FastMCP("lines")) as (tell, hear):
        for body in GARBAGE[1:9]:
            await tell(body)
        await tell(content(initialize()))
        async with asyncio.timeout(5):
            while json.loads(await hear()).get("id") != 1:
                pass


def _whole(house: House, route: Route, body: bytes, fields: dict[str, Any]) -> bytes:
    lines = {"Host": f"127.0.0.1:{house.port(route)}", "Accept": "application/json, text/event-stream", **fields}
    if route.method == "POST":
        lines |= {"Content-Type": route.type, "Content-Length": len(body)}
    head = [f"{route.method} {route.path} HTTP/1.1", *(f"{key}: {value}" for key, value in lines.items()), "", ""]
    return "\r\n".join(head).encode() + body


ABORTED = {
    "modern": (ROUTES[0], *modern(call("notes", {"count": 3}), log="info")),
    "handshake": (ROUTES[0], {}, initialize()),
    "session stream": (ROUTES[1], {"mcp-session-id": "?"}, None),
    "messages": (ROUTES[6], {}, initialize()),
    "sse": (ROUTES[5], {}, None),
    "token": (ROUTES[12], {}, "grant_type=refresh_token&client_id=known&refresh_token=x"),
    "register": (ROUTES[13], {}, {"redirect_uris": ["https://app.example/"]}),
}


@pytest.mark.parametrize("name", ABORTED)
async def test_cve_2025_53365_abort_at_every_byte(name: str, every: House, http: httpx2.AsyncClient) -> None:
    """The client leaves after each byte of its request, hard: nothing is left of it, and others are served."""
    route, headers, message = ABORTED[name]
    site, fields = every.site, {key: value for key, value in headers.items() if value is not None}
    session = await open_session(http, site.url)
    if "mcp-session-id" in fields:
        fields |= session
    before = await site.residue()
    body = message.encode() if isinstance(message, str) else b"" if message is None else content(message)
    request = _whole(every, route, body, fields)
    for cut in range(1, len(request) + 1):
        reader, writer = await asyncio.open_connection("127.0.0.1", every.port(route))
        writer.write(request[:cut])
        if cut % 3 == 0:
            writer.transport.abort()  # a reset, where the others end in good order
        if cut == len(request):
            await reader.read(1)  # it is being answered by now
        writer.close()
    await site.until(seconds=20, calls=0, tasks=before["tasks"], busy=0)
    assert (await send(http, site.url, call("add", {"a": 1, "b": 2}), session)).content == "3"
    await send(http, site.url, headers=session, method="DELETE")


FOREIGN = {
    "host": ({"Host": "evil.example"}, 421),
    "host with our port": ({"Host": "evil.example:{port}"}, 421),
    "origin": ({"Origin": "https://evil.example"}, 403),
    "null": ({"Origin": "null"}, 403),
    "rebound": ({"Host": "evil.example:{port}", "Origin": "http://evil.example:{port}"}, 403),
}


@pytest.mark.parametrize("name", FOREIGN)
async def test_cve_2025_66416_the_default_configuration_stands_against_dns_rebinding(name: str) -> None:
    headers, status = FOREIGN[name]
    with run(FastMCP("default").http_app()) as running:
        fields = {key: value.format(port=running.port) for key, value in headers.items()}
        assert (await ask(running.port, ROUTES[0], fields, content(initialize()))).status == status
        assert (await ask(running.port, ROUTES[0], {}, content(initialize()))).status == 200


@pytest.mark.parametrize("route", ROUTES, ids=str)
async def test_cve_2026_34742_and_on_every_route(route: Route, every: House) -> None:
    for headers, status in FOREIGN.values():
        port = every.port(route)
        fields = {key: value.format(port=port) for key, value in headers.items()}
        answer = await ask(port, route, fields, b"x")
        assert answer.status == status, (route, fields, answer)


async def test_cve_2026_33252_no_other_site_can_post(every: House) -> None:
    """What a page can send without asking first: text/plain, a form, no type at all; with and without Origin."""
    for route in ROUTES:
        if route.method != "POST" or route.type == FORM:
            continue
        for media in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None):
            fields = {"Content-Type": media}
            if route.app == "oauth" and route.path == "/mcp":
                continue  # without a token it is 401 first
            answer = await ask(every.port(route), route, fields, content(initialize()))
            assert answer.status in (400, 415), (route, media, answer)
            assert (answer.status == 415) is (route.path != "/register")
            answer = await ask(every.port(route), route, {**fields, "Origin": "https://evil.example"}, b"{}")
            assert answer.status == 403


async def test_cve_2026_27896_keys_have_one_case(every: House) -> None:
    _, body = modern(call("add", {"a": 1, "b": 2}))
    headers, _ = modern(call("add"))
    fields = {name: value for name, value in headers.items() if value is not None}
    text = content(body)
    evil = content(modern(call("fail"))[1]["params"])
    for before in (b'"Method":"tools/list",', b'"METHOD":1,', b'"Params":%b,' % evil, b'"Id":9,'):
        answer = await ask(every.site.port, ROUTES[0], fields, text.replace(b"{", b"{" + before, 1))
        assert answer.json["result"]["structuredContent"] == {"result": 3}
        assert answer.json["id"] == 1
    for name in (b"method", b"params", b"id", b"jsonrpc"):
        other = text.replace(b'"%b"' % name, b'"%b"' % name.title(), 1)
        answer = await ask(every.site.port, ROUTES[0], fields, other)
        assert answer.status in (400, 202), answer  # without an id it is a notification
    for twice in (b'"method":"tools/list",', b'"meth\\u006fd":"tools/list",', b'"id":2,', b'"params":{},'):
        answer = await ask(every.site.port, ROUTES[0], fields, text.replace(b"{", b"{" + twice, 1))
        assert (answer.status, answer.json["error"]["code"]) == (400, -32600)


ALICE, BOB = {"authorization": "Bearer alice"}, {"authorization": "Bearer bob"}
TOKENS = {name: {"client_id": name, "scopes": []} for name in ("alice", "bob")}


async def test_cve_2026_33946_nobody_takes_the_stream_of_another(http: httpx2.AsyncClient) -> None:
    """Another principal gets 404. The same one may have several, each message goes to one of them, and those that are
    open stay open (http-behaviour, 4)."""
    with serve(server={"auth": StaticTokenVerifier(TOKENS)}) as site:
        session = {**await open_session(http, site.url, headers=ALICE)}
        async with stream(http, site.url, headers={**session, **ALICE}) as first:
            for stranger in (BOB, {}):
                stolen = await send(http, site.url, headers={**session, **stranger}, method="GET")
                assert stolen.status == (404 if stranger else 401)
            async with stream(http, site.url, headers={**session, **ALICE}) as second:
                await send(http, site.url, call("change", {"kind": "tool"}), {**session, **ALICE})
                assert (await second.message())["method"] == "notifications/tools/list_changed"
                assert first.silent


async def test_cve_2026_25536_answers_reach_who_asked(http: httpx2.AsyncClient, every: House) -> None:
    """16 clients with the same request ids, over one app and in sessions: 1,600 calls. `make soak` has 64 and 10,000
    (tests/soak/test_isolation.py)."""
    url = every.site.url
    sessions = [await open_session(http, url) for _ in range(16)]

    async def client(number: int) -> None:
        for count in range(50):
            for era in ("modern", "handshake"):
                body = call("add", {"a": number * 1000, "b": count}, id=count)
                headers: Any = sessions[number]
                if era == "modern":
                    headers, body = modern(body)
                reply = await send(http, url, body, headers)
                assert (reply.answer["id"], reply.content) == (count, str(number * 1000 + count))

    await asyncio.gather(*map(client, range(16)))
    for session in sessions:
        await send(http, url, headers=session, method="DELETE")


async def test_cve_2026_0621_a_long_uri_delays_nobody(http: httpx2.AsyncClient, every: House) -> None:
    """The steps of a match are counted in tests/robustness/test_fuzz.py; here 64 KiB of it go through the server."""
    for uri in ("memo://" + "a/" * 32_768 + "text", "memo://" + "%" * 65_536, "memo://" + "a" * 8000 + "/tex"):
        headers, body = modern(body_of("resources/read", {"uri": uri}))
        reply = await send(http, every.site.url, body, headers)
        assert reply.error["code"] in (-32602, -32002), reply


QUERY = {
    "response_type": "code",
    "client_id": "known",
    "redirect_uri": "https://app.example/callback",
    "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    "code_challenge_method": "S256",
    "state": "s",
    "resource": f"{BASE}/mcp",
}


async def _authorize(house: House, **changed: str | None) -> Any:
    query = {name: value for name, value in {**QUERY, **changed}.items() if value is not None}
    return await ask(house.ports["oauth"], Route("oauth", "GET", f"/authorize?{urlencode(query)}"))


async def test_cve_2025_69196_a_token_is_for_the_resource_that_was_named(every: House) -> None:
    """Another resource, the base URL among them, is no target; the canonical one leads to the login."""
    for resource in (BASE, f"{BASE}/", f"{BASE}/other", "https://other.example/mcp", "mcp"):
        answer = await _authorize(every, resource=resource)
        assert "error=invalid_target" in answer.headers["location"], (resource, answer)
    assert (await _authorize(every)).headers["location"].startswith(f"{BASE}/login?")


async def test_cve_2026_27124_a_login_belongs_to_the_browser_that_began_it(every: House) -> None:
    """A link that was captured in one browser (and of Entra's: GHSA-c2jp-c369-7pvx) leads nowhere in another one."""
    where = (await _authorize(every)).headers["location"].removeprefix(BASE)
    port = every.ports["oauth"]
    page = await ask(port, Route("oauth", "GET", where))
    assert page.status == 200
    cookie = page.headers["set-cookie"].partition(";")[0]
    fields = dict(re.findall(r'name="(\w+)"[^>]*value="([^"]*)"', page.body.decode()))
    form = urlencode({**fields, "answer": "allow", "username": "ann", "password": "a good password"}).encode()
    post = Route("oauth", "POST", where, FORM)
    for other in ({}, {"Cookie": cookie[:-2] + "xx"}, {"Cookie": cookie.replace("=", "=x", 1)}):
        answer = await ask(port, post, other, form)
        assert "location" not in answer.headers, (other, answer)
    opened = await ask(port, Route("oauth", "GET", where))
    assert (opened.status, opened.headers.get("set-cookie")) == (400, None)


async def test_cve_2026_27124_and_in_front_of_an_identity_provider(every: House) -> None:
    """The attacker allows in their own browser, and sends the provider's URL, or the page, to a victim with a cookie
    of their own: neither goes on. More: tests/auth/test_oauth_proxy.py."""
    port = every.ports["proxy"]
    known = {"redirect_uris": [QUERY["redirect_uri"]], "client_name": "A program", "token_endpoint_auth_method": "none"}
    client = (await ask(port, Route("proxy", "POST", "/register"), {}, content(known))).json["client_id"]

    async def asked() -> tuple[str, dict[str, str], dict[str, str | None]]:
        """A consent page, what its form sends, and the cookie that came with it."""
        begun = await ask(port, Route("proxy", "GET", f"/authorize?{urlencode({**QUERY, 'client_id': client})}"))
        where = begun.headers["location"].removeprefix(BASE)
        page = await ask(port, Route("proxy", "GET", where))
        assert b"A program" in page.body
        fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.body.decode()))
        return where, fields, {"Cookie": page.headers["set-cookie"].partition(";")[0]}

    page, fields, attacker = await asked()
    _, _, victim = await asked()
    allow = urlencode({**fields, "answer": "allow"}).encode()
    answer = Route("proxy", "POST", "/consent", FORM)
    for other in (victim, {}):
        assert (await ask(port, Route("proxy", "GET", page), other)).status == 400
        refused = await ask(port, answer, other, allow)
        assert (refused.status, "refresh" in refused.headers) == (403, False)
    captured = (await ask(port, answer, attacker, allow)).headers["refresh"]
    back = Route("proxy", "GET", f"/auth/callback?code=x&state={dict(parse_qsl(captured))['state']}")
    for other in (victim, {}):
        refused = await ask(port, back, other)
        assert (refused.status, "location" in refused.headers) == (400, False)
    # Whose it is goes on, as far as to a provider that is not there.
    assert "error=temporarily_unavailable" in (await ask(port, back, attacker)).headers["location"]


# What FastMCP mended without an advisory


def test_fastmcp_3502_no_reference_is_fetched() -> None:
    mcp = FastMCP("refs")
    for reference in (
        "http://127.0.0.1:1/schema.json",
        "https://evil.example/s",
        "file:///etc/passwd",
        "//evil.example/",
    ):
        schema = {"type": "object", "properties": {"a": {"$ref": reference}}}
        with pytest.raises(ValueError, match="schema"):
            mcp.tool(name="t", input_schema=schema)(lambda a: a)


async def test_fastmcp_3098_the_list_of_hosts_holds_for_client_documents() -> None:
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return []

    documents = ClientDocuments(hosts=["good.example"], resolve=resolve)
    for client_id in (
        "https://evil.example/client.json",
        "https://good.example.evil.example/c",
        "https://good.example@evil.example/c",
        "https://evil.example/good.example",
        "https://evil.example#good.example/c",
        "https://sub.good.example/c",
        "https://good.example:x/c",
    ):
        with pytest.raises(RegistrationError) as caught:
            await documents.get(client_id)
        assert caught.value.error == "invalid_client"
    assert asked == []
    with pytest.raises(RegistrationError):
        await documents.get("https://good.example/c")
    assert asked == ["good.example"]


def test_fastmcp_3963_dot_segments_pass_no_pattern() -> None:
    patterns = ["https://app.example/cb/*"]
    check_patterns(patterns)
    check_redirect_uri("https://app.example/cb/x", patterns)
    for uri in ("cb/../evil", "cb/./x", "cb/%2e%2e/evil", "cb/.%2E/evil", "cb/..", "cb\\..\\evil", "cb/x/../../evil"):
        with pytest.raises(RegistrationError):
            check_redirect_uri(f"https://app.example/{uri}", patterns)


TRANSITION = (
    *("64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:7f00:1::", "::ffff:127.0.0.1", "::127.0.0.1", "2001:0:a:b::1"),
    *("fec0::1", "::1", "fe80::1", "fc00::1", "ff02::1", "2001:db8::1", "100::1", "5f00::1", "::ffff:a9fe:a9fe"),
)


@pytest.mark.parametrize("address", TRANSITION)
async def test_fastmcp_4400_no_transition_address_leads_inside(address: str) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return [address]

    for url in (f"https://[{address}]/", "https://name.example/"):
        with pytest.raises(FetchError, match="is no public address"):
            await fetch(url, max_bytes=1000, timeout=5, resolve=resolve)


async def test_fastmcp_4419_no_unsafe_scheme_is_registered(every: House) -> None:
    for uri in (
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///x",
        "vbscript:x",
        "blob:x",
        "about:blank",
        "JaVaScript:x",
    ):
        document = {"redirect_uris": [uri], "token_endpoint_auth_method": "none", "client_name": "x"}
        answer = await ask(every.ports["oauth"], Route("oauth", "POST", "/register"), {}, content(document))
        assert (answer.status, answer.json["error"]) == (400, "invalid_redirect_uri"), (uri, answer)


async def test_fastmcp_4402_no_event_of_another_session_is_replayed(http: httpx2.AsyncClient) -> None:
    with serve(event_store=MemoryEventStore()) as site:
        mine, other = await open_session(http, site.url), await open_session(http, site.url)
        reply = await send(http, site.url, call("notes"), mine)
        ids = [event.id for event in reply.events if event.id]
        assert len(ids) > 2
        for id in ids:
            stolen = await send(http, site.url, headers={**other, "last-event-id": id or ""}, method="GET")
            assert stolen.status == 400
            assert "note" not in stolen.text
        async with stream(http, site.url, headers={**mine, "last-event-id": ids[0] or ""}) as resumed:
            assert "note 0" in json.dumps(await resumed.message())


async def test_fastmcp_3968_no_lock_of_a_refresh_is_kept() -> None:
    class Provider:
        async def upstream(self) -> Any:
            return self

        async def refresh(self, tokens: UpstreamTokens, more: dict[str, str]) -> UpstreamTokens:
            return tokens

        def token_parameters(self, scopes: list[str], resource: str) -> dict[str, str]:
            return {}

        async def verify_login(self, tokens: UpstreamTokens, nonce: str | None) -> AccessToken:
            return AccessToken(token=tokens.access_token, client_id="c", scopes=[], claims={"sub": "ann"})

        async def verify_upstream(self, tokens: UpstreamTokens) -> AccessToken:
            return await self.verify_login(tokens, None)

    def locks() -> int:
        return sum(type(each) is asyncio.Lock for each in gc.get_objects())

    proxy: Any = Provider()
    logins, before = Logins(proxy, MemoryRecordStore(), seconds=60, early=0), locks()
    for _ in range(20):
        key = await logins.add(UpstreamTokens(access_token="a", refresh_token="r"))
        grant = Grant(client_id="c", subject="ann", scopes=[], resource="r", expires_at=0, extra=key)
        await logins.current(grant, renew=True)
    assert locks() <= before


# Forged tokens


KEY = generate_private_key(65537, 2048)
PUBLIC = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _forged(header: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    claims = {"iss": "https://as.example", "aud": "https://mcp.example", "sub": "x", "exp": int(time.time()) + 600}
    parts = [base64.urlsafe_b64encode(content(part)).rstrip(b"=") for part in (header, claims)]
    signed = b".".join(parts)
    return b".".join([signed, base64.urlsafe_b64encode(sign(signed)).rstrip(b"=")]).decode()


def _rs256(key: RSAPrivateKey) -> Callable[[bytes], bytes]:
    return lambda signed: key.sign(signed, PKCS1v15(), SHA256())


FORGED: dict[str, tuple[dict[str, Any], Callable[[bytes], bytes]]] = {
    "none": ({"alg": "none"}, lambda signed: b""),
    "None": ({"alg": "None"}, lambda signed: b""),
    "the public key as a secret": (
        {"alg": "HS256"},
        lambda signed: hmac.digest(PUBLIC.encode(), signed, "sha256"),
    ),
    "a key of its own": ({"alg": "RS256"}, _rs256(generate_private_key(65537, 2048))),
    "nothing": ({"alg": "RS256"}, lambda signed: b""),
}


@pytest.mark.parametrize("name", FORGED)
async def test_cve_2026_27962_and_fastmcp_3430_forged_tokens(name: str) -> None:
    """150 more: tests/auth/test_jwt.py."""
    verifier = JWTVerifier(public_key=PUBLIC, issuer="https://as.example", audience="https://mcp.example")
    header, sign = FORGED[name]
    for more in ({}, {"jwk": {"kty": "oct", "k": "AA"}}, {"crit": ["x"], "x": 1}, {"jku": "https://evil.example/"}):
        assert await verifier.verify_token(_forged({**header, **more}, sign)) is None
    with pytest.raises(ValueError, match="shared secret"):
        JWTVerifier(jwks_uri="https://as.example/keys", algorithm="HS256")


async def test_cve_2025_59420_an_unknown_critical_header_is_refused() -> None:
    verifier = JWTVerifier(public_key=PUBLIC, issuer="https://as.example", audience="https://mcp.example")
    for header, good in (
        ({}, True),
        ({"crit": ["x"], "x": 1}, False),
        ({"crit": []}, False),
        ({"b64": False, "crit": ["b64"]}, False),
    ):
        token = _forged({"alg": "RS256", **header}, _rs256(KEY))
        assert (await verifier.verify_token(token) is not None) is good, header


# Code that runs what came from outside


@cache
def _modules() -> list[tuple[str, ast.Module]]:
    return [(str(path.relative_to(SRC)), ast.parse(path.read_text("utf-8"))) for path in sorted(SRC.rglob("*.py"))]


def _imports(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module.partition(".")[0])
    return found


@cache
def _called(tree: ast.Module) -> set[str]:
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def test_cve_2025_69872_nothing_is_unpickled() -> None:
    """Nor evaluated, nor loaded as YAML with objects."""
    for path, tree in _modules():
        assert not _imports(tree) & {"pickle", "marshal", "shelve", "dill", "cloudpickle", "diskcache"}, path
        assert not _called(tree) & {"eval", "exec", "yaml.load", "yaml.unsafe_load", "os.system", "os.popen"}, path


def test_cve_2026_30623_no_part_that_faces_the_network_starts_programs() -> None:
    for path, tree in _modules():
        if path.startswith(
            ("protocol/", "transports/", "components/", "tools/", "resources/", "prompts/", "server/", "state/")
        ):
            assert not _imports(tree) & {"subprocess", "pty"}, path
            assert not any("subprocess" in name or name.startswith("os.exec") for name in _called(tree)), path


def test_cve_2025_6514_only_http_urls_reach_a_browser_and_none_a_shell() -> None:
    for url in (
        "file:///etc/passwd",
        "javascript:alert(1)",
        "a:$(calc)?response_type=code",
        "http://evil.example/",
        "-x",
        "",
    ):
        with pytest.raises(LoginError):
            checked_url(url, "The authorization endpoint")
    for path, tree in _modules():
        shells = [
            keyword
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            for keyword in node.keywords
            if keyword.arg == "shell" and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
        ]
        assert not shells, path


# Bodies


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("route", [route for route in ROUTES if route.method == "POST"], ids=str)
async def test_cve_2026_39313_bodies_are_bounded(route: Route, chunked: bool, every: House) -> None:
    """A body without end, in chunks, and one that says how long it is."""
    reader, writer = await asyncio.open_connection("127.0.0.1", every.port(route))
    head = f"{route.method} {route.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json, text/event-stream\r\n"
    head += f"Content-Type: {route.type}\r\n"
    head += "Transfer-Encoding: chunked\r\n\r\n" if chunked else f"Content-Length: {10**9}\r\n\r\n"
    writer.write(head.encode())
    piece = b"x" * 65_536
    answering = asyncio.create_task(reader.readline())
    sent = 0
    try:
        async with asyncio.timeout(20):
            while not answering.done():
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                await writer.drain()
                sent += len(piece)
                await asyncio.sleep(0)
    except ConnectionError:
        pass
    line = await asyncio.wait_for(answering, 5)
    writer.transport.abort()
    expected = 401 if str(route) == "oauth POST /mcp" else 400 if route.app in ("oauth", "proxy") else 413
    assert int(line.split()[1]) == expected
    assert sent < 100 * 2**20


async def test_cve_2026_48710_host_changes_no_document(every: House) -> None:
    """Behind a proxy any name comes in: what a server says of itself is what it was told, and never what Host says."""
    auth = StaticTokenVerifier(TOKENS)
    assert auth.base_url is None
    for route in (ROUTES[8], ROUTES[9]):
        plain = await ask(every.port(route), route)
        assert plain.status == 200
        spoofed = await ask(every.port(route), route, {"Host": "localhost:1", "X-Forwarded-Host": "evil.example"})
        assert spoofed.json == plain.json
        assert BASE in plain.body.decode()
        assert "evil" not in spoofed.body.decode()


async def test_cve_2026_54283_forms_are_bounded_in_fields(every: House) -> None:
    form = "&".join(f"f{number}=x" for number in range(5_000)).encode()
    for route in ROUTES:
        if route.type == FORM:
            answer = await ask(every.port(route), route, {}, form)
            assert 400 <= answer.status < 500, (route, answer)
    # It is their number: this one is good without them.
    good = urlencode(QUERY).encode()
    for sent, status in ((good, 302), (good + b"&" + form, 400)):
        answer = await ask(every.ports["oauth"], Route("oauth", "POST", "/authorize", FORM), {}, sent)
        assert answer.status == status, answer


async def test_cve_2026_40347_nobody_parses_multipart(every: House) -> None:
    body = b"--x\r\nContent-Disposition: form-data; name=grant_type; filename=../../x\r\n\r\nx\r\n--x--\r\n"
    for route in ROUTES:
        if route.method == "POST":
            answer = await ask(every.port(route), route, {"Content-Type": "multipart/form-data; boundary=x"}, body)
            assert 400 <= answer.status < 500, (route, answer)
    for path, tree in _modules():
        assert not _imports(tree) & {"multipart", "python_multipart"}, path


def test_cve_2026_22815_2026_27962_and_2025_59420_what_is_not_used() -> None:
    """aiohttp, authlib, PyJWT and python-multipart are no dependencies, of no extra that is ours."""
    required = {re.split(r"[^A-Za-z0-9-]", each)[0].lower() for each in importlib.metadata.requires("headrace") or ()}
    assert not required & {"aiohttp", "authlib", "pyjwt", "python-multipart", "diskcache", "python-jose"}


def test_floors_of_the_libraries_below() -> None:
    """CVE-2026-48710, CVE-2026-54283: starlette 1.3.1; CVE-2025-43859: h11 0.16, where uvicorn brings it."""
    text = (ROOT / "pyproject.toml").read_text()
    assert '"starlette>=1.3.1"' in text
    assert tuple(map(int, importlib.metadata.version("h11").split(".")[:2])) >= (0, 16)


async def test_cve_2025_43859_chunks_end_where_they_say() -> None:
    """On the connections of `run`: 300 more such requests are in tests/robustness/test_raw_http.py."""
    from headrace.server.uvicorn_protocol import HardenedProtocol

    app = FastMCP("chunks").http_app()
    bad = (
        b"1\r\n{XX0\r\n\r\n",
        b"1\n{\n0\n\n",
        b"-1\r\n{\r\n0\r\n\r\n",
        b"0x1\r\n{\r\n0\r\n\r\n",
        b"1 \r\n{\r\n0\r\n\r\n",
        b"1\r\n{\r0\r\n\r\n",
    )
    config = uvicorn.Config(app, http=HardenedProtocol, ws="none", log_level="error", port=0)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(10):
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        head = b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"
        head += b"Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\r\n"
        for chunks in bad:
            answer = await raw(port, head + chunks + b"GET /smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert answer.status == 400
            assert answer.body.count(b"HTTP/1.1") == 0
    finally:
        server.should_exit = True
        await task
