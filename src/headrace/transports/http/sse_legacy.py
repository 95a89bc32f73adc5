"""HTTP+SSE (2024-11-05, transports): a GET stream carries everything to the client, POSTs carry its messages.

The session is the stream: it begins with GET, its first event says where to POST, and it ends with the connection.
A POST is answered 202 at once; what it asks runs in a task of the session, and the answer is an event on the stream.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import parse_qs, quote

import msgspec

from ...call import Call, Principal, Served
from ...exceptions import InvalidRequest, McpError, MethodNotFound
from ...protocol.jsonrpc import Notification, Request, Response, decode
from ...protocol.methods import is_request
from ...protocol.session import SessionRecord, advance
from ...protocol.types import CancelledNotificationParams, ClientCapabilities, InitializeRequestParams
from ...protocol.versions import LATEST_HANDSHAKE, Era, era
from ...state.bus import Bus
from ..peers import Session
from ..questions import Questions
from .admission import Rules, decode_params, initialize_era, is_json
from .answer import Refuse, error_body, event
from .drain import SignalChain
from .endpoint import Authenticate, Denied, read_body
from .exchange import Exchange, send_body
from .head import Head
from .stream import Limits, Receive, Send, Stream
from .streams import GetListener, Notices

__all__ = ["SseEndpoint", "check_message_path"]

MAX_CALLS = 256
"""Calls in flight of one session."""
_SESSION_ID = re.compile(r"[0-9a-f]{32}")
_decode_initialize = msgspec.json.Decoder(InitializeRequestParams).decode
_decode_cancelled = msgspec.json.Decoder(CancelledNotificationParams).decode


def check_message_path(path: str) -> None:
    """Raises ValueError for a path that is no plain absolute path (a client would POST its messages elsewhere)."""
    if "://" in path or path.startswith("//") or "?" in path or "#" in path or not path.startswith("/"):
        raise ValueError(f"message_path {path!r} is no absolute path: it begins with one slash, without host, ? or #")


class _Session:
    """One open stream and the calls it waits for."""

    def __init__(self, stream: Stream, principal: Principal | None) -> None:
        self.stream = stream
        self.principal = principal
        self.record = SessionRecord(
            id=secrets.token_hex(16), version=LATEST_HANDSHAKE.version, capabilities=ClientCapabilities(), state="new"
        )
        self.calls: dict[int | str, Exchange] = {}
        self.tasks: set[asyncio.Task[None]] = set()

    @property
    def era(self) -> Era:
        return era(self.record.version) or LATEST_HANDSHAKE

    async def emit(self, message: bytes) -> None:
        if not self.stream.takes(len(message)):
            await self.stream.flushed()
        self.stream.put(event(message))


class SseEndpoint:
    def __init__(
        self,
        server: Served,
        *,
        message_path: str,
        rules: Rules,
        limits: Limits,
        bus: Bus,
        max_sessions: int,
        authenticate: Authenticate | None = None,
    ) -> None:
        self._server = server
        self._message_path = message_path
        self._rules = rules
        self._limits = limits
        self._max_sessions = max_sessions
        self._authenticate = authenticate
        self._questions = Questions(bus)
        self._notices = Notices(server, bus)
        self._sessions: dict[str, _Session] = {}
        self._running: set[Exchange] = set()
        self._draining = False
        self.signals = SignalChain(self.drain)

    async def handle_sse(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        principal = await self._admit(scope, "GET")
        if isinstance(principal, Refuse):
            await send_body(send, principal.status, principal.body, principal.headers)
            return
        if self._draining or len(self._sessions) >= self._max_sessions:
            refusal = Refuse(503, "Too many streams here: try again", headers=[(b"retry-after", b"5")])
            await send_body(send, refusal.status, refusal.body, refusal.headers)
            return
        self.signals.install()
        stream = Stream(send, self._limits)
        root_path: str = scope.get("root_path", "")
        session = _Session(stream, principal)
        endpoint = f"{quote(root_path + self._message_path)}?session_id={session.record.id}"
        self._sessions[session.record.id] = session
        listener = GetListener(session.emit, session.record, self._notices)
        self._notices.add(listener)
        try:
            stream.put(b"event: endpoint\ndata: %b\n\n" % endpoint.encode())
            stream.open()
            await stream.hold(receive)
        finally:
            self._notices.remove(listener)
            del self._sessions[session.record.id]
            for exchange in list(session.calls.values()):
                exchange.cancel()

    async def handle_message(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        principal = await self._admit(scope, "POST")
        refusal = principal if isinstance(principal, Refuse) else None
        if refusal is None:
            body = await read_body(receive, self._rules.max_body_bytes, self._limits.body_seconds)
            if body is None:
                return
            if isinstance(body, Refuse):
                refusal = body
            elif not isinstance(principal, Refuse):
                refusal = await self._message(scope, principal, body)
        if refusal is not None:
            await send_body(send, refusal.status, refusal.body, refusal.headers)
        else:
            await send_body(send, 202, b"", [])

    def drain(self, grace: float = 10.0) -> None:
        """Shutdown: calls in flight may finish for `grace` seconds, idle streams end now."""
        if self._draining:
            return
        self._draining = True
        for session in list(self._sessions.values()):
            if not session.calls:
                session.stream.end()
        asyncio.get_running_loop().call_later(grace, self._stop)

    def reopen(self) -> None:
        self._draining = False

    def _stop(self) -> None:
        for session in list(self._sessions.values()):
            session.stream.end()

    async def _admit(self, scope: MutableMapping[str, Any], method: str) -> Principal | Refuse | None:
        head = Head.read(scope)
        refusal = self._rules.guard.check(head.get("host"), head.get("origin"), head.scheme, head.loopback)
        if refusal is None and head.method != method:
            refusal = Refuse(
                405, f"Method not allowed: this path answers {method}", headers=[(b"allow", method.encode())]
            )
        if refusal is None and method == "POST" and not is_json(head.get("content-type") or ""):
            refusal = Refuse(415, "Unsupported media type: a message is Content-Type: application/json")
        if refusal is not None:
            return refusal
        if self._authenticate is None:
            return None
        try:
            return await self._authenticate(scope)
        except Denied as denied:
            return denied.refusal

    async def _message(
        self, scope: MutableMapping[str, Any], principal: Principal | None, body: bytes
    ) -> Refuse | None:
        """Take one message in; a refusal leaves nothing behind."""
        ids = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("session_id", [])
        if len(ids) != 1 or not _SESSION_ID.fullmatch(ids[0]):
            return Refuse(400, "The query needs session_id, as the stream's endpoint event gave it")
        session = self._sessions.get(ids[0])
        if session is None or (session.principal and session.principal.id) != (principal and principal.id):
            return Refuse(404, "Session not found: open the stream again")
        try:
            message = decode(body)
            if isinstance(message, Request):
                self._start(session, message, scope, principal)
            else:
                await self._hear(session, message)
        except McpError as error:
            return Refuse.of(error, None)
        return None

    async def _hear(self, session: _Session, message: Notification | Response) -> None:
        if isinstance(message, Response):
            await self._questions.answer(session.record.id, message)
        elif message.method == "notifications/initialized":
            session.record.state = advance(session.record.state, "initialized")
        elif message.method == "notifications/cancelled":
            try:
                cancelled = _decode_cancelled(message.params)
            except msgspec.ValidationError:
                return  # fire and forget: an invalid one is ignored
            exchange = session.calls.get(cancelled.request_id)
            if exchange is not None:
                exchange.cancel()

    def _start(
        self, session: _Session, request: Request, scope: MutableMapping[str, Any], principal: Principal | None
    ) -> None:
        if request.id in session.calls or len(session.calls) >= MAX_CALLS:
            raise InvalidRequest("Invalid request: its id is in flight, or too many calls are")
        if request.method == "initialize":
            self._initialize(session, request)
        else:
            advance(session.record.state, "request")
        exchange = Exchange(self._server.serve, self._server.stamp(session.era), None, self._running)
        session.calls[request.id] = exchange
        task = asyncio.get_running_loop().create_task(self._run(session, exchange, request, scope, principal))
        session.tasks.add(task)
        task.add_done_callback(session.tasks.discard)

    def _initialize(self, session: _Session, request: Request) -> None:
        record = session.record
        state = advance(record.state, "initialize")
        try:
            asked = _decode_initialize(request.params)
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"Invalid params: {error}") from None
        record.version = initialize_era(asked.protocol_version).version
        record.client_info, record.capabilities, record.state = asked.client_info, asked.capabilities, state

    async def _run(
        self,
        session: _Session,
        exchange: Exchange,
        request: Request,
        scope: MutableMapping[str, Any],
        principal: Principal | None,
    ) -> None:
        peer = Session(session.era, session.record, session.emit, "sse", questions=self._questions)
        try:
            if not is_request(request.method, session.era) and request.method not in self._server.extension_methods:
                raise MethodNotFound(f"Method not found: {request.method}")
            params = decode_params(request.params)
            call = Call(
                request.method, params, request.params, id=request.id, peer=peer, principal=principal, scope=scope
            )
            answered = await exchange.run(call, peer)
        except McpError as error:
            answered = 200, error_body(request.id, error)
        finally:
            del session.calls[request.id]
        if answered is not None:
            await session.emit(answered[1])
        if self._draining and not session.calls:
            session.stream.end()
