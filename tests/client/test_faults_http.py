"""What a server over HTTP can do wrong beyond `test_http_faults`: it stalls half-way, floods, talks nonsense. Each ends
in an error that names the server, within the timeout, or in the right result; then the client works on, and nothing
is left of it."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from headrace.client import Client
from headrace.exceptions import ClientError, McpError

from ..soak.leftovers import nothing_left
from .raw_http import DONE, HANDSHAKE, INITIALIZED, MODERN, Exchange, raw_server
from .test_http_faults import die, on

SECONDS = 20.0
LIMIT = 0.2
HERE = r"http://127\.0\.0\.1"
ERAS = pytest.mark.parametrize("version", [MODERN, HANDSHAKE])
Fault = Callable[[Exchange], Awaitable[Any]]


@pytest.fixture(autouse=True)
async def _nothing_left() -> AsyncIterator[None]:
    async with nothing_left():
        yield


def body(data: bytes | Callable[[Exchange], bytes], status: int = 200, *fields: str, media: str = "") -> Fault:
    async def answer(exchange: Exchange) -> None:
        found = data(exchange) if callable(data) else data
        await exchange.answer(status, found, *fields, media=media or "application/json")

    return answer


def head(*lines: str, rest: bytes = b"", die: bool = True) -> Fault:
    """These lines for a head, and no more after the rest."""

    async def answer(exchange: Exchange) -> None:
        await exchange.write("\r\n".join([*lines, "", ""]).encode() + rest)
        await (asyncio.sleep(0) if not die else _close(exchange))

    return answer


async def _close(exchange: Exchange) -> None:
    exchange.writer.close()


def said(**members: Any) -> Callable[[Exchange], bytes]:
    """A message with the id of the request, unless it says otherwise."""

    def make(exchange: Exchange) -> bytes:
        return msgspec.json.encode({"jsonrpc": "2.0", "id": exchange.id, **members})

    return make


def events(*pieces: bytes | Callable[[Exchange], bytes], hold: bool = False) -> Fault:
    """A stream of these bytes; where it does not hold it ends."""

    async def answer(exchange: Exchange) -> None:
        await exchange.stream()
        for piece in pieces:
            await exchange.write(piece(exchange) if callable(piece) else piece)
        await (exchange.hold() if hold else _close(exchange))

    return answer


def endless(head: bytes, piece: bytes | Callable[[Exchange], bytes]) -> Fault:
    """Until the client has had enough."""

    async def answer(exchange: Exchange) -> None:
        await exchange.write(head)
        pieces = (piece(exchange) if callable(piece) else piece) * 100
        while True:
            await exchange.write(pieces)
            await asyncio.sleep(0)

    return answer


def done(exchange: Exchange) -> bytes:
    return b"data: " + exchange.response(DONE) + b"\n\n"


async def half_a_head(exchange: Exchange) -> None:
    await exchange.write(b"HTTP/1.1 200 OK\r\ncontent-type")


JSON = "HTTP/1.1 200 OK", "content-type: application/json"
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
NO_MESSAGE = "no JSON-RPC message"
NONSENSE: dict[str, tuple[Fault, str]] = {
    "empty": (body(b""), NO_MESSAGE),
    "half": (body(b'{"jsonrpc":"2.0"'), NO_MESSAGE),
    "null": (body(b"null"), NO_MESSAGE),
    "number": (body(b"5"), NO_MESSAGE),
    "list": (body(b"[]"), NO_MESSAGE),
    "no members": (body(b"{}"), NO_MESSAGE),
    "not UTF-8": (body(b'{"jsonrpc":"2.0","id":1,"result":{"x":"\xff"}}'), NO_MESSAGE),
    "nested": (body(b'{"jsonrpc":"2.0","id":1,"result":' + b"[" * 1_000_000), "nested deeper"),
    "nested objects": (body(b'{"a":' * 100_000), "nested deeper"),
    "huge number": (body(b'{"jsonrpc":"2.0","id":' + b"9" * 100_000 + b',"result":{}}'), NO_MESSAGE),
    "not a number": (body(b'{"jsonrpc":"2.0","id":NaN,"result":{}}'), NO_MESSAGE),
    "another version": (body(said(jsonrpc="1.0", result=DONE)), NO_MESSAGE),
    "neither result nor error": (body(said()), NO_MESSAGE),
    "result of another type": (body(said(result=[1])), NO_MESSAGE),
    "error of another type": (body(said(error="no")), NO_MESSAGE),
    "code of another type": (body(said(error={"code": "x", "message": "no"})), NO_MESSAGE),
    "unknown id": (body(said(id="unknown", result=DONE)), "does not answer the request"),
    "its id as text": (body(lambda e: e.response(DONE, f"{e.id}")), "does not answer the request"),
    "a question": (body(said(id=7, method="ping")), "does not answer the request"),
    "HTML": (body(b"<html>", media="text/html"), "answered 200 without a message"),
    "accepted": (body(b"", 202), NO_MESSAGE),
    "HTML of an error": (body(b"<html>", 502, media="text/html"), "answered 502 Said$"),
    "a redirect to itself": (body(b"", 307, "location: /mcp"), "answered 307"),
    "a redirect elsewhere": (body(b"", 308, "location: http://localhost:1/"), "another origin"),
    "a redirect to nowhere": (body(b"", 307, "location: http://[::1"), "no URL"),
    "not compressed": (body(b"no gzip", 200, "content-encoding: gzip"), "can.t be decompressed"),
    "a bomb": (body(gzip.compress(bytes(100 * 1024 * 1024), 1), 200, "content-encoding: gzip"), "more than 33554432"),
    "a length that is none": (head(*JSON, "content-length: x"), "failed"),
    "a chunk that is none": (head(*JSON, "transfer-encoding: chunked", rest=b"xyz\r\n{}\r\n"), "failed"),
    "a long head": (head(*JSON, f"x: {'x' * 1_000_000}"), "failed"),
    "an event that is none": (events(b"data: {\n\n"), NO_MESSAGE),
    "an event not in UTF-8": (events(b'data: {"jsonrpc":"2.0","method":"\xff"}\n\n'), NO_MESSAGE),
    "an event nested": (events(b"data: " + b"[" * 1_000_000 + b"\n\n"), "no JSON-RPC message.*nested"),
    "events of no interest": (events(b"event: other\ndata: {}\n\n: x\n\nretry: x\n\nx\n\n"), "without an answer"),
}


@ERAS
@pytest.mark.parametrize("what", NONSENSE)
async def test_nonsense_for_an_answer_is_told(what: str, version: str) -> None:
    fault, told = NONSENSE[what]
    async with raw_server(on("tools/call", fault)) as server, asyncio.timeout(SECONDS):
        async with Client(server.url, protocol_version=version) as client:
            with pytest.raises(ClientError, match=rf"(?s){HERE}.*{told}"):
                await client.call_tool("t", timeout=SECONDS)
            assert await client.ping()
        assert len(server.ids("tools/call")) == (2 if what.startswith("a redirect to itself") else 1)


@ERAS
@pytest.mark.parametrize("what", NONSENSE)
async def test_nonsense_at_the_beginning_is_told(what: str, version: str) -> None:
    fault, _ = NONSENSE[what]
    method = "server/discover" if version == MODERN else "initialize"
    async with raw_server(on(method, fault)) as server, asyncio.timeout(SECONDS):
        client = Client(server.url, protocol_version=version)
        with pytest.raises(ClientError, match=HERE):
            await client.__aenter__()
        assert not client.is_connected()
        server.script = on("tools/call", body(lambda e: e.response(DONE)))
        async with client:
            assert (await client.call_tool("t")).text == "done"


@ERAS
@pytest.mark.parametrize(
    ("result", "told"),
    [
        ({"content": 5}, "answered tools/call with what does not fit"),
        ({"content": [{"type": "text"}]}, "answered tools/call with what does not fit"),
        ({"content": [], "isError": "x"}, "answered tools/call with what does not fit"),
    ],
)
async def test_results_that_do_not_fit(result: Any, told: str, version: str) -> None:
    fault = body(said(result=result))
    async with raw_server(on("tools/call", fault)) as server, Client(server.url, protocol_version=version) as client:
        with pytest.raises(ClientError, match=rf"{HERE}.*{told}"):
            await client.call_tool("t", timeout=SECONDS)


async def test_errors_with_all_kinds_of_data_are_told() -> None:
    error = {"code": -1, "message": "no \u202e\x00" + "x" * 100_000, "data": {"deep": [[["x"]]]}}
    async with raw_server(on("tools/call", body(said(error=error)))) as server, asyncio.timeout(SECONDS):
        async with Client(server.url) as client:
            with pytest.raises(McpError) as raised:
                await client.call_tool("t")
        assert (raised.value.code, raised.value.data) == (-1, error["data"])


def byte_by_byte(exchange: Exchange) -> bytes:
    return b"\xef\xbb\xbf: hello\r\rid: 1\rdata: " + exchange.response(DONE).replace(b",", b"\rdata: ,") + b"\r\r"


def note(method: str, params: Any) -> bytes:
    return b"data: " + msgspec.json.encode({"jsonrpc": "2.0", "method": method, "params": params}) + b"\n\n"


NOTES = b"".join(
    note(f"notifications/{method}", params)
    for method, params in [
        ("progress", {}),
        ("progress", {"progressToken": "unknown", "progress": 1}),
        ("progress", {"progressToken": [], "progress": "x"}),
        ("message", {"level": 5}),
        ("cancelled", {"requestId": {}}),
        ("cancelled", {"requestId": 1}),
        ("resources/updated", {"uri": 5}),
        ("tools/list_changed", {"x": "y" * 100_000}),
        ("unheard", {}),
    ]
)
ODD: dict[str, Fault] = {
    "line ends, comments, a mark": events(byte_by_byte),
    "notes that do not fit": events(NOTES, done),
    "ten thousand comments": events(b": x\n\n" * 10_000, done),
    "answers to nobody": events(lambda e: b"data: " + e.response(DONE, 999) + b"\n\n", done),
    "a question nobody asks": events(lambda e: b"data: " + said(id=5, method="what/ever")(e) + b"\n\n", done),
    "a question twice": events(b'data: {"jsonrpc":"2.0","id":5,"method":"ping"}\n\n' * 2, done),
    "an answer with more after it": events(done, b"data: {\n\n" + b"x" * 100_000),
    "an answer, and no end": events(done, hold=True),
    "members nobody knows": body(said(result={**DONE, "x": [1, {"y": None}]}, extra=True)),
    "blanks": body(lambda e: b" \n" * 100_000 + e.response(DONE) + b"\t" * 100_000),
    "an announcement before": head("HTTP/1.1 103 Early Hints", "link: </x>", die=False),
}


@ERAS
@pytest.mark.parametrize("what", ODD)
async def test_what_is_odd_but_right_is_understood(what: str, version: str) -> None:
    async def answer(exchange: Exchange) -> None:
        await ODD[what](exchange)
        if what.startswith("an announcement"):
            await exchange.result(DONE)

    async with (
        raw_server(on("tools/call", answer)) as server,
        Client(server.url, protocol_version=version, log_handler=lambda _: None) as client,
    ):
        for _ in range(2):
            called = await client.call_tool("t", timeout=SECONDS, progress_handler=lambda *_: None)
            assert called.text == "done"


async def test_an_answer_in_single_bytes() -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.stream()
        for byte in b": x\n" + byte_by_byte(exchange).removeprefix(b"\xef\xbb\xbf"):
            await exchange.write(bytes([byte]))
            await asyncio.sleep(0)
        exchange.writer.close()

    async with raw_server(on("tools/call", answer)) as server, asyncio.timeout(SECONDS), Client(server.url) as client:
        assert (await client.call_tool("t")).text == "done"


# What never ends


PROGRESS = note("notifications/progress", {"progressToken": 2, "progress": 1})
QUESTION = b'data: {"jsonrpc":"2.0","id":"%d","method":"ping"}\n\n'
NEVER: dict[str, Fault] = {
    "a head, and no body": head(*JSON, "content-length: 100", die=False),
    "half a body": head(*JSON, "content-length: 100", rest=b'{"jsonrpc"', die=False),
    "half a head": half_a_head,
    "half an event": events(b'data: {"jsonrpc', hold=True),
    "an error without its body": head("HTTP/1.1 404 No", "content-length: 100", die=False),
    "comments": endless(STREAM, b": still here\n\n"),
    "progress": endless(STREAM, PROGRESS),
    "events of no interest": endless(STREAM, b"event: other\ndata: x\n\n"),
    "ids": endless(STREAM, b"id: 1\n\n"),
    "empty chunks": endless(STREAM.replace(b"\r\n\r\n", b"\r\ntransfer-encoding: chunked\r\n\r\n"), b"1\r\n\n\r\n"),
    "questions": endless(STREAM, b"".join(QUESTION % number for number in range(100))),
}


@ERAS
@pytest.mark.parametrize("what", NEVER)
async def test_what_never_ends_is_given_up_in_time(what: str, version: str) -> None:
    async with (
        raw_server(on("tools/call", NEVER[what])) as server,
        Client(server.url, protocol_version=version, timeout=SECONDS) as client,
    ):
        began = time.monotonic()
        with pytest.raises(ClientError, match=rf"{HERE}.* did not answer tools/call within {LIMIT} seconds"):
            await client.call_tool("t", timeout=LIMIT, progress_handler=lambda *_: None)
        assert time.monotonic() - began < 5
        assert await client.ping()


async def test_announcements_without_end_have_a_limit() -> None:
    fault = endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n")
    async with raw_server(on("tools/call", fault)) as server, asyncio.timeout(SECONDS), Client(server.url) as client:
        with pytest.raises(ClientError, match=f"{HERE}.*more than 102400 bytes that are no body"):
            await client.call_tool("t")
        assert await client.ping()


async def test_a_body_without_end_has_a_limit() -> None:
    fault = endless("\r\n".join([*JSON, "", ""]).encode(), b" " * 10_000)
    async with raw_server(on("tools/call", fault)) as server, asyncio.timeout(SECONDS), Client(server.url) as client:
        with pytest.raises(ClientError, match=f"{HERE}.*more than 33554432 bytes"):
            await client.call_tool("t")


@ERAS
@pytest.mark.parametrize("what", NEVER)
async def test_a_beginning_that_never_ends(what: str, version: str) -> None:
    method = "server/discover" if version == MODERN else "initialize"
    async with raw_server(on(method, NEVER[what])) as server, asyncio.timeout(SECONDS):
        with pytest.raises(ClientError, match=rf"{HERE}.* did not answer within {LIMIT} seconds"):
            await Client(server.url, protocol_version=version, init_timeout=LIMIT).__aenter__()


@pytest.mark.parametrize("auto", [True, False])
async def test_nobody_listens(auto: bool) -> None:
    async with raw_server(on("ping", body(b""))) as server:
        pass
    for version in [None] if auto else [MODERN, HANDSHAKE]:
        with pytest.raises(ClientError, match=f"The connection to {HERE}.* failed"):
            await Client(server.url, protocol_version=version).__aenter__()


# Beside the calls of a session


BESIDE: dict[str, Fault] = {
    "dies": head(),
    "is nonsense": events(b"data: {\n\n" * 100),
    "is one long line": events(b"data: " + b"x" * 40 * 1024 * 1024),
    "floods": endless(STREAM, note("notifications/message", {"level": "info", "data": "x"})),
    "floods with answers": endless(STREAM, b'data: {"jsonrpc":"2.0","id":2,"result":{"content":[]}}\n\n'),
    "stalls": head("HTTP/1.1 200 OK", die=False),
    "is refused": body(b"{}", 500),
}


@pytest.mark.parametrize("what", BESIDE)
async def test_the_stream_beside_the_calls_does_not_harm_them(what: str) -> None:
    async def script(exchange: Exchange) -> bool | None:
        match exchange.method:
            case "initialize":
                await exchange.result(INITIALIZED, "mcp-session-id: s")
            case "GET":
                await BESIDE[what](exchange)
            case "tools/call":
                await exchange.result(DONE)
            case _:
                return False
        return None

    async with raw_server(script) as server, asyncio.timeout(SECONDS):
        async with Client(server.url, protocol_version=HANDSHAKE) as client:
            for _ in range(5):
                assert (await client.call_tool("t", timeout=5)).text == "done"
            began = time.monotonic()
        assert time.monotonic() - began < 5
        assert server.seen[-1].verb == "DELETE"


@pytest.mark.parametrize("fault", [head(), body(b"no", 500), head("HTTP/1.1 200 OK", die=False)])
@pytest.mark.parametrize("what", ["DELETE", "notifications/cancelled"])
async def test_an_end_that_is_not_heard_comes_all_the_same(what: str, fault: Fault) -> None:
    async def script(exchange: Exchange) -> bool | None:
        match exchange.method:
            case "initialize":
                await exchange.result(INITIALIZED, "mcp-session-id: s")
            case "tools/call":
                await exchange.hold()
            case method if method == what:
                await fault(exchange)
            case _:
                return False
        return None

    async with raw_server(script) as server, asyncio.timeout(SECONDS):
        async with Client(server.url, protocol_version=HANDSHAKE) as client:
            with pytest.raises(ClientError, match="within"):
                await client.call_tool("t", timeout=LIMIT)
            began = time.monotonic()
        assert time.monotonic() - began < 5
        assert any(exchange.method == what for exchange in server.seen)


# A subscription (2026-07-28)


GRANTED: dict[str, Any] = {"notifications": {"toolsListChanged": True}}


def subscribed(*pieces: bytes, then: Fault) -> Fault:
    """Grants the subscription, says these pieces, and then that happens."""

    async def answer(exchange: Exchange) -> None:
        mark = {"_meta": {"io.modelcontextprotocol/subscriptionId": exchange.id}}
        await exchange.stream()
        await exchange.write(note("notifications/subscriptions/acknowledged", {**GRANTED, **mark}))
        await exchange.write(note("notifications/tools/list_changed", mark))
        for piece in pieces:
            await exchange.write(piece)
        await then(exchange)

    return answer


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (subscribed(then=die), f"{HERE}.*(failed|without an answer)"),
        (subscribed(b"data: {", then=_close), f"{HERE}.*(failed|without an answer)"),
        (subscribed(b"data: {\n\n", then=_close), f"{HERE}.*{NO_MESSAGE}"),
        (subscribed(b"data: " + b"x" * 40 * 1024 * 1024, then=_close), "has a line longer"),
    ],
)
async def test_a_subscription_that_breaks_off_is_told(fault: Fault, told: str) -> None:
    async with raw_server(on("subscriptions/listen", fault)) as server, Client(server.url, timeout=SECONDS) as client:
        notices = client.listen(tools=True)
        async with asyncio.timeout(SECONDS):
            assert (await anext(notices)).method == "notifications/tools/list_changed"
            with pytest.raises(ClientError, match=told):
                await anext(notices)
        assert await client.ping()


async def test_a_subscription_that_nobody_reads_holds_the_server_up() -> None:
    sent = 0

    async def flood(exchange: Exchange) -> None:
        nonlocal sent
        piece = note("notifications/tools/list_changed", {"x": "y" * 10_000}) * 10
        while True:
            await exchange.write(piece)
            sent += len(piece)

    fault = subscribed(then=flood)
    async with raw_server(on("subscriptions/listen", fault)) as server, asyncio.timeout(SECONDS):
        async with Client(server.url) as client, client.listen(tools=True):
            before = -1
            while before != sent:  # until it can say no more
                before = sent
                for _ in range(20):
                    assert await client.ping()
        assert sent < 200_000_000


async def test_a_subscription_that_is_never_acknowledged() -> None:
    fault = events(b": hello\n\n", hold=True)
    async with raw_server(on("subscriptions/listen", fault)) as server, Client(server.url, timeout=LIMIT) as client:
        notices = client.listen(tools=True)
        async with asyncio.timeout(SECONDS):
            with pytest.raises(ClientError, match=rf"{HERE}.* did not acknowledge a subscription within {LIMIT}"):
                await notices.open()
        assert await client.ping()
