"""The contract of a store of handshake-era sessions. A session is a record, not a task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..protocol.session import SessionRecord

__all__ = ["SessionStore"]


class SessionStore(Protocol):
    """Bounded, over all and per `SessionRecord.owner`: at a cap, room is made by ending one (of that owner) never used
    after the handshake, else the longest idle."""

    async def create(self, record: SessionRecord, busy: Callable[[str], bool]) -> list[str] | None:
        """Keep a new session. `busy(id)` tells of those that must not give way.

        Which ones ended for it (expired, or to make room); None where there is no room and all are busy: those of the
        owner, or all where the store is full.
        """
        ...

    async def touch(self, id: str) -> SessionRecord | None:
        """The session, its idle time begun anew; None where there is none."""
        ...

    async def save(self, record: SessionRecord) -> None:
        """Keep what was changed in a record. Nothing where the session has ended meanwhile."""
        ...

    async def end(self, id: str) -> None:
        """Forget the session at once."""
        ...

    async def expire(self, busy: Callable[[str], bool]) -> list[str]:
        """Forget what has been idle for too long and is not busy; which ones.

        Cheap where there is none: it is asked often.
        """
        ...
