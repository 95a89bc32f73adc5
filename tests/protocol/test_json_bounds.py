"""What JSON may be beyond its grammar, and that every channel asks the same: both eras, batches, SSE, stdio, memory."""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from headrace.exceptions import InvalidRequest, McpError, ParseError
from headrace.protocol.json_bounds import MAX_DEPTH, holds_infinity
from headrace.protocol.jsonrpc import Request, decode, decode_batch
from headrace.transports.memory import memory_pair

from ..http.servers import run
from ..http.wire import MODERN, modern, open_session, send, stream
from ..http.wire import call as wire_call
from .bounds_server import make

META = json.dumps(modern({"method": "tools/call"})[1]["params"]["_meta"])


def message(params: str, envelope: str = "") -> bytes:
    return f'{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{{params}}}{envelope}}}'.encode()


def escaped(name: str) -> list[str]:
    """Spellings of a member's name."""
    return [name, f"\\u{ord(name[0]):04x}{name[1:]}", f"{name[:-1]}\\u{ord(name[-1]):04X}"]


NAMES = ("jsonrpc", "id", "method", "params", "result", "error")
VALUES = {"jsonrpc": '"2.0"', "id": "8", "method": '"ping"', "params": "{}", "result": "{}", "error": "null"}
MEMBERS = ("name", "uri", "arguments", "_meta", "cursor", "inputResponses", "requestState")
BLANKS = ("", " ", "\n\t ")


def repeated() -> Iterator[bytes]:
    """Each member twice: before and after the others, spelled in every way, with and without blanks."""
    plain = {"jsonrpc": '"2.0"', "id": "7", "method": '"ping"', "params": "{}"}
    for name in NAMES:
        for spelling in escaped(name):
            for blank in BLANKS:
                pairs = [f'"{key}":{blank}{value}' for key, value in plain.items() if key != name]
                first, second = f'"{name}":{blank}{VALUES[name]}', f'"{spelling}"{blank}:{VALUES[name]}'
                yield (f"{{{blank}" + f",{blank}".join([first, *pairs, second]) + "}").encode()
                yield (f"{{{blank}" + f",{blank}".join([second, first, *pairs]) + "}").encode()
    for name in MEMBERS:
        for spelling in escaped(name):
            for blank in BLANKS:
                one, other = f'"{name}":{blank}"a"', f'"{spelling}"{blank}:{blank}"b"'
                yield message(f"{blank}{one},{other}")
                yield message(f'{one},"other":[{{"name":1}}],{blank}{other}')


REPEATED = list(repeated())


def test_no_member_of_the_envelope_or_of_params_is_there_twice() -> None:
    assert len(REPEATED) == (len(NAMES) + len(MEMBERS)) * 3 * 3 * 2 == 234
    for body in REPEATED:
        json.loads(body)  # JSON it is
        with pytest.raises(InvalidRequest):
            decode(body)
        assert isinstance(decode_batch(b"[%b]" % body, 50)[0], InvalidRequest)


@pytest.mark.parametrize(
    "params",
    [
        '"name":"a","arguments":{"name":1,"uri":2,"arguments":{"name":3},"_meta":4}',
        '"name":"a","arguments":{"name":1,"name":2}',
        '"name":"\\"name\\":\\"b\\"","arguments":{}',
        '"name":"a","_meta":{"io.modelcontextprotocol/clientInfo":{"name":"b","version":"1"}},"arguments":{}',
        '"name" : "a" , "arguments" : { "name" : "b" } , "_meta" : { "x" : {"name":"c"} } , "other" : [ ]',
        '"name":"\\u006eame","arguments":{"\\u006eame":"caf\\u00e9"}',
        '"Name":"a","NAME":"b","name":"c"',
        '"namé":"a","name":"b"',
    ],
)
def test_names_elsewhere_are_no_repetition(params: str) -> None:
    found = decode(message(params))
    assert isinstance(found, Request)
    assert json.loads(bytes(found.params)) == json.loads("{" + params + "}")


def test_other_cases_are_other_members() -> None:
    """CVE-2026-27896: ``Method`` is not ``method``, before it, after it, or alone."""
    for extra in ('"Method":"x",', '"METHOD":"x",', '"Id":3,', '"Params":{"name":"evil"},'):
        found = decode(b"{%b" % extra.encode() + message('"name":"a"')[1:])
        assert isinstance(found, Request)
        assert (found.method, found.id, bytes(found.params)) == ("tools/call", 7, b'{"name":"a"}')
    with pytest.raises(InvalidRequest):
        decode(b'{"jsonrpc":"2.0","id":1,"Method":"ping"}')


def depth_of(body: bytes) -> int:
    """One character after the other, the way the grammar says."""
    depth = deepest = 0
    inside = escape = False
    for character in body.decode():
        if inside:
            inside = escape or character != '"'
            escape = not escape and character == "\\"
        elif character == '"':
            inside = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _nested(random: random.Random, depth: int) -> Any:
    if depth == 0:
        return random.choice(['"', '"]', '\\"[', "\\", "]]]]", "[[", "", '"}{"', "a\\", "é[", 1])
    inner = _nested(random, depth - 1)
    beside = [_nested(random, random.randrange(min(depth, 3))) for _ in range(random.randrange(3))]
    shapes: list[Any] = [[*beside, inner], [inner, *beside], {str(_nested(random, 0)): inner, "z": beside}]
    return random.choice(shapes)


def test_depth_is_what_the_grammar_says() -> None:
    """Brackets in strings and escapes of all kinds do not hide depth, and make none."""
    choice = random.Random(6)
    outcomes = {True: 0, False: 0}
    for _ in range(1000):
        text = json.dumps(_nested(choice, choice.randrange(55, 72)), ensure_ascii=choice.random() < 0.5)
        body = message(f'"arguments":{{"a":{text}}}')
        deep = depth_of(body) > MAX_DEPTH
        outcomes[deep] += 1
        if deep:
            with pytest.raises(ParseError, match="deeper than 64"):
                decode(body)
        else:
            decode(body)
    assert min(outcomes.values()) > 200


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 4_000_000,
        b"]" * 4_000_000,
        b'["' * 2_000_000,
        b'["]",' * 800_000,
        b"[" * 2_000_000 + b"]" * 2_000_000,
        (b"[" * 64 + b"]" * 64) * 30_000,
        b'"' + b"\\" * 4_000_000,
        b'{"a":' * 700_000,
        message('"name":"a","x":"' + " " * 4_000_000 + '"'),
        message('"arguments":{"a":[' + ",".join(['{"name":"x"}'] * 250_000) + "]}"),
        message('"name":1,' * 400_000 + '"name":2'),
    ],
    ids=lambda body: repr(body[:12]),
)
def test_four_megabytes_of_anything_are_looked_at_in_no_time(body: bytes) -> None:
    """At most some tenths of a second each; 64 times over they would be found out by the time limit."""
    for _ in range(3):
        try:
            decode(body)
        except McpError:
            pass


NUMBERS = {
    "1e999": False,
    "-1e999": False,
    "1E+309": False,
    "1e0000309": False,
    "1e99999999999999999999": False,
    "9" * 400 + ".5": False,
    "[1,[2,{}]]".replace("{}", '{"a":1e400}'): False,
    "1e308": True,
    "1e-999": True,
    "0e999": True,
    "123456789012345678901234567890": True,
    '"1e999"': True,
    '"9e000"': True,
    "1e5": True,
    "-0.0": True,
}


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_that_no_double_holds(text: str) -> None:
    assert holds_infinity(text.encode()) is not NUMBERS[text]


# Every channel

CALLS = {
    "a member twice": (message('"name":"anything","name":"plain"'), -32600),
    "a member twice, once escaped": (message('"name":"anything","\\u006eame":"plain"'), -32600),
    "the method twice": (message('"name":"anything"', ',"method":"ping"'), -32600),
    "arguments twice": (message('"name":"anything","arguments":{},"arguments":{"value":1}'), -32600),
    "too deep": (message('"name":"anything","arguments":{"value":%s}' % ("[" * 65 + "]" * 65)), -32700),
    "very deep": (message('"name":"anything","arguments":{"value":%s}' % ("[" * 9999 + "]" * 9999)), -32700),
    "deep and cut off": (b'{"a":' * 100_000, -32700),
    "NaN": (message('"name":"anything","arguments":{"value":NaN}'), -32700),
    "Infinity": (message('"name":"plain","arguments":{"value":-Infinity}'), -32700),
    "half a surrogate pair": (message('"name":"anything","arguments":{"value":"\\ud800"}'), -32700),
    "an encoded surrogate": (
        message('"name":"anything","arguments":{"value":"?"}').replace(b"?", b"\xed\xa0\x80"),
        -32700,
    ),
    "no UTF-8": (message('"name":"anything","arguments":{"value":"?"}').replace(b"?", b"\xff"), -32700),
    "an id that is no UTF-8": (b'{"id":"\\u001f\x80","jsonrpc":"2.0","method":"ping"}', -32700),
    "overlong UTF-8": (message('"name":"anything","arguments":{"value":"?"}').replace(b"?", b"\xc0\x80"), -32700),
    "a control character": (message('"name":"anything","arguments":{"value":"\x01"}'), -32700),
    "a byte order mark": (b"\xef\xbb\xbf" + message('"name":"anything"'), -32700),
    "something behind it": (message('"name":"anything"') + b"x", -32700),
    "two messages": (message('"name":"anything"') * 2, -32700),
    "a comma too many": (message('"name":"anything",'), -32700),
    "1e999 for a number": (message('"name":"plain","arguments":{"value":1e999}'), None),
    "1e999 for anything": (message('"name":"anything","arguments":{"value":[1e999]}'), None),
    "1e999 in a model": (message('"name":"model","arguments":{"box":{"value":-1e999}}'), None),
    "1e999 by a schema": (message('"name":"schema","arguments":{"value":1e999}'), None),
}
"""A call, and the code of its error; None: the arguments are refused, in the way of the era."""

Ask = Callable[[bytes], Awaitable[dict[str, Any]]]
SERVER = Path(__file__).parent / "bounds_server.py"
HANDSHAKE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
HELLO = {"jsonrpc": "2.0", "id": "hello", "method": "initialize", "params": HANDSHAKE}
READY = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'


def without_handshake(body: bytes) -> bytes:
    """The call with the ``_meta`` of 2026-07-28."""
    return body.replace(b'"params":{', b'"params":{"_meta":%b,' % META.encode(), 1)


@asynccontextmanager
async def over_http(way: str) -> AsyncIterator[Ask]:
    app = make().http_app(stateless_http=way == "stateless")
    with run(app) as running:
        async with httpx2.AsyncClient(trust_env=False, timeout=20) as http:
            url = f"http://127.0.0.1:{running.port}/mcp"
            headers: dict[str, str] = {}
            if way in ("2025-11-25", "batch"):
                version = "2025-03-26" if way == "batch" else way
                headers = await open_session(http, url, version)

            async def ask(body: bytes) -> dict[str, Any]:
                if way == "2026-07-28":
                    name = re.search(rb'"name":"(\w+)"', body)
                    headers.update(modern(wire_call(name[1].decode() if name else "anything"))[0])  # type: ignore[arg-type]
                    body = without_handshake(body)
                reply = await send(http, url, b"[%b]" % body if way == "batch" else body, headers)
                return reply.messages[0]

            yield ask


@asynccontextmanager
async def over_sse() -> AsyncIterator[Ask]:
    with run(make().http_app(transport="sse")) as running:
        origin = f"http://127.0.0.1:{running.port}"
        async with httpx2.AsyncClient(trust_env=False, timeout=20) as http, stream(http, f"{origin}/sse") as events:
            path = (await events.next()).data

            async def ask(body: bytes) -> dict[str, Any]:
                reply = await send(http, origin + path, body)
                return reply.json if reply.status != 202 else await events.message()

            await ask(json.dumps(HELLO).encode())
            await send(http, origin + path, READY)
            yield ask


@asynccontextmanager
async def in_memory(version: str) -> AsyncIterator[Ask]:
    async with memory_pair(make()) as (tell, hear):

        async def ask(body: bytes) -> dict[str, Any]:
            await tell(without_handshake(body) if version == MODERN else body)
            return json.loads(await hear())

        if version != MODERN:
            await ask(json.dumps(HELLO).encode())
            await tell(READY)
        yield ask


@asynccontextmanager
async def over_stdio() -> AsyncIterator[Ask]:
    pipe = asyncio.subprocess.PIPE
    program = await asyncio.create_subprocess_exec(sys.executable, str(SERVER), stdin=pipe, stdout=pipe, limit=2**20)
    assert program.stdin is not None
    assert program.stdout is not None

    async def ask(body: bytes) -> dict[str, Any]:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write(body + b"\n")
        return json.loads(await asyncio.wait_for(program.stdout.readline(), 20))

    try:
        await ask(json.dumps(HELLO).encode())
        program.stdin.write(READY + b"\n")
        yield ask
    finally:
        program.stdin.close()
        await asyncio.wait_for(program.wait(), 20)


CHANNELS: dict[str, Callable[[], AbstractAsyncContextManager[Ask]]] = {
    "2026-07-28": lambda: over_http("2026-07-28"),
    "2025-11-25": lambda: over_http("2025-11-25"),
    "stateless": lambda: over_http("stateless"),
    "batch": lambda: over_http("batch"),
    "sse": over_sse,
    "memory": lambda: in_memory("2025-11-25"),
    "memory, 2026-07-28": lambda: in_memory(MODERN),
    "stdio": over_stdio,
}


@pytest.mark.parametrize("channel", CHANNELS)
async def test_every_channel_asks_the_same(channel: str) -> None:
    async with CHANNELS[channel]() as ask:
        for what, (body, code) in CALLS.items():
            answer = await ask(body)
            if code is not None:
                assert answer["error"]["code"] == code, (what, answer)
            else:
                refused = answer.get("error", {}).get("code") == -32602 or answer["result"]["isError"]
                assert refused, (what, answer)
                assert "out of range" in json.dumps(answer), (what, answer)
        big = await ask(message(f'"name":"anything","arguments":{{"value":{2**70}}}'))
        assert big["result"]["content"][0]["text"] == str(2**70)
