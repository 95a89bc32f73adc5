"""A server in this process: its lifespan is entered, its messages are those of the wire."""

from __future__ import annotations

from functools import partial

from ...call import Served
from ...transports.memory import memory_channel
from .duplex import DuplexTransport

__all__ = ["FastMCPTransport", "MemoryTransport"]


class MemoryTransport(DuplexTransport):
    def __init__(self, server: Served) -> None:
        name = f"the server {getattr(server, 'name', type(server).__name__)!r}"
        super().__init__(name, partial(memory_channel, server))


FastMCPTransport = MemoryTransport
"""The name that users of FastMCP know."""
