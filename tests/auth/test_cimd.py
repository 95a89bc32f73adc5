"""Clients whose id is a document: fetched from real servers of this machine, which count what they are asked."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from headrace.exceptions import FetchError
from headrace.server.auth.oauth import cimd
from headrace.server.auth.oauth.cimd import ClientDocuments, is_document_id
from headrace.server.auth.oauth.contract import RegistrationError
from headrace.transports.http.fetch import fetch
from tests.certificates import self_signed

HOST = "client.example"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Site:
    """Serves every path; `answers` are raw, the default is a good document of the URL that is asked for."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[str] = []
        self.headers = "content-type: application/json"
        self.members: dict[str, Any] = {}
        self.answer: bytes | None = None
        self.arrived, self.go_on = asyncio.Event(), asyncio.Event()
        self.go_on.set()

    def url(self, path: str = "/client.json", host: str = HOST) -> str:
        return f"https://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path, host = head.split()[1], head.lower().partition("\r\nhost: ")[2].partition("\r\n")[0]
            self.asked.append(f"https://{host}{path}")
            self.arrived.set()
            await self.go_on.wait()
            writer.write(self.answer or self.good(f"https://{host}{path}"))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def good(self, url: str) -> bytes:
        document = {"client_id": url, "client_name": "A client", "redirect_uris": ["http://localhost:3000/cb"]}
        body = json.dumps(document | self.members).encode()
        return f"HTTP/1.1 200 OK\r\n{self.headers}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("tls"), HOST)


@pytest.fixture
async def site(certificate: Path) -> AsyncIterator[Site]:
    site = Site()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0, ssl=tls)
    site.port = server.sockets[0].getsockname()[1]
    async with server:
        yield site
        site.go_on.set()


async def here(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def documents(certificate: Path, clock: Clock) -> ClientDocuments:
    return made(certificate, clock)


def made(certificate: Path, clock: Clock, **options: Any) -> ClientDocuments:
    tls = ssl.create_default_context(cafile=certificate)
    return ClientDocuments(allow_private=True, resolve=here, tls=tls, clock=clock, **options)


@asynccontextmanager
async def refused(match: str, error: str = "invalid_client") -> AsyncIterator[None]:
    with pytest.raises(RegistrationError, match=match) as caught:
        yield
    assert caught.value.error == error
    assert str(caught.value).isprintable()


async def test_a_client_is_what_its_document_says(site: Site, documents: ClientDocuments) -> None:
    site.members = {"unknown": 1, "grant_types": ["authorization_code", "urn:x"], "scope": "a b", "logo_uri": None}
    client = await documents.get(site.url())
    assert client.client_id == site.url()
    assert client.client_name == "A client"
    assert client.redirect_uris == ["http://localhost:3000/cb"]
    assert client.grant_types == ["authorization_code"]
    assert client.token_endpoint_auth_method == "none"
    assert client.application_type == "native"
    assert site.asked == [site.url()]


async def test_a_client_that_signs(site: Site, documents: ClientDocuments) -> None:
    site.members = {
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks_uri": "https://client.example/keys",
        "redirect_uris": ["https://client.example/cb", "http://localhost/"],
    }
    client = await documents.get(site.url("/a/b?c=d"))
    assert client.jwks_uri == "https://client.example/keys"


BAD_IDS = [
    *("https://client.example", "https://client.example/", "http://client.example/a", "https://", "https:client"),
    *(
        "https://client.example/a#b",
        "https://me@client.example/a",
        "https://me:pw@client.example/a",
        "ftp://x.example/a",
    ),
    *("https://client.example/a/../b", "https://client.example/%2e%2e/b", "https://client.example/./b", "client"),
    *("https://client.example\\@evil.example/a", "https://client.example:0/a", "https://client.example:/a", ""),
    *("https://client.example:99999/a", "https://client.example:0443/a", "https://client.example./a", "https://[::1/a"),
    *("https://2130706433/a", "https://127.1/a", "https://client.example/a b", "https://client.example/\r\na"),
    *("HTTPS://client.example/a", "com.example.app:/a", "https://client.example/" + "a" * 2048),
]


@pytest.mark.parametrize("client_id", BAD_IDS)
async def test_ids_that_are_no_documents(client_id: str) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        raise AssertionError("nothing is fetched")

    async with refused("client id"):
        await ClientDocuments(resolve=resolve).get(client_id)


async def test_only_public_addresses_are_asked(site: Site, certificate: Path) -> None:
    tls = ssl.create_default_context(cafile=certificate)
    async with refused("no public address"):
        await ClientDocuments(resolve=here, tls=tls).get(site.url())
    for host in ("127.0.0.1", "[::1]", "localhost", "169.254.169.254"):
        async with refused("can't be read"):
            await ClientDocuments().get(site.url(host=host))
    assert not site.asked


BAD_MEMBERS: list[tuple[dict[str, Any], str]] = [
    ({"client_id": None}, "not its URL"),
    ({"client_id": 1}, "client_id"),
    ({"client_id": "https://client.example/client.json"}, "not its URL"),
    ({"client_name": None}, "no client_name"),
    ({"client_name": " "}, "no client_name"),
    ({"client_name": "a\u202eb"}, "client_name"),
    ({"redirect_uris": None}, "at least one"),
    ({"redirect_uris": ["javascript:alert(1)"]}, "scheme"),
    ({"redirect_uris": ["https://*.example.com/"]}, "wildcard"),
    ({"client_secret": "x"}, "everybody can read"),
    ({"client_secret_expires_at": 0}, "everybody can read"),
    ({"token_endpoint_auth_method": "client_secret_basic"}, "token_endpoint_auth_method"),
    ({"token_endpoint_auth_method": "client_secret_post"}, "token_endpoint_auth_method"),
    ({"token_endpoint_auth_method": "client_secret_jwt"}, "token_endpoint_auth_method"),
    ({"token_endpoint_auth_method": "private_key_jwt"}, "jwks or jwks_uri"),
    ({"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "http://a.example/"}, "jwks_uri"),
    ({"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [{"kty": "oct", "k": "a"}]}}, "public keys"),
    ({"application_type": "web"}, "application_type"),
    ({"grant_types": ["client_credentials"]}, "grant_types"),
    ({"logo_uri": "javascript:alert(1)"}, "logo_uri"),
]


@pytest.mark.parametrize(("members", "message"), BAD_MEMBERS)
async def test_documents_that_are_refused(
    site: Site, documents: ClientDocuments, members: dict[str, Any], message: str
) -> None:
    site.members = members
    async with refused(message):
        await documents.get(site.url())


JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
BAD_ANSWERS = [
    (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "the answer is 404"),
    (b"HTTP/1.1 302 Found\r\nlocation: https://127.0.0.1/\r\ncontent-length: 0\r\n\r\n", "the answer is 302"),
    (b"HTTP/1.1 206 Partial\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}", "the answer is 206"),
    (b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\n{}", "application/json"),
    (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "application/json"),
    (JSON_HEAD + b"content-length: 9\r\n\r\n<html>...", "no client metadata"),
    (JSON_HEAD + b"content-length: 2\r\n\r\n[]", "no client metadata"),
    (JSON_HEAD + b"content-length: 5000\r\n\r\n" + b'{"a":' * 1000, "no client metadata"),
]
OUT_OF_ORDER = [
    (b"HTTP/1.1 503 Down\r\ncontent-length: 0\r\n\r\n", "the answer is 503"),
    (b"HTTP/1.1 429 Slow down\r\ncontent-length: 0\r\n\r\n", "the answer is 429"),
    (JSON_HEAD + b"content-length: 6000\r\n\r\n" + b" " * 6000, "more than 5120 bytes"),
    (JSON_HEAD + b"content-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}", "compressed"),
    (b"garbage\r\n\r\n", "can't be fetched"),
]
"""Nobody throws a login away for it."""


@pytest.mark.parametrize(("answer", "message"), BAD_ANSWERS + OUT_OF_ORDER)
async def test_answers_that_are_refused(site: Site, documents: ClientDocuments, answer: bytes, message: str) -> None:
    site.answer = answer
    async with refused(message, "invalid_client" if (answer, message) in BAD_ANSWERS else "temporarily_unavailable"):
        await documents.get(site.url())
    site.answer = None
    assert (await documents.get(site.url())).client_id == site.url()  # an error is not kept


@pytest.mark.parametrize(
    ("control", "seconds"),
    [
        (None, 3600),
        ("max-age=600", 600),
        ("public, Max-Age = 600 ", 600),
        ("max-age=0", 60),
        ("no-store", 60),
        ("max-age=600, no-cache", 60),
        ("max-age=999999999999", 24 * 3600),
        ("max-age=nonsense", 3600),
        ("s-max-age=1", 3600),
    ],
)
async def test_how_long_a_document_is_believed(
    site: Site, documents: ClientDocuments, clock: Clock, control: str | None, seconds: float
) -> None:
    site.headers += "" if control is None else f"\r\ncache-control: {control}"
    await documents.get(site.url())
    clock.now += seconds - 1
    await documents.get(site.url())
    assert len(site.asked) == 1
    clock.now += 2
    site.members = {"client_name": "Renamed"}
    assert (await documents.get(site.url())).client_name == "Renamed"


async def test_what_is_over_is_not_believed_any_longer(site: Site, documents: ClientDocuments, clock: Clock) -> None:
    await documents.get(site.url())
    clock.now += 4000
    site.answer = BAD_ANSWERS[0][0]
    async with refused("404"):
        await documents.get(site.url())


async def test_many_who_ask_at_once_share_one_fetch(site: Site, documents: ClientDocuments) -> None:
    site.go_on.clear()
    asking = [asyncio.create_task(documents.get(site.url())) for _ in range(20)]
    async with asyncio.timeout(5):
        await site.arrived.wait()
        asking.pop(0).cancel()  # one who stops waiting, though it came first, stops no other
        await asyncio.sleep(0)
        site.go_on.set()
        clients = await asyncio.gather(*asking)
    assert {client.client_id for client in clients} == {site.url()}
    assert len(site.asked) == 1


async def test_few_fetches_at_once(site: Site, documents: ClientDocuments, monkeypatch: pytest.MonkeyPatch) -> None:
    site.go_on.clear()
    asking = [asyncio.create_task(documents.get(site.url(f"/{number}"))) for number in range(4)]
    await asyncio.sleep(0)
    async with refused("wait a minute", "temporarily_unavailable"):
        await documents.get(site.url("/more"))
    monkeypatch.setattr(cimd, "_AT_ONCE", 4)
    async with refused("wait a minute", "temporarily_unavailable"):
        await documents.get(site.url(host="other.example"))
    site.go_on.set()
    assert len(await asyncio.gather(*asking)) == 4
    await documents.get(site.url("/more"))


async def test_few_fetches_in_a_minute(site: Site, documents: ClientDocuments, clock: Clock) -> None:
    site.answer = BAD_ANSWERS[0][0]
    for number in range(30):
        async with refused("404"):
            await documents.get(site.url(f"/{number}"))
    async with refused("wait a minute", "temporarily_unavailable"):
        await documents.get(site.url("/more"))
    assert len(site.asked) == 30
    clock.now += 61
    site.answer = None
    await documents.get(site.url("/more"))


async def test_few_fetches_in_a_minute_for_all_hosts_together(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return []

    documents = ClientDocuments(resolve=resolve, clock=clock)
    for number in range(300):
        async with refused("no address", "temporarily_unavailable"):
            await documents.get(f"https://{number}.victim.example/a")
    for number in range(1200):  # nor do those that are refused make it forget, or grow
        async with refused("wait a minute", "temporarily_unavailable"):
            await documents.get(f"https://more-{number}.victim.example/a")
    assert len(asked) == 300
    assert len(documents._documents._times) == 301


async def test_hosts_whose_dns_hangs_stop_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lookup can't be stopped: it holds its thread past the timeout."""
    lookup, go_on = socket.getaddrinfo, threading.Event()

    def slow(host: str, *arguments: Any, **options: Any) -> Any:
        if host.endswith(".slow.example"):
            go_on.wait(30)
            raise OSError("no such host")
        return lookup(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    monkeypatch.setattr(cimd, "_SECONDS", 0.2)
    documents = ClientDocuments()
    asking = [asyncio.create_task(documents.get(f"https://{number}.slow.example/a")) for number in range(32)]
    try:
        results = await asyncio.gather(*asking, return_exceptions=True)
        assert all("did not answer within" in str(each) for each in results)
        async with asyncio.timeout(5):
            assert await asyncio.to_thread(lambda: "free") == "free"
            with pytest.raises(FetchError, match="no public address"):
                await fetch("https://localhost/", max_bytes=1, timeout=5)
    finally:
        go_on.set()


async def test_what_is_kept_is_bounded(site: Site, documents: ClientDocuments, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cimd, "_MAX_KEPT", 3)
    for path in ("/1", "/2", "/3", "/1", "/4"):
        await documents.get(site.url(path))
    assert len(site.asked) == 4
    await documents.get(site.url("/1"))
    assert len(site.asked) == 4
    await documents.get(site.url("/2"))  # had not been used for longest
    assert len(site.asked) == 5


async def test_only_hosts_that_are_named(site: Site, certificate: Path, clock: Clock) -> None:
    documents = made(certificate, clock, hosts=["Client.Example"])
    assert (await documents.get(site.url())).client_name == "A client"
    for host in ("other.example", "client.example.evil.example", "xclient.example", "evil.client.example"):
        async with refused(f"does not take clients of {host}"):
            await documents.get(site.url(host=host))


async def test_keys_of_clients_are_fetched_with_the_same_care(
    site: Site, documents: ClientDocuments, clock: Clock, certificate: Path
) -> None:
    site.members = {"keys": []}
    for _ in range(3):
        assert (await documents.keys(site.url("/keys")))["keys"] == []
    assert len(site.asked) == 1
    clock.now += 301
    await documents.keys(site.url("/keys"))
    assert len(site.asked) == 2
    site.answer = BAD_ANSWERS[0][0]
    for number in range(29):
        async with refused("404"):
            await documents.keys(site.url(f"/{number}"))
    async with refused("wait a minute", "temporarily_unavailable"):
        await documents.keys(site.url("/more"))
    site.answer = JSON_HEAD + b"content-length: 2\r\n\r\n[]"
    clock.now += 61
    async with refused("no JWK set"):
        await documents.keys(site.url("/more"))
    async with refused("no public address"):
        await ClientDocuments(resolve=here, tls=ssl.create_default_context(cafile=certificate)).keys(site.url())


def test_which_ids_are_documents() -> None:
    assert is_document_id("https://client.example/a")
    assert not is_document_id("http://client.example/a")
    assert not is_document_id("8gQ3rT_-x")


def test_there_are_so_many_that_are_refused() -> None:
    assert (len(BAD_IDS), len(BAD_MEMBERS), len(BAD_ANSWERS + OUT_OF_ORDER)) == (28, 20, 13)
