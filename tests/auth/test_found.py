"""What attackers found in the authorization parts, so that it stays found."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from joserfc import jws, jwt
from joserfc.jwk import ECKey, RSAKey

from headrace.exceptions import StoreError
from headrace.server.auth import AccessToken, JWTVerifier, MultiAuth, RSAKeyPair
from headrace.server.auth.compact import BadToken, Compact
from headrace.server.auth.keys import check_signature
from headrace.server.auth.oauth import cimd, embedded, endpoints, stored
from headrace.server.auth.oauth.assertions import given_keys, read_assertion
from headrace.server.auth.oauth.cimd import ClientDocuments
from headrace.server.auth.oauth.contract import (
    AuthorizationParams,
    AuthorizeError,
    IdentityAssertionParams,
    OAuthClientInformationFull,
)
from headrace.server.auth.oauth.embedded import InMemoryOAuthProvider
from headrace.server.auth.oauth.identity_assertion import IdentityAssertion
from headrace.server.auth.oauth.passwords import hash_password
from headrace.server.auth.oauth.provider import ClientRegistrationOptions, OAuthProvider
from headrace.server.auth.oauth.registration import load_client, renew_client, save_client
from headrace.server.auth.oauth.upstream import UpstreamDown, UpstreamTokens
from headrace.server.auth.oauth_proxy import OAuthProxy
from headrace.server.auth.verifiers import CallableTokenVerifier, StaticTokenVerifier
from headrace.state.memory_records import MemoryRecordStore
from headrace.state.rates import RateLimit, caller_of
from headrace.state.sqlite import SqliteRecordStore

from .oauth_app import (
    CHALLENGE,
    CLIENT_KEY,
    CLIENTS,
    CODE_FORM,
    IDP,
    IDP_KEY,
    ISSUER,
    QUERY,
    REDIRECT,
    SECRET,
    Site,
    basic,
    changed,
    id_jag,
    query_of,
    running,
)
from .test_oauth_proxy import KEY, at_provider, idp, proxy_of, serving
from .test_sign_in import Login, onward, signing_in
from .upstream import Upstream

__all__ = ["idp"]

PROGRAM = OAuthClientInformationFull(client_id="program", redirect_uris=[REDIRECT], token_endpoint_auth_method="none")
ASKED = AuthorizationParams(code_challenge=CHALLENGE, redirect_uri=REDIRECT, scopes=["read"], resource=f"{ISSUER}/mcp")
BY_KEY = (
    ("grant_type", "refresh_token"),
    ("refresh_token", "none"),
    ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
)


async def test_one_server_does_not_finish_what_another_began() -> None:
    """With one store and one secret a user of the one could else log in at the other."""
    store = MemoryRecordStore()
    one, other = (
        InMemoryOAuthProvider(url, store=store, secret_key=KEY, clients=[PROGRAM])
        for url in (ISSUER, "https://other.example")
    )
    id = await one.begin(PROGRAM, ASKED)
    assert await other.transaction(id) is None
    with pytest.raises(AuthorizeError):
        await other.complete(id, subject="somebody of the other")
    code = (await one.complete(id, subject="alice")).partition("code=")[2].partition("&")[0]
    assert await other.load_authorization_code(PROGRAM, code) is None
    assert await one.load_authorization_code(PROGRAM, code) is not None


class _ClientsFail(MemoryRecordStore):
    failing = False

    async def swap(
        self, kind: str, key: str, expected: bytes | None, value: bytes, *, ttl: float | None = None
    ) -> bool:
        if self.failing and kind == "oauth-client":
            raise StoreError("It is locked")
        return await super().swap(kind, key, expected, value, ttl=ttl)


async def test_a_store_that_fails_midway_uses_no_secret_up() -> None:
    store = _ClientsFail()
    async with running(store=store) as site:
        known = {"redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none"}
        client = (await site.http.post("/register", json=known)).json()["client_id"]
        code = query_of(await site.authorize(changed(QUERY, client_id=client)))["code"]
        store.failing = True
        assert (await site.redeem(code, client_id=client)).status_code == 503
        store.failing = False
        tokens = (await site.redeem(code, client_id=client)).json()
        store.failing = True
        assert (await site.refresh(tokens["refresh_token"], client)).status_code == 503
        store.failing = False
        assert (await site.refresh(tokens["refresh_token"], client)).status_code == 200


@pytest.mark.parametrize("typ", ["JWT", "application/jwt", "Application/JWT", None])
async def test_an_id_token_is_no_access_token_however_its_type_is_spelled(typ: str | None) -> None:
    pair = RSAKeyPair.generate()
    verifier = JWTVerifier(public_key=pair.public_key, audience="app")
    claims = {"aud": "app", "sub": "alice", "exp": int(time.time()) + 60}
    header = {"alg": "RS256"} | ({} if typ is None else {"typ": typ})
    key = RSAKey.import_key(pair.private_key)
    assert await verifier.verify_token(jwt.encode(header, claims, key)) is not None
    assert await verifier.verify_token(jwt.encode(header, {**claims, "at_hash": "x"}, key)) is None


def test_what_one_of_several_verifiers_demands_is_not_lost() -> None:
    pair = RSAKeyPair.generate()

    def verifier(dpop: str) -> JWTVerifier:
        return JWTVerifier(public_key=pair.public_key, audience="app", dpop=dpop)

    assert MultiAuth(verifiers=[verifier("off"), verifier("off")]).dpop is None
    demanding = MultiAuth(server=StaticTokenVerifier({}), verifiers=[verifier("allowed"), verifier("required")]).dpop
    assert demanding is not None
    assert demanding.required


def test_a_client_of_many_keys_costs_no_more_than_one_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [ECKey.generate_key("P-256").as_dict(private=False) for _ in range(20)]
    keys = given_keys({"keys": [{name: key[name] for name in ("kty", "crv", "x", "y")} for key in made]})
    tried: list[Any] = []
    monkeypatch.setattr(Compact, "signed_with", lambda self, key: tried.append(key))
    token = jwt.encode({"alg": "ES256"}, {}, ECKey.generate_key("P-256"))
    with pytest.raises(BadToken):
        check_signature(read_assertion(token, "jwt")[0], keys)
    assert (len(keys), len(tried)) == (20, 8)


def _with_jti(escaped: str) -> str:
    now = int(time.time())
    claims = f'{{"iss": "key", "sub": "key", "aud": "{ISSUER}", "exp": {now + 60}, "jti": "{escaped}"}}'
    return jws.serialize_compact({"alg": "ES256", "kid": "client"}, claims.encode(), CLIENT_KEY, algorithms=["ES256"])


async def test_an_assertion_with_half_a_character_is_refused_like_another() -> None:
    async with running() as site:
        for expected in (400, 401):  # no such refresh token; then: used before
            reply = await site.post("/token", [*BY_KEY, ("client_assertion", _with_jti(r"\ud800"))])
            assert reply.status_code == expected, reply.text


async def test_what_is_over_leaves_the_file_faster_than_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.state.sqlite._SWEEP_ROWS", 10)
    store = SqliteRecordStore(tmp_path / "records")
    try:
        await asyncio.gather(*(store.put("short", str(each), b"", ttl=-1) for each in range(100)))
        await store.close()
        store = SqliteRecordStore(tmp_path / "records")  # its first change sweeps
        for each in range(15):
            await store.put("long", str(each), b"")
        assert await store.count("short") < 20
    finally:
        await store.close()


async def test_a_state_is_no_place_to_store_things() -> None:
    async with running() as site:
        assert "code" in query_of(await site.authorize(changed(QUERY, state="s" * 4096)))
        assert query_of(await site.authorize(changed(QUERY, state="s" * 4097)))["error"] == "invalid_request"


async def test_so_many_logins_wait_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "MAX_TRANSACTIONS", 2)
    async with signing_in() as site:
        logins = [Login(site), Login(site)]
        for login in logins:
            await login.begin()
        assert query_of(await site.authorize())["error"] == "temporarily_unavailable"
        await logins[0].answer()
        assert "transaction" in query_of(await site.authorize())


async def test_one_network_begins_so_many_logins_and_another_is_not_kept_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "LOGINS_PER_NETWORK", RateLimit(per_second=0.01, burst=2))
    seen = iter(["192.0.2.1"] * 3 + ["192.0.2.2"])
    monkeypatch.setattr(endpoints, "caller_of", lambda principal, scope: caller_of(None, {"client": (next(seen), 1)}))
    async with signing_in() as site:
        replies = [await site.authorize() for _ in range(4)]
        assert [reply.status_code for reply in replies] == [302, 302, 503, 302]
        assert "your network" in replies[2].text


async def test_wrong_passwords_of_one_network_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "WRONG_PER_NETWORK", RateLimit(per_second=0.001, burst=3))
    async with signing_in() as site:
        for _ in range(5):  # right ones do not count
            login = Login(site)
            await login.begin()
            assert "code" in onward(await login.answer())
        login = Login(site)
        await login.begin()
        answers = [await login.answer(f"user {number}", "wrong") for number in range(4)]
        assert ["User name or password are wrong" in each.text for each in answers] == [True] * 3 + [False]
        assert "your network" in (await login.answer()).text


async def test_a_user_who_is_gone_is_not_renewed() -> None:
    users = {name: hash_password(name) for name in ("alice", "bob")}
    async with signing_in(users, secret_key=KEY) as site:
        login = Login(site)
        await login.begin()
        code = onward(await login.answer())["code"]
        tokens = (await site.post("/token", changed(CODE_FORM, code=code))).json()
        tokens = (await site.refresh(tokens["refresh_token"])).json()
        site.provider._table = frozenset(["bob"])
        reply = await site.refresh(tokens["refresh_token"])
        assert (reply.status_code, reply.json()["error"]) == (400, "invalid_grant")
        assert not await site.is_good(tokens["access_token"])


async def test_a_login_goes_to_the_provider_a_few_times(idp: Upstream) -> None:
    async with serving(proxy_of(idp)) as site, site.browser() as browser:
        page = await site.authorize()
        for _ in range(5):
            await browser.allow(page)
        reply = await browser.post("/consent", {**await browser.ask(page), "answer": "allow"})
        assert reply.status_code == 400
        assert "too often" in reply.text


async def test_a_verifier_that_fails_does_not_tell_the_providers_token(caplog: pytest.LogCaptureFixture) -> None:
    def fail(token: str) -> AccessToken:
        raise OSError(f"GET /tokeninfo?access_token={token}")

    proxy = OAuthProxy(
        upstream_authorization_endpoint="https://idp.example/authorize",
        upstream_token_endpoint="https://idp.example/token",
        upstream_client_id="app",
        upstream_client_secret=SECRET,
        token_verifier=CallableTokenVerifier(fail),
        base_url=ISSUER,
        jwt_signing_key=KEY,
    )
    with pytest.raises(UpstreamDown) as raised:
        await proxy.verify_upstream(UpstreamTokens(access_token="token-of-the-provider"))
    assert "tokeninfo" in caplog.text
    assert "token-of-the-provider" not in caplog.text + str(raised.value)


@pytest.mark.parametrize("depth", [63, 964, 968])
async def test_what_is_nested_too_deeply_is_no_client(depth: int) -> None:
    """What can be read at one depth of the stack can't be written at another: the client's requests were 500."""
    key = '{"kty": "EC", "x": ' + "[" * depth + "]" * depth + "}"
    members = f'"redirect_uris": ["{REDIRECT}"], "token_endpoint_auth_method": "private_key_jwt"'
    body = f'{{{members}, "jwks": {{"keys": [{key}]}}}}'
    async with running() as site:
        reply = await site.http.post("/register", content=body, headers={"content-type": "application/json"})
        assert (reply.status_code, reply.json()["error"]) == (400, "invalid_client_metadata"), reply.text


# Programs that register themselves

NEW = {
    "redirect_uris": [REDIRECT, "http://127.0.0.1/callback", "vscode:/callback"],
    "token_endpoint_auth_method": "none",
}


async def test_one_network_registers_so_many_programs_and_another_is_not_kept_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endpoints, "REGISTRATIONS_PER_NETWORK", RateLimit(per_second=0.01, burst=2))
    seen = iter([f"2001:db8::{number}" for number in range(4)] + ["2001:db8:0:1::1"])
    monkeypatch.setattr(endpoints, "caller_of", lambda principal, scope: caller_of(None, {"client": (next(seen), 1)}))
    async with running() as site:
        assert (await site.http.post("/register", json={})).status_code == 400  # what is refused does not count
        replies = [await site.http.post("/register", json=NEW) for _ in range(5)]
    assert [reply.status_code for reply in replies] == [201, 201, 429, 429, 201]
    assert replies[2].json()["error"] == "temporarily_unavailable"
    assert 90 < int(replies[2].headers["retry-after"]) <= 100


async def test_the_more_programs_nobody_uses_the_sooner_they_give_way() -> None:
    now = [0.0]
    records = MemoryRecordStore(clock=lambda: now[0])
    for number in range(100):
        await save_client(records, OAuthClientInformationFull(client_id=str(number)), limit=100)
    now[0] = 900.0
    assert await records.count("oauth-client-new") < 100
    await save_client(records, OAuthClientInformationFull(client_id="later"), limit=100)
    now[0] += 899.0
    assert await records.get("oauth-client-new", "later") is not None


async def test_a_network_that_registers_as_fast_as_it_may_leaves_room() -> None:
    now = [0.0]
    records, limit = MemoryRecordStore(clock=lambda: now[0]), endpoints.REGISTRATIONS_PER_NETWORK
    for number in range(limit.burst + 5_000):
        now[0] = max(0, number - limit.burst) / limit.per_second
        await save_client(records, OAuthClientInformationFull(client_id=str(number)))


async def test_programs_that_are_used_keep_no_new_one_out() -> None:
    records = MemoryRecordStore()
    for number in range(5):
        await save_client(records, OAuthClientInformationFull(client_id=str(number)), limit=1)
        await renew_client(records, str(number))
    assert await load_client(records, "0") is not None


class _Moving(MemoryRecordStore):
    """Another request of the same program redeems its code in the middle of this one."""

    async def get(self, kind: str, key: str) -> bytes | None:
        found = await super().get(kind, key)
        if found is None and kind == "oauth-client" and await super().get("oauth-client-new", key) is not None:
            await self.put(kind, key, await self.take("oauth-client-new", key) or b"")
        return found


async def test_a_program_that_is_used_for_the_first_time_is_known_all_the_while() -> None:
    records = _Moving()
    await save_client(records, OAuthClientInformationFull(client_id="new"))
    assert await load_client(records, "new") is not None


async def test_a_program_whose_users_come_by_assertions_is_used() -> None:
    async with running() as site:
        provider: InMemoryOAuthProvider = site.provider
        client = msgspec.structs.replace(PROGRAM, client_id="company")
        await provider.register_client(client)
        assertion = IdentityAssertionParams(assertion=id_jag(client_id="company"))
        await provider.exchange_identity_assertion(client, assertion)
        assert await provider.records.get("oauth-client", "company") is not None


async def test_who_signs_assertions_all_the_time_ends_no_login() -> None:
    provider = InMemoryOAuthProvider(ISSUER, store=MemoryRecordStore(max_bytes=20_000), secret_key=KEY)
    asked = [provider.use_once("jti https://a.example", str(number), 3600) for number in range(100)]
    assert any(isinstance(each, StoreError) for each in await asyncio.gather(*asked, return_exceptions=True))
    assert await provider.is_within(5, "password", "a login", 600)


async def test_one_network_has_so_many_documents_read_and_another_is_not_kept_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return []

    monkeypatch.setattr(cimd, "_PER_MINUTE_FOR_NETWORK", 2)
    seen = iter(["192.0.2.1"] * 4 + ["192.0.2.2"])
    monkeypatch.setattr(endpoints, "caller_of", lambda principal, scope: caller_of(None, {"client": (next(seen), 1)}))
    async with running(client_documents=ClientDocuments(resolve=resolve)) as site:
        said: list[str] = []
        for number in range(4):
            form = [("grant_type", "refresh_token"), ("client_id", f"https://{number}.example/client")]
            said.append((await site.post("/token", form)).json()["error_description"])
        page = await site.authorize(changed(QUERY, client_id="https://5.example/client"))
    assert ["wait a minute" in text for text in said] == [False, False, True, True]
    assert "no address" in page.text


async def test_where_an_identity_providers_keys_are_is_told_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    believed = IdentityAssertion([IDP], jwks_uris={IDP: "http://127.0.0.1:1/secret-place"})
    async with running(identity_assertion=believed) as site:
        form = [("grant_type", endpoints.JWT_BEARER), ("assertion", id_jag())]
        reply = await site.post("/token", form, basic("basic", SECRET))
    assert (reply.status_code, reply.json()["error"]) == (503, "temporarily_unavailable")
    assert "secret-place" not in reply.text
    assert "secret-place" in caplog.text


async def _registered(site: Site) -> str:
    return (await site.http.post("/register", json=NEW)).json()["client_id"]


@pytest.mark.parametrize(
    ("client", "uri", "status"),
    [
        ("new", REDIRECT, 400),
        ("new", "http://127.0.0.1:3000/callback", 302),
        ("new", "vscode:/callback", 302),
        ("public", REDIRECT, 302),
    ],
)
async def test_a_wrong_request_of_a_program_nobody_knows_redirects_to_no_site(
    client: str, uri: str, status: int
) -> None:
    """Links to this server could else lead anywhere (RFC 9700, 4.11.2)."""
    async with running() as site:
        client_id = await _registered(site) if client == "new" else client
        reply = await site.authorize(changed(QUERY, client_id=client_id, redirect_uri=uri, scope="unknown"))
        assert reply.status_code == status
        if status == 302:
            assert query_of(reply)["error"] == "invalid_scope"
            return
        assert "location" not in reply.headers
        assert "refresh" not in reply.headers
        assert f'<a href="{REDIRECT}?error=invalid_scope&amp;' in reply.text
        assert ">Back to https://app.example</a>" in reply.text
        right = await site.authorize(changed(QUERY, client_id=client_id))
        assert "code" in query_of(right)


# Who is who


async def test_a_user_is_no_client_that_has_tokens_of_its_own() -> None:
    believed = IdentityAssertion(
        [IDP], jwks={IDP: {"keys": [IDP_KEY.as_dict(private=False)]}}, subject=lambda claims: claims["sub"]
    )
    async with running(identity_assertion=believed) as site:
        with pytest.raises(AuthorizeError, match="name of a client"):
            await site.provider.complete(await site.provider.begin(PROGRAM, ASKED), subject="machine")
        form = {"grant_type": endpoints.JWT_BEARER, "assertion": id_jag(sub="machine")}
        reply = await site.post("/token", list(form.items()), basic("basic", SECRET))
        assert (reply.status_code, reply.json()["error"]) == (400, "access_denied")
        # One that has none may be called as it likes.
        assert await site.provider.complete(await site.provider.begin(PROGRAM, ASKED), subject="public")


async def test_users_whom_the_provider_does_not_name_are_not_one(
    idp: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    nobody = CallableTokenVerifier(lambda token: AccessToken(token=token, client_id="app", scopes=["read"]))
    async with serving(proxy_of(idp, token_verifier=nobody)) as site, site.browser() as browser:
        back = await at_provider(await browser.allow(await site.authorize()))
        answer = query_of(await browser.get(back))
    assert answer["error"] == "server_error"
    assert "does not say who the user is" in answer["error_description"]
    assert "claims['sub']" in caplog.text


# What is kept, and by whom


@pytest.mark.parametrize("kind", ["oauth-transaction", "oauth-grant"])
async def test_what_another_version_kept_is_not_there(kind: str) -> None:
    provider = InMemoryOAuthProvider(ISSUER, secret_key=KEY, clients=[PROGRAM])
    await provider.records.put(kind, "id", b'{"client_id": 1}')
    assert await provider.transaction("id") is None
    assert await provider.load_authorization_code(PROGRAM, "id.0.x") is None
    with pytest.raises(AuthorizeError, match="This login is over"):
        await provider.complete("id", subject="alice")


async def test_a_login_that_another_version_kept_is_over(idp: Upstream) -> None:
    async with serving(proxy_of(idp)) as site:
        tokens = await site.login()
        grant = await site.proxy._grants.of_secret(tokens["refresh_token"])
        assert grant is not None
        await site.proxy.records.put("oauth-upstream-tokens", grant[0].extra.decode(), b'{"token": 1}')
        assert (await site.whoami(tokens)).status_code == 401
        reply = await site.refresh(tokens)
        assert (reply.status_code, reply.json()["error"]) == (400, "invalid_grant")


@dataclass
class _Error(Exception):
    """As the official SDK's are."""

    error: str
    error_description: str | None = None


class _ForTheSDK(OAuthProvider):
    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        return next((client for client in CLIENTS if client.client_id == client_id), None)

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        raise _Error("invalid_redirect_uri", "Not this one")

    async def authorize(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        raise _Error("access_denied", "Not today")

    async def load_refresh_token(self, client: OAuthClientInformationFull, refresh_token: str) -> Any:
        raise _Error("invalid_grant", None) if refresh_token == "refused" else OSError("It is broken")


async def test_the_errors_of_the_official_sdk_are_understood() -> None:
    provider = _ForTheSDK(ISSUER, client_registration_options=ClientRegistrationOptions(enabled=True))
    async with running(provider) as site:
        answer = query_of(await site.authorize(changed(QUERY, redirect_uri="http://127.0.0.1/callback")))
        assert (answer["error"], answer["error_description"]) == ("access_denied", "Not today")
        reply = await site.http.post("/register", json=NEW)
        assert (reply.status_code, reply.json()["error"]) == (400, "invalid_redirect_uri")
        reply = await site.refresh("refused")
        assert (reply.status_code, reply.json()) == (400, {"error": "invalid_grant"})
        assert (await site.refresh("broken")).status_code == 500
