"""Whether a request may come in: head, then body -> verdict. Pure; the first failure wins.

Order for the head: host and origin, method, Accept, Content-Type. Then, for a 2026-07-28 body: ``_meta``, headers
against body, version, method, ``Mcp-Param-*`` (2026-07-28, Streamable HTTP, Server Validation). Capabilities are
checked where they are needed, by the handler, before the first byte of a stream.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Container
from functools import lru_cache
from typing import Any, cast

import msgspec

from ...exceptions import InvalidRequest, McpError
from ...protocol.errors import HEADER_MISMATCH
from ...protocol.jsonrpc import Request
from ...protocol.methods import NAMED
from ...protocol.mirrored import Mirrored
from ...protocol.requests import check_meta, check_method, modern_era
from ...protocol.types import Params
from ...protocol.versions import SERVED_VERSIONS, Era, era
from .answer import Denied, Headers, Refuse
from .guard import Guard
from .head import Head

__all__ = [
    "Rules",
    "admit_head",
    "admit_modern",
    "handshake_era",
    "is_modern",
    "refused_type",
]

_SENTINEL = re.compile(r"=\?base64\?(.*)\?=", re.DOTALL)
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_PLAIN = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?|")
_INTEGER = re.compile(r"-?[0-9]{1,17}(?:\.0{1,17})?")


class Rules:
    """What the app allows; made once."""

    __slots__ = ("allow", "guard", "json_response", "max_body_bytes", "methods")

    def __init__(self, guard: Guard, *, json_response: bool, stateless: bool, max_body_bytes: int) -> None:
        self.guard = guard
        self.json_response = json_response
        self.max_body_bytes = max_body_bytes
        self.methods = ("POST",) if stateless else ("GET", "POST", "DELETE")
        self.allow: Headers = [(b"allow", ", ".join(self.methods).encode())]


def admit_head(head: Head, rules: Rules) -> None:
    """Raises Denied."""
    if head.method == "POST":
        refusal = _admit_post(head.fields.get(b"accept"), head.fields.get(b"content-type"), rules.json_response)
    elif head.method not in rules.methods:
        reason = f"Method not allowed: this endpoint answers {', '.join(rules.methods)}"
        refusal = Refuse(405, reason, headers=rules.allow)
    elif head.method == "GET" and not _accepts(head.get(b"accept") or "")[1]:
        refusal = Refuse(406, "Not acceptable: a stream needs Accept: text/event-stream")
    else:
        return
    if refusal is not None:
        raise Denied(refusal)


@lru_cache(maxsize=256)
def _admit_post(accept: bytes | None, content_type: bytes | None, json_response: bool) -> Refuse | None:
    takes_json, takes_sse = _accepts((accept or b"").decode("latin-1"))
    if not takes_json or not (takes_sse or json_response):
        needed = "application/json" if json_response else "application/json, text/event-stream"
        return Refuse(406, f"Not acceptable: a POST needs Accept: {needed}")
    return refused_type(content_type)


def refused_type(content_type: bytes | None) -> Refuse | None:
    """Why a body of that type is none of a message."""
    media, *parameters = (piece.strip().lower() for piece in (content_type or b"").decode("latin-1").split(";"))
    charsets = [p.partition("=")[2].strip('"') for p in parameters if p.startswith("charset=")]
    if media == "application/json" and all(charset in ("utf-8", "utf8", "us-ascii") for charset in charsets):
        return None
    return Refuse(415, "Unsupported media type: a message is Content-Type: application/json")


def _accepts(accept: str) -> tuple[bool, bool]:
    """Whether JSON and whether an event stream is acceptable (RFC 9110, 12.5.1)."""
    ranges: dict[str, bool] = {}
    for part in accept.lower().split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        ranges[media] = not any(re.fullmatch(r"q=0(\.0*)?", parameter) for parameter in parameters)

    def takes(media: str) -> bool:
        family = media.split("/")[0] + "/*"
        return next((ranges[name] for name in (media, family, "*/*") if name in ranges), False)

    return takes("application/json"), takes("text/event-stream")


def is_modern(head: Head, params: Params | None) -> bool:
    """Whether a request speaks 2026-07-28: its `_meta` carries a version, or the header names one that is served and
    has no handshake. An ``initialize`` without either is the handshake."""
    meta = None if params is None else params.meta
    if meta is not None and meta.protocol_version is not None:
        return True
    named = era(head.get(b"mcp-protocol-version"))
    return named is not None and not named.handshake


def handshake_era(head: Head, agreed: Era) -> Era:
    """The revision of a handshake-era request, given what its session agreed on (or the revision without a header).

    Raises InvalidRequest for a header that names no served version.
    """
    version = head.get(b"mcp-protocol-version")
    if version is None:
        return agreed
    named = era(version)
    if named is None or not named.handshake:
        raise InvalidRequest(
            f"Unsupported MCP-Protocol-Version {version!r}: served are {', '.join(SERVED_VERSIONS)}",
            data={"supported": SERVED_VERSIONS, "requested": version},
        )
    return named


def admit_modern(
    head: Head, request: Request, params: Params, mirrored: Callable[[str], Mirrored], extensions: Container[str]
) -> Era:
    """The revision the request speaks. Raises McpError for the first rule it breaks; `extensions` are
    methods that the server has beside the specification's."""
    version, method, fields = check_meta(params), request.method, head.fields
    # Equal bytes are the rule; whatever else was sent is looked at closely.
    if fields.get(b"mcp-protocol-version") != version.encode():
        _match("MCP-Protocol-Version", head.get(b"mcp-protocol-version"), version)
    if fields.get(b"mcp-method") != method.encode():
        _match("Mcp-Method", head.get(b"mcp-method"), method)
    named = NAMED.get(method)
    if named is not None:
        name = params.name if named == "name" else params.uri
        sent = _name(fields.get(b"mcp-name"))
        if sent != name:
            _match("Mcp-Name", sent, name)
    spoken = modern_era(version)
    check_method(method, spoken, extensions)
    if method == "tools/call" and params.name is not None:
        headers = mirrored(params.name)
        if headers:
            _check_mirrored(head, params, headers)
    return spoken


def _match(field: str, sent: str | None, expected: str | None) -> None:
    if sent is None:
        if expected is not None:
            raise McpError(f"Header mismatch: {field} is missing", code=HEADER_MISMATCH)
    elif sent != expected:
        raise McpError(f"Header mismatch: {field} is {sent!r}, the body says {expected!r}", code=HEADER_MISMATCH)


@lru_cache(maxsize=1024)
def _name(field: bytes | None) -> str | None:
    """Of ``Mcp-Name``, of which a server sees the same few all day."""
    return None if field is None else _decoded(field.decode("latin-1").strip(" \t"), "Mcp-Name")


def _decoded(value: str, field: str) -> str:
    """A header value, out of its base64 form if it is in that (2026-07-28, Value Encoding).

    Raises McpError for characters a header must not carry and for broken base64.
    """
    coded = _SENTINEL.fullmatch(value)
    if coded is None:
        if not _PLAIN.fullmatch(value):
            raise McpError(f"Header mismatch: {field} has characters that need the base64 form", code=HEADER_MISMATCH)
        return value
    if not _BASE64.fullmatch(coded[1]):
        raise McpError(f"Header mismatch: {field} is not valid base64", code=HEADER_MISMATCH)
    try:
        return base64.b64decode(coded[1], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise McpError(f"Header mismatch: {field} is not base64 of UTF-8", code=HEADER_MISMATCH) from None


def _check_mirrored(head: Head, params: Params, headers: Mirrored) -> None:
    try:
        arguments: Any = msgspec.json.decode(params.arguments) if params.arguments else {}
    except msgspec.DecodeError:
        return  # what is wrong with the arguments is told by who validates them
    for header, (path, kind) in headers.items():
        value = _at(arguments, path)
        sent = head.values(header.encode())
        if value is None:
            if sent:
                raise McpError(f"Header mismatch: {header} is sent, its argument is not", code=HEADER_MISMATCH)
            continue
        if len(sent) != 1:
            state = "missing" if not sent else "repeated"
            raise McpError(f"Header mismatch: {header} is {state}", code=HEADER_MISMATCH)
        if not _equal(_decoded(sent[0], header), value, kind):
            raise McpError(f"Header mismatch: {header} differs from its argument", code=HEADER_MISMATCH)


def _at(arguments: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if not isinstance(arguments, dict):
            return None
        arguments = cast("dict[str, Any]", arguments).get(name)
    return arguments


def _equal(sent: str, value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return sent == ("true" if value else "false")
    if isinstance(value, int | float):
        # Integers are compared as numbers: 42.0 is 42.
        return kind == "integer" and _INTEGER.fullmatch(sent) is not None and int(sent.partition(".")[0]) == value
    return isinstance(value, str) and sent == value
