"""AWS Cognito user pools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from ..claims import Audience, as_list
from ..jwt import JWTVerifier
from ..oauth_proxy import ProxyOptions
from ..oidc_proxy import OIDCConfiguration, OIDCProxy
from ..provider import AccessToken, AuthProvider

__all__ = ["AWSCognitoProvider", "AWSCognitoTokenVerifier"]


class _InClientId(Audience):
    """Cognito's access tokens have no ``aud``."""

    def named_in(self, audience: Any) -> str:
        return str(audience or "")


class AWSCognitoTokenVerifier(JWTVerifier):
    """`audience` are client ids of apps: Cognito says for whom a token is in ``client_id``. All else: `JWTVerifier`."""

    def __init__(self, *, audience: str | Sequence[str], **options: Any) -> None:
        super().__init__(audience=audience, **options)
        self._clients = as_list(audience, "audience") or []
        self._audience = _InClientId(self._clients, None)

    async def verify_token(self, token: str) -> AccessToken | None:
        access = await super().verify_token(token)
        return access if access is not None and access.claims.get("client_id") in self._clients else None


class AWSCognitoProvider(OIDCProxy):
    def __init__(
        self,
        *,
        user_pool_id: str,
        client_id: str,
        client_secret: str,
        base_url: str,
        aws_region: str = "eu-central-1",
        required_scopes: list[str] | None = None,
        **options: Unpack[ProxyOptions],
    ) -> None:
        super().__init__(
            config_url=f"https://cognito-idp.{aws_region}.amazonaws.com/{user_pool_id}/.well-known/openid-configuration",
            client_id=client_id,
            client_secret=client_secret,
            base_url=base_url,
            algorithm="RS256",
            required_scopes=["openid"] if required_scopes is None else required_scopes,
            **options,
        )

    def get_token_verifier(self, configuration: OIDCConfiguration) -> AuthProvider:
        return AWSCognitoTokenVerifier(
            audience=self.client_id,
            jwks_uri=configuration.jwks_uri,
            issuer=configuration.issuer,
            algorithm="RS256",
            required_scopes=self.required_scopes,
        )
