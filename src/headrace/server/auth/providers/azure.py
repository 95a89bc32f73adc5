"""Microsoft Entra ID (Azure AD), v2.0."""

from __future__ import annotations

from typing import Unpack

from ..jwt import JWTVerifier
from ..oauth_proxy import OAuthProxy, ProxyOptions

__all__ = ["AzureJWTVerifier", "AzureProvider"]

_OIDC = ("openid", "profile", "email", "offline_access")
_OF_MANY = ("common", "organizations", "consumers")


class AzureJWTVerifier(JWTVerifier):
    """Access tokens of one app registration. `tenant_id`: one tenant; ``common`` and its like take users of all.

    `token_issuer`: what ``iss`` must be; None: the tenant's, where there is one.
    """

    def __init__(
        self,
        *,
        client_id: str,
        tenant_id: str,
        required_scopes: list[str] | None = None,
        identifier_uri: str | None = None,
        base_authority: str = "login.microsoftonline.com",
        token_issuer: str | None = None,
    ) -> None:
        tenant = f"https://{base_authority}/{tenant_id}"
        one_tenant = tenant_id not in _OF_MANY and "/" not in tenant_id  # B2C: the tenant, and a policy
        super().__init__(
            jwks_uri=f"{tenant}/discovery/v2.0/keys",
            issuer=token_issuer or (f"{tenant}/v2.0" if one_tenant else None),
            audience=[client_id, identifier_uri or f"api://{client_id}"],
            algorithm="RS256",
            required_scopes=required_scopes,
        )


class AzureProvider(OAuthProxy):
    """`required_scopes`: names of scopes under "Expose an API", at least one; `additional_authorize_scopes`: others
    that users are asked for (``User.Read``). The registration must give v2.0 tokens (``requestedAccessTokenVersion``).

    Raises ValueError without a scope of the API's own.
    """

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str | None = None,
        tenant_id: str,
        required_scopes: list[str],
        base_url: str,
        identifier_uri: str | None = None,
        additional_authorize_scopes: list[str] | None = None,
        base_authority: str = "login.microsoftonline.com",
        token_issuer: str | None = None,
        **options: Unpack[ProxyOptions],
    ) -> None:
        own = [scope for scope in required_scopes if scope not in _OIDC]
        if not own:
            raise ValueError("AzureProvider needs a scope of your API in required_scopes, besides openid and the like")
        self.identifier_uri = identifier_uri or f"api://{client_id}"
        self.additional_scopes = list(dict.fromkeys([*(additional_authorize_scopes or ()), "offline_access"]))
        endpoint = f"https://{base_authority}/{tenant_id}/oauth2/v2.0"
        settings: ProxyOptions = {
            "extra_authorize_params": {"prompt": "select_account"},
            "valid_scopes": required_scopes,
            **options,
            "forward_resource": False,  # v2.0 names the resource in its scopes
        }
        super().__init__(
            upstream_authorization_endpoint=f"{endpoint}/authorize",
            upstream_token_endpoint=f"{endpoint}/token",
            upstream_client_id=client_id,
            upstream_client_secret=client_secret,
            token_verifier=AzureJWTVerifier(
                client_id=client_id,
                tenant_id=tenant_id,
                required_scopes=own,
                identifier_uri=self.identifier_uri,
                base_authority=base_authority,
                token_issuer=token_issuer,
            ),
            base_url=base_url,
            **settings,
        )

    @classmethod
    def from_b2c(
        cls,
        *,
        tenant_name: str,
        policy_name: str,
        client_id: str,
        client_secret: str | None = None,
        required_scopes: list[str],
        base_url: str,
        custom_domain: str | None = None,
        identifier_uri: str | None = None,
        token_issuer: str | None = None,
        **options: Unpack[ProxyOptions],
    ) -> AzureProvider:
        """For a user flow of Azure AD B2C. `tenant_name`: without ``.onmicrosoft.com``.

        `token_issuer`: its ``iss`` has the tenant's id in it; without it whatever the policy's keys have signed counts.
        """
        directory = f"{tenant_name.removesuffix('.onmicrosoft.com')}.onmicrosoft.com"
        host = (custom_domain or f"{directory.removesuffix('.onmicrosoft.com')}.b2clogin.com").rstrip("/")
        settings: ProxyOptions = {"extra_authorize_params": {}, **options}  # its prompt can only be login
        return cls(
            client_id=client_id,
            client_secret=client_secret,
            tenant_id=f"{directory}/{policy_name}",
            required_scopes=required_scopes,
            base_url=base_url,
            identifier_uri=identifier_uri or f"https://{directory}/{client_id}",
            base_authority=host.removeprefix("https://"),
            token_issuer=token_issuer,
            **settings,
        )

    def upstream_scopes(self, scopes: list[str]) -> list[str]:
        return list(dict.fromkeys([*self._spelled(scopes), *self.additional_scopes]))

    def token_parameters(self, scopes: list[str], resource: str) -> dict[str, str]:
        # A token is for one resource: with scopes of another one it would not be for this API.
        general = [scope for scope in self.additional_scopes if scope in _OIDC]
        wanted = dict.fromkeys([*self._spelled(scopes), *general])
        return {"scope": " ".join(wanted), **super().token_parameters(scopes, resource)}

    def _spelled(self, scopes: list[str]) -> list[str]:
        return [
            scope if scope in _OIDC or "/" in scope else f"{self.identifier_uri}/{scope}"
            for scope in scopes or self.required_scopes
        ]
