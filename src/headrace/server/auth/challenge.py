"""The door: reads the bearer token of a request, and says why it stays shut (RFC 6750, section 3; RFC 9728, 5.1).

Without credentials a 401 carries no error code; a bad token is ``invalid_token``; a missing scope is 403
``insufficient_scope``, with the scopes that would do. A verifier that fails inside is 503, never 500 or 401.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from starlette.authentication import AuthCredentials, BaseUser, UnauthenticatedUser
from starlette.types import ASGIApp, Receive, Scope, Send

from ...call import Principal
from ...transports.http.answer import JSON_HEADERS, Refuse
from ...transports.http.entrance import Authenticate, Denied

if TYPE_CHECKING:
    from .provider import AccessToken

__all__ = ["AuthenticatedUser", "Bearer", "authenticator"]

logger = logging.getLogger(__name__)


class Verifier(Protocol):
    required_scopes: list[str]

    async def verify_token(self, token: str) -> AccessToken | None: ...

    def is_live(self, token: AccessToken) -> bool: ...


class AuthenticatedUser(BaseUser):
    """``request.user`` behind a valid token."""

    def __init__(self, access_token: AccessToken, provider: Verifier) -> None:
        self.provider = provider
        """Who vouches for it: to another provider it says nothing."""
        self.access_token = access_token
        self.scopes = list(access_token.scopes)

    @property
    def is_authenticated(self) -> bool:
        return True

    @property
    def display_name(self) -> str:
        return self.access_token.client_id

    @property
    def identity(self) -> str:
        return self.access_token.principal


class Bearer:
    """Pure ASGI: puts ``user`` and ``auth`` into every http scope. It never refuses: the guarded path does."""

    def __init__(self, app: ASGIApp, provider: Verifier) -> None:
        self.app = app
        self.provider = provider

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                await identify(scope, self.provider)
            except Exception:
                # An open route works on; the guarded one asks again and answers 503.
                logger.exception("The token verifier failed")
                scope["user"], scope["auth"] = UnauthenticatedUser(), AuthCredentials()
        await self.app(scope, receive, send)


async def identify(scope: MutableMapping[str, Any], provider: Verifier) -> AccessToken | None:
    """The request's verified token, remembered in its scope."""
    user = scope.get("user")
    if isinstance(user, AuthenticatedUser) and user.provider is provider:
        return user.access_token
    token = bearer_token(scope["headers"])
    access = None if token is None else await provider.verify_token(token)
    if access is not None and not provider.is_live(access):
        access = None
    scope["user"] = UnauthenticatedUser() if access is None else AuthenticatedUser(access, provider)
    scope["auth"] = AuthCredentials(None if access is None else ["authenticated", *access.scopes])
    return access


def bearer_token(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The token of the Authorization field; the scheme is case-insensitive, other schemes count as absent."""
    for name, value in headers:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").strip().partition(" ")
            return token.strip() if scheme.lower() == "bearer" else None
    return None


def authenticator(provider: Verifier, metadata_url: str | None) -> Authenticate:
    """The guard of one path, for the MCP endpoint."""

    async def authenticate(scope: MutableMapping[str, Any]) -> Principal | None:
        try:
            access = await identify(scope, provider)
        except Exception:
            logger.exception("The token verifier failed")
            raise Denied(
                Refuse(503, "Authentication is out of order: try again", headers=[(b"retry-after", b"5")])
            ) from None
        if access is None:
            presented = bearer_token(scope["headers"]) is not None
            raise Denied(_unauthorized(provider.required_scopes, metadata_url, presented=presented))
        missing = [scope_name for scope_name in provider.required_scopes if scope_name not in access.scopes]
        if missing:
            raise Denied(_forbidden(provider.required_scopes, missing, metadata_url))
        return Principal(access.principal, access)

    return authenticate


def _unauthorized(scopes: Sequence[str], metadata_url: str | None, *, presented: bool) -> Refuse:
    if not presented:
        return _challenge(401, scopes, metadata_url, None, "")
    return _challenge(
        401, scopes, metadata_url, "invalid_token", "The access token is invalid or expired: log in again"
    )


def _forbidden(scopes: Sequence[str], missing: Sequence[str], metadata_url: str | None) -> Refuse:
    return _challenge(403, scopes, metadata_url, "insufficient_scope", f"Missing scope: {' '.join(missing)}")


def _challenge(
    status: int, scopes: Sequence[str], metadata_url: str | None, error: str | None, description: str
) -> Refuse:
    fields: dict[str, str] = {}
    if error is not None:
        fields["error"], fields["error_description"] = error, description
    if scopes:
        fields["scope"] = " ".join(scopes)
    if metadata_url is not None:
        fields["resource_metadata"] = metadata_url
    parts = ", ".join(f'{name}="{_quoted(value)}"' for name, value in fields.items())
    refusal = Refuse(status, "")
    refusal.headers = [*JSON_HEADERS, (b"www-authenticate", f"Bearer {parts}".rstrip().encode("latin-1", "replace"))]
    # The body that RFC 6750 users expect; none where there is nothing to say (RFC 6750, 3.1).
    refusal.body = json.dumps({"error": error, "error_description": description}).encode() if error else b""
    if not error:
        refusal.headers = refusal.headers[len(JSON_HEADERS) :]
    return refusal


def _quoted(text: str) -> str:
    return "".join(c for c in text if c >= " ").replace("\\", "\\\\").replace('"', '\\"')
