"""What generated requests once found, each by itself."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import MutableMapping
from typing import Any

import pytest

from headrace.exceptions import InvalidRequest, ParseError
from headrace.protocol.jsonrpc import decode
from headrace.redaction import log_failure, secrets_of
from headrace.server.http1 import Limits as HeadLimits
from headrace.server.http1 import Refused, parse_head
from headrace.transports.http.pace import Clocks, Limits
from headrace.transports.http.stream import Stream

from .wire import SECONDS, Connection, serving

DEEP = b"[" * 70


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(DEEP + b'"' + b"a" * 200, id="a string without an end"),
        pytest.param(DEEP + b'"' + b'\\"' * 500_000, id="escaped quotes without an end"),
        pytest.param(DEEP + b'"a\\' * 500_000, id="quotes and backslashes"),
        pytest.param(b"[" * 3000, id="deep and not closed"),
        pytest.param(b"[" * 1_000_000 + b"]" * 1_000_000, id="deep and closed"),
        pytest.param(b'{"a":' * 300_000 + b"1" + b"}" * 300_000, id="deep objects"),
    ],
)
def test_a_hostile_body_is_refused_in_no_time(body: bytes) -> None:
    """The depth was once looked for with a pattern that went back and forth: one small body stopped the server."""
    with pytest.raises((ParseError, InvalidRequest)):
        decode(body)


def test_brackets_in_strings_do_not_nest() -> None:
    text = b'"' + b"[" * 100 + b'\\"' + b"{" * 100 + b'"'
    decode(b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":%b,"b":%b}}' % (text, text))


def test_a_long_number_beside_a_repeated_key() -> None:
    """Python refuses to convert integers of more than 4300 digits; looking for repeated keys must not."""
    number = b"9" * 5000
    decode(b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"id":%b}}' % number)
    with pytest.raises(InvalidRequest, match="twice"):
        decode(b'{"jsonrpc":"2.0","id":1,"method":"m","method":"m","params":{"id":%b}}' % number)


async def test_a_stream_that_is_aborted_before_its_first_byte_ends() -> None:
    """A client that left at once kept the server busy for ever."""

    async def send(message: MutableMapping[str, Any]) -> None:
        raise AssertionError("nothing is sent")

    async def gone() -> MutableMapping[str, Any]:
        return {"type": "http.disconnect"}

    stream = Stream(send, Clocks(Limits()))
    stream.open()
    async with asyncio.timeout(5):
        await stream.hold(gone)
    assert stream.closed


def test_a_request_line_is_never_taken_for_a_header_that_was_seen_before() -> None:
    """Each was remembered under its text, so one came out as the other and the parser broke."""
    line, host = b"GET / HTTP/1.1", b"Host: a"
    with pytest.raises(Refused):
        parse_head(b"\r\n".join([line, line, host]), HeadLimits(), {})
    seen: dict[bytes, Any] = {}
    parse_head(b"\r\n".join([line, host]), HeadLimits(), seen)
    with pytest.raises(Refused):
        parse_head(b"\r\n".join([host, host]), HeadLimits(), seen)


async def test_no_continue_in_the_middle_of_an_answer() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await receive()
        await send({"type": "http.response.body", "body": b"second"})

    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    async with serving(app, lifespan="off") as served, await Connection.open(served.port) as client:
        client.write(head)
        assert (await client.head())[0] == 200
        assert await client.chunk() == b"first"
        client.write(b"hi")
        assert await client.chunk() == b"second"


async def test_an_app_hears_that_the_client_of_a_large_body_has_left() -> None:
    """Reading was halted for the body, and never went on."""
    read, left = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            pass
        read.set()
        assert (await receive())["type"] == "http.disconnect"
        left.set()

    async with serving(app, lifespan="off") as served, asyncio.timeout(SECONDS):
        async with await Connection.open(served.port) as client:
            client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + bytes(200_000))
            await read.wait()
        await left.wait()


@pytest.mark.parametrize("text", ["0" * 19_000, "0" * 3_000_000, "secret 0000001x"])
@pytest.mark.parametrize("count", [200, 40_000])
def test_many_values_and_a_long_text_are_logged_in_no_time(
    text: str, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    """They were one pattern, which took seconds to compile; and what came after the first 2000 was not hidden."""
    values = ["0" * (2_000_000 // count) + f"{n}x" for n in range(count)] + ["secret", "0000001x"]
    secrets = secrets_of(json.dumps({"arguments": {"values": values}}).encode(), None)
    begun = time.perf_counter()
    log_failure(logging.getLogger("headrace.test"), ValueError(text), secrets, "failed")
    assert time.perf_counter() - begun < 2
    assert "secret" not in caplog.text
    assert "0000001x" not in caplog.text
