"""What the kernel does for a connection, and what it tells of it; a system that does not tell says 0."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from contextlib import suppress

__all__ = ["acknowledged", "cut_off", "tune", "unsent"]

UNSENT = 128 * 1024
"""Bytes that the kernel takes before it can send them."""

if sys.platform == "linux":
    import fcntl
    import termios

    def unsent(transport: asyncio.BaseTransport) -> int:
        """Bytes that the kernel still holds for the client, or that it has not acknowledged."""
        found = transport.get_extra_info("socket")
        try:
            held = fcntl.ioctl(found.fileno(), termios.TIOCOUTQ, bytes(4)) if found is not None else b""
        except (OSError, ValueError):  # it is closed
            return 0
        return int.from_bytes(held, sys.byteorder)

    def acknowledged(transport: asyncio.BaseTransport) -> int:
        """Bytes that the client has got, ever; 0 where it is not known. TLS has a buffer below its own that nobody
        sees, so there nothing else tells."""
        found = transport.get_extra_info("socket")
        try:
            told = found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 128) if found is not None else b""
        except OSError:  # it is closed, or no TCP
            return 0
        return int.from_bytes(told[120:128], sys.byteorder)  # tcpi_bytes_acked

else:

    def unsent(transport: asyncio.BaseTransport) -> int:
        """This system does not tell."""
        return 0

    acknowledged = unsent


def tune(transport: asyncio.BaseTransport) -> None:
    """Small pieces go out at once, also where the loop did not see to it (sockets of `--workers` and `--fd`); and the
    kernel takes no megabytes for a client that does not read them."""
    found = transport.get_extra_info("socket")
    if found is not None:
        with suppress(OSError):  # it is closed, or no TCP
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if sys.platform == "linux":
                found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)


def cut_off(transport: asyncio.Transport) -> None:
    """Close at once. What was not taken yet is dropped: the kernel would keep it for a long while."""
    found = transport.get_extra_info("socket")
    if found is not None:
        with suppress(OSError):  # it is gone already
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
