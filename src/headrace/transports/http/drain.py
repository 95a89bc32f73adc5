"""Shutdown under any server: hear the signal before the server waits for streams that nobody ends.

uvicorn and granian wait for open responses at SIGTERM, and tell the app only afterwards. So a handler is chained in
front of theirs: it ends the streams properly, then lets the server's own handler do its part.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["SignalChain"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class SignalChain:
    """`install` calls `drain` in the loop at the first signal; `restore` puts back what was there."""

    def __init__(self, drain: Callable[[], None]) -> None:
        self._drain = drain
        self._previous: dict[int, Any] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def install(self) -> None:
        """Only in the main thread (Python allows no other), and once."""
        if self._loop is not None or threading.current_thread() is not threading.main_thread():
            return
        self._loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            if number not in self._previous:  # else another chain still calls ours
                self._previous[number] = signal.getsignal(number)
                signal.signal(number, self._handle)

    def restore(self) -> None:
        if self._loop is None:
            return
        self._loop = None
        for number, previous in list(self._previous.items()):
            # Bound methods are equal, not identical. A handler that was put in front of ours stays, and ours behind it.
            if signal.getsignal(number) == self._handle and previous is not None:
                signal.signal(number, previous)
                del self._previous[number]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._drain)
        previous = self._previous.get(number)
        if callable(previous):
            previous(number, frame)
        elif previous == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
