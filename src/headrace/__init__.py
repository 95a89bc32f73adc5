"""Headrace: a framework for MCP servers and clients whose heart is its HTTP layer.

The public names are loaded when they are first used; importing the package does nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import Client
    from .components.context import Context
    from .server.server import FastMCP
    from .settings import Settings
    from .types import Audio, File, Image
    from .version import __version__

__all__ = ["Audio", "Client", "Context", "FastMCP", "File", "Image", "Settings", "__version__"]

_HOMES = {
    "Audio": ".types",
    "Client": ".client",
    "Context": ".components.context",
    "FastMCP": ".server.server",
    "File": ".types",
    "Image": ".types",
    "Settings": ".settings",
    "__version__": ".version",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home, __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
