"""The envelope: what is a message, and what each kind of nonsense is called."""

from __future__ import annotations

import json

import pytest

from headrace.exceptions import InvalidRequest, ParseError
from headrace.protocol.jsonrpc import (
    MAX_DEPTH,
    Notification,
    Request,
    Response,
    decode,
    decode_batch,
    encode_error,
    encode_notification,
    encode_request,
    encode_result,
)

BASE = {"jsonrpc": "2.0"}


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ({**BASE, "id": 1, "method": "ping"}, Request),
        ({**BASE, "id": "a", "method": "ping", "params": {}}, Request),
        ({**BASE, "method": "notifications/initialized"}, Notification),
        ({**BASE, "id": 1, "result": {}}, Response),
        ({**BASE, "id": 1, "error": {"code": -1, "message": "no"}}, Response),
        ({**BASE, "error": {"code": -1, "message": "no"}}, Response),
    ],
)
def test_classifies(message: dict[str, object], kind: type) -> None:
    assert isinstance(decode(json.dumps(message).encode()), kind)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b'{"jsonrpc":"2.0","id":1,"method":"ping"} x', id="trailing"),
        pytest.param(b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":NaN}}', id="NaN"),
        pytest.param(b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"\xff"}}', id="not UTF-8"),
        pytest.param(b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"\\ud800"}}', id="lone surrogate"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, id="deep"),
        pytest.param(
            b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":%b}}' % (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH),
            id="just too deep",
        ),
    ],
)
def test_is_not_json(body: bytes) -> None:
    with pytest.raises(ParseError):
        decode(body)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"1",
        b"null",
        b"{}",
        b'{"id":1,"method":"ping"}',
        b'{"jsonrpc":"1.0","id":1,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":null,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":true,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":"%b","method":"ping"}' % (b"x" * 1025),
        b'{"jsonrpc":"2.0","id":{},"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":1}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":null}',
        b'{"jsonrpc":"2.0","id":1}',
        b'{"jsonrpc":"2.0","id":1,"result":1}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","meth\\u006fd":"tools/call"}',
        b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}',
        b'{"id":1,"method":"ping","params":{}}',
        b'{"method":"tools/list","id":1,"method":"tools/call","params":{}}',
        b'{"id":1,"id":2,"method":"ping","params":{}}',
        b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping","params":{}}',
        b'{"jsonrpc":"2.0","method":"x","id":123456789,"method":"ping","params":{}}',
    ],
)
def test_is_no_message(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(body)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "params",
    [
        {"method": "ping", "id": 1, "params": {"jsonrpc": "2.0"}},
        {"text": 'a "method" and an "id" and \\u0041'},
        {"deep in a string": "[" * 1000},
        {"wide": [[] for _ in range(1000)]},
    ],
)
def test_names_and_brackets_inside_params_are_no_suspicion(params: dict[str, object]) -> None:
    message = decode(json.dumps({**BASE, "id": 1, "method": "tools/call", "params": params}).encode())
    assert isinstance(message, Request)
    assert json.loads(bytes(message.params)) == params


def test_nesting_up_to_the_bound_is_served() -> None:
    nested = b"[" * (MAX_DEPTH - 2) + b"]" * (MAX_DEPTH - 2)
    assert isinstance(decode(b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":%b}}' % nested), Request)


@pytest.mark.parametrize("count", [0, 51])
def test_batch_bounds(count: int) -> None:
    with pytest.raises(InvalidRequest):
        decode_batch(json.dumps([{**BASE, "method": "m"}] * count).encode(), 50)


def test_batch_keeps_order_and_says_which_items_are_none() -> None:
    items = decode_batch(json.dumps([{**BASE, "id": 1, "method": "a"}, 1, {**BASE, "method": "b"}]).encode(), 50)
    assert [type(item) for item in items] == [Request, InvalidRequest, Notification]


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        (encode_request(1, "m", {}), {**BASE, "id": 1, "method": "m", "params": {}}),
        (encode_notification("n"), {**BASE, "method": "n"}),
        (encode_result("x", b'{"a":1}'), {**BASE, "id": "x", "result": {"a": 1}}),
        (encode_error(None, -32700, "no"), {**BASE, "error": {"code": -32700, "message": "no"}}),
        (
            encode_error(2, -1, "no", {"a": 1}),
            {**BASE, "id": 2, "error": {"code": -1, "message": "no", "data": {"a": 1}}},
        ),
    ],
)
def test_encodes(encoded: bytes, expected: dict[str, object]) -> None:
    assert json.loads(encoded) == expected
