"""The client: connects to a server in this process or over HTTP, in every revision.

Names are imported when first asked for, so that ``import headrace.client`` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import Client
    from .handlers import HandlerContext, Notice
    from .results import CallToolResult
    from .subscription import Subscription

__all__ = ["CallToolResult", "Client", "HandlerContext", "Notice", "Subscription"]

_HOMES = {
    "CallToolResult": "results",
    "Client": "client",
    "HandlerContext": "handlers",
    "Notice": "handlers",
    "Subscription": "subscription",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{home}", __name__), name)
