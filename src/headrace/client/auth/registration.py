"""Who this program is to an authorization server (2026-07-28, Client Registration).

In this order: the client that the user registered, a metadata document that stands for the client (CIMD), dynamic
registration (deprecated, still common). What was registered is good for that one issuer.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from .discovery import Site
from .documents import LoginError, RegisteredClient, checked_url, is_loopback, read
from .storage import TokenStorage
from .web import Web

__all__ = ["Registration"]

_METHODS = ("none", "client_secret_basic", "client_secret_post")


class Registration:
    """`client` is one that the user registered. `metadata_url` is a document of the user's that describes the client;
    `metadata` goes into what is registered."""

    def __init__(
        self,
        storage: TokenStorage,
        *,
        client: RegisteredClient | None,
        metadata_url: str | None,
        metadata: Mapping[str, Any],
    ) -> None:
        if metadata_url is not None and not _is_document(metadata_url):
            raise LoginError("client_metadata_url must be https and have a path (CIMD, 3)")
        self._storage = storage
        self._given = client
        self._metadata_url = metadata_url
        self._metadata = metadata

    async def known(self, site: Site) -> RegisteredClient | None:
        """The client that needs no registration."""
        issuer = site.server.issuer
        if self._given is not None:
            return self._given
        if self._metadata_url is not None and site.server.client_id_metadata_document_supported:
            return RegisteredClient(client_id=self._metadata_url)
        kept = await self._storage.get(_key(issuer))
        if kept is None:
            return None
        try:
            client = msgspec.convert(kept, RegisteredClient)
        except msgspec.ValidationError:
            return None
        expiry = client.client_secret_expires_at or 0
        return client if expiry == 0 or expiry > time.time() + 60 else None

    @property
    def can_be_renewed(self) -> bool:
        return self._given is None

    async def register(self, web: Web, site: Site, redirect_uri: str, scopes: Sequence[str]) -> RegisteredClient:
        """RFC 7591, 3.1. Raises LoginError."""
        issuer, endpoint = site.server.issuer, site.server.registration_endpoint
        if endpoint is None:
            raise LoginError(f"{issuer} registers no clients: register one there, and give its client_id")
        grants = ["authorization_code", "refresh_token"]
        supported = site.server.grant_types_supported or grants
        methods = site.server.token_endpoint_auth_methods_supported or _METHODS
        document: dict[str, Any] = {
            "redirect_uris": [redirect_uri],
            "grant_types": [grant for grant in grants if grant in supported],
            "response_types": ["code"],
            "token_endpoint_auth_method": next((method for method in _METHODS if method in methods), "none"),
            # "web", the default of OpenID Connect, does not allow this machine as the host of a redirect.
            "application_type": "native" if is_loopback(checked_url(redirect_uri, "redirect_uri").host) else "web",
            **({"scope": " ".join(scopes)} if scopes else {}),
            **self._metadata,
        }
        what = f"The registration at {endpoint}"
        answer = await web.post_json(endpoint, document, what)
        if answer.status == 400 and "scope" in document and "scope" not in self._metadata:
            del document["scope"]  # some know only their own scopes here, not those of a resource
            answer = await web.post_json(endpoint, document, what)
        if answer.status not in (200, 201):
            reason = answer.body[:300].decode(errors="replace")
            raise LoginError(f"{what} was refused with {answer.status}: {reason}")
        client = read(RegisteredClient, answer.body, what)
        client.redirect_uris = [redirect_uri]
        client.scope = document.get("scope")  # what it was registered for, whatever came of it
        await self._storage.put(_key(issuer), msgspec.to_builtins(client))
        return client

    async def forget(self, issuer: str) -> None:
        """The server no longer knows it."""
        await self._storage.delete(_key(issuer))


def _key(issuer: str) -> str:
    return f"client:{issuer}"


def _is_document(url: str) -> bool:
    parsed = checked_url(url, "client_metadata_url")
    return parsed.scheme == "https" and parsed.path not in ("", "/") and not parsed.fragment
