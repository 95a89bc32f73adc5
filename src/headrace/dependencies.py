"""Parameters that the framework fills, at the path where users import them."""

from __future__ import annotations

from .components.injection import (
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

__all__ = [
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
]
