"""Clients of servers that die, stall, flood, or answer what was not asked: over real sockets, in both eras."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.client import Client
from headrace.client.transports import StdioTransport
from headrace.client.transports.base import Lost, Refused
from headrace.client.transports.repeating import ATTEMPTS, MAX_WAIT, retry_after, wait_before
from headrace.exceptions import ClientError

from .raw_http import DONE, HANDSHAKE, MODERN, Exchange, RawServer, raw_server

pytestmark = pytest.mark.usefixtures("no_tasks_left")
Eventually = Callable[[Callable[[], Any]], Awaitable[None]]
SECONDS = 10.0
ERAS = pytest.mark.parametrize("version", [MODERN, HANDSHAKE])
CONTENTS = {"resultType": "complete", "contents": [{"uri": "data://x", "text": "hey"}]}
LINE = 100 * 1024 * 1024


def on(method: str, fault: Callable[[Exchange], Awaitable[Any]]) -> Callable[[Exchange], Awaitable[bool | None]]:
    async def script(exchange: Exchange) -> bool | None:
        if exchange.method != method:
            return False
        await fault(exchange)
        return None

    return script


async def die(exchange: Exchange) -> None:
    exchange.die()


async def half_an_answer(exchange: Exchange) -> None:
    await exchange.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{")
    exchange.die()


async def half_a_stream(exchange: Exchange) -> None:
    await exchange.stream()
    await exchange.write(b": hello\n\ndata: {")
    exchange.die()


async def end_of_stream(exchange: Exchange) -> None:
    await exchange.stream()
    exchange.writer.close()


async def long_line(exchange: Exchange) -> None:
    await exchange.stream()
    await exchange.write(b"data: ")
    for _ in range(100):
        await exchange.write(b"x" * (LINE // 100))


async def long_body(exchange: Exchange) -> None:
    await exchange.write(
        f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {LINE}\r\n\r\n".encode()
    )
    for _ in range(100):
        await exchange.write(b" " * (LINE // 100))


async def long_event(exchange: Exchange) -> None:
    await exchange.stream()
    for _ in range(100):
        await exchange.write(b"data: " + b"x" * (LINE // 100) + b"\n")


async def bad_head(exchange: Exchange) -> None:
    await exchange.write(b"this is no HTTP\r\n\r\n")
    exchange.die()


FAULTS = [
    (die, "failed"),
    (half_an_answer, "failed"),
    (half_a_stream, "failed|without an answer"),
    (end_of_stream, "without an answer"),
    (long_line, "a line longer than"),
    (long_event, "an event larger than"),
    (long_body, "more than 33554432 bytes"),
    (bad_head, "failed"),
]


@ERAS
@pytest.mark.parametrize(("fault", "told"), FAULTS)
async def test_a_call_that_fails_is_told_and_not_repeated(fault: Any, told: str, version: str) -> None:
    async with raw_server(on("tools/call", fault)) as server, asyncio.timeout(SECONDS):
        async with Client(server.url, protocol_version=version) as client:
            with pytest.raises(ClientError, match=told):
                await client.call_tool("t")
            assert await client.ping()
        assert len(server.ids("tools/call")) == 1


@ERAS
async def test_what_changes_nothing_is_asked_again(version: str) -> None:
    async def script(exchange: Exchange) -> bool | None:
        if exchange.method != "resources/read":
            return False
        faults = {1: die, 2: half_a_stream}
        fault = faults.get(len(server.ids("resources/read")))
        await (fault(exchange) if fault is not None else exchange.result(CONTENTS))
        return None

    async with raw_server(script) as server, asyncio.timeout(SECONDS):
        async with Client(server.url, protocol_version=version) as client:
            assert (await client.read_resource("data://x"))[0].text == "hey"
        ids = server.ids("resources/read")
        assert len(ids) == len(set(ids)) == 3


async def test_it_is_not_asked_for_ever() -> None:
    async with raw_server(on("tools/list", die)) as server, asyncio.timeout(SECONDS):
        async with Client(server.url) as client:
            with pytest.raises(ClientError, match="failed"):
                await client.list_tools()
        assert len(server.ids("tools/list")) == ATTEMPTS


@pytest.mark.parametrize(
    ("method", "fields", "asked"),
    [
        ("tools/list", (), 2),
        ("tools/list", ("retry-after: 1",), 2),
        ("tools/list", ("retry-after: 3600",), 1),
        ("tools/call", ("retry-after: 0",), 1),
    ],
)
async def test_503(method: str, fields: tuple[str, ...], asked: int) -> None:
    async def script(exchange: Exchange) -> bool | None:
        if exchange.method != method:
            return False
        if len(server.ids(method)) == 1:
            await exchange.answer(503, b"busy", *fields, media="text/plain")
        else:
            await exchange.result({"resultType": "complete", "tools": []})
        return None

    async with raw_server(script) as server, asyncio.timeout(SECONDS), Client(server.url) as client:
        began = time.monotonic()
        do = client.list_tools() if method == "tools/list" else client.call_tool("t")
        if asked == 1:
            with pytest.raises(ClientError, match="503 Said: busy"):
                await do
        else:
            assert await do == []
            assert time.monotonic() - began >= (1 if fields else 0.1)
        assert len(server.ids(method)) == asked


async def test_a_restarted_server_gets_a_call_of_which_nothing_was_sent(eventually: Eventually) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.result(DONE)

    async with raw_server(on("tools/call", answer)) as server, asyncio.timeout(SECONDS):
        async with Client(server.url) as client:
            await server.stop()
            await eventually(lambda: not server.writers)
            calling = asyncio.create_task(client.call_tool("t"))
            await asyncio.sleep(0.05)  # it finds nobody
            await server.start()
            assert (await calling).text == "done"
        assert len(server.ids("tools/call")) == 1


@pytest.mark.parametrize("fault", [die, half_an_answer, half_a_stream])
async def test_a_server_that_dies_while_it_is_connected_to(fault: Any) -> None:
    async with raw_server(on("server/discover", fault)) as server, asyncio.timeout(SECONDS):
        with pytest.raises(ClientError, match=r"127\.0\.0\.1"):
            await Client(server.url).__aenter__()


@ERAS
@pytest.mark.parametrize("begun", [False, True], ids=["silent", "in a stream"])
async def test_a_server_that_stalls(version: str, begun: bool, eventually: Eventually) -> None:
    async def stall(exchange: Exchange) -> None:
        if begun:
            await exchange.stream()
        await exchange.hold()

    async with raw_server(on("tools/call", stall)) as server, asyncio.timeout(SECONDS):
        async with Client(server.url, protocol_version=version) as client:
            with pytest.raises(ClientError, match=r"did not answer tools/call within 0\.1 seconds"):
                await client.call_tool("t", timeout=0.1)
        server.script = on("initialize" if version == HANDSHAKE else "server/discover", stall)
        with pytest.raises(ClientError, match=r"did not answer within 0\.1 seconds"):
            await Client(server.url, protocol_version=version, timeout=0.1).__aenter__()


@ERAS
@pytest.mark.parametrize("what", ["notes", "answers"])
async def test_a_server_that_floods(version: str, what: str) -> None:
    note = b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}'
    answer = b'{"jsonrpc":"2.0","id":"unknown","result":{}}'

    async def flood(exchange: Exchange) -> None:
        await exchange.stream()
        events = (b"data: " + (note if what == "notes" else answer) + b"\n\n") * 50
        while True:
            await exchange.write(events)

    async with (
        raw_server(on("tools/call", flood)) as server,
        asyncio.timeout(SECONDS),
        Client(server.url, protocol_version=version) as client,
    ):
        began = time.monotonic()
        with pytest.raises(ClientError, match="within"):
            await client.call_tool("t", timeout=0.2)
        assert time.monotonic() - began < 3


@ERAS
async def test_answers_to_nobody_and_answers_twice(version: str) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.stream()
        for id in (999, f"{exchange.id}", exchange.id, exchange.id):
            await exchange.event(exchange.response(DONE, id))
        exchange.writer.close()

    async with raw_server(on("tools/call", answer)) as server, Client(server.url, protocol_version=version) as client:
        async with asyncio.timeout(SECONDS):
            for _ in range(3):
                assert (await client.call_tool("t")).text == "done"


async def test_answers_out_of_order() -> None:
    waiting: list[Exchange] = []

    async def answer(exchange: Exchange) -> None:
        waiting.append(exchange)
        if len(waiting) == 5:
            for each in reversed(waiting):
                text = each.message["params"]["arguments"]["text"]
                await each.result({"resultType": "complete", "content": [{"type": "text", "text": text}]})

    async with raw_server(on("tools/call", answer)) as server, Client(server.url) as client:
        calls = [client.call_tool("t", {"text": str(number)}) for number in range(5)]
        async with asyncio.timeout(SECONDS):
            assert [each.text for each in await asyncio.gather(*calls)] == ["0", "1", "2", "3", "4"]


# What is left


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors are counted in /proc")
async def test_a_hundred_failures_leave_nothing(eventually: Eventually) -> None:
    faults = [die, half_an_answer, half_a_stream, end_of_stream, bad_head]

    async def fault(exchange: Exchange) -> None:
        await faults[len(server.seen) % len(faults)](exchange)

    async def once(server: RawServer) -> None:
        client = Client(server.url, protocol_version=(MODERN, HANDSHAKE)[len(server.seen) % 2])
        async with client:
            with pytest.raises(ClientError):
                await client.call_tool("t")

    async with raw_server(on("tools/call", fault)) as server:
        await once(server)
        await eventually(lambda: not server.writers)
        before = descriptors()
        for _ in range(100):
            await once(server)
        await eventually(lambda: not server.writers)
        await eventually(lambda: descriptors() <= before)


STDIO = """
import json, sys
def say(**members):
    print(json.dumps({"jsonrpc": "2.0", **members}), flush=True)
held = []
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    id, method = message["id"], message["method"]
    result = {"resultType": "complete", "content": [{"type": "text", "text": str(id)}]}
    if method == "server/discover":
        say(id=id, result={"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {}})
    elif sys.argv[1] == "line":
        print("x" * 100 * 1024 * 1024, flush=True)
    elif sys.argv[1] == "flood":
        while True:
            say(id=999, result={})
            say(id="question", method="ping")
    elif sys.argv[1] == "half":
        sys.stdout.write("{")
        sys.stdout.flush()
        sys.exit(5)
    elif sys.argv[1] == "reverse":
        held.append((id, result))
        if len(held) == 3:
            for id, result in reversed(held):
                say(id=999, result=result)
                say(id=id, result=result)
                say(id=id, result={"content": 5})
            held.clear()
"""


@pytest.mark.parametrize(
    ("what", "told"),
    [("line", "more than 33554432 bytes"), ("flood", "within 0.5 seconds"), ("half", r"exit code 5")],
)
async def test_processes_that_misbehave(what: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(STDIO)
    async with asyncio.timeout(SECONDS), Client(StdioTransport(sys.executable, [str(file), what])) as client:
        with pytest.raises(ClientError, match=told):
            await client.call_tool("t", timeout=0.5 if what == "flood" else None)


async def test_a_process_that_answers_out_of_order_and_twice(tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(STDIO)
    async with asyncio.timeout(SECONDS), Client(StdioTransport(sys.executable, [str(file), "reverse"])) as client:
        for _ in range(2):
            answers = await asyncio.gather(*(client.call_tool("t") for _ in range(3)))
            numbers = [int(each.text) for each in answers]
            assert numbers == sorted(numbers)


# The waits


@pytest.mark.parametrize(
    ("value", "seconds"), [("5", 5.0), (" 0 ", 0.0), ("soon", None), ("-1", None), (None, None), ("²", None)]
)
async def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value) == seconds


async def test_retry_after_a_date() -> None:
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    late = retry_after("Wed, 21 Oct 2099 07:28:00 GMT")
    assert late is not None
    assert late > MAX_WAIT


async def test_waits_grow_and_end() -> None:
    lost = Lost("lost", sent=True)
    waits = [wait_before(attempt, "tools/list", lost, reached=True) for attempt in range(2, ATTEMPTS + 2)]
    assert waits[-1] is None
    bounds = zip(waits[:-1], (0.125, 0.25, 0.5), strict=True)
    assert all(wait is not None and least <= wait <= 2 * least for wait, least in bounds)
    assert wait_before(2, "tools/call", lost, reached=True) is None
    assert wait_before(2, "tools/call", Lost("", sent=False), reached=True) is not None
    assert wait_before(2, "tools/list", Lost("", sent=False), reached=False) is None
    assert wait_before(2, "tools/list", Refused("", 502), reached=True) is None
    assert wait_before(2, "tools/list", Refused("", 503, 7.0), reached=False) == 7.0
