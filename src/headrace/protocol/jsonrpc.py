"""The JSON-RPC 2.0 envelope: bytes -> Request, Notification or Response, and back.

The envelope is decoded once and `params` stay raw. What msgspec does not refuse by itself, `json_bounds` does.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from ..exceptions import InvalidRequest, ParseError
from .json_bounds import MAX_DEPTH, BoundedId, check_text, may_repeat, refuse_repeats

__all__ = [
    "MAX_BATCH",
    "MAX_DEPTH",
    "Message",
    "Notification",
    "Request",
    "Response",
    "decode",
    "decode_batch",
    "encode",
    "encode_error",
    "encode_notification",
    "encode_request",
    "encode_result",
    "id_in",
    "is_batch",
]

MAX_BATCH = 50
"""Messages of one array (2025-03-26) that a server takes."""
_REQUEST = len('{"jsonrpc":"2.0","id":,"method":"","params":}')
_RESULT = len('{"jsonrpc":"2.0","id":,"result":}')
_REPEATED = len(',"id":1')
"""The shortest member that can come twice."""


class Request(Struct, frozen=True):
    id: int | str
    method: str
    params: Raw


class Notification(Struct, frozen=True):
    method: str
    params: Raw


class Error(Struct, frozen=True, omit_defaults=True):
    code: int
    message: str
    data: Any = UNSET


class Response(Struct, frozen=True):
    """An answer of the peer: `result` unless `error` is given. `id` is None where the peer could not read it."""

    id: int | str | None
    result: Raw
    error: Error | None


Message = Request | Notification | Response


class _Plain(Struct):
    """A request or a result with all its members, which is what most messages are."""

    jsonrpc: Literal["2.0"]
    id: BoundedId
    method: str = ""
    params: Raw = Raw(b"")
    result: Raw = Raw(b"")


class _Envelope(Struct):
    jsonrpc: Literal["2.0"]
    id: BoundedId | UnsetType | None = UNSET
    method: str | UnsetType = UNSET
    params: Raw = Raw(b"")
    result: Raw = Raw(b"")
    error: Error | UnsetType = UNSET


_decode_plain = msgspec.json.Decoder(_Plain).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_batch = msgspec.json.Decoder(list[Raw]).decode
encode = msgspec.json.Encoder().encode
"""Any wire value as JSON bytes."""

_BRACE = ord("{")


def decode(body: bytes) -> Message:
    """One message. Raises ParseError (not JSON) or InvalidRequest (JSON, but no message)."""
    check_text(body)
    try:
        plain = _decode_plain(body)
    except msgspec.DecodeError:
        return _classify(body)
    # Without blanks and escapes; what is longer has room for a member that came before and was overwritten.
    if plain.method:
        value, shortest = plain.params, _REQUEST + len(plain.method)
    else:
        value, shortest = plain.result, _RESULT
    if len(body) - shortest - len(value) - len(str(plain.id)) >= _REPEATED or not _is_object(value):
        return _classify(body)
    if plain.method and may_repeat(value):
        refuse_repeats(body)
    return Request(plain.id, plain.method, value) if plain.method else Response(plain.id, value, None)


def is_batch(body: bytes) -> bool:
    return body.lstrip(b" \t\r\n")[:1] == b"["


def decode_batch(body: bytes, limit: int) -> list[Message | InvalidRequest]:
    """The messages of a batch (2025-03-26), items that are none as the error they deserve.

    Raises ParseError, or InvalidRequest for an empty batch or more than `limit` items.
    """
    check_text(body)
    try:
        items = _decode_batch(body)
    except msgspec.DecodeError as error:
        raise ParseError(f"Parse error: {error}") from None
    if not 0 < len(items) <= limit:
        raise InvalidRequest(f"A batch holds 1 to {limit} messages, this one {len(items)}")
    messages: list[Message | InvalidRequest] = []
    for item in items:
        try:
            messages.append(_classify(bytes(item)))
        except InvalidRequest as error:
            messages.append(error)
    return messages


def encode_request(id: int | str, method: str, params: Any) -> bytes:
    return encode({"jsonrpc": "2.0", "id": id, "method": method, "params": params})


def encode_notification(method: str, params: Any = None) -> bytes:
    if params is None:
        return encode({"jsonrpc": "2.0", "method": method})
    return encode({"jsonrpc": "2.0", "method": method, "params": params})


def encode_result(id: int | str, result: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (encode(id), result)


def encode_error(id: int | str | None, code: int, message: str, data: Any = None) -> bytes:
    """An error response; without `id` where none could be read (the schemas have no null id)."""
    error = Error(code, message, UNSET if data is None else data)
    if id is None:
        return encode({"jsonrpc": "2.0", "error": error})
    return encode({"jsonrpc": "2.0", "id": id, "error": error})


def _classify(body: bytes) -> Message:
    try:
        envelope = _decode_envelope(body)
    except msgspec.ValidationError as error:
        _check_json(body)  # the decoder stops at the first wrong member, whatever comes after it
        raise InvalidRequest(f"Invalid request: {error}") from None
    except msgspec.DecodeError as error:
        raise ParseError(f"Parse error: {error}") from None
    id, method, params = envelope.id, envelope.method, envelope.params
    if _maybe_repeats(body) or (_is_object(params) and may_repeat(params)):
        refuse_repeats(body)
    if method is not UNSET:
        if id is UNSET:
            return Notification(method, _object(params))
        if id is None:
            raise InvalidRequest("Invalid request: the id of a request is a string or an integer, not null")
        return Request(id, method, _object(params))
    if envelope.error is not UNSET:
        return Response(None if id is UNSET else id, Raw(b""), envelope.error)
    if _is_object(envelope.result) and id is not UNSET and id is not None:
        return Response(id, envelope.result, None)
    raise InvalidRequest("Invalid request: a message has a method, or an id with a result or an error")


def _check_json(body: bytes) -> None:
    try:
        msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise ParseError(f"Parse error: {error}") from None


def _object(params: Raw) -> Raw:
    """Params by name; absent ones are empty. MCP has none by position."""
    if not params:
        return Raw(b"{}")
    if not _is_object(params):
        raise InvalidRequest("Invalid request: params is not an object")
    return params


def _is_object(raw: Raw) -> bool:
    return bool(raw) and memoryview(raw)[0] == _BRACE


def _maybe_repeats(body: bytes) -> bool:
    """A cheap look: every envelope key at most once in the whole text, and none hidden behind an escape."""
    count = body.count
    return (
        count(b'"id"') > 1
        or count(b'"method"') > 1
        or count(b'"params"') > 1
        or count(b'"jsonrpc"') > 1
        or count(b'"result"') > 1
        or count(b'"error"') > 1
        or b"\\u00" in body
    )


class _Named(Struct):
    id: int | str | None = None


_decode_id = msgspec.json.Decoder(_Named).decode


def id_in(body: bytes) -> int | str | None:
    """The id that a message has although it can't be decoded, so that its sender does not wait."""
    try:
        return _decode_id(body).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
