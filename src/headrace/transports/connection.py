"""One client on a channel that carries messages both ways: what memory, HTTP+SSE and stdio have in common.

The session of the handshake era is a record that the connection keeps, and ends with it. Requests run in tasks of
the transport; what a call says before its answer goes to the call's own `emit`, what belongs to no call to the
connection's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, MutableMapping
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
from ..protocol.types import Params
from ..protocol.versions import LATEST_HANDSHAKE, Era, era
from .exchange import Exchange
from .notices import Notices, SessionListener, Subscription, grant
from .peers import Envelope, Session
from .questions import Emit, Questions

__all__ = ["Connection"]

MAX_CALLS = 256
"""Calls in flight of one connection."""


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
    ) -> None:
        self.record = new_record(id)
        self._server = server
        self._notices = notices
        self._emit = emit
        self._transport = transport
        self._sealer = sealer
        self._questions = questions
        self._listener: SessionListener | None = None
        self._subscriptions: set[asyncio.Event] = set()
        self._running: set[Exchange] = set()
        self._calls: dict[int | str, Exchange] = {}

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
        if len(self._running) >= MAX_CALLS:
            raise InvalidRequest(f"Invalid request: {MAX_CALLS} calls are in flight")
        params = decode_params(request.params)
        if self._sealer is not None and params.meta is not None and params.meta.protocol_version is not None:
            return self._modern(request, params, emit, self._sealer, principal, scope)
        if request.id in self._calls:
            raise InvalidRequest("Invalid request: a request with this id is in flight in the session")
        if request.method == "initialize":
            spoken = self._initialize(request)
        else:
            early_ping = request.method == "ping" and self.record.state == "new"
            self.record.state = advance(self.record.state, "ping" if early_ping else "request")
            spoken = era(self.record.version) or LATEST_HANDSHAKE
            check_method(request.method, spoken, self._server.extension_methods)
        peer = Session(spoken, self.record, emit, self._transport, questions=self._questions)
        call = Call(request.method, params, request.params, id=request.id, peer=peer, principal=principal, scope=scope)
        exchange = self._calls[request.id] = self._exchange(spoken)
        return self._handshake(exchange, call, peer, request.id)

    async def take(self, message: Notification | Response) -> None:
        """A notification, or the answer to a question; what does not fit is ignored."""
        if isinstance(message, Response):
            await self._questions.answer(self.record.id, message)
        elif message.method == "notifications/initialized":
            self.record.state = advance(self.record.state, "initialized")
        elif message.method == "notifications/cancelled":
            id = decode_cancelled(message.params)
            exchange = self._calls.get(id) if id is not None else None
            if exchange is not None:
                exchange.cancel()

    def close(self) -> None:
        """End subscriptions in good order, and cancel every call."""
        for ended in self._subscriptions:
            ended.set()
        if self._listener is not None:
            self._notices.remove(self._listener)
            self._listener = None
        for exchange in list(self._running):
            exchange.cancel()

    def _initialize(self, request: Request) -> Era:
        spoken = initialize(self.record, request.params)
        self._listener = SessionListener(self._emit, self.record, self._notices)
        self._notices.add(self._listener)
        return spoken

    async def _handshake(self, exchange: Exchange, call: Call, peer: Session, id: int | str) -> bytes | None:
        try:
            answered = await exchange.run(call, peer)
        finally:
            del self._calls[id]
        return None if answered is None else answered.body

    async def _modern(
        self,
        request: Request,
        params: Params,
        emit: Emit,
        sealer: Sealer,
        principal: Principal | None,
        scope: MutableMapping[str, Any] | None,
    ) -> bytes | None:
        try:
            meta = check_meta(params)
            spoken = modern_era(meta.protocol_version)
            check_method(request.method, spoken, self._server.extension_methods)
            peer = Envelope(spoken, meta, emit, sealer, self._transport)
            call = Call(
                request.method, params, request.params, id=request.id, peer=peer, principal=principal, scope=scope
            )
            if request.method == "subscriptions/listen":
                return await self._listen(call, request.id, emit)
            answered = await self._exchange(spoken).run(call, peer)
            return None if answered is None else answered.body
        except McpError as error:
            return encode_error(request.id, error.code, error.message, error.data)

    async def _listen(self, call: Call, id: int | str, emit: Emit) -> bytes:
        """The handler says which notices it grants; then they come until the connection or the task ends."""
        granted = await grant(self._server.serve, call)
        subscription = Subscription(id, granted, lambda message: self._notices.spawn(emit(message)))
        ended = asyncio.Event()
        self._subscriptions.add(ended)
        subscription.acknowledge()
        self._notices.add(subscription)
        try:
            await ended.wait()
        finally:
            self._notices.remove(subscription)
            self._subscriptions.discard(ended)
        return subscription.completed(call.era, self._server.stamp(call.era))

    def _exchange(self, spoken: Era) -> Exchange:
        return Exchange(self._server.serve, self._server.stamp(spoken), None, self._running)
