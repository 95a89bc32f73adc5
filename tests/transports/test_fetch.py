"""The one safe fetch, against real servers of this machine; only names are resolved by a stub."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from headrace.transports.http.fetch import Fetched, FetchError, fetch, is_public
from tests.certificates import self_signed

NAME = "files.example"
OK = b"HTTP/1.1 200 OK\r\nX-A: b\r\ncontent-length: 2\r\n\r\nhi"


class Dns:
    """Gives a name these addresses; keeps what it was asked."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return self.addresses


class Web:
    """A server that gives everybody the same answer, in pieces; keeps the requests."""

    def __init__(self, *pieces: bytes, end: bool = True) -> None:
        self.pieces = pieces
        self.end = end
        self.requests: list[str] = []
        self.names: list[str | None] = []
        self.port = 0
        self._released = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
            for piece in self.pieces:
                writer.write(piece)
                await writer.drain()
            if not self.end:
                await self._released.wait()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Web]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self
            self._released.set()


async def get(url: str, **options: Any) -> Fetched:
    given: dict[str, Any] = {"max_bytes": 1000, "timeout": 10, "allow_private": True, **options}
    return await fetch(url, **given)


PUBLIC = ["93.184.215.14", "8.8.8.8", "2606:4700:4700::1111", "2a00:1450:4001:80b::200e"]
CLOSED = [
    *("0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.8.9.1", "169.254.169.254", "172.16.0.1", "192.168.1.1"),
    *("192.0.0.1", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1"),
    *("239.255.255.250", "255.255.255.255", "168.63.129.16", "100.100.100.200"),
    *("::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "ff0e::1", "2001:db8::1", "3fff::1"),
    *("::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "::8.8.8.8", "::ffff:0:10.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:808:808::1"),
    *("2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:20::1", "100::1", "5f00::1", "2606:4700::5efe:a00:1"),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", CLOSED)
async def test_addresses_that_are_not_fetched(address: str) -> None:
    dns = Dns(address)
    with pytest.raises(FetchError, match="no public address"):
        await get(f"https://{NAME}/", resolve=dns, allow_private=False)
    assert dns.asked == [(NAME, 443)]


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "fe80::1", "224.0.0.1", "0.0.0.0", "::", "240.0.0.1", "168.63.129.16", "100.100.100.200"),
        *("fd00:ec2::254", "fd20:ce::254", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"),
    ],
)
async def test_addresses_that_are_not_even_ones_own(address: str) -> None:
    with pytest.raises(FetchError, match="no public address"):
        await get(f"https://{NAME}/", resolve=Dns(address))


async def test_one_bad_address_among_good_ones() -> None:
    with pytest.raises(FetchError, match=r"10\.0\.0\.1 is no public address"):
        await get(f"https://{NAME}/", resolve=Dns("8.8.8.8", "10.0.0.1"), allow_private=False)


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "[::1]", "[::ffff:7f00:1]", "localhost"]
)
async def test_other_spellings_of_this_machine(host: str) -> None:
    """The system's own resolver reads them, and what it reads is checked."""
    with pytest.raises(FetchError) as caught:
        await get(f"https://{host}/", allow_private=False)
    assert any(each in str(caught.value) for each in ("no public address", "can't be found", "no URL"))


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        (f"http://{NAME}/", {"allow_private": False}, "Only https"),
        (f"http://{NAME}/", {"resolve": Dns("8.8.8.8")}, "use https"),
        (f"http://{NAME}/", {"resolve": Dns("10.0.0.1")}, "use https"),
        ("ftp://files.example/", {}, "Only https"),
        ("file:///etc/passwd", {}, "Only https"),
        ("https:///x", {}, "Only https"),
        ("//files.example/x", {}, "Only https"),
        ("https://me:secret@files.example/", {}, "user name or password"),
        ("https://files.example:99999999/", {}, "no URL"),
        ("https://files.example/\r\nx", {}, "no URL"),
        (f"https://{NAME}/", {"resolve": Dns()}, "no address"),
        (f"https://{NAME}/", {"resolve": Dns("garbage")}, "can't be found"),
        (f"https://{'a' * 70}.example/", {}, "(can't be found|no URL)"),
    ],
)
async def test_urls_that_are_not_fetched(url: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(FetchError, match=message) as caught:
        await get(url, **options)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_a_name_that_stands_for_nothing() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        raise OSError("Name or service not known")

    with pytest.raises(FetchError, match=r"host of https://files.example can't be found: Name or"):
        await get(f"https://{NAME}/?token=x", resolve=resolve)


async def test_the_name_is_resolved_once_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9/")
    dns = Dns("127.0.0.1")
    async with Web(OK).running() as web:
        url = f"http://{NAME}:{web.port}/a?b=c#d"
        fetched = await get(url, resolve=dns, headers={"X-Mine": "1", "Host": "other", "Accept-Encoding": "gzip"})
    assert fetched == Fetched(200, {"x-a": "b", "content-length": "2"}, b"hi")
    assert dns.asked == [(NAME, web.port)]
    (request,) = web.requests
    lines = request.lower().split("\r\n")
    assert lines[0] == "get /a?b=c http/1.1"
    assert f"host: {NAME}:{web.port}" in lines
    assert {"x-mine: 1", "accept-encoding: identity", "user-agent: headrace"} <= set(lines)
    assert not [line for line in lines if "other" in line or "gzip" in line or "proxy" in line]


async def test_the_next_address_is_tried() -> None:
    async with Web(OK).running() as web:
        fetched = await get(f"http://{NAME}:{web.port}/", resolve=Dns("127.0.0.2", "127.0.0.1"))
    assert fetched.body == b"hi"


async def test_nobody_listens(free_port: int) -> None:
    with pytest.raises(FetchError, match=f"^http://{NAME}:{free_port} can't be fetched: ") as caught:
        await get(f"http://{NAME}:{free_port}/?token=x", resolve=Dns("127.0.0.1"))
    assert "token" not in str(caught.value)


async def test_redirects_are_not_followed() -> None:
    async with Web(b"HTTP/1.1 302 Found\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n").running() as web:
        fetched = await get(f"http://127.0.0.1:{web.port}/")
    assert (fetched.status, fetched.headers["location"]) == (302, "/other")
    assert len(web.requests) == 1


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n"], "more than 1000 bytes"),
        ([CHUNKED, *[b"200\r\n" + b"a" * 512 + b"\r\n"] * 2], "more than 1000 bytes"),
        ([b"HTTP/1.1 200 OK\r\n\r\n", b"a" * 1001], "more than 1000 bytes"),
        ([b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n"], "compressed"),
        ([b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhi"], "can't be fetched"),
        ([b"SSH-2.0-OpenSSH\r\n\r\n"], "can't be fetched"),
        ([b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 20000 + b"\r\n"], "can't be fetched"),
    ],
)
async def test_answers_that_are_refused(pieces: list[bytes], message: str) -> None:
    async with Web(*pieces, end="can't" in message).running() as web:
        with pytest.raises(FetchError, match=message):
            await get(f"http://127.0.0.1:{web.port}/")


@pytest.mark.parametrize("pieces", [[], [CHUNKED, b"1\r\na\r\n"]], ids=["silent", "stuck"])
async def test_the_whole_takes_so_long_at_most(pieces: list[bytes]) -> None:
    async with Web(*pieces, end=False).running() as web:
        with pytest.raises(FetchError, match=r"did not answer within 0\.2 seconds|can't be fetched"):
            await get(f"http://127.0.0.1:{web.port}/", timeout=0.2)


async def test_resolving_counts_too() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    with pytest.raises(FetchError, match="did not answer within"):
        await get(f"https://{NAME}/", resolve=resolve, timeout=0.1)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for NAME with its key, in one file."""
    return self_signed(tmp_path_factory.mktemp("tls"), NAME)


@pytest.mark.parametrize(
    ("host", "trusted", "message"),
    [
        (NAME, True, None),
        (f"{NAME}.", True, None),
        (NAME, False, "CERTIFICATE_VERIFY_FAILED"),
        ("other.example", True, "CERTIFICATE_VERIFY_FAILED"),
        ("127.0.0.1", True, "CERTIFICATE_VERIFY_FAILED"),
    ],
)
async def test_tls_is_for_the_name(certificate: Path, host: str, trusted: bool, message: str | None) -> None:
    web = Web(OK)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    server.sni_callback = lambda _socket, name, _context: web.names.append(name)
    client = ssl.create_default_context(cafile=certificate) if trusted else None
    async with web.running(server):
        fetching = get(f"https://{host}:{web.port}/", resolve=Dns("127.0.0.1"), tls=client)
        if message is None:
            assert (await fetching).body == b"hi"
        else:
            with pytest.raises(FetchError, match=message):
                await fetching
            assert not web.requests
    assert web.names == [None if host == "127.0.0.1" else host.rstrip(".")]
