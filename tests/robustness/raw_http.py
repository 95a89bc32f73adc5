"""Requests as bytes, good and bad, and what has to become of them. Each is a connection of its own.

Behind most of them comes `NEXT`, a good request: where the first was served it has to be served as well, and where it
was refused it must not be. Bodies and trailers carry requests for ``/smuggled``, which nobody may ever see served.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CASES", "LAXER_THAN_NGINX", "Case"]


class Case(NamedTuple):
    name: str
    data: bytes
    answers: tuple[int, ...]
    """The statuses that come back, in order; then the connection is closed."""
    hangs_up: bool = False
    """The client closes its side behind the data."""


NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
CASES: list[Case] = []


def add(group: str, answers: tuple[int, ...], *datas: bytes, hangs_up: bool = False) -> None:
    for data in datas:
        count = sum(case.name.startswith(f"{group} ") for case in CASES)
        CASES.append(Case(f"{group} {count + 1}", data, answers, hangs_up))


def get(*headers: bytes, line: bytes = b"GET / HTTP/1.1", body: bytes = b"") -> bytes:
    return b"".join(b"%b\r\n" % each for each in (line, *headers)) + b"\r\n" + body + NEXT


def post(*headers: bytes, body: bytes = b"") -> bytes:
    return get(b"Host: a", *headers, line=b"POST / HTTP/1.1", body=body)


def chunked(body: bytes, *headers: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", *headers, body=body)


def lines(*requests: bytes) -> list[bytes]:
    return [get(b"Host: a", line=each) for each in requests]


OK, BAD = (200, 200), (400,)

# Host (RFC 9112, 3.2; RFC 9110, 7.2)
GOOD_HOSTS = [b"a", b"A.example", b"a:80", b"a:", b"127.0.0.1:8000", b"[::1]", b"[::1]:80", b"a.", b"a_b", b"x-y.z"]
BAD_HOSTS = [b"", b"a b", b"a/", b"a/b", b"a?b", b"a#b", b"u@a", b"http://a", b"a:b", b"a:123456", b"[::1", b"::1"]
BAD_HOSTS += [b"[::1]x", b":80", b"a\\b", b"a\x00", b"a\x7f", b"\xc3\xa9", b"a\tb", b'"a"', b"<a>", b"a:80:80", b"a^"]
add("host", OK, *(get(b"Host: " + host) for host in GOOD_HOSTS))
add("host", OK, get(b"HOST:a"), get(b"host:   a  "), get(b"Host:\ta\t"), get(b"X-Host: b", b"Host: a"))
add("bad host", BAD, *(get(b"Host: " + host) for host in BAD_HOSTS))
add("bad host", BAD, get(), get(b"X-Host: a"), get(b"Host: a", b"Host: a"), get(b"Host: a", b"X: y", b"host: b"))
add("bad host", BAD, get(b"Host : a"), get(b"Host\t: a"), get(b" Host: a"), get(b"Host: a", b" b"), get(b"Host;a: b"))
add("bad host", BAD, get(b"Host: a, b"), get(b"Host: a", b"Host: b", line=b"GET / HTTP/1.0"))
add("old host", (200,), get(line=b"GET / HTTP/1.0"), get(b"Host: a", line=b"GET / HTTP/1.0"))

# Content-Length (RFC 9112, 6.3)
FIVE = b"12345"
add(
    "length", OK, *(post(b"Content-Length: " + each, body=FIVE) for each in (b"5", b"05", b"5 ", b"\t5", b"0000000005"))
)
add("length", OK, post(b"Content-Length: 0"), post(b"Content-Length: 00"), post(), post(b"CONTENT-LENGTH:5", body=FIVE))
add("length", OK, post(b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED))
add("length", OK, get(b"Host: a", b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED))
for method in (b"DELETE", b"PUT", b"PATCH", b"OPTIONS"):
    head = (b"Host: a", b"Content-Length: %d" % len(SMUGGLED))
    add("length", OK, get(*head, line=method + b" / HTTP/1.1", body=SMUGGLED))
BAD_LENGTHS = [
    b"",
    b"+5",
    b"-5",
    b"-0",
    b"5,5",
    b"5, 5",
    b"5;",
    b"0x5",
    b"5.0",
    b"1e1",
    b"five",
    b"5 5",
    b"5_0",
    b'"5"',
]
BAD_LENGTHS += [b"\xd9\xa5", b"5\x00", b"5\x0b", b"%", b"\xb2", b"5\r\n 0"]
add("bad length", BAD, *(post(b"Content-Length: " + each, body=SMUGGLED) for each in BAD_LENGTHS))
add("bad length", BAD, post(b"Content-Length: 5", b"Content-Length: 5", body=FIVE))
add("bad length", BAD, post(b"Content-Length: 5", b"Content-Length: 0", body=FIVE + SMUGGLED))
add("bad length", BAD, post(b"Content-Length: 0", b"Content-Length: 5", body=FIVE + SMUGGLED))
add("bad length", BAD, post(b"Content-Length : 5", body=FIVE), post(b"Content-Length\x0b: 5", body=FIVE))
for huge in (b"9" * 16, b"9" * 100, b"%d" % 2**63, b"%d" % (2**64 + 5)):
    add("huge length", (413,), post(b"Content-Length: " + huge, body=FIVE))

# Transfer-Encoding (RFC 9112, 6.1)
ENDED = b"0\r\n\r\n"
for coding in (b"chunked", b"Chunked", b"CHUNKED", b" chunked ", b"\tchunked\t"):
    add("coding", OK, post(b"Transfer-Encoding:" + coding, body=b"5\r\n12345\r\n" + ENDED))
OTHERS = [
    b"",
    b"identity",
    b"gzip",
    b"xchunked",
    b"chunked2",
    b"chunked;q=1",
    b"chunked, identity",
    b"identity, chunked",
]
OTHERS += [b"gzip, chunked", b"chunked, chunked", b'"chunked"', b"chunked,", b",chunked", b"chun ked", b"chunked\xa0"]
add("other coding", (501,), *(post(b"Transfer-Encoding: " + each, body=ENDED + SMUGGLED) for each in OTHERS))
for sneaky in (
    b"\x0bchunked",
    b"chunked\x00",
    b"\x0cchunked",
    b"chunked\r\n ",
    b"\r\n chunked",
    b"\rchunked",
    b"\nchunked",
):
    add("bad coding", BAD, post(b"Transfer-Encoding: " + sneaky, body=ENDED + SMUGGLED))
BOTH = [(b"Content-Length: 5", b"Transfer-Encoding: chunked"), (b"Transfer-Encoding: chunked", b"Content-Length: 5")]
BOTH += [(b"Transfer-Encoding: identity", b"Content-Length: 5"), (b"Content-Length: 5", b"Transfer-Encoding: x")]
BOTH += [
    (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    (b"transfer-encoding: chunked", b"content-length: x"),
]
BOTH += [
    (b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
    (b"Content-Length: 0", b"Transfer-Encoding: chunked"),
]
add("both", BAD, *(post(*headers, body=ENDED + SMUGGLED) for headers in BOTH))
add("both", BAD, post(b"Transfer-Encoding : chunked", body=ENDED), post(b"Transfer-Encoding\t: chunked", body=ENDED))
add("both", BAD, get(b"Host: a", b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0", body=ENDED + SMUGGLED))
add("underscore", OK, post(b"Content_Length: 5"), post(b"Transfer_Encoding: chunked"))

# Chunks (RFC 9112, 7.1)
SIZES = [b"5", b"05", b"0005", b"5;x", b"5;x=y", b'5;x="y"', b"5 ;x", b"5;", b"00000005", b"5;" + b"x" * 900]
add("chunk", OK, *(chunked(size + b"\r\n12345\r\n" + ENDED) for size in SIZES))
add("chunk", OK, chunked(b"a\r\n1234567890\r\n" + ENDED), chunked(b"A\r\n1234567890\r\n" + ENDED), chunked(ENDED))
add("chunk", OK, chunked(b"1\r\n1\r\n" * 200 + ENDED), chunked(b"5\r\n\r\n0\r\n\r\n" + ENDED), chunked(b"000\r\n\r\n"))
add("chunk", OK, chunked(b"0;x\r\n\r\n"), chunked(b"%x\r\n%b\r\n" % (len(SMUGGLED), SMUGGLED) + ENDED))
add("chunk", OK, get(b"Host: a", b"Transfer-Encoding: chunked", body=b"5\r\n12345\r\n" + ENDED))
BAD_SIZES = [
    b"",
    b"x",
    b"0x5",
    b"+5",
    b"-5",
    b" 5",
    b"5 ",
    b"5 5",
    b"5,",
    b"5.0",
    b"g",
    b"123456789",
    b"f" * 16,
    b"5\x00",
]
BAD_SIZES += [b"5;\x00", b"5;x\x0b", b"5\x0b", b"5;" + b"x" * 1100, b"\xb5", b"5;x\rx", b"5;x\nx", b"5\r", b"0" * 9]
add("bad chunk", BAD, *(chunked(size + b"\r\n12345\r\n" + ENDED + SMUGGLED) for size in BAD_SIZES))
for wrong in (b"5\n12345\r\n", b"5\r12345\r\n", b"5\r\n12345\n", b"5\r\n12345\r", b"5\r\n12345", b"5\r\n123456\r\n"):
    add("bad chunk", BAD, chunked(wrong + ENDED + SMUGGLED))
add(
    "bad chunk",
    BAD,
    chunked(b"4\r\n12345\r\n" + ENDED),
    chunked(b"5\r\n12345\r\n\r\n" + ENDED),
    chunked(b"1\r\n1\r\n" * 5000),
)
TRAILERS = [
    b"X: y\r\n",
    b"X: y\r\nZ: \r\n",
    b"Host: b\r\n",
    b"Content-Length: 100\r\n",
    b"Transfer-Encoding: chunked\r\n",
]
add("trailer", OK, *(chunked(b"0\r\n" + each + b"\r\n") for each in TRAILERS))
BAD_TRAILERS = [b"x\r\n", b": y\r\n", b"X : y\r\n", b" X: y\r\n", b"X: y\r\n z\r\n", b"X: y\n", b"X: \x00\r\n"]
BAD_TRAILERS += [b"X: y\r\n" * 101, b"X: " + b"y" * 20_000 + b"\r\n"]
add("bad trailer", BAD, *(chunked(b"0\r\n" + each + b"\r\n" + SMUGGLED) for each in BAD_TRAILERS))

# Header lines (RFC 9112, 5)
GOOD_HEADERS = [b"X:y", b"X:", b"X: ", b"X:\ty", b"X: y z", b"X: \xc3\xa9", b"X: \xff", b"X-_.~!#$%&'*+^`|: y", b"1: y"]
GOOD_HEADERS += [b"X: y:z", b"X: " + b"y" * 8000, b"X: a\r\nX: b", b"x" * 200 + b": y", b'X: "y']
add("header", OK, *(get(b"Host: a", each) for each in GOOD_HEADERS))
add("header", OK, get(b"Host: a", *(b"X-%d: y" % number for number in range(99))))
BAD_HEADERS = [
    b"X",
    b": y",
    b" X: y",
    b"\tX: y",
    b"X : y",
    b"X\t: y",
    b"X y: z",
    b"(X): y",
    b"X[]: y",
    b"X@: y",
    b'"X": y',
]
BAD_HEADERS += [
    b"X{}: y",
    b"X/: y",
    b"X\\: y",
    b"\xc3\xa9: y",
    b"X\x00: y",
    b"X\x7f: y",
    b"X: \x00",
    b"X: \x01",
    b"X: \x7f",
]
BAD_HEADERS += [
    b"X: y\r\n z",
    b"X: y\r\n\tz",
    b"X: y\r\n ",
    b"X: y\rz",
    b"X: y\nz: a",
    b"X: y\n z",
    b"X: y\r\r",
    b"X;y",
    b"=: y",
]
add("bad header", BAD, *(get(b"Host: a", each) for each in BAD_HEADERS))
add("bad header", BAD, b"GET / HTTP/1.1\nHost: a\n\n" + NEXT, b"GET / HTTP/1.1\r\nHost: a\n\n" + NEXT)
add("bad header", BAD, b"GET / HTTP/1.1\r\nHost: a\r\n\n" + NEXT, b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n" + NEXT)
add("many headers", (431,), get(b"Host: a", *(b"X-%d: y" % number for number in range(100))))
add("many headers", (431,), get(b"Host: a", *(b"a:" for _ in range(5000))), get(b"Host: a", b"X: " + b"y" * 17_000))
add("many headers", (431,), get(b"Host: a", b"X: " + b"y" * 400_000), get(b"Host: a", b"x" * 17_000 + b": y"))
add("many headers", (431,), get(b"Host: a", *(b"X-%d: " % number + b"y" * 1000 for number in range(20))))

# Request lines (RFC 9112, 3)
METHODS = [b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"PURGE", b"PROPFIND", b"M-SEARCH", b"X"]
add("method", OK, *lines(*(each + b" / HTTP/1.1" for each in METHODS)))
add("method", OK, get(b"Host: a", line=b"HEAD / HTTP/1.1"))
BAD_METHODS = [b"get", b"Get", b"GE T", b"GET\t", b"G\x00T", b"(GET)", b"GET:", b"", b"\xc3\x89", b"A" * 100, b"-"]
add("bad method", BAD, *lines(*(each + b" / HTTP/1.1" for each in BAD_METHODS)))
add("connect", (405,), *lines(b"CONNECT a:443 HTTP/1.1", b"CONNECT a HTTP/1.1"))
add("version", (505,), *lines(*(b"GET / HTTP/" + each for each in (b"0.9", b"1.2", b"1.9", b"2.0", b"3.0", b"9.9"))))
add("version", (505,), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + NEXT)
BAD_VERSIONS = [
    b"",
    b" ",
    b" HTTP/1",
    b" HTTP/1.",
    b" HTTP/.1",
    b" HTTP/1.10",
    b" HTTP/11",
    b" HTTP/01.1",
    b" http/1.1",
]
BAD_VERSIONS += [
    b" HTTPS/1.1",
    b" HTTP /1.1",
    b" HTTP/1.1 ",
    b"  HTTP/1.1",
    b"\tHTTP/1.1",
    b" HTTP/1,1",
    b" HTTP/1.1 x",
]
BAD_VERSIONS += [b" HTTP/1.1\x00", b" HTTP/-1.1", b" ICY/1.1", b" HTTP/1.1\x0b", b" HTTP/\xb9.1"]
add("bad version", BAD, *lines(*(b"GET /" + each for each in BAD_VERSIONS)))
add("empty lines", OK, b"\r\n" + get(b"Host: a"), b"\r\n\r\n\r\n" + get(b"Host: a"))
add(
    "bad line", BAD, b"\n" + get(b"Host: a"), b" " + get(b"Host: a"), b"\x00" + get(b"Host: a"), b"\r" + get(b"Host: a")
)
add("bad line", BAD, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n" + NEXT, b"hello\r\n\r\n" + NEXT)
add("bad line", BAD, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + NEXT, b'{"jsonrpc": "2.0"}\r\n\r\n' + NEXT)

# Targets
TARGETS = [
    b"/a",
    b"//",
    b"/../",
    b"/..",
    b"/../../etc/passwd",
    b"/./",
    b"/%2e%2e/",
    b"/a//b",
    b"//a/b",
    b"/%2f",
    b"/%5c",
]
TARGETS += [
    b"/%c3%a9",
    b"/%ff",
    b"/%c0%af",
    b"/a\\b",
    b"/?a=b",
    b"/?",
    b"/??",
    b"/?%00",
    b"/?%zz",
    b"/a;b=c",
    b"/~a",
    b"/@",
]
TARGETS += [
    b"/|",
    b'/"',
    b"/{}",
    b"/<>",
    b"/^",
    b"/`",
    b"/a:80",
    b"/http://b/",
    b"/" + b"a" * 8000,
    b"/%0d%0aX:y",
    b"/%20",
]
add("target", OK, *lines(*(b"GET " + each + b" HTTP/1.1" for each in TARGETS)))
BAD_TARGETS = [
    b"",
    b"a",
    b"*",
    b"a/b",
    b"?a",
    b"#",
    b"/#a",
    b"/?a#b",
    b"/a b",
    b"/\xc3\xa9",
    b"/\x00",
    b"/\x7f",
    b"/\x01",
]
BAD_TARGETS += [
    b"/%00",
    b"/%",
    b"/%4",
    b"/%zz",
    b"/%%41",
    b"\\",
    b"/\ta",
    b"a:80",
    b"ftp://a/",
    b"http:/a",
    b"http://",
    b"file:///x",
]
add("bad target", BAD, *lines(*(b"GET " + each + b" HTTP/1.1" for each in BAD_TARGETS)))
add("long target", (414,), *lines(b"GET /" + b"a" * 8200 + b" HTTP/1.1", b"GET /?" + b"a" * 100_000 + b" HTTP/1.1"))
ABSOLUTE = [b"http://a/", b"http://a", b"HTTP://A/x", b"https://a/x?y", b"http://a?x"]
add("absolute", OK, *lines(*(b"GET " + each + b" HTTP/1.1" for each in ABSOLUTE)))
add("absolute", OK, *lines(b"OPTIONS * HTTP/1.1"))
OTHER = [b"http://b/", b"http://a:80/", b"http://u@a/", b"http://a.b/", b"http://a#x", b"http:///a", b"http://[::1/"]
add("other absolute", BAD, *lines(*(b"GET " + each + b" HTTP/1.1" for each in OTHER)))
add("other absolute", BAD, get(line=b"GET http://a/ HTTP/1.1"), *lines(b"POST * HTTP/1.1"))

# One behind the other
ONE = b"GET /one HTTP/1.1\r\nHost: a\r\n\r\n"
BODY = b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345"
for count in (2, 10, 50):
    add("pipeline", (200,) * (count + 1), ONE * count + NEXT, BODY * count + NEXT)
add("pipeline", (200,) * 4, BODY + b"\r\n" + ONE + BODY + NEXT, ONE + BODY + ONE + NEXT)
add(
    "pipeline",
    (200, 400),
    ONE + b"GET / HTTP/1.1\r\n\r\n" + NEXT,
    BODY + b"x" + NEXT,
    BODY + b"6" * 10 + b"\r\n\r\n" + NEXT,
)
add("pipeline", (200,), NEXT + SMUGGLED, NEXT * 3, ONE.replace(b"1.1", b"1.0") + SMUGGLED)
add("pipeline", (200, 200), ONE + NEXT + SMUGGLED)

# What a connection is asked for
for field in (b"close", b"Close", b"keep-alive, close", b"close, x", b"x,close", b"x\r\nConnection: close"):
    add("close", (200,), get(b"Host: a", b"Connection: " + field))
for field in (b"keep-alive", b"x", b"closed", b"close-x", b"", b"host", b"content-length", b"upgrade"):
    add("kept", OK, get(b"Host: a", b"Connection: " + field))
add(
    "kept",
    OK,
    get(b"Host: a", b"Keep-Alive: timeout=5"),
    get(b"Host: a", b"TE: trailers"),
    get(b"Host: a", b"Trailer: X"),
)
WEBSOCKET = (b"Upgrade: websocket", b"Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEC==", b"Sec-WebSocket-Version: 13")
add("upgrade", OK, get(b"Host: a", b"Connection: Upgrade", *WEBSOCKET))
add(
    "upgrade", OK, get(b"Host: a", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")
)
add(
    "upgrade",
    OK,
    post(b"Connection: upgrade", b"Upgrade: h2c", b"Content-Length: 5", body=FIVE),
    get(b"Host: a", b"Upgrade: x"),
)
add("expect", OK, post(b"Expect: 100-continue", b"Content-Length: 5", body=FIVE), post(b"Expect: 100-Continue"))
add("expect", OK, chunked(b"5\r\n12345\r\n" + ENDED, b"Expect: 100-continue"))
add("other expect", (417,), post(b"Expect: x"), post(b"Expect: 100-continue, x"), post(b"Expect:"))
add("other expect", BAD, post(b"Expect: 100-continue", b"Expect: 100-continue"))

# What breaks off: the client closes its side behind it
GOOD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345"
add("cut", (), b"", b"\r\n", *(GOOD[:length] for length in (1, 4, 15, 17, 20, 30, 36, 44, 48, 51)), hangs_up=True)
add("cut", (200,), GOOD, GOOD + b"GET", GOOD + b"GET / HTTP/1.1\r\nHost: a\r\n", hangs_up=True)
CUT = GOOD.replace(b"Content-Length: 5", b"Transfer-Encoding: chunked").removesuffix(FIVE)
for rest in (
    b"",
    b"5",
    b"5\r\n",
    b"5\r\n123",
    b"5\r\n12345",
    b"5\r\n12345\r\n",
    b"5\r\n12345\r\n0",
    b"0\r\n",
    b"0\r\nX: y\r\n",
):
    add("cut", (), CUT + rest, hangs_up=True)
add("cut", (200,), CUT + b"5\r\n12345\r\n" + ENDED, hangs_up=True)

TAB = "a tab around a value, which RFC 9110 (5.5) allows; nginx takes it for a part of it"
DOTS = "nginx resolves dots and refuses to leave the root; here a path is compared as it is, and names no file"
LAXER_THAN_NGINX = {
    "host 13": TAB,
    "length 4": TAB,
    "coding 5": TAB,
    "old host 1": "served to HTTP/1.0 itself; nginx passes it on as HTTP/1.1 without a Host, and that is refused here",
    "header 15": "as many as there may be; nginx adds one more",
    "target 3": DOTS,
    "target 4": DOTS,
    "target 5": DOTS,
    "target 7": DOTS,
    "absolute 6": "OPTIONS * is good HTTP; nginx does not pass it on",
    "kept 3": "nginx looks for close anywhere in the field, and closes; what it has read is answered all the same",
    "kept 4": "nginx looks for close anywhere in the field, and closes; what it has read is answered all the same",
    "cut 13": "a client that has closed its side gets its answer; for nginx it is gone",
    "cut 14": "a client that has closed its side gets its answer; for nginx it is gone",
    "cut 15": "a client that has closed its side gets its answer; for nginx it is gone",
    "cut 25": "a client that has closed its side gets its answer; for nginx it is gone",
}
"""What nginx refuses (or us behind it) and we serve, and why that is no danger."""
