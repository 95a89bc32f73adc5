"""The pool of threads in which sync functions run.

A thread that is awake takes one job after another, and its results go to the event loop in one message: where the
interpreter runs one thread at a time, waking a thread for each job costs more than most functions. Only when a job
has waited for a moment, since those awake are blocked, more of them are woken or started, up to a bound. Idle threads
end. Cancelling the waiting coroutine does not stop a thread: it runs on to its end and its result is dropped.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

__all__ = ["Workers", "workers"]

T = TypeVar("T")

_PATIENCE = 0.001
"""Seconds after which a job that still waits gets another thread."""


class _Job(NamedTuple):
    number: int
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    context: contextvars.Context
    function: Callable[[], Any]


_Result = tuple["asyncio.Future[Any]", Any, Exception | None]


class Workers:
    """A bounded pool; serves any number of event loops."""

    def __init__(self, limit: int = 40, idle_seconds: float = 30.0) -> None:
        self.limit = limit
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._jobs: deque[_Job] = deque()
        self._put: int = 0
        self._taken: int = 0
        """The number of the job that was put last, and of the one that was taken last."""
        self._threads: int = 0
        self._awake: int = 0
        """Threads that work, or are about to look for work."""
        self._wakeups: SimpleQueue[None] = SimpleQueue()
        self._watching: set[asyncio.AbstractEventLoop] = set()
        """Loops with a timer that looks after the jobs which wait."""
        self._results: dict[asyncio.AbstractEventLoop, list[_Result]] = {}
        """Results on their way, for each loop that was told to fetch them."""

    @property
    def threads(self) -> int:
        """How many threads there are now."""
        return self._threads

    async def run(self, function: Callable[[], T]) -> T:
        """The result of the function, called in a thread with the caller's context variables."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        context = contextvars.copy_context()
        with self._lock:
            self._put += 1
            self._jobs.append(_Job(self._put, loop, future, context, function))
            alone = self._awake == 0
        if alone:
            self._wake(1)
        elif loop not in self._watching:
            self._watch(loop)
        return await future

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            # Loops that were closed in the meantime fetch nothing and tell nothing any more.
            self._watching = {each for each in self._watching if not each.is_closed()}
            self._results = {each: waiting for each, waiting in self._results.items() if not each.is_closed()}
        self._watching.add(loop)
        loop.call_later(_PATIENCE, self._look_after, loop, self._put)

    def _look_after(self, loop: asyncio.AbstractEventLoop, number: int) -> None:
        """Whether the job of that number, which waited behind others, was taken meanwhile."""
        self._watching.discard(loop)
        if not self._jobs or self._awake >= self.limit:
            return
        if self._taken < number:
            self._wake(len(self._jobs))
        self._watch(loop)

    def _wake(self, count: int) -> None:
        """Wake as many threads, or start them, as far as the bound allows. Raises RuntimeError where there is none."""
        with self._lock:
            count = min(count, self.limit - self._awake)
            start = max(0, count - (self._threads - self._awake))
            self._awake += count
            self._threads += start
        for _ in range(count - start):
            self._wakeups.put(None)
        for started in range(start):
            try:
                threading.Thread(target=self._work, name="headrace-worker", daemon=True).start()
            except RuntimeError:  # the system gives no more threads: those there are do the work
                with self._lock:
                    self._threads -= start - started
                    self._awake -= start - started
                    if not self._threads:
                        raise
                return

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.popleft()
            except IndexError:
                if self._sleep():
                    continue
                return
            self._taken = job.number
            self._run(job)
            del job  # or the last result would live as long as the thread is idle

    def _sleep(self) -> bool:
        """Wait for work; False where none came for so long that the thread ends."""
        with self._lock:
            if self._jobs:  # it came while this thread went to sleep
                return True
            self._awake -= 1
        try:
            self._wakeups.get(timeout=self._idle_seconds)
        except Empty:
            with self._lock:
                # One that was woken is counted as awake: somebody has to be.
                if self._awake < self._threads:
                    self._threads -= 1
                    return False
            self._wakeups.get()  # the message is on its way
        return True

    def _run(self, job: _Job) -> None:
        if job.future.cancelled():
            return
        result, error = None, None
        try:
            result = job.context.run(job.function)
        except StopIteration as stop:  # a future can't carry it
            error = RuntimeError(f"The function raised StopIteration({stop.value!r})")
        except Exception as raised:
            error = raised
        except BaseException as raised:  # sys.exit() in a tool must not end the server
            error = RuntimeError(f"The function raised {type(raised).__name__}")
        with self._lock:
            results = self._results.get(job.loop)
            if results is not None:
                results.append((job.future, result, error))
                return
            self._results[job.loop] = [(job.future, result, error)]
        try:
            job.loop.call_soon_threadsafe(self._settle, job.loop)
        except RuntimeError:  # the loop is closed: nobody waits
            with self._lock:
                self._results.pop(job.loop, None)

    def _settle(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            results = self._results.pop(loop, [])
        for future, result, error in results:
            if future.done():
                continue
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)


workers = Workers()
"""The pool of this process."""
