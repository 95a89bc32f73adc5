"""What a server logs, as the client's log handler hears it: ``Client(server, log_handler=handler)``."""

from __future__ import annotations

import logging

from ..protocol.types import LoggingMessageNotificationParams as LogMessage
from .handlers import LogHandler

__all__ = ["LogHandler", "LogMessage", "create_log_callback", "default_log_handler"]

logger = logging.getLogger("headrace.client.from_server")

_LEVELS: dict[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "notice": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "alert": logging.CRITICAL,
    "emergency": logging.CRITICAL,
}


async def default_log_handler(message: LogMessage) -> None:
    """Hand the note to the logger ``headrace.client.from_server``, on the level of Python that is nearest."""
    source = f" ({message.logger})" if message.logger else ""
    # Text of a server never is the format string.
    logger.log(
        _LEVELS.get(message.level, logging.INFO), "%s from the server%s: %s", message.level, source, message.data
    )


def create_log_callback(handler: LogHandler | None = None) -> LogHandler:
    """The handler, or the default one."""
    return default_log_handler if handler is None else handler
