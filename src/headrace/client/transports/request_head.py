"""A request as HTTP/1.1 writes it (RFC 9112, 3 and 5), and to whom it goes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

import httpx2

__all__ = ["Origin", "encoded", "place_of"]

_FIELDS = re.compile(
    rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+: (?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?\r\n)*"
)

Origin = tuple[str, str, int]
"""Scheme, host, port."""


@lru_cache(64)
def place_of(url: httpx2.URL) -> tuple[Origin, str, str]:
    """The origin, and what the head says: ``Host`` and the target."""
    host = url.raw_host.decode("ascii")  # as httpx2 encodes it: asyncio's way is an older one
    origin = (url.scheme, host, url.port or (443 if url.scheme == "https" else 80))
    return origin, url.netloc.decode("ascii"), url.raw_path.decode("ascii")


def encoded(method: str, host: str, target: str, fields: Mapping[str, str], body: bytes | None) -> bytes:
    """`fields` have lower-case names; what they say of the length is left out, it is said here as it is.

    Raises httpx2.LocalProtocolError, and UnicodeEncodeError, which is one more way to be no header.
    """
    if "content-length" in fields or "transfer-encoding" in fields:
        fields = {name: fields[name] for name in fields if name not in ("content-length", "transfer-encoding")}
    lines = "" if "host" in fields else f"host: {host}\r\n"
    lines += "".join([f"{name}: {value}\r\n" for name, value in fields.items()])
    if body is not None:
        lines += f"content-length: {len(body)}\r\n"
    head = lines.encode("latin-1")
    expected = len(fields) + (body is not None) + ("host" not in fields)
    if not _FIELDS.fullmatch(head) or head.count(b"\r\n") != expected:
        raise httpx2.LocalProtocolError("A header of the request has characters that HTTP does not allow")
    return b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method.encode(), target.encode(), head, body or b"")
