"""Token verifiers that need nothing else: a table of tokens, and a function."""

from __future__ import annotations

import hashlib
import hmac
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from .provider import AccessToken, AuthProvider

__all__ = ["CallableTokenVerifier", "DebugTokenVerifier", "StaticTokenVerifier", "TokenVerifier"]

logger = logging.getLogger(__name__)


class TokenVerifier(AuthProvider):
    """A provider that verifies tokens and has no routes. Subclass it and write `verify_token`."""


class StaticTokenVerifier(TokenVerifier):
    """Tokens from a table: ``{"secret": {"client_id": "alice", "scopes": ["read"], "expires_at": None}}``.

    Members beside ``client_id``, ``scopes`` and ``expires_at`` become claims. For tests and tools of one's own.
    """

    def __init__(
        self,
        tokens: Mapping[str, Mapping[str, Any]],
        required_scopes: Iterable[str] | None = None,
        base_url: str | None = None,
    ) -> None:
        super().__init__(base_url, required_scopes)
        # Looked up by digest: comparing secrets themselves would tell by its time how much of one is right.
        self._tokens = {_digest(token): (token, dict(data)) for token, data in tokens.items()}

    async def verify_token(self, token: str) -> AccessToken | None:
        known, data = self._tokens.get(_digest(token), ("", {}))
        if not known or not hmac.compare_digest(known.encode(), token.encode()):
            return None
        return AccessToken(
            token=token,
            client_id=str(data.get("client_id", "")),
            scopes=list(data.get("scopes") or ()),
            expires_at=data.get("expires_at"),
            claims={name: value for name, value in data.items() if name not in ("scopes", "expires_at")},
        )


class CallableTokenVerifier(TokenVerifier):
    """Tokens that a function accepts: it gets the token and answers a bool or an AccessToken; it may be async.

    It is asked again after `cache_seconds`; 0: for each request.
    """

    def __init__(
        self,
        validate: Callable[[str], bool | AccessToken | Awaitable[bool | AccessToken | None] | None],
        *,
        client_id: str = "client",
        scopes: Iterable[str] | None = None,
        required_scopes: Iterable[str] | None = None,
        base_url: str | None = None,
        cache_seconds: float = 60.0,
    ) -> None:
        super().__init__(base_url, required_scopes)
        self.cache_seconds = cache_seconds
        self._validate = validate
        self._client_id = client_id
        self._scopes = list(scopes or required_scopes or ())

    async def verify_token(self, token: str) -> AccessToken | None:
        if not token:
            return None
        answer = self._validate(token)
        if inspect.isawaitable(answer):
            answer = await answer
        if isinstance(answer, AccessToken):
            return answer
        if not answer:
            return None
        # A yes says nothing of who it is: each token is someone of its own.
        claims = {"sub": hashlib.sha256(token.encode()).hexdigest()}
        return AccessToken(token=token, client_id=self._client_id, scopes=self._scopes, claims=claims)


class DebugTokenVerifier(CallableTokenVerifier):
    """Any token, unless `validate` says otherwise, and each is someone of its own: for tests, as FastMCP's."""

    def __init__(
        self,
        validate: Callable[[str], bool | Awaitable[bool]] = lambda token: True,
        client_id: str = "debug-client",
        scopes: Iterable[str] | None = None,
        required_scopes: Iterable[str] | None = None,
    ) -> None:
        super().__init__(validate, client_id=client_id, scopes=scopes, required_scopes=required_scopes)
        logger.warning("DebugTokenVerifier is for tests: it takes tokens without asking who gave them")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
