"""One client on a channel that carries messages both ways: what memory, HTTP+SSE and stdio have in common.

The session of the handshake era is a record that the connection keeps, and ends with it. Requests run in tasks of
the transport; what a call says before its answer goes to the call's own `emit`, what belongs to no call to the
connection's. Both eras share the ids: on one channel a cancellation names nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, MutableMapping
from functools import partial
from typing import Any

from ..call import Call, Principal, Served
from ..exceptions import InvalidRequest, McpError
from ..protocol.input_required import Sealer
from ..protocol.jsonrpc import Notification, Request, Response, encode_error
from ..protocol.requests import (
    check_meta,
    check_method,
    decode_cancelled,
    decode_params,
    initialize,
    modern_era,
    new_record,
)
from ..protocol.session import advance
from ..protocol.types import RequestMeta
from ..protocol.versions import LATEST_HANDSHAKE, Era, era
from .exchange import Exchange
from .notices import Notices, SessionListener, Subscription, grant
from .peers import Envelope, Session
from .questions import Emit, Questions

__all__ = ["Connection"]

MAX_CALLS = 256
"""Calls in flight of one connection, where its client may be anybody."""


class _Listening:
    """A `subscriptions/listen` that is under way."""

    __slots__ = ("_notices", "cancelled", "ended", "subscription")

    def __init__(self, notices: Notices) -> None:
        self._notices = notices
        self.ended = asyncio.Event()
        self.cancelled = False
        self.subscription: Subscription | None = None

    def cancel(self) -> None:
        """The client no longer listens: nothing more may be said, no response either."""
        self.cancelled = True
        self.end()

    def end(self) -> None:
        if self.subscription is not None:
            self._notices.remove(self.subscription)
        self.ended.set()


class Connection:
    """`begin` takes requests, `take` anything else, `close` ends all.

    `sealer` None: only the handshake era is spoken.
    """

    def __init__(
        self,
        server: Served,
        questions: Questions,
        notices: Notices,
        emit: Emit,
        *,
        id: str,
        transport: str,
        sealer: Sealer | None,
        max_calls: int = MAX_CALLS,
    ) -> None:
        self.record = new_record(id)
        self._server = server
        self._notices = notices
        self._emit = emit
        self._transport = transport
        self._sealer = sealer
        self._max_calls = max_calls
        self._questions = questions
        self._listener: SessionListener | None = None
        self._running: set[Exchange] = set()
        self._calls: dict[int | str, Exchange | _Listening] = {}
        self._asking: set[int | str] = set()
        """The calls that do nothing but wait for their client (handshake era)."""
        self._deaf = False

    @property
    def busy(self) -> bool:
        return bool(self._running)

    def begin(
        self,
        request: Request,
        emit: Emit,
        *,
        principal: Principal | None = None,
        scope: MutableMapping[str, Any] | None = None,
    ) -> Coroutine[Any, Any, bytes | None]:
        """Serve a request: a coroutine to run in a task, whose result is the encoded response (None: cancelled).

        Raises McpError at once, with nothing begun, for a request that can't be served here.
        """
        if len(self._calls) >= self._max_calls:
            raise InvalidRequest(f"Invalid request: {self._max_calls} calls are in flight")
        params = decode_params(request.params)
        if request.id in self._calls:
            raise InvalidRequest("Invalid request: a request with this id is in flight in the session")
        meta = params.meta
        if self._sealer is not None and meta is not None and meta.protocol_version is not None:
            peer = self._envelope(request, check_meta(params), meta, emit, self._sealer)
        else:
            peer = self._session(request, emit)
        call = Call(request.method, params, request.params, request.id, peer, principal, scope)
        if peer.era.listen and request.method == "subscriptions/listen":
            listening = self._calls[request.id] = _Listening(self._notices)
            return self._listen(listening, call, request.id, emit)
        exchange = Exchange(self._server.serve, self._server.stamp(peer.era), self._running)
        self._calls[request.id] = exchange
        return self._run(exchange, call, peer, request.id)

    async def take(self, message: Notification | Response) -> None:
        """A notification, or the answer to a question; what does not fit is ignored, or raises InvalidRequest."""
        if isinstance(message, Response):
            await self._questions.answer(self.record.id, message)
        elif message.method == "notifications/initialized":
            self.record.state = advance(self.record.state, "initialized")
        elif message.method == "notifications/cancelled":
            id = decode_cancelled(message.params)
            call = self._calls.get(id) if id is not None else None
            if call is not None:
                call.cancel()

    def hang_up(self) -> None:
        """Nothing more comes from the client: subscriptions end in good order, and so do calls that wait for it."""
        self._deaf = True
        self._end_subscriptions()
        for id in list(self._asking):
            self._stop_call(id)

    def stop(self) -> None:
        """The server goes down: `hang_up`, and what still runs is answered with an error that says so."""
        self.hang_up()
        self._leave()
        for exchange in list(self._running):
            exchange.stop()

    def close(self) -> None:
        """The client is gone: every call is cancelled, subscriptions end in good order."""
        self._end_subscriptions()
        self._leave()
        for exchange in list(self._running):
            exchange.cancel()

    def _end_subscriptions(self) -> None:
        for call in self._calls.values():
            if isinstance(call, _Listening):
                call.end()

    def _leave(self) -> None:
        if self._listener is not None:
            self._notices.remove(self._listener)
            self._listener = None

    def _envelope(self, request: Request, version: str, meta: RequestMeta, emit: Emit, sealer: Sealer) -> Envelope:
        spoken = modern_era(version)
        check_method(request.method, spoken, self._server.extension_methods)
        return Envelope(spoken, meta, emit, sealer, self._transport)

    def _session(self, request: Request, emit: Emit) -> Session:
        if request.method == "initialize":
            spoken = self._initialize(request)
        else:
            early_ping = request.method == "ping" and self.record.state == "new"
            self.record.state = advance(self.record.state, "ping" if early_ping else "request")
            spoken = era(self.record.version) or LATEST_HANDSHAKE
            check_method(request.method, spoken, self._server.extension_methods)
        waits = partial(self._waits, request.id)
        return Session(spoken, self.record, emit, self._transport, questions=self._questions, waits=waits)

    def _initialize(self, request: Request) -> Era:
        spoken = initialize(self.record, request.params)
        self._listener = SessionListener(self._emit, self.record, self._notices)
        self._notices.add(self._listener)
        return spoken

    def _waits(self, id: int | str, waiting: bool) -> None:
        if not waiting:
            self._asking.discard(id)
        elif self._deaf:
            self._stop_call(id)
        else:
            self._asking.add(id)

    def _stop_call(self, id: int | str) -> None:
        call = self._calls.get(id)
        if isinstance(call, Exchange):
            call.stop()

    async def _run(self, exchange: Exchange, call: Call, peer: Envelope | Session, id: int | str) -> bytes | None:
        try:
            return await exchange.run(call, peer, asyncio.current_task())
        finally:
            del self._calls[id]

    async def _listen(self, listening: _Listening, call: Call, id: int | str, emit: Emit) -> bytes | None:
        """The handler says which notices it grants; then they come until the client, the connection or the task
        ends it."""
        try:
            granted = await grant(self._server.serve, call)
            subscription = Subscription(id, granted, lambda message: self._notices.spawn(emit(message)))
            if not listening.ended.is_set():
                listening.subscription = subscription
                subscription.acknowledge()
                self._notices.add(subscription)
                await listening.ended.wait()
            return None if listening.cancelled else subscription.completed(call.era, self._server.stamp(call.era))
        except McpError as error:
            return encode_error(id, error.code, error.message, error.data)
        finally:
            listening.end()
            del self._calls[id]
