"""Keycloak, which registers clients itself."""

from __future__ import annotations

from typing import Unpack

from ..jwt import JWTVerifier
from ..provider import AuthProvider, RemoteAuthProvider
from .userinfo import RemoteOptions

__all__ = ["KeycloakAuthProvider"]


class KeycloakAuthProvider(RemoteAuthProvider):
    """`realm_url`: ``https://host/realms/name``. Without `audience` tokens must be for this server's own URL: give the
    realm an audience mapper that adds it."""

    def __init__(
        self,
        *,
        realm_url: str,
        base_url: str,
        required_scopes: list[str] | None = None,
        audience: str | list[str] | None = None,
        token_verifier: AuthProvider | None = None,
        **options: Unpack[RemoteOptions],
    ) -> None:
        realm = str(realm_url).rstrip("/")
        verifier = token_verifier or JWTVerifier(
            jwks_uri=f"{realm}/protocol/openid-connect/certs",
            issuer=realm,
            algorithm="RS256",
            audience=audience,
            required_scopes=["openid"] if required_scopes is None else required_scopes,
        )
        super().__init__(verifier, [realm], base_url, **options)
