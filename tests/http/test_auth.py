"""Bearer tokens at the door: challenges, principals, metadata; three ways of serving."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from headrace.server.auth import (
    AccessToken,
    CallableTokenVerifier,
    DebugTokenVerifier,
    RemoteAuthProvider,
    StaticTokenVerifier,
)
from headrace.server.auth import challenge as challenge_module
from headrace.transports.http.answer import Denied

from .probe import Log, make_server
from .servers import WAYS, Site, run, serve
from .wire import body_of, call, initialize, modern, open_session, send, stream

TOKENS = {
    "alice-1": {"client_id": "alice", "scopes": ["read", "write"]},
    "alice-2": {"client_id": "alice", "scopes": ["read", "write", "more"]},
    "bob-1": {"client_id": "bob", "scopes": ["read", "write"]},
    "same-app-a": {"client_id": "app", "scopes": ["read"], "sub": "ann"},
    "same-app-b": {"client_id": "app", "scopes": ["read"], "sub": "ben"},
    "reader": {"client_id": "carol", "scopes": ["read"]},
    "nothing": {"client_id": "dave", "scopes": []},
    "old-alice": {"client_id": "alice", "scopes": ["read", "write"], "expires_at": 1},
    "future": {"client_id": "alice", "scopes": ["read", "write"], "expires_at": 2**40},
}
BASE = "https://mcp.example.com"
METADATA = f"{BASE}/.well-known/oauth-protected-resource/mcp"
ADD = call("add", {"a": 2, "b": 3})


def provider(**options: Any) -> RemoteAuthProvider:
    verifier = StaticTokenVerifier(TOKENS, required_scopes=["read", "write"])
    return RemoteAuthProvider(verifier, ["https://login.example.com"], BASE, **options)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


ALICE = bearer("alice-1")


@pytest.fixture(scope="module", params=WAYS)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with serve(request.param, server={"auth": provider()}) as site:
        yield site


def challenge(reply: Any) -> dict[str, str]:
    scheme, _, parameters = reply.headers["www-authenticate"].partition(" ")
    assert scheme == "Bearer"
    return dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', parameters))


@dataclass(frozen=True, kw_only=True)
class Row:
    status: int
    authorization: str | None
    error: str | None = None


REFUSALS = {
    "no credentials": Row(status=401, authorization=None),
    "another scheme": Row(status=401, authorization="Basic YWxpY2U6c2VjcmV0"),
    "a token without scheme": Row(status=401, authorization="alice-1"),
    "an unknown token": Row(status=401, authorization="Bearer nobody", error="invalid_token"),
    "an empty token": Row(status=401, authorization="Bearer", error="invalid_token"),
    "a token and more": Row(status=401, authorization="Bearer alice-1 more", error="invalid_token"),
    "a token in other case": Row(status=401, authorization="Bearer ALICE-1", error="invalid_token"),
    "an expired token": Row(status=401, authorization="Bearer old-alice", error="invalid_token"),
    "one scope missing": Row(status=403, authorization="Bearer reader", error="insufficient_scope"),
    "all scopes missing": Row(status=403, authorization="Bearer nothing", error="insufficient_scope"),
}
REQUESTS = {
    "initialize": ("POST", initialize()),
    "modern call": ("POST", None),
    "broken body": ("POST", b"{"),
    "get": ("GET", None),
    "delete": ("DELETE", None),
    "another method": ("PUT", None),
}


@pytest.mark.parametrize(("method", "body"), REQUESTS.values(), ids=REQUESTS.keys())
@pytest.mark.parametrize("row", REFUSALS.values(), ids=REFUSALS.keys())
async def test_refusals(row: Row, method: str, body: Any, http: httpx2.AsyncClient, site: Site) -> None:
    before = await site.residue()
    headers: dict[str, str | None] = {"authorization": row.authorization}
    if method == "POST" and body is None:
        own, body = modern(ADD)
        headers |= own
    reply = await send(http, site.url, body, headers, method=method)
    assert reply.status == row.status
    fields = challenge(reply)
    assert fields["resource_metadata"] == METADATA
    assert fields["scope"] == "read write"
    assert fields.get("error") == row.error
    if row.error is None:
        assert fields.keys() == {"resource_metadata", "scope"}, "RFC 6750: no error where nothing was presented"
    else:
        assert fields["error_description"]
        assert reply.json["error"] == row.error
        assert reply.json["error_description"] == fields["error_description"]
    assert "mcp-session-id" not in reply.headers
    token = (row.authorization or "").partition(" ")[2]
    assert not token or token not in reply.text + str(reply.headers)
    await site.left_nothing(before)


@pytest.mark.parametrize(
    "authorization",
    ["Bearer alice-1", "bearer alice-1", "BEARER alice-1", "Bearer   alice-1", "Bearer alice-2", "Bearer future"],
)
async def test_admissions(authorization: str, http: httpx2.AsyncClient, site: Site) -> None:
    headers, body = modern(call("who"))
    reply = await send(http, site.url, body, {**headers, "authorization": authorization})
    assert reply.content == f"alice {authorization.split()[1]}"


# Sessions belong to who opened them


async def test_another_principal_s_session(http: httpx2.AsyncClient, site: Site) -> None:
    session = await open_session(http, site.url, headers=ALICE)
    before = await site.residue()
    bob = {**session, **bearer("bob-1")}
    for method, body in (
        ("POST", ADD),
        ("POST", body_of("notifications/initialized", id=...)),
        ("POST", {"jsonrpc": "2.0", "id": 1, "result": {}}),
        ("POST", initialize()),
        ("GET", None),
        ("DELETE", None),
    ):
        reply = await send(http, site.url, body, bob, method=method)
        assert reply.status == 404, (method, body)
        assert reply.error["message"].startswith("Session not found")
    await site.left_nothing(before)
    assert (await send(http, site.url, ADD, {**session, **ALICE})).content == "5"
    await send(http, site.url, headers={**session, **ALICE}, method="DELETE")


async def test_a_renewed_token_of_the_same_principal(http: httpx2.AsyncClient, site: Site) -> None:
    session = await open_session(http, site.url, headers=ALICE)
    renewed = {**session, **bearer("alice-2")}
    # The token is that of this very request, not of the one that opened the session.
    assert (await send(http, site.url, call("who"), renewed)).content == "alice alice-2"
    assert (await send(http, site.url, call("who"), {**session, **ALICE})).content == "alice alice-1"
    async with stream(http, site.url, headers=renewed) as events:
        await send(http, site.url, call("change", {"kind": "tool"}), renewed)
        assert (await events.message())["method"] == "notifications/tools/list_changed"
    assert (await send(http, site.url, headers=renewed, method="DELETE")).status == 200


async def test_two_users_of_one_client(http: httpx2.AsyncClient) -> None:
    with serve(server={"auth": StaticTokenVerifier(TOKENS)}) as site:
        session = await open_session(http, site.url, headers=bearer("same-app-a"))
        assert (await send(http, site.url, ADD, {**session, **bearer("same-app-b")})).status == 404
        assert (await send(http, site.url, ADD, {**session, **bearer("same-app-a")})).content == "5"


async def test_request_state_belongs_to_its_principal(http: httpx2.AsyncClient, site: Site) -> None:
    headers, body = modern(call("ask"), capabilities={"elicitation": {}})
    asked = await send(http, site.url, body, {**headers, **ALICE})
    assert asked.result["resultType"] == "input_required"
    answers = {"who": {"action": "accept", "content": {"name": "Ada"}}}
    retry = call("ask", inputResponses=answers, requestState=asked.result["requestState"])
    headers, body = modern(retry, capabilities={"elicitation": {}})
    stolen = await send(http, site.url, body, {**headers, **bearer("bob-1")})
    assert (stolen.status, stolen.error["code"]) == (200, -32602)
    assert (await send(http, site.url, body, {**headers, **bearer("alice-2")})).content == "hello Ada"


async def test_what_depends_on_the_caller_is_private(http: httpx2.AsyncClient, site: Site) -> None:
    headers, body = modern(body_of("resources/read", {"uri": "memo://one"}))
    assert (await send(http, site.url, body, {**headers, **ALICE})).result["cacheScope"] == "private"


# A token that ends while it is used


async def test_a_token_that_expires(http: httpx2.AsyncClient) -> None:
    expires = {"at": int(time.time()) + 1000}

    def verify(token: str) -> AccessToken:
        return AccessToken(token=token, client_id="alice", expires_at=expires["at"])

    with serve(server={"auth": CallableTokenVerifier(verify, cache_seconds=0)}) as site:
        session = await open_session(http, site.url, headers=bearer("t"))
        assert (await send(http, site.url, ADD, {**session, **bearer("t")})).content == "5"
        expires["at"] = int(time.time()) - 1
        reply = await send(http, site.url, ADD, {**session, **bearer("t")})
        assert (reply.status, challenge(reply)["error"]) == (401, "invalid_token")
        expires["at"] = int(time.time()) + 1000
        assert (await send(http, site.url, ADD, {**session, **bearer("t")})).content == "5"


# Verifiers


@pytest.mark.parametrize("way", WAYS)
async def test_a_verifier_that_fails_inside_is_503(
    way: Any, http: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    def verify(token: str) -> bool:
        raise ConnectionError("the key server is down")

    with serve(way, server={"auth": CallableTokenVerifier(verify)}) as site, caplog.at_level(logging.ERROR):
        before = await site.residue()
        reply = await send(http, site.url, initialize(), bearer("very-secret"))
        assert (reply.status, reply.error["code"]) == (503, -32600)
        assert int(reply.headers["retry-after"]) > 0
        assert "www-authenticate" not in reply.headers
        assert "key server" not in reply.text
        await site.left_nothing(before)
        if way != "bare":
            # It closes nothing that is open.
            health = site.url.removesuffix("/mcp") + "/health"
            assert (await send(http, health, headers=bearer("x"), method="GET")).status == 200
    assert "the key server is down" in caplog.text
    assert "very-secret" not in caplog.text


def _yes(token: str) -> bool:
    return token == "yes"


async def _async_yes(token: str) -> AccessToken | None:
    return AccessToken(token=token, client_id="async") if token == "yes" else None


async def test_a_verifier_that_asks_nobody_says_so(http: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    with serve(server={"auth": DebugTokenVerifier()}) as site:
        headers, body = modern(call("who"))
        assert (await send(http, site.url, body, {**headers, **bearer("any")})).content == "debug-client any"
        assert (await send(http, site.url, body, headers)).status == 401
    assert "is for tests" in caplog.text


@pytest.mark.parametrize(
    ("verify", "client"), [(_yes, "client"), (_async_yes, "async")], ids=["a bool", "an async AccessToken"]
)
async def test_a_verifier_from_a_callable(verify: Any, client: str, http: httpx2.AsyncClient) -> None:
    with serve(server={"auth": CallableTokenVerifier(verify)}) as site:
        headers, body = modern(call("who"))
        assert (await send(http, site.url, body, {**headers, **bearer("yes")})).content == f"{client} yes"
        assert (await send(http, site.url, body, {**headers, **bearer("no")})).status == 401
        plain = await send(http, site.url, body, headers)
        assert plain.headers["www-authenticate"] == "Bearer", "no scopes, and no route that serves metadata"


async def test_a_token_is_verified_once_and_then_known(http: httpx2.AsyncClient) -> None:
    live, seen = {"a", "b"}, list[str]()

    def verify(token: str) -> bool:
        seen.append(token)
        return token in live

    auth = CallableTokenVerifier(verify)
    with serve(server={"auth": auth}) as site:

        async def status(token: str, scheme: str = "Bearer") -> int:
            headers, body = modern(ADD)
            return (await send(http, site.url, body, {**headers, "authorization": f"{scheme} {token}"})).status

        assert [await status(token) for token in "aabbab"] == [200] * 6
        assert seen == ["a", "b"]
        assert [await status("no"), await status("no")] == [401, 401]
        assert seen == ["a", "b", "no", "no"], "what was refused may be good in a moment"
        assert await status("a", "Basic") == 401, "what is known is a bearer token"
        live.clear()
        assert [await status("a"), await status("b")] == [200, 200]
        auth.forget("a")
        assert [await status("a"), await status("b")] == [401, 200]
        auth.forget()
        assert await status("b") == 401


@pytest.mark.parametrize(("lifetime", "seconds"), [(None, 60), (1000, 60), (10, 10)])
async def test_how_long_a_token_is_known(lifetime: int | None, seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    start, seen = time.time(), list[str]()

    def verify(token: str) -> AccessToken:
        seen.append(token)
        return AccessToken(
            token=token, client_id="alice", expires_at=None if lifetime is None else int(start) + lifetime
        )

    door = CallableTokenVerifier(verify).door("/mcp")
    for after, verified in ((0, 1), (seconds - 2, 1), (seconds, 2)):
        monkeypatch.setattr(challenge_module, "time", lambda after=after: start + after)
        scope = {"type": "http", "headers": [(b"authorization", b"Bearer t")], "path": "/mcp"}
        assert await door.authenticate(scope) is not None
        assert len(seen) == verified


async def test_no_more_tokens_are_known_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(challenge_module, "_MAX_KNOWN", 10)
    auth = CallableTokenVerifier(lambda token: True)
    door = auth.door("/mcp")
    for number in range(50):
        scope = {"type": "http", "headers": [(b"authorization", b"Bearer t%d" % number)], "path": "/mcp"}
        assert await door.authenticate(scope) is not None
    assert len(door._known) == 10
    assert not any(b"t49" in key for key in door._known), "digests, no tokens"


async def test_the_field_and_nothing_else(http: httpx2.AsyncClient, site: Site) -> None:
    """Neither the query nor the body has a token in it (RFC 6750, 2; 2026-07-28, Access Token Usage)."""
    headers, body = modern(ADD)
    for query in ("access_token=alice-1", "token=alice-1", "authorization=Bearer%20alice-1"):
        assert (await send(http, f"{site.url}?{query}", body, headers)).status == 401
    for more in (
        {"cookie": "access_token=alice-1"},
        {"x-authorization": "Bearer alice-1"},
        {"proxy-authorization": "Bearer alice-1"},
    ):
        assert (await send(http, site.url, body, {**headers, **more})).status == 401


async def test_more_than_one_authorization_field(http: httpx2.AsyncClient, site: Site) -> None:
    headers, body = modern(ADD)
    fields = [(name, value) for name, value in headers.items() if value is not None]
    fields += [("content-type", "application/json"), ("accept", "application/json, text/event-stream")]
    for tokens in (("alice-1", "alice-1"), ("alice-1", "bob-1"), ("nobody", "alice-1")):
        twice = [("authorization", f"Bearer {token}") for token in tokens]
        reply = await http.post(site.url, json=body, headers=[*fields, *twice])
        assert reply.status_code == 400
        assert challenge(reply)["error"] == "invalid_request"


@pytest.mark.parametrize("token", ["x" * 17_000, "a\tb", "a\xa0", "\xe9", "a,b c"])
async def test_what_is_no_token_is_shown_to_no_verifier(token: str) -> None:
    door = CallableTokenVerifier(lambda token: True).door("/mcp")
    scope = {"type": "http", "headers": [(b"authorization", b"Bearer " + token.encode("latin-1"))], "path": "/mcp"}
    with pytest.raises(Denied) as raised:
        await door.authenticate(scope)
    assert raised.value.refusal.status == 401


async def test_what_clients_are_told_to_ask_for(http: httpx2.AsyncClient) -> None:
    auth = provider(challenge_scopes=["api://x/read", "offline_access"], required_scopes=["more"])
    assert auth.required_scopes == ["more", "read", "write"]
    with serve(server={"auth": auth}) as site:
        reply = await send(http, site.url, initialize())
        assert challenge(reply)["scope"] == "api://x/read", "whether it may be renewed is nothing of the resource's"
        assert (await send(http, site.url, initialize(), ALICE)).status == 403
        assert (await send(http, site.url, initialize(), bearer("alice-2"))).status == 200


async def test_the_token_is_verified_once_per_request(http: httpx2.AsyncClient) -> None:
    seen: list[str] = []

    def verify(token: str) -> bool:
        seen.append(token)
        return True

    with serve(server={"auth": CallableTokenVerifier(verify)}) as site:
        headers, body = modern(ADD)
        await send(http, site.url, body, {**headers, **bearer("t")})
        assert seen == ["t"]


# Metadata (RFC 9728), and routes beside the endpoint


async def test_metadata(http: httpx2.AsyncClient) -> None:
    auth = provider(resource_name="Probe", resource_documentation="https://docs.example.com")
    with serve(server={"auth": auth}) as site:
        reply = await send(http, f"{site.origin}/.well-known/oauth-protected-resource/mcp", method="GET")
        assert reply.json == {
            "resource": f"{BASE}/mcp",
            "authorization_servers": ["https://login.example.com"],
            "bearer_methods_supported": ["header"],
            "scopes_supported": ["read", "write"],
            "resource_name": "Probe",
            "resource_documentation": "https://docs.example.com",
        }
        assert reply.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("base", "path", "resource", "metadata"),
    [
        (BASE, "/mcp", f"{BASE}/mcp", "/.well-known/oauth-protected-resource/mcp"),
        (BASE + "/", "/mcp", f"{BASE}/mcp", "/.well-known/oauth-protected-resource/mcp"),
        (BASE, "/", BASE, "/.well-known/oauth-protected-resource"),
        (BASE + "/api", "/mcp", f"{BASE}/api/mcp", "/.well-known/oauth-protected-resource/api/mcp"),
    ],
)
async def test_where_metadata_is_and_what_it_names(
    base: str, path: str, resource: str, metadata: str, http: httpx2.AsyncClient
) -> None:
    auth = RemoteAuthProvider(StaticTokenVerifier({}), ["https://login.example.com"], base)
    with run(make_server(Log(), auth=auth).http_app(path=path)) as running:
        origin = f"http://127.0.0.1:{running.port}"
        assert (await send(http, origin + metadata, method="GET")).json["resource"] == resource
        refused = await send(http, origin + path, initialize())
        assert challenge(refused)["resource_metadata"] == BASE + metadata


async def test_without_metadata_route_none_is_named(http: httpx2.AsyncClient) -> None:
    auth = StaticTokenVerifier(TOKENS, required_scopes=["read"], base_url=BASE)
    with serve(server={"auth": auth}) as site:
        assert challenge(await send(http, site.url, initialize())) == {"scope": "read"}
        assert (await send(http, f"{site.origin}/.well-known/oauth-protected-resource/mcp", method="GET")).status == 404


async def test_custom_routes_are_open_and_know_the_user(http: httpx2.AsyncClient) -> None:
    mcp = make_server(Log(), auth=provider())

    @mcp.custom_route("/whoami", methods=["GET"])
    async def whoami(request: Request) -> Response:
        user = request.user
        return JSONResponse({"user": user.display_name if user.is_authenticated else None})

    with run(mcp.http_app()) as running:
        url = f"http://127.0.0.1:{running.port}/whoami"
        assert (await send(http, url, method="GET")).json == {"user": None}
        assert (await send(http, url, headers=ALICE, method="GET")).json == {"user": "alice"}
        assert (await send(http, url, headers=bearer("old-alice"), method="GET")).json == {"user": None}


async def test_the_guard_comes_before_authentication(http: httpx2.AsyncClient, site: Site) -> None:
    for headers in ({}, ALICE):
        reply = await send(http, site.url, initialize(), {**headers, "origin": "https://evil.example"})
        assert reply.status == 403
        assert "www-authenticate" not in reply.headers


async def test_authentication_comes_before_everything_else(http: httpx2.AsyncClient, site: Site) -> None:
    """Nothing of the server shows to strangers: not its methods, not its sessions."""
    for headers in ({"accept": "text/html"}, {"content-type": "text/plain"}, {"mcp-session-id": "x"}):
        assert (await send(http, site.url, initialize(), headers)).status == 401


def test_tokens_do_not_show_in_a_repr() -> None:
    assert "secret" not in repr(AccessToken(token="secret", client_id="alice"))
