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
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ...transports.http.entrance import Authenticate
from .challenge import Bearer, authenticator

__all__ = ["AccessToken", "AuthProvider", "RemoteAuthProvider"]

WELL_KNOWN = "/.well-known/oauth-protected-resource"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """A verified token. `expires_at` in seconds since the epoch; `claims` as the verifier found them."""

    token: str = field(repr=False)
    client_id: str
    scopes: Sequence[str] = ()
    expires_at: int | None = None
    resource: str | None = None
    claims: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def principal(self) -> str:
        """Whom sessions and request state are bound to; it stays the same when the token is renewed."""
        return json.dumps([str(self.claims.get("iss", "")), self.client_id, str(self.claims.get("sub", ""))])


class AuthProvider:
    """Verifies tokens, and contributes routes. Subclass it and write `verify_token`.

    `base_url` is the public URL of the app that serves the MCP path; `required_scopes` must all be in the token.
    """

    def __init__(self, base_url: str | None = None, required_scopes: Iterable[str] | None = None) -> None:
        self.base_url = None if base_url is None else str(base_url).rstrip("/")
        self.required_scopes: list[str] = list(required_scopes or ())

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
        if self.base_url is None:
            return None
        return self.base_url + "/" + (mcp_path or "").strip("/") if (mcp_path or "").strip("/") else self.base_url

    def metadata_url(self, mcp_path: str | None) -> str | None:
        """Where the resource's metadata is served; None where nothing serves it."""
        return None

    def authenticator(self, mcp_path: str | None) -> Authenticate:
        """The guard of the MCP path."""
        return authenticator(self, self.metadata_url(mcp_path))

    def is_live(self, token: AccessToken) -> bool:
        return token.expires_at is None or token.expires_at > time.time()


class RemoteAuthProvider(AuthProvider):
    """A resource server whose tokens come from authorization servers elsewhere.

    It verifies with `token_verifier` and tells clients where to log in, at the path-aware place of RFC 9728.
    """

    def __init__(
        self,
        token_verifier: AuthProvider,
        authorization_servers: Iterable[str],
        base_url: str,
        *,
        scopes_supported: Iterable[str] | None = None,
        resource_name: str | None = None,
        resource_documentation: str | None = None,
    ) -> None:
        super().__init__(base_url, token_verifier.required_scopes)
        self.token_verifier = token_verifier
        self.authorization_servers = [str(server) for server in authorization_servers]
        self.scopes_supported = list(scopes_supported or self.required_scopes)
        self.resource_name = resource_name
        self.resource_documentation = resource_documentation

    async def verify_token(self, token: str) -> AccessToken | None:
        return await self.token_verifier.verify_token(token)

    def metadata_url(self, mcp_path: str | None) -> str | None:
        resource = urlsplit(self.resource_url(mcp_path) or "")
        return f"{resource.scheme}://{resource.netloc}{WELL_KNOWN}{resource.path}"

    def get_routes(self, mcp_path: str | None = None) -> list[Route]:
        metadata: dict[str, Any] = {
            "resource": self.resource_url(mcp_path),
            "authorization_servers": self.authorization_servers,
            "bearer_methods_supported": ["header"],
        }
        if self.scopes_supported:
            metadata["scopes_supported"] = self.scopes_supported
        if self.resource_name is not None:
            metadata["resource_name"] = self.resource_name
        if self.resource_documentation is not None:
            metadata["resource_documentation"] = self.resource_documentation

        async def serve(request: Request) -> Response:
            # Public, and read by clients in browsers: CORS is open here whatever the app allows elsewhere.
            cors = {"access-control-allow-origin": "*"}
            if request.method == "OPTIONS":
                cors["access-control-allow-methods"] = "GET, OPTIONS"
                cors["access-control-allow-headers"] = "mcp-protocol-version"
                return Response(status_code=204, headers=cors)
            return JSONResponse(metadata, headers={**cors, "cache-control": "public, max-age=3600"})

        path = urlsplit(self.metadata_url(mcp_path) or "").path
        return [Route(path, endpoint=serve, methods=["GET", "OPTIONS"], name="oauth-protected-resource")]
