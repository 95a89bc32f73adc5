"""Requests that carry everything themselves (2026-07-28): one call, or one subscription."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial

from ...exceptions import InvalidRequest, McpError
from ...protocol.input_required import Sealer
from ...protocol.jsonrpc import Notification, Request, Response
from ...protocol.types import Params
from ...protocol.versions import LATEST, Era
from ...state.rates import Held, caller_of
from ..notices import Subscription, grant
from ..peers import Envelope
from ..questions import Emit
from .admission import admit_modern
from .answer import Refuse, error_body, retry_after
from .entrance import too_many
from .post import Post
from .service import Service
from .stream import Stream

__all__ = ["Modern"]

MAX_SUBSCRIPTIONS = 20_000
"""Open `subscriptions/listen` streams of one process."""


class Modern:
    """`max_per_client`: `subscriptions/listen` streams of one principal, or of one address where nobody logs in."""

    def __init__(self, service: Service, sealer: Sealer, max_per_client: int) -> None:
        self._service = service
        self._sealer = sealer
        self._max_per_client = max_per_client
        self._open: set[tuple[Subscription, Stream, Era]] = set()
        self._open_of = Held()
        """How many each client has, or has asked for just now."""

    def request(self, post: Post, request: Request, params: Params) -> Awaitable[None]:
        server = self._service.server
        try:
            era = admit_modern(post, request, params, server.mirrored, server.extension_methods)
        except McpError as error:
            return post.refuse(Refuse.of(error, LATEST, request.id))
        if request.method == "subscriptions/listen":
            return self._listen(post, request, params, era)
        post.cancels = era.disconnect_cancels
        return self._call(post, request, params, era)

    async def _call(self, post: Post, request: Request, params: Params, era: Era) -> None:
        peer = self._peer(params, era, post.emit)
        exchange = self._service.exchange(post, era)
        body = await exchange.run(post.call(request, params, peer), peer, post.task)
        if exchange.error is None:
            await post.answer(body)
        else:
            await post.fail(body, exchange.error, era)

    async def other(self, post: Post, message: Notification | Response) -> None:
        if isinstance(message, Notification):
            # Nothing is cancelled by a notification over HTTP: ids are the client's own.
            await post.accept()
        else:
            error = InvalidRequest("Invalid request: in this revision clients send requests and notifications")
            await post.refuse(Refuse.of(error, LATEST))

    async def _listen(self, post: Post, request: Request, params: Params, era: Era) -> None:
        """The handler says which notices it grants; then the stream is the answer."""
        service, client = self._service, caller_of(post.principal and post.principal.id, post.scope)
        if service.draining or len(self._open) >= MAX_SUBSCRIPTIONS:
            await post.refuse(too_many("streams", request.id))
            return
        if self._open_of[client] >= self._max_per_client:
            reason = f"Too many streams: a client has at most {self._max_per_client}, end one of them"
            await post.refuse(Refuse(429, reason, id=request.id, headers=retry_after(5)))
            return
        self._open_of[client] += 1
        try:
            try:
                call = post.call(request, params, self._peer(params, era, _drop))
                granted = await grant(service.server.serve, call)
            except McpError as error:
                await post.fail(error_body(request.id, error), error, era)
                return
            service.stays_open()
            stream = Stream(post.send, service.clocks)
            subscription = Subscription(request.id, granted, stream.tell)
            # The stream stays for long, and has a time of its own: what its request brought goes.
            post.over()
            del call, granted, params, request
            entry = (subscription, stream, era)
            stream.aged = partial(self._complete, *entry)
            self._open.add(entry)
            service.notices.add(subscription)
            try:
                subscription.acknowledge()
                stream.open()
                await stream.hold(post.receive)
            finally:
                service.notices.remove(subscription)
                self._open.discard(entry)
        finally:
            self._open_of.release(client)

    def drain(self) -> None:
        """Shutdown: every subscription gets its completing response."""
        for entry in list(self._open):
            self._complete(*entry)

    def _complete(self, subscription: Subscription, stream: Stream, era: Era) -> None:
        stream.tell(subscription.completed(era, self._service.stamp(era)))
        stream.end()

    def _peer(self, params: Params, era: Era, emit: Emit) -> Envelope:
        meta = params.meta
        assert meta is not None  # admitted
        return Envelope(era, meta, emit, self._sealer, "streamable-http")


async def _drop(message: bytes) -> None:
    """Before a subscription is granted there is no stream for notes."""
