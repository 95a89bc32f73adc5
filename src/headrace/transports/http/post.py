"""One POST, from its body to its answer, in both eras.

The handler runs in the request's own task. The answer begins as plain JSON and becomes an SSE stream at the first
note or question, or when it takes long. What lasts (`Pace`) gets timers: first one for its body, then one for its
answer and the watch for a disconnect, where the revision says that this cancels the call. Most pay for none.
"""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

from ...exceptions import McpError
from ...protocol.versions import Era
from .answer import Denied, Headers, Refuse, outcome
from .entrance import Arrival
from .pace import Clocks, Lasting
from .sessions import Outlet
from .stream import Stream

__all__ = ["Post"]

_JSON = (b"content-type", b"application/json")
MAX_DROPPED = 16
"""How many times the body limit is read and dropped past the limit, so that the client sees the 413."""


class Post(Arrival):
    """`begin`, `read`, `answer`; and `over` in any case: what is not answered then is given up.

    The members with an underscore are its own, and not given.
    """

    clocks: Clocks
    json_only: bool
    cancels: bool | None = None
    """Whether the call ends when its client leaves; None until a call runs."""
    task: asyncio.Task[object] | None = None
    """The task of the request."""
    headers: Headers | None = None
    """More of them for the answer."""
    stream: Stream | None = None
    gone: bool = False
    """The client left, and that cancelled the call."""
    _reading: bool = True
    _expired: bool = False
    _done: bool = False
    _watched: bool = False
    _outlet: Outlet | None = None
    _slot: set[Lasting] | None = None
    """Where it stands in the app's clock."""
    _timer: asyncio.TimerHandle | None = None
    _watcher: asyncio.Task[None] | None = None

    def begin(self) -> None:
        loop = asyncio.get_running_loop()
        self.task = asyncio.current_task(loop)
        self._slot = self.clocks.requests.begin(self, loop)

    def over(self) -> None:
        if not self._done:
            self._done = True
            self._stop()
        if self.stream is not None:
            self.stream.abort()  # nothing where it ended in good order

    def lasts(self) -> None:
        loop, limits = asyncio.get_running_loop(), self.clocks.limits
        if self._reading:
            self._timer = loop.call_later(limits.body_seconds, self._expire)
        elif self.cancels is None:  # what is sent before a call runs is a refusal, and no stream
            self._slot = self.clocks.requests.begin(self, loop)
        else:
            self._watch()
            self._timer = loop.call_later(limits.sse_after - limits.watch_after, self._takes_long)

    async def read(self, limit: int) -> bytes | None:
        """The body, measured while it comes, whatever Content-Length says; None where the client left.

        Raises Denied for more than `limit` bytes, and for a body that does not arrive in time.
        """
        try:
            message = await self.receive()
            body: bytes | None = message.get("body")
            if body is None or message.get("more_body") or len(body) > limit:
                return await self._rest(message, limit)
            return body
        except asyncio.CancelledError:
            # Whoever else cancels the task is obeyed.
            if not self._expired or self.task is None or self.task.uncancel():
                raise
            close = [(b"connection", b"close")]
            raise Denied(Refuse(408, "Request timeout: the body did not arrive in time", headers=close)) from None
        finally:
            self._reading = False
            if self._timer is not None:  # time counts for the answer from now on
                self._timer.cancel()
                self._slot = self.clocks.requests.begin(self, asyncio.get_running_loop())

    async def resumable(self, outlet: Outlet, retry_ms: int | None, *, prime: bool) -> None:
        """Make the answer a stream from the start, since only events have ids to resume from."""
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
        elif not self.json_only:
            self._open().tell(message)

    async def answer(self, body: bytes | None, status: int = 200) -> None:
        """Send the answer. A call that was cancelled has none, and its client may still be there."""
        if self.stream is None and self._outlet is None:
            self._done = True
            self._stop()
            if not self.gone:
                if body is None:
                    await self.accept()
                    return
                headers = [_JSON, (b"content-length", b"%d" % len(body))]
                if self.headers is not None:
                    headers += self.headers
                await self.send({"type": "http.response.start", "status": status, "headers": headers})
                await self.send({"type": "http.response.body", "body": body})
            return
        self._stop()
        if body is not None:
            await self.emit(body)
        self._done = True
        await self.close()

    async def fail(self, body: bytes | None, error: McpError, era: Era) -> None:
        """Send the answer that carries an error of the handler's."""
        status, headers = outcome(era, error, self.principal)
        if headers:
            self.headers = [*(self.headers or ()), *headers]
        if status != 200 and self.stream is not None and not self.stream.begun:
            # What was refused before anything of a stream was sent is told in its status.
            self.stream.abort()
            self.stream = self._outlet = None
        await self.answer(body, status)

    async def answer_batch(self, bodies: list[bytes]) -> None:
        """Send the answers to a batch: one JSON array, or an event each where the stream is open."""
        if not bodies:
            await self.answer(None)
        elif self.stream is None and self._outlet is None:
            await self.answer(b"[%b]" % b",".join(bodies))
        else:
            for body in bodies[:-1]:
                await self.emit(body)
            await self.answer(bodies[-1])

    async def close(self) -> None:
        """End the response; what a resumable call still has to say stays in its outlet."""
        if self.stream is not None:
            self.stream.end()
            await self.stream.flushed()

    def _stop(self) -> None:
        """Time no longer counts, and nobody looks whether the client leaves."""
        if self._slot is not None:
            self._slot.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if self.stream is not None:
            self.stream.lost = None

    def _expire(self) -> None:
        self._expired = True
        if self.task is not None:
            self.task.cancel()

    async def _rest(self, message: MutableMapping[str, Any], limit: int) -> bytes | None:
        body, size = bytearray(), 0
        while message["type"] != "http.disconnect":
            piece: bytes = message.get("body", b"")
            size += len(piece)
            if size <= limit:
                body += piece
            if not message.get("more_body", False) or size > limit * MAX_DROPPED:
                break
            message = await self.receive()
        else:
            return None
        if size > limit:
            raise Denied(Refuse(413, f"Payload too large: a message has at most {limit} bytes"))
        return bytes(body)

    def _open(self) -> Stream:
        if self.stream is None:
            self.stream = Stream(self.send, self.clocks, self.headers)
            if self.cancels:
                self.stream.lost = self._leave
            self.stream.open()
            self._watch()
        return self.stream

    def _takes_long(self) -> None:
        if not (self.json_only or self._done):
            self._open()

    def _watch(self) -> None:
        if not self._watched:
            self._watched = True
            if self.cancels:
                self._watcher = asyncio.get_running_loop().create_task(self._until_gone())

    async def _until_gone(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
        self._leave()

    def _leave(self) -> None:
        """Nobody hears the answer: the call is cancelled."""
        self.gone = True
        if self.stream is not None:
            self.stream.abort()
        if self.task is not None:
            self.task.cancel()
