"""MultiAuth: several verifiers behind one door."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.server.auth import AccessToken, CallableTokenVerifier, MultiAuth, RemoteAuthProvider, StaticTokenVerifier

from .door import door

BASE = "https://mcp.example.com"


def table(token: str, scopes: str = "", **options: Any) -> StaticTokenVerifier:
    return StaticTokenVerifier({token: {"client_id": "app", "scopes": scopes.split()}}, **options)


def broken(token: str) -> bool:
    raise ConnectionError("down")


async def test_the_first_that_accepts_vouches_for_it() -> None:
    async with door(MultiAuth(server=table("a"), verifiers=[table("b"), table("c")])) as ask:
        assert [(await ask(token)).status for token in "abcd"] == [200, 200, 200, 401]


async def test_users_of_one_verifier_are_not_those_of_another() -> None:
    """Both call them "app"; sessions and request state are bound to the principal."""
    async with door(MultiAuth(server=table("a"), verifiers={"x": table("b"), "y": table("c")})) as ask:
        principals = [(await ask(token)).claims["principal"] for token in "abc"]
    assert len(set(principals)) == 3
    async with door(MultiAuth(server=table("other"), verifiers={"y": table("c")})) as ask:
        assert (await ask("c")).claims["principal"] == principals[2], "it is the name that tells, not the place"


async def test_one_that_fails_inside_lets_nobody_in() -> None:
    down = CallableTokenVerifier(broken)
    for verifiers in ([down, table("a")], [table("a"), down]):
        async with door(MultiAuth(verifiers=verifiers)) as ask:
            assert [(await ask(token)).status for token in ("a", "b")] == [200, 503]
            assert ask.ran == ["a"]


async def test_scopes_of_one_verifier_hold_for_its_tokens() -> None:
    auth = MultiAuth(
        verifiers=[table("a", "read", required_scopes=["read"]), table("b", "read", required_scopes=["admin"])],
        required_scopes=["read"],
    )
    async with door(auth) as ask:
        assert [(await ask(token)).status for token in "ab"] == [200, 401]
    async with door(MultiAuth(verifiers=table("a"), required_scopes=["read"])) as ask:
        said = await ask("a")
        assert said.status == 403
        assert 'scope="read"' in said.challenges[0]


async def test_an_expired_token_of_one_is_asked_of_the_next() -> None:
    def other(token: str) -> AccessToken:
        return AccessToken(token=token, client_id="other")

    expired = StaticTokenVerifier({"t": {"client_id": "app", "expires_at": 1}})
    async with door(MultiAuth(verifiers=[expired])) as ask:
        assert (await ask("t")).status == 401
    async with door(MultiAuth(verifiers=[expired, CallableTokenVerifier(other)])) as ask:
        assert "other" in (await ask("t")).claims["principal"]


async def test_routes_are_those_of_the_server() -> None:
    server = RemoteAuthProvider(table("a", required_scopes=["read"]), ["https://login.example.com"], BASE)
    auth = MultiAuth(server=server, verifiers=[table("b", "read")])
    assert [route.path for route in auth.get_well_known_routes("/mcp")] == ["/.well-known/oauth-protected-resource/mcp"]
    assert (auth.base_url, auth.required_scopes) == (BASE, ["read"])
    async with door(auth) as ask:
        assert f"{BASE}/.well-known/oauth-protected-resource/mcp" in (await ask(None)).challenges[0]
        assert (await ask("b")).status == 200


async def test_what_is_forgotten_inside_is_forgotten_at_the_door() -> None:
    live = {"t"}
    inner = CallableTokenVerifier(lambda token: token in live)
    auth = MultiAuth(server=RemoteAuthProvider(inner, ["https://login.example.com"], BASE))
    async with door(auth) as ask:
        assert (await ask("t")).status == 200
        live.clear()
        assert (await ask("t")).status == 200, "it is known for a minute"
        inner.forget("another")
        assert (await ask("t")).status == 200
        inner.forget("t")
        assert (await ask("t")).status == 401


async def test_what_is_revoked_while_it_is_verified_is_not_remembered() -> None:
    live = {"t"}

    async def verify(token: str) -> bool:
        good = token in live
        live.clear()
        inner.forget(token)
        return good

    inner = CallableTokenVerifier(verify)
    async with door(MultiAuth(verifiers=[inner])) as ask:
        assert [(await ask("t")).status for _ in range(2)] == [200, 401]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "a server or a verifier"),
        ({"server": table("a"), "verifiers": {"server": table("b")}}, "names of their own"),
        ({"verifiers": {"": table("b")}}, "names of their own"),
        ({"server": table("a", base_url=BASE), "base_url": "https://other.example"}, "to the server"),
    ],
)
def test_settings_that_cannot_be_meant(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        MultiAuth(**options)
