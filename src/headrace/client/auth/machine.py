"""Logins without a user: a program that stands for itself, or for somebody who has logged in elsewhere."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from ...exceptions import ClientError
from .discovery import Site
from .documents import AuthorizationServer, LoginError, RegisteredClient, Tokens
from .login import Login
from .signing import signed_by
from .storage import TokenStorage
from .token_endpoint import JWT_BEARER, AssertionProvider, Identity, TokenEndpoint

__all__ = [
    "ClientCredentials",
    "ClientCredentialsOAuthProvider",
    "EnterpriseManaged",
    "PrivateKeyJWTOAuthProvider",
    "WorkloadIdentity",
]

Assertion = str | Callable[[], str | Awaitable[str]]
"""A token of another issuer, or a function that gets a current one."""

_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"
_ID_JAG = "urn:ietf:params:oauth:token-type:id-jag"


class _Machine(Login):
    """A client that is registered at `issuer` (None: wherever the server sends it; better name it, so that a server
    can't have the secret sent elsewhere)."""

    def __init__(
        self,
        client: RegisteredClient,
        *,
        assertion: AssertionProvider | None = None,
        issuer: str | None = None,
        scopes: str | Iterable[str] | None = None,
        token_storage: TokenStorage | None = None,
        dpop: bool = False,
        allow_private: bool | None = None,
    ) -> None:
        super().__init__(scopes=scopes, token_storage=token_storage, dpop=dpop, allow_private=allow_private)
        self._who = Identity(client, assertion)
        self._issuer = issuer

    @property
    def client_id(self) -> str | None:
        return self._who.client.client_id

    @property
    def issuer(self) -> str | None:
        return self._issuer

    async def _identity(self, site: Site) -> Identity:
        if self._issuer is None:
            self._issuer = site.server.issuer
        if self._issuer != site.server.issuer:
            client_id, issuer = self._who.client.client_id, site.server.issuer
            raise LoginError(f"The client {client_id} belongs to {self._issuer}, but the server now uses {issuer}")
        return self._who

    async def _grant(self, site: Site, scopes: Sequence[str]) -> Tokens:
        endpoint = TokenEndpoint(self._web, site, await self._identity(site), self._proofs_for(site))
        grant = dict(await self._granting(site))
        if scopes:
            grant["scope"] = " ".join(scopes)
        return await endpoint.tokens(grant, scopes)

    @abstractmethod
    async def _granting(self, site: Site) -> Mapping[str, str]:
        """The members of the token request that make the grant."""


class ClientCredentials(_Machine):
    """A program that stands for itself, with a secret, a private key in PEM, or a function that makes assertions from
    a key elsewhere (RFC 6749, 4.4; RFC 7523, 2.2). `algorithm` is that of the key: ES256, RS256, PS256, EdDSA."""

    extension = "io.modelcontextprotocol/oauth-client-credentials"

    def __init__(
        self,
        client_id: str,
        client_secret: str | None = None,
        *,
        private_key: str | bytes | None = None,
        algorithm: str = "ES256",
        assertion_provider: AssertionProvider | None = None,
        token_endpoint_auth_method: str | None = None,
        issuer: str | None = None,
        scopes: str | Iterable[str] | None = None,
        token_storage: TokenStorage | None = None,
        dpop: bool = False,
        allow_private: bool | None = None,
    ) -> None:
        if [client_secret, private_key, assertion_provider].count(None) != 2:
            raise ClientError("Client credentials are one of client_secret, private_key and assertion_provider")
        if private_key is not None:
            assertion_provider = signed_by(private_key, algorithm, client_id)
        client = RegisteredClient(
            client_id=client_id, client_secret=client_secret, token_endpoint_auth_method=token_endpoint_auth_method
        )
        super().__init__(
            client,
            assertion=assertion_provider,
            issuer=issuer,
            scopes=scopes,
            token_storage=token_storage,
            dpop=dpop,
            allow_private=allow_private,
        )

    async def _granting(self, site: Site) -> Mapping[str, str]:
        return {"grant_type": "client_credentials"}


ClientCredentialsOAuthProvider = PrivateKeyJWTOAuthProvider = ClientCredentials
"""FastMCP's names."""


class WorkloadIdentity(_Machine):
    """A program that its platform vouches for: `assertion` is the platform's JWT, whose audience is the authorization
    server (RFC 7523, 2.1; SEP-1933). A refusal is final."""

    def __init__(
        self,
        client_id: str,
        assertion: Assertion,
        *,
        issuer: str | None = None,
        scopes: str | Iterable[str] | None = None,
        token_storage: TokenStorage | None = None,
        dpop: bool = False,
        allow_private: bool | None = None,
    ) -> None:
        super().__init__(
            RegisteredClient(client_id=client_id),
            issuer=issuer,
            scopes=scopes,
            token_storage=token_storage,
            dpop=dpop,
            allow_private=allow_private,
        )
        self._assertion = assertion

    async def _granting(self, site: Site) -> Mapping[str, str]:
        return {"grant_type": JWT_BEARER, "assertion": await _current(self._assertion)}


class EnterpriseManaged(_Machine):
    """A user whose company's identity provider decides what they may use (SEP-990).

    The user's `id_token` is exchanged at `idp_token_endpoint`, as the client `idp_client_id`, for a grant (RFC 8693);
    the grant for a token at the server's authorization server, as `client_id` (RFC 7523).
    """

    extension = "io.modelcontextprotocol/enterprise-managed-authorization"

    def __init__(
        self,
        client_id: str,
        client_secret: str | None = None,
        *,
        idp_token_endpoint: str,
        idp_client_id: str,
        id_token: Assertion,
        idp_client_secret: str | None = None,
        idp_issuer: str | None = None,
        private_key: str | bytes | None = None,
        algorithm: str = "ES256",
        issuer: str | None = None,
        scopes: str | Iterable[str] | None = None,
        token_storage: TokenStorage | None = None,
        dpop: bool = False,
        allow_private: bool | None = None,
    ) -> None:
        super().__init__(
            RegisteredClient(client_id=client_id, client_secret=client_secret),
            assertion=None if private_key is None else signed_by(private_key, algorithm, client_id),
            issuer=issuer,
            scopes=scopes,
            token_storage=token_storage,
            dpop=dpop,
            allow_private=allow_private,
        )
        self._idp = AuthorizationServer(issuer=idp_issuer or idp_token_endpoint, token_endpoint=idp_token_endpoint)
        self._idp_client = RegisteredClient(client_id=idp_client_id, client_secret=idp_client_secret)
        self._id_token = id_token

    async def _granting(self, site: Site) -> Mapping[str, str]:
        idp = TokenEndpoint(self._web, site._replace(server=self._idp), Identity(self._idp_client), None)
        exchange = {
            "grant_type": _EXCHANGE,
            "subject_token": await _current(self._id_token),
            "subject_token_type": _ID_TOKEN,
            "requested_token_type": _ID_JAG,
            "audience": site.server.issuer,
            "resource": site.resource,
        }
        if self._scopes:
            exchange["scope"] = " ".join(self._scopes)
        return {"grant_type": JWT_BEARER, "assertion": await idp.exchanged(exchange)}


async def _current(assertion: Assertion) -> str:
    if isinstance(assertion, str):
        return assertion
    found = assertion()
    return await found if inspect.isawaitable(found) else found
