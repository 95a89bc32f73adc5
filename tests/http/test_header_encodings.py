"""5,000 header values beside a body: which are admitted, says an oracle written from the specification alone.

2026-07-28, Streamable HTTP: Request Metadata, Value Encoding, Case Sensitivity, Server Validation. What it leaves open
is not asked here: other spellings of an integer (``+7``, ``007``, ``7e0``), and markers that share their ``?``.
"""

from __future__ import annotations

import base64
import json
import random
import string
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote

import pytest

from headrace.exceptions import McpError
from headrace.protocol.jsonrpc import Request, decode
from headrace.protocol.requests import decode_params
from headrace.transports.http.admission import admit_modern
from headrace.transports.http.head import Head

from .probe import MIRRORED_SCHEMA
from .servers import Site, serve
from .wire import MODERN, POST_HEADERS, body_of, call, modern, raw

COUNT = 5000
OVER_HTTP = 500


@dataclass(frozen=True)
class Case:
    """One header of a request that is right otherwise."""

    form: str
    header: str
    sent: bytes | None
    """What is put on the wire behind the colon; None: no such header."""
    value: Any
    """What the body says; None: nothing."""

    @property
    def body(self) -> dict[str, Any]:
        match self.header:
            case "mcp-method":
                return body_of(self.value)
            case "mcp-protocol-version":
                return body_of("tools/list")
            case "mcp-name":
                return call(self.value)
            case "mcp-name of a uri":
                return body_of("resources/read", {"uri": self.value})
            case _:
                name = {"mcp-param-region": "region", "mcp-param-count": "count", "mcp-param-dry": "dry"}[self.header]
                return call("mirrored", {} if self.value is None else {name: self.value})

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        headers, _ = modern({**self.body, "params": {**self.body.get("params", {})}})
        name = self.header.removesuffix(" of a uri")
        others = {**POST_HEADERS, **headers}
        if name in ("mcp-name", "mcp-method", "mcp-protocol-version"):
            others.pop(name, None)
        found = [(key.encode(), value.encode()) for key, value in others.items() if value is not None]
        return found if self.sent is None else [*found, (name.encode(), self.sent)]

    @property
    def content(self) -> bytes:
        return json.dumps(modern(self.body)[1]).encode()


# The oracle


_ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
_BLANKS = b" \t"


def admitted(case: Case) -> bool:
    """What the specification says of the case."""
    if case.sent is None:
        return case.value is None
    if case.value is None:
        return False
    field = case.sent.strip(_BLANKS)  # RFC 9110, 5.5: not part of the value
    if any(not (byte in _BLANKS or 0x21 <= byte <= 0x7E) for byte in field):
        return False
    text = field.decode("ascii")
    if case.header.startswith(("mcp-name", "mcp-param-")) and text.startswith("=?base64?") and text.endswith("?="):
        octets = unbase64(text[len("=?base64?") : -len("?=")])
        if octets is None:
            return False
        try:
            text = octets.decode("utf-8")
        except UnicodeDecodeError:
            return False
    if isinstance(case.value, bool):
        return text == ("true" if case.value else "false")
    if isinstance(case.value, int):
        whole, point, rest = text.partition(".")
        return whole == str(case.value) and (not point or (rest != "" and set(rest) == {"0"}))
    return text == case.value


def unbase64(text: str) -> bytes | None:
    """RFC 4648, 4: groups of four, padded; no other character."""
    if len(text) % 4:
        return None
    padding = len(text) - len(text.rstrip("="))
    digits = text[: len(text) - padding]
    if padding > 2 or any(character not in _ALPHABET for character in digits):
        return None
    bits = "".join(f"{_ALPHABET.index(character):06b}" for character in digits)
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits) - 7, 8))


# The cases


def coded(text: str, encoding: str = "utf-8") -> bytes:
    return base64.b64encode(text.encode(encoding, "surrogatepass"))


def marked(payload: bytes) -> bytes:
    return b"=?base64?%b?=" % payload


def loose(text: str) -> bytes:
    """Base64 whose last digit has bits that stand for nothing, where it has room for them."""
    payload = coded(text)
    bare = payload.rstrip(b"=")
    if bare == payload:
        return marked(payload)
    spare = 2 if len(payload) - len(bare) == 1 else 4
    last = _ALPHABET[_ALPHABET.index(chr(bare[-1])) | ((1 << spare) - 1)]
    return marked(bare[:-1] + last.encode() + payload[len(bare) :])


FORMS: dict[str, Callable[[str], bytes]] = {
    "as it is": lambda text: text.encode(),
    "as latin-1": lambda text: text.encode("latin-1", "replace"),
    "as utf-16": lambda text: text.encode("utf-16-le"),
    "blanks around": lambda text: b" \t" + text.encode() + b"\t ",
    "other case": lambda text: text.swapcase().encode(),
    "percent": lambda text: quote(text, safe="").encode(),
    "quoted": lambda text: b'"' + text.encode() + b'"',
    "cut": lambda text: text.encode()[:-1],
    "more": lambda text: text.encode() + b"x",
    "twice": lambda text: text.encode() + b", " + text.encode(),
    "base64": lambda text: marked(coded(text)),
    "base64, blanks around": lambda text: b"  " + marked(coded(text)) + b" ",
    "base64 in capitals": lambda text: b"=?BASE64?" + coded(text) + b"?=",
    "base64 in part": lambda text: marked(coded(text)) + b"x",
    "base64, no end": lambda text: b"=?base64?" + coded(text),
    "base64, no beginning": lambda text: coded(text) + b"?=",
    "base64 without padding": lambda text: marked(coded(text).rstrip(b"=")),
    "base64, padding too much": lambda text: marked(coded(text) + b"="),
    "base64, four of padding": lambda text: marked(coded(text) + b"===="),
    "base64, padding in the middle": lambda text: marked(b"=" + coded(text)),
    "base64 for urls": lambda text: marked(coded(text).replace(b"+", b"-").replace(b"/", b"_")),
    "base64 with blanks": lambda text: marked(coded(text)[:2] + b" " + coded(text)[2:]),
    "base64 with a tab": lambda text: marked(coded(text) + b"\t"),
    "base64 with junk": lambda text: marked(b"*" + coded(text)),
    "base64, spare bits": loose,
    "base64 of base64": lambda text: marked(base64.b64encode(marked(coded(text)))),
    "base64 of another": lambda text: marked(coded(text + "x")),
    "base64 of other case": lambda text: marked(coded(text.swapcase())),
    "base64 of latin-1": lambda text: marked(base64.b64encode(text.encode("latin-1", "replace"))),
    "base64 of utf-16": lambda text: marked(coded(text, "utf-16-le")),
    "base64 of half a character": lambda text: marked(base64.b64encode(text.encode() + b"\xc3")),
    "base64 of a surrogate": lambda text: marked(coded(text + "\ud800")),
    "base64 of something longer than UTF-8": lambda text: marked(base64.b64encode(text.encode() + b"\xc0\xaf")),
    "base64 with a line behind": lambda text: marked(coded(text + "\n")),
    "an encoded word": lambda text: b"=?utf-8?B?" + coded(text) + b"?=",
    "an encoded word, q": lambda text: b"=?utf-8?Q?" + quote(text, safe="").replace("%", "=").encode() + b"?=",
    "an extended value": lambda text: b"UTF-8''" + quote(text, safe="").encode(),
    "a zero behind": lambda text: text.encode() + b"\0",
    "a delete inside": lambda text: text.encode()[:1] + b"\x7f" + text.encode()[1:],
    "an escape": lambda text: json.dumps(text)[1:-1].encode(),
    "nothing": lambda text: b"",
}
TEXTS = (
    *("add", "a", "Add", "us-west1", "get.weather_v2-x", "a b", "a\tb", "a, b", 'say "hi"', "~!#$%&'*+-.^_`|"),
    *(" padded", "padded ", "\ttab", "", " ", "line1\nline2", "cr\r", "crlf\r\nx: y", "nul\0", "esc\x1b[0m", "del\x7f"),
    *("café", "Hello, 世界", "😀", "\u202eabc", "a\u0301", "\ufeffbom", "\u00a0", "\u2028", "ÿ", "İ", "ß"),
    *(
        "=?base64?literal?=",
        "=?base64??=",
        "=?base64?",
        "?=",
        "=?BASE64?YQ==?=",
        "=?utf-8?B?YQ==?=",
        "YQ==",
        "%41",
        "a%20b",
    ),
    *("file:///projects/a b.txt", "x" * 200, "true", "42", "null", "~>?~>?", "subjects?_d=1"),
)
NUMBERS = (0, 1, 42, -7, 100, 2**53 - 1, -(2**53) + 1)
NUMBER_FORMS: dict[str, Callable[[int], bytes]] = {
    "number": lambda number: b"%d" % number,
    "point zero": lambda number: b"%d.0" % number,
    "many zeros": lambda number: b"%d.0000" % number,
    "base64 of a number": lambda number: marked(coded(str(number))),
    "base64 of point zero": lambda number: marked(coded(f"{number}.0")),
    "another number": lambda number: b"%d" % (number + 1),
    "a little more": lambda number: b"%d.1" % number,
    "far behind the point": lambda number: b"%d.0000000000000001" % number,
    "point": lambda number: b"%d." % number,
    "two points": lambda number: b"%d.0.0" % number,
    "in hexadecimal": lambda number: hex(number).encode(),
    "with a unit": lambda number: b"%dpx" % number,
    "with an underscore": lambda number: b"%d_0" % number,
    "in words": lambda number: b"one",
    "no number": lambda number: b"NaN",
    "in other digits": lambda number: str(number).translate({48 + n: 0x0660 + n for n in range(10)}).encode(),
    "in other digits, base64": lambda number: marked(
        coded(str(number).translate({48 + n: 0x0660 + n for n in range(10)}))
    ),
    "quoted": lambda number: b'"%d"' % number,
    "a blank inside": lambda number: b"%d 0" % number,
    "empty": lambda number: b"",
}
FLAGS = (
    b"true",
    b"false",
    b"True",
    b"FALSE",
    b"1",
    b"0",
    b"yes",
    b"",
    b"null",
    b'"true"',
    marked(b"dHJ1ZQ=="),
    marked(b"VHJ1ZQ=="),
)
METHODS = ("tools/list", "server/discover", "prompts/list", "resources/templates/list")
PLAIN_FORMS = [form for form in FORMS if form not in ("base64 of another", "base64 of other case")]


@cache
def cases() -> list[Case]:
    found = dict.fromkeys(_all())
    chosen = list(found)
    random.Random(20260728).shuffle(chosen)
    return chosen[:COUNT]


def _all() -> Iterator[Case]:
    for header in ("mcp-name", "mcp-name of a uri", "mcp-param-region"):
        for text in TEXTS:
            for form, make in FORMS.items():
                yield Case(form, header, make(text), text)
            yield Case("missing", header, None, text)
    for number in NUMBERS:
        for form, make in NUMBER_FORMS.items():
            yield Case(form, "mcp-param-count", make(number), number)
        yield Case("missing", "mcp-param-count", None, number)
    for flag in FLAGS:
        for value in (True, False):
            yield Case("flag", "mcp-param-dry", flag, value)
    for header in ("mcp-param-region", "mcp-param-count", "mcp-param-dry"):
        yield Case("missing and not needed", header, None, None)
        yield from (Case("not expected", header, sent, None) for sent in (b"", b"null", b"true", b"42", marked(b"")))
    for method in METHODS:
        for form in PLAIN_FORMS:
            yield Case(form, "mcp-method", FORMS[form](method), method)
    for form in PLAIN_FORMS:
        yield Case(form, "mcp-protocol-version", FORMS[form](MODERN), MODERN)
    for header, value in (("mcp-method", "tools/list"), ("mcp-protocol-version", MODERN)):
        yield Case("missing", header, None, value)
        yield Case("another", header, b"x", value)


def test_there_are_as_many_cases_as_are_promised() -> None:
    assert len(cases()) == len(set(cases())) == COUNT
    outcomes = Counter(map(admitted, cases()))
    assert min(outcomes.values()) > 400, outcomes
    assert {case.form for case in cases()} >= {*FORMS, *NUMBER_FORMS, "missing", "not expected", "flag"}
    assert len({case.header for case in cases()}) == 7


def _mirrored(tool: str) -> Mapping[str, tuple[tuple[str, ...], str]]:
    if tool != "mirrored":
        return {}
    properties: Any = MIRRORED_SCHEMA["properties"]
    return {f"mcp-param-{name}": ((name,), properties[name]["type"]) for name in ("region", "count", "dry")}


def test_the_admission_function_agrees_with_the_specification() -> None:
    wrong: list[str] = []
    for case in cases():
        request = decode(case.content)
        assert isinstance(request, Request)
        scope = {"method": "POST", "path": "/mcp", "headers": case.fields}
        try:
            admit_modern(Head.of(scope), request, decode_params(request.params), _mirrored, ())
            code = 0
        except McpError as error:
            code = error.code if "\n" not in error.message else 0
        if code != (0 if admitted(case) else -32020):
            wrong.append(f"{case}: {code}")
    assert not wrong, f"{len(wrong)}: {wrong[:20]}"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with serve() as site:
        yield site


async def test_a_server_agrees_with_the_specification(site: Site) -> None:
    """The server in front may be stricter with characters that no header may have; never with what is allowed."""
    refused = 0
    for case in cases()[:OVER_HTTP]:
        head = b"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nconnection: close\r\n" % site.port
        head += b"content-length: %d\r\n" % len(case.content)
        if case.sent is not None and (b"\r" in case.sent or b"\n" in case.sent):
            continue  # another header
        fields = b"".join(b"%b: %b\r\n" % field for field in case.fields)
        answer = await raw(site.port, head + fields + b"\r\n" + case.content)
        if admitted(case):
            assert answer.status == 200, (case, answer)
            continue
        refused += 1
        assert answer.status == 400, (case, answer)
        if answer.headers["content-type"] == "application/json":
            assert answer.json["error"]["code"] == -32020, (case, answer)
    assert 100 < refused < OVER_HTTP
