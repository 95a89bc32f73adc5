"""Clients that are slow on purpose lose their connections in time, and are told why where they can still hear it.

Limits are turned down. A limit is kept to within a period of the clock, so nothing is said about how soon it acts.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headrace.server.uvicorn_protocol import HardenedProtocol, Limits

from ..certificates import self_signed
from .wire import SECONDS, Connection, serving

BIG = b"x" * 64 * 1024 * 1024
"""More than the kernel takes for a client that does not read."""

ESTABLISHED = b"\x01"
"""The first byte of TCP_INFO, while neither side has closed."""


class Impatient(HardenedProtocol):
    limits = Limits(
        head_seconds=0.3,
        body_seconds=0.6,
        body_grace_seconds=0.2,
        body_rate=1000,
        write_seconds=0.3,
        half_closed_seconds=0.2,
        linger_seconds=0.2,
    )


class App:
    """Answers with how long the body was; what it is asked for says how much it answers."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        """A client has left whose answer was not complete."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        size, message = 0, {"more_body": True}
        while message.get("more_body"):
            message = await receive()
            size += len(message.get("body", b""))
        if message["type"] == "http.disconnect":
            self.left.set()
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/stream":
            leaves = asyncio.create_task(receive())
            while not leaves.done():
                await send({"type": "http.response.body", "body": BIG[:100_000], "more_body": True})
            self.left.set()
        else:
            body = BIG if scope["path"] == "/big" else b"%d" % size
            await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def app() -> App:
    return App()


@pytest.fixture
async def port(app: App) -> AsyncIterator[int]:
    async with serving(app, http=Impatient, lifespan="off", timeout_keep_alive=1) as served:
        yield served.port


async def drip(connection: Connection, data: bytes, pause: float = 0.02) -> None:
    """A byte at a time, until the server has enough of it."""
    for byte in data:
        connection.write(bytes([byte]))
        await asyncio.sleep(pause)


HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n"


@pytest.mark.parametrize(
    ("begins", "drips", "what"),
    [
        (b"", HEAD * 100, "head"),
        (HEAD, b"X: y\r\n" * 1000, "head"),
        (HEAD + b"\r\n", b"x" * 1000, "body"),
        (
            HEAD.replace(b"Content-Length: 100000", b"Transfer-Encoding: chunked") + b"\r\n",
            b"1\r\nx\r\n" * 1000,
            "body",
        ),
        (HEAD + b"\r\n", b"", "body"),
        (HEAD, b"", "head"),
    ],
)
async def test_who_sends_slowly_is_told_so(begins: bytes, drips: bytes, what: str, port: int) -> None:
    async with await Connection.open(port) as connection:
        connection.write(begins)
        dripping = asyncio.create_task(drip(connection, drips))
        try:
            answer = await connection.read()
            assert (answer.status, answer.headers["connection"]) == (408, "close")
            assert what in answer.body.decode()
            assert await connection.ended()
        finally:
            dripping.cancel()


async def test_a_body_that_comes_at_the_rate_is_served(port: int) -> None:
    """20 bytes each 5 ms are four times what is asked for."""
    async with await Connection.open(port) as connection:
        connection.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(50):
            connection.write(b"x" * 20)
            await asyncio.sleep(0.005)
        assert (await connection.read()).body == b"1000"


@pytest.mark.parametrize("begins", [b"", b"\r\n"])
async def test_who_says_nothing_is_not_answered(begins: bytes, port: int) -> None:
    async with await Connection.open(port) as connection:
        connection.write(begins)
        assert await connection.ended()


async def test_an_idle_connection_is_kept_as_long_as_uvicorn_is_told(port: int) -> None:
    async with await Connection.open(port) as connection:
        for _ in range(3):
            connection.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await connection.read()).status == 200
            await asyncio.sleep(0.5)  # longer than a head may take
        assert await connection.ended()


@pytest.mark.skipif(sys.platform != "linux", reason="the state of a connection is Linux's")
@pytest.mark.parametrize(("path", "reads"), [("/big", 0), ("/big", 5), ("/stream", 0), ("/stream", 5)])
async def test_who_does_not_read_loses_the_connection(path: str, reads: int, app: App, port: int) -> None:
    """And who reads `reads` bytes at a time."""
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", port))
        await loop.sock_sendall(client, f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        async with asyncio.timeout(SECONDS):
            while client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == ESTABLISHED:
                if reads:
                    await loop.sock_recv(client, reads)
                await asyncio.sleep(0.02)
    if path == "/stream":
        async with asyncio.timeout(SECONDS):
            await app.left.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="what a client has got is Linux's to tell")
async def test_over_tls_only_who_does_not_read_loses_the_connection(app: App, tmp_path: Path) -> None:
    file = self_signed(tmp_path, "localhost")

    class Watching(HardenedProtocol):
        limits = Limits(write_seconds=0.1)

    def read_then_stop(port: int) -> None:
        with socket.socket() as plain:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            plain.settimeout(SECONDS)
            plain.connect(("127.0.0.1", port))
            with ssl.create_default_context(cafile=file).wrap_socket(plain, server_hostname="localhost") as client:
                client.sendall(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
                for _ in range(80):
                    assert client.recv(2000)
                    time.sleep(0.02)
                since = time.monotonic()
                while client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == ESTABLISHED:
                    assert time.monotonic() - since < SECONDS
                    time.sleep(0.02)

    async with serving(app, http=Watching, lifespan="off", ssl_certfile=str(file)) as served:
        await asyncio.to_thread(read_then_stop, served.port)


async def test_nobody_waits_for_the_slow_ones(port: int) -> None:
    """100 connections of slow heads, bodies and readers: others are served meanwhile, and all are gone soon after."""
    async with contextlib.AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(await Connection.open(port)) for _ in range(100)]
        for number, connection in enumerate(slow):
            connection.write((HEAD, HEAD + b"\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX")[number % 3])
        async with await Connection.open(port) as connection:
            for _ in range(20):
                connection.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                assert (await connection.read()).status == 200
        for each in slow:
            assert (await each.read()).status == 408
            assert await each.ended()
