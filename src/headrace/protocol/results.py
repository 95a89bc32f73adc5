"""A result as the bytes of a revision: fitted, encoded once, stamped.

The stamp (2026-07-28: ``resultType``, and the server's name in ``_meta``) is the same for every result of
a server, so it is spliced in front of the encoded members.
"""

from __future__ import annotations

from msgspec import Raw
from msgspec.structs import replace

from .downgrade import fit_result
from .jsonrpc import encode
from .types import Result
from .versions import Era

__all__ = ["SERVER_INFO", "encode_result_object", "splice"]

SERVER_INFO = "io.modelcontextprotocol/serverInfo"


def encode_result_object(result: Result, era: Era, stamp: bytes) -> bytes:
    """The JSON object of a result. `stamp` is the server's Implementation as JSON."""
    result = fit_result(result, era)
    if not era.result_types:
        return encode(result)
    if result.meta:
        body = encode(replace(result, meta={SERVER_INFO: Raw(stamp), **result.meta}))
        return b'{"resultType":"%b",%b' % (result.result_type.encode(), body[1:])
    return splice(encode(result), era, stamp, result.result_type)


def splice(body: bytes, era: Era, stamp: bytes, result_type: str = "complete") -> bytes:
    """An encoded result without ``_meta``, stamped where its revision has stamps."""
    if not era.result_types:
        return body
    rest = b"," + body[1:] if len(body) > 2 else b"}"
    return b'{"resultType":"%b","_meta":{"%b":%b}%b' % (
        result_type.encode(),
        SERVER_INFO.encode(),
        stamp,
        rest,
    )
