"""The pool of threads in which sync functions run.

A queue and `call_soon_threadsafe` cost about 5 us a hop, a tenth of `run_in_executor`. Threads are started on
demand up to a bound and end when idle. Cancelling the waiting coroutine does not stop a thread: it runs on to
its end and its result is dropped.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

__all__ = ["Workers", "workers"]

T = TypeVar("T")

_Job = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", contextvars.Context, Callable[[], Any]]


class Workers:
    """A bounded pool; serves any number of event loops."""

    def __init__(self, limit: int = 40, idle_seconds: float = 30.0) -> None:
        self.limit = limit
        self._idle_seconds = idle_seconds
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._lock = threading.Lock()
        self._queued = 0
        """Jobs that no thread has taken yet."""
        self._waiting = 0
        """Threads that wait for a job, those just started included."""
        self._threads = 0

    @property
    def threads(self) -> int:
        """How many threads there are now."""
        return self._threads

    async def run(self, function: Callable[[], T]) -> T:
        """The result of the function, called in a thread with the caller's context variables."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._lock:
            self._queued += 1
            start = self._queued > self._waiting and self._threads < self.limit
            if start:
                self._threads += 1
                self._waiting += 1
        self._jobs.put((loop, future, contextvars.copy_context(), function))
        if start:
            self._start()
        return await future

    def _start(self) -> None:
        try:
            threading.Thread(target=self._work, name="headrace-worker", daemon=True).start()
        except RuntimeError:  # the system gives no more threads: those there are do the work
            with self._lock:
                self._threads -= 1
                self._waiting -= 1
                if not self._threads:
                    raise

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=self._idle_seconds)
            except Empty:
                with self._lock:
                    if self._queued < self._waiting:
                        self._threads -= 1
                        self._waiting -= 1
                        return
                continue  # someone counts on this thread: the job is on its way
            with self._lock:
                self._queued -= 1
                self._waiting -= 1
            _run(job)
            del job  # or the last result would live as long as the thread is idle
            with self._lock:
                self._waiting += 1


def _run(job: _Job) -> None:
    loop, future, context, function = job
    if future.cancelled():
        return
    result, error = None, None
    try:
        result = context.run(function)
    except StopIteration as stop:  # a future can't carry it
        error = RuntimeError(f"The function raised StopIteration({stop.value!r})")
    except Exception as raised:
        error = raised
    except BaseException as raised:  # sys.exit() in a tool must not end the server
        error = RuntimeError(f"The function raised {type(raised).__name__}")
    try:
        loop.call_soon_threadsafe(_settle, future, result, error)
    except RuntimeError:  # the loop is closed: nobody waits
        pass


def _settle(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


workers = Workers()
"""The pool of this process."""
