"""OAuthProvider: an authorization server for one's own app. Subclass it and say how users and clients are kept.

The endpoints check what holds for every provider: client, redirect URI, PKCE, resource (OAuth 2.1; 2026-07-28,
Authorization). Methods have the names of the official SDK and FastMCP.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

from msgspec import Struct
from starlette.routing import Route

from ..provider import AccessToken, AuthProvider, RemoteAuthProvider
from .contract import (
    AuthorizationCode,
    AuthorizationParams,
    IdentityAssertionParams,
    OAuthClientInformationFull,
    OAuthToken,
    RefreshToken,
    RegistrationError,
    TokenError,
)
from .endpoints import oauth_routes
from .redirects import is_loopback_host

__all__ = ["ClientRegistrationOptions", "OAuthProvider", "RevocationOptions"]


class ClientRegistrationOptions(Struct, kw_only=True):
    """Whether and how clients may register themselves (RFC 7591). Scopes: those that they may have, and get unasked."""

    enabled: bool = False
    client_secret_expiry_seconds: int | None = None
    valid_scopes: list[str] | None = None
    default_scopes: list[str] | None = None


class RevocationOptions(Struct, kw_only=True):
    """Whether tokens can be revoked (RFC 7009)."""

    enabled: bool = False


class OAuthProvider(AuthProvider):
    """An authorization server and the resource server it is for, in one app.

    `base_url` is the public URL of the app; it is the issuer, too, unless `issuer_url` is given. Raises ValueError
    for one that is neither https nor on this machine.
    """

    def __init__(
        self,
        base_url: str,
        *,
        resource_base_url: str | None = None,
        issuer_url: str | None = None,
        service_documentation_url: str | None = None,
        client_registration_options: ClientRegistrationOptions | None = None,
        revocation_options: RevocationOptions | None = None,
        required_scopes: Iterable[str] | None = None,
        scopes_supported: Iterable[str] | None = None,
        resource_name: str | None = None,
    ) -> None:
        super().__init__(base_url, required_scopes, resource_base_url=resource_base_url)
        self.base_url: str = str(base_url).rstrip("/")
        self.issuer = self.base_url if issuer_url is None else str(issuer_url)
        for url in (self.base_url, self.issuer):
            _check_issuer(url)
        self.service_documentation_url = service_documentation_url
        self.client_registration_options = client_registration_options or ClientRegistrationOptions()
        self.revocation_options = revocation_options or RevocationOptions()
        valid = self.client_registration_options.valid_scopes
        self.scopes_supported = list(scopes_supported or valid or self.required_scopes)
        self.resource_name = resource_name
        self.redirect_patterns: Sequence[str] | None = None
        """Which redirect URIs clients may use (`check_redirect_uri`), whoever they are."""
        self._protected = RemoteAuthProvider(
            self,
            [self.issuer],
            self.base_url,
            self.scopes_supported,
            resource_base_url,
            resource_name=resource_name,
            resource_documentation=service_documentation_url,
        )
        self.resources: list[str] = []
        """The resources that it issues tokens for: one for each app that serves it."""

    # What a provider says

    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        raise NotImplementedError(f"{type(self).__name__} does not know clients: write get_client")

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        """Keep a client. Raises RegistrationError for one that it does not want."""
        raise RegistrationError("invalid_client_metadata", "Clients are not registered here")

    async def authorize(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        """Where the browser goes next: a page that asks the user, or the redirect URI. Raises AuthorizeError."""
        raise NotImplementedError(f"{type(self).__name__} does not say how users log in: write authorize")

    async def load_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: str
    ) -> AuthorizationCode | None:
        return None

    async def exchange_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: AuthorizationCode
    ) -> OAuthToken:
        """Tokens for a code, which is used then. Raises TokenError (``invalid_grant``)."""
        raise TokenError("unsupported_grant_type")

    async def load_refresh_token(self, client: OAuthClientInformationFull, refresh_token: str) -> RefreshToken | None:
        return None

    async def exchange_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: RefreshToken, scopes: list[str]
    ) -> OAuthToken:
        """New tokens, also a new refresh token; the scopes are some of those it had. Raises TokenError."""
        raise TokenError("unsupported_grant_type")

    async def exchange_client_credentials(
        self, client: OAuthClientInformationFull, scopes: list[str], resource: str
    ) -> OAuthToken:
        """A token for the client itself, which has proved who it is. Raises TokenError."""
        raise TokenError("unsupported_grant_type")

    async def exchange_identity_assertion(
        self, client: OAuthClientInformationFull, params: IdentityAssertionParams
    ) -> OAuthToken:
        """A token for the user that an identity provider vouches for. Raises TokenError."""
        raise TokenError("unsupported_grant_type")

    async def load_access_token(self, token: str) -> AccessToken | None:
        raise NotImplementedError(f"{type(self).__name__} does not know tokens: write load_access_token")

    async def revoke_token(self, token: AccessToken | RefreshToken) -> None:
        """End it, with all that was issued for the same grant."""

    async def client_jwks(self, client: OAuthClientInformationFull) -> Mapping[str, Any] | None:
        """The public keys of a client that signs, as a JWK set. Raises RegistrationError where they can't be read."""
        return client.jwks

    async def use_once(self, kind: str, id: str, seconds: float) -> bool:
        """Whether it is the first time, which holds for so long. Without a place to remember it: never."""
        return False

    async def is_within(self, times: int, kind: str, id: str, seconds: float) -> bool:
        """Whether it is one of the first so many times within so many seconds, also of many at once."""
        for number in range(times):
            if await self.use_once(f"{kind} {id}", str(number), seconds):
                return True
        return False

    # What it is to an app

    reads_client_documents = False
    """Whether `get_client` takes the URL of a document about a client (CIMD)."""

    def vouches_for(self, client: OAuthClientInformationFull) -> bool:
        """Whether it is a client of one's own, and not one that anybody could have registered."""
        return not (self.client_registration_options.enabled or self.reads_client_documents)

    @property
    def grant_types(self) -> list[str]:
        """What the token endpoint takes."""
        return ["authorization_code", "refresh_token"]

    async def verify_token(self, token: str) -> AccessToken | None:
        return await self.load_access_token(token)

    def routes(self) -> list[Route]:
        """Routes of a subclass's own: its pages."""
        return []

    def get_routes(self, mcp_path: str | None = None) -> list[Route]:
        own = oauth_routes(self, self.serve_resource(mcp_path))
        return [*own, *self._protected.get_routes(mcp_path), *self.routes()]

    def metadata_url(self, mcp_path: str | None) -> str | None:
        return self._protected.metadata_url(mcp_path)

    def redirect(self, uri: str, **parameters: str | None) -> str:
        """The redirect URI with an answer, which says whose it is (RFC 9207). Members that are None are left out."""
        said = {name: value for name, value in parameters.items() if value is not None}
        query = urlencode({**said, "iss": self.issuer})
        return f"{uri}{'&' if '?' in uri else '?'}{query}"

    def resource_named(self, asked: str | None, default: str) -> str:
        """The canonical form of the resource that a client asks a token for (RFC 8707).

        Raises TokenError (``invalid_target``) for one of another server.
        """
        if asked is None:
            return default
        for resource in (default, *self.resources):
            # Scheme and host in any case, one slash more at the end: programs write URLs anew.
            if _comparable(resource) == _comparable(asked):
                return resource
        raise TokenError("invalid_target", f"There are no tokens here for that resource, but for {default}")

    def serve_resource(self, mcp_path: str | None) -> str:
        """The canonical URI of what an app serves at that path: tokens may be asked for it from now on."""
        resource = self.resource_url(mcp_path) or self.base_url
        if resource not in self.resources:
            self.resources.append(resource)
        return resource

    def scopes_of(self, client: OAuthClientInformationFull) -> list[str]:
        """The scopes that a client may ask for: those it was registered with, or all."""
        return self.scopes_supported if client.scope is None else client.scope.split()

    def default_scopes(self, client: OAuthClientInformationFull) -> list[str]:
        """The scopes that a client gets when it asks for none."""
        default = self.client_registration_options.default_scopes or self.required_scopes
        return [scope for scope in default if scope in self.scopes_of(client)]


def _comparable(url: str) -> tuple[str, ...]:
    scheme, colon, rest = url.partition("://")
    host, _, path = rest.partition("/")
    return scheme.lower(), colon, host.lower(), path.removesuffix("/")


def _check_issuer(url: str) -> None:
    parts = urlsplit(url)
    if parts.query or parts.fragment or not parts.hostname:
        raise ValueError(f"The URL of an authorization server has a host, and no query or fragment: {url}")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback_host(parts.hostname)):
        raise ValueError(f"The URL of an authorization server must be https (http only on this machine): {url}")
