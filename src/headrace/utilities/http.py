"""`find_available_port`."""

from __future__ import annotations

from ..testing.ports import find_available_port

__all__ = ["find_available_port"]
