"""From a refused request to the authorization server that may grant it.

2026-07-28, Authorization Server Discovery: the server's own metadata (RFC 9728) names its authorization servers, whose
metadata is at well-known places (RFC 8414, OpenID Connect Discovery 1.0). A server without metadata is taken as its
own authorization server, with the endpoints that 2025-03-26 gives one.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import httpx2

from .challenge import Challenge
from .documents import AuthorizationServer, LoginError, ProtectedResource, checked_url, origin_of, read
from .web import Web

__all__ = ["Site", "canonical", "discover"]

T = TypeVar("T", ProtectedResource, AuthorizationServer)


class Site(NamedTuple):
    """Where tokens for a server come from."""

    resource: str
    """What the tokens are for (RFC 8707)."""
    server: AuthorizationServer
    scopes_supported: list[str]
    """Those of the resource."""


async def discover(web: Web, server: httpx2.URL, challenge: Challenge, preferred: str | None) -> Site:
    """`preferred` is the issuer to take where the server names several. Raises LoginError."""
    described = await _resource(web, server, challenge)
    if described is None:
        return Site(canonical(server), await _of_its_own(web, server), [])
    issuers = described.authorization_servers or [origin_of(server)]
    chosen = preferred if preferred in issuers else issuers[0]
    found = await _authorization_server(web, chosen)
    if found is None:
        raise LoginError(f"The authorization server {chosen} has no metadata (RFC 8414)")
    return Site(described.resource, found, described.scopes_supported or [])


def canonical(url: httpx2.URL) -> str:
    """The URL of a server as what tokens are for (2026-07-28, Authorization, Canonical Server URI)."""
    path = "" if url.path == "/" else url.raw_path.decode("ascii")
    return f"{origin_of(url)}{path}"


async def _resource(web: Web, server: httpx2.URL, challenge: Challenge) -> ProtectedResource | None:
    if challenge.resource_metadata is not None:
        places = [challenge.resource_metadata]
    else:
        places = list(dict.fromkeys((_place_of(server), _place_of(server.copy_with(path="/")))))
    for place in places:
        described = await _document(web, place, ProtectedResource)
        if described is None:
            continue
        if not _covers(described.resource, server, place):
            raise LoginError(f"The metadata at {place} is of another resource, {described.resource}")
        return described
    if challenge.resource_metadata is not None:
        raise LoginError(f"The resource metadata at {challenge.resource_metadata} does not exist")
    return None


def _place_of(resource: httpx2.URL) -> str:
    """Where a resource's metadata is (RFC 9728, 3.1)."""
    path = resource.raw_path.partition(b"?")[0].decode("ascii").rstrip("/")
    return f"{origin_of(resource)}/.well-known/oauth-protected-resource{path}"


def _covers(resource: str, server: httpx2.URL, place: str) -> bool:
    """Whether a token for the resource is for the server: it is the same (RFC 9728, 3.3), or lies above it.

    The latter only if the metadata is at the resource's own place: else one path of a host could have tokens for all.
    """
    try:
        url = httpx2.URL(resource)
    except (httpx2.InvalidURL, UnicodeError):
        return False
    if origin_of(url) != origin_of(server) or url.fragment or (url.query and url.query != server.query):
        return False
    below, above = f"{server.path.rstrip('/')}/", f"{url.path.rstrip('/')}/"
    return below == above or (below.startswith(above) and place == _place_of(url))


async def _authorization_server(web: Web, issuer: str) -> AuthorizationServer | None:
    """Metadata whose issuer is the one asked for, to the letter (RFC 8414, 3.3)."""
    url = checked_url(issuer, "The issuer")
    origin, path = origin_of(url), url.path.rstrip("/")
    places = [
        f"{origin}/.well-known/oauth-authorization-server{path}",
        f"{origin}/.well-known/openid-configuration{path}",
    ]
    if path:
        places.append(f"{origin}{path}/.well-known/openid-configuration")
    for place in places:
        found = await _document(web, place, AuthorizationServer)
        if found is None:
            continue
        if found.issuer != issuer:
            raise LoginError(f"The metadata at {place} is of another issuer, {found.issuer}, not {issuer}: not used")
        return found
    return None


async def _document(web: Web, place: str, kind: type[T]) -> T | None:
    """None where there is none. Raises LoginError for one that can't be had, or does not fit."""
    what = f"The metadata at {place}"
    answer = await web.get(place, what)
    if 400 <= answer.status < 500 and answer.status != 429:
        return None
    if answer.status != 200:
        raise LoginError(f"{what} can't be read: status {answer.status}")
    return read(kind, answer.body, what)


async def _of_its_own(web: Web, server: httpx2.URL) -> AuthorizationServer:
    """2025-03-26, Authorization, Server Metadata Discovery: the root of the server, and endpoints by convention."""
    origin = origin_of(server)
    found = await _authorization_server(web, origin)
    return found or AuthorizationServer(
        issuer=origin,
        authorization_endpoint=f"{origin}/authorize",
        token_endpoint=f"{origin}/token",
        registration_endpoint=f"{origin}/register",
        code_challenge_methods_supported=["S256"],
    )
