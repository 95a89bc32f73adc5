"""Who may come in: verifiers of tokens, authorization servers, and what a resource server says about itself.

Names are imported when first asked for: a table of tokens does without JOSE.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...components.checks import (
        AuthCheck,
        AuthContext,
        require_roles,
        require_scopes,
        restrict_tag,
        run_auth_checks,
    )
    from .dpop import DPoP
    from .introspection import IntrospectionTokenVerifier
    from .jwt import JWTVerifier
    from .keys import RSAKeyPair
    from .metadata import well_known_routes
    from .multi import MultiAuth
    from .oauth.contract import (
        AuthorizationParams,
        AuthorizeError,
        OAuthClientInformationFull,
        RegistrationError,
        TokenError,
    )
    from .oauth.embedded import EmbeddedOAuthProvider, InMemoryOAuthProvider
    from .oauth.identity_assertion import IdentityAssertion
    from .oauth.passwords import hash_password
    from .oauth.provider import ClientRegistrationOptions, OAuthProvider, RevocationOptions
    from .oauth_proxy import OAuthProxy
    from .oidc_proxy import OIDCProxy
    from .provider import AccessToken, AuthProvider, RemoteAuthProvider
    from .verifiers import CallableTokenVerifier, DebugTokenVerifier, StaticTokenVerifier, TokenVerifier

__all__ = [
    "AccessToken",
    "AuthCheck",
    "AuthContext",
    "AuthProvider",
    "AuthorizationParams",
    "AuthorizeError",
    "CallableTokenVerifier",
    "ClientRegistrationOptions",
    "DPoP",
    "DebugTokenVerifier",
    "EmbeddedOAuthProvider",
    "IdentityAssertion",
    "InMemoryOAuthProvider",
    "IntrospectionTokenVerifier",
    "JWTVerifier",
    "MultiAuth",
    "OAuthClientInformationFull",
    "OAuthProvider",
    "OAuthProxy",
    "OIDCProxy",
    "RSAKeyPair",
    "RegistrationError",
    "RemoteAuthProvider",
    "RevocationOptions",
    "StaticTokenVerifier",
    "TokenError",
    "TokenVerifier",
    "hash_password",
    "require_roles",
    "require_scopes",
    "restrict_tag",
    "run_auth_checks",
    "well_known_routes",
]

_NAMES = {
    "...components.checks": (
        "AuthCheck",
        "AuthContext",
        "require_roles",
        "require_scopes",
        "restrict_tag",
        "run_auth_checks",
    ),
    ".dpop": ("DPoP",),
    ".introspection": ("IntrospectionTokenVerifier",),
    ".jwt": ("JWTVerifier",),
    ".keys": ("RSAKeyPair",),
    ".metadata": ("well_known_routes",),
    ".multi": ("MultiAuth",),
    ".oauth.contract": (
        "AuthorizationParams",
        "AuthorizeError",
        "OAuthClientInformationFull",
        "RegistrationError",
        "TokenError",
    ),
    ".oauth.embedded": ("EmbeddedOAuthProvider", "InMemoryOAuthProvider"),
    ".oauth.passwords": ("hash_password",),
    ".oauth.identity_assertion": ("IdentityAssertion",),
    ".oauth.provider": ("ClientRegistrationOptions", "OAuthProvider", "RevocationOptions"),
    ".oauth_proxy": ("OAuthProxy",),
    ".oidc_proxy": ("OIDCProxy",),
    ".provider": ("AccessToken", "AuthProvider", "RemoteAuthProvider"),
    ".verifiers": ("CallableTokenVerifier", "DebugTokenVerifier", "StaticTokenVerifier", "TokenVerifier"),
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home, __name__), name)
