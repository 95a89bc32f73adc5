"""Slow heads, slow bodies and slow readers at once, from slowhttptest: others are served meanwhile, and all of them
lose their connections. 1,000 connections and the limits as they are in `make soak`; 102, and a tenth of the time, in
`make test`, which says nothing about speed."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ..conftest import missing
from ..robustness.programs import program
from ..robustness.wire import Connection, modern_headers, modern_meta

SOAK = bool(os.environ.get("HEADRACE_SOAK"))
CONNECTIONS = 334 if SOAK else 34
"""Of each kind."""
DIVISOR = 1 if SOAK else 10
REAPED_SECONDS = 40.0
QUIET_SECONDS = 5.0 if SOAK else 0.2
CLIENTS = 4
TRIES = 3
KINDS = {
    "slow heads": ("-H", "/mcp"),
    "slow bodies": ("-B", "/mcp"),
    "slow readers": ("-X", "/large", "-w", "512", "-y", "1024", "-n", "1", "-z", "5"),
}

pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.skipif(sys.platform != "linux", reason="connections are counted in /proc"),
]


def connected(port: int) -> int:
    """The connections that the server at `port` has."""
    count = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, _, state = line.split()[1:4]
        count += local.endswith(f":{port:04X}") and state == "01"
    return count


async def calls(port: int, until: asyncio.Event) -> list[float]:
    """How long each call took, one after the other, in seconds."""
    params = {"name": "add", "arguments": {"a": 1, "b": 2}, "_meta": modern_meta()}
    message = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    took: list[float] = []
    async with await Connection.open(port) as connection:
        while not until.is_set():
            begun = time.perf_counter()
            answer = await connection.request("POST", "/mcp", modern_headers("tools/call", "add"), message)
            took.append(time.perf_counter() - begun)
            assert answer.json()["result"]["structuredContent"] == {"result": 3}
            await asyncio.sleep(0.002)
    return took


async def quiet(port: int) -> list[float]:
    until = asyncio.Event()
    calling = asyncio.gather(*(calls(port, until) for _ in range(CLIENTS)))
    await asyncio.sleep(QUIET_SECONDS)
    until.set()
    return [each for found in await calling for each in found]


async def attacker(command: str, port: int, kind: Sequence[str]) -> asyncio.subprocess.Process:
    how, path, *more = kind
    return await asyncio.create_subprocess_exec(
        *(command, how, "-c", str(CONNECTIONS), "-r", str(CONNECTIONS), "-i", "1", "-l", "240", *more),
        *("-u", f"http://127.0.0.1:{port}{path}"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        preexec_fn=elsewhere,
    )


def elsewhere() -> None:
    """Attackers have machines of their own: here they get what is left of one core."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.nice(19)


async def attack(command: str, port: int) -> tuple[list[float], float]:
    """How long calls took meanwhile, and how long it took until all the attackers' connections were gone."""
    until, begun = asyncio.Event(), time.monotonic()
    attackers = [await attacker(command, port, kind) for kind in KINDS.values()]
    try:
        calling = asyncio.gather(*(calls(port, until) for _ in range(CLIENTS)))
        # They come within a second or two, and those that came first may be gone by then.
        async with asyncio.timeout(20):
            while connected(port) < CONNECTIONS:  # noqa: ASYNC110 - the kernel does not tell
                await asyncio.sleep(0.02)
        # Each attacker also looks, on one connection more, whether the server still answers.
        async with asyncio.timeout(REAPED_SECONDS * 2):
            while connected(port) > CLIENTS + len(KINDS) or time.monotonic() - begun < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.5)
        reaped = time.monotonic() - begun
        until.set()
        return [each for found in await calling for each in found], reaped
    finally:
        for each in attackers:
            if each.returncode is None:
                each.terminate()
            await each.wait()


def p99(took: list[float]) -> float:
    return statistics.quantiles(took, n=100)[-1]


async def test_slow_clients_do_not_delay_others_and_are_gone_soon(
    record_property: Callable[[str, object], None],
) -> None:
    command = shutil.which("slowhttptest") or missing("slowhttptest, a package of the distribution")
    server = (sys.executable, str(Path(__file__).parent / "attacked.py"), str(DIVISOR))
    async with program(server, 0) as running:
        port, said = running.port, ""
        for attempt in range(TRIES):
            before = p99(await quiet(port))
            took, reaped = await attack(command, port)
            during = p99(took)
            said = f"p99 {before * 1000:.1f} ms quiet, {during * 1000:.1f} ms attacked; all gone after {reaped:.1f} s"
            print(said)
            record_property(f"attempt {attempt + 1}", said)
            if not SOAK or (during < 2 * before and reaped < REAPED_SECONDS):
                break
        else:
            pytest.fail(said)
        running.end()
        await running.exited(20)
