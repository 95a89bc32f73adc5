"""AuthProvider: what an app needs of authentication, and a provider that trusts authorization servers elsewhere.

Bearer tokens: RFC 6750. What a protected resource says about itself: RFC 9728 (2026-07-28, Authorization).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from starlette.middleware import Middleware
from starlette.routing import Route

from ...transports.http.entrance import Authenticate
from .challenge import Bearer, Door
from .dpop import DPoP
from .metadata import document_route, protected_resource_url

__all__ = ["AccessToken", "AuthProvider", "RemoteAuthProvider"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """A verified token. `expires_at` in seconds since the epoch; `claims` as the verifier found them.

    `leeway` are the seconds after that in which it is still good, since clocks differ. `source` tells the users of one
    verifier from those of another, where there are several.
    """

    token: str = field(repr=False)
    client_id: str
    scopes: Sequence[str] = ()
    expires_at: int | None = None
    resource: str | None = None
    claims: dict[str, Any] = field(default_factory=dict[str, Any])
    leeway: float = field(default=0, repr=False)
    source: str = field(default="", repr=False)

    @property
    def principal(self) -> str:
        """Whom sessions and request state are bound to; it stays the same when the token is renewed."""
        parts = [str(self.claims.get("iss", "")), self.client_id, str(self.claims.get("sub", ""))]
        return json.dumps([self.source, *parts] if self.source else parts)


class AuthProvider:
    """Verifies tokens, and contributes routes. Subclass it and write `verify_token`.

    `base_url` is the public URL of the app that serves the MCP path; `required_scopes` must all be in the token.
    `resource_base_url` takes the place of `base_url` in the name of the resource. `dpop` is the switch for tokens that
    are bound to a key (RFC 9449): "off" refuses them, "allowed" takes them beside others, "required" takes no others.
    """

    cache_seconds: float = 60.0
    """How long a token that was verified is believed without asking again, if it is good for so long; 0: not at all."""

    def __init__(
        self,
        base_url: str | None = None,
        required_scopes: Iterable[str] | None = None,
        *,
        resource_base_url: str | None = None,
        dpop: str | DPoP = "off",
    ) -> None:
        self.base_url = None if base_url is None else str(base_url).rstrip("/")
        self.resource_base_url = None if resource_base_url is None else str(resource_base_url).rstrip("/")
        self.required_scopes: list[str] = list(required_scopes or ())
        self.dpop = None if dpop == "off" else dpop if isinstance(dpop, DPoP) else DPoP(dpop)
        self.within: list[AuthProvider] = []
        """Providers that ask this one."""
        self._doors: dict[str | None, Door] = {}

    async def verify_token(self, token: str) -> AccessToken | None:
        """The token, if it is valid here; None if it is not. What it raises is a 503: the verifier is out of order."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to verify a token")

    def get_routes(self, mcp_path: str | None = None) -> list[Route]:
        """Routes served beside the MCP path, before all others."""
        return []

    def get_well_known_routes(self, mcp_path: str | None = None) -> list[Route]:
        """Those of the routes that must be at the root of the host, for apps mounted under a prefix."""
        return [route for route in self.get_routes(mcp_path) if route.path.startswith("/.well-known/")]

    def get_middleware(self) -> list[Middleware]:
        """Token parsing for the whole app: ``request.user`` in custom routes, too."""
        return [Middleware(Bearer, provider=self)]

    def resource_url(self, mcp_path: str | None) -> str | None:
        """The canonical URI of the protected resource (RFC 8707): base URL and path."""
        base = self.base_url if self.resource_base_url is None else self.resource_base_url
        path = (mcp_path or "").strip("/")
        return f"{base}/{path}" if base is not None and path else base

    def metadata_url(self, mcp_path: str | None) -> str | None:
        """Where the resource's metadata is served; None where nothing serves it."""
        return None

    def check_resource(self, resource: str | None) -> None:
        """Called when an app is built that serves the resource. Raises ValueError where tokens could not be told
        from those for other servers."""

    def get_challenge_scopes(self, required_scopes: Sequence[str] | None = None) -> list[str]:
        """The scopes that clients are told to ask for, where the authorization server has other names for them."""
        return list(self.required_scopes if required_scopes is None else required_scopes)

    def door(self, mcp_path: str | None) -> Door:
        """The guard of that path, with the tokens that it knows."""
        door = self._doors.get(mcp_path)
        if door is None:
            door = self._doors[mcp_path] = Door(self, mcp_path)
        return door

    def authenticator(self, mcp_path: str | None) -> Authenticate:
        """The guard of the MCP path. Raises ValueError for a provider that can't guard it."""
        self.check_resource(self.resource_url(mcp_path))
        if self.dpop is not None and self.resource_url(mcp_path) is None:
            raise ValueError("To check DPoP proofs give the provider the public URL of the app: base_url=")
        return self.door(mcp_path).authenticate

    def forget(self, token: str | None = None, *, grant: str | None = None) -> None:
        """The token was revoked: the next request that presents it asks the verifier. None: that of every token, or of
        those that don't name another `grant` (``gid``)."""
        for door in self._doors.values():
            door.forget(token, grant)
        for provider in self.within:
            provider.forget(token, grant=grant)

    def is_live(self, token: AccessToken) -> bool:
        return token.expires_at is None or token.expires_at + token.leeway > time.time()


class RemoteAuthProvider(AuthProvider):
    """A resource server whose tokens come from authorization servers elsewhere.

    It verifies with `token_verifier` and tells clients where to log in, at the path-aware place of RFC 9728.
    `required_scopes` come on top of the verifier's. `challenge_scopes` are their names at the authorization server,
    where these are others.
    """

    def __init__(
        self,
        token_verifier: AuthProvider,
        authorization_servers: Iterable[str],
        base_url: str,
        scopes_supported: Iterable[str] | None = None,
        resource_base_url: str | None = None,
        resource_name: str | None = None,
        resource_documentation: str | None = None,
        challenge_scopes: Iterable[str] | None = None,
        required_scopes: Iterable[str] | None = None,
        *,
        dpop: str | DPoP = "off",
    ) -> None:
        required = dict.fromkeys([*(required_scopes or ()), *token_verifier.required_scopes])
        super().__init__(base_url, required, resource_base_url=resource_base_url, dpop=dpop)
        self.dpop = self.dpop or token_verifier.dpop
        self.token_verifier = token_verifier
        token_verifier.within.append(self)
        self.cache_seconds = token_verifier.cache_seconds
        self.authorization_servers = [str(server) for server in authorization_servers]
        self.scopes_supported = list(scopes_supported or self.required_scopes)
        self.resource_name = resource_name
        self.resource_documentation = None if resource_documentation is None else str(resource_documentation)
        self._challenge_scopes = None if challenge_scopes is None else list(challenge_scopes)

    async def verify_token(self, token: str) -> AccessToken | None:
        return await self.token_verifier.verify_token(token)

    def check_resource(self, resource: str | None) -> None:
        self.token_verifier.check_resource(resource)

    def get_challenge_scopes(self, required_scopes: Sequence[str] | None = None) -> list[str]:
        if self._challenge_scopes is not None and required_scopes in (None, self.required_scopes):
            return self._challenge_scopes
        return self.token_verifier.get_challenge_scopes(
            self.required_scopes if required_scopes is None else required_scopes
        )

    def metadata_url(self, mcp_path: str | None) -> str | None:
        return protected_resource_url(self.resource_url(mcp_path) or "")

    def get_routes(self, mcp_path: str | None = None) -> list[Route]:
        path = urlsplit(self.metadata_url(mcp_path) or "").path
        return [document_route(path, lambda: self.metadata(mcp_path), "oauth-protected-resource")]

    def metadata(self, mcp_path: str | None) -> dict[str, Any]:
        """The document of RFC 9728, 2."""
        scopes = [scope for scope in self.scopes_supported if scope != "offline_access"]  # no scope of a resource's
        document: dict[str, Any] = {
            "resource": self.resource_url(mcp_path),
            "authorization_servers": self.authorization_servers,
            "bearer_methods_supported": ["header"],
            "scopes_supported": scopes or None,
            "resource_name": self.resource_name,
            "resource_documentation": self.resource_documentation,
        }
        if self.dpop is not None:
            document["dpop_signing_alg_values_supported"] = list(self.dpop.algorithms)
            document["dpop_bound_access_tokens_required"] = self.dpop.required
        return {name: value for name, value in document.items() if value is not None}
