"""Logins without a user: a program that stands for itself, or for somebody who has logged in elsewhere."""

from __future__ import annotations

import base64
import binascii
import inspect
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Unpack

import msgspec

from ...exceptions import ClientError
from .discovery import Site
from .documents import AuthorizationServer, LoginError, RegisteredClient, Tokens
from .login import Login, LoginOptions
from .signing import signed_by
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
    """A client that is registered at `issuer` (None: the first one that the server names; better say it, so that no
    server can have a secret sent elsewhere)."""

    def __init__(
        self, client: RegisteredClient, assertion: AssertionProvider | None, **options: Unpack[LoginOptions]
    ) -> None:
        super().__init__(client, **options)
        self._who = Identity(client, assertion)

    async def _identity(self, site: Site) -> Identity:
        return self._who

    async def _grant(self, site: Site, scopes: Sequence[str]) -> Tokens:
        endpoint = TokenEndpoint(self._web, site, self._who, self._proofs_for(site))
        grant = dict(await self._granting(site))
        if scopes:
            grant["scope"] = " ".join(scopes)
        return await self._obtained(endpoint, grant, scopes)

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
        **options: Unpack[LoginOptions],
    ) -> None:
        if [client_secret, private_key, assertion_provider].count(None) != 2:
            raise ClientError("Client credentials are one of client_secret, private_key and assertion_provider")
        if private_key is not None:
            assertion_provider = signed_by(private_key, algorithm, client_id)
        client = RegisteredClient(
            client_id=client_id, client_secret=client_secret, token_endpoint_auth_method=token_endpoint_auth_method
        )
        super().__init__(client, assertion_provider, **options)

    async def _granting(self, site: Site) -> Mapping[str, str]:
        return {"grant_type": "client_credentials"}


ClientCredentialsOAuthProvider = PrivateKeyJWTOAuthProvider = ClientCredentials
"""FastMCP's names; the parameters that they are called with have the same names here."""


class WorkloadIdentity(_Machine):
    """A program that its platform vouches for: `assertion` is the platform's JWT, whose audience is the authorization
    server (RFC 7523, 2.1; SEP-1933). A refusal is final."""

    def __init__(self, client_id: str, assertion: Assertion, **options: Unpack[LoginOptions]) -> None:
        super().__init__(RegisteredClient(client_id=client_id), None, **options)
        self._assertion = assertion

    async def _granting(self, site: Site) -> Mapping[str, str]:
        assertion = await _current(self._assertion)
        _check_audience(assertion, site.server)
        return {"grant_type": JWT_BEARER, "assertion": assertion}


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
        **options: Unpack[LoginOptions],
    ) -> None:
        client = RegisteredClient(client_id=client_id, client_secret=client_secret)
        signed = None if private_key is None else signed_by(private_key, algorithm, client_id)
        super().__init__(client, signed, **options)
        self._idp = AuthorizationServer(issuer=idp_issuer or idp_token_endpoint, token_endpoint=idp_token_endpoint)
        self._idp_client = RegisteredClient(client_id=idp_client_id, client_secret=idp_client_secret)
        self._id_token = id_token

    async def _granting(self, site: Site) -> Mapping[str, str]:
        idp = TokenEndpoint(self._own_web, site._replace(server=self._idp), Identity(self._idp_client), None)
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


class _Claims(msgspec.Struct):
    aud: str | list[str] | None = None


def _check_audience(jwt: str, server: AuthorizationServer) -> None:
    """A token that is meant for another server is not shown to this one, which could use it there."""
    try:
        payload = jwt.split(".")[1]
        audience = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), type=_Claims).aud
    except (IndexError, binascii.Error, ValueError, msgspec.DecodeError, RecursionError):
        return  # no JWT: what it is for can't be seen
    meant = {each.rstrip("/") for each in ([audience] if isinstance(audience, str) else audience or ())}
    if meant and not meant & {server.issuer.rstrip("/"), (server.token_endpoint or "").rstrip("/")}:
        raise LoginError(f"The assertion is for {', '.join(sorted(meant))}, but the server uses {server.issuer}")
