"""WorkOS: AuthKit registers clients itself (`AuthKitProvider`); a WorkOS Connect app needs the proxy."""

from __future__ import annotations

from typing import Any, Unpack

from ..jwt import JWTVerifier
from ..oauth_proxy import OAuthProxy, ProxyOptions
from ..provider import AuthProvider, RemoteAuthProvider
from .userinfo import RemoteOptions, UserinfoVerifier, some

__all__ = ["AuthKitProvider", "WorkOSProvider", "WorkOSTokenVerifier"]


class WorkOSTokenVerifier(UserinfoVerifier):
    def __init__(
        self, *, authkit_domain: str, required_scopes: list[str] | None = None, timeout_seconds: float = 10.0
    ) -> None:
        super().__init__(required_scopes, timeout_seconds)
        self.url = f"{_url(authkit_domain)}/oauth2/userinfo"

    def claims_of(self, user: dict[str, Any]) -> dict[str, Any]:
        return some(user, "email", "email_verified", "name", "given_name", "family_name")


class WorkOSProvider(OAuthProxy):
    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str,
        authkit_domain: str,
        base_url: str,
        required_scopes: list[str] | None = None,
        **options: Unpack[ProxyOptions],
    ) -> None:
        domain = _url(authkit_domain)
        super().__init__(
            upstream_authorization_endpoint=f"{domain}/oauth2/authorize",
            upstream_token_endpoint=f"{domain}/oauth2/token",
            upstream_client_id=client_id,
            upstream_client_secret=client_secret,
            token_verifier=WorkOSTokenVerifier(authkit_domain=domain, required_scopes=required_scopes),
            base_url=base_url,
            **options,
        )


class AuthKitProvider(RemoteAuthProvider):
    """Tokens must be for this server's own URL: add it to AuthKit's resource indicators."""

    def __init__(
        self,
        *,
        authkit_domain: str,
        base_url: str,
        required_scopes: list[str] | None = None,
        token_verifier: AuthProvider | None = None,
        **options: Unpack[RemoteOptions],
    ) -> None:
        domain = _url(authkit_domain)
        verifier = token_verifier or JWTVerifier(
            jwks_uri=f"{domain}/oauth2/jwks", issuer=domain, algorithm="RS256", required_scopes=required_scopes
        )
        super().__init__(verifier, [domain], base_url, **options)


def _url(domain: str) -> str:
    return (domain if domain.startswith(("https://", "http://")) else f"https://{domain}").rstrip("/")
