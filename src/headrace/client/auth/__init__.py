"""Logins of a client: what goes into ``Client(url, auth=...)``.

Names are imported when first asked for: a client without a login does without them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .bearer import BearerAuth
    from .documents import LoginError
    from .machine import (
        ClientCredentials,
        ClientCredentialsOAuthProvider,
        EnterpriseManaged,
        PrivateKeyJWTOAuthProvider,
        WorkloadIdentity,
    )
    from .oauth import OAuth
    from .storage import FileTokenStorage, MemoryTokenStorage, TokenStorage

__all__ = [
    "BearerAuth",
    "ClientCredentials",
    "ClientCredentialsOAuthProvider",
    "EnterpriseManaged",
    "FileTokenStorage",
    "LoginError",
    "MemoryTokenStorage",
    "OAuth",
    "PrivateKeyJWTOAuthProvider",
    "TokenStorage",
    "WorkloadIdentity",
]

_HOMES = {
    "BearerAuth": "bearer",
    "ClientCredentials": "machine",
    "ClientCredentialsOAuthProvider": "machine",
    "EnterpriseManaged": "machine",
    "FileTokenStorage": "storage",
    "LoginError": "documents",
    "MemoryTokenStorage": "storage",
    "OAuth": "oauth",
    "PrivateKeyJWTOAuthProvider": "machine",
    "TokenStorage": "storage",
    "WorkloadIdentity": "machine",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{home}", __name__), name)
