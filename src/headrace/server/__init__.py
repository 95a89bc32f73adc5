"""The server object, its HTTP apps, and the names that users import from here."""

from __future__ import annotations

from .context import Context
from .server import FastMCP

__all__ = ["Context", "FastMCP"]
