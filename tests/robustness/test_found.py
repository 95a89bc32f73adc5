"""What generated requests once found, each by itself."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from headrace.exceptions import InvalidRequest, ParseError
from headrace.protocol.jsonrpc import decode
from headrace.transports.http.pace import Clocks, Limits
from headrace.transports.http.stream import Stream

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
