"""What JSON from outside may be beyond its grammar: UTF-8, nested `MAX_DEPTH` deep at the most, each member of the
envelope and of `params` once, numbers that a double can hold, ids of a bounded length.

Every message pays for these checks, so each begins with a count of bytes, at the speed of C; the exact look is for
what is suspicious.
"""

from __future__ import annotations

import json
from array import array
from itertools import accumulate
from typing import Annotated, Any, cast

import msgspec
from msgspec import Raw

from ..exceptions import InvalidRequest, ParseError

__all__ = ["MAX_DEPTH", "BoundedId", "check_text", "holds_infinity", "may_repeat", "refuse_repeats"]

MAX_DEPTH = 64
BoundedId = int | Annotated[str, msgspec.Meta(max_length=1024)]
"""What a client calls a request or its progress: kept as long as a subscription is, and sent with each notice."""
_NOT_OPENING = bytes(set(range(256)) - set(b"[{"))
_NOT_MARKS = bytes(set(range(256)) - set(b'[]{}"'))
_STEPS = bytes.maketrans(b"{}", b"\x01\xff")
_LEVELS = 4
"""Innermost levels of brackets that are taken away before the depth of the rest is counted."""
_BRACES = bytes.maketrans(b"[]", b"{}")
_ZEROED = bytes.maketrans(b"123456789E", b"000000000e")
_REPEATED = len(',"uri":1')
"""The shortest member of `params` that could mean something and come twice."""

_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode


def check_text(body: bytes) -> None:
    """Raises ParseError for what is not UTF-8, or nested too deep."""
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            raise ParseError("Parse error: the body is not UTF-8") from None
    if len(body.translate(None, _NOT_OPENING)) > MAX_DEPTH and _too_deep(body):
        raise ParseError(f"Parse error: nested deeper than {MAX_DEPTH}")


def _too_deep(body: bytes) -> bool:
    """Whether brackets outside strings nest deeper than allowed, closed or not."""
    if b"\\" in body:  # a backslash outside of a string is no JSON: what comes after it does not matter
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Two quotes side by side may go: what is inside of a string stays inside.
    marks = body.translate(_BRACES, _NOT_MARKS).replace(b'""', b"")
    braces = b"".join(marks.split(b'"')[::2])
    for _ in range(_LEVELS):  # what is wide and not deep is gone then
        braces = braces.replace(b"{}", b"")
    allowed = MAX_DEPTH - _LEVELS
    return any(map(allowed.__lt__, accumulate(array("b", braces.translate(_STEPS)))))


def may_repeat(params: Raw) -> bool:
    """Whether an object that is JSON has room for a member that is there twice: decoded the last one stays, so the
    text is longer than what is left."""
    return len(params) - len(_encode(_decode_members(params))) >= _REPEATED


def refuse_repeats(body: bytes) -> None:
    """Raises InvalidRequest where a member of the envelope, or of its params, is there twice, however it is spelled.

    Parsers keep the last one, an intermediary may look at the first.
    """
    # Objects as tuples of pairs. Numbers stay text: Python refuses to convert integers of thousands of digits.
    envelope: Any = json.loads(body, object_pairs_hook=tuple, parse_int=str, parse_float=str)
    members = _once(envelope, "the envelope")
    if isinstance(members.get("params"), tuple):
        _once(members["params"], "params")


def _once(pairs: Any, where: str) -> dict[str, Any]:
    members = cast("dict[str, Any]", dict(pairs))
    if len(members) != len(pairs):
        raise InvalidRequest(f"Invalid request: a member of {where} appears twice")
    return members


def holds_infinity(value: Raw | bytes) -> bool:
    """Whether JSON has a number that no double can hold, like ``1e999``, which pydantic-core reads as infinity."""
    text = bytes(value).translate(_ZEROED)
    if b"e000" in text or b"e+000" in text or b"0" * 300 in text:
        try:
            msgspec.json.decode(value)
        except msgspec.DecodeError:
            return True
    return False
