"""Clients that register themselves: what they get, what is refused, how many there may be, how long they are kept."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from headrace.server.auth.oauth.contract import AuthorizationParams, OAuthClientInformationFull, RegistrationError
from headrace.server.auth.oauth.registration import load_client, read_registration, renew_client, save_client
from headrace.server.auth.oauth.stored import StoredOAuthProvider
from headrace.state.memory import MemoryRecordStore

LOCAL = "http://localhost:3000/cb"
REMOTE = "https://app.example.com/cb"
KEY = {"kty": "EC", "crv": "P-256", "x": "a", "y": "b"}
SIGNING = {"redirect_uris": [LOCAL], "token_endpoint_auth_method": "private_key_jwt"}


def register(document: Any = None, /, **options: Any) -> OAuthClientInformationFull:
    given = {"redirect_uris": [LOCAL], "token_endpoint_auth_method": "none"} if document is None else document
    return read_registration(given if isinstance(given, bytes) else json.dumps(given).encode(), **options)


def test_what_a_public_client_gets() -> None:
    client = register(
        {
            "client_id": "mine",
            "client_secret": "mine",
            "client_secret_expires_at": 1,
            "client_name": "  Bücher 👩\u200d💻 ",
            "client_name#de": "x",
            "redirect_uris": [LOCAL, LOCAL],
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
            "response_types": ["code", "token"],
            "client_uri": "https://app.example.com/",
            "logo_uri": "",
            "contacts": None,
            "jwks_uri": "https://app.example.com/keys",
            "unknown": {"a": [1]},
        }
    )
    assert client.client_id not in ("", "mine")
    assert client.client_secret is None
    assert client.client_secret_expires_at is None
    assert client.client_id_issued_at is not None
    assert abs(client.client_id_issued_at - time.time()) < 60
    assert client.client_name == "Bücher 👩\u200d💻"
    assert client.redirect_uris == [LOCAL]
    assert client.grant_types == ["authorization_code", "refresh_token"]
    assert client.response_types == ["code"]
    assert client.application_type == "native"
    assert (client.client_uri, client.logo_uri, client.contacts) == ("https://app.example.com/", None, None)
    assert client.jwks_uri is None  # of no use to who does not sign


@pytest.mark.parametrize("method", [None, "client_secret_basic", "client_secret_post"])
def test_what_a_confidential_client_gets(method: str | None) -> None:
    document = {"redirect_uris": [REMOTE]} | ({} if method is None else {"token_endpoint_auth_method": method})
    one, other = register(document), register(document, secret_seconds=60)
    assert one.token_endpoint_auth_method == method or (
        method is None and "basic" in str(one.token_endpoint_auth_method)
    )
    assert one.client_secret is not None
    assert len(one.client_secret) >= 32
    assert one.client_secret != other.client_secret
    assert one.client_id != other.client_id
    assert one.client_secret_expires_at == 0
    assert other.client_secret_expires_at == (other.client_id_issued_at or 0) + 60
    assert one.application_type == "web"
    assert one.client_secret not in repr(one)


@pytest.mark.parametrize(
    ("asked", "allowed", "default", "expected"),
    [
        (None, None, None, None),
        (None, ["a", "b"], ["a"], "a"),
        ("a b", None, None, "a b"),
        ("b a b openid", ["a", "b"], None, "b a"),
        ("", ["a"], ["a"], "a"),
    ],
)
def test_scopes(asked: str | None, allowed: Any, default: Any, expected: str | None) -> None:
    document = {"redirect_uris": [LOCAL], "scope": asked}
    assert register(document, scopes_allowed=allowed, scopes_default=default).scope == expected


@pytest.mark.parametrize(
    "uris",
    [
        [LOCAL],
        [REMOTE, LOCAL, "http://127.0.0.1/"],  # as VS Code registers
        ["com.example.app:/cb"],
        ["cursor://anysphere.cursor-mcp/cb"],
    ],
)
def test_native_clients(uris: list[str]) -> None:
    assert register({"redirect_uris": uris}).application_type == "native"
    assert register({"redirect_uris": uris, "application_type": "native"}).redirect_uris == uris
    with pytest.raises(RegistrationError, match="use application_type native"):
        register({"redirect_uris": uris, "application_type": "web"})


@pytest.mark.parametrize("host", ["localhost", "app.localhost", "127.0.0.2", "[::1]", "LOCALHOST:8443"])
def test_a_web_client_is_not_on_the_users_machine(host: str) -> None:
    with pytest.raises(RegistrationError, match="host of its own"):
        register({"redirect_uris": [f"https://{host}/cb"], "application_type": "web"})


def test_clients_that_prove_who_they_are_without_a_secret() -> None:
    for keys in ({"jwks": {"keys": [KEY]}}, {"jwks_uri": "https://app.example.com/keys"}):
        client = register(SIGNING | keys)
        assert client.client_secret is None
        assert client.jwks or client.jwks_uri


def test_other_grants_are_for_who_allows_them() -> None:
    document: dict[str, Any] = {"grant_types": ["client_credentials"]}
    client = register(document, grant_types=["client_credentials"])
    assert (client.redirect_uris, client.response_types) == ([], [])
    assert client.client_secret
    with pytest.raises(RegistrationError, match="prove who it is"):
        register(document | {"token_endpoint_auth_method": "none"}, grant_types=["client_credentials"])


REFUSED: list[tuple[Any, str, str]] = [
    (b"", "invalid_client_metadata", "no client metadata"),
    (b"redirect_uris=http://localhost/", "invalid_client_metadata", "no client metadata"),
    (b"[]", "invalid_client_metadata", "no client metadata"),
    (b"null", "invalid_client_metadata", "no client metadata"),
    (b'{"redirect_uris": ["http://localhost/"]} {}', "invalid_client_metadata", "no client metadata"),
    (b"\xff\xfe{}", "invalid_client_metadata", "no client metadata"),
    (b'{"client_name": "\xff"}', "invalid_client_metadata", "no client metadata"),
    (b'{"jwks": ' + b'{"a":' * 1500, "invalid_client_metadata", "no client metadata"),
    (b'{"a": NaN}', "invalid_client_metadata", "no client metadata"),
    (b" " * 8193, "invalid_client_metadata", "longer than"),
    ({}, "invalid_redirect_uri", "at least one"),
    ({"redirect_uris": []}, "invalid_redirect_uri", "at least one"),
    ({"redirect_uris": LOCAL}, "invalid_client_metadata", "redirect_uris"),
    ({"redirect_uris": [1]}, "invalid_client_metadata", "redirect_uris"),
    ({"redirect_uris": [None]}, "invalid_client_metadata", "redirect_uris"),
    ({"redirect_uris": [LOCAL, "javascript:alert(1)"]}, "invalid_redirect_uri", "scheme"),
    ({"redirect_uris": [f"{LOCAL}{n}" for n in range(51)]}, "invalid_redirect_uri", "more than 50"),
    ({"redirect_uris": [LOCAL + "a" * 2048]}, "invalid_redirect_uri", "longer than"),
    ({"redirect_uris": [LOCAL], "application_type": "spa"}, "invalid_client_metadata", "web or native"),
    (
        {"redirect_uris": [LOCAL], "token_endpoint_auth_method": "client_secret_jwt"},
        "invalid_client_metadata",
        "one of",
    ),
    ({"redirect_uris": [LOCAL], "token_endpoint_auth_method": "None"}, "invalid_client_metadata", "one of"),
    ({"redirect_uris": [LOCAL], "grant_types": ["password"]}, "invalid_client_metadata", "grant_types"),
    ({"redirect_uris": [LOCAL], "grant_types": ["client_credentials"]}, "invalid_client_metadata", "grant_types"),
    ({"redirect_uris": [LOCAL], "grant_types": ["refresh_token"]}, "invalid_client_metadata", "grant_types"),
    ({"redirect_uris": [LOCAL], "grant_types": []}, "invalid_client_metadata", "grant_types"),
    ({"redirect_uris": [LOCAL], "response_types": ["token"]}, "invalid_client_metadata", "code"),
    ({"redirect_uris": [LOCAL], "scope": "admin"}, "invalid_client_metadata", "none of these scopes; it has: read"),
    ({"redirect_uris": [LOCAL], "scope": "read  write"}, "invalid_client_metadata", "single blanks"),
    ({"redirect_uris": [LOCAL], "scope": 'read"'}, "invalid_client_metadata", "single blanks"),
    ({"redirect_uris": [LOCAL], "client_name": "a" * 201}, "invalid_client_metadata", "client_name"),
    ({"redirect_uris": [LOCAL], "client_name": "a\nb"}, "invalid_client_metadata", "client_name"),
    ({"redirect_uris": [LOCAL], "client_name": "a\x00"}, "invalid_client_metadata", "client_name"),
    ({"redirect_uris": [LOCAL], "client_name": "moc.elpmaxe\u202e"}, "invalid_client_metadata", "client_name"),
    ({"redirect_uris": [LOCAL], "client_name": "Goo\u200bgle"}, "invalid_client_metadata", "client_name"),
    ({"redirect_uris": [LOCAL], "client_name": ["a"]}, "invalid_client_metadata", "client_name"),
    ({"redirect_uris": [LOCAL], "client_uri": "javascript:alert(1)"}, "invalid_client_metadata", "client_uri"),
    ({"redirect_uris": [LOCAL], "logo_uri": "data:image/svg+xml,x"}, "invalid_client_metadata", "logo_uri"),
    ({"redirect_uris": [LOCAL], "tos_uri": "https://bank.example@evil.example/"}, "invalid_client_metadata", "tos_uri"),
    ({"redirect_uris": [LOCAL], "policy_uri": "https://[evil"}, "invalid_client_metadata", "policy_uri"),
    ({"redirect_uris": [LOCAL], "policy_uri": "https://a.example/" + "a" * 2048}, "invalid_client_metadata", "policy"),
    ({"redirect_uris": [LOCAL], "contacts": ["a@example.com"] * 11}, "invalid_client_metadata", "contacts"),
    ({"redirect_uris": [LOCAL], "contacts": ["a" * 201]}, "invalid_client_metadata", "contacts"),
    ({"redirect_uris": [LOCAL], "software_id": "a\rb"}, "invalid_client_metadata", "software_id"),
    (SIGNING, "invalid_client_metadata", "jwks or jwks_uri"),
    (SIGNING | {"jwks": {"keys": [KEY]}, "jwks_uri": "https://a.example/"}, "invalid_client_metadata", "only one"),
    (SIGNING | {"jwks_uri": "http://a.example/keys"}, "invalid_client_metadata", "https URL"),
    (SIGNING | {"jwks_uri": "file:///keys"}, "invalid_client_metadata", "https URL"),
    (SIGNING | {"jwks": {}}, "invalid_client_metadata", "1 to 10 keys"),
    (SIGNING | {"jwks": {"keys": []}}, "invalid_client_metadata", "1 to 10 keys"),
    (SIGNING | {"jwks": {"keys": {"a": 1}}}, "invalid_client_metadata", "1 to 10 keys"),
    (SIGNING | {"jwks": {"keys": [KEY] * 11}}, "invalid_client_metadata", "1 to 10 keys"),
    (SIGNING | {"jwks": {"keys": [1]}}, "invalid_client_metadata", "JWK form"),
    (SIGNING | {"jwks": {"keys": [{}]}}, "invalid_client_metadata", "JWK form"),
    (SIGNING | {"jwks": {"keys": [KEY, KEY | {"d": "x"}]}}, "invalid_client_metadata", "public keys only"),
    (SIGNING | {"jwks": {"keys": [{"kty": "oct", "k": "x"}]}}, "invalid_client_metadata", "public keys only"),
]


@pytest.mark.parametrize(("document", "error", "message"), REFUSED)
def test_what_is_refused(document: Any, error: str, message: str) -> None:
    with pytest.raises(RegistrationError, match=message) as caught:
        register(document, scopes_allowed=["read", "write"])
    assert caught.value.error == error
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_there_are_so_many_that_are_refused() -> None:
    assert len(REFUSED) == 55


def test_redirects_may_be_few() -> None:
    with pytest.raises(RegistrationError, match="does not allow"):
        register({"redirect_uris": [REMOTE]}, redirect_patterns=["http://localhost:*"])


# Where they are kept


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_client_comes_back_as_it_was() -> None:
    records = MemoryRecordStore()
    client = register(SIGNING | {"jwks": {"keys": [KEY]}, "client_name": "Bücher", "scope": "a b"})
    await save_client(records, client)
    assert await load_client(records, client.client_id) == client
    assert await load_client(records, "other") is None


async def test_so_many_clients_and_no_more() -> None:
    records = MemoryRecordStore()
    for _ in range(3):
        await save_client(records, register(), limit=3)
    with pytest.raises(RegistrationError, match="3 new clients and takes no more") as caught:
        await save_client(records, register(), limit=3)
    assert caught.value.error == "temporarily_unavailable"
    await save_client(records, register(), limit=None)


async def test_who_is_not_used_is_forgotten_and_makes_room() -> None:
    clock = Clock()
    records = MemoryRecordStore(clock=clock)
    used, unused, own = register(), register(), register()
    await save_client(records, used, limit=2)
    await save_client(records, unused, limit=2)
    await save_client(records, own, limit=None, ttl=None)
    await renew_client(records, used.client_id)
    await renew_client(records, "nobody")
    clock.now += 4 * 24 * 3600
    assert await load_client(records, used.client_id) == used
    assert await load_client(records, unused.client_id) is None
    assert [await records.count(kind) for kind in ("oauth-client", "oauth-client-new")] == [1, 1]
    clock.now += 80 * 24 * 3600
    await renew_client(records, used.client_id)
    clock.now += 80 * 24 * 3600
    assert await load_client(records, used.client_id) == used
    clock.now += 11 * 24 * 3600
    assert await load_client(records, used.client_id) is None
    assert await load_client(records, own.client_id) == own


async def test_a_login_keeps_the_client_and_an_abandoned_one_does_not() -> None:
    clock = Clock()
    provider = StoredOAuthProvider("https://mcp.example.com", store=MemoryRecordStore(clock=clock))
    used, abandoned = register(), register()
    for client in (used, abandoned):
        await provider.register_client(client)
        params = AuthorizationParams(code_challenge="a" * 43, redirect_uri=LOCAL)
        transaction = await provider.begin(client, params)
    url = await provider.complete(await provider.begin(used, params), subject="alice")
    code = await provider.load_authorization_code(used, parse_qs(urlsplit(url).query)["code"][0])
    assert code is not None
    await provider.exchange_authorization_code(used, code)
    clock.now += 4 * 24 * 3600
    assert await provider.get_client(used.client_id) == used
    assert await provider.get_client(abandoned.client_id) is None
    assert await provider.transaction(transaction) is None


async def test_a_record_of_another_version_is_no_client() -> None:
    records = MemoryRecordStore()
    await records.put("oauth-client", "a", b'{"client_id": 1}')
    assert await load_client(records, "a") is None
