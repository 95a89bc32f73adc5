"""The worker pool: context, errors, bounds, cancellation, several loops."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time

import pytest

from headrace.components.workers import Workers

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")


async def test_runs_in_another_thread_with_the_context() -> None:
    variable.set("mine")
    pool = Workers(limit=2)
    assert await pool.run(threading.get_ident) != threading.get_ident()
    assert await pool.run(variable.get) == "mine"


@pytest.mark.parametrize(
    ("raised", "arrives"),
    [(KeyError("x"), KeyError), (StopIteration(1), RuntimeError), (SystemExit(1), RuntimeError)],
)
async def test_errors(raised: BaseException, arrives: type[BaseException]) -> None:
    def fail() -> None:
        raise raised

    with pytest.raises(arrives):
        await Workers(limit=1).run(fail)


async def test_bounded_and_concurrent() -> None:
    pool = Workers(limit=3)
    running, most, lock = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1

    await asyncio.gather(*(pool.run(work) for _ in range(9)))
    assert most == 3
    assert pool.threads == 3


async def test_a_waiting_thread_is_used_before_another_is_started() -> None:
    pool = Workers(limit=10)
    for _ in range(20):
        await pool.run(int)
    assert pool.threads <= 2  # a thread says that it waits a moment after its result has arrived


async def test_idle_threads_end() -> None:
    pool = Workers(limit=4, idle_seconds=0.05)
    await asyncio.gather(*(pool.run(lambda: time.sleep(0.01)) for _ in range(4)))
    for _ in range(100):
        if not pool.threads:
            break
        await asyncio.sleep(0.02)
    assert pool.threads == 0
    assert await pool.run(lambda: 3) == 3


async def test_cancelling_is_honest() -> None:
    pool = Workers(limit=1)
    done = threading.Event()
    task = asyncio.create_task(pool.run(lambda: (time.sleep(0.05), done.set())))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not done.is_set()  # the thread runs on
    assert await pool.run(lambda: 1) == 1
    assert done.is_set()


async def test_a_job_cancelled_before_its_turn_does_not_run() -> None:
    pool = Workers(limit=1)
    ran: list[int] = []
    first = asyncio.create_task(pool.run(lambda: time.sleep(0.03)))
    second = asyncio.create_task(pool.run(lambda: ran.append(1)))
    await asyncio.sleep(0.005)
    second.cancel()
    await first
    await pool.run(int)
    assert ran == []


def test_many_loops() -> None:
    pool = Workers(limit=2)

    async def ask() -> int:
        return await pool.run(lambda: 5)

    assert [asyncio.run(ask()) for _ in range(3)] == [5, 5, 5]
