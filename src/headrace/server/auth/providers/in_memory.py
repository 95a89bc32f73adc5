"""For tests; see `headrace.server.auth.oauth.embedded`."""

from __future__ import annotations

from ..oauth.embedded import InMemoryOAuthProvider

__all__ = ["InMemoryOAuthProvider"]
