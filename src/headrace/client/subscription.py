"""A `subscriptions/listen` stream (2026-07-28, Subscriptions), as an async iterator of notices."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import nullcontext
from types import TracebackType
from typing import Self

import msgspec

from ..exceptions import ClientError
from ..protocol.jsonrpc import Message, Notification
from ..protocol.types import (
    SubscriptionFilter,
    SubscriptionsAcknowledgedNotificationParams,
    SubscriptionsListenResult,
)
from .connection import Connection
from .handlers import Notice
from .patience import limit_of

__all__ = ["MAX_WAITING", "Subscription"]

MAX_WAITING = 1000
"""Notices kept for a slow reader; past it the stream is not read until there is room."""
_ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
_decode_acknowledged = msgspec.json.Decoder(SubscriptionsAcknowledgedNotificationParams).decode


class Subscription:
    """``async with client.listen(tools=True) as notices: async for notice in notices: ...``

    Leaving the block closes the stream; without a block, `close` or the end of the client does. The iteration ends
    when the server ends the subscription, and raises ClientError where the stream breaks or the client is closed.
    `timeout`: seconds that the server has to acknowledge it.
    """

    def __init__(self, connection: Connection, wanted: SubscriptionFilter, timeout: float | None = None) -> None:
        self._connection = connection
        self._wanted = wanted
        self._timeout = timeout
        self._waiting: deque[Notice] = deque()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._task: asyncio.Task[SubscriptionsListenResult] | None = None
        self.granted: SubscriptionFilter | None = None
        """The part of the wish that the server grants, once it has said so."""

    async def open(self) -> None:
        """Subscribe, and wait until the server has acknowledged it. Raises McpError or ClientError if it refuses."""
        if self._task is not None:
            return
        request = self._connection.request(
            "subscriptions/listen", {"notifications": self._wanted}, SubscriptionsListenResult, hear=self._hear
        )
        try:
            async with nullcontext() if self._timeout is None else limit_of(self._timeout):
                self._task = asyncio.get_running_loop().create_task(request)
                self._task.add_done_callback(self._ended)
                while self.granted is None and not self._task.done():
                    await self._changed()
        except asyncio.CancelledError:
            if self._task is not None:
                self._task.cancel()
            raise
        except TimeoutError:
            await self.close()
            name = self._connection.transport.name
            raise ClientError(f"{name} did not acknowledge a subscription within {self._timeout:g} seconds") from None
        if self.granted is None:
            self._task.result()
            raise ClientError(f"{self._connection.transport.name} ended the subscription without acknowledging it")

    async def close(self) -> None:
        """Close the stream. Notices that wait are dropped."""
        self._waiting.clear()
        self._room.set()
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Notice:
        await self.open()
        assert self._task is not None
        while not self._waiting:
            if self._task.cancelled():
                raise StopAsyncIteration
            if self._task.done():
                self._task.result()
                raise StopAsyncIteration
            await self._changed()
        self._room.set()
        return self._waiting.popleft()

    async def _changed(self) -> None:
        self._wake.clear()
        await self._wake.wait()

    async def _hear(self, message: Message) -> None:
        if isinstance(message, Notification) and message.method == _ACKNOWLEDGED:
            try:
                self.granted = _decode_acknowledged(message.params).notifications
            except msgspec.ValidationError:
                self.granted = SubscriptionFilter()
            self._wake.set()
            return
        await self._connection.hear(message)
        if isinstance(message, Notification):
            while len(self._waiting) >= MAX_WAITING:
                self._room.clear()
                await self._room.wait()
            self._waiting.append(Notice(message.method, msgspec.json.decode(message.params)))
            self._wake.set()

    def _ended(self, task: asyncio.Task[SubscriptionsListenResult]) -> None:
        if not task.cancelled():
            task.exception()  # told by the iteration, if anyone still iterates
        self._wake.set()
