"""An authorization server of one's own, as its clients and its users see it."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.server.auth import provider as sdk
from mcp.shared import auth as sdk_types
from pydantic import AnyUrl
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from headrace import FastMCP
from headrace.exceptions import StoreError
from headrace.server.auth import AccessToken
from headrace.server.auth.oauth.contract import AuthorizationParams, AuthorizeError, TokenError
from headrace.server.auth.oauth.embedded import InMemoryOAuthProvider
from headrace.server.auth.oauth.grants import Grant
from headrace.server.auth.oauth.identity_assertion import IdentityAssertion
from headrace.server.auth.oauth.passwords import authenticator_of, hash_password
from headrace.server.auth.oauth.provider import ClientRegistrationOptions, OAuthProvider, RevocationOptions
from headrace.state.memory_records import MemoryRecordStore
from headrace.state.sqlite import SqliteRecordStore
from headrace.testing import asgi_server

from ..http.servers import run
from .oauth_app import (
    CLIENTS,
    IDP,
    IDP_KEY,
    ISSUER,
    QUERY,
    REDIRECT,
    RESOURCE,
    SECRET,
    VERIFIER,
    Watched,
    basic,
    changed,
    client_assertion,
    id_jag,
    query_of,
    running,
)

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
KEY = "a secret key that is long enough to be one"


# What it says about itself


async def test_metadata() -> None:
    async with running() as site:
        reply = await site.http.get("/.well-known/oauth-authorization-server")
        assert reply.headers["access-control-allow-origin"] == "*"
        document = reply.json()
    assert document["issuer"] == ISSUER
    assert {document[f"{name}_endpoint"] for name in ("authorization", "token", "registration", "revocation")} == {
        f"{ISSUER}/{name}" for name in ("authorize", "token", "register", "revoke")
    }
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["authorization_response_iss_parameter_supported"] is True
    assert document["client_id_metadata_document_supported"] is True
    assert "none" in document["token_endpoint_auth_methods_supported"]
    assert document["grant_types_supported"] == [
        "authorization_code",
        "refresh_token",
        "client_credentials",
        JWT_BEARER,
    ]
    assert document["authorization_grant_profiles_supported"] == ["urn:ietf:params:oauth:grant-profile:id-jag"]
    assert document["scopes_supported"] == ["read", "write", "admin"]


async def test_the_server_says_where_to_log_in() -> None:
    async with running(resource_name="The tests") as site:
        refused = await site.http.post("/mcp", json={})
        where = f"{ISSUER}/.well-known/oauth-protected-resource/mcp"
        assert f'resource_metadata="{where}"' in refused.headers["www-authenticate"]
        document = (await site.http.get(where)).json()
    assert document["resource"] == RESOURCE
    assert document["authorization_servers"] == [ISSUER]
    assert document["scopes_supported"] == ["read", "write", "admin"]
    assert document["resource_name"] == "The tests"


async def test_metadata_of_a_bare_one() -> None:
    async with running(clients=(), identity_assertion=None, scopes_supported=None, required_scopes=None) as site:
        document = (await site.http.get("/.well-known/openid-configuration")).json()
    assert document["grant_types_supported"] == ["authorization_code", "refresh_token"]
    assert not {"scopes_supported", "authorization_grant_profiles_supported"} & document.keys()


async def test_metadata_of_an_issuer_with_a_path() -> None:
    provider = InMemoryOAuthProvider("https://host.example/tenant", clients=CLIENTS)
    async with running(provider) as site:
        for place in ("oauth-authorization-server", "openid-configuration"):
            document = (await site.http.get(f"/.well-known/{place}/tenant")).json()
            assert document["issuer"] == "https://host.example/tenant"
            assert document["token_endpoint"] == "https://host.example/tenant/token"
        assert (await site.http.get("/.well-known/oauth-authorization-server")).status_code == 404
        roots = {route.path for route in provider.get_well_known_routes("/mcp")}
    assert "/.well-known/oauth-authorization-server/tenant" in roots


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://host.example", True),
        ("https://host.example/path", True),
        ("http://localhost:8000", True),
        ("http://127.0.0.1:8000", True),
        ("http://[::1]:8000", True),
        ("http://host.example", False),
        ("http://localhost.example", False),
        ("http://127.0.0.1.example", False),
        ("https://host.example?x=1", False),
        ("https://host.example#x", False),
        ("ftp://host.example", False),
        ("host.example", False),
        ("", False),
    ],
)
def test_an_issuer_is_https_or_on_this_machine(url: str, allowed: bool) -> None:
    if allowed:
        assert InMemoryOAuthProvider(url).issuer == url
    else:
        with pytest.raises(ValueError, match="URL of an authorization server"):
            InMemoryOAuthProvider(url)
    with pytest.raises(ValueError, match="URL of an authorization server"):
        InMemoryOAuthProvider("https://host.example", issuer_url="http://host.example")


async def test_programs_in_browsers_may_ask_all_but_the_page() -> None:
    async with running() as site:
        for path, method in (("/token", "POST"), ("/register", "POST"), ("/revoke", "POST")):
            reply = await site.http.options(path, headers={"origin": "http://localhost:6274"})
            assert reply.status_code == 204
            assert reply.headers["access-control-allow-origin"] == "*"
            assert method in reply.headers["access-control-allow-methods"]
            refused = await site.post(path, "")
            assert refused.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-origin" not in (await site.authorize()).headers


# A login


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_answer_says_whose_it_is(method: str) -> None:
    async with running() as site:
        reply = await site.authorize(method=method)
        assert reply.headers["location"].startswith(f"{REDIRECT}?")
        assert reply.headers["cache-control"] == "no-store"
        answer = query_of(reply)
    assert answer.pop("code")
    assert answer == {"state": "a state & more", "iss": ISSUER}


@pytest.mark.parametrize(
    ("changes", "redirect"),
    [
        ({"redirect_uri": "http://127.0.0.1:54321/callback"}, "http://127.0.0.1:54321/callback"),
        ({"client_id": "single", "redirect_uri": None}, REDIRECT),
        ({"state": None}, REDIRECT),
        ({"resource": None}, REDIRECT),
        ({"resource": RESOURCE + "/"}, REDIRECT),
        ({"resource": RESOURCE.replace("localhost", "LOCALHOST")}, REDIRECT),
        ({"scope": ""}, REDIRECT),
        ({"response_mode": "query"}, REDIRECT),
    ],
)
async def test_what_a_client_may_write(changes: dict[str, str | None], redirect: str) -> None:
    async with running() as site:
        reply = await site.authorize(changed(QUERY, **changes))
        assert reply.headers["location"].startswith(f"{redirect}?code=")
        client = changes.get("client_id") or "public"
        tokens = (await site.redeem(query_of(reply)["code"], client_id=client, redirect_uri=redirect)).json()
        access = await site.provider.verify_token(tokens["access_token"])
    assert access is not None
    assert (access.resource, access.client_id, access.claims["sub"]) == (RESOURCE, client, "test-user")
    assert access.scopes == ["read"]


async def test_a_redirect_uri_keeps_its_query() -> None:
    client = next(client for client in CLIENTS if client.client_id == "single")
    with_query = type(client)(client_id="q", token_endpoint_auth_method="none", redirect_uris=[f"{REDIRECT}?a=b"])
    async with running(clients=[with_query]) as site:
        query = changed(QUERY, client_id="q", redirect_uri=f"{REDIRECT}?a=b")
        reply = await site.authorize(query)
        assert reply.headers["location"].startswith(f"{REDIRECT}?a=b&code=")
        assert (
            (await site.authorize([*query, ("scope", "none")])).headers["location"].startswith(f"{REDIRECT}?a=b&error=")
        )


async def test_the_redirect_uri_need_not_be_repeated() -> None:
    """OAuth 2.1 has it no more in the token request; PKCE does what it was for."""
    async with running() as site:
        assert (await site.redeem(await site.code(), redirect_uri=None)).status_code == 200


async def test_a_token_opens_the_server() -> None:
    async with running() as site:
        tokens = await site.tokens(scope="read write")
        assert tokens["token_type"] == "Bearer"
        assert tokens["expires_in"] == 3600
        assert tokens["scope"] == "read write"

        mcp = FastMCP("tests", auth=site.provider)
        async with asgi_server(mcp) as server:
            async with server.client(auth=tokens["access_token"]) as client:
                assert await client.list_tools() == []
            async with server.http_client() as http:
                assert (await http.post("/mcp", json={})).status_code == 401


async def test_a_refresh_gives_both_tokens_anew() -> None:
    async with running() as site:
        first = await site.tokens(scope="read write")
        narrow = (await site.refresh(first["refresh_token"], scope="read")).json()
        assert narrow["scope"] == "read"
        assert len({first["refresh_token"], narrow["refresh_token"]}) == 2
        assert await site.is_good(first["access_token"])
        again = (await site.refresh(narrow["refresh_token"])).json()
        assert again["scope"] == "read write"


@pytest.mark.parametrize("audience", [ISSUER, f"{ISSUER}/token", [ISSUER]])
async def test_a_client_with_a_key(audience: Any) -> None:
    async with running() as site:
        code = await site.code(client_id="key")
        proof = {"client_assertion_type": ASSERTION, "client_assertion": client_assertion(aud=audience)}
        assert (await site.redeem(code, client_id=None, **proof)).status_code == 200


@pytest.mark.parametrize(
    ("client", "form", "headers"),
    [
        ("basic", {}, basic("basic", SECRET)),
        ("basic", {"client_id": "basic"}, basic("basic", SECRET)),
        ("basic", {"client_id": "basic", "client_secret": SECRET}, {}),
        ("post", {"client_id": "post", "client_secret": SECRET}, {}),
        ("odd :+%", {}, basic("odd+%3A%2B%25", "a%20secret%3A+%2B%25")),
    ],
)
async def test_a_client_with_a_secret(client: str, form: dict[str, str], headers: dict[str, str]) -> None:
    async with running() as site:
        code = await site.code(client_id=client)
        known = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER, **form}
        reply = await site.post("/token", list(known.items()), headers)
        assert reply.status_code == 200, reply.text


async def test_a_program_that_asks_for_itself() -> None:
    async with running() as site:
        form = [("grant_type", "client_credentials"), ("scope", "read write")]
        tokens = (await site.post("/token", form, basic("machine", SECRET))).json()
        access = await site.provider.verify_token(tokens["access_token"])
    assert "refresh_token" not in tokens
    assert access is not None
    assert (access.client_id, access.claims["sub"], access.scopes) == ("machine", "machine", ["read", "write"])


@pytest.mark.parametrize(
    ("claims", "form", "scopes"),
    [
        ({}, {}, ["read", "write"]),
        ({}, {"scope": "write admin"}, ["write"]),
        ({"scope": "read unknown"}, {"resource": RESOURCE}, ["read"]),
        ({"resource": f"{RESOURCE}/", "aud": [ISSUER]}, {}, ["read", "write"]),
    ],
)
async def test_a_user_whom_the_enterprise_vouches_for(
    claims: dict[str, Any], form: dict[str, str], scopes: list[str]
) -> None:
    async with running() as site:
        sent = {"grant_type": JWT_BEARER, "assertion": id_jag(**claims), **form}
        tokens = (await site.post("/token", list(sent.items()), basic("basic", SECRET))).json()
        access = await site.provider.verify_token(tokens["access_token"])
    assert "refresh_token" not in tokens
    assert access is not None
    assert (access.scopes, access.resource) == (scopes, RESOURCE)
    assert access.claims["sub"] == "https://idp.example alice"
    assert access.claims["email"] == "alice@corp.example"


@pytest.mark.parametrize("discovered", [True, False])
async def test_the_keys_of_an_identity_provider_are_fetched(discovered: bool) -> None:
    documents: dict[str, Any] = {"/jwks": {"keys": [IDP_KEY.as_dict(private=False)]}}

    async def serve(request: Request) -> Response:
        return JSONResponse(documents[request.url.path])

    with run(Starlette(routes=[Route("/{path:path}", serve)]), lifespan="off") as served:
        idp = f"http://127.0.0.1:{served.port}"
        documents["/.well-known/openid-configuration"] = {"issuer": idp, "jwks_uri": f"{idp}/jwks"}
        documents["/other/.well-known/openid-configuration"] = {"issuer": idp, "jwks_uri": f"{idp}/jwks"}
        uris = None if discovered else {idp: f"{idp}/jwks"}
        async with running(identity_assertion=IdentityAssertion([idp, f"{idp}/other"], jwks_uris=uris)) as site:

            async def ask(issuer: str) -> httpx2.Response:
                form = [("grant_type", JWT_BEARER), ("assertion", id_jag(iss=issuer))]
                return await site.post("/token", form, basic("basic", SECRET))

            reply = await ask(idp)
            assert reply.json()["expires_in"] == 300
            assert (await ask(f"{idp}/other")).status_code == 503  # its configuration is another's
    async with running(identity_assertion=IdentityAssertion([idp], jwks_uris=uris)) as site:
        assert [(await ask(idp)).status_code for _ in range(2)] == [503, 503]


@pytest.mark.parametrize(
    "options",
    [
        {"trusted_issuers": []},
        {"trusted_issuers": [""]},
        {"trusted_issuers": [IDP], "jwks_uris": {"https://other.example": "https://other.example/jwks"}},
    ],
)
def test_trusted_identity_providers_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="trusted_issuers"):
        IdentityAssertion(**options)


async def test_users_of_an_enterprise_have_names_of_ones_own() -> None:
    by_mail = IdentityAssertion(
        [IDP],
        jwks={IDP: {"keys": [IDP_KEY.as_dict(private=False)]}},
        subject=lambda claims: claims["email"].partition("@")[0] if claims.get("email") else None,
    )
    async with running(identity_assertion=by_mail) as site:
        form = [("grant_type", JWT_BEARER), ("assertion", id_jag())]
        tokens = (await site.post("/token", form, basic("basic", SECRET))).json()
        access = await site.provider.verify_token(tokens["access_token"])
        assert access is not None
        assert access.claims["sub"] == "alice"
        form = [("grant_type", JWT_BEARER), ("assertion", id_jag(email=None, jti="another"))]
        assert (await site.post("/token", form, basic("basic", SECRET))).json()["error"] == "invalid_grant"


# What a token opens


async def test_a_token_of_one_app_does_not_open_another() -> None:
    """Two apps with one provider: each has a resource of its own."""
    provider = InMemoryOAuthProvider(ISSUER, clients=CLIENTS)
    mcp = FastMCP("tests", auth=provider)
    async with running(provider) as site, asgi_server(mcp, path="/other") as other:
        here, there = await site.tokens(resource=RESOURCE), await site.tokens(resource=f"{ISSUER}/other")
        async with other.http_client() as http:
            for tokens, status in ((here, 401), (there, 400), (here, 401)):
                reply = await http.get("/other", headers={"authorization": f"Bearer {tokens['access_token']}"})
                assert reply.status_code == status, reply.text
            refused = await http.post("/token", content=b"")
            assert refused.status_code == 400


async def test_a_revoked_token_opens_nothing_more() -> None:
    async with running() as site:
        tokens = await site.tokens()
        bearer = {"authorization": f"Bearer {tokens['access_token']}"}
        assert (await site.http.get("/mcp", headers=bearer)).status_code == 400
        await site.post("/revoke", [("client_id", "public"), ("token", tokens["refresh_token"])])
        assert (await site.http.get("/mcp", headers=bearer)).status_code == 401


async def test_a_revocation_concerns_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever revokes without end makes nobody's token be verified again at each request."""
    async with running() as site:
        own, other = await site.tokens(), await site.tokens()
        asked: list[str] = []
        verify = site.provider.verify_token

        async def counted(token: str) -> Any:
            asked.append(token)
            return await verify(token)

        monkeypatch.setattr(site.provider, "verify_token", counted)
        bearer = {"authorization": f"Bearer {other['access_token']}"}
        assert (await site.http.get("/mcp", headers=bearer)).status_code == 400
        await site.post("/revoke", [("client_id", "public"), ("token", own["refresh_token"])])
        assert (await site.http.get("/mcp", headers=bearer)).status_code == 400
        assert asked == [other["access_token"]]


# Registration


async def test_a_client_registers_itself_and_logs_in() -> None:
    async with running() as site:
        document = {
            "redirect_uris": [REDIRECT],
            "client_name": "New",
            "scope": "read",
            "token_endpoint_auth_method": "none",
        }
        reply = await site.http.post("/register", json=document)
        assert reply.status_code == 201
        assert reply.headers["cache-control"] == "no-store"
        client = reply.json()
        # Later it may ask for more than it registered with: a challenge may have asked for that.
        code = await site.code(client_id=client["client_id"], scope="read write")
        assert (await site.redeem(code, client_id=client["client_id"])).json()["scope"] == "read write"


@pytest.mark.parametrize(
    ("content", "content_type", "error"),
    [
        (b"{}", "application/json", "invalid_redirect_uri"),
        (b'{"redirect_uris":["javascript:alert(1)"]}', "application/json", "invalid_redirect_uri"),
        (b"[]", "application/json", "invalid_client_metadata"),
        (b"", "application/json", "invalid_client_metadata"),
        (b"{}", "text/plain", "invalid_client_metadata"),
        (b" " * 70_000, "application/json", "invalid_request"),
    ],
)
async def test_what_is_not_registered(content: bytes, content_type: str, error: str) -> None:
    async with running() as site:
        reply = await site.http.post("/register", content=content, headers={"content-type": content_type})
        assert (reply.status_code, reply.json()["error"]) == (400, error)
        assert site.store.written == []


# What is kept


class Renewing(InMemoryOAuthProvider):
    """Does at a refresh what a test says."""

    failure: Exception | None = None
    over: list[str]

    async def renewed(self, grant: Grant, scopes: list[str]) -> Grant:
        if self.failure is not None:
            raise self.failure
        grant.extra += b"+"
        return grant

    async def ended(self, grant: Grant) -> None:
        self.over.append(grant.extra.decode())


async def test_a_subclass_renews_what_it_keeps() -> None:
    provider = Renewing(ISSUER, clients=CLIENTS, store=Watched())
    provider.over = []
    async with running(provider) as site:
        token = (await site.tokens())["refresh_token"]
        token = (await site.refresh(token)).json()["refresh_token"]
        provider.failure = TokenError("temporarily_unavailable", "not now")
        assert (await site.refresh(token)).status_code == 503
        provider.failure = StoreError("not now")
        assert (await site.refresh(token)).status_code == 503
        provider.failure = None
        token = (await site.refresh(token)).json()["refresh_token"]
        provider.failure = TokenError("invalid_grant", "no more")
        assert (await site.refresh(token)).json()["error_description"] == "no more"
        provider.failure = None
        assert (await site.refresh(token)).json()["error"] == "invalid_grant"
        assert provider.over == []

        second = (await site.refresh((await site.tokens())["refresh_token"])).json()
        await site.post("/revoke", [("client_id", "public"), ("token", second["refresh_token"])])
        assert provider.over == ["+"]


async def test_a_login_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "oauth.db"

    def provider() -> InMemoryOAuthProvider:
        return InMemoryOAuthProvider(ISSUER, store=SqliteRecordStore(path), secret_key=KEY)

    document = {"redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none"}
    async with running(provider()) as site:
        client_id = (await site.http.post("/register", json=document)).json()["client_id"]
        pending = await site.code(client_id=client_id)
        tokens = (await site.redeem(await site.code(client_id=client_id), client_id=client_id)).json()
    async with running(provider()) as site:
        assert await site.is_good(tokens["access_token"])
        assert (await site.refresh(tokens["refresh_token"], client_id)).status_code == 200
        assert (await site.redeem(pending, client_id=client_id)).status_code == 200
    data = b"".join(each.read_bytes() for each in list(Path.iterdir(tmp_path)))
    assert data
    assert not [each for each in (b"test-user", b"app.example", client_id.encode()) if each in data]
    async with running(InMemoryOAuthProvider(ISSUER, store=SqliteRecordStore(path), secret_key=KEY[::-1])) as site:
        assert not await site.is_good(tokens["access_token"])
    turned = InMemoryOAuthProvider(ISSUER, store=SqliteRecordStore(path), secret_key=[KEY[::-1], KEY])
    async with running(turned) as site:
        assert await site.is_good(tokens["access_token"])


def test_an_option_that_is_none_is_refused() -> None:
    options: Any = {"acess_token_seconds": 60}
    with pytest.raises(TypeError, match="no option acess_token_seconds"):
        InMemoryOAuthProvider(ISSUER, **options)


async def test_what_is_switched_off_is_not_there() -> None:
    off: dict[str, Any] = {
        "client_registration_options": ClientRegistrationOptions(enabled=False),
        "revocation_options": RevocationOptions(enabled=False),
    }
    async with running(**off) as site:
        document = (await site.http.get("/.well-known/oauth-authorization-server")).json()
        assert not {"registration_endpoint", "revocation_endpoint"} & document.keys()
        assert [(await site.post(path, "")).status_code for path in ("/register", "/revoke")] == [404, 404]


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32 characters"):
        InMemoryOAuthProvider(ISSUER, secret_key="short")


class Broken(MemoryRecordStore):
    async def get(self, kind: str, key: str) -> bytes | None:
        raise StoreError("out of order")

    async def count(self, kind: str) -> int:
        raise StoreError("out of order")

    async def put(self, kind: str, key: str, value: bytes, *, ttl: float | None = None) -> None:
        raise StoreError("out of order")


async def test_without_its_store_it_refuses(caplog: pytest.LogCaptureFixture) -> None:
    async with running(InMemoryOAuthProvider(ISSUER, clients=CLIENTS, store=Broken())) as site:
        assert query_of(await site.authorize())["error"] == "temporarily_unavailable"
        assert (await site.authorize(changed(QUERY, client_id="unknown"))).status_code == 503
        refused = [
            await site.redeem("a.0.b"),
            await site.refresh("a.1.b"),
            await site.http.post("/register", json={"redirect_uris": [REDIRECT]}),
            await site.post("/revoke", [("client_id", "public"), ("token", "a.1.b")]),
        ]
        assert [(reply.status_code, reply.headers["retry-after"]) for reply in refused] == [(503, "5")] * 4
    assert caplog.text.count("The store of the authorization server failed") == 6, "who runs the server reads why"


async def test_an_answer_is_given_once() -> None:
    async with running() as site:
        client = await site.provider.get_client("public")
        assert client is not None
        params = AuthorizationParams(code_challenge="c" * 43, redirect_uri=REDIRECT, scopes=["read"], resource=RESOURCE)
        id = await site.provider.begin(client, params)
        pending = await site.provider.transaction(id)
        assert pending is not None
        assert (pending.client_name, pending.redirect_uri, pending.scopes) == ("Public", REDIRECT, ["read"])
        url = await site.provider.refuse(id, "access_denied", "Alice said no")
        assert "error=access_denied" in url
        assert "iss=" in url
        with pytest.raises(AuthorizeError, match="is over"):
            await site.provider.complete(id, subject="alice")
        assert await site.provider.transaction(id) is None


# Passwords


async def test_passwords() -> None:
    check = authenticator_of({"alice": hash_password("crème brûlée")})
    assert await check("alice", "crème brûlée") == "alice"
    assert await check("alice", "cre\u0300me bru\u0302le\u0301e") == "alice"
    for name, password in (("alice", ""), ("alice", "x"), ("bob", "crème brûlée"), ("alice", "x" * 2000), ("", "")):
        assert await check(name, password) is None


async def test_a_function_knows_users() -> None:
    async def ask(name: str, password: str) -> str | None:
        return f"id of {name}" if password == "right" else None

    class Directory:
        def authenticate(self, name: str, password: str) -> str | None:
            return f"id of {name}" if password == "right" else None

    for users in (ask, Directory().authenticate, Directory()):
        assert await authenticator_of(users)("alice", "right") == "id of alice"
        assert await authenticator_of(users)("alice", "wrong") is None


def test_a_password_in_plain_text_is_refused() -> None:
    with pytest.raises(ValueError, match="alice is not hashed"):
        authenticator_of({"alice": "secret"})


async def test_who_is_not_there_costs_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    work: list[tuple[int, ...]] = []
    scrypt = hashlib.scrypt

    def counted(password: bytes, *, salt: bytes, n: int, r: int, p: int, maxmem: int, dklen: int) -> bytes:
        work.append((n, r, p, dklen))
        return scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=maxmem, dklen=dklen)

    check = authenticator_of({"alice": hash_password("right")})
    monkeypatch.setattr(hashlib, "scrypt", counted)
    assert await check("alice", "wrong") is None
    assert await check("nobody", "wrong") is None
    assert len(work) == 2
    assert work[0] == work[1]


# A provider that somebody wrote for the official SDK


class Handwritten(OAuthProvider):
    """Keeps everything in dicts, as objects of the SDK."""

    def __init__(self) -> None:
        super().__init__(ISSUER, required_scopes=["read"], revocation_options=RevocationOptions(enabled=True))
        self.codes: dict[str, sdk.AuthorizationCode] = {}
        self.refresh: dict[str, sdk.RefreshToken] = {}
        self.access: dict[str, AccessToken] = {}

    async def get_client(self, client_id: str) -> Any:
        urls: Any = ["https://app.example/callback"]
        known = sdk_types.OAuthClientInformationFull(
            client_id="sdk", redirect_uris=urls, token_endpoint_auth_method="none"
        )
        return known if client_id == "sdk" else None

    async def authorize(self, client: Any, params: AuthorizationParams) -> str:
        self.codes["c1"] = sdk.AuthorizationCode(
            code="c1",
            client_id=client.client_id,
            expires_at=time.time() + 60,
            scopes=params.scopes or [],
            code_challenge=params.code_challenge,
            redirect_uri=AnyUrl(params.redirect_uri),
            redirect_uri_provided_explicitly=True,
            resource=params.resource,
        )
        return sdk.construct_redirect_uri(str(params.redirect_uri), code="c1", state=params.state)

    async def load_authorization_code(self, client: Any, authorization_code: str) -> Any:
        return self.codes.get(authorization_code)

    async def exchange_authorization_code(self, client: Any, authorization_code: Any) -> Any:
        del self.codes[authorization_code.code]
        self.access["a1"] = AccessToken(token="a1", client_id=client.client_id, scopes=authorization_code.scopes)
        return sdk_types.OAuthToken(access_token="a1", token_type="Bearer", expires_in=60, scope="read")

    async def load_access_token(self, token: str) -> AccessToken | None:
        return self.access.get(token)

    async def revoke_token(self, token: Any) -> None:
        self.access.clear()


async def test_a_provider_that_was_written_for_the_sdk() -> None:
    provider = Handwritten()
    async with running(provider) as site:
        answer = query_of(await site.authorize(changed(QUERY, client_id="sdk")))
        assert answer == {"code": "c1", "state": "a state & more", "iss": ISSUER}
        reply = await site.redeem("c1", client_id="sdk", code_verifier="x" * 43)
        assert reply.json()["error"] == "invalid_grant"
        reply = await site.redeem("c1", client_id="sdk")
        assert reply.json() == {"access_token": "a1", "token_type": "Bearer", "expires_in": 60, "scope": "read"}
        assert (await site.redeem("c1", client_id="sdk")).json()["error"] == "invalid_grant"
        assert (await site.refresh("x", "sdk")).json()["error"] == "invalid_grant"
        assert (await site.http.post("/register", json={})).status_code == 404
        await site.post("/revoke", [("client_id", "sdk"), ("token", "a1")])
        assert not await site.is_good("a1")
