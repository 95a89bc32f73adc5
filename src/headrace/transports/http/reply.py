"""One POST and its answer, in both eras.

The handler runs in the request's own task. A `Reply` begins as plain JSON and becomes an SSE stream at the first
note or question, or when the answer takes long. What lasts (`Pace`) is first watched for a disconnect, where the
revision says that this cancels the call; a call that answers soon pays for no timer.
"""

from __future__ import annotations

import asyncio
from typing import Self

from .answer import JSON_HEADERS, Headers, event
from .pace import Pace
from .sessions import Outlet
from .stream import Limits, Receive, Send, Stream

__all__ = ["Reply", "send_body"]


async def send_body(send: Send, status: int, body: bytes, headers: Headers) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*headers, (b"content-length", b"%d" % len(body))],
        }
    )
    await send({"type": "http.response.body", "body": body})


class Reply:
    """The answer to one POST: JSON, or a stream once something must go before the answer.

    >>> with Reply(...) as reply:  # what is not finished at the end of the block is given up
    """

    __slots__ = (
        "_cancels",
        "_done",
        "_json_only",
        "_limits",
        "_outlet",
        "_pace",
        "_receive",
        "_send",
        "_task",
        "_timer",
        "_watched",
        "_watcher",
        "gone",
        "headers",
        "stream",
    )

    def __init__(
        self,
        receive: Receive,
        send: Send,
        limits: Limits,
        pace: Pace,
        *,
        json_only: bool = False,
        cancels: bool = False,
    ) -> None:
        self._receive = receive
        self._send = send
        self._limits = limits
        self._pace = pace
        self._json_only = json_only
        self._cancels = cancels
        self._outlet: Outlet | None = None
        self._done = False
        self._watched = False
        self._watcher: asyncio.Task[None] | None = None
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.headers: Headers = []
        self.stream: Stream | None = None
        self.gone = False
        """The client left, and that cancelled the call."""

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        self._pace.begin(self)
        return self

    def __exit__(self, *exception: object) -> None:
        self._done = True
        self._stop_watching()
        if self.stream is not None:
            self.stream.abort()  # nothing where it ended in good order

    def lasts(self) -> None:
        self._watch()
        wait = self._limits.sse_after - self._limits.watch_after
        self._timer = asyncio.get_running_loop().call_later(wait, self._takes_long)

    def _stop_watching(self) -> None:
        self._pace.end(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()

    async def begin(self, outlet: Outlet, retry_ms: int | None, *, prime: bool) -> None:
        """Make the answer resumable: a stream from the start, since only events have ids to resume from."""
        self._outlet = outlet
        stream = self._open()
        if prime:
            stream.put(await outlet.prime(retry_ms))
        await outlet.attach(stream, None)

    async def emit(self, message: bytes) -> None:
        """Send a message before the answer; dropped where only JSON may be answered, and after it."""
        if self._done:
            return
        if self.stream is not None and not self.stream.takes(len(message)):
            await self.stream.flushed()
        if self._outlet is not None:
            await self._outlet.emit(message)
        elif not self._json_only:
            self._open().put(event(message))

    async def finish(self, status: int, body: bytes) -> None:
        """Send the answer; an empty body is none (the call was cancelled)."""
        self._stop_watching()
        if self.stream is None and self._outlet is None:
            self._done = True
            headers = self.headers if not body else JSON_HEADERS + self.headers
            await send_body(self._send, status, body, headers)
            return
        if body:
            await self.emit(body)
        self._done = True
        await self.close()

    async def finish_many(self, bodies: list[bytes]) -> None:
        """Send the answers to a batch: one JSON array, or an event each where the stream is open."""
        if not bodies:
            await self.finish(202, b"")
            return
        if self.stream is None and self._outlet is None:
            await self.finish(200, b"[%b]" % b",".join(bodies))
            return
        for body in bodies[:-1]:
            await self.emit(body)
        await self.finish(200, bodies[-1])

    async def close(self) -> None:
        """End the response; what a resumable call still has to say stays in its outlet."""
        if self.stream is not None:
            self.stream.end()
            await self.stream.flushed()

    def _open(self) -> Stream:
        if self.stream is None:
            self.stream = Stream(self._send, self._limits, self.headers)
            self.stream.open()
            self._watch()
        return self.stream

    def _takes_long(self) -> None:
        if not (self._json_only or self._done):
            self._open()

    def _watch(self) -> None:
        if not self._watched:
            self._watched = True
            if self._cancels:
                self._watcher = asyncio.get_running_loop().create_task(self._until_gone())

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        if self.stream is not None:
            self.stream.abort()
        if self._task is not None:
            self._task.cancel()
