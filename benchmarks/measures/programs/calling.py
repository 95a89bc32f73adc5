"""What the clients here have in common: one call after the other, every answer checked, for so many seconds."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

__all__ = ["main"]

_WARM = 100


def main(
    server: Any,
    client: Callable[[Any], AbstractAsyncContextManager[Any]],
    sum_of: Callable[[Any, int, int], Awaitable[int]],
) -> None:
    """`client` of the server in memory, or of the URL that is the first argument; `sum_of` has it call `add`."""
    target, seconds = sys.argv[1:]
    told = asyncio.run(_counted(client(server if target == "memory" else target), sum_of, float(seconds)))
    print(json.dumps(told))


async def _counted(
    client: AbstractAsyncContextManager[Any], sum_of: Callable[[Any, int, int], Awaitable[int]], seconds: float
) -> dict[str, float]:
    async with client as connected:
        calls = -_WARM
        started = time.perf_counter()
        elapsed = 0.0
        while calls < 0 or elapsed < seconds:
            if calls == 0:
                started = time.perf_counter()
            answer = await sum_of(connected, calls, 3)
            if answer != calls + 3:
                sys.exit(f"a wrong answer: {answer!r}")
            calls += 1
            elapsed = time.perf_counter() - started
    return {"calls": calls, "seconds": elapsed}
