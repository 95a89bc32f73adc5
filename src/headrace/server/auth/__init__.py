"""Who may come in: verifiers of bearer tokens, and what a resource server says about itself."""

from .provider import AccessToken, AuthProvider, RemoteAuthProvider
from .verifiers import CallableTokenVerifier, DebugTokenVerifier, StaticTokenVerifier, TokenVerifier

__all__ = [
    "AccessToken",
    "AuthProvider",
    "CallableTokenVerifier",
    "DebugTokenVerifier",
    "RemoteAuthProvider",
    "StaticTokenVerifier",
    "TokenVerifier",
]
