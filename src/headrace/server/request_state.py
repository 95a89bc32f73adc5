"""The keys that seal what a call's questions carry through the client (2026-07-28)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..settings import Settings
from ..state.sealer import AeadSealer

__all__ = ["RequestStateSecurity", "sealer_of"]

_SHORTEST = 32


class RequestStateSecurity:
    """``FastMCP(request_state_security=RequestStateSecurity(keys=[new, old]))``: the first seals, each opens.

    Every replica needs the same keys. To replace one without a break, roll out [old, new], then [new, old], then [new].
    Raises ValueError for keys of less than 32 characters or bytes: shorter ones can be guessed.
    """

    def __init__(self, keys: Sequence[str | bytes]) -> None:
        if not keys or any(len(key) < _SHORTEST for key in keys):
            raise ValueError(f"keys are one or more of at least {_SHORTEST} characters, as secrets.token_hex(16) gives")
        self.keys = list(keys)

    def __repr__(self) -> str:
        return f"<RequestStateSecurity with {len(self.keys)} keys>"


def sealer_of(server: Any, settings: Settings) -> AeadSealer:
    """Seals with the server's own keys, else with ``HEADRACE_SECRET_KEY``, else with a key of this process."""
    security: RequestStateSecurity | None = getattr(server, "request_state_security", None)
    keys = security.keys if security is not None else [settings.secret_key] if settings.secret_key else []
    return AeadSealer(*keys, purpose=f"request-state {server.name}")
