"""The contract of a bus: what must reach other requests, in this process or another.

Three things travel: notices of change, a client's answer to a question (to whoever waits for it), and
cancellations. Delivery is at most once and in order per publisher; nothing is replayed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

__all__ = ["Bus"]


class Bus(Protocol):
    async def publish(self, topic: str, message: bytes) -> None:
        """Give `message` to every subscriber of `topic`."""
        ...

    def subscribe(self, topic: str, receive: Callable[[bytes], None]) -> Callable[[], None]:
        """Call `receive` (it must not block) with each message from now on; the return value ends that.

        A backend with a connection makes it when first needed.
        """
        ...
