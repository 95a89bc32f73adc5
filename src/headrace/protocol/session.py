"""The session of the handshake era: its record, and what may happen when.

The table is the whole theory: a missing key is the error. It does not know which side it stands on.

    new --initialize--> opened --initialized--> ready        (a ping may come before, too)
                           \\------------ end ------> ended

Requests are served from `opened` on: clients in the field call before they send
``notifications/initialized``, and every peer serves them.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from ..exceptions import InvalidRequest
from .types import ClientCapabilities, Implementation

__all__ = ["TRANSITIONS", "SessionRecord", "advance"]

TRANSITIONS: dict[str, dict[str, str]] = {
    "new": {"initialize": "opened", "ping": "new"},
    "opened": {"initialized": "ready", "request": "opened", "notification": "opened", "end": "ended"},
    "ready": {"initialized": "ready", "request": "ready", "notification": "ready", "end": "ended"},
    "ended": {},
}


def advance(state: str, event: str) -> str:
    """The next state. Raises InvalidRequest for what may not happen now."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise InvalidRequest(f"Invalid request: {event} is not possible in a session that is {state}") from None


class SessionRecord(Struct, kw_only=True):
    """All that is kept of a session between requests: a record, not a task."""

    id: str
    version: str
    principal: str | None = None
    owner: str = ""
    """Whose sessions are counted together: a principal, or an address where nobody authenticated."""
    client_info: Implementation | None = None
    capabilities: ClientCapabilities
    log_level: str | None = None
    subscriptions: set[str] | None = None
    state: str = "opened"
    values: dict[str, Any] | None = None
    """What tools kept with ``ctx.set_state``."""
    used: bool = False
    """Whether anything but the handshake ever came."""
    last_used: float = 0.0
    """Seconds on the store's clock."""
