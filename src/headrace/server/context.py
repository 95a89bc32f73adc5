"""`Context` at the path where users import it."""

from __future__ import annotations

from ..components.context import Context, RequestContext

__all__ = ["Context", "RequestContext"]
