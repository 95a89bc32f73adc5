"""URLs from outside never lead this server into a private network: of each, no connection is even tried.

Python itself tells of every connection (an audit hook), whoever makes it. Names are resolved by a stub; what looks like
an address is read as the system does, which is how the tricks with other spellings work.
"""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

import headrace
from headrace.client.auth.documents import LoginError
from headrace.client.auth.web import Web
from headrace.exceptions import FetchError
from headrace.resources import HttpResource
from headrace.transports.http.fetch import fetch

PUBLIC = "93.184.215.14"
NAME = "files.example"

_tried: list[Any] | None = None


def _tell(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and _tried is not None:
        _tried.append(arguments[1])
        assert arguments[1][0] == "127.0.0.1", "this test would have reached out"


sys.addaudithook(_tell)


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The addresses to which a connection was tried."""
    seen: list[Any] = []
    monkeypatch.setattr(sys.modules[__name__], "_tried", seen)
    return seen


class Dns:
    """Each call gives the next answer, the last one for ever; what is an address in some spelling is that address."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers) or [["127.0.0.1"]]
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
            return [str(each[4][0]) for each in found]
        except OSError:
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


IPV4 = [
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.254", "127.0.0.1", "127.255.0.1"),
    *("169.254.0.1", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.0.192"),
    *("192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1"),
    *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "168.63.129.16", "100.100.100.200"),
]
"""This network, private, CGNAT, loopback, link-local, clouds' metadata, assignments, documentation, benchmarks,
multicast, reserved, broadcast."""
SPELLED = [
    *("2130706433", "0x7f000001", "0X7F000001", "017700000001", "127.1", "127.0.1", "0x7f.1", "0x7f.0x0.0x0.0x1"),
    *("0177.0.0.1", "0177.0.0.0x1", "127.0.0.01", "0127.0.0.1", "00000177.0.0.1", "2852039166", "0xa9fea9fe"),
    *("0xA9.0xFE.0xA9.0xFE", "169.254.43518", "169.16689662", "025177524776", "0251.0376.0251.0376", "0", "0x0"),
    *(
        "127.0.0.1.",
        "127.0.0.1..",
        "10.1",
        "192.168.257",
        "0xc0a80101",
        "4294967295",
        "999.1.1.1",
        "1.2.3.4.5",
    ),
]
IPV6 = [
    *("::", "::1", "0:0:0:0:0:0:0:1", "fe80::1", "febf::1", "fec0::1", "fc00::1", "fd12:3456::1", "fd00:ec2::254"),
    *("fd20:ce::254", "ff02::1", "ff05::1:3", "ff0e::1", "100::1", "2001:db8::1", "3fff::1", "5f00::1", "4000::1"),
    *("::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:169.254.169.254", "::ffff:8.8.8.8", "::127.0.0.1", "::8.8.8.8"),
    *("::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::169.254.169.254", "64:ff9b::8.8.8.8", "64:ff9b:1::a00:1"),
    *("64:ff9b:1:fffe::10.0.0.1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:808:808::1", "2001::1", "2001:20::1"),
    *("2001:0:4136:e378:8000:63bf:80ff:fffe", "2606:4700::5efe:a00:1", "2606:4700::200:5efe:7f00:1", "2001:10::1"),
]
"""Unspecified, loopback, link-local, site-local, unique local, multicast, discard, documentation, segments; mapped,
compatible, translated, NAT64 (both), 6to4, Teredo, ISATAP, ORCHID."""
URLS = [
    # Schemes
    *("http://files.example/", "ftp://files.example/", "file:///etc/passwd", "gopher://127.0.0.1:6379/_x", "dict://x/"),
    *(
        "ws://files.example/",
        "data:text/plain,x",
        "javascript:alert(1)",
        "unix:///var/run/docker.sock",
        "https+unix://x/",
    ),
    *(
        "//files.example/",
        "/etc/passwd",
        "",
        "https:",
        "https://",
        "https:///x",
        "https:/files.example/",
        "https:files",
    ),
    # User names, and hosts that are two to two readers
    *("https://me@files.example/", "https://me:secret@files.example/", "https://files.example@127.0.0.1/"),
    *(
        "https://files.example:443@127.0.0.1/",
        "https://files.example\\@127.0.0.1/",
        "https://127.0.0.1\\@files.example/",
    ),
    *("https:\\\\127.0.0.1/", "https://files.example%2f@127.0.0.1/", "https://127.0.0.1#@files.example/"),
    *("https://files.example%00.127.0.0.1/", "https://%31%32%37.0.0.1/", "https://loc%61lhost/", "https://a b/"),
    *(
        "https://[::1/",
        "https://[::1]x/",
        "https://[127.0.0.1]/",
        "https://[fe80::1%25eth0]/",
        "https://[::1%25lo]/",
        "https://[::1%25\u2460]/",
    ),
    *(
        "https://[2606:4700:4700::1111%25eth0]/",
        "https://[v1.127.0.0.1]/",
        "https://files..example/",
        "https://.example/",
    ),
    # Letters
    *("https://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460/", "https://\uff11\uff12\uff17.0.0.1/", "https://\u0661.0.0.1/"),
    *("https://127\u30020\u30020\u30021/", "https://\u24dbocalhost/", "https://files.example\uff0f@127.0.0.1/"),
    *("https://\u200blocalhost/", "https://files.exam\u00adple\u2100.127.0.0.1/", "https://\ud800.example/"),
    # Lines
    *(
        "https://files.example/\r\nHost: x",
        "https://files.example\r\n.evil/",
        "https://files.example/\x00",
        "https://fi\tles/",
    ),
    *("https://files.example:443\r\nx: y/", "\nhttps://127.0.0.1/", "https://files.example:443:22/"),
    # Ports
    *(
        "https://files.example:0/",
        "https://files.example:22/",
        "https://files.example:25/",
        "https://files.example:53/",
    ),
    *(
        "https://files.example:465/",
        "https://files.example:636/",
        "https://files.example:6667/",
        "https://127.0.0.1:6379/",
    ),
    *(
        "https://files.example:65536/",
        "https://files.example:-1/",
        "https://files.example:0x1bb/",
        "https://[::1]:2375/",
    ),
    *("https://files.example:99999999999999999999/", "https://files.example:443x/", f"https://{'a' * 64}.example/"),
    f"https://{'a.' * 127}example/",
]
ANSWERS = [
    *(
        ["127.0.0.1"],
        ["::1"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["fe80::1%eth0"],
        ["fd00:ec2::254"],
        ["::ffff:10.0.0.1"],
    ),
    *([PUBLIC, "10.0.0.1"], ["10.0.0.1", PUBLIC], ["2606:4700:4700::1111", "::1"], [PUBLIC, "64:ff9b::a00:1"]),
    *([PUBLIC] * 9 + ["127.0.0.1"], ["0.0.0.0"], [], ["localhost"], ["127.1"], ["2130706433"], [""], ["10.0.0.1/8"]),
]
"""What the DNS says to a name that looks good."""

CASES: list[tuple[str, Dns]] = [
    *((f"https://{each}/latest/?key=secret", Dns([PUBLIC])) for each in (*IPV4, *SPELLED)),
    *((f"https://[{each}]/latest/?key=secret", Dns([PUBLIC])) for each in IPV6),
    *((each, Dns([PUBLIC])) for each in URLS),
    *((f"https://{NAME}/?key=secret", Dns(answer)) for answer in ANSWERS),
    *(
        (f"https://{host}/?key=secret", Dns(["127.0.0.1"]))
        for host in ("localhost", "localhost.", "LOCALHOST", "x.localhost")
    ),
]
ALWAYS = [
    *("169.254.169.254", "168.63.129.16", "100.100.100.200", "0.0.0.0", "224.0.0.1", "255.255.255.255", "192.0.0.192"),
    *("[fe80::1]", "[fd00:ec2::254]", "[fd20:ce::254]", "[::ffff:127.0.0.1]", "[::127.0.0.1]", "[64:ff9b::a00:1]"),
    *("[64:ff9b:1::a00:1]", "[2002:7f00:1::]", "[2001:0:4136:e378:8000:63bf:80ff:fffe]", "[::]", "[ff02::1]"),
    *("2130706433", "0x7f.1", "0177.0.0.1", "127.1", "127.0.0.1:22", "127.0.0.1:6000", "me@127.0.0.1", "127.0.0.1\\@x"),
]
"""Stays closed with allow_private, too."""


def test_there_are_so_many() -> None:
    assert len({(url, str(dns.answers)) for url, dns in CASES}) == len(CASES) == 193
    assert len(ALWAYS) == 26


def _name(case: object) -> str | None:
    return ascii(case)[1:60] if isinstance(case, str) else None


@pytest.mark.parametrize(("url", "dns"), CASES, ids=_name)
async def test_where_no_fetch_leads(url: str, dns: Dns, tried: list[Any]) -> None:
    with pytest.raises(FetchError) as caught:
        await fetch(url, max_bytes=1000, timeout=5, resolve=dns)
    assert tried == []
    assert str(caught.value).isprintable()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("place", ALWAYS)
async def test_where_no_fetch_leads_even_in_ones_own_network(place: str, tried: list[Any]) -> None:
    for scheme in ("https", "http"):
        with pytest.raises(FetchError):
            await fetch(f"{scheme}://{place}/", max_bytes=1000, timeout=5, resolve=Dns(), allow_private=True)
    assert tried == []


@asynccontextmanager
async def serving(answer: bytes) -> AsyncIterator[tuple[int, list[str]]]:
    """A server on this machine: its port, and the lines of the requests that came."""
    requests: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append((await reader.readuntil(b"\r\n\r\n")).decode().partition("\r\n")[0])
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], requests


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


async def test_the_hook_sees_a_connection(tried: list[Any]) -> None:
    async with serving(OK) as (port, requests):
        await fetch(f"http://127.0.0.1:{port}/", max_bytes=1000, timeout=5, allow_private=True)
    assert tried == [("127.0.0.1", port)]
    assert requests == ["GET / HTTP/1.1"]


async def test_a_second_answer_of_the_dns_changes_nothing(tried: list[Any]) -> None:
    dns = Dns(["127.0.0.1"], ["169.254.169.254"])
    async with serving(OK) as (port, _):
        url = f"http://{NAME}:{port}/"
        await fetch(url, max_bytes=1000, timeout=5, allow_private=True, resolve=dns)
        assert tried == [("127.0.0.1", port)]
        with pytest.raises(FetchError):  # the next fetch asks anew, and checks anew
            await fetch(url, max_bytes=1000, timeout=5, allow_private=True, resolve=dns)
    assert tried == [("127.0.0.1", port)]
    assert dns.asked == [NAME] * 2


def moved(location: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n".encode()


@pytest.mark.parametrize("location", ["https://169.254.169.254/", "http://127.0.0.1:1/", "//10.0.0.1/", "/again"])
async def test_a_redirect_is_not_followed(location: str, tried: list[Any]) -> None:
    async with serving(moved(location)) as (port, requests):
        resource = HttpResource(uri="data://x", url=f"http://127.0.0.1:{port}/", allow_private=True)
        with pytest.raises(FetchError, match="status 302"):
            await resource.read()
    assert tried == [("127.0.0.1", port)]
    assert len(requests) == 1


@pytest.mark.parametrize(
    "location", ["https://169.254.169.254/", "http://127.0.0.1:1/", "http://localhost/", "file:///x"]
)
async def test_a_login_follows_no_redirect_to_elsewhere(location: str, tried: list[Any]) -> None:
    async with serving(moved(location)) as (port, requests):
        url = f"http://127.0.0.1:{port}/"
        with pytest.raises(LoginError):
            await Web(httpx2.URL(url), None, None).get(url, "The metadata")
    assert tried == [("127.0.0.1", port)]
    assert len(requests) == 1


async def test_a_login_follows_few_redirects(tried: list[Any]) -> None:
    async with serving(moved("/again")) as (port, requests):
        url = f"http://127.0.0.1:{port}/"
        with pytest.raises(LoginError, match="in circles"):
            await Web(httpx2.URL(url), None, None).get(url, "The metadata")
    assert len(requests) == len(tried) == 3


async def test_a_login_at_a_public_server_leads_into_no_private_network(tried: list[Any]) -> None:
    web = Web(httpx2.URL("https://mcp.example.com/mcp"), None, None)
    for url in ("https://127.0.0.1/", "https://169.254.169.254/", "https://[::ffff:10.0.0.1]/", "https://10.1/"):
        with pytest.raises(LoginError):
            await web.get(url, "The metadata")
        with pytest.raises(LoginError):
            await web.post_form(url, {}, {}, "The token endpoint")
    assert tried == []


ROOT = Path(headrace.__file__).parent
OPENS = re.compile(
    r"^ *(?:import|from) (?:httpx2?|urllib\.request|http\.client|aiohttp|requests)\b|\b(?:open|create)_connection\(",
    re.MULTILINE,
)
"""What opens a connection to a URL or a host."""


def test_a_server_fetches_in_no_other_way() -> None:
    """Clients talk to the server that their user named; all else of the package has one way out."""
    rooms = [path for path in ROOT.iterdir() if path.name not in ("client", "cli", "testing")]
    files = [file for room in rooms for file in ([room] if room.suffix == ".py" else room.rglob("*.py"))]
    assert len(files) > 100
    opening = {file.relative_to(ROOT).as_posix() for file in files if OPENS.search(file.read_text())}
    assert opening == {"transports/http/fetch.py"}
