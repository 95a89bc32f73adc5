"""The numbered checklist of the specification and of this project, one small test for each item: what is asked of it
here on every route or in a few lines, the tests of each part ask at length. `docs/security.md` is the list.

Items about parts that are not there are left out: 16 (nothing fetches icons), 20 and 21 of local installs.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from headrace import Context, FastMCP
from headrace.client import Client
from headrace.client.auth import OAuth
from headrace.client.auth.documents import LoginError, checked_url
from headrace.client.oauth_callback import HeadlessCallback
from headrace.exceptions import ClientError, FetchError, McpError, StoreError
from headrace.server.auth import RemoteAuthProvider, StaticTokenVerifier
from headrace.server.auth.oauth.cimd import ClientDocuments
from headrace.server.auth.oauth.contract import OAuthClientInformationFull, RegistrationError
from headrace.server.auth.oauth.embedded import InMemoryOAuthProvider
from headrace.server.http1 import Limits as ConnectionLimits
from headrace.server.sessions import SessionId, SessionProvider, get_session
from headrace.server.uvicorn_protocol import HardenedProtocol
from headrace.settings import Settings
from headrace.state.memory import MemoryEventStore
from headrace.state.memory_records import MemoryRecordStore
from headrace.transports.http.fetch import fetch
from headrace.transports.http.pace import Limits

from ..client.auth_server import AuthorizationServer, protected
from ..http.probe import Log, make_server
from ..http.servers import Site, eventually, run, serve, serve_bare
from ..http.wire import MODERN, body_of, call, initialize, modern, open_session, raw, send, stream
from ..robustness.wire import serving
from .houses import BASE, FORM, ROUTES, House, Route, ask, content, house

META = "io.modelcontextprotocol/"


@pytest.fixture(scope="module")
def every() -> Iterator[House]:
    with house() as made:
        yield made


@pytest.fixture(scope="module")
def site(every: House) -> Site:
    return every.site


# Transport


@pytest.mark.parametrize("route", ROUTES, ids=str)
async def test_item_1_origin_is_checked_on_every_connection(route: Route, every: House) -> None:
    answer = await ask(every.port(route), route, {"Origin": "https://evil.example"}, b"x")
    assert (answer.status, answer.json["error"]["code"]) == (403, -32600)
    assert Settings().host == "127.0.0.1"


STATUSES: dict[str, tuple[dict[str, Any], dict[str, str | None], dict[str, Any], int, int | None]] = {
    # body, headers changed, _meta changed, status, code
    "a notification": (body_of("notifications/x", id=...), {}, {}, 202, None),
    "an unknown method": (body_of("no/such"), {}, {}, 404, -32601),
    "an unknown version": (
        body_of("tools/list"),
        {"mcp-protocol-version": "2099-01-01"},
        {"protocolVersion": "2099-01-01"},
        400,
        -32022,
    ),
    "another version in the header": (body_of("tools/list"), {"mcp-protocol-version": "2025-06-18"}, {}, 400, -32020),
    "no version in the header": (body_of("tools/list"), {"mcp-protocol-version": None}, {}, 400, -32020),
    "another method in the header": (body_of("tools/list"), {"mcp-method": "tools/call"}, {}, 400, -32020),
    "no method in the header": (body_of("tools/list"), {"mcp-method": None}, {}, 400, -32020),
    "another name in the header": (call("add"), {"mcp-name": "sub"}, {}, 400, -32020),
    "no capabilities": (body_of("tools/list"), {}, {"clientCapabilities": None}, 400, -32602),
    "a capability that is needed": (call("ask"), {}, {}, 400, -32021),
}


@pytest.mark.parametrize("name", STATUSES)
async def test_item_2_each_failure_has_its_status(name: str, http: httpx2.AsyncClient, site: Site) -> None:
    message, changed, meta, status, code = STATUSES[name]
    headers, body = modern(message)
    found = body["params"]["_meta"]
    found.update({META + key: value for key, value in meta.items() if value is not None})
    for key in (key for key, value in meta.items() if value is None):
        del found[META + key]
    reply = await send(http, site.url, body, {**headers, **changed})
    assert reply.status == status, reply
    if code is None:
        assert reply.text == ""
    else:
        assert reply.error["code"] == code
        assert code != -32022 or MODERN in reply.error["data"]["supported"]


async def test_item_3_headers_are_decoded_and_integers_are_numbers(http: httpx2.AsyncClient, site: Site) -> None:
    """All of it: tests/http/test_header_encodings.py."""
    headers, body = modern(call("mirrored", {"region": "Hello, 世界", "count": 42}))
    good = {
        "mcp-param-region": "=?base64?SGVsbG8sIOS4lueVjA==?=",
        "mcp-param-count": "42.0",
        "mcp-name": "=?base64?bWlycm9yZWQ=?=",
    }
    assert (await send(http, site.url, body, {**headers, **good})).status == 200
    for name, value in (("region", "=?base64?SGVsbG8?="), ("region", "Hello"), ("count", "43"), ("count", "4 2")):
        reply = await send(http, site.url, body, {**headers, **good, f"mcp-param-{name}": value})
        assert (reply.status, reply.error["code"]) == (400, -32020)


async def test_item_4_a_closed_response_cancels_the_call(http: httpx2.AsyncClient, site: Site) -> None:
    headers, body = modern(call("wait", {"name": "item 4", "note": True}), log="info")
    async with stream(http, site.url, body, headers, method="POST") as events:
        await events.message()
    await eventually(lambda: "item 4" in site.log.cancelled)
    assert "item 4" not in site.log.finished


async def test_item_5_a_stream_carries_no_requests(http: httpx2.AsyncClient, site: Site) -> None:
    """A question is the answer, and the notes before it belong to the request."""
    headers, body = modern(call("ask"), capabilities={"elicitation": {}}, log="info")
    reply = await send(http, site.url, body, headers)
    assert reply.result["resultType"] == "input_required"
    headers, body = modern(call("progress"), progress="p")
    reply = await send(http, site.url, body, headers)
    notes = reply.messages[:-1]
    assert [each["params"]["progressToken"] for each in notes] == ["p"] * len(notes)
    assert not any("id" in each for each in notes)


async def test_item_6_proxies_are_told_not_to_buffer() -> None:
    log = Log()
    with serve_bare(make_server(log), log, limits=Limits(watch_after=0.01, sse_after=0.02, keep_alive=0.05)) as quick:
        async with httpx2.AsyncClient(trust_env=False) as http:
            headers, body = modern(body_of("subscriptions/listen", {"notifications": {}}))
            async with stream(http, quick.url, body, headers, method="POST") as events:
                assert events.headers["x-accel-buffering"] == "no"
                await eventually(lambda: events.comments)


async def test_item_7_the_modern_revision_has_no_sessions(http: httpx2.AsyncClient, site: Site) -> None:
    """Where only it is served GET and DELETE are 405; ids of sessions and events mean nothing to it anywhere."""
    headers, body = modern(call("add", {"a": 1, "b": 2}))
    strange = {"mcp-session-id": "no such session", "last-event-id": "no such event"}
    assert (await send(http, site.url, body, {**headers, **strange})).content == "3"
    with serve(stateless_http=True) as stateless:
        for method in ("GET", "DELETE"):
            assert (
                await send(http, stateless.url, headers={"mcp-protocol-version": MODERN}, method=method)
            ).status == 405


@asynccontextmanager
async def recorded(mcp: FastMCP, **client: Any) -> AsyncIterator[tuple[Client, list[dict[str, str]]]]:
    """A client of the server over HTTP, and the heads of its requests."""
    heads: list[dict[str, str]] = []

    class Record:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                heads.append({name.decode(): value.decode() for name, value in scope["headers"]})
            await self.app(scope, receive, send)

    with run(mcp.http_app(middleware=[Middleware(Record)])) as running:
        async with Client(f"http://127.0.0.1:{running.port}/mcp", **client) as made:
            yield made, heads


async def test_item_8_the_client_sends_what_it_must() -> None:
    async with recorded(make_server(Log())) as (client, heads):
        await client.list_tools()
        await client.call_tool("mirrored", {"region": " padded ", "count": 7, "free": "x"})
    head = heads[-1]
    assert set(head["accept"].replace(" ", "").split(",")) == {"application/json", "text/event-stream"}
    assert (head["mcp-protocol-version"], head["mcp-method"], head["mcp-name"]) == (MODERN, "tools/call", "mirrored")
    assert head["mcp-param-region"] == "=?base64?IHBhZGRlZCA=?="
    assert head["mcp-param-count"] == "7"
    assert "mcp-param-free" not in head


async def test_item_9_a_subscription_begins_with_what_it_grants(http: httpx2.AsyncClient, site: Site) -> None:
    wanted = {"notifications": {"promptsListChanged": True}}
    headers, body = modern(body_of("subscriptions/listen", wanted, id="s"))
    async with stream(http, site.url, body, headers, method="POST") as events:
        first = await events.message()
        assert first["method"] == "notifications/subscriptions/acknowledged"
        change, content_of = modern(call("change", {"kind": "tool"}))
        await send(http, site.url, content_of, change)
        change, content_of = modern(call("change", {"kind": "prompt"}))
        await send(http, site.url, content_of, change)
        note = await events.message()
        assert note["method"] == "notifications/prompts/list_changed"
        assert {each["params"]["_meta"][META + "subscriptionId"] for each in (first, note)} == {"s"}


TOKENS = {
    "alice": {"client_id": "alice", "scopes": ["read", "write"]},
    "bob": {"client_id": "bob", "scopes": ["read", "write"]},
    "reader": {"client_id": "reader", "scopes": ["read"]},
    "late": {"client_id": "alice", "scopes": ["read", "write"], "expires_at": 1},
}


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def guarded() -> Iterator[Site]:
    verifier = StaticTokenVerifier(TOKENS, required_scopes=["read", "write"])
    auth = RemoteAuthProvider(verifier, ["https://login.example.com"], "https://mcp.example.com")
    with serve(server={"auth": auth}, event_store=MemoryEventStore()) as made:
        yield made


async def test_item_10_a_session_is_random_and_proves_nothing(http: httpx2.AsyncClient, guarded: Site) -> None:
    sessions = [await open_session(http, guarded.url, headers=bearer("alice")) for _ in range(20)]
    ids = {session["mcp-session-id"] for session in sessions}
    assert len(ids) == 20
    assert all(re.fullmatch(r"[0-9a-f]{32}", id) for id in ids)
    mine, other = sessions[:2]
    assert (await send(http, guarded.url, call("add"), mine)).status == 401
    assert (await send(http, guarded.url, call("add"), {**mine, **bearer("bob")})).status == 404
    noted = await send(http, guarded.url, call("notes"), {**mine, **bearer("alice")})
    ids_of_events = [event.id for event in noted.events if event.id]
    assert len(set(ids_of_events)) == len(ids_of_events)
    stolen = await send(
        http, guarded.url, headers={**other, **bearer("alice"), "last-event-id": ids_of_events[0] or ""}, method="GET"
    )
    assert stolen.status == 400
    for session in sessions:
        await send(http, guarded.url, headers={**session, **bearer("alice")}, method="DELETE")


# State and input


async def test_item_11_request_state_is_sealed_and_bound(http: httpx2.AsyncClient, guarded: Site) -> None:
    headers, body = modern(call("ask"), capabilities={"elicitation": {}})
    asked = (await send(http, guarded.url, body, {**headers, **bearer("alice")})).result
    state = asked["requestState"]
    body["params"]["inputResponses"] = {"who": {"action": "accept", "content": {"name": "Ann"}}}
    tampered = state[:-2] + ("AA" if state[-2:] != "AA" else "BB")
    for token, sent in (("bob", state), ("alice", tampered), ("alice", ""), ("alice", "x" * 1000)):
        body["params"]["requestState"] = sent
        reply = await send(http, guarded.url, body, {**headers, **bearer(token)})
        assert reply.error["code"] == -32602, (sent, reply)
    body["params"]["requestState"] = state
    assert (await send(http, guarded.url, body, {**headers, **bearer("alice")})).content == "hello Ann"


async def test_item_12_a_handle_is_random_and_opens_nothing_for_others(http: httpx2.AsyncClient) -> None:
    mcp = FastMCP("handles", auth=StaticTokenVerifier(TOKENS))
    mcp.add_provider(SessionProvider())

    @mcp.tool
    async def keep(value: str, session_id: SessionId) -> str:
        session = await get_session(session_id)
        before = await session.get("value", default="nothing")
        await session.set("value", value)
        return before

    with run(mcp.http_app()) as running:
        url = f"http://127.0.0.1:{running.port}/mcp"

        async def ask_for(token: str, tool: str, **arguments: str) -> dict[str, Any]:
            headers, body = modern(call(tool, arguments))
            return (await send(http, url, body, {**headers, **bearer(token)})).result

        handles = [(await ask_for("alice", "create_session"))["content"][0]["text"] for _ in range(2)]
        assert handles[0] != handles[1]
        assert min(map(len, handles)) >= 22
        kept = await ask_for("alice", "keep", value="a", session_id=handles[0])
        assert kept["content"][0]["text"] == "nothing"
        for token, handle in (("bob", handles[0]), ("alice", "made-up"), ("alice", handles[0] + "x")):
            assert (await ask_for(token, "keep", value="b", session_id=handle))["isError"]
        assert (await ask_for("alice", "keep", value="c", session_id=handles[0]))["content"][0]["text"] == "a"


async def test_item_13_input_is_validated_and_calls_are_limited(http: httpx2.AsyncClient) -> None:
    mcp = FastMCP("limited")

    @mcp.tool(rate_limit="1/h:2")
    def double(number: int) -> int:
        return number * 2

    with run(mcp.http_app()) as running:
        url = f"http://127.0.0.1:{running.port}/mcp"
        headers, body = modern(call("double", {"number": "many"}))
        assert (await send(http, url, body, headers)).result["isError"]
        headers, body = modern(call("double", {"number": 2}))
        assert (await send(http, url, body, headers)).result["structuredContent"] == {"result": 4}
        refused = await send(http, url, body, headers)
        assert refused.status == 429
        assert int(refused.headers["retry-after"]) > 1000


async def test_item_14_schemas_are_2020_12_and_lead_nowhere() -> None:
    mcp = FastMCP("schemas")
    schema = {"type": "object", "properties": {"pair": {"prefixItems": [{"type": "integer"}], "items": False}}}
    mcp.tool(name="pair", input_schema=schema)(lambda pair: str(pair))
    async with Client(mcp) as client:
        assert not (await client.call_tool("pair", {"pair": [1]})).is_error
        for wrong in ([1, 2], ["x"]):
            assert (await client.call_tool("pair", {"pair": wrong}, raise_on_error=False)).is_error
    with pytest.raises(ValueError, match="schema"):
        mcp.tool(name="far", input_schema={"type": "object", "$ref": "https://evil.example/s"})(lambda: 1)


async def test_item_15_a_client_waits_no_longer_than_it_was_told() -> None:
    """Progress does not make it wait for ever."""
    mcp = FastMCP("slow")

    @mcp.tool
    async def endless(ctx: Context) -> None:
        for count in range(10_000):
            await ctx.report_progress(count)
            await asyncio.sleep(0.01)

    async with Client(mcp) as client:
        with pytest.raises((ClientError, McpError)):
            await client.call_tool("endless", timeout=0.3)


# Tokens


async def test_item_17_who_comes_without_a_good_token_is_refused(http: httpx2.AsyncClient, guarded: Site) -> None:
    headers, body = modern(call("add", {"a": 1, "b": 2}))
    metadata = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp"
    for token, status in ((None, 401), ("nobody", 401), ("late", 401), ("reader", 403), ("alice", 200)):
        sent = {} if token is None else bearer(token)
        reply = await send(http, guarded.url, body, {**headers, **sent})
        assert reply.status == status
        if status != 200:
            assert f'resource_metadata="{metadata}"' in reply.headers["www-authenticate"]
    for query in ("access_token=alice", "token=alice"):
        assert (await send(http, f"{guarded.url}?{query}", body, headers)).status == 401
    document = await send(http, f"{guarded.origin}/.well-known/oauth-protected-resource/mcp", method="GET")
    assert document.json["resource"] == "https://mcp.example.com/mcp"
    assert document.json["authorization_servers"] == ["https://login.example.com"]


async def test_item_18_a_challenge_names_the_scopes_that_are_needed(http: httpx2.AsyncClient, guarded: Site) -> None:
    for sent in ({}, bearer("reader")):
        reply = await send(http, guarded.url, initialize(), sent)
        challenge = reply.headers["www-authenticate"]
        assert 'scope="read write"' in challenge
        assert "offline_access" not in challenge
    assert 'error="insufficient_scope"' in challenge


@asynccontextmanager
async def logging_in(methods: list[str], answers: Mapping[str, str | None]) -> AsyncIterator[Client]:
    """A client that has to log in at a server with these PKCE methods, which answers with these parameters."""
    login = AuthorizationServer()
    login.metadata["code_challenge_methods_supported"] = methods
    login.redirect |= answers
    async with protected(login) as url:
        yield Client(url, auth=OAuth(callback=HeadlessCallback()), timeout=20)


async def test_item_19_and_20_a_client_logs_in_only_where_that_is_safe() -> None:
    """PKCE, `iss`, `resource` and `state` of whole logins: tests/client/test_oauth.py."""
    for url in ("javascript:alert(1)", "file:///x", "http://login.example/", "https://u@login.example/", "ftp://x/"):
        with pytest.raises(LoginError):
            checked_url(url, "The authorization endpoint")
    checked_url("http://127.0.0.1:1/", "It")
    for methods, answers in (
        ([], {}),
        (["plain"], {}),
        (["S256"], {"iss": "https://evil.example"}),
        (["S256"], {"state": "x"}),
    ):
        async with logging_in(methods, answers) as client:
            with pytest.raises(LoginError):
                await client.__aenter__()
    for url in (
        "http://a.example/",
        "https://127.0.0.1/",
        "https://169.254.169.254/",
        "https://[::1]/",
        "https://0x7f.1/",
    ):
        with pytest.raises(FetchError, match=r"is no public address|Only https|no URL to fetch"):
            await fetch(url, max_bytes=1000, timeout=5)


# The authorization server


REDIRECT = "https://app.example/callback"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
ISSUER = "http://localhost:8000"


APP = OAuthClientInformationFull(
    client_id="app", token_endpoint_auth_method="none", redirect_uris=[REDIRECT], client_name="App"
)


@pytest.fixture(scope="module")
def login() -> Iterator[str]:
    """The origin of an authorization server that lets everybody in, with one public client."""
    auth = InMemoryOAuthProvider(ISSUER, clients=[APP])
    with run(make_server(Log(), auth=auth).http_app()) as running:
        yield f"http://127.0.0.1:{running.port}"


async def authorize(http: httpx2.AsyncClient, origin: str, **changed: str | None) -> httpx2.Response:
    query = {
        "response_type": "code",
        "client_id": "app",
        "redirect_uri": REDIRECT,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "state": "a state",
        **changed,
    }
    return await http.get(f"{origin}/authorize?{urlencode({k: v for k, v in query.items() if v is not None})}")


async def token(http: httpx2.AsyncClient, origin: str, **form: str) -> httpx2.Response:
    return await http.post(f"{origin}/token", data={"client_id": "app", **form})


def answered(response: httpx2.Response) -> dict[str, str]:
    location = response.headers["location"]
    assert location.startswith(f"{REDIRECT}?")
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


async def test_item_22_codes_and_tokens_are_good_once(http: httpx2.AsyncClient, login: str) -> None:
    for changed in (
        {"redirect_uri": f"{REDIRECT}/x"},
        {"redirect_uri": "https://evil.example/"},
        {"client_id": "nobody"},
    ):
        refused = await authorize(http, login, **changed)
        assert "location" not in refused.headers
    for changed in ({"code_challenge": None}, {"code_challenge_method": "plain"}, {"response_type": "token"}):
        told = answered(await authorize(http, login, **changed))
        assert told["error"]
        assert (told["iss"], told["state"]) == (ISSUER, "a state")
    told = answered(await authorize(http, login))
    assert told["iss"].rstrip("/") == ISSUER
    form = {"grant_type": "authorization_code", "redirect_uri": REDIRECT, "code": told["code"]}
    assert (await token(http, login, **form, code_verifier=VERIFIER[::-1])).status_code == 400
    told = answered(await authorize(http, login))
    form["code"] = told["code"]
    first = (await token(http, login, **form, code_verifier=VERIFIER)).json()
    assert first["expires_in"] <= 3600
    renewed = (await token(http, login, grant_type="refresh_token", refresh_token=first["refresh_token"])).json()
    assert renewed["refresh_token"] != first["refresh_token"]
    again = await token(http, login, grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert again.json()["error"] == "invalid_grant"
    ended = await token(http, login, grant_type="refresh_token", refresh_token=renewed["refresh_token"])
    assert ended.json()["error"] == "invalid_grant"  # whoever has the old one has stolen it
    document = (await http.get(f"{login}/.well-known/oauth-authorization-server")).json()
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["authorization_response_iss_parameter_supported"] is True


async def test_item_23_and_24_consent_is_of_one_browser_and_counts_once(every: House) -> None:
    """The page says who asks, for what, and where that leads; nobody frames it, and nothing in it runs."""
    query = {
        "response_type": "code",
        "client_id": "known",
        "redirect_uri": REDIRECT,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "state": "<script>alert(1)</script>",
    }
    port = every.ports["oauth"]
    begun = await ask(port, Route("oauth", "GET", f"/authorize?{urlencode(query)}"))
    where = begun.headers["location"].removeprefix(BASE)
    page = await ask(port, Route("oauth", "GET", where))
    text = page.body.decode()
    assert "Known" in text
    assert "app.example" in text
    assert "<script" not in text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["x-frame-options"].upper() == "DENY"
    assert "no-store" in page.headers["cache-control"]
    cookie = page.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    fields = dict(re.findall(r'name="(\w+)"[^>]*value="([^"]*)"', text))
    browser = {"Cookie": page.headers["set-cookie"].partition(";")[0]}
    form = {**fields, "answer": "allow", "username": "ann", "password": "a good password"}
    post = Route("oauth", "POST", "/login", FORM)

    async def answered_with(headers: dict[str, str | None], **changed: str) -> str:
        return (await ask(port, post, headers, urlencode({**form, **changed}).encode())).body.decode()

    for headers, changed in (
        (browser, {"csrf": "x"}),
        ({}, {}),
        (browser, {"transaction": "x"}),
        (browser, {"password": "x"}),
    ):
        assert "code=" not in await answered_with({**headers}, **changed)
    assert "code=" in await answered_with({**browser})
    assert "code=" not in await answered_with({**browser})  # it is over


async def test_item_25_a_client_document_says_its_own_address() -> None:
    """What it must say besides: tests/auth/test_cimd.py."""
    documents = ClientDocuments()
    for client_id in (
        "https://localhost/c",
        "https://127.0.0.1/c",
        "https://10.0.0.1/c.json",
        "https://[::1]/c",
        "https://a.example/",
    ):
        with pytest.raises(RegistrationError):
            await documents.get(client_id)


async def test_item_26_who_registers_is_bounded(every: House) -> None:
    for uris in (
        ["javascript:alert(1)"],
        ["data:,x"],
        ["http://a.example/"],
        ["https://a.example/#f"],
        ["https://a.example/"] * 51,
        [],
    ):
        uris = [f"{uri}{number}" if len(uris) > 1 else uri for number, uri in enumerate(uris)]
        document = {"redirect_uris": uris, "token_endpoint_auth_method": "none", "client_name": "x"}
        answer = await ask(every.ports["oauth"], ROUTES[13], {}, content(document))
        assert (answer.status, answer.json["error"]) == (400, "invalid_redirect_uri"), (uris[:1], answer)
    web = {"application_type": "web", "redirect_uris": ["http://localhost:1/cb"], "client_name": "x"}
    assert (await ask(every.ports["oauth"], ROUTES[13], {}, content(web))).status == 400


# Beyond the specification


def deep(levels: int) -> bytes:
    return b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":%b}}' % (b"[" * levels + b"]" * levels)


PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
BODIES: dict[str, tuple[bytes, dict[str, str | None], int, int | None]] = {
    "good": (PING, {}, 200, None),
    "a key twice": (PING[:-1] + b',"id":2}', {}, 400, -32600),
    "a param twice": (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"name":"a","name":"b"}}', {}, 400, -32600),
    "not finite": (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":NaN}}', {}, 400, -32700),
    "62 deep": (deep(62), {}, 200, None),
    "65 deep": (deep(63), {}, 400, -32700),
    "4 MiB": (PING + b" " * (4 * 2**20 - len(PING)), {}, 200, None),
    "more": (PING + b" " * (4 * 2**20 - len(PING) + 1), {}, 413, -32600),
    "text": (PING, {"Content-Type": "text/plain"}, 415, -32600),
    "no type": (PING, {"Content-Type": None}, 415, -32600),
    "another charset": (PING, {"Content-Type": "application/json; charset=utf-16"}, 415, -32600),
    "a batch": (b"[%b]" % PING, {}, 400, -32600),
}


@pytest.fixture(scope="module")
def stateless() -> Iterator[Site]:
    with serve(stateless_http=True) as made:
        yield made


@pytest.mark.parametrize("name", BODIES)
async def test_item_28_bodies(name: str, stateless: Site) -> None:
    body, changed, status, code = BODIES[name]
    answer = await ask(stateless.port, ROUTES[0], {"MCP-Protocol-Version": "2025-11-25", **changed}, body)
    assert answer.status == status, answer
    assert code is None or answer.json["error"]["code"] == code


async def test_item_28_a_batch_has_at_most_50_messages(http: httpx2.AsyncClient, site: Site) -> None:
    session = await open_session(http, site.url, "2025-03-26")
    for count, status in ((50, 200), (51, 400)):
        batch = [{"jsonrpc": "2.0", "id": number, "method": "ping"} for number in range(count)]
        reply = await send(http, site.url, batch, session)
        assert reply.status == status
    await send(http, site.url, headers=session, method="DELETE")


HEADS = {
    "good": ([b"Host: 127.0.0.1"], 200),
    "100 headers": ([b"Host: 127.0.0.1", *(b"X-%d: y" % number for number in range(97))], 200),
    "101 headers": ([b"Host: 127.0.0.1", *(b"X-%d: y" % number for number in range(100))], 431),
    "17 KiB": ([b"Host: 127.0.0.1", b"X: " + b"y" * 17_000], 431),
    "no host": ([], 400),
    "two hosts": ([b"Host: 127.0.0.1", b"Host: 127.0.0.1"], 400),
    "an empty host": ([b"Host:"], 400),
}


async def test_item_28_heads_on_the_connections_of_run() -> None:
    mcp = make_server(Log())
    async with serving(mcp.http_app()) as served:
        for name, (lines, status) in HEADS.items():
            head = b"\r\n".join([b"GET /health HTTP/1.1", b"Connection: close", *lines, b"", b""])
            assert (await raw(served.port, head)).status == status, name


async def test_item_29_times_are_limited() -> None:
    """Which they are, and one of each kind; what a reader is given: tests/http/test_edge_streams.py."""
    assert (ConnectionLimits().head_seconds, ConnectionLimits().body_seconds, ConnectionLimits().body_rate) == (
        10,
        30,
        1024,
    )
    assert (Limits().body_seconds, Limits().write_seconds, Limits().max_age) == (30, 30, 3600)
    assert Settings().session_idle_timeout == 1800
    mcp = FastMCP("slow", auth=None)

    @mcp.tool(timeout=0.1)
    async def slow() -> None:
        await asyncio.sleep(30)

    async with Client(mcp) as client:
        assert (await client.call_tool("slow", raise_on_error=False)).is_error

    class Impatient(HardenedProtocol):
        limits = ConnectionLimits(head_seconds=1)

    async with serving(mcp.http_app(), http=Impatient) as served:
        answer = await raw(served.port, b"GET /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n", seconds=10)
        assert answer.status == 408
    log = Log()
    with serve_bare(make_server(log), log, limits=Limits(body_seconds=0.2)) as quick:
        head = b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\nContent-Type: application/json\r\n"
        answer = await raw(quick.port, head + b"Accept: application/json, text/event-stream\r\n\r\n{")
        assert answer.status == 408


async def test_item_30_everything_is_bounded(http: httpx2.AsyncClient) -> None:
    """The bounds that users can set, and one that is reached; each part's own tests reach the others."""
    settings = Settings()
    assert (settings.max_body_bytes, settings.max_sessions_per_client) == (4 * 2**20, 100)
    assert (Limits().max_buffer, Limits().min_frame) == (2**20, 2**20 // 256)
    with serve(max_sessions_per_client=3) as site:
        sessions = [await open_session(http, site.url) for _ in range(3)]
        for session in sessions:
            assert (await send(http, site.url, call("add", {"a": 1, "b": 2}), session)).status == 200
        sessions.append(await open_session(http, site.url))
        statuses = [(await send(http, site.url, body_of("ping"), each)).status for each in sessions]
        assert statuses == [404, 200, 200, 200]


async def test_item_32_a_store_that_is_down_grants_nothing(http: httpx2.AsyncClient) -> None:
    """Neither codes nor tokens; a call with a token that was good a moment ago, and one without any, need no store."""

    class Store(MemoryRecordStore):
        down = False

        async def get(self, kind: str, key: str) -> bytes | None:
            if self.down:
                raise StoreError("It is down")
            return await super().get(kind, key)

        async def put(self, kind: str, key: str, value: bytes, *, ttl: float | None = None) -> None:
            if self.down:
                raise StoreError("It is down")
            await super().put(kind, key, value, ttl=ttl)

    store = Store()
    with run(make_server(Log(), auth=InMemoryOAuthProvider(ISSUER, clients=[APP], store=store)).http_app()) as running:
        origin = f"http://127.0.0.1:{running.port}"

        async def called(access: str) -> int:
            headers, body = modern(call("add", {"a": 1, "b": 2}))
            return (await send(http, f"{origin}/mcp", body, {**headers, **bearer(access)})).status

        form = {"grant_type": "authorization_code", "redirect_uri": REDIRECT, "code_verifier": VERIFIER}
        code = answered(await authorize(http, origin))["code"]
        first = (await token(http, origin, **form, code=code)).json()
        assert await called(first["access_token"]) == 200
        waiting = answered(await authorize(http, origin))["code"]
        store.down = True
        assert answered(await authorize(http, origin))["error"] == "temporarily_unavailable"
        refresh = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
        for refused in (await token(http, origin, **form, code=waiting), await token(http, origin, **refresh)):
            assert (refused.status_code, "access_token" in refused.json()) == (503, False)
        assert await called("x." + first["access_token"]) in (401, 503)
        assert await called(first["access_token"]) == 200
        store.down = False
        assert (await token(http, origin, **form, code=waiting)).status_code == 200
