"""Scalekit, which registers clients itself."""

from __future__ import annotations

from typing import Unpack

from ..jwt import JWTVerifier
from ..provider import AuthProvider, RemoteAuthProvider
from .userinfo import RemoteOptions

__all__ = ["ScalekitProvider"]


class ScalekitProvider(RemoteAuthProvider):
    """`resource_id`: what Scalekit's dashboard calls this server (``res_...``)."""

    def __init__(
        self,
        *,
        environment_url: str,
        resource_id: str,
        base_url: str,
        required_scopes: list[str] | None = None,
        token_verifier: AuthProvider | None = None,
        **options: Unpack[RemoteOptions],
    ) -> None:
        environment = str(environment_url).rstrip("/")
        server = f"{environment}/resources/{resource_id}"
        verifier = token_verifier or JWTVerifier(
            jwks_uri=f"{environment}/keys",
            issuer=[environment, server],
            algorithm="RS256",
            audience=resource_id,
            required_scopes=required_scopes,
        )
        super().__init__(verifier, [server], base_url, **options)
