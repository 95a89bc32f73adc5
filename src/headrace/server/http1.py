"""HTTP/1.1 requests as RFC 9112 writes them, from bytes: the head, and a body in chunks. Pure, and strict.

What two programs could read in two ways is refused: a second Host, two lengths, a folded line, a lone CR or LF.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from urllib.parse import unquote

__all__ = [
    "NAME",
    "VALUE",
    "Chunks",
    "Head",
    "Limits",
    "Refused",
    "RequestLine",
    "Seen",
    "check_beginning",
    "parse_head",
]


class Limits(NamedTuple):
    """Seconds, bytes and bytes per second. A time limit is kept to within a second, never early."""

    request_line_bytes: int = 8 * 1024
    header_bytes: int = 16 * 1024
    """Of all headers of a request, and of its trailers."""
    headers: int = 100
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    body_rate: float = 1024.0
    """What a body brings at least, on average, once `body_grace_seconds` have passed."""
    body_grace_seconds: float = 5.0
    write_seconds: float = 30.0
    """How often a reader has to have taken `write_rate` times as many bytes, if there is something to take."""
    write_rate: float = 1024.0
    half_closed_seconds: float = 1.0
    """How long an answer may still come for a client that has closed its side."""
    linger_seconds: float = 2.0
    """How long what a refused client still sends is dropped, so that it can read why it was refused."""
    connections: int = 30_000
    """Of one process; who comes after them is answered 503 at once."""


class Refused(Exception):
    """A request that can't be served: `status` and one line of text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class RequestLine(NamedTuple):
    method: str
    raw_path: bytes
    path: str
    """Percent-decoded."""
    query: bytes
    minor: int
    """Of the version: HTTP/1.`minor`."""
    authority: bytes | None
    """Of a target in absolute form."""


class Head(NamedTuple):
    line: RequestLine
    headers: list[tuple[bytes, bytes]]
    """Names in lower case."""
    length: int
    """Of the body in bytes; -1 for one in chunks."""
    keep_alive: bool
    expects: bool
    """Whether the client waits for ``100 Continue``."""


Seen = dict[bytes, Any]
"""Lines of earlier heads and what they say: on a connection that is kept, most come again."""

NAME = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
VALUE = rb"[\t\x20-\x7e\x80-\xff]*+"
"""Of a header (RFC 9110, 5.1 and 5.5), as patterns."""
_LINE = re.compile(rb"([A-Z][A-Z_-]{0,31}+) ([\x21\x22\x24-\x7e]++) HTTP/1\.([01])")
_FIELD = re.compile(b"(%b):(%b)" % (NAME, VALUE))
_VERSION = re.compile(rb"[!-~]+ [!-~]+ HTTP/\d\.\d")
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?]+)([/?].*)?")
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]++|\[[0-9A-Fa-f:.]++\])(?::[0-9]{0,5}+)?")
_BAD_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})|%00")
_BARE = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)|\0")
_ONCE = (b"host", b"content-length", b"transfer-encoding", b"expect")
_MAX_DIGITS = 15
"""Of a Content-Length."""
_MAX_SEEN = 200
"""Bytes of a line that is worth remembering; and secrets tend to be longer."""


def parse_head(block: bytes, limits: Limits, seen: Seen) -> Head:
    """`block` is what stands before the empty line; `seen` is of its connection. Raises Refused."""
    first, *lines = block.split(b"\r\n")
    if len(first) > limits.request_line_bytes:
        raise _long_line(limits)
    if len(lines) > limits.headers or len(block) - len(first) > limits.header_bytes:
        raise _large_head(limits)
    key = first + b"\r\n"  # no header is remembered by that
    line: RequestLine | None = seen.get(key)
    if line is None:
        line = _request_line(first)
        if len(first) < _MAX_SEEN:
            seen[key] = line
    headers: list[tuple[bytes, bytes]] = [seen.get(each) or _field(each, seen) for each in lines]
    known = dict(headers)
    if len(known) != len(headers):
        _check_repeated(headers, known)
    host = known.get(b"host")
    if host is None and line.minor:
        raise Refused(400, "A request has one Host header")
    # An origin server goes by the target (3.2.2), others by Host: they have to be the same, as 3.2 demands of clients.
    if line.authority is not None and host is not None and line.authority.lower() != host.lower():
        raise Refused(400, "The target names another host than the Host header")
    length = 0
    if b"content-length" in known or b"transfer-encoding" in known:
        length = _length(known, line.minor)
    connection = known.get(b"connection")
    keep_alive = line.minor == 1 and (connection is None or not _closes(connection))
    return Head(line, headers, length, keep_alive, b"expect" in known and _expects(known[b"expect"], line.minor))


def _request_line(line: bytes) -> RequestLine:
    found = _LINE.fullmatch(line)
    if found is None:
        if _VERSION.fullmatch(line) and not line.endswith((b"/1.0", b"/1.1")):
            raise Refused(505, "HTTP/1.1 is spoken here")
        raise Refused(400, "Not a request line: METHOD /path HTTP/1.1")
    method, target, version = found.groups()
    authority: bytes | None = None
    if not target.startswith(b"/") and not (target == b"*" and method == b"OPTIONS"):
        if method == b"CONNECT":
            raise Refused(405, "No proxy: CONNECT is not for here")
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is None or _HOST.fullmatch(absolute[1]) is None:
            raise Refused(400, "The target of a request begins with /")
        authority, target = absolute.groups(b"/")
        if target.startswith(b"?"):
            target = b"/" + target
    raw, _, query = target.partition(b"?")
    if _BAD_PERCENT.search(raw):
        raise Refused(400, "Not percent-encoded as it should be: the path")
    return RequestLine(
        method.decode("ascii"), raw, unquote(raw.decode("ascii")), query, 0 if version == b"0" else 1, authority
    )


def _field(line: bytes, seen: Seen) -> tuple[bytes, bytes]:
    found = _FIELD.fullmatch(line)
    if found is None:
        raise Refused(400, "Not a header: lines end with CR LF, and each is one header")
    name, value = found.groups()
    name, value = name.lower(), value.strip(b" \t")
    if name == b"host" and _HOST.fullmatch(value) is None:
        raise Refused(400, "Not a host and port: the Host header")
    if len(line) < _MAX_SEEN:
        seen[line] = name, value
    return name, value


def _long_line(limits: Limits) -> Refused:
    return Refused(414, f"The request line has at most {limits.request_line_bytes} bytes")


def _large_head(limits: Limits) -> Refused:
    return Refused(431, f"At most {limits.headers} headers, and {limits.header_bytes} bytes of them")


def check_beginning(beginning: bytes, start: int, limits: Limits) -> None:
    """What has come of a head that is not complete. Raises Refused where it can't become a good one.

    Looks for bytes that can't be there from `start` on.
    """
    if _BARE.search(beginning, start):
        raise Refused(400, "Lines end with CR LF, and hold neither of them, nor NUL")
    line = beginning.find(b"\r\n")
    if (len(beginning) if line < 0 else line) > limits.request_line_bytes:
        raise _long_line(limits)
    if line >= 0 and len(beginning) - line > limits.header_bytes + 4:
        raise _large_head(limits)


def _check_repeated(headers: list[tuple[bytes, bytes]], known: dict[bytes, bytes]) -> None:
    """Raises Refused for what may come only once; joins what counts all together."""
    names = [name for name, _ in headers]
    for name in _ONCE:
        if names.count(name) > 1:
            raise Refused(400, f"Only once in a request: {name.decode()}")
    if b"connection" in known:
        known[b"connection"] = b",".join(value for name, value in headers if name == b"connection")


def _length(known: dict[bytes, bytes], minor: int) -> int:
    length, coding = known.get(b"content-length"), known.get(b"transfer-encoding")
    if coding is not None:
        if length is not None:
            raise Refused(400, "Either Content-Length or Transfer-Encoding")
        if not minor:
            raise Refused(400, "HTTP/1.0 has no Transfer-Encoding")
        if coding.lower() != b"chunked":
            raise Refused(501, "The only Transfer-Encoding here is chunked")
        return -1
    if length is None or not length.isdigit():
        raise Refused(400, "Not a number: Content-Length")
    if len(length) > _MAX_DIGITS:
        raise Refused(413, "Payload too large")
    return int(length)


def _closes(connection: bytes) -> bool:
    return b"close" in [token.strip(b" \t") for token in connection.lower().split(b",")]


def _expects(expect: bytes, minor: int) -> bool:
    if not minor:  # RFC 9110, 10.1.1: to be ignored
        return False
    if expect.lower() != b"100-continue":
        raise Refused(417, "The only expectation here is 100-continue")
    return True


_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;%b)?" % VALUE)
_MAX_CHUNK_LINE = 1024


class Chunks:
    """The chunked coding (RFC 9112, 7.1). Extensions and trailers are bounded and dropped."""

    __slots__ = ("_framing", "_left", "_limits", "_pending", "_size", "_trailers")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pending = b""
        self._left = 0
        """Of the chunk with its CR LF; 0 between chunks."""
        self._size = 0
        self._framing = 0
        self._trailers = -1
        """How many, once they have begun."""

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """What of the body is in `data`, and what stands behind its end; None where it goes on. Raises Refused.

        Framing may be as much as the body and a head: a byte in each chunk is an attack.
        """
        if self._pending:
            data, self._pending = self._pending + data, b""
        pieces: list[bytes] = []
        at = 0
        while True:
            if self._left:
                at = self._piece(data, at, pieces)
                if self._left:
                    break
            end = data.find(b"\r\n", at)
            if end < 0 or end - at > _MAX_CHUNK_LINE:
                if len(data) - at > _MAX_CHUNK_LINE or _BARE.search(data, at):
                    raise Refused(400, "Not a chunk: in the body")
                self._pending = data[at:]
                break
            line, at = data[at:end], end + 2
            self._framing += len(line) + 4
            if self._framing > self._size + self._limits.header_bytes:
                raise Refused(400, "Chunks are too small, or trailers too many: in the body")
            if self._trailers >= 0:
                if not line:
                    return b"".join(pieces), data[at:]
                self._trailers += 1
                if _FIELD.fullmatch(line) is None or self._trailers > self._limits.headers:
                    raise Refused(400, "Not a trailer: after the body")
                continue
            found = _CHUNK.fullmatch(line)
            if found is None:
                raise Refused(400, "Not a chunk: in the body")
            size = int(found[1], 16)
            self._size += size
            if size:
                self._left = size + 2
            else:
                self._trailers = 0
        return b"".join(pieces), None

    def _piece(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """The rest of a chunk, as far as it is there; where to go on."""
        piece = data[at : at + self._left]
        end = self._left - 2
        if not b"\r\n"[max(-end, 0) :].startswith(piece[max(end, 0) :]):
            raise Refused(400, "Not a chunk: in the body")
        pieces.append(piece[: max(end, 0)])
        self._left -= len(piece)
        return at + len(piece)
