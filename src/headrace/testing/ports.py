"""A free port on the loopback interface."""

from __future__ import annotations

import socket

__all__ = ["find_available_port", "listen_on"]


def find_available_port() -> int:
    """A port that was free a moment ago; `listen_on` keeps it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listen_on(host: str, port: int | None = None) -> socket.socket:
    """A listening socket, on any free port unless one is given. Raises OSError where the address is in use."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named: asyncio sends small writes at once (TCP_NODELAY) only where it is.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port or 0))
        listener.listen(128)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
