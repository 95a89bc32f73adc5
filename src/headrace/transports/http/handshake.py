"""Requests of the handshake era (2025-03-26 to 2025-11-25): sessions, or stateless.

* POST ``initialize`` makes a session; its record is kept only once the handshake was answered.
* Any other POST belongs to a session: requests are exchanges, responses go to whoever asked, notifications are taken.
* GET opens the session's standalone stream, or resumes one with ``Last-Event-ID``. DELETE ends the session.

Stateless, every POST stands for itself, and there is nothing to GET or DELETE.
"""

from __future__ import annotations

import asyncio
import secrets

from ...exceptions import InvalidRequest, McpError
from ...protocol.jsonrpc import MAX_BATCH, Message, Notification, Request, Response, decode_batch
from ...protocol.requests import check_method, decode_cancelled, decode_params, initialize, new_record
from ...protocol.session import SessionRecord, advance
from ...protocol.types import Params
from ...protocol.versions import LATEST_HANDSHAKE, WITHOUT_HEADER, Era, era
from ..peers import Session
from .admission import handshake_era
from .answer import Refuse, error_body
from .entrance import Arrival, too_many
from .get_streams import GetStreams
from .post import Post
from .service import Service
from .sessions import Outlet, Sessions

__all__ = ["Handshake"]

NO_QUESTIONS_STATELESS = (
    "This server runs stateless for revisions with a handshake: it can't ask the client (elicitation, sampling, roots)"
)
NO_QUESTIONS_JSON = "This server answers with JSON only: it can't ask the client (elicitation, sampling, roots)"


class Handshake:
    """`sessions` None: stateless. `retry_ms`: when a client should come back to a stream that was closed early."""

    def __init__(self, service: Service, sessions: Sessions | None, retry_ms: int | None) -> None:
        self._service = service
        self._sessions = sessions
        self._retry_ms = retry_ms
        # Only events have ids to resume from, so JSON has none.
        self._resumable = sessions is not None and sessions.events is not None and not service.rules.json_response
        self._streams = None if sessions is None else GetStreams(service, sessions, retry_ms)

    async def message(self, post: Post, message: Message, params: Params | None) -> None:
        request_id = message.id if isinstance(message, Request) else None
        try:
            if isinstance(message, Request) and message.method == "initialize":
                await self._initialize(post, message, params)
                return
            record = await self._session(post, request_id)
            if record is None:
                return
            spoken = self._era(post, record)
            if isinstance(message, Request):
                advance(record.state, "request")
                await self._request(post, record, spoken, message, params or decode_params(message.params))
            else:
                await self._take(record, message)
                await post.accept()
        except McpError as error:
            await post.refuse(Refuse.of(error, LATEST_HANDSHAKE, request_id))

    async def batch(self, post: Post, body: bytes) -> None:
        """A JSON array of messages: only where the session's revision has batches."""
        try:
            record = await self._session(post)
            if record is None:
                return
            spoken = self._era(post, record)
            if not spoken.batches:
                raise InvalidRequest(f"Invalid request: {spoken.version} has no batches, send one message at a time")
            messages = decode_batch(body, MAX_BATCH)
            if any(isinstance(item, Request) and item.method == "initialize" for item in messages):
                raise InvalidRequest("Invalid request: initialize is not part of a batch")
        except McpError as error:
            await post.refuse(Refuse.of(error, LATEST_HANDSHAKE))
            return
        await self._batch(post, record, spoken, messages)

    async def get(self, arrival: Arrival) -> None:
        record = await self._bodiless(arrival)
        if record is not None and self._streams is not None:
            await self._streams.serve(arrival, record)

    async def delete(self, arrival: Arrival) -> None:
        record = await self._bodiless(arrival)
        if record is not None and self._sessions is not None:
            await self._sessions.end(record)
            await arrival.done()

    def drain(self) -> None:
        if self._sessions is not None:
            self._sessions.release_all()

    async def _session(self, arrival: Arrival, request_id: int | str | None = None) -> SessionRecord | None:
        """The session of a request; None if it was refused. Stateless: a record for this request alone."""
        if self._sessions is None:
            record = new_record(version=WITHOUT_HEADER.version)
            record.state = "opened"
            return record
        id = arrival.get(b"mcp-session-id")
        if id is None:
            reason = "Missing session ID: begin with initialize, then send Mcp-Session-Id"
            await arrival.refuse(Refuse(400, reason, id=request_id))
            return None
        record = await self._sessions.get(id, arrival.principal)
        if record is None:
            await arrival.refuse(Refuse(404, "Session not found: begin again with initialize", id=request_id))
        return record

    async def _bodiless(self, arrival: Arrival) -> SessionRecord | None:
        """The session of a GET or DELETE, which may name a revision too; None if it was refused."""
        record = await self._session(arrival)
        if record is None:
            return None
        try:
            self._era(arrival, record)
        except InvalidRequest as error:
            await arrival.refuse(Refuse.of(error, LATEST_HANDSHAKE))
            return None
        return record

    def _era(self, arrival: Arrival, record: SessionRecord) -> Era:
        agreed = era(record.version) or WITHOUT_HEADER
        named = handshake_era(arrival, agreed)
        return named if self._sessions is None else agreed

    async def _initialize(self, post: Post, request: Request, params: Params | None) -> None:
        service = self._service
        if self._sessions is not None and post.get(b"mcp-session-id") is not None:
            record = await self._session(post, request.id)
            if record is not None:
                advance(record.state, "initialize")
            return
        handshake_era(post, WITHOUT_HEADER)  # the header is optional here, but never a version unknown
        record = new_record()
        spoken = initialize(record, request.params)
        peer = Session(spoken, record, post.emit, "streamable-http", no_questions=NO_QUESTIONS_STATELESS)
        call = post.call(request, params or Params(), peer)
        post.cancels = False
        exchange = service.exchange(post, spoken)
        body = await exchange.run(call, peer, post.task)
        if self._sessions is not None and body is not None and exchange.error is None:
            if not await self._sessions.create(record, post.principal, post.scope):
                await post.refuse(too_many("sessions", request.id))
                return
            post.headers = [(b"mcp-session-id", record.id.encode())]
        await post.answer(body)

    async def _take(self, record: SessionRecord, message: Notification | Response) -> None:
        """A notification or a response: nothing is answered."""
        if self._sessions is None:
            return
        if isinstance(message, Response):
            await self._sessions.questions.answer(record.id, message)
        elif message.method == "notifications/initialized":
            record.state = advance(record.state, "initialized")
            await self._sessions.store.save(record)
        elif message.method == "notifications/cancelled":
            id = decode_cancelled(message.params)
            if id is not None:
                await self._sessions.cancel(record.id, id)

    async def _request(self, post: Post, record: SessionRecord, spoken: Era, request: Request, params: Params) -> None:
        service, sessions = self._service, self._sessions
        check_method(request.method, spoken, service.server.extension_methods)
        await self._use(record)
        peer = self._peer(record, spoken, post)
        exchange = service.exchange(post, spoken)
        if sessions is not None and not sessions.begin_call(record.id, request.id, exchange.cancel):
            raise InvalidRequest("Invalid request: a request with this id is in flight in the session")
        outlet = self._outlet(record)
        post.cancels = False
        try:
            if outlet is not None:
                await post.resumable(outlet, self._retry_ms, prime=spoken.priming)
            body = await exchange.run(post.call(request, params, peer), peer, post.task)
            if exchange.error is None:
                await post.answer(body)
            else:
                await post.fail(body, exchange.error, spoken)
        finally:
            if sessions is not None:
                sessions.end_call(record.id, request.id)
            if sessions is not None and outlet is not None:
                sessions.drop_outlet(outlet)

    async def _use(self, record: SessionRecord) -> None:
        """Note that the session does more than shake hands: it gives way later than those that never did."""
        if self._sessions is not None and not record.used:
            record.used = True
            await self._sessions.store.save(record)

    def _outlet(self, record: SessionRecord) -> Outlet | None:
        """A stream of its own for an answer that is resumable; None where it is not."""
        if self._sessions is None or not self._resumable:
            return None
        # Random: a number would name another call's stream after a restart, where the store outlives this process.
        return self._sessions.outlet(record.id, f"call-{secrets.token_hex(8)}")

    async def _batch(
        self, post: Post, record: SessionRecord, spoken: Era, messages: list[Message | InvalidRequest]
    ) -> None:
        service, sessions = self._service, self._sessions

        async def answer(item: Message | InvalidRequest) -> bytes:
            if isinstance(item, InvalidRequest):
                return error_body(None, item)
            if not isinstance(item, Request):
                await self._take(record, item)
                return b""
            exchange = service.exchange(post, spoken)
            if sessions is not None and not sessions.begin_call(record.id, item.id, exchange.cancel):
                return error_body(item.id, InvalidRequest("Invalid request: a request with this id is in flight"))
            try:
                check_method(item.method, spoken, service.server.extension_methods)
                peer = self._peer(record, spoken, post, batch=True)
                call = post.call(item, decode_params(item.params), peer)
                return await exchange.run(call, peer, asyncio.current_task()) or b""
            except McpError as error:
                return error_body(item.id, error)
            finally:
                if sessions is not None:
                    sessions.end_call(record.id, item.id)

        await self._use(record)
        post.cancels = False
        bodies = [body for body in await asyncio.gather(*(answer(item) for item in messages)) if body]
        await post.answer_batch(bodies)

    def _peer(self, record: SessionRecord, spoken: Era, post: Post, *, batch: bool = False) -> Session:
        sessions = self._sessions
        if sessions is None:
            return Session(spoken, record, post.emit, "streamable-http", no_questions=NO_QUESTIONS_STATELESS)
        json_only = self._service.rules.json_response
        return Session(
            spoken,
            record,
            post.emit,
            "streamable-http",
            store=sessions.store,
            questions=None if json_only else sessions.questions,
            no_questions=NO_QUESTIONS_JSON,
            # A session that only waits for its client may give way to others.
            waits=lambda waiting: sessions.leave(record.id) if waiting else sessions.enter(record.id),
            close=post.close if self._resumable and spoken.priming and not batch else None,
        )
