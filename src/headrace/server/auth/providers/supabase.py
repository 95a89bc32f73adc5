"""Supabase, which registers clients itself."""

from __future__ import annotations

from typing import Literal, Unpack

from ..jwt import JWTVerifier
from ..provider import AuthProvider, RemoteAuthProvider
from .userinfo import RemoteOptions

__all__ = ["SupabaseProvider"]


class SupabaseProvider(RemoteAuthProvider):
    """Supabase's tokens name no resource: one that another server of the same project got is good here, too."""

    def __init__(
        self,
        *,
        project_url: str,
        base_url: str,
        auth_route: str = "/auth/v1",
        algorithm: Literal["RS256", "ES256"] = "ES256",
        required_scopes: list[str] | None = None,
        token_verifier: AuthProvider | None = None,
        **options: Unpack[RemoteOptions],
    ) -> None:
        server = f"{str(project_url).rstrip('/')}/{auth_route.strip('/')}"
        verifier = token_verifier or JWTVerifier(
            jwks_uri=f"{server}/.well-known/jwks.json",
            issuer=server,
            algorithm=algorithm,
            audience="authenticated",
            required_scopes=required_scopes,
        )
        super().__init__(verifier, [server], base_url, **options)
