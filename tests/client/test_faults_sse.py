"""What a server over HTTP+SSE can do wrong beyond `test_sse_client`: it stalls half-way, floods, talks nonsense."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from headrace.client import Client
from headrace.client.transports import SSETransport
from headrace.exceptions import ClientError

from ..soak.leftovers import nothing_left
from .raw_http import DONE, Exchange, raw_server
from .test_faults_http import HERE, LIMIT, NOTES, QUESTION, SECONDS, byte_by_byte, done
from .test_sse_client import Old

Piece = bytes | Callable[[Exchange], bytes]


@pytest.fixture(autouse=True)
async def _nothing_left() -> AsyncIterator[None]:
    async with nothing_left():
        yield


class Says:
    """Takes a call, and says these pieces on the stream: once, or again and again."""

    def __init__(self, *pieces: Piece, for_ever: bool = False, first: bool = False, die: bool = False) -> None:
        self.pieces = pieces
        self.for_ever = for_ever
        self.first = first
        self.die = die
        self.old = Old(tools__call=self)

    async def __call__(self, exchange: Exchange) -> None:
        if not self.first:
            await exchange.answer(202)
        stream = self.old.stream
        assert stream is not None
        pieces = b"".join(piece(exchange) if callable(piece) else piece for piece in self.pieces)
        await stream.write(pieces)
        while self.for_ever:
            await stream.write(pieces * 100)
            await asyncio.sleep(0)
        if self.die:
            stream.die()
        if self.first:
            await exchange.answer(202)


GARBAGE = b"data: {\n\ndata: [" + b"[" * 100_000 + b"\n\ndata: \xff\n\ndata: null\n\nevent: x\ndata: {}\n\n: x\n\nx\n\n"
ODD = {
    "garbage before": Says(GARBAGE, NOTES, done),
    "line ends of all kinds": Says(lambda exchange: byte_by_byte(exchange).removeprefix(b"\xef\xbb\xbf")),
    "the answer comes first": Says(done, first=True),
    "an endpoint again": Says(b"event: endpoint\ndata: /elsewhere\n\n", done),
    "an answer twice": Says(lambda exchange: b"data: " + exchange.response(DONE, 999) + b"\n\n", done, done),
}


@pytest.mark.parametrize("what", ODD)
async def test_what_is_odd_but_right_is_understood(what: str) -> None:
    async with raw_server(ODD[what].old) as server, asyncio.timeout(SECONDS):
        async with Client(SSETransport(server.url), log_handler=lambda _: None) as client:
            for _ in range(2):
                assert (await client.call_tool("t", progress_handler=lambda *_: None)).text == "done"
        assert {exchange.path for exchange in server.seen} == {"/mcp", "/post?session=1"}


async def stalls(exchange: Exchange) -> None:
    await exchange.hold()


async def half_answers(exchange: Exchange) -> None:
    await exchange.write(b"HTTP/1.1 202 OK\r\ncontent-length: 10\r\n\r\nx")
    await exchange.hold()


NEVER: dict[str, Old] = {
    "nothing comes": Says().old,
    "half an event": Says(b"data: {").old,
    "comments": Says(b": still here\n\n", for_ever=True).old,
    "progress": Says(NOTES, for_ever=True).old,
    "questions": Says(b"".join(QUESTION % number for number in range(100)), for_ever=True).old,
    "garbage": Says(b"data: x\n\n", for_ever=True).old,
    "the POST stalls": Old(tools__call=stalls),
    "the POST stalls half-way": Old(tools__call=half_answers),
}


@pytest.mark.parametrize("what", NEVER)
async def test_what_never_ends_is_given_up_in_time(what: str) -> None:
    async with raw_server(NEVER[what]) as server, asyncio.timeout(SECONDS):
        async with Client(SSETransport(server.url)) as client:
            began = time.monotonic()
            with pytest.raises(ClientError, match=rf"{HERE}.* did not answer tools/call within {LIMIT} seconds"):
                await client.call_tool("t", timeout=LIMIT)
        assert time.monotonic() - began < 8


@pytest.mark.parametrize("pieces", [(b"data: {",), (GARBAGE,)], ids=["half an event", "garbage"])
async def test_a_stream_that_breaks_off(pieces: tuple[bytes, ...]) -> None:
    async with raw_server(Says(*pieces, die=True).old) as server, asyncio.timeout(SECONDS):
        client = Client(SSETransport(server.url))
        for _ in range(2):  # it can be connected again
            async with client:
                for _ in range(2):
                    with pytest.raises(ClientError, match=rf"{HERE}.*(failed|ended)"):
                        await client.call_tool("t")


def begins(*pieces: bytes, for_ever: bool = False) -> Callable[[Exchange], Awaitable[None]]:
    async def answer(exchange: Exchange) -> None:
        await exchange.stream()
        for piece in pieces:
            await exchange.write(piece)
        while for_ever:
            await exchange.write(pieces[-1] * 100)
            await asyncio.sleep(0)
        await exchange.hold()

    return answer


async def half_a_head(exchange: Exchange) -> None:
    await exchange.write(b"HTTP/1.1 200 OK\r\ncontent-ty")
    await exchange.hold()


async def fails(exchange: Exchange) -> None:
    await exchange.answer(500, b"<html>", media="text/html")


async def dies(exchange: Exchange) -> None:
    exchange.die()


LATE = f"did not answer within {LIMIT} seconds"
BEGINNINGS: dict[str, tuple[Any, str]] = {
    "fails": (fails, "answered 500 Said: no stream of events"),
    "dies": (dies, "failed"),
    "half a head": (half_a_head, LATE),
    "half an endpoint": (begins(b"event: endpoint\ndata: /po"), LATE),
    "comments": (begins(b": x\n\n", for_ever=True), LATE),
    "a line without end": (
        begins(b"event: endpoint\ndata: ", b"x" * 100_000, for_ever=True),
        f"has a line longer|{LATE}",
    ),
    "no URL": (begins(b"event: endpoint\ndata: http://[::1\n\n"), "names an endpoint at something that is no URL"),
    "another scheme": (begins(b"event: endpoint\ndata: file:///etc/passwd\n\n"), "another origin"),
    "not UTF-8": (begins(b"event: endpoint\ndata: //\xff\xfe/\n\n"), "another origin|no URL"),
    "the POST is not there": (begins(b"event: endpoint\ndata: /post\n\n"), "answered 404"),
}


@pytest.mark.parametrize("what", BEGINNINGS)
async def test_a_beginning_that_is_none(what: str) -> None:
    begin, told = BEGINNINGS[what]

    async def script(exchange: Exchange) -> None:
        await (begin(exchange) if exchange.verb == "GET" else exchange.answer(404))

    async with raw_server(script) as server, asyncio.timeout(SECONDS):
        with pytest.raises(ClientError, match=f"{HERE}.*({told})"):
            await Client(SSETransport(server.url), init_timeout=LIMIT).__aenter__()
