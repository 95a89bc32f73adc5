"""What a server over stdio can do wrong: it is killed, stalls, floods, talks nonsense, leaves others behind. Each ends
in an error that names the server, within the timeout, or in the right result; and nothing is left of it."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headrace.client import Client
from headrace.client.transports import StdioTransport, stdio
from headrace.exceptions import ClientError

from ..soak.leftovers import nothing_left
from ..transports.test_stdio_client import gone
from .faulty_program import HANDSHAKE, MODERN

SECONDS = 20.0
LIMIT = 0.3
PROGRAM = Path(__file__).parent / "faulty_program.py"
ERAS = pytest.mark.parametrize("version", [MODERN, HANDSHAKE])
NAME = f"the server '{Path(sys.executable).name}'"


@pytest.fixture(autouse=True)
async def _nothing_left(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setattr(stdio, "_END_SECONDS", 0.3)
    async with nothing_left():
        yield


@pytest.fixture
def faulty(tmp_path: Path) -> Any:
    def make(how: str, when: str = "tools/call", **options: Any) -> Client:
        log = tmp_path / "stderr"
        return Client(StdioTransport(sys.executable, [str(PROGRAM), how, when], log_file=log), **options)

    return make


LONG = ("endless_line", "sent a message of more than 33554432 bytes")
GONE = [
    ("killed", r"\(exit code -9\)"),
    ("leaves", r"\(exit code 0\)"),
    ("orphans", r"\(exit code 7\)"),
    ("closes_stdout", ""),
    ("closes_both", ""),
]


@ERAS
@pytest.mark.parametrize(("how", "told"), GONE)
async def test_a_server_that_goes_away_in_a_call(how: str, told: str, version: str, faulty: Any) -> None:
    async with asyncio.timeout(SECONDS), faulty(how, protocol_version=version) as client:
        calls = [client.call_tool("t") for _ in range(3)]
        for failure in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(failure, ClientError)
            with pytest.raises(ClientError, match=f"{NAME} ended the connection ?{told}$"):
                raise failure
        with pytest.raises(ClientError):
            await client.ping()


@ERAS
@pytest.mark.parametrize(("how", "told"), [*GONE, LONG])
async def test_a_server_that_goes_away_at_the_beginning(how: str, told: str, version: str, faulty: Any) -> None:
    method = "server/discover" if version == MODERN else "initialize"
    client = faulty(how, method, protocol_version=version, init_timeout=2)
    async with asyncio.timeout(SECONDS):
        with pytest.raises(ClientError, match=rf"{NAME} .*{told}"):
            await client.__aenter__()
    assert not client.is_connected()


NEVER = [
    "stalls",
    "half_a_line",
    "floods_notes",
    "floods_questions",
    "floods_garbage",
    "deaf",
]


@ERAS
@pytest.mark.parametrize("how", NEVER)
async def test_what_never_ends_is_given_up_in_time(how: str, version: str, faulty: Any) -> None:
    async with asyncio.timeout(SECONDS), faulty(how, protocol_version=version) as client:
        began = time.monotonic()
        with pytest.raises(ClientError, match=f"{NAME} did not answer tools/call within {LIMIT} seconds"):
            await client.call_tool("t", timeout=LIMIT)
        assert time.monotonic() - began < 3


async def test_an_answer_that_can_not_be_read(faulty: Any) -> None:
    async with asyncio.timeout(SECONDS), faulty("nested") as client:
        for _ in range(2):
            with pytest.raises(ClientError, match=f"{NAME} sent an answer that can't be read: .*deeper than 64"):
                await client.call_tool("t")


async def test_a_line_without_end(faulty: Any) -> None:
    how, told = LONG
    async with asyncio.timeout(SECONDS), faulty(how) as client:
        for _ in range(2):
            with pytest.raises(ClientError, match=f"{NAME} {told}"):
                await client.call_tool("t")


@ERAS
async def test_a_server_that_does_not_listen(version: str, faulty: Any) -> None:
    async with asyncio.timeout(SECONDS), faulty("stalls", protocol_version=version) as client:
        for _ in range(2):
            with pytest.raises(ClientError, match="within"):
                await client.call_tool("t", {"x": "y" * 1_000_000}, timeout=LIMIT)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups")
async def test_what_a_dead_server_leaves_behind_ends_too(faulty: Any, tmp_path: Path) -> None:
    async with asyncio.timeout(SECONDS), faulty("orphans") as client:
        with pytest.raises(ClientError, match="exit code 7"):
            await client.call_tool("t")
        await gone(int((tmp_path / "stderr").read_text()))


@ERAS
@pytest.mark.parametrize("how", ["garbage", "in_bytes", "twice", "floods_stderr"])
async def test_what_is_odd_but_right_is_understood(how: str, version: str, faulty: Any) -> None:
    async with asyncio.timeout(SECONDS), faulty(how, protocol_version=version, log_handler=lambda _: None) as client:
        for _ in range(2):
            assert (await client.call_tool("t")).text == "done"
        assert await client.ping() or version == MODERN


async def test_a_large_answer(faulty: Any) -> None:
    async with asyncio.timeout(SECONDS), faulty("large") as client:
        assert len((await client.call_tool("t")).text) == 20_000_000


async def test_a_hundred_answers_in_the_wrong_order(faulty: Any) -> None:
    async with asyncio.timeout(SECONDS), faulty("reverse") as client:
        answers = [int(each.text) for each in await asyncio.gather(*(client.call_tool("t") for _ in range(100)))]
    assert answers == sorted(answers)
    assert len(set(answers)) == 100


async def test_a_result_that_does_not_fit(faulty: Any) -> None:
    async with asyncio.timeout(SECONDS), faulty("does_not_fit") as client:
        with pytest.raises(ClientError, match=f"{NAME} answered tools/call with what does not fit"):
            await client.call_tool("t")
        with pytest.raises(ClientError, match="does not fit"):
            await client.call_tool("t")
