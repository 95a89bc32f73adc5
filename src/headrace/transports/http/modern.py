"""Requests that carry everything themselves (2026-07-28): one call, or one subscription."""

from __future__ import annotations

from ...exceptions import InvalidRequest, McpError
from ...protocol.input_required import Sealer
from ...protocol.jsonrpc import Message, Notification, Request
from ...protocol.types import Params
from ...protocol.versions import LATEST, Era
from ..notices import Subscription, grant
from ..peers import Envelope
from ..questions import Emit
from .admission import admit_modern
from .answer import Refuse, event, status_of
from .service import Arrival, Service, too_many
from .stream import Stream

__all__ = ["Modern"]

MAX_SUBSCRIPTIONS = 20_000
"""Open `subscriptions/listen` streams of one process."""


class Modern:
    def __init__(self, service: Service, sealer: Sealer) -> None:
        self._service = service
        self._sealer = sealer
        self._open: set[tuple[Subscription, Stream, Era]] = set()

    async def post(self, arrival: Arrival, message: Message, params: Params | None) -> None:
        if isinstance(message, Notification):
            # Nothing is cancelled by a notification over HTTP: ids are the client's own.
            await arrival.accept()
        elif not isinstance(message, Request) or params is None:
            error = InvalidRequest("Invalid request: in this revision clients send requests and notifications")
            await arrival.refuse(Refuse.of(error, LATEST))
        else:
            await self._request(arrival, message, params)

    async def _request(self, arrival: Arrival, request: Request, params: Params) -> None:
        service = self._service
        try:
            era = admit_modern(arrival.head, request, params, service.server.mirrored, service.server.extension_methods)
        except McpError as error:
            await arrival.refuse(Refuse.of(error, LATEST, request.id))
            return
        if request.method == "subscriptions/listen":
            await self._listen(arrival, request, params, era)
            return
        with service.reply(arrival, cancels=era.disconnect_cancels) as reply:
            peer = self._peer(params, era, reply.emit)
            answered = await service.exchange(reply, era).run(arrival.call(request, params, peer), peer)
            await service.finish(reply, answered, era)

    async def _listen(self, arrival: Arrival, request: Request, params: Params, era: Era) -> None:
        """The handler says which notices it grants; then the stream is the answer."""
        service = self._service
        if service.draining or len(self._open) >= MAX_SUBSCRIPTIONS:
            await arrival.refuse(too_many("streams", request.id))
            return
        peer = self._peer(params, era, _drop)
        try:
            granted = await grant(service.server.serve, arrival.call(request, params, peer))
        except McpError as error:
            status = status_of(era, error.code, admission=False)
            refusal = Refuse(status, error.message, code=error.code, id=request.id, data=error.data)
            await arrival.refuse(refusal)
            return
        service.stays_open()
        stream = Stream(arrival.send, service.limits)
        subscription = Subscription(request.id, granted, lambda message: stream.put(event(message)))
        entry = (subscription, stream, era)
        self._open.add(entry)
        service.notices.add(subscription)
        try:
            subscription.acknowledge()
            stream.open()
            await stream.hold(arrival.receive)
        finally:
            service.notices.remove(subscription)
            self._open.discard(entry)

    def drain(self) -> None:
        """Shutdown: every subscription gets its completing response."""
        for subscription, stream, era in list(self._open):
            stream.put(event(subscription.completed(era, self._service.stamp(era))))
            stream.end()

    def _peer(self, params: Params, era: Era, emit: Emit) -> Envelope:
        meta = params.meta
        assert meta is not None  # admitted
        return Envelope(era, meta, emit, self._sealer, "streamable-http")


async def _drop(message: bytes) -> None:
    """Before a subscription is granted there is no stream for notes."""
