"""The ready providers: what each is configured with, and what its verifier makes of the provider's answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from headrace import FastMCP
from headrace.exceptions import FetchError
from headrace.server.auth.keys import RSAKeyPair
from headrace.server.auth.oauth_proxy import OAuthProxy
from headrace.server.auth.oidc_proxy import OIDCProxy
from headrace.server.auth.provider import RemoteAuthProvider
from headrace.server.auth.providers.auth0 import Auth0JWTVerifier
from headrace.server.auth.providers.aws import AWSCognitoTokenVerifier
from headrace.server.auth.providers.azure import AzureJWTVerifier, AzureProvider
from headrace.server.auth.providers.clerk import ClerkTokenVerifier
from headrace.server.auth.providers.descope import DescopeProvider
from headrace.server.auth.providers.discord import DiscordTokenVerifier
from headrace.server.auth.providers.github import GitHubTokenVerifier
from headrace.server.auth.providers.google import GoogleProvider, GoogleTokenVerifier
from headrace.server.auth.providers.huggingface import HuggingFaceTokenVerifier
from headrace.server.auth.providers.workos import WorkOSTokenVerifier
from headrace.testing import asgi_server

from ..http.servers import run

BASE = "https://app.example"
APP: Any = {"client_id": "app", "client_secret": "secret"}

PROXIES: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("github", "GitHubProvider", APP, "https://github.com/login/oauth/authorize", "user"),
    ("google", "GoogleProvider", APP, "https://accounts.google.com/o/oauth2/v2/auth", "openid"),
    ("discord", "DiscordProvider", APP, "https://discord.com/oauth2/authorize", "identify"),
    ("huggingface", "HuggingFaceProvider", APP, "https://huggingface.co/oauth/authorize", "openid profile"),
    (
        "clerk",
        "ClerkProvider",
        {**APP, "domain": "https://x.clerk.dev/"},
        "https://x.clerk.dev/oauth/authorize",
        "openid email profile",
    ),
    (
        "workos",
        "WorkOSProvider",
        {**APP, "authkit_domain": "x.authkit.app", "required_scopes": ["openid"]},
        "https://x.authkit.app/oauth2/authorize",
        "openid",
    ),
    (
        "azure",
        "AzureProvider",
        {**APP, "tenant_id": "t", "required_scopes": ["read"]},
        "https://login.microsoftonline.com/t/oauth2/v2.0/authorize",
        "read",
    ),
]
WELL_KNOWN = "/.well-known/openid-configuration"
OIDC: list[tuple[str, str, dict[str, Any], str]] = [
    ("auth0", "Auth0Provider", {**APP, "audience": "api", "config_url": f"https://t.auth0.com{WELL_KNOWN}"}, "t.auth0"),
    ("aws", "AWSCognitoProvider", {**APP, "user_pool_id": "p", "aws_region": "us-east-1"}, "idp.us-east-1.amazonaws"),
    ("oci", "OCIProvider", {**APP, "config_url": f"https://idcs-1.identity.oraclecloud.com{WELL_KNOWN}"}, "idcs-1"),
]
REMOTE: list[tuple[str, str, dict[str, Any], str]] = [
    ("workos", "AuthKitProvider", {"authkit_domain": "x.authkit.app"}, "https://x.authkit.app"),
    ("keycloak", "KeycloakAuthProvider", {"realm_url": "https://k/realms/r/"}, "https://k/realms/r"),
    ("supabase", "SupabaseProvider", {"project_url": "https://s.supabase.co"}, "https://s.supabase.co/auth/v1"),
    (
        "scalekit",
        "ScalekitProvider",
        {"environment_url": "https://e.scalekit.com", "resource_id": "res_1"},
        "https://e.scalekit.com/resources/res_1",
    ),
    (
        "descope",
        "DescopeProvider",
        {"config_url": f"https://api.descope.com/v1/apps/agentic/P1/M1{WELL_KNOWN}"},
        "https://api.descope.com/v1/apps/agentic/P1/M1",
    ),
    (
        "propelauth",
        "PropelAuthProvider",
        {
            "auth_url": "https://a.propelauthtest.com",
            "introspection_client_id": "i",
            "introspection_client_secret": "s",
        },
        "https://a.propelauthtest.com/oauth/2.1",
    ),
    ("auth0", "Auth0MCPProvider", {"config_url": f"https://t.auth0.com{WELL_KNOWN}"}, "https://t.auth0.com"),
]


def made(module: str, name: str, settings: dict[str, Any]) -> Any:
    return getattr(import_module(f"headrace.server.auth.providers.{module}"), name)(base_url=BASE, **settings)


def test_there_are_fifteen() -> None:
    assert len({module for module, *_ in [*PROXIES, *OIDC, *REMOTE]}) == 15


@pytest.mark.parametrize(("module", "name", "settings", "endpoint", "scopes"), PROXIES)
async def test_a_provider_behind_the_proxy(
    module: str, name: str, settings: dict[str, Any], endpoint: str, scopes: str
) -> None:
    provider = made(module, name, settings)
    assert isinstance(provider, OAuthProxy)
    upstream = await provider.upstream()
    assert upstream.authorization_endpoint == endpoint
    assert (upstream.client_id, upstream.client_secret) == ("app", "secret")
    assert provider.required_scopes == scopes.split()
    async with asgi_server(FastMCP("x", auth=provider)) as server, server.http_client() as http:
        metadata = (await http.get("/.well-known/oauth-authorization-server")).json()
        refused = await http.post("/mcp", json={})
    assert metadata["scopes_supported"] == scopes.split()
    assert metadata["registration_endpoint"] == f"{BASE}/register"
    assert refused.status_code == 401


@pytest.mark.parametrize(("module", "name", "settings", "part"), OIDC)
async def test_a_provider_behind_the_oidc_proxy(module: str, name: str, settings: dict[str, Any], part: str) -> None:
    provider = made(module, name, settings)
    assert isinstance(provider, OIDCProxy)
    assert part in provider.config_url
    assert provider.config_url.endswith(WELL_KNOWN)
    assert provider.required_scopes == ["openid"]
    async with asgi_server(FastMCP("x", auth=provider)) as server, server.http_client() as http:
        assert (await http.post("/mcp", json={})).status_code == 401


@pytest.mark.parametrize(("module", "name", "settings", "issuer"), REMOTE)
async def test_a_provider_that_registers_clients_itself(
    module: str, name: str, settings: dict[str, Any], issuer: str
) -> None:
    provider = made(module, name, {**settings, "resource_name": "Notes"})
    assert isinstance(provider, RemoteAuthProvider)
    async with asgi_server(FastMCP("x", auth=provider)) as server, server.http_client() as http:
        metadata = (await http.get("/.well-known/oauth-protected-resource/mcp")).json()
    assert metadata["authorization_servers"] == [issuer]
    assert (metadata["resource"], metadata["resource_name"]) == (f"{BASE}/mcp", "Notes")


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("jwt", ["JWTVerifier", "StaticTokenVerifier", "RSAKeyPair"]),
        ("introspection", ["IntrospectionTokenVerifier"]),
        ("in_memory", ["InMemoryOAuthProvider"]),
        ("debug", ["DebugTokenVerifier"]),
    ],
)
def test_names_at_the_paths_where_users_import_them(module: str, names: list[str]) -> None:
    found = import_module(f"headrace.server.auth.providers.{module}")
    assert sorted(found.__all__) == sorted(names)
    assert all(hasattr(found, name) for name in names)


def test_a_slip_in_a_setting_is_an_error() -> None:
    with pytest.raises(TypeError, match="require_consent"):
        made("github", "GitHubProvider", {**APP, "require_consent": True})
    with pytest.raises(TypeError, match="audiance"):
        made("keycloak", "KeycloakAuthProvider", {"realm_url": "https://k", "audiance": "x"})
    with pytest.raises(ValueError, match="scope of your API"):
        made("azure", "AzureProvider", {**APP, "tenant_id": "t", "required_scopes": ["openid"]})
    with pytest.raises(ValueError, match="config_url"):
        DescopeProvider(base_url=BASE)
    with pytest.raises(ValueError, match="no project"):
        DescopeProvider(base_url=BASE, config_url="https://api.descope.com/nothing")


def test_google_is_asked_for_a_refresh_token_and_knows_short_names() -> None:
    provider = GoogleProvider(**APP, base_url=BASE, required_scopes=["openid", "email"], valid_scopes=["profile"])
    more = provider.more_parameters("nonce")
    assert (more["access_type"], more["prompt"]) == ("offline", "consent")
    assert provider.required_scopes[1] == "https://www.googleapis.com/auth/userinfo.email"
    assert provider.scopes_supported == ["https://www.googleapis.com/auth/userinfo.profile"]


async def test_a_user_flow_of_azure_b2c() -> None:
    provider = AzureProvider.from_b2c(
        tenant_name="contoso", policy_name="B2C_1_in", required_scopes=["read"], base_url=BASE, **APP
    )
    upstream = await provider.upstream()
    flow = "https://contoso.b2clogin.com/contoso.onmicrosoft.com/B2C_1_in"
    assert upstream.authorization_endpoint == f"{flow}/oauth2/v2.0/authorize"
    assert upstream.token_endpoint == f"{flow}/oauth2/v2.0/token"
    assert provider.upstream_scopes(["read"])[0] == f"https://contoso.onmicrosoft.com/{APP['client_id']}/read"
    assert "prompt" not in provider.more_parameters("nonce")
    assert AzureJWTVerifier(client_id="app", tenant_id="contoso.onmicrosoft.com/B2C_1_in").issuer is None
    assert AzureJWTVerifier(client_id="app", tenant_id="t", token_issuer="https://i").issuer == ["https://i"]


def test_azure_spells_scopes_and_asks_tokens_for_its_own_api_alone() -> None:
    provider = AzureProvider(
        **APP,
        tenant_id="t",
        required_scopes=["read", "openid"],
        base_url=BASE,
        additional_authorize_scopes=["https://graph.microsoft.com/User.Read"],
    )
    assert provider.upstream_scopes(["read"]) == [
        "api://app/read",
        "https://graph.microsoft.com/User.Read",
        "offline_access",
    ]
    assert provider.token_parameters(["read", "openid"], f"{BASE}/mcp") == {
        "scope": "api://app/read openid offline_access"
    }
    assert AzureJWTVerifier(client_id="app", tenant_id="common").issuer is None
    assert AzureJWTVerifier(client_id="app", tenant_id="t").issuer == ["https://login.microsoftonline.com/t/v2.0"]


# What verifiers of opaque tokens make of an answer


@contextmanager
def answering(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> Iterator[str]:
    """A provider with one answer to everything."""

    async def answer(request: Request) -> Response:
        assert request.method == "POST" or request.headers["authorization"] == "Bearer token"
        return JSONResponse(document, status, headers)

    with run(Starlette(routes=[Route("/", answer, methods=["GET", "POST"])])) as running:
        yield f"http://127.0.0.1:{running.port}/"


def verifiers(url: str) -> dict[str, Any]:
    known = {
        "github": GitHubTokenVerifier(),
        "google": GoogleTokenVerifier(audience="app"),
        "discord": DiscordTokenVerifier(expected_client_id="app"),
        "huggingface": HuggingFaceTokenVerifier(),
        "workos": WorkOSTokenVerifier(authkit_domain="x.example"),
        "clerk": ClerkTokenVerifier(domain="x.example", client_id="app", client_secret="secret"),
    }
    for verifier in known.values():
        verifier.url = verifier.userinfo_url = url
    return known


GOOD: list[tuple[str, dict[str, Any], str, list[str]]] = [
    ("github", {"id": 7, "login": "alice"}, "7", ["repo", "user"]),
    ("google", {"sub": "7", "aud": "app", "scope": "openid email", "expires_in": "60"}, "7", ["openid", "email"]),
    (
        "discord",
        {
            "application": {"id": "app"},
            "user": {"id": "7"},
            "scopes": ["identify"],
            "expires": "2099-01-01T00:00:00.000000+00:00",
        },
        "7",
        ["identify"],
    ),
    ("huggingface", {"sub": "7", "name": "Alice"}, "7", []),
    ("workos", {"sub": "7", "email": "a@b"}, "7", []),
    ("clerk", {"active": True, "client_id": "app", "sub": "7", "scope": "openid", "exp": 4070908800}, "7", ["openid"]),
]
BAD: list[tuple[str, dict[str, Any]]] = [
    ("github", {"login": "alice"}),
    ("google", {"sub": "7", "aud": "another", "scope": "openid"}),
    ("google", {"sub": "7"}),
    ("google", {"aud": "app"}),
    ("discord", {"application": {"id": "another"}, "user": {"id": "7"}}),
    ("discord", {"application": {"id": "app"}}),
    ("discord", {"application": "app", "user": "7"}),
    ("huggingface", {"name": "Alice"}),
    ("workos", {}),
    ("clerk", {"active": False, "client_id": "app", "sub": "7"}),
    ("clerk", {"active": "true", "client_id": "app", "sub": "7"}),
    ("clerk", {"active": True, "client_id": "another", "sub": "7"}),
    ("clerk", {"client_id": "app", "sub": "7"}),
]


@pytest.mark.parametrize(("name", "answer", "subject", "scopes"), GOOD)
async def test_a_good_token(name: str, answer: dict[str, Any], subject: str, scopes: list[str]) -> None:
    with answering(answer, headers={"x-oauth-scopes": "repo, user"}) as url:
        access = await verifiers(url)[name].verify_token("token")
    assert access is not None
    assert (access.claims["sub"], list(access.scopes), access.token) == (subject, scopes, "token")


@pytest.mark.parametrize(("name", "answer"), BAD)
async def test_a_token_of_another_app_or_of_nobody(name: str, answer: dict[str, Any]) -> None:
    with answering(answer) as url:
        assert await verifiers(url)[name].verify_token("token") is None


@pytest.mark.parametrize("name", ["github", "google", "discord", "huggingface", "workos"])
async def test_refused_is_not_down(name: str) -> None:
    with answering({"error": "x"}, 401) as url:
        assert await verifiers(url)[name].verify_token("token") is None
        assert await verifiers(url)[name].verify_token("to\r\nken") is None
    for status, headers in ((500, {}), (429, {}), (302, {}), (403, {"x-ratelimit-remaining": "0"})):
        with answering({}, status, headers) as url, pytest.raises(FetchError, match=str(status)):
            await verifiers(url)[name].verify_token("token")


# Verifiers of JWTs that differ from others


async def test_cognito_says_for_whom_a_token_is_in_its_client_id() -> None:
    pair = RSAKeyPair.generate()
    verifier = AWSCognitoTokenVerifier(audience="app", public_key=pair.public_key, issuer="https://i")
    for client_id, good in (("app", True), ("another", False)):
        token = pair.create_token(
            issuer="https://i", additional_claims={"client_id": client_id, "token_use": "access"}, scopes=["openid"]
        )
        assert (await verifier.verify_token(token) is not None) is good
    id_token = pair.create_token(issuer="https://i", audience="app", additional_claims={"token_use": "id"})
    assert await verifier.verify_token(id_token) is None


async def test_auth0_permissions_count_as_scopes() -> None:
    pair = RSAKeyPair.generate()
    verifier = Auth0JWTVerifier(audience="api", public_key=pair.public_key)
    token = pair.create_token(audience="api", scopes=["read"], additional_claims={"permissions": ["write"]})
    access = await verifier.verify_token(token)
    assert access is not None
    assert list(access.scopes) == ["read", "write"]
