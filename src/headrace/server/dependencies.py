"""What a running function can ask for, at the path where users import it."""

from __future__ import annotations

from ..components.dependencies import get_access_token, get_context, get_http_headers, get_http_request, get_server
from ..components.injection import (
    CallArgument,
    CurrentAccessToken,
    CurrentContext,
    CurrentFastMCP,
    CurrentHeaders,
    CurrentRequest,
    CycleError,
    Dependency,
    Depends,
    Progress,
    TokenClaim,
)
from .auth.provider import AccessToken
from .sessions import get_session

__all__ = [
    "AccessToken",
    "CallArgument",
    "CurrentAccessToken",
    "CurrentContext",
    "CurrentFastMCP",
    "CurrentHeaders",
    "CurrentRequest",
    "CycleError",
    "Dependency",
    "Depends",
    "Progress",
    "TokenClaim",
    "get_access_token",
    "get_context",
    "get_http_headers",
    "get_http_request",
    "get_server",
    "get_session",
]
