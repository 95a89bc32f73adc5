"""The parameters of a request: bounded, each once, those without a value as if they were not there (RFC 6749, 3.1)."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import parse_qsl

from starlette.requests import Request

from ..compact import base64url
from .contract import TokenError

__all__ = ["MAX_BYTES", "SCOPES", "Parameters", "body_of", "of_form", "of_query", "s256"]

MAX_BYTES = 64 * 1024
_MAX_FIELDS = 64
SCOPES = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*")
"""Names with single blanks between them (RFC 6749, 3.3)."""
_FORM = "application/x-www-form-urlencoded"


def s256(verifier: str) -> str:
    """The code challenge of a code verifier (RFC 7636, 4.2)."""
    return base64url(hashlib.sha256(verifier.encode()).digest())


class Parameters(dict[str, str]):
    """Names to values; `repeated` are those that came more than once, whose value here is none of them."""

    def __init__(self, encoded: bytes) -> None:
        super().__init__()
        self.repeated: set[str] = set()
        try:
            pairs = parse_qsl(
                encoded.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS
            )
        except ValueError:
            raise TokenError("invalid_request", "The parameters can't be read, or are too many") from None
        seen: set[str] = set()
        for name, value in pairs:
            if name in seen:
                self.repeated.add(name)
                self.pop(name, None)
            elif value:
                self[name] = value
            seen.add(name)

    def require(self, name: str) -> str:
        """Raises TokenError (``invalid_request``) where it is missing."""
        value = self.get(name)
        if value is None:
            raise TokenError("invalid_request", f"{name} is missing")
        return value


def of_query(request: Request) -> Parameters:
    query: bytes = request.scope["query_string"]
    if len(query) > MAX_BYTES:
        raise TokenError("invalid_request", f"The query is longer than {MAX_BYTES} bytes")
    return Parameters(query)


async def of_form(request: Request) -> Parameters:
    """Raises TokenError (``invalid_request``), also for parameters in the URL, where logs would have them."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise TokenError("invalid_request", f"The body must be {_FORM}")
    if request.scope["query_string"]:
        raise TokenError("invalid_request", "Parameters go into the body, not the URL")
    return Parameters(await body_of(request))


async def body_of(request: Request) -> bytes:
    """At most `MAX_BYTES`. Raises TokenError (``invalid_request``)."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise TokenError("invalid_request", f"The body is longer than {MAX_BYTES} bytes")
    return bytes(body)
