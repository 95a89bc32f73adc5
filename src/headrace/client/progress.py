"""Progress of a call: ``Client(server, progress_handler=handler)``, or for one call in `Client.call_tool`."""

from __future__ import annotations

import logging

from .handlers import ProgressHandler

__all__ = ["ProgressHandler", "default_progress_handler"]

logger = logging.getLogger(__name__)


async def default_progress_handler(progress: float, total: float | None, message: str | None) -> None:
    """Log it, at the level DEBUG."""
    share = f"{progress:g} of {total:g} ({progress / total:.1%})" if total else f"{progress:g}"
    logger.debug("Progress: %s%s", share, f": {message}" if message else "")
