"""One SSE response: frames go into a bounded buffer, and out in one task of their own as fast as the reader takes them.

The task lives only while there is something to send, and time is told by the app's clock, so an idle stream costs its
buffer. Whoever puts a frame never waits for the network; who wants to can wait with `flushed`. A reader that stalls
past `write_seconds`, or lets the buffer grow past `max_buffer` bytes or `max_events`, loses the stream, and `lost` is
told; not the call: where an event store keeps the messages it can resume.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .answer import KEEP_ALIVE, SSE_HEADERS, Headers, event
from .pace import Clocks, Lasting

__all__ = ["Receive", "Send", "Stream"]

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Stream:
    """`open` once; then `put` frames; then `end`. `closed` turns true when nothing more can be sent."""

    __slots__ = (
        "_clocks",
        "_end_when_sent",
        "_expires",
        "_frames",
        "_headers",
        "_holder",
        "_limits",
        "_loop",
        "_release",
        "_send",
        "_size",
        "_slot",
        "_started",
        "_task",
        "_writing_since",
        "aged",
        "closed",
        "lost",
    )

    def __init__(self, send: Send, clocks: Clocks, headers: Headers | None = None) -> None:
        self._send = send
        self._clocks = clocks
        self._limits = clocks.limits
        self._headers = [*SSE_HEADERS, *(headers or ())]
        self._frames: list[bytes] = []
        self._size = 0
        self._slot: set[Lasting] | None = None
        """Where it stands in the app's clock."""
        self._started = False
        self._end_when_sent = False
        self._task: asyncio.Task[None] | None = None
        self._writing_since: float | None = None
        self._holder: asyncio.Task[Any] | None = None
        self._release = False
        self._loop = asyncio.get_running_loop()
        self._expires = 0.0
        self.aged: Callable[[], None] | None = None
        """What ends a stream that only waits, in good order, when it is old."""
        self.lost: Callable[[], None] | None = None
        """Is told that the reader was too slow."""
        self.closed = False

    def open(self) -> None:
        """Send the head now, so that the client sees the stream before its first event."""
        self._slot = self._clocks.streams.begin(self, self._loop)
        self._expires = self._loop.time() + self._limits.max_age
        self._wake()

    def tell(self, message: bytes) -> None:
        """Queue a message as an event without an id."""
        self.put(event(message))

    def put(self, frame: bytes) -> None:
        """Queue a frame. Nothing once closed or ending; closes the stream of a reader that is too slow."""
        if self.closed or self._end_when_sent:
            return
        self._frames.append(frame)
        limits, size = self._limits, len(frame)
        self._size += size if size > limits.min_frame else limits.min_frame
        if self._size > limits.max_buffer and self._overflows():
            self._lose()
        else:
            self._wake()

    def end(self) -> None:
        """End the response once all frames are out."""
        if not self.closed and not self._end_when_sent:
            self._end_when_sent = True
            self._wake()

    @property
    def begun(self) -> bool:
        """Whether the head is out, or on its way."""
        return self._started

    def abort(self) -> None:
        """Stop at once: the client is gone, or too slow."""
        self._frames.clear()
        self._size = 0
        if self._task is not None:
            self._task.cancel()
        self._finish()

    def _overflows(self) -> bool:
        """One frame may be as long as it is, and many short ones come at once before any of them can be sent."""
        frames = len(self._frames)
        at_once = self._writing_since is None and self._size == frames * self._limits.min_frame
        return frames > 1 and not at_once

    def _lose(self) -> None:
        lost = self.lost
        self.abort()
        if lost is not None:
            lost()

    def takes(self, size: int) -> bool:
        """Whether a frame of that size fits into half of the buffer: who can wait waits for `flushed` otherwise."""
        return self._size + size <= self._limits.max_waiting or not self._frames

    async def flushed(self) -> None:
        """Wait until all frames are out (or the stream is closed). Cancelling the wait does not stop the sending."""
        # A task that was cancelled before it ran is done and has reset nothing.
        while self._task is not None and not self._task.done():
            await asyncio.wait([self._task])

    async def hold(self, receive: Receive) -> None:
        """Keep the response open until the client goes or the stream ends.

        The task that waits for the client is cancelled when the stream ends by itself: not every server
        wakes `receive` then.
        """
        self._holder = asyncio.current_task()
        try:
            while not self.closed:
                if (await receive())["type"] == "http.disconnect":
                    self.abort()
        except asyncio.CancelledError:
            if not self._release or self._holder is None:
                self.abort()
                raise
            self._holder.uncancel()
        finally:
            self._holder = None
        await self.flushed()

    def _wake(self) -> None:
        if self._task is None and not self.closed:
            self._task = self._loop.create_task(self._drain())

    def lasts(self) -> None:
        """A while has passed on the app's clock."""
        if self._loop.is_closed():
            return
        stalled = 0.0 if self._writing_since is None else self._loop.time() - self._writing_since
        if stalled >= self._limits.write_seconds:
            self._lose()
            return
        self._slot = self._clocks.streams.begin(self, self._loop)
        if self.aged is not None and self._loop.time() >= self._expires:
            self.aged()
        if not self._frames and self._task is None:
            self.put(KEEP_ALIVE)

    async def _drain(self) -> None:
        try:
            if not self._started:
                self._started = True
                await self._write({"type": "http.response.start", "status": 200, "headers": self._headers})
                # Servers write the head with the first piece of the body: an empty one brings it out.
                if not self._frames and not self._end_when_sent:
                    await self._write({"type": "http.response.body", "body": b"", "more_body": True})
            while self._frames or self._end_when_sent:
                body, last = b"".join(self._frames), self._end_when_sent
                self._frames.clear()
                self._size = 0
                await self._write({"type": "http.response.body", "body": body, "more_body": not last})
                if last:
                    self._finish()
                    return
        except Exception:  # whatever a server raises for a client that is gone, the stream is over
            self._frames.clear()
            self._finish()
        finally:
            self._task = None
            if not self.closed and (self._frames or self._end_when_sent):
                self._wake()

    async def _write(self, message: MutableMapping[str, Any]) -> None:
        self._writing_since = self._loop.time()
        await self._send(message)
        self._writing_since = None

    def _finish(self) -> None:
        if self.closed:
            return
        self.closed = True
        self.aged = self.lost = None
        if self._slot is not None:
            self._slot.discard(self)
        if self._holder is not None and self._holder is not asyncio.current_task():
            self._release = True
            self._holder.cancel()
