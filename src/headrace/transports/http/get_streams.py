"""GET in a session: its standalone stream, or what a call still has to say (``Last-Event-ID``).

Change notices go to the standalone stream. Where an event store keeps its messages, a session that ever opened it
goes on hearing of changes: a client that comes back finds them.
"""

from __future__ import annotations

from ...exceptions import InvalidRequest
from ...protocol.session import SessionRecord
from ...protocol.versions import LATEST_HANDSHAKE, WITHOUT_HEADER, era
from ..notices import SessionListener
from .answer import Refuse
from .entrance import Arrival
from .service import Service
from .sessions import MAX_GET_STREAMS, STANDALONE, Outlet, Sessions
from .stream import Stream

__all__ = ["GetStreams"]


class GetStreams:
    def __init__(self, service: Service, sessions: Sessions, retry_ms: int | None) -> None:
        self._service = service
        self._sessions = sessions
        self._retry_ms = retry_ms
        self._listeners: dict[str, SessionListener] = {}
        sessions.forgotten = self._stop_listening

    async def serve(self, arrival: Arrival, record: SessionRecord) -> None:
        """One GET, until the client leaves or the stream ends."""
        after = arrival.get(b"last-event-id")
        outlet = self._standalone(record) if after is None else await self._resumed(arrival, record, after)
        if outlet is None:
            return
        service, sessions = self._service, self._sessions
        standalone = outlet.name == STANDALONE
        service.stays_open()
        stream = Stream(arrival.send, service.clocks, [(b"mcp-session-id", record.id.encode())])
        sessions.enter(record.id)
        try:
            stream.aged = stream.end
            stream.open()
            if standalone and after is None and (era(record.version) or WITHOUT_HEADER).priming:
                stream.put(await outlet.prime(self._retry_ms))
            # A client that comes back never costs another one its stream: both kinds have the bound for themselves.
            keep, apart = (MAX_GET_STREAMS, after is not None) if standalone else (1, False)
            if not await outlet.attach(stream, after, keep=keep, apart=apart) or service.draining:
                stream.end()
            await stream.hold(arrival.receive)
        finally:
            sessions.leave(record.id)
            await sessions.store.touch(record.id)  # it was in use until now
            if standalone and sessions.events is None and not outlet.has_reader:
                self._stop_listening(record.id)
                sessions.drop_outlet(outlet)

    def _standalone(self, record: SessionRecord) -> Outlet:
        outlet = self._sessions.outlet(record.id, STANDALONE)
        if record.id not in self._listeners:
            listener = self._listeners[record.id] = SessionListener(outlet.emit, record, self._service.notices)
            self._service.notices.add(listener)
        return outlet

    async def _resumed(self, arrival: Arrival, record: SessionRecord, after: str) -> Outlet | None:
        """The stream of the event; None if it was refused."""
        events = self._sessions.events
        replay = None if events is None else await events.replay(record.id, after)
        if replay is None:
            reason = "streams are not resumable here" if events is None else "it is unknown or no longer kept"
            error = InvalidRequest(f"Can't resume from this Last-Event-ID: {reason}")
            await arrival.refuse(Refuse.of(error, LATEST_HANDSHAKE))
            return None
        if replay.stream == STANDALONE:
            return self._standalone(record)
        outlet = self._sessions.find_outlet(record.id, replay.stream)
        if outlet is None:  # the call is over: what it said is in the store
            outlet = Outlet(record.id, replay.stream, events)
            outlet.finish()
        return outlet

    def _stop_listening(self, session: str) -> None:
        listener = self._listeners.pop(session, None)
        if listener is not None:
            self._service.notices.remove(listener)
