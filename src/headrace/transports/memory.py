"""A client and a server in one process: encoded messages in, encoded messages out.

The messages are those of the wire, and so are the peers: what works here works over HTTP. A connection serves both
eras; the handshake's session is a record that the connection keeps. What a call sends before its answer goes to the
call's own `emit`, what belongs to no call to the connection's.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from ..call import Call, Served
from ..exceptions import InvalidParams, InvalidRequest, McpError, MethodNotFound
from ..protocol.errors import UNSUPPORTED_VERSION, to_error
from ..protocol.jsonrpc import Notification, Request, Response, decode, encode, encode_result
from ..protocol.methods import METHODS
from ..protocol.session import SessionRecord, advance
from ..protocol.subscriptions import wants
from ..protocol.types import (
    LOG_LEVELS,
    CancelledNotificationParams,
    ClientCapabilities,
    InitializeRequestParams,
    Params,
    SubscriptionFilter,
)
from ..protocol.versions import LATEST_HANDSHAKE, MODERN_VERSIONS, Era, era
from ..state.memory import MemoryBus
from ..state.sealer import AeadSealer
from .http.admission import decode_params, initialize_era
from .http.answer import error_body
from .http.exchange import Exchange
from .http.streams import SUBSCRIPTION_ID, GetListener, Notice, Notices
from .peers import Envelope, Session
from .questions import Questions

__all__ = ["MemoryConnection"]

Put = Callable[[bytes], None]

_decode_initialize = msgspec.json.Decoder(InitializeRequestParams).decode
_decode_cancelled = msgspec.json.Decoder(CancelledNotificationParams).decode


class MemoryConnection:
    """One client of a server. `emit` takes change notices of a handshake session.

    Call `start` for a request, `take` for anything else, `close` at the end.
    """

    def __init__(self, server: Served, emit: Put) -> None:
        self._server = server
        self._emit = emit
        self._sealer = AeadSealer()
        bus = MemoryBus()
        self._questions = Questions(bus)
        self._notices = Notices(server, bus)
        self._listener: GetListener | None = None
        self._closing = asyncio.Event()
        self._stamps: dict[Era, bytes] = {}
        self._running: set[Exchange] = set()
        self._calls: dict[int | str, Exchange] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._record = SessionRecord(
            id=secrets.token_hex(16), version=LATEST_HANDSHAKE.version, capabilities=ClientCapabilities(), state="new"
        )

    @property
    def session_id(self) -> str:
        return self._record.id

    def start(self, body: bytes, emit: Put) -> asyncio.Task[bytes | None]:
        """Serve a request. The task's result is the encoded response, None where the request was cancelled.

        In the handshake era cancel with ``notifications/cancelled``, later by cancelling the task.
        """
        return self._spawn(self._serve(body, emit))

    async def take(self, body: bytes) -> None:
        """A notification or the answer to a question; what does not fit is ignored."""
        message = decode(body)
        if isinstance(message, Response):
            await self._questions.answer(self._record.id, message)
        elif isinstance(message, Notification):
            if message.method == "notifications/initialized":
                self._record.state = advance(self._record.state, "initialized")
            elif message.method == "notifications/cancelled":
                self._cancel(message)

    async def close(self) -> None:
        """End subscriptions and calls; handlers that don't end in spite of it are left behind after a second."""
        self._closing.set()
        if self._listener is not None:
            self._notices.remove(self._listener)
            self._listener = None
        await asyncio.sleep(0)  # subscriptions say goodbye
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)

    def _spawn(self, work: Coroutine[Any, Any, bytes | None]) -> asyncio.Task[bytes | None]:
        # A task of its own: what the handler does to its task or its context must not reach the client.
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _cancel(self, message: Notification) -> None:
        try:
            cancelled = _decode_cancelled(message.params)
        except msgspec.ValidationError:
            return  # fire and forget: an invalid one is ignored
        exchange = self._calls.get(cancelled.request_id)
        if exchange is not None:
            exchange.cancel()

    async def _serve(self, body: bytes, emit: Put) -> bytes | None:
        id: int | str | None = None
        try:
            request = decode(body)
            if not isinstance(request, Request):
                raise InvalidRequest("Invalid request: only requests are answered")
            id = request.id
            params = decode_params(request.params)
            if params.meta is not None and params.meta.protocol_version is not None:
                return await self._modern(request, params, emit)
            return await self._handshake(request, params, emit)
        except McpError as error:
            return error_body(id, error)

    async def _modern(self, request: Request, params: Params, emit: Put) -> bytes | None:
        spoken = self._admit(request, params)
        meta = params.meta
        assert meta is not None  # admitted

        async def send(message: bytes) -> None:
            emit(message)

        peer = Envelope(spoken, meta, send, self._sealer, "memory")
        call = Call(request.method, params, request.params, id=request.id, peer=peer)
        if request.method == "subscriptions/listen":
            return await self._listen(call, request.id, emit)
        return await self._run(self._exchange(spoken), call, peer)

    def _admit(self, request: Request, params: Params) -> Era:
        """2026-07-28, basic: what every request carries. The headers of HTTP are not there to compare with."""
        meta = params.meta
        if meta is None or meta.client_capabilities is None:
            raise InvalidParams("Invalid params: _meta needs io.modelcontextprotocol/clientCapabilities")
        if meta.log_level is not None and meta.log_level not in LOG_LEVELS:
            raise InvalidParams(f"Invalid params: the log level {meta.log_level!r} is none of {', '.join(LOG_LEVELS)}")
        spoken = era(meta.protocol_version)
        if spoken is None or spoken.handshake:
            raise McpError(
                f"Unsupported protocol version {meta.protocol_version!r}",
                code=UNSUPPORTED_VERSION,
                data={"supported": MODERN_VERSIONS, "requested": meta.protocol_version},
            )
        self._known(request.method, spoken)
        return spoken

    async def _handshake(self, request: Request, params: Params, emit: Put) -> bytes | None:
        record = self._record
        if request.method == "initialize":
            spoken = self._initialize(request)
        else:
            advance(record.state, "request")
            record.used = True
            spoken = era(record.version) or LATEST_HANDSHAKE
            self._known(request.method, spoken)
            if request.id in self._calls:
                raise InvalidRequest("Invalid request: a request with this id is in flight in the session")

        async def send(message: bytes) -> None:
            emit(message)

        peer = Session(spoken, record, send, "memory", questions=self._questions)
        call = Call(request.method, params, request.params, id=request.id, peer=peer)
        exchange = self._exchange(spoken)
        self._calls[request.id] = exchange
        try:
            return await self._run(exchange, call, peer)
        finally:
            del self._calls[request.id]

    def _initialize(self, request: Request) -> Era:
        record = self._record
        state = advance(record.state, "initialize")
        try:
            asked = _decode_initialize(request.params)
        except msgspec.ValidationError as error:
            raise InvalidParams(f"Invalid params: {error}") from None
        spoken = initialize_era(asked.protocol_version)
        record.version, record.client_info, record.capabilities = spoken.version, asked.client_info, asked.capabilities
        record.state = state

        async def send(message: bytes) -> None:
            self._emit(message)

        self._listener = GetListener(send, record, self._notices)
        self._notices.add(self._listener)
        return spoken

    def _known(self, method: str, spoken: Era) -> None:
        known = METHODS.get(method)
        if not (known is not None and known.served(spoken)) and method not in self._server.extension_methods:
            raise MethodNotFound(f"Method not found: {method}")

    def _exchange(self, spoken: Era) -> Exchange:
        return Exchange(self._server.serve, self._stamp(spoken), None, self._running)

    async def _run(self, exchange: Exchange, call: Call, peer: Envelope | Session) -> bytes | None:
        answered = await exchange.run(call, peer)
        return None if answered is None else answered[1]

    def _stamp(self, spoken: Era) -> bytes:
        stamp = self._stamps.get(spoken)
        if stamp is None:
            stamp = self._stamps[spoken] = self._server.stamp(spoken)
        return stamp

    async def _listen(self, call: Call, id: int | str, emit: Put) -> bytes:
        """The handler says which notices it grants; then they come until the connection or the task ends."""
        try:
            granted = await self._server.serve(call)
        except Exception as exception:
            raise to_error(exception, call.era) from exception
        if not isinstance(granted, SubscriptionFilter):
            raise TypeError("the handler of subscriptions/listen returns the SubscriptionFilter it grants")
        listener: Any = _Listener(id, granted, emit)  # all that Notices asks of it is `notice`
        self._notices.add(listener)
        try:
            await self._closing.wait()
        finally:
            self._notices.remove(listener)
        result = b'{"resultType":"complete","_meta":{"%b":%b,"io.modelcontextprotocol/serverInfo":%b}}' % (
            SUBSCRIPTION_ID.encode(),
            encode(id),
            self._stamp(call.era),
        )
        return encode_result(id, result)


class _Listener:
    """A subscription: acknowledged first, then only what was granted, each note with its id."""

    def __init__(self, id: int | str, granted: SubscriptionFilter, emit: Put) -> None:
        self._filter = granted
        self._uris = frozenset(granted.resource_subscriptions or ())
        self._meta = {SUBSCRIPTION_ID: id}
        self._emit = emit
        self._say("notifications/subscriptions/acknowledged", {"notifications": granted})

    def notice(self, notice: Notice) -> None:
        if wants(self._filter, notice.method, notice.uri, self._uris):
            self._say(notice.method, {} if notice.uri is None else {"uri": notice.uri})

    def _say(self, method: str, params: dict[str, Any]) -> None:
        self._emit(encode({"jsonrpc": "2.0", "method": method, "params": {"_meta": self._meta, **params}}))
