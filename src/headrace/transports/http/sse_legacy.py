"""HTTP+SSE (2024-11-05, transports): a GET stream carries everything to the client, POSTs carry its messages.

The session is the stream: it begins with GET, its first event says where to POST, and it ends with the connection.
A POST is answered 202 at once; what it asks runs in a task of the session, and the answer is an event on the stream.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Coroutine, MutableMapping
from typing import Any
from urllib.parse import parse_qs, quote

from ...call import Principal, Served
from ...exceptions import McpError
from ...protocol.jsonrpc import Request, decode
from ...state.bus import Bus
from ...state.rates import caller_of
from ..connection import Connection
from ..notices import Notices
from ..questions import Questions
from .admission import Rules, refused_type
from .answer import Denied, Refuse, error_body
from .drain import SignalChain
from .entrance import Authenticate, send_denied, too_many
from .head import Head, fields_of
from .pace import Clocks, Limits
from .post import Post
from .stream import Receive, Send, Stream

__all__ = ["SseEndpoint", "check_message_path"]

_SESSION_ID = re.compile(r"[0-9a-f]{32}")


def check_message_path(path: str) -> None:
    """Raises ValueError for a path that is no plain absolute path (a client would POST its messages elsewhere)."""
    if "://" in path or path.startswith("//") or "?" in path or "#" in path or not path.startswith("/"):
        raise ValueError(f"message_path {path!r} is no absolute path: it begins with one slash, without host, ? or #")


class _Session:
    """One open stream, and the connection whose messages it carries."""

    def __init__(
        self,
        server: Served,
        questions: Questions,
        notices: Notices,
        stream: Stream,
        principal: Principal | None,
        owner: str,
    ) -> None:
        self.stream = stream
        self.principal = principal
        self.owner = owner
        """Whose sessions are counted together."""
        self.tasks: set[asyncio.Task[None]] = set()
        self.connection = Connection(
            server, questions, notices, self._notice, id=secrets.token_hex(16), transport="sse", sealer=None
        )

    @property
    def id(self) -> str:
        return self.connection.record.id

    async def _notice(self, message: bytes) -> None:
        self.stream.tell(message)  # nobody waits for the reader with it: who is too slow loses the stream

    async def emit(self, message: bytes) -> None:
        if not self.stream.takes(len(message)):
            await self.stream.flushed()
        self.stream.tell(message)

    def start(self, work: Coroutine[Any, Any, bytes | None], done: Callable[[], None]) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(work, done))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _answer(self, work: Coroutine[Any, Any, bytes | None], done: Callable[[], None]) -> None:
        try:
            body = await work
            if body is not None:
                await self.emit(body)
        finally:
            done()


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
        max_sessions_per_client: int = 100,
        authenticate: Authenticate | None = None,
    ) -> None:
        self._server = server
        self._message_path = message_path
        self._rules = rules
        self._clocks = Clocks(limits)
        self._max_sessions = max_sessions
        self._max_per_client = max_sessions_per_client
        self._authenticate = authenticate
        self._questions = Questions(bus)
        self._notices = Notices(server, bus)
        self._sessions: dict[str, _Session] = {}
        """Longest idle first."""
        self._draining = False
        self._grace: asyncio.TimerHandle | None = None
        self.signals = SignalChain(self.drain)

    async def handle_sse(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        try:
            principal = await self._enter(Head.of(scope), "GET")
            owner = caller_of(principal and principal.id, scope)
            self._make_room(owner)
        except Denied as denied:
            await send_denied(send, denied)
            return
        self.signals.install()
        stream = Stream(send, self._clocks)
        root_path: str = scope.get("root_path", "")
        session = _Session(self._server, self._questions, self._notices, stream, principal, owner)
        endpoint = f"{quote(root_path + self._message_path)}?session_id={session.id}"
        self._sessions[session.id] = session
        try:
            stream.put(b"event: endpoint\ndata: %b\n\n" % endpoint.encode())
            stream.open()
            await stream.hold(receive)
        finally:
            self._sessions.pop(session.id, None)
            session.connection.close()

    def _make_room(self, owner: str) -> None:
        """Room for one more stream of the owner: its own longest idle ends for it. Raises Denied without room."""
        if self._draining:
            raise Denied(too_many("streams"))
        own = [session for session in self._sessions.values() if session.owner == owner]
        if len(own) >= self._max_per_client:
            idle = next((session for session in own if not session.connection.busy), None)
            if idle is None:
                raise Denied(too_many("streams"))
            del self._sessions[idle.id]
            idle.stream.end()
        if len(self._sessions) >= self._max_sessions:
            raise Denied(too_many("streams"))

    async def handle_message(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        post = Post(scope, scope["method"], fields_of(scope), receive, send, None, self._clocks, json_only=True)
        try:
            post.principal = await self._enter(post, "POST")
            post.begin()
            try:
                body = await post.read(self._rules.max_body_bytes)
            finally:
                post.over()
            if body is not None:
                await self._message(scope, post.principal, body)
                await post.accept()
        except Denied as denied:
            await send_denied(send, denied)

    def drain(self, grace: float = 10.0) -> None:
        """Shutdown: calls in flight may finish for `grace` seconds, idle streams end now."""
        if self._draining:
            return
        self._draining = True
        for session in list(self._sessions.values()):
            if not session.connection.busy:
                session.stream.end()
        self._grace = asyncio.get_running_loop().call_later(grace, self._stop)

    def reopen(self) -> None:
        self._draining = False
        if self._grace is not None:
            self._grace.cancel()

    def _stop(self) -> None:
        for session in list(self._sessions.values()):
            session.stream.end()

    async def _enter(self, head: Head, method: str) -> Principal | None:
        """Who comes in. Raises Denied."""
        self._rules.guard.check(head)
        principal = None if self._authenticate is None else await self._authenticate(head.scope)
        if head.method != method:
            allow = [(b"allow", method.encode())]
            raise Denied(Refuse(405, f"Method not allowed: this path answers {method}", headers=allow))
        refusal = refused_type(head.fields.get(b"content-type")) if method == "POST" else None
        if refusal is not None:
            raise Denied(refusal)
        return principal

    async def _message(self, scope: MutableMapping[str, Any], principal: Principal | None, body: bytes) -> None:
        """Take one message in. Raises Denied, and leaves nothing behind then."""
        ids = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("session_id", [])
        if len(ids) != 1 or not _SESSION_ID.fullmatch(ids[0]):
            raise Denied(Refuse(400, "The query needs session_id, as the stream's endpoint event gave it"))
        session = self._sessions.get(ids[0])
        if session is None or (session.principal and session.principal.id) != (principal and principal.id):
            raise Denied(Refuse(404, "Session not found: open the stream again"))
        self._sessions[session.id] = self._sessions.pop(session.id)  # the last one used
        try:
            message = decode(body)
        except McpError as error:
            raise Denied(Refuse.of(error, None)) from None
        if not isinstance(message, Request):
            await session.connection.take(message)
            return
        try:
            work = session.connection.begin(message, session.emit, principal=principal, scope=scope)
        except McpError as error:
            await session.emit(error_body(message.id, error))  # the client looks for it on the stream
        else:
            session.start(work, lambda: self._answered(session))

    def _answered(self, session: _Session) -> None:
        if self._draining and not session.connection.busy:
            session.stream.end()
