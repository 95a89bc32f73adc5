"""A result as the bytes of a revision: fitted, encoded once, stamped.

The stamp (2026-07-28: ``resultType``, and the server's name in ``_meta``) is the same for every result of
a server, so it stands in front of the encoded members.
"""

from __future__ import annotations

from functools import lru_cache

from msgspec import Raw
from msgspec.structs import replace

from .downgrade import fit_result
from .jsonrpc import encode
from .types import Result
from .versions import LATEST, Era

__all__ = ["SERVER_INFO", "encode_response", "encode_result_object"]

_LARGE = 16 * 1024
"""Bytes from which a view costs less than a copy."""
SERVER_INFO = "io.modelcontextprotocol/serverInfo"


def encode_response(id: int | str, result: Result | bytes, era: Era, stamp: bytes) -> bytes:
    """The response to a request. `stamp` is the server's Implementation as JSON.

    Bytes are a result that was encoded before, complete for the revision but for its stamp.
    """
    front, members = _parts(result, era, stamp)
    return b"".join((b'{"jsonrpc":"2.0","id":', encode(id), b',"result":{', front, members, b"}"))


def encode_result_object(result: Result, era: Era, stamp: bytes) -> bytes:
    """The JSON object of a result alone."""
    front, members = _parts(result, era, stamp)
    return b"".join((b"{", front, members))


def _parts(result: Result | bytes, era: Era, stamp: bytes) -> tuple[bytes, memoryview | bytes]:
    """What stands after the opening brace: the stamp, and the encoded members with the closing brace."""
    result_type = "complete"
    if isinstance(result, bytes):
        body = result
    else:
        if era is not LATEST:
            result = fit_result(result, era)
        result_type = result.result_type
        if result.meta and era.result_types:
            body = encode(replace(result, meta={SERVER_INFO: Raw(stamp), **result.meta}))
            return b'"resultType":"%b",' % result_type.encode(), memoryview(body)[1:]
        body = encode(result)
    members = body[1:] if len(body) < _LARGE else memoryview(body)[1:]
    if not era.result_types:
        return b"", members
    front = _front(stamp, result_type)
    return (front, members) if len(body) > 2 else (front[:-1], members)


@lru_cache(maxsize=256)
def _front(stamp: bytes, result_type: str) -> bytes:
    return b'"resultType":"%b","_meta":{"%b":%b},' % (result_type.encode(), SERVER_INFO.encode(), stamp)
