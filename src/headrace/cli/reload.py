"""``headrace run --reload``: the server in a child process, started anew when its code changes."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterable
from pathlib import Path

from .console import Failure, note

__all__ = ["run_with_reload"]

GRACE_SECONDS = 15
"""For a child to end, a little more than `run` gives its calls."""
POLL_MS = 300
"""How often the child is looked at."""

_NAMES = frozenset({".env", "headrace.json", "fastmcp.json"})


def run_with_reload(command: list[str], directories: Iterable[Path], also: Path | None = None) -> None:
    """Returns after SIGINT or SIGTERM, or when the child ended well: on stdio, because its client has gone.

    Watches Python files, .env and the config files; `also` is one more file. A child that fails is started again at
    the next change. Raises Failure where watchfiles is missing.
    """
    try:
        from watchfiles import Change, DefaultFilter, watch
    except ImportError:
        raise Failure("--reload needs watchfiles: install headrace[reload]") from None
    default = DefaultFilter()

    def wanted(change: Change, path: str) -> bool:
        file = Path(path)
        return default(change, path) and (file.suffix == ".py" or file.name in _NAMES or file == also)

    stop = threading.Event()

    def on_signal(number: int, frame: object) -> None:
        stop.set()

    handlers = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    child = _Child(command)
    watched = watch(*directories, watch_filter=wanted, stop_event=stop, rust_timeout=POLL_MS, yield_on_timeout=True)
    try:
        # The first round, without changes, comes when the directories are watched: the child starts then, so that
        # no change after its start is missed.
        for changes in watched:
            if stop.is_set():
                break
            if changes:
                note(f"Restarting: {', '.join(sorted(Path(path).name for _, path in changes))} changed")
                child.end()
            if changes or not child.started:
                child.start()
            elif child.ended_well():
                break
    finally:
        child.end()
        for number, handler in handlers.items():
            signal.signal(number, handler)


class _Child:
    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._told = False

    @property
    def started(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command)
        self._told = False

    def ended_well(self) -> bool:
        code = None if self._process is None else self._process.poll()
        if code and not self._told:
            self._told = True
            note(f"The server ended with code {code}; it starts again at the next change")
        return code == 0

    def end(self) -> None:
        """Ask it to end; make it, after the grace."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
