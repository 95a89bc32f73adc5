"""Generated requests: valid messages of both eras, bent by one to three mutations that know their structure.

Case `number` of a `seed` is always the same, but for what the server handed out (session ids, request states, ids of
its questions), which it takes from a `World`. The generator knows no HTTP client and no clock, so that a longer run
needs nothing but another count.
"""

from __future__ import annotations

import base64
import copy
import json
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from .wire import MODERN, modern_headers, modern_meta

__all__ = ["HANDSHAKE_VERSIONS", "Case", "Generator", "World", "complaint"]

HANDSHAKE_VERSIONS = ("2025-03-26", "2025-06-18", "2025-11-25")
CAPABILITIES = {"elicitation": {"form": {}}, "sampling": {}, "roots": {}}
Json = Any
Headers = list[tuple[str, str]]


class Case(NamedTuple):
    number: int
    method: str
    headers: Headers
    body: bytes


class World:
    """What the server handed out, for requests to refer to; the newest of each."""

    def __init__(self) -> None:
        self.sessions: dict[str, str] = {}
        """One session for each handshake version."""
        self.states: deque[str] = deque(maxlen=50)
        self.keys: deque[str] = deque(maxlen=50)
        self.questions: deque[int | str] = deque(maxlen=50)
        self.event_ids: deque[str] = deque(maxlen=50)

    def remember(self, message: Json) -> None:
        if not isinstance(message, dict):
            return
        if "method" in message and "id" in message:
            self.questions.append(message["id"])
        result = message.get("result")
        if isinstance(result, dict) and "requestState" in result:
            self.states.append(result["requestState"])
            self.keys.extend(result.get("inputRequests", ()))


class Text(str):
    """JSON text that goes out as it is, JSON or not."""

    __slots__ = ()


class Pairs(list[tuple[str, Json]]):
    """An object as its members, which may repeat."""


_SCALAR = json.JSONEncoder(ensure_ascii=False).encode


def write(value: Json) -> str:
    if isinstance(value, Text):
        return str(value)
    if isinstance(value, dict):
        value = Pairs(value.items())
    if isinstance(value, Pairs):
        return "{" + ",".join([f"{json.dumps(key)}:{write(item)}" for key, item in value]) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(write, value)) + "]"
    return _SCALAR(value)


JUNK: list[Json] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    1.5,
    -0.0,
    2**31,
    2**53 + 1,
    2**64,
    -(2**63) - 1,
    Text("9" * 400),
    Text("9" * 5000),
    Text("1e999"),
    Text("-1e-999"),
    Text("1.0"),
    Text('"\\u0000"'),
    Text('"\\u0069\\u0064"'),
    "",
    " ",
    "x",
    "null",
    "é€😀",
    "\u2028\u2029",
    "a" * 3000,
    "../../etc/passwd",
    "file:///etc/passwd",
    "tools/call",
    "initialize",
    MODERN,
    "2025-11-25",
    "2024-11-05",
    [],
    {},
    [None],
    [[]],
    {"": ""},
    {"a": {"b": {"c": 1}}},
    {"__proto__": {"x": 1}},
    {"jsonrpc": "2.0"},
    Text("{" + '"a":1,' * 300 + '"a":1}'),
]
BROKEN = [
    Text("01"),
    Text("NaN"),
    Text("-"),
    Text("'single'"),
    Text('"\\ud800"'),
    Text('"\\udc00\\ud800"'),
    Text('"\\x"'),
    Text('"\x01"'),
    Text("[" * 70 + "]" * 70),
    Text('{"a":' * 70 + "1" + "}" * 70),
    Text("[" * 3000),
    Text("[" * 20000 + "]" * 20000),
]
"""What makes the whole body no JSON, or too deep."""
WORDS = [
    "",
    "x",
    "null",
    "0",
    "-1",
    "*",
    "a,b",
    "tools/call",
    "tools/list",
    "initialize",
    "server/discover",
    "add",
    MODERN,
    "2025-11-25",
    "2025-03-26",
    "2024-11-05",
    "9999-99-99",
    "application/json",
    "application/json; charset=utf-8",
    "application/json; charset=latin-1",
    "APPLICATION/JSON",
    "application/json, text/event-stream;q=0",
    "text/event-stream",
    "text/html",
    "*/*",
    "q=;;,,=",
    "=?base64??=",
    "=?base64?!!!?=",
    "=?base64?YWRk?=",
    "=?base64?/////w==?=",
    "=?BASE64?YWRk?=",
    "z\xfcrich",
    "\xff\xfe",
    "a\tb",
    "[::1",
    "http://[",
    "http://127.0.0.1:99999999",
    "http://evil.example",
    "127.0.0.1:abc",
    "evil.example",
    "0" * 2000,
    "9" * 400,
    "-" * 33,
    "0123456789abcdef-7",
]
KNOWN_HEADERS = [
    "accept",
    "content-type",
    "origin",
    "host",
    "mcp-protocol-version",
    "mcp-method",
    "mcp-name",
    "mcp-session-id",
    "mcp-param-region",
    "mcp-param-x",
    "last-event-id",
    "authorization",
    "cookie",
    "content-encoding",
    "x-forwarded-host",
]
METHODS = ["GET", "DELETE", "PUT", "PATCH", "OPTIONS", "PROPFIND"]
EXTRA_METHODS = [
    "ping",
    "server/discover",
    "logging/setLevel",
    "resources/subscribe",
    "resources/unsubscribe",
    "resources/templates/list",
    "notifications/progress",
    "notifications/roots/list_changed",
    "rpc.discover",
    "sampling/createMessage",
    "",
]


class Generator:
    """`era` is ``"handshake"`` or ``"modern"`` (2026-07-28)."""

    def __init__(self, era: str, seed: int, world: World) -> None:
        self._modern = era == "modern"
        self._seed = f"{era} {seed}"
        self._world = world

    def case(self, number: int) -> Case:
        rng = Random(f"{self._seed} {number}")
        method, headers, message = self._valid(rng, number)
        if message is None:
            if rng.random() < 0.8:
                method, headers = mutate_head(rng, method, headers)
            return Case(number, method, headers, b"")
        for _ in range(rng.choice((0, 1, 1, 1, 1, 2, 2, 3))):
            message = mutate_message(rng, message)
        if rng.random() < 0.3:
            method, headers = mutate_head(rng, method, headers)
        text = write(message)
        if rng.random() < 0.1:
            text = mutate_text(rng, text)
        body = text.encode("utf-8", "surrogatepass")
        if rng.random() < 0.15:
            body = flip_bytes(rng, body)
        return Case(number, method, headers, body)

    def _valid(self, rng: Random, number: int) -> tuple[str, Headers, Json]:
        if self._modern:
            return self._modern_request(rng, number)
        return self._handshake_request(rng, number)

    def _modern_request(self, rng: Random, number: int) -> tuple[str, Headers, Json]:
        method, params = self._request(rng)
        if rng.random() < 0.05:
            method, params = "subscriptions/listen", {"notifications": {"toolsListChanged": True}}
        elif rng.random() < 0.05:
            method, params = rng.choice(EXTRA_METHODS), dict[str, Any]()
        elif method in ("tools/call", "prompts/get", "resources/read") and rng.random() < 0.3:
            params |= self._retry(rng)
        meta = modern_meta(copy.deepcopy(CAPABILITIES))
        if rng.random() < 0.3:
            meta |= {"progressToken": number, "io.modelcontextprotocol/logLevel": "debug"}
        name: Any = params.get("uri", params.get("name"))
        headers = modern_headers(method, name)
        region = params.get("arguments", {}).get("region")
        if isinstance(region, str):
            headers["mcp-param-region"] = region
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": {**params, "_meta": meta}}
        if rng.random() < 0.05:
            del message["id"]
        return "POST", [("host", "127.0.0.1"), *headers.items()], message

    def _handshake_request(self, rng: Random, number: int) -> tuple[str, Headers, Json]:
        world = self._world
        version = rng.choice(HANDSHAKE_VERSIONS)
        headers: Headers = [
            ("host", "127.0.0.1"),
            ("accept", "application/json, text/event-stream"),
            ("content-type", "application/json"),
        ]
        kind = rng.random()
        if kind < 0.05:
            params = {
                "protocolVersion": version,
                "capabilities": copy.deepcopy(CAPABILITIES),
                "clientInfo": {"name": "b", "version": "1"},
            }
            return "POST", headers, {"jsonrpc": "2.0", "id": number, "method": "initialize", "params": params}
        headers += [("mcp-session-id", world.sessions[version]), ("mcp-protocol-version", version)]
        if kind < 0.10:
            if world.event_ids and rng.random() < 0.6:
                headers.append(("last-event-id", rng.choice(world.event_ids)))
            return rng.choice(("GET", "GET", "GET", "DELETE")), headers, None
        if kind < 0.16:
            return "POST", headers, self._response(rng)
        if kind < 0.24:
            return "POST", headers, self._notification(rng, number)
        if kind < 0.30 and version == HANDSHAKE_VERSIONS[0]:
            items = [self._message(rng, number * 10 + each) for each in range(rng.randrange(1, 5))]
            return "POST", headers, items
        return "POST", headers, self._message(rng, number)

    def _message(self, rng: Random, number: int) -> Json:
        method, params = self._request(rng)
        if rng.random() < 0.1:
            method = rng.choice(EXTRA_METHODS)
            params = {"uri": "note://now", "level": "debug"}
        if rng.random() < 0.3:
            params |= {"_meta": {"progressToken": number}}
        return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}

    def _notification(self, rng: Random, number: int) -> Json:
        params = rng.choice(({}, {"requestId": rng.randrange(number + 1)}, {"progressToken": 1, "progress": 1}))
        method = rng.choice(("notifications/initialized", "notifications/cancelled", "notifications/progress"))
        return {"jsonrpc": "2.0", "method": method, "params": params}

    def _response(self, rng: Random) -> Json:
        questions = self._world.questions
        id = rng.choice(questions) if questions else 1
        if rng.random() < 0.3:
            return {"jsonrpc": "2.0", "id": id, "error": {"code": -1, "message": "no", "data": [1]}}
        return {"jsonrpc": "2.0", "id": id, "result": {"action": "accept", "content": {"value": rng.randrange(9)}}}

    def _request(self, rng: Random) -> tuple[str, dict[str, Any]]:
        """What both eras have."""
        n = rng.randrange(100)
        found: tuple[str, dict[str, Any]] = rng.choice(
            (
                ("tools/list", {}),
                ("tools/list", {"cursor": "x"}),
                ("tools/call", {"name": "add", "arguments": {"a": n, "b": 2}}),
                ("tools/call", {"name": "echo", "arguments": {"text": "h\u00e9llo" * (n % 5)}}),
                ("tools/call", {"name": "order", "arguments": {"order": {"lines": [{"sku": "a", "count": n}]}}}),
                ("tools/call", {"name": "count", "arguments": {"to": n % 6}}),
                ("tools/call", {"name": "ask", "arguments": {"names": ["one", "two"][: 1 + n % 2]}}),
                ("tools/call", {"name": "where", "arguments": {"region": "eu-west"}}),
                ("tools/call", {"name": "fails", "arguments": {}}),
                ("resources/list", {}),
                ("resources/templates/list", {}),
                ("resources/read", {"uri": "note://now"}),
                ("resources/read", {"uri": "note://a%20b"}),
                ("prompts/list", {}),
                ("prompts/get", {"name": "greet", "arguments": {"who": "you"}}),
                (
                    "completion/complete",
                    {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "who", "value": "a"}},
                ),
            )
        )
        return copy.deepcopy(found)

    def _retry(self, rng: Random) -> dict[str, Json]:
        world = self._world
        retry: dict[str, Json] = {"inputResponses": {}}
        if world.states:
            retry["requestState"] = rng.choice(world.states)
        for key in rng.sample(list(world.keys), min(2, len(world.keys))):
            retry["inputResponses"][key] = {"action": "accept", "content": {"value": 1}}
        return retry


# Mutations of the message


def junk(rng: Random) -> Json:
    return rng.choice(BROKEN) if rng.random() < 0.1 else copy.deepcopy(rng.choice(JUNK))


def places(value: Json, without: str = "", found: list[tuple[Any, Any]] | None = None) -> list[tuple[Any, Any]]:
    """Every member of every object and list: its container and its key. `without`: what is in that member is not."""
    found = [] if found is None else found
    members: Any = ()
    if isinstance(value, Pairs):
        members = [(index, item) for index, (_, item) in enumerate(value)]
    elif isinstance(value, dict):
        members = list(value.items())
    elif isinstance(value, list):
        members = list(enumerate(value))
    for key, item in members:
        if not isinstance(value, Pairs):
            found.append((value, key))
        if key != without:
            places(item, without, found)
    return found


def replace(rng: Random, container: Any, key: Any) -> None:
    container[key] = junk(rng)


def delete(rng: Random, container: Any, key: Any) -> None:
    del container[key]


def wrap(rng: Random, container: Any, key: Any) -> None:
    container[key] = rng.choice(([container[key]], {"value": container[key]}, [container[key], container[key]]))


def restring(rng: Random, container: Any, key: Any) -> None:
    """A value as text, text as a value; or text that is a little off."""
    value = container[key]
    if not isinstance(value, str) or isinstance(value, Text):
        container[key] = write(value)
    elif value.isdigit():
        container[key] = int(value[:18])
    else:
        container[key] = rng.choice((value.upper(), value + " ", " " + value, value[:-1], value * 2, value + "\u0000"))


def rename(rng: Random, container: Any, key: Any) -> None:
    if isinstance(container, dict):
        value = container.pop(key)
        container[rng.choice((key.upper(), key + "_", "_" + key, "", key[:-1], "__class__", key + "\u0000"))] = value


def insert(rng: Random, container: Any, key: Any) -> None:
    value = junk(rng)
    if isinstance(container, dict):
        name = rng.choice(("id", "jsonrpc", "method", "params", "result", "error", "_meta", "name", "x", "cursor"))
        container[name] = value
    else:
        container.insert(key, value)


def grow(rng: Random, container: Any, key: Any) -> None:
    many = rng.choice((60, 300))
    container[key] = [container[key]] * many if rng.random() < 0.5 else {f"k{n}": n for n in range(many)}


MUTATIONS: list[Callable[[Random, Any, Any], None]] = [
    replace,
    replace,
    replace,
    replace,
    delete,
    delete,
    wrap,
    restring,
    restring,
    rename,
    insert,
    grow,
]


def mutate_message(rng: Random, message: Json) -> Json:
    kind = rng.random()
    if kind < 0.02:
        return junk(rng)
    if kind < 0.04:
        return [message]
    if kind < 0.08 and isinstance(message, dict) and message:
        pairs = Pairs(message.items())
        twice = rng.choice(list(message))
        pairs.insert(rng.randrange(len(pairs) + 1), (twice, rng.choice((message[twice], junk(rng)))))
        return pairs
    if kind < 0.14:
        swapped = places(message)
        if len(swapped) >= 2:
            (one, a), (two, b) = rng.sample(swapped, 2)
            value = copy.deepcopy(two[b])
            two[b] = copy.deepcopy(one[a])
            try:
                one[a] = value
            except (IndexError, TypeError):  # it was inside what moved
                pass
        return message
    # The members of `_meta` are so many, and so seldom forgiven, that little else would be tried.
    found = places(message, "_meta" if rng.random() < 0.8 else "")
    if found:
        rng.choice(MUTATIONS)(rng, *rng.choice(found))
    return message


# Mutations of text, bytes and head


def mutate_text(rng: Random, text: str) -> str:
    at = rng.randrange(len(text) + 1)
    return rng.choice(
        (
            text[:at],
            text[at:],
            text[:at] + rng.choice('{}[]",:\\0e-+. \n\t\x00') + text[at:],
            text[:at] + rng.choice('{}[]",:\\') + text[at + 1 :],
            text + rng.choice(("}", "]", ",", "\x00", text, " \r\n\t", "//")),
            rng.choice(("\ufeff", " " * 500, "\n", "\x00", "[", "/**/")) + text,
            text.replace('"', "'"),
            text.replace('"id"', '"\\u0069d"', 1),
            text.replace(":", " :\n", 3),
            "",
        )
    )


def flip_bytes(rng: Random, body: bytes) -> bytes:
    changed = bytearray(body)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        at = rng.randrange(len(changed) + 1)
        kind = rng.random()
        if kind < 0.6 and at < len(changed):
            changed[at] ^= 1 << rng.randrange(8)
        elif kind < 0.8:
            changed[at:at] = bytes([rng.randrange(256)])
        else:
            del changed[at : at + 1]
    return bytes(changed)


def mutate_head(rng: Random, method: str, headers: Headers) -> tuple[str, Headers]:
    headers = list(headers)
    for _ in range(rng.choice((1, 1, 2))):
        at = rng.randrange(len(headers))
        name, value = headers[at]
        kind = rng.random()
        if kind < 0.15:
            del headers[at]
        elif kind < 0.45:
            headers[at] = (name, rng.choice(WORDS))
        elif kind < 0.55:
            headers[at] = (name, bent(rng, value))
        elif kind < 0.65:
            headers.append((name.upper(), rng.choice((value, rng.choice(WORDS)))))
        elif kind < 0.70:
            coded = base64.b64encode(value.encode("utf-8")).decode()
            headers[at] = (name, f"=?base64?{coded}?=")
        elif kind < 0.92:
            headers.append((rng.choice(KNOWN_HEADERS), rng.choice(WORDS)))
        else:
            method = rng.choice(METHODS)
        if not headers:
            headers.append(("host", "127.0.0.1"))
    return method, headers


def bent(rng: Random, value: str) -> str:
    """Another value that HTTP still carries."""
    at = rng.randrange(len(value) + 1)
    odd = chr(rng.choice((0x09, 0x20, 0x21, 0x2C, 0x3F, 0x7E, 0x80, 0xA0, 0xE9, 0xFF)))
    return rng.choice(
        (value[:at], value[:at] + odd + value[at:], value + ", " + value, value.swapcase(), f"  {value} \t")
    )


# What every answer must be


def complaint(message: Json, *, batch: bool = True) -> str | None:
    """Why this is no JSON-RPC message that a server may send; None where it is one."""
    if isinstance(message, list):
        if not batch or not message:
            return "an empty batch, or a batch in a batch"
        return next((why for item in message if (why := complaint(item, batch=False))), None)
    if not isinstance(message, dict):
        return "neither an object nor a batch"
    if message.get("jsonrpc") != "2.0":
        return "jsonrpc is not 2.0"
    if sum(member in message for member in ("result", "error", "method")) != 1:
        return "not exactly one of result, error and method"
    if unknown := message.keys() - {"jsonrpc", "id", "result", "error", "method", "params"}:
        return f"unknown members {unknown}"
    if "id" in message and (isinstance(message["id"], bool) or not isinstance(message["id"], int | str)):
        return "the id is neither text nor an integer"
    if "result" in message and ("id" not in message or not isinstance(message["result"], dict)):
        return "a result without an id, or one that is no object"
    if "error" in message:
        error = message["error"]
        if not isinstance(error, dict) or not isinstance(error.get("code"), int):
            return "an error without a code"
        if not isinstance(error.get("message"), str):
            return "an error without a message"
        if "\n" in error["message"] and error["code"] != -32602:  # what is wrong with arguments is one line each
            return "an error whose message is not one line"
        if error["code"] == -32603:
            return "an internal error"
    return None
