"""A call that is run again with the client's answers (2026-07-28, input-required results).

A question without an answer parks; once the coroutines that are ready have run, the call's own task is cancelled and
the answer is an InputRequiredResult with every question asked so far. Raising from the question instead would be
swallowed by ``except Exception`` and would lose the others' questions in a gather.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, TypeVar

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from ..call import Call
from ..exceptions import ValidationError
from ..protocol.input_required import Binding, Rounds, Sealer, request_digest
from ..protocol.types import InputRequiredResult, Result

__all__ = ["STATE_SECONDS", "Replay"]

T = TypeVar("T")

STATE_SECONDS = 3600.0
"""How long a client may take to answer the questions of a call."""
_IDLE_PASSES = 8
"""Passes of the event loop without a new question after which the call counts as idle."""
_effect: ContextVar[str] = ContextVar("headrace_effect", default="")
"""The step (`once`) that runs in this context, as the prefix of the keys inside of it."""


class Replay:
    """What one run of a call asks and remembers. Raises InvalidParams for state that is not of this call."""

    def __init__(self, call: Call, task: asyncio.Task[Any] | None, sealer: Sealer) -> None:
        """`task` is the one the call runs in."""
        self._digest = request_digest(call.method, call.raw)
        self._principal = "" if call.principal is None else call.principal.id
        self._sealer = sealer
        self._task = task
        self._parked: list[asyncio.Future[Any]] = []
        self._passes = 0
        self._cancels = 0
        """How often the call's task was cancelled for a question."""
        self._busy: set[str] = set()
        """The `once` functions under way: the call is not idle before they are done."""
        self._locks: dict[str, asyncio.Lock] = {}
        self.rounds = Rounds.open(
            sealed=call.params.request_state,
            responses=call.params.input_responses,
            digest=self._digest,
            principal=self._principal,
            now=time.time(),
            sealer=sealer,
        )

    @property
    def stopped(self) -> bool:
        """Whether the call's task was cancelled for a question."""
        return self._cancels > 0

    def close(self) -> None:
        """The run is over; also for tasks that the function left behind."""
        task, self._task = self._task, None
        for question in self._parked:
            question.cancel()
        if task is not None:
            for _ in range(self._cancels):
                task.uncancel()

    async def ask(self, method: str, params: Any, key: str | None, check: Callable[[Raw], T]) -> T:
        """The recorded answer, as `check` reads it; without one this never returns."""
        if self._task is None:  # a task that the function left behind: nobody waits for it
            raise asyncio.CancelledError("The call is over")
        rounds = self.rounds
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

    async def once(self, key: str, function: Callable[[], Awaitable[Any]]) -> Any:
        """The function's result, recorded at the first run."""
        key = _effect.get() + key
        async with self._locks.setdefault(key, asyncio.Lock()):
            known = self.rounds.effect(key) or self.rounds.keep(key, await self._uninterrupted(f"{key}/", function))
        return msgspec.json.decode(known)

    def occurrence(self, what: str) -> int:
        """How often this was counted before in this run."""
        return self.rounds.occurrence(_effect.get() + what)

    def questions(self) -> Result:
        """The answer of a run that was stopped: what it asks."""
        return self.rounds.result(self._binding())

    def sealed(self, result: InputRequiredResult, own_state: str) -> InputRequiredResult:
        """Questions that the function returned itself: its state travels inside the sealed one."""
        self.rounds.own_state = own_state
        return replace(result, request_state=self.rounds.seal(self._binding()))

    def _binding(self) -> Binding:
        return Binding(self._digest, self._principal, time.time() + STATE_SECONDS, self._sealer)

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
