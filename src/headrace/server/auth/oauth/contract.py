"""What an authorization server of one's own has to say: the methods of `OAuthProvider`, and what they take and give.

The names are those of the official SDK and FastMCP, so that a provider written for them runs here.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

__all__ = [
    "AuthorizationCode",
    "AuthorizationParams",
    "AuthorizeError",
    "IdentityAssertionParams",
    "OAuthClientInformationFull",
    "OAuthError",
    "OAuthToken",
    "RefreshToken",
    "RegistrationError",
    "TokenError",
    "oauth_error",
]


class _Secret(Struct):
    """Shown, as in a log or a traceback, without what it holds."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class OAuthClientInformationFull(_Secret, kw_only=True, omit_defaults=True):
    """A client and how it may be used (RFC 7591, 2 and 3.2.1)."""

    client_id: str = ""
    client_secret: str | None = None
    client_id_issued_at: int | None = None
    """Seconds since 1970."""
    client_secret_expires_at: int | None = None
    """Seconds since 1970; 0 for never."""
    redirect_uris: list[str] | None = None
    token_endpoint_auth_method: str | None = None
    grant_types: list[str] = field(default_factory=lambda: ["authorization_code", "refresh_token"])
    response_types: list[str] = field(default_factory=lambda: ["code"])
    scope: str | None = None
    application_type: str | None = None
    client_name: str | None = None
    client_uri: str | None = None
    logo_uri: str | None = None
    contacts: list[str] | None = None
    tos_uri: str | None = None
    policy_uri: str | None = None
    jwks_uri: str | None = None
    jwks: dict[str, Any] | None = None
    software_id: str | None = None
    software_version: str | None = None


class AuthorizationParams(_Secret, kw_only=True):
    """A request for authorization that was checked: the client is known, the redirect URI is one of its own."""

    state: str | None = None
    scopes: list[str] | None = None
    code_challenge: str
    """PKCE, S256."""
    redirect_uri: str
    redirect_uri_provided_explicitly: bool = True
    resource: str | None = None
    """The canonical URI of the server that the token is for (RFC 8707)."""


class AuthorizationCode(_Secret, kw_only=True):
    """A code that was given out. `expires_at` in seconds since 1970; `subject` is the user."""

    code: str
    scopes: list[str]
    expires_at: float
    client_id: str
    code_challenge: str
    redirect_uri: str
    redirect_uri_provided_explicitly: bool = True
    resource: str | None = None
    subject: str | None = None


class RefreshToken(_Secret, kw_only=True):
    """`expires_at` in seconds since 1970; None: does not expire."""

    token: str
    client_id: str
    scopes: list[str]
    expires_at: int | None = None
    resource: str | None = None
    subject: str | None = None


class OAuthToken(_Secret, kw_only=True, omit_defaults=True):
    """What the token endpoint answers (RFC 6749, 5.1). `expires_in` in seconds."""

    access_token: str
    token_type: str = "Bearer"
    expires_in: int | None = None
    scope: str | None = None
    refresh_token: str | None = None

    def __post_init__(self) -> None:
        self.token_type = "Bearer" if self.token_type.lower() == "bearer" else self.token_type


class IdentityAssertionParams(_Secret, kw_only=True):
    """An ID-JAG that a client presents (RFC 7523, 2.1; Enterprise-Managed Authorization)."""

    assertion: str
    scopes: list[str] | None = None
    resource: str | None = None


def _plain(text: str) -> str:
    """A line of the characters that RFC 6749, 5.2 allows: it may quote what a client sent."""
    line = " ".join(text[:300].split()).replace('"', "'")
    return "".join(c if " " <= c <= "~" and c != "\\" else "?" for c in line)


class OAuthError(Exception):
    """`error` is OAuth's code, `error_description` a line for the client's developer."""

    def __init__(self, error: str, error_description: str | None = None) -> None:
        text = None if error_description is None else _plain(error_description)
        super().__init__(text or error)
        self.error = error
        self.error_description = text


class RegistrationError(OAuthError):
    """RFC 7591, 3.2.2: ``invalid_redirect_uri``, ``invalid_client_metadata``."""


class AuthorizeError(OAuthError):
    """RFC 6749, 4.1.2.1: ``access_denied``, ``invalid_scope``, ``server_error``..."""


class TokenError(OAuthError):
    """RFC 6749, 5.2: ``invalid_grant``, ``invalid_client``, ``invalid_scope``..."""


def oauth_error(error: Exception) -> OAuthError | None:
    """What a provider refused with; its classes may be those of the official SDK. None: it failed."""
    if isinstance(error, OAuthError):
        return error
    if not hasattr(error, "error_description"):
        return None
    code, description = getattr(error, "error", None), getattr(error, "error_description", None)
    return OAuthError(code, description) if isinstance(code, str) and isinstance(description, str | None) else None
