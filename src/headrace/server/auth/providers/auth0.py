"""Auth0: behind the proxy (`Auth0Provider`), or registering clients itself (`Auth0MCPProvider`)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Unpack, cast

from ..jwt import JWTVerifier
from ..oauth_proxy import ProxyOptions
from ..oidc_proxy import OIDCProxy
from ..provider import AccessToken, AuthProvider, RemoteAuthProvider
from .userinfo import RemoteOptions

__all__ = ["Auth0JWTVerifier", "Auth0MCPProvider", "Auth0Provider"]


class Auth0Provider(OIDCProxy):
    """`audience`: the identifier of the API in Auth0's dashboard."""

    def __init__(
        self,
        *,
        config_url: str,
        client_id: str,
        client_secret: str,
        audience: str,
        base_url: str,
        required_scopes: list[str] | None = None,
        **options: Unpack[ProxyOptions],
    ) -> None:
        super().__init__(
            config_url=config_url,
            client_id=client_id,
            client_secret=client_secret,
            audience=audience,
            base_url=base_url,
            required_scopes=["openid"] if required_scopes is None else required_scopes,
            **options,
        )


class Auth0JWTVerifier(JWTVerifier):
    """Permissions of an API count as scopes, too (Auth0's ``rfc9068_profile_authz``)."""

    async def verify_token(self, token: str) -> AccessToken | None:
        access = await super().verify_token(token)
        permissions = None if access is None else access.claims.get("permissions")
        if access is None or not isinstance(permissions, list):
            return access
        return replace(access, scopes=[*access.scopes, *map(str, cast("list[Any]", permissions))])


class Auth0MCPProvider(RemoteAuthProvider):
    """Tokens must be for this server's own URL: make an API in Auth0 with it as identifier."""

    def __init__(
        self,
        *,
        config_url: str,
        base_url: str,
        required_scopes: list[str] | None = None,
        token_verifier: AuthProvider | None = None,
        **options: Unpack[RemoteOptions],
    ) -> None:
        domain = str(config_url).removesuffix("/.well-known/openid-configuration").rstrip("/")
        verifier = token_verifier or Auth0JWTVerifier(
            jwks_uri=f"{domain}/.well-known/jwks.json",
            issuer=f"{domain}/",
            algorithm="RS256",
            required_scopes=required_scopes,
        )
        super().__init__(verifier, [domain], base_url, **options)
