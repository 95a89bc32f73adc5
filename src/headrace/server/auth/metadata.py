"""Routes of well-known documents: public, and read by clients in browsers, whatever else the app allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

__all__ = ["PROTECTED_RESOURCE", "document_route", "protected_resource_url", "well_known_routes"]

PROTECTED_RESOURCE = "/.well-known/oauth-protected-resource"

_CACHED = "public, max-age=3600"
_CORS = {"access-control-allow-origin": "*"}
_PREFLIGHT = {
    **_CORS,
    "access-control-allow-methods": "GET, OPTIONS",
    "access-control-allow-headers": "mcp-protocol-version",
}


def document_route(path: str, make_document: Callable[[], Mapping[str, Any]], name: str) -> Route:
    """A route that serves what `make_document` answers as JSON, to every origin; caches may keep it for an hour."""

    async def serve(request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=_PREFLIGHT)
        return JSONResponse(dict(make_document()), headers={**_CORS, "cache-control": _CACHED})

    return Route(path, endpoint=serve, methods=["GET", "OPTIONS"], name=name)


def protected_resource_url(resource: str) -> str:
    """Where the metadata of a resource is: the well-known part goes between its host and its path (RFC 9728, 3.1)."""
    parts = urlsplit(resource)
    return f"{parts.scheme}://{parts.netloc}{PROTECTED_RESOURCE}{parts.path.rstrip('/')}"


def well_known_routes(app: Any) -> list[Route]:
    """The routes that an app of ``http_app()`` needs at the root of its host, for the parent that mounts it:

    ``Starlette(routes=[*well_known_routes(mcp_app), Mount("/api", app=mcp_app)], lifespan=mcp_app.lifespan)``.
    The provider's `base_url` has the prefix in it, here ``https://mcp.example.com/api``.
    """
    auth = app.state.fastmcp_auth
    return [] if auth is None else list(auth.get_well_known_routes(app.state.path))
