"""PropelAuth, which registers clients itself; its tokens are introspected."""

from __future__ import annotations

from typing import Unpack

from pydantic import SecretStr

from ..introspection import IntrospectionTokenVerifier
from ..provider import RemoteAuthProvider
from .userinfo import RemoteOptions

__all__ = ["PropelAuthProvider"]


class PropelAuthProvider(RemoteAuthProvider):
    """`resource`: the audience that tokens must have; without one, this server's own URL where a token names any."""

    def __init__(
        self,
        *,
        auth_url: str,
        introspection_client_id: str,
        introspection_client_secret: str | SecretStr,
        base_url: str,
        required_scopes: list[str] | None = None,
        resource: str | None = None,
        **options: Unpack[RemoteOptions],
    ) -> None:
        server = f"{str(auth_url).rstrip('/')}/oauth/2.1"
        given = introspection_client_secret
        secret = given.get_secret_value() if isinstance(given, SecretStr) else given
        verifier = IntrospectionTokenVerifier(
            introspection_url=f"{server}/introspect",
            client_id=introspection_client_id,
            client_secret=secret,
            audience=resource,
            # It says so only of tokens that were asked for a resource; who asks, it knows.
            require_audience=resource is not None,
            required_scopes=required_scopes,
        )
        super().__init__(verifier, [server], base_url, **options)
