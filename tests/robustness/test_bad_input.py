"""Generated bad requests against a real server: never a 5xx, never a hang, always JSON-RPC, and nothing left behind.

``BAD_INPUT_COUNT`` and ``BAD_INPUT_SEED`` make it a longer run, or another one. A failure names the number of its case.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from .bad_input import HANDSHAKE_VERSIONS, Case, Generator, World, complaint
from .programs import Program, program
from .wire import Answer, Broken, Connection, encode_request, events, modern_headers, modern_meta

COUNT = int(os.environ.get("BAD_INPUT_COUNT", "20000"))
SEED = int(os.environ.get("BAD_INPUT_SEED", "1"))
CONNECTIONS = 16
MAX_GROWTH = 16 * 2**20
"""Bytes of memory that the server may grow by, once warm."""
WARM_UP = 0.5
"""The part of the requests after which the server is warm."""
KEPT = {
    "headrace.call.Encoded": 200,
    "headrace.components.elicitation.Form": 20,
    "headrace.protocol.downgrade._Plan": 200,
    "headrace.server.http.HostOriginGuardMiddleware": 4,
    "headrace.server.http.RequestContextMiddleware": 4,
    "headrace.transports.http.answer.Refuse": 2048,
}
"""What is made when first needed and then kept, and how many there may be: lists, forms, the guard's cache, ..."""
PATHS = ("/mcp", "/mcp", "/mcp", "/resumable/mcp")
SESSION = {"host": "127.0.0.1", "accept": "application/json, text/event-stream", "content-type": "application/json"}


class Offence(AssertionError):
    """An answer that must not be."""


class Run:
    """One era's requests, over some connections at a time."""

    def __init__(self, era: str, port: int) -> None:
        self.era = era
        self.port = port
        self.statuses: Counter[int] = Counter()
        self.codes: Counter[int] = Counter()
        self._worlds = {path: World() for path in PATHS}
        self._generators = {path: Generator(era, SEED, world) for path, world in self._worlds.items()}
        self._opened: set[tuple[str, str]] = set()
        """Path and id of every session there ever was."""

    async def send(self, numbers: range) -> None:
        """Raises Offence for the first answer that must not be, and leaves no session behind."""
        if self.era == "handshake":
            for path in self._worlds:
                for version in HANDSHAKE_VERSIONS:
                    await self._open_session(path, version)
        waiting = iter(numbers)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(CONNECTIONS):
                    group.create_task(self._work(waiting))
        except* Offence as offences:
            raise offences.exceptions[0] from None
        await self._end_sessions()

    async def _work(self, waiting: Iterator[int]) -> None:
        connection = await Connection.open(self.port)
        try:
            for number in waiting:
                path = PATHS[number % len(PATHS)]
                case = self._generators[path].case(number)
                try:
                    goes_on = await self._exchange(connection, path, case)
                except Offence as offence:
                    raise Offence(f"{offence}\n{self._told(path, case)}") from None
                except (Broken, TimeoutError, ValueError, OSError) as error:
                    raise Offence(f"{type(error).__name__}: {error}\n{self._told(path, case)}") from error
                if not goes_on:
                    await connection.close()
                    connection = await Connection.open(self.port)
        finally:
            await connection.close()

    def _told(self, path: str, case: Case) -> str:
        return (
            f"{self.era} case {case.number} of seed {SEED}: {case.method} {path}\n{case.headers}\n{case.body[:2000]!r}"
        )

    async def _exchange(self, connection: Connection, path: str, case: Case) -> bool:
        """Whether the connection can be used again."""
        connection.write(encode_request(case.method, path, case.headers, case.body))
        async with asyncio.timeout(20):
            status, headers = await connection.head()
            self.statuses[status] += 1
            if status >= 500:
                raise Offence(f"status {status}: {await connection.rest(headers)!r}")
            if status == 200 and "mcp-session-id" in headers and case.method == "POST":
                self._opened.add((path, headers["mcp-session-id"]))
            if headers.get("content-type") == "text/event-stream":
                return await self._stream(connection, path, case)
            body = await connection.rest(headers)
        if body:
            if headers.get("content-type") != "application/json":
                raise Offence(f"a body of type {headers.get('content-type')}: {body[:200]!r}")
            self._check(path, body)
        elif status >= 400:
            raise Offence(f"status {status} without a body")
        if case.method == "DELETE" and status == 200:
            for version in HANDSHAKE_VERSIONS:
                await self._open_session(path, version)
        return headers.get("connection") != "close"

    async def _stream(self, connection: Connection, path: str, case: Case) -> bool:
        """Every event is a message. A stream that waits for more than this request is left: it has no end."""
        if case.method == "GET":
            return False
        while piece := await connection.chunk():
            for line in piece.split(b"\n"):
                if line.startswith(b"id: "):
                    self._worlds[path].event_ids.append(line[4:].decode("latin-1"))
            for data in events(piece):
                message = self._check(path, data)
                if "method" in message and ("id" in message or message["method"].endswith("/acknowledged")):
                    return False
        return True

    def _check(self, path: str, body: bytes) -> Any:
        message = json.loads(body.decode())
        why = complaint(message)
        if why is not None:
            raise Offence(f"{why}: {body[:500]!r}")
        for each in message if isinstance(message, list) else [message]:
            self._worlds[path].remember(each)
            if "error" in each:
                self.codes[each["error"]["code"]] += 1
        return message

    async def _open_session(self, path: str, version: str) -> None:
        params = {
            "protocolVersion": version,
            "capabilities": {"elicitation": {}},
            "clientInfo": {"name": "b", "version": "1"},
        }
        body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
        async with await Connection.open(self.port) as connection:
            opened = await connection.request("POST", path, SESSION, json.dumps(body).encode())
        self._worlds[path].sessions[version] = id = opened.headers["mcp-session-id"]
        self._opened.add((path, id))

    async def _end_sessions(self) -> None:
        async with await Connection.open(self.port) as connection:
            for path, id in self._opened:
                ended = await connection.request("DELETE", path, {**SESSION, "mcp-session-id": id})
                assert ended.status in (200, 404)
        self._opened.clear()


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Program]:
    async with program((sys.executable, str(Path(__file__).parent / "bad_input_app.py")), 1) as server:
        yield server


async def inside(server: Program) -> dict[str, Any]:
    async with await Connection.open(server.port) as connection:
        return (await connection.request("GET", "/debug", {})).json()


async def settled(server: Program, before: dict[str, Any]) -> dict[str, Any]:
    """What the server says of its inside once it holds no more than before, or what is too much after a while:
    it hears of a client that left a moment later."""
    found: dict[str, Any] = {}
    try:
        async with asyncio.timeout(10):
            while not found or too_much(before, found):
                found = await inside(server)
    except TimeoutError:
        raise AssertionError(f"left behind: {too_much(before, found)}") from None
    return found


def too_much(before: dict[str, Any], now: dict[str, Any]) -> dict[str, int]:
    """Objects and tasks there are more of than before, by kind."""
    more = Counter(now["alive"]) - Counter(before["alive"]) + Counter(tasks=now["tasks"] - before["tasks"])
    return {kind: number for kind, number in more.items() if now["alive"].get(kind, number) > KEPT.get(kind, 0)}


async def answer(server: Program) -> Answer:
    """To a request that is in order."""
    params = {"name": "add", "arguments": {"a": 1, "b": 2}, "_meta": modern_meta()}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    async with await Connection.open(server.port) as connection:
        return await connection.request("POST", "/mcp", modern_headers("tools/call", "add"), json.dumps(body).encode())


@pytest.mark.timeout(60 + COUNT // 100)
@pytest.mark.parametrize("era", ["modern", "handshake"])
async def test_bad_input(era: str, server: Program) -> None:
    start = await inside(server)
    run = Run(era, server.port)
    warm = int(COUNT * WARM_UP)
    await run.send(range(warm))
    before = await settled(server, start)
    await run.send(range(warm, COUNT))
    after = await settled(server, before)
    assert after["rss"] - before["rss"] < MAX_GROWTH
    assert (await answer(server)).json()["result"]["structuredContent"] == {"result": 3}
    assert sum(run.statuses.values()) == COUNT
    print(f"\n{era}: {COUNT} requests, memory {before['rss'] >> 20} -> {after['rss'] >> 20} MiB")
    print(f"statuses {dict(sorted(run.statuses.items()))}, codes {dict(sorted(run.codes.items()))}")
    # Bent, but not so far that all of it is refused at the door.
    assert run.statuses[200] > COUNT // 10
    assert run.codes.keys() >= {-32700, -32600, -32601, -32602}


async def test_the_server_had_nothing_to_say(server: Program) -> None:
    """Nothing was raised that nobody had foreseen. Runs last: it ends the server."""
    server.end()
    await server.exited(5.0)
