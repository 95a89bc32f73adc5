"""One channel for everything, the client's side: memory and stdio.

What the channel hands over is sorted at once, without waiting for anyone. Notes and questions are heard by one task,
in order, and so is a response behind them, so that it is not there before the notes that came ahead of it. Two kinds
go past that task: notices of a subscription, which its reader may leave waiting, and responses to requests of the
handler that runs, which it would wait for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from typing import NamedTuple, Protocol

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ...exceptions import ClientError, McpError
from ...protocol.jsonrpc import (
    Message,
    Notification,
    Response,
    decode,
    decode_batch,
    encode_notification,
    is_batch,
)
from ...protocol.types import CancelledNotificationParams
from ...protocol.versions import Era
from .base import Hear, Outgoing, Refused

__all__ = ["Channel", "DuplexTransport"]

logger = logging.getLogger(__name__)

MAX_UNHEARD = 10_000
"""Messages that wait for the client's handlers; notes past it are dropped, and those past the bytes."""
MAX_UNHEARD_BYTES = 64 * 1024 * 1024
MAX_BATCH = 1000
_CANCEL_SECONDS = 1.0
_SUBSCRIPTION = b"io.modelcontextprotocol/subscriptionId"
_inside: ContextVar[object] = ContextVar("headrace_inside", default=None)
"""The transport of which this is a handler, or a task that one started."""


class Channel(Protocol):
    @property
    def session_id(self) -> str | None: ...

    async def send(self, body: bytes) -> None:
        """Raises ClientError where the other side is gone."""
        ...

    async def receive(self, take: Callable[[bytes], bool]) -> None:
        """Hand every message over to `take`, which says whether something waits to be heard. Raises ClientError once
        the other side is gone."""
        ...


class _Meta(msgspec.Struct):
    subscription: int | str | None = msgspec.field(name="io.modelcontextprotocol/subscriptionId", default=None)


class _Marked(msgspec.Struct):
    meta: _Meta = msgspec.field(name="_meta", default_factory=_Meta)


_decode_marked = msgspec.json.Decoder(_Marked).decode


class _Unread(msgspec.Struct):
    id: int | str
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


_decode_unread = msgspec.json.Decoder(_Unread).decode


def _answers(body: bytes) -> int | str:
    """The id of a response that is none, "" where it is no response: who waits for it is told."""
    try:
        unread = _decode_unread(body)
    except (msgspec.DecodeError, RecursionError):
        return ""
    return "" if unread.result is UNSET and unread.error is UNSET else unread.id


class _Box:
    """Messages for one reader: a queue without what makes asyncio's fit for many."""

    __slots__ = ("_messages", "_reader", "size")

    def __init__(self) -> None:
        self._messages: deque[tuple[Message | ClientError | _Answer, int]] = deque()
        self.size = 0
        """Bytes."""
        self._reader: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: Message | ClientError | _Answer, size: int = 0) -> None:
        self._messages.append((message, size))
        self.size += size
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def get(self) -> Message | ClientError | _Answer:
        while not self._messages:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        message, size = self._messages.popleft()
        self.size -= size
        return message


class _Waiting:
    """A request that waits for its response: what it hears by itself, and whether the handler that runs made it."""

    __slots__ = ("answered", "nested", "said")

    def __init__(self, *, nested: bool) -> None:
        self.answered = False
        self.said = _Box()
        self.nested = nested


class _Answer(NamedTuple):
    """What a request waits for, behind the notes that came ahead of it."""

    waiting: _Waiting
    said: Response | ClientError


class DuplexTransport:
    """`connect` opens the channel and closes it. `probe_seconds`: how long a server that may be older has to answer
    the question which revisions it speaks (2026-07-28, stdio, Backward Compatibility)."""

    mirrors_headers = False

    def __init__(
        self,
        name: str,
        connect: Callable[[], AbstractAsyncContextManager[Channel]],
        *,
        probe_seconds: float | None = None,
    ) -> None:
        self._name = name
        self._connect = connect
        self._probe_seconds = probe_seconds
        self._held: _Held | None = None
        self._channel: Channel | None = None
        self._failure: ClientError | None = None
        self._agreed = False
        self._answered = False
        self._waiting: dict[int | str, _Waiting] = {}
        self._heard = _Box()
        self._hearing = False
        """Whether a handler of a note or question runs."""
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def name(self) -> str:
        return self._name

    @property
    def session_id(self) -> str | None:
        return self._channel.session_id if self._channel is not None and self._agreed else None

    async def open(self, hear: Hear) -> None:
        held = _Held(self._connect())
        channel = await held.enter()
        self._held, self._channel = held, channel
        self._failure, self._agreed, self._answered = None, False, False
        self._heard, self._hearing = _Box(), False
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._pump(channel)), loop.create_task(self._listen(hear))]

    async def close(self) -> None:
        held, self._held = self._held, None
        self._channel, self._agreed = None, False
        tasks, self._tasks = self._tasks, []
        if self._is_inside():
            tasks = tasks[:-1]  # the handler that runs wants it: its task ends with it
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if held is not None:
            await held.leave()

    async def request(self, outgoing: Outgoing, hear: Hear) -> Response:
        channel = self._open_channel()
        waiting = self._waiting[outgoing.id] = _Waiting(nested=self._is_inside())
        probe = outgoing.method == "server/discover" and not self._answered
        try:
            if probe:
                async with asyncio.timeout(self._probe_seconds):
                    response = await self._exchange(channel, outgoing, waiting, hear)
            else:
                response = await self._exchange(channel, outgoing, waiting, hear)
            self._answered = True
            return response
        except TimeoutError:
            # In words that `eras` understands: there is a server, but none that knows the question.
            raise Refused(f"{self._name} does not answer server/discover", 404) from None
        except asyncio.CancelledError:
            # With a handshake the client says so itself, and that of the handshake must not be cancelled.
            if not self._agreed and not probe and outgoing.method != "initialize":
                await self._give_up(channel, outgoing.id)
            raise
        finally:
            del self._waiting[outgoing.id]

    async def _exchange(self, channel: Channel, outgoing: Outgoing, waiting: _Waiting, hear: Hear) -> Response:
        await channel.send(outgoing.body)
        while not isinstance(message := await waiting.said.get(), Response):
            if isinstance(message, ClientError):
                raise message
            assert not isinstance(message, _Answer)
            await hear(message)
        return message

    async def send(self, body: bytes) -> None:
        await self._open_channel().send(body)

    def agree(self, era: Era) -> None:
        self._agreed = True

    async def listen(self) -> None:
        """The channel is listened to from the beginning."""

    def _open_channel(self) -> Channel:
        if self._channel is None:
            raise ClientError(f"Not connected to {self._name}: use the client in `async with client:`")
        if self._failure is not None:
            raise self._failure
        return self._channel

    async def _give_up(self, channel: Channel, id: int | str) -> None:
        """There is no stream to close: the cancellation is said (2026-07-28, stdio, Cancellation)."""
        params = CancelledNotificationParams(request_id=id, reason="The client gave the request up")
        with contextlib.suppress(ClientError, TimeoutError):
            async with asyncio.timeout(_CANCEL_SECONDS):
                await channel.send(encode_notification("notifications/cancelled", params))

    async def _pump(self, channel: Channel) -> None:
        try:
            await channel.receive(self._take)
        except ClientError as error:
            self._failure = error
            for waiting in self._waiting.values():
                if waiting.nested:
                    waiting.said.put(error)
            self._heard.put(error)

    def _take(self, body: bytes) -> bool:
        for message in self._decoded(body):
            self._route(message, len(body))
        return len(self._heard) > 0

    def _decoded(self, body: bytes) -> list[Message]:
        """What is no message is left out: some servers print what they should not."""
        try:
            if not is_batch(body):
                return [decode(body)]
            items = decode_batch(body, MAX_BATCH)
        except McpError as error:
            waiting = self._waiting.get(_answers(body))
            if waiting is not None and not waiting.answered:
                self._answer(waiting, ClientError(f"{self._name} sent an answer that can't be read: {error}"), 0)
            else:
                logger.warning("%s sent what is no JSON-RPC message: %s", self._name, error)
            return []
        return [item for item in items if not isinstance(item, McpError)]

    def _route(self, message: Message, size: int) -> None:
        """To whom it is for. What nobody waits for is dropped here, so that no server fills our memory with it."""
        unheard = self._heard
        if isinstance(message, Response):
            waiting = self._of(message)
            if waiting is None or waiting.answered:
                logger.debug("%s answered a request that nobody waits for: %r", self._name, message.id)
                return
            self._answer(waiting, message, size)
            return
        if isinstance(message, Notification) and (waiting := self._subscription(message)):
            unheard = waiting.said
        if len(unheard) >= MAX_UNHEARD or unheard.size >= MAX_UNHEARD_BYTES:
            logger.warning("%s says more than is heard: %s was dropped", self._name, message.method)
            return
        unheard.put(message, size)

    def _answer(self, waiting: _Waiting, said: Response | ClientError, size: int) -> None:
        waiting.answered = True
        if waiting.nested or not (self._heard or self._hearing):
            waiting.said.put(said, size)
        else:
            self._heard.put(_Answer(waiting, said), size)

    async def _listen(self, hear: Hear) -> None:
        _inside.set(self)
        channel = self._channel
        while self._channel is channel:
            message = await self._heard.get()
            if isinstance(message, ClientError):
                for waiting in self._waiting.values():
                    waiting.said.put(message)
            elif isinstance(message, _Answer):
                message.waiting.said.put(message.said)
            else:
                self._hearing = True
                try:
                    await hear(message)
                except Exception:
                    logger.exception("What %s said was not heard", self._name)
                finally:
                    self._hearing = False

    def _is_inside(self) -> bool:
        """Whether this is called by the handler that runs."""
        return self._hearing and _inside.get() is self

    def _of(self, response: Response) -> _Waiting | None:
        """Who waits for a response. An error without an id, of a server that could not read one, is taken by the only
        one there is."""
        if response.id is None:
            return next(iter(self._waiting.values())) if len(self._waiting) == 1 else None
        return self._waiting.get(response.id)

    def _subscription(self, note: Notification) -> _Waiting | None:
        if _SUBSCRIPTION not in bytes(note.params):
            return None
        try:
            id = _decode_marked(note.params).meta.subscription
        except msgspec.ValidationError:
            return None
        return self._waiting.get(id) if id is not None else None


class _Held:
    """A channel that one task opens and closes, whoever opens and closes the client."""

    def __init__(self, manager: AbstractAsyncContextManager[Channel]) -> None:
        self._manager = manager
        self._leave = asyncio.Event()
        self._entered: asyncio.Future[Channel] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None

    async def enter(self) -> Channel:
        """Raises what entering raises."""
        self._task = asyncio.get_running_loop().create_task(self._hold())
        try:
            await asyncio.wait([self._entered, self._task], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._task.cancel()
            await asyncio.wait([self._task])
            raise
        if not self._entered.done():
            await self._task
        return self._entered.result()

    async def leave(self) -> None:
        self._leave.set()
        if self._task is not None:
            await self._task

    async def _hold(self) -> None:
        async with self._manager as channel:
            self._entered.set_result(channel)
            await self._leave.wait()
