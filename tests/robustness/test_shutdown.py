"""SIGTERM with open streams and calls in flight, under every way a server is started.

Streams end properly: a completing response on `subscriptions/listen` (2026-07-28, Subscriptions, Graceful Closure),
and the last chunk on every body. Calls in flight finish. A call tells the test that it runs and waits for its word,
so nothing here depends on how long something takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from .programs import program
from .wire import SECONDS, Connection, encode_request, events, modern_headers, modern_meta

HERE = Path(__file__).parent
STREAMS = 25
CALLS = 5
STREAMS_ONLY_SECONDS = 5.0
"""From the signal to the exit, where only streams are open."""
CALLS_SECONDS = 5.0
"""From the last answer to the exit."""
STUCK_SECONDS = 15.0
"""From the signal to the exit, where a call does not end by itself: it has 10 s, uvicorn looks after 12."""

HEADRACE = (
    str(Path(sys.executable).parent / "headrace"),
    *("run", str(HERE / "shutdown_app.py"), "--transport", "http", "--port", "0"),
)
UVICORN = (sys.executable, "-m", "uvicorn", "--app-dir", str(HERE), "--port", "0", "--ws", "none")
COMMANDS: dict[str, tuple[Sequence[str], int]] = {
    "headrace run": (HEADRACE, 1),
    "uvicorn": ((*UVICORN, "shutdown_app:app"), 1),
    "uvicorn --workers 2": ((*UVICORN, "shutdown_app:app", "--workers", "2"), 2),
    "uvicorn --lifespan off": ((*UVICORN, "shutdown_app:app", "--lifespan", "off"), 0),
    "uvicorn --loop asyncio": ((*UVICORN, "shutdown_app:app", "--loop", "asyncio"), 1),
}
"""The command, and how many processes say that their lifespan has started."""
SSE_COMMANDS: dict[str, tuple[Sequence[str], int]] = {
    "headrace run": ((*HEADRACE, "--transport", "sse"), 1),
    "uvicorn": ((*UVICORN, "shutdown_app:sse_app"), 1),
}
HANDSHAKE = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
VERSION = "2025-11-25"


class Foreman:
    """Where calls say that they are at work."""

    def __init__(self) -> None:
        self._arrived: asyncio.Queue[int] = asyncio.Queue()
        self._writers: list[asyncio.StreamWriter] = []
        self.port = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls) -> AsyncIterator[Foreman]:
        self = cls()
        async with await asyncio.start_server(self._accept, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield self
            self.release()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self._arrived.put_nowait(int(await reader.readline()))

    async def all_at_work(self, count: int) -> None:
        async with asyncio.timeout(SECONDS):
            found = {await self._arrived.get() for _ in range(count)}
        assert found == set(range(count))

    def release(self) -> None:
        """The calls may end."""
        for writer in self._writers:
            writer.write(b"go\n")
            writer.close()
        self._writers.clear()


def message(id: int, method: str, params: dict[str, Any]) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).encode()


def send(connection: Connection, method: str, headers: dict[str, str], body: bytes = b"", path: str = "/mcp") -> None:
    connection.write(encode_request(method, path, {"host": "127.0.0.1", **headers}.items(), body))


def work(foreman: Foreman, number: int) -> dict[str, Any]:
    return {"name": "work", "arguments": {"port": foreman.port, "number": number}}


async def session(port: int) -> tuple[Connection, dict[str, str]]:
    """A session on a connection: what follows on the same connection reaches the same worker process."""
    connection = await Connection.open(port)
    params = {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    send(connection, "POST", HANDSHAKE, message(0, "initialize", params))
    opened = await connection.read()
    return connection, HANDSHAKE | {
        "mcp-session-id": opened.headers["mcp-session-id"],
        "mcp-protocol-version": VERSION,
    }


async def open_listen(port: int, id: int) -> Connection:
    connection = await Connection.open(port)
    params = {"notifications": {"toolsListChanged": True}, "_meta": modern_meta()}
    method = "subscriptions/listen"
    send(connection, "POST", modern_headers(method), message(id, method, params))
    status, headers = await connection.head()
    assert (status, headers["content-type"]) == (200, "text/event-stream")
    assert (await connection.event())["method"] == "notifications/subscriptions/acknowledged"
    return connection


async def open_get(port: int) -> Connection:
    connection, headers = await session(port)
    send(connection, "GET", headers)
    status, answered = await connection.head()
    assert (status, answered["content-type"]) == (200, "text/event-stream")
    return connection


async def open_call(port: int, foreman: Foreman, number: int) -> Connection:
    """In both eras by turns."""
    if number % 2:
        connection, headers = await session(port)
        send(connection, "POST", headers, message(1, "tools/call", work(foreman, number)))
    else:
        connection = await Connection.open(port)
        params = work(foreman, number) | {"_meta": modern_meta()}
        send(connection, "POST", modern_headers("tools/call", "work"), message(1, "tools/call", params))
    return connection


async def all_of(opening: list[Any]) -> list[Connection]:
    return list(await asyncio.gather(*opening))


async def listen_ended(connection: Connection, id: int) -> None:
    completing = await connection.event()
    assert completing["id"] == id
    assert completing["result"]["resultType"] == "complete"
    assert completing["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == id
    assert await connection.event() is None  # Broken where the last chunk is missing


async def streams_ended(listens: list[Connection], gets: list[Connection]) -> None:
    for id, connection in enumerate(listens):
        await listen_ended(connection, id)
    for connection in gets:
        assert await connection.event() is None
    for connection in (*listens, *gets):
        assert await connection.ended()
        await connection.close()


async def open_streams(port: int) -> tuple[list[Connection], list[Connection]]:
    listens = await all_of([open_listen(port, id) for id in range(STREAMS)])
    return listens, await all_of([open_get(port) for _ in range(STREAMS)])


@pytest.mark.parametrize("command", COMMANDS)
async def test_streams_end_and_calls_finish(command: str) -> None:
    async with program(*COMMANDS[command]) as server, Foreman.open() as foreman:
        listens, gets = await open_streams(server.port)
        calls = await all_of([open_call(server.port, foreman, number) for number in range(CALLS)])
        await foreman.all_at_work(CALLS)
        server.end(signal.SIGTERM)
        await streams_ended(listens, gets)
        foreman.release()
        for number, connection in enumerate(calls):
            answer = await connection.read()
            assert answer.status == 200
            assert answer.json()["result"]["structuredContent"] == {"result": f"done {number}"}
            await connection.close()
        await server.exited(CALLS_SECONDS, since=time.monotonic())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("command", COMMANDS)
async def test_where_only_streams_are_open_the_exit_is_quick(command: str, number: int) -> None:
    async with program(*COMMANDS[command]) as server:
        listens, gets = await open_streams(server.port)
        server.end(number)
        await streams_ended(listens, gets)
        await server.exited(STREAMS_ONLY_SECONDS)


async def test_a_call_that_does_not_end_is_answered_and_does_not_hold_the_exit() -> None:
    async with program(*COMMANDS["uvicorn"]) as server, Foreman.open() as foreman:
        calls = await all_of([open_call(server.port, foreman, number) for number in range(2)])
        await foreman.all_at_work(2)
        server.end(signal.SIGTERM)
        for connection in calls:
            answer = await connection.read()
            assert answer.json()["error"]["code"] == -32603
            await connection.close()
        await server.exited(STUCK_SECONDS)


# HTTP+SSE (2024-11-05): the stream is the session, and carries the answers


async def open_sse(port: int) -> tuple[Connection, str]:
    """A stream after its handshake, and where it takes messages."""
    connection = await Connection.open(port)
    send(connection, "GET", {"accept": "text/event-stream"}, path="/sse")
    status, _ = await connection.head()
    assert status == 200
    async with asyncio.timeout(SECONDS):
        (endpoint,) = events(await connection.chunk())
    path = endpoint.decode()
    params = {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    await post_sse(port, path, message(0, "initialize", params))
    assert (await connection.event())["result"]["protocolVersion"] == "2024-11-05"
    return connection, path


async def post_sse(port: int, path: str, body: bytes) -> None:
    async with await Connection.open(port) as connection:
        send(connection, "POST", {"content-type": "application/json"}, body, path)
        assert (await connection.read()).status == 202


@pytest.mark.parametrize("command", SSE_COMMANDS)
async def test_streams_of_http_sse_end_and_calls_finish(command: str) -> None:
    async with program(*SSE_COMMANDS[command]) as server, Foreman.open() as foreman:
        idle = [(await open_sse(server.port))[0] for _ in range(STREAMS)]
        busy: list[Connection] = []
        for number in range(CALLS):
            connection, path = await open_sse(server.port)
            await post_sse(server.port, path, message(1, "tools/call", work(foreman, number)))
            busy.append(connection)
        await foreman.all_at_work(CALLS)
        server.end(signal.SIGTERM)
        for connection in idle:
            assert await connection.event() is None
            await connection.close()
        foreman.release()
        for number, connection in enumerate(busy):
            answer = await connection.event()
            assert answer["result"]["content"][0]["text"] == f"done {number}"
            assert await connection.event() is None
            await connection.close()
        await server.exited(CALLS_SECONDS, since=time.monotonic())


@pytest.mark.parametrize("command", SSE_COMMANDS)
async def test_where_only_streams_of_http_sse_are_open_the_exit_is_quick(command: str) -> None:
    async with program(*SSE_COMMANDS[command]) as server:
        streams = [(await open_sse(server.port))[0] for _ in range(2 * STREAMS)]
        server.end(signal.SIGTERM)
        for connection in streams:
            assert await connection.event() is None
            assert await connection.ended()
            await connection.close()
        await server.exited(STREAMS_ONLY_SECONDS)
