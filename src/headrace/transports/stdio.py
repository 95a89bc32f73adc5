"""stdio: one client, the process that started this one; a message is a line (2025-11-25 and 2026-07-28, stdio).

Nothing but the protocol may reach stdout, whatever the user's functions and their subprocesses print, so
`standard_streams` takes the descriptors away first: what they are called by afterwards is the null device for reading
and stderr for writing.

The end: the client closes stdin (calls in flight have `GRACE_SECONDS` to end, then they are cancelled), SIGTERM or
SIGINT comes (they are cancelled at once), or stdout breaks. What holds on in spite of it is left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NamedTuple

from ..call import Served
from ..protocol.errors import INVALID_REQUEST
from ..protocol.input_required import Sealer
from ..protocol.jsonrpc import encode_error
from .descriptors import Reader, open_reader, open_writer
from .duplex import Duplex
from .lines import Lines, line

__all__ = ["StandardStreams", "serve_stdio", "standard_streams"]

GRACE_SECONDS = 10.0
"""How long calls in flight may go on once stdin has ended."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StandardStreams(NamedTuple):
    """Descriptors of what were stdin and stdout."""

    input: int
    output: int


_taken: list[StandardStreams] = []
"""What `standard_streams` keeps now: a process has one stdin."""


@contextmanager
def standard_streams() -> Generator[StandardStreams]:
    """stdin and stdout for the protocol alone. Meanwhile everyone else reads nothing and writes to stderr.

    Inside of another such block it is that block's: who loads the user's code before it serves enters one first.
    Raises RuntimeError where the process has none.
    """
    if _taken:
        yield _taken[-1]
        return
    # Asked of Python: the descriptor of a stream that was closed before it started may be another file by now.
    if sys.__stdin__ is None or sys.__stdout__ is None:
        raise RuntimeError("stdio needs an open stdin and stdout: use another transport, such as http")
    kept = StandardStreams(os.dup(0), os.dup(1))
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere if sys.__stderr__ is None else 2, 1)
    os.close(nowhere)
    stdout = sys.stdout
    _flush(stdout)  # what was printed before goes to stderr, too
    if sys.__stderr__ is not None:
        # Not only the descriptor: lines shall come at once, and between those of stderr where they were printed.
        sys.stdout = sys.stderr
    _taken.append(kept)
    try:
        yield kept
    finally:
        _taken.clear()
        _flush(stdout)
        if sys.stdout is sys.stderr:
            sys.stdout = stdout
        for number, descriptor in enumerate(kept):
            os.dup2(descriptor, number)
            os.close(descriptor)


async def serve_stdio(
    server: Served,
    streams: StandardStreams,
    *,
    sealer: Sealer,
    max_message_bytes: int,
    stateless: bool = False,
    grace: float = GRACE_SECONDS,
) -> None:
    """Serve one client, until it hangs up or a signal comes; that is a good end. `grace` in seconds.

    The descriptors stay open; `stateless`: clients may leave out the handshake.
    """
    stop = asyncio.Event()
    output = await open_writer(streams.output, beside=(streams.input, 2), lost=stop.set)
    reader = open_reader(streams.input)

    async def emit(message: bytes) -> None:
        await output.write(line(message))

    duplex = Duplex(server, emit, transport="stdio", sealer=sealer, stateless=stateless)
    with _signals(stop.set):
        stopped = asyncio.create_task(stop.wait())
        reading = asyncio.create_task(_read(reader, duplex, emit, Lines(max_message_bytes)))
        draining: asyncio.Task[None] | None = None
        try:
            await asyncio.wait((reading, stopped), return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
                draining = asyncio.create_task(duplex.drain())
                await asyncio.wait((draining, stopped), timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        finally:
            tasks = [task for task in (stopped, reading, draining) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            reader.close()
            await duplex.close()
            await output.close()


async def _read(reader: Reader, duplex: Duplex, emit: Callable[[bytes], Any], lines: Lines) -> None:
    while chunk := await reader.read():
        for body in lines.feed(chunk):
            await _take(body, duplex, emit)
    for body in lines.end():
        await _take(body, duplex, emit)


async def _take(body: bytes | None, duplex: Duplex, emit: Callable[[bytes], Any]) -> None:
    if body is None:
        await emit(encode_error(None, INVALID_REQUEST, "Invalid request: the message is longer than this server takes"))
    else:
        await duplex.take(body)


@contextmanager
def _signals(stop: Callable[[], None]) -> Generator[None]:
    """The first SIGTERM or SIGINT calls `stop` in the loop, a second does what it would do without us.

    Only in the main thread (Python allows no other).
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    previous = {number: signal.getsignal(number) for number in _SIGNALS}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def handle(number: int, frame: FrameType | None) -> None:
        restore()
        loop.call_soon_threadsafe(stop)

    for number in _SIGNALS:
        signal.signal(number, handle)
    try:
        yield
    finally:
        restore()


def _flush(stream: Any) -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        stream.flush()
