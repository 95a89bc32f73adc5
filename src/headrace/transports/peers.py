"""Who is asking: the two shapes a client has, the same for every transport.

An `Envelope` (2026-07-28) knows only what came with the request: a question ends the call, which is run again with
the answer (`replay.py`). A `Session` (before) has a record between requests, and a question is a request on the
call's own stream.

Both get `emit` from their transport: it sends one message to the client, on the call's stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, TypeVar

import msgspec
from msgspec import Raw, Struct

from ..call import Answer, Call, Handler
from ..exceptions import McpError, UnsupportedByClient, ValidationError
from ..protocol.downgrade import fit_notification, fit_question
from ..protocol.input_required import MAX_ROUNDS, Sealer, check_declared
from ..protocol.jsonrpc import encode, encode_notification
from ..protocol.session import SessionRecord
from ..protocol.subscriptions import check_uris
from ..protocol.types import ClientCapabilities, Implementation, InputRequiredResult, RequestMeta
from ..protocol.versions import Era
from ..state.sessions import SessionStore
from .questions import Emit, Questions
from .replay import Replay

__all__ = ["Envelope", "Session"]

T = TypeVar("T")

_NOTHING = ClientCapabilities()


class Envelope(Struct, eq=False):
    """The client of one 2026-07-28 request: what came with the request, and nothing else."""

    era: Era
    meta: RequestMeta
    emit: Emit
    sealer: Sealer
    transport: str
    _call: Call | None = None
    _task: asyncio.Task[Any] | None = None
    replay: Replay | None = None
    """Made when something of the call is asked or remembered; most calls do neither."""
    heard: list[Raw] = []
    """The client's answers to the questions of this call."""

    @property
    def session_id(self) -> None:
        """This revision has no sessions."""

    def __repr__(self) -> str:
        return f"<Envelope {self.era.version} over {self.transport}>"

    @property
    def client_info(self) -> Implementation | None:
        return self.meta.client_info

    @property
    def capabilities(self) -> ClientCapabilities:
        return self.meta.client_capabilities or _NOTHING

    @property
    def log_level(self) -> str | None:
        return self.meta.log_level

    def begin(self, call: Call, task: asyncio.Task[Any] | None) -> None:
        """A call of this client begins, in that task. Raises InvalidParams for state that is not of this call."""
        self._call, self._task = call, task
        if call.params.request_state is not None or call.params.input_responses:
            self._open()  # refuses foreign state before anything runs

    def end(self) -> None:
        self._call = self._task = None  # a call knows its peer: in a ring they would wait for the collector
        if self.replay is not None:
            self.replay.close()

    async def asked(self, result: InputRequiredResult, handler: Handler, call: Call) -> Answer:
        """Questions that the function returned itself are the answer, unless it was stopped for others before."""
        if self.replay is not None and self.replay.stopped:
            return result
        check_declared(result, self.capabilities)
        return result if result.request_state is None else self._open().sealed(result, result.request_state)

    async def note(self, method: str, params: Any) -> None:
        await self.emit(encode_notification(method, params))

    async def ask(self, method: str, params: Any, *, key: str | None = None, check: Callable[[Raw], T]) -> T:
        if self.replay is None and self._call is None:  # a task that the function left behind: nobody waits for it
            raise asyncio.CancelledError("The call is over")

        def hear(answer: Raw) -> T:
            self.heard.append(answer)
            return check(answer)

        return await self._open().ask(method, fit_question(params, self.era), key, hear)

    async def once(self, key: str, function: Callable[[], Awaitable[Any]]) -> Any:
        return await self._open().once(key, function)

    def occurrence(self, what: str) -> int:
        return self._open().occurrence(what)

    def input_responses(self) -> Mapping[str, Raw]:
        return self._open().rounds.responses

    @property
    def request_state(self) -> str | None:
        return self._open().rounds.own_state

    async def get_state(self, key: str) -> Any:
        return self._open().rounds.values.get(key)

    async def set_state(self, key: str, value: Any) -> None:
        self._open().rounds.values[key] = value

    async def delete_state(self, key: str) -> None:
        self._open().rounds.values.pop(key, None)

    async def set_log_level(self, level: str) -> None:
        raise UnsupportedByClient("Each request of this revision says its own log level")

    async def subscribe(self, uri: str, wanted: bool) -> None:
        raise UnsupportedByClient("This revision subscribes with subscriptions/listen")

    async def close_stream(self) -> None:
        """Streams of this revision are not resumable."""

    def _open(self) -> Replay:
        if self.replay is None:
            if self._call is None:
                raise RuntimeError("What a client answered, and the state of a call, are there while the call runs")
            self.replay = Replay(self._call, self._task, self.sealer)
        return self.replay


class Session(Struct, eq=False):
    """The client of a handshake-era request; its record outlives the request.

    `questions` None: it can't be asked, for the reason `no_questions`.
    """

    replay: ClassVar[None] = None
    """Nothing is run again: an answer comes while the call waits."""

    era: Era
    record: SessionRecord
    emit: Emit
    transport: str
    store: SessionStore | None = None
    questions: Questions | None = None
    no_questions: str = ""
    waits: Callable[[bool], None] | None = None
    """Told when the call begins to do nothing but wait for its client, and when that ends."""
    close: Callable[[], Awaitable[None]] | None = None
    """Ends the call's stream early; None where the client could not resume it."""
    request_state: str | None = None
    heard: list[Raw] = []
    _asked: set[asyncio.Future[Raw]] = set()
    _responses: dict[str, Raw] = {}
    _over: bool = False

    def __repr__(self) -> str:
        return f"<Session {self.era.version} over {self.transport}>"

    @property
    def session_id(self) -> str | None:
        return self.record.id or None

    @property
    def client_info(self) -> Implementation | None:
        return self.record.client_info

    @property
    def capabilities(self) -> ClientCapabilities:
        return self.record.capabilities

    @property
    def log_level(self) -> str | None:
        return self.record.log_level

    def begin(self, call: Call, task: asyncio.Task[Any] | None) -> None:
        """A call of this client begins."""

    def end(self) -> None:
        self._over = True
        for question in self._asked:  # of tasks that the handler left behind
            question.cancel()

    async def asked(self, result: InputRequiredResult, handler: Handler, call: Call) -> Answer:
        """What the function returned as input-required is asked here, and the handler run again."""
        answer: Answer = result
        rounds = 0
        while isinstance(answer, InputRequiredResult):
            rounds += 1
            if rounds > MAX_ROUNDS:
                raise McpError(f"The call asked for input {MAX_ROUNDS} times without coming to an end")
            asked = answer.input_requests or {}
            check_declared(answer, self.capabilities)
            answers = await asyncio.gather(
                *(self.ask(request.method, request.params, check=Raw.copy) for request in asked.values())
            )
            self._responses = dict(zip(asked, answers, strict=True))
            self.request_state = answer.request_state
            answer = await handler(call)
        return answer

    async def note(self, method: str, params: Any) -> None:
        await self.emit(encode_notification(method, fit_notification(params, self.era)))

    async def ask(self, method: str, params: Any, *, key: str | None = None, check: Callable[[Raw], T]) -> T:
        if self.questions is None:
            raise UnsupportedByClient(self.no_questions)
        if self._over:  # a task that the handler left behind: nobody waits for it
            raise asyncio.CancelledError("The call is over")
        asked = fit_question(params, self.era)
        if self.waits is not None and not self._asked:
            self.waits(True)
        try:
            answer = await self.questions.ask(self.record.id, self.emit, method, asked, self._asked)
        finally:
            if self.waits is not None and not self._asked:
                self.waits(False)
        self.heard.append(answer)
        try:
            return check(answer)
        except msgspec.ValidationError as error:
            raise ValidationError(f"The client's answer to {method} does not fit: {error}") from None

    async def once(self, key: str, function: Callable[[], Awaitable[Any]]) -> Any:
        return msgspec.json.decode(encode(await function()))

    def occurrence(self, what: str) -> int:
        return 0  # nothing is replayed

    def input_responses(self) -> Mapping[str, Raw]:
        return self._responses

    async def get_state(self, key: str) -> Any:
        return (self.record.values or {}).get(key)

    async def set_state(self, key: str, value: Any) -> None:
        self.record.values = {**(self.record.values or {}), key: value}
        await self._save()

    async def delete_state(self, key: str) -> None:
        self.record.values = {k: v for k, v in (self.record.values or {}).items() if k != key} or None
        await self._save()

    async def set_log_level(self, level: str) -> None:
        self.record.log_level = level
        await self._save()

    async def subscribe(self, uri: str, wanted: bool) -> None:
        subscriptions = set(self.record.subscriptions or ())
        (subscriptions.add if wanted else subscriptions.discard)(uri)
        check_uris(subscriptions)
        self.record.subscriptions = subscriptions or None
        await self._save()

    async def close_stream(self) -> None:
        if self.close is not None:
            await self.close()

    async def _save(self) -> None:
        if self.store is not None:
            await self.store.save(self.record)
