"""Who is asking: the two shapes a client has, the same for every transport.

An `Envelope` (2026-07-28) knows only what came with the request. A question it has no answer for parks; once
the coroutines that are ready have run, the call's own task is cancelled and the answer is an
InputRequiredResult with every question asked so far. Raising from the question instead would be swallowed by
``except Exception`` and would lose the others' questions in a gather.

A `Session` (before) has a record between requests, and a question is a request on the call's own stream.

Both get `emit` from their transport: it sends one message to the client, on the call's stream.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from ..call import Answer, Call, Handler, Principal
from ..exceptions import McpError, UnsupportedByClient, ValidationError
from ..protocol.downgrade import fit_notification, fit_question
from ..protocol.input_required import MAX_ROUNDS, Binding, Rounds, Sealer, check_declared, request_digest
from ..protocol.jsonrpc import encode, encode_notification
from ..protocol.session import SessionRecord
from ..protocol.types import ClientCapabilities, Implementation, InputRequiredResult, RequestMeta, Result
from ..protocol.versions import Era
from ..state.sessions import SessionStore
from .questions import Emit, Questions

__all__ = ["STATE_SECONDS", "Envelope", "Session"]

T = TypeVar("T")

STATE_SECONDS = 3600.0
"""How long a client may take to answer the questions of a call (2026-07-28)."""
_IDLE_PASSES = 8
"""Passes of the event loop without a new question after which the call counts as idle."""
MAX_SUBSCRIPTIONS = 1000
"""Resources one session may subscribe to."""
_NOTHING = ClientCapabilities()
_effect: ContextVar[str] = ContextVar("headrace_effect", default="")
"""The step (`once`) that runs in this context, as the prefix of the keys inside of it."""


class Envelope:
    """The client of one 2026-07-28 request."""

    __slots__ = (
        "_busy",
        "_call",
        "_cancels",
        "_emit",
        "_locks",
        "_parked",
        "_passes",
        "_rounds",
        "_sealer",
        "_task",
        "capabilities",
        "client_info",
        "era",
        "log_level",
        "transport",
    )

    session_id: str | None = None

    def __init__(self, era: Era, meta: RequestMeta, emit: Emit, sealer: Sealer, transport: str) -> None:
        self.era = era
        self.transport = transport
        self.client_info: Implementation | None = meta.client_info
        self.capabilities = meta.client_capabilities or _NOTHING
        self.log_level = meta.log_level
        self._emit = emit
        self._sealer = sealer
        self._call: Call | None = None
        self._task: asyncio.Task[Any] | None = None
        self._rounds: Rounds | None = None
        self._parked: list[asyncio.Future[Any]] = []
        self._passes = 0
        self._cancels = 0
        """How often the call's task was cancelled for a question."""
        self._busy: set[str] = set()
        """The `once` functions under way: the call is not idle before they are done."""
        self._locks: dict[str, asyncio.Lock] = {}

    async def run(self, handler: Handler, call: Call) -> Answer:
        """The handler's answer, or the questions it needs answered first."""
        self._call = call
        if call.params.request_state is not None or call.params.input_responses:
            self._open()  # refuses foreign state before anything runs
        task = self._task = asyncio.current_task()
        try:
            result = await handler(call)
        except asyncio.CancelledError:
            if not self._cancels:
                raise
        except Exception:
            if not self._cancels:
                raise
        else:
            if not self._cancels:
                return self._checked(result) if isinstance(result, InputRequiredResult) else result
        finally:
            self._task = None
            for question in self._parked:  # also those of tasks that the handler left behind
                question.cancel()
        if task is not None:
            for _ in range(self._cancels):
                task.uncancel()
        return self._questions()

    async def note(self, method: str, params: Any) -> None:
        await self._emit(encode_notification(method, params))

    async def ask(self, method: str, params: Any, *, key: str | None = None, check: Callable[[Raw], T]) -> T:
        rounds = self._open()
        if self._task is None:  # a task that the handler left behind: nobody waits for it
            raise asyncio.CancelledError("The call is over")
        params = fit_question(params, self.era)
        key = rounds.key(method, params, key, _effect.get())
        answer = rounds.answer(key)
        if answer is not None:
            try:
                checked = check(answer)
            except (ValidationError, msgspec.ValidationError):
                rounds.reject(key)
            else:
                rounds.accept(key, answer)
                return checked
        rounds.ask(key, method, params)
        self._busy.discard(_effect.get())  # it waits for this question, so nobody waits for it
        parked: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._parked.append(parked)
        self._stop_when_idle()
        return await parked  # only the end of the call ends this

    def _stop_when_idle(self) -> None:
        ticking = self._passes > 0
        self._passes = _IDLE_PASSES
        if not ticking:
            loop = asyncio.get_running_loop()
            loop.call_soon(self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._task is None:
            return
        if self._busy:
            self._passes = 0  # the end of the last one begins anew
            return
        self._passes -= 1
        if self._passes > 0:
            loop.call_soon(self._tick, loop)
        else:
            self._cancels += 1
            self._task.cancel()

    async def once(self, key: str, function: Callable[[], Awaitable[Any]]) -> Any:
        rounds = self._open()
        key = _effect.get() + key
        async with self._locks.setdefault(key, asyncio.Lock()):
            known = rounds.effect(key) or rounds.keep(key, await self._uninterrupted(f"{key}/", function))
        return msgspec.json.decode(known)

    async def _uninterrupted(self, effect: str, function: Callable[[], Awaitable[Any]]) -> Any:
        """A question that parks meanwhile must not cancel the step half-way: it would run again."""
        self._busy.add(effect)
        token = _effect.set(effect)
        try:
            return await function()
        finally:
            _effect.reset(token)
            self._busy.discard(effect)
            if self._parked and not self._cancels:
                self._stop_when_idle()

    def occurrence(self, what: str) -> int:
        return self._open().occurrence(_effect.get() + what)

    def input_responses(self) -> Mapping[str, Raw]:
        return self._open().responses

    @property
    def request_state(self) -> str | None:
        return self._open().own_state

    async def get_state(self, key: str) -> Any:
        return self._open().values.get(key)

    async def set_state(self, key: str, value: Any) -> None:
        self._open().values[key] = value

    async def delete_state(self, key: str) -> None:
        self._open().values.pop(key, None)

    async def set_log_level(self, level: str) -> None:
        raise UnsupportedByClient("Each request of this revision says its own log level")

    async def subscribe(self, uri: str, wanted: bool) -> None:
        raise UnsupportedByClient("This revision subscribes with subscriptions/listen")

    async def close_stream(self) -> None:
        """Streams of this revision are not resumable."""

    def _open(self) -> Rounds:
        if self._rounds is None:
            call = self._bound_call()
            self._rounds = Rounds.open(
                sealed=call.params.request_state,
                responses=call.params.input_responses,
                digest=request_digest(call.method, call.raw),
                principal=_principal_id(call.principal),
                now=time.time(),
                sealer=self._sealer,
            )
        return self._rounds

    def _checked(self, result: InputRequiredResult) -> InputRequiredResult:
        """Questions that a function returned itself: of kinds that the client declared, and its state sealed."""
        check_declared(result, self.capabilities)
        if result.request_state is None:
            return result
        self._open().own_state = result.request_state
        return replace(result, request_state=self._open().seal(self._binding()))

    def _questions(self) -> Result:
        return self._open().result(self._binding())

    def _binding(self) -> Binding:
        call = self._bound_call()
        digest = request_digest(call.method, call.raw)
        return Binding(digest, _principal_id(call.principal), time.time() + STATE_SECONDS, self._sealer)

    def _bound_call(self) -> Call:
        if self._call is None:
            raise RuntimeError("An envelope answers questions only while its call runs")
        return self._call


def _principal_id(principal: Principal | None) -> str:
    return "" if principal is None else principal.id


class Session:
    """The client of a handshake-era request. Without a store (stateless) nothing outlives the request;
    without `questions` the client can't be asked, and `no_questions` says why. `waits` is told when the call begins
    and ends to do nothing but wait for its client."""

    __slots__ = (
        "_asked",
        "_close",
        "_emit",
        "_no_questions",
        "_over",
        "_questions",
        "_responses",
        "_store",
        "_waits",
        "era",
        "record",
        "request_state",
        "transport",
    )

    def __init__(
        self,
        era: Era,
        record: SessionRecord,
        emit: Emit,
        transport: str,
        *,
        store: SessionStore | None = None,
        questions: Questions | None = None,
        no_questions: str = "",
        waits: Callable[[bool], None] | None = None,
        close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.era = era
        self.record = record
        self.transport = transport
        self._close = close
        self._waits = waits
        self._emit = emit
        self._store = store
        self._questions = questions
        self._no_questions = no_questions
        self._asked: set[asyncio.Future[Raw]] = set()
        self._over = False
        self._responses: dict[str, Raw] = {}
        self.request_state: str | None = None

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

    async def run(self, handler: Handler, call: Call) -> Answer:
        """The handler's answer; what it returns as input-required is asked here, and the handler run again."""
        try:
            return await self._run(handler, call)
        finally:
            self._over = True
            for question in self._asked:  # of tasks that the handler left behind
                question.cancel()

    async def _run(self, handler: Handler, call: Call) -> Answer:
        result = await handler(call)
        rounds = 0
        while isinstance(result, InputRequiredResult):
            rounds += 1
            if rounds > MAX_ROUNDS:
                raise McpError(f"The call asked for input {MAX_ROUNDS} times without coming to an end")
            asked = result.input_requests or {}
            check_declared(result, self.capabilities)
            answers = await asyncio.gather(
                *(self.ask(request.method, request.params, check=Raw.copy) for request in asked.values())
            )
            self._responses = dict(zip(asked, answers, strict=True))
            self.request_state = result.request_state
            result = await handler(call)
        return result

    async def note(self, method: str, params: Any) -> None:
        await self._emit(encode_notification(method, fit_notification(params, self.era)))

    async def ask(self, method: str, params: Any, *, key: str | None = None, check: Callable[[Raw], T]) -> T:
        if self._questions is None:
            raise UnsupportedByClient(self._no_questions)
        if self._over:  # a task that the handler left behind: nobody waits for it
            raise asyncio.CancelledError("The call is over")
        asked = fit_question(params, self.era)
        if self._waits is not None and not self._asked:
            self._waits(True)
        try:
            answer = await self._questions.ask(self.record.id, self._emit, method, asked, self._asked)
        finally:
            if self._waits is not None and not self._asked:
                self._waits(False)
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
        if wanted and uri not in subscriptions and len(subscriptions) >= MAX_SUBSCRIPTIONS:
            raise McpError(f"A session subscribes to at most {MAX_SUBSCRIPTIONS} resources", code=-32602)
        (subscriptions.add if wanted else subscriptions.discard)(uri)
        self.record.subscriptions = subscriptions or None
        await self._save()

    async def close_stream(self) -> None:
        if self._close is not None:
            await self._close()

    async def _save(self) -> None:
        if self._store is not None:
            await self._store.save(self.record)
