"""The MCP endpoint: read -> admit -> one of the two eras. An ASGI callable, and nothing of Starlette's.

Requests of every revision come to one path. A request is of 2026-07-28 or of the handshake era by what it says itself
(`admission.is_modern`); what an era then does with it is in `modern.py` and `handshake.py`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import MutableMapping
from typing import Any

from ...call import Served
from ...exceptions import InvalidParams, McpError
from ...protocol.input_required import Sealer
from ...protocol.jsonrpc import Request, Response, decode, is_batch
from ...protocol.requests import decode_params
from ...protocol.versions import LATEST, LATEST_HANDSHAKE
from ...state.bus import Bus
from ...state.events import EventStore
from ...state.sessions import SessionStore
from ..notices import Notices
from .admission import Rules, admit_head, is_modern
from .answer import Refuse
from .drain import SignalChain
from .entrance import Authenticate, Denied, enter, read_body
from .handshake import Handshake
from .head import Head
from .modern import Modern
from .reply import send_body
from .service import Arrival, Service
from .sessions import Sessions
from .stream import Limits, Receive, Send

__all__ = ["Endpoint"]


class Endpoint:
    """`store` None: stateless. `authenticate` None: everyone may come in. `retry_ms`: see `Handshake`."""

    def __init__(
        self,
        server: Served,
        *,
        rules: Rules,
        limits: Limits,
        bus: Bus,
        store: SessionStore | None,
        events: EventStore | None,
        sealer: Sealer,
        authenticate: Authenticate | None = None,
        retry_ms: int | None = None,
    ) -> None:
        self._rules = rules
        self._limits = limits
        self._authenticate = authenticate
        self._grace: asyncio.TimerHandle | None = None
        self.signals = SignalChain(self.drain)
        self._service = Service(server, rules, limits, Notices(server, bus), self.signals.install)
        # 128 random bits, visible ASCII (2025-11-25, Session Management).
        sessions = None if store is None else Sessions(store, bus, events=events, new_id=lambda: secrets.token_hex(16))
        self._modern = Modern(self._service, sealer)
        self._handshake = Handshake(self._service, sessions, retry_ms)

    async def handle_request(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        head = Head.read(scope)
        try:
            principal = await enter(scope, head, self._rules.guard, self._authenticate)
            refusal = admit_head(head, self._rules)
            if refusal is not None:
                raise Denied(refusal)
            arrival = Arrival(head, scope, receive, send, principal)
            if head.method == "POST":
                await self._post(arrival)
            elif head.method == "GET":
                await self._handshake.get(arrival)
            else:
                await self._handshake.delete(arrival)
        except Denied as denied:
            await send_body(send, denied.refusal.status, denied.refusal.body, denied.refusal.headers)

    __call__ = handle_request

    def drain(self, grace: float = 10.0) -> None:
        """Shutdown: open streams end properly now, calls in flight within `grace` seconds. Returns at once."""
        if self._service.draining:
            return
        self._service.draining = True
        self._modern.drain()
        self._handshake.drain()
        self._grace = asyncio.get_running_loop().call_later(grace, self._stop_calls)

    def reopen(self) -> None:
        """The app starts again; what the last shutdown still wanted to stop is not of now."""
        self._service.draining = False
        if self._grace is not None:
            self._grace.cancel()

    def _stop_calls(self) -> None:
        for exchange in list(self._service.running):
            exchange.stop()

    async def _post(self, arrival: Arrival) -> None:
        body = await read_body(
            arrival.receive, self._rules.max_body_bytes, self._limits.body_seconds, self._service.pace
        )
        if body is None:
            return
        head = arrival.head
        try:
            if is_batch(body) and not is_modern(head, None, None):
                await self._handshake.batch(arrival, body)
                return
            message = decode(body)
        except McpError as error:
            await arrival.refuse(Refuse.of(error, None))
            return
        params = None
        if not isinstance(message, Response):
            try:
                params = decode_params(message.params)
            except InvalidParams as error:
                if isinstance(message, Request):  # a notification is fire and forget
                    era = LATEST if is_modern(head, message.method, None) else LATEST_HANDSHAKE
                    await arrival.refuse(Refuse.of(error, era, message.id))
                    return
        if is_modern(head, getattr(message, "method", None), params):
            await self._modern.post(arrival, message, params)
        else:
            await self._handshake.post(arrival, message, params)
