"""The settings that all proxies have in common, under the names that FastMCP gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

from ....state.records import RecordStore
from .identity_assertion import IdentityAssertion

__all__ = ["ProxyOptions"]


class ProxyOptions(TypedDict, total=False):
    """What may be given to each proxy, the ready providers among them."""

    issuer_url: str | None
    resource_base_url: str | None
    service_documentation_url: str | None
    resource_name: str | None
    """What users are told they log in to; None: the host of `base_url`."""
    redirect_path: str | None
    """Where the identity provider sends users back to, below `base_url`; ``/auth/callback`` without one."""
    allowed_client_redirect_uris: list[str] | None
    """Patterns of redirect URIs that clients may register; None: https, this machine, schemes of apps."""
    valid_scopes: list[str] | None
    """Scopes that clients may ask for; None: those that the token verifier requires."""
    forward_resource: bool
    """Whether the provider is told the resource that a token is for (RFC 8707)."""
    extra_authorize_params: dict[str, str] | None
    extra_token_params: dict[str, str] | None
    client_storage: RecordStore | None
    """Where all of it is kept, sealed; None: in memory, gone with the process."""
    jwt_signing_key: str | bytes | Sequence[str] | None
    """At least 32 characters; None: ``HEADRACE_SECRET_KEY``."""
    require_authorization_consent: bool | Literal["remember", "external"]
    """``"remember"``: asks a browser once for each client. False and ``"external"``: never asks, so that whoever
    makes a user open a link gets what that user may do, unless something else asks."""
    fallback_access_token_expiry_seconds: int | None
    fallback_refresh_token_expiry_seconds: int | None
    """How long a login lasts from its last use; None: 30 days."""
    fastmcp_access_token_expiry_seconds: int | None
    """How long one of this server's own access tokens is good; None: an hour."""
    token_expiry_threshold_seconds: int
    """So long before its end the provider's token is renewed."""
    enable_cimd: bool
    identity_assertion: IdentityAssertion | None
    timeout_seconds: float | None
    """For one request to the provider; None: 10."""
