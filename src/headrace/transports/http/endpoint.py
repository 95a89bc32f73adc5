"""The MCP endpoint: read -> admit -> one of the two eras. An ASGI callable, and nothing of Starlette's.

Requests of every revision come to one path. A request is of 2026-07-28 or of the handshake era by what it says itself
(`admission.is_modern`); what an era then does with it is in `modern.py` and `handshake.py`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, MutableMapping
from typing import Any

from ...call import Served
from ...exceptions import InvalidParams, McpError
from ...protocol.input_required import Sealer
from ...protocol.jsonrpc import Notification, Request, Response, decode, is_batch
from ...protocol.requests import decode_params
from ...protocol.types import Params
from ...protocol.versions import LATEST, LATEST_HANDSHAKE
from ...state.bus import Bus
from ...state.events import EventStore
from ...state.sessions import SessionStore
from ..notices import Notices
from .admission import Rules, admit_head, is_modern
from .answer import Denied, Refuse
from .drain import SignalChain
from .entrance import Authenticate, send_denied
from .handshake import Handshake
from .modern import Modern
from .pace import Limits
from .post import Post
from .service import Service
from .sessions import Sessions
from .stream import Receive, Send

__all__ = ["Endpoint"]


class Endpoint:
    """`store` None: stateless. `authenticate` None: everyone may come in. `retry_ms`: see `Handshake`;
    `max_streams_per_client`: see `Modern`."""

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
        max_streams_per_client: int = 100,
    ) -> None:
        self._rules = rules
        self._authenticate = authenticate
        self._grace: asyncio.TimerHandle | None = None
        self.signals = SignalChain(self.drain)
        self._service = Service(server, rules, limits, Notices(server, bus), self.signals.install)
        # 128 random bits, visible ASCII (2025-11-25, Session Management).
        sessions = None if store is None else Sessions(store, bus, events=events, new_id=lambda: secrets.token_hex(16))
        self._modern = Modern(self._service, sealer, max_streams_per_client)
        self._handshake = Handshake(self._service, sessions, retry_ms)

    async def handle_request(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        arrival = self._service.arrival(scope, receive, send)
        try:
            self._rules.guard.check(arrival)
            if self._authenticate is not None:
                arrival.principal = await self._authenticate(scope)
            admit_head(arrival, self._rules)
            if isinstance(arrival, Post):
                arrival.begin()
                try:
                    body = await arrival.read(self._rules.max_body_bytes)
                    if body is not None:
                        answer = self._message(arrival, body)
                        del body  # a stream that stays open does not keep it
                        await answer
                finally:
                    arrival.over()
            elif arrival.method == "GET":
                await self._handshake.get(arrival)
            else:
                await self._handshake.delete(arrival)
        except Denied as denied:
            await send_denied(send, denied)

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

    def _message(self, post: Post, body: bytes) -> Awaitable[None]:
        try:
            if body[:1] != b"{" and is_batch(body) and not is_modern(post, None):
                return self._handshake.batch(post, body)
            message = decode(body)
        except McpError as error:
            return post.refuse(Refuse.of(error, None))
        if isinstance(message, Request):
            try:
                params = decode_params(message.params)
            except InvalidParams as error:
                era = LATEST if is_modern(post, None) else LATEST_HANDSHAKE
                return post.refuse(Refuse.of(error, era, message.id))
            if is_modern(post, params):
                return self._modern.request(post, message, params)
            return self._handshake.message(post, message, params)
        if is_modern(post, _params_of(message)):
            return self._modern.other(post, message)
        return self._handshake.message(post, message, None)


def _params_of(message: Notification | Response) -> Params | None:
    """What is wrong with a notification is not told to anyone."""
    try:
        return decode_params(message.params) if isinstance(message, Notification) else None
    except InvalidParams:
        return None
