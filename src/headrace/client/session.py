"""A session of the handshake era that its server has forgotten: another one takes its place.

2025-11-25, Transports, Session Management: 404 says that the session is gone, and a new handshake begins another.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from ..protocol.jsonrpc import Response
from .transports.base import Refused, Transport

__all__ = ["Session"]

logger = logging.getLogger(__name__)

_GONE = 404


class Session:
    """`begin` makes a session; None where there was no handshake. `level` and `subscribed` are what a new one is
    told again."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.begin: Callable[[], Awaitable[None]] | None = None
        self.level: str | None = None
        self.subscribed: set[str] = set()
        self._lock = asyncio.Lock()
        self._lost = False
        self._number = 0

    async def send(
        self, exchange: Callable[[], Awaitable[Response]], restore: Callable[[str, dict[str, Any]], Awaitable[Response]]
    ) -> Response:
        """The response. A request that is refused for its session was not run, so it is sent again in a new one."""
        if self._lost:
            await self._renew(self._number, restore)
        number, id = self._number, self._transport.session_id
        try:
            return await exchange()
        except Refused as refused:
            if refused.status != _GONE or id is None:
                raise
        await self._renew(number, restore)
        return await exchange()

    async def _renew(self, number: int, restore: Callable[[str, dict[str, Any]], Awaitable[Response]]) -> None:
        """Begin the session after the one of that number, unless another request has."""
        async with self._lock:
            if self._number != number:
                return
            assert self.begin is not None
            logger.info("%s no longer knows the session: a new one is begun", self._transport.name)
            self._lost = True  # until it stands, also where this is cancelled
            await self.begin()
            self._lost = False
            self._number += 1
            told = [("resources/subscribe", {"uri": uri}) for uri in sorted(self.subscribed)]
            if self.level is not None:
                told.append(("logging/setLevel", {"level": self.level}))
            for method, params in told:
                response = await restore(method, params)
                if response.error is not None:
                    name, reason = self._transport.name, response.error.message
                    logger.warning("%s refuses %s in a new session: %s", name, method, reason)
