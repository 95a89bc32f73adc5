"""The documents of OAuth that a client reads and keeps, and the URLs it may go to.

Endpoints are https, or http on this machine alone (2026-07-28, Authorization, Communication Security).
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any, TypeVar

import httpx2
import msgspec
from msgspec import Struct

from ...exceptions import ClientError

__all__ = [
    "AuthorizationServer",
    "LoginError",
    "NoAnswer",
    "ProtectedResource",
    "RegisteredClient",
    "TokenAnswer",
    "Tokens",
    "bearer_text",
    "checked_url",
    "is_loopback",
    "one_line",
    "origin_of",
    "read",
    "scopes_of",
]

_MAX_MESSAGE = 600
T = TypeVar("T")


class LoginError(ClientError):
    """No access token could be had. `error` is OAuth's code for it, "" where there is none (RFC 6749, 5.2).

    Messages name what servers said, so they are made one line, without control characters, not longer than needed.
    """

    def __init__(self, message: str, *, error: str = "") -> None:
        super().__init__(one_line(message, _MAX_MESSAGE))
        self.error = error


class NoAnswer(LoginError):
    """The user did nothing, or could not."""


class ProtectedResource(Struct):
    """What a server says of itself (RFC 9728, 2)."""

    resource: str
    authorization_servers: list[str] | None = None
    scopes_supported: list[str] | None = None


class AuthorizationServer(Struct):
    """RFC 8414, 2; OpenID Connect Discovery 1.0, 3."""

    issuer: str
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    registration_endpoint: str | None = None
    scopes_supported: list[str] | None = None
    grant_types_supported: list[str] | None = None
    code_challenge_methods_supported: list[str] | None = None
    token_endpoint_auth_methods_supported: list[str] | None = None
    dpop_signing_alg_values_supported: list[str] | None = None
    authorization_response_iss_parameter_supported: bool | None = None
    client_id_metadata_document_supported: bool | None = None


class _Secret(Struct):
    """Shown, as in a log or a traceback, without what it holds."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class RegisteredClient(_Secret, omit_defaults=True):
    """Who this program is to one authorization server (RFC 7591, 3.2.1)."""

    client_id: str
    client_secret: str | None = None
    client_secret_expires_at: float | None = None
    """Seconds since 1970; 0 for never."""
    token_endpoint_auth_method: str | None = None
    redirect_uris: list[str] | None = None
    scope: str | None = None


class TokenAnswer(_Secret):
    """RFC 6749, 5.1."""

    access_token: str
    token_type: str = "bearer"
    expires_in: float | None = None
    refresh_token: str | None = None
    scope: str | None = None


class Tokens(_Secret, omit_defaults=True):
    """What is kept of a login, with whom it is good for."""

    issuer: str
    client_id: str
    access_token: str
    refresh_token: str | None = None
    expires_at: float | None = None
    """Seconds since 1970."""
    renew_at: float | None = None
    """Some time before."""
    requested: list[str] = msgspec.field(default_factory=list[str])
    granted: list[str] | None = None
    """None where the server did not say."""
    dpop_key: dict[str, Any] | None = None
    """The private key that the tokens are bound to, as a JWK."""


def read(kind: type[T], body: bytes, whose: str) -> T:
    """The document. Raises LoginError for one that does not fit."""
    try:
        return msgspec.json.decode(body, type=kind, strict=False)  # some write numbers as text
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LoginError(f"{whose} does not fit: {error}") from None


def scopes_of(text: str | Iterable[str] | None) -> list[str]:
    """Scopes from one text or several, each once, in order (RFC 6749, 3.3)."""
    parts = text.split() if isinstance(text, str) else [part for each in text or () for part in each.split()]
    return list(dict.fromkeys(parts))


def checked_url(text: str, what: str) -> httpx2.URL:
    """A URL that came from outside. Raises LoginError for one that is not https, nor http on this machine."""
    try:
        url = httpx2.URL(text)
    except (httpx2.InvalidURL, UnicodeError):
        raise LoginError(f"{what} is no URL") from None
    secure = url.scheme == "https" or (url.scheme == "http" and is_loopback(url.host))
    if not secure or not url.host or url.userinfo:
        shown = f"{url.scheme}://{url.host}{url.path}"  # the rest may be secret
        raise LoginError(f"{what} must be https (http only on this machine), it is {shown}")
    return url


def one_line(text: str, limit: int) -> str:
    """What a server says, fit for a message."""
    return "".join(c if c.isprintable() else " " for c in text[:limit])


def bearer_text(token: str) -> str:
    """A token as it goes into a header (RFC 6750, 2.1). Raises LoginError, which does not show it."""
    stripped = token.strip()
    if not stripped or not all("!" <= character <= "~" for character in stripped):
        raise LoginError("A token is visible ASCII characters without blanks: this one has others")
    return stripped


def is_loopback(host: str) -> bool:
    """Whether the name or address stands for this machine (RFC 6761, 6.3)."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def origin_of(url: httpx2.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii').rpartition('@')[2]}"
