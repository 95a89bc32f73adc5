"""The client's own HTTP/1.1 against servers out of sockets that answer whatever a row of a table says.

Where there is a doubt, httpx2's client is asked the same: `test_as_httpx2_does`.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from headrace.client.transports import http1, wire
from headrace.client.transports.http1 import MAX_HEAD, MAX_IDLE, MAX_UNREAD, Http1
from headrace.client.transports.wire import HttpWire
from headrace.exceptions import ClientError
from tests.certificates import self_signed

pytestmark = pytest.mark.usefixtures("no_tasks_left")
Eventually = Callable[[Callable[[], Any]], Awaitable[None]]
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
SECONDS = 10.0
NAME = "localhost"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
EVIL = b"HTTP/1.1 200 OK\r\nx-evil: 1\r\ncontent-length: 4\r\n\r\nevil"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


async def asked(reader: asyncio.StreamReader) -> bytes:
    """One request; nothing once the client is gone."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: (\d+)", head)
        return head + await reader.readexactly(int(length[1]) if length else 0)
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


class Web:
    """`requests` has those of each connection."""

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[list[bytes]] = []
        self.gone = 0

    @property
    def count(self) -> int:
        return len(self.requests)

    def url(self, host: str = "127.0.0.1", scheme: str = "http") -> httpx2.URL:
        return httpx2.URL(f"{scheme}://{host}:{self.port}/mcp")


@asynccontextmanager
async def serving(
    *answers: bytes | Script, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", close: bool = False
) -> AsyncIterator[Web]:
    """The answers of each connection, one for a request; the last one again and again, or then `close`."""
    web = Web()
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        mine: list[bytes] = []
        web.requests.append(mine)
        left = list(answers)
        try:
            while left and (request := await asked(reader)):
                mine.append(request)
                answer = left[0] if len(left) == 1 and not close else left.pop(0)
                if callable(answer):
                    await answer(reader, writer)
                else:
                    writer.write(answer)
                    await writer.drain()
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            web.gone += 1
            tasks.discard(task)

    server = await asyncio.start_server(serve, host, 0, ssl=tls)
    web.port = server.sockets[0].getsockname()[1]
    try:
        async with asyncio.timeout(SECONDS):
            yield web
            server.close()
            if tasks:
                await asyncio.wait(list(tasks))
    finally:
        server.close()
        for task in tasks:
            task.cancel()


@asynccontextmanager
async def http_client(tls: ssl.SSLContext | None = None) -> AsyncIterator[Http1]:
    client = Http1(tls or ssl.create_default_context())
    try:
        yield client
    finally:
        await client.aclose()


async def body_of(response: httpx2.Response) -> bytes:
    try:
        return b"".join([chunk async for chunk in wire.chunks_of(response)])
    finally:
        await response.aclose()


async def get(client: Http1, url: httpx2.URL) -> bytes:
    return await body_of(await client.ask("GET", url, {}, None))


async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say nothing until the client goes away."""
    with suppress(ConnectionError):
        await reader.read()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("tls"), NAME)


@pytest.fixture
def tls(certificate: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Of the server, and of a client that trusts it."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    return server, ssl.create_default_context(cafile=str(certificate))


# What is a response: the body, and whether its connection is used again

GOOD: dict[str, tuple[bytes, bytes, bool]] = {
    "length": (OK, b"hi", True),
    "no reason": (b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nhi", b"hi", True),
    "chunks": (CHUNKED + b"1\r\nh\r\n1\r\ni\r\n0\r\n\r\n", b"hi", True),
    "chunk extensions": (CHUNKED + b"2;a=b;c\r\nhi\r\n0;d\r\n\r\n", b"hi", True),
    "trailers": (CHUNKED + b"2\r\nhi\r\n0\r\nset-cookie: a=b\r\nx: y\r\n\r\n", b"hi", True),
    "spaces around values": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding:  chunked \r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        b"hi",
        True,
    ),
    "connection: close": (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi", b"hi", False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi", b"hi", False),
    "HTTP/1.0, kept": (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nhi", b"hi", True),
    "204": (b"HTTP/1.1 204 No\r\n\r\n", b"", True),
    "304 with a length": (b"HTTP/1.1 304 No\r\ncontent-length: 9\r\n\r\n", b"", True),
    "interim": (b"HTTP/1.1 100 Go\r\nx: y\r\n\r\nHTTP/1.1 103 Hint\r\nlink: </a>\r\n\r\n" + OK, b"hi", True),
    "interim with a body": (b"HTTP/1.1 150 Odd\r\ncontent-length: 4\r\n\r\nevil" + OK, b"hi", True),
    "an offer to upgrade": (
        b"HTTP/1.1 200 OK\r\nupgrade: h2\r\nconnection: upgrade\r\ncontent-length: 2\r\n\r\nhi",
        b"hi",
        True,
    ),
    "another response behind it": (OK + EVIL, b"hi", False),
    "rubbish behind it": (OK + b"\0\0\0", b"hi", False),
    "an interim one behind it": (OK + b"HTTP/1.1 100 Go\r\n\r\n", b"hi", False),
    "a body where there is none": (b"HTTP/1.1 204 No\r\ncontent-length: 4\r\n\r\nevil", b"", False),
}


@pytest.mark.parametrize("case", GOOD)
async def test_a_response(case: str) -> None:
    raw, body, again = GOOD[case]
    async with serving(raw) as web, http_client() as client:
        for _ in range(2):
            response = await client.ask("GET", web.url(), {}, None)
            assert "x-evil" not in response.headers
            assert "evil" not in response.reason_phrase
            assert len(response.headers) == len(set(response.headers.raw)), "another response's are among them"
            if body:
                assert response.headers.keys() & {"content-length", "transfer-encoding"}
            assert await body_of(response) == body
        assert web.count == (1 if again else 2)


@pytest.mark.parametrize("case", [case for case in GOOD if case != "interim with a body"])  # h11 knows no such thing
async def test_as_httpx2_does(case: str) -> None:
    """Status, reason, headers, body."""
    async with serving(GOOD[case][0]) as web, http_client() as client:
        response = await client.ask("GET", web.url(), {}, None)
        mine = (response.status_code, response.reason_phrase, response.headers, await body_of(response))
        async with httpx2.AsyncClient(trust_env=False) as other:
            theirs = await other.get(web.url())
        assert mine == (theirs.status_code, theirs.reason_phrase, theirs.headers, theirs.content)


UNTIL_CLOSED = [
    b"HTTP/1.1 200 OK\r\n\r\nhi",
    b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhi",
    b"HTTP/1.0 200 OK\r\n\r\nhi",
]


@pytest.mark.parametrize("raw", UNTIL_CLOSED)
@pytest.mark.parametrize("secure", [False, True])
async def test_a_body_that_ends_with_the_connection(raw: bytes, secure: bool, tls: Any) -> None:
    async with serving(raw, tls=tls[0] if secure else None, close=True) as web, http_client(tls[1]) as client:
        for _ in range(2):
            assert await get(client, web.url(NAME, "https" if secure else "http")) == b"hi"
        assert web.count == 2


BAD: dict[str, bytes] = {
    "no HTTP": b"SSH-2.0-OpenSSH\r\n\r\n",
    "lengths that differ": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nhi!",
    "a length twice": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nhi",
    "lengths in one line": b"HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nhi",
    "a signed length": b"HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nhi",
    "a length and chunks": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n0\r\n\r\n",
    "compressed and chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + EVIL,
    "chunked twice": CHUNKED[:-2] + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n" + EVIL,
    "not chunked at last": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, identity\r\n\r\nhi",
    "a bad size": CHUNKED + b"0x2\r\nhi\r\n0\r\n\r\n",
    "a huge size": CHUNKED + b"f" * 17 + b"\r\nhi",
    "no line after a chunk": CHUNKED + b"2\r\nhi0\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\ncontent-length: 2\n\nhi",
    "bare LF in chunks": CHUNKED + b"2\nhi\n0\n\n",
    "a folded header": b"HTTP/1.1 200 OK\r\na: b\r\n c\r\ncontent-length: 2\r\n\r\nhi",
    "NUL in a header": b"HTTP/1.1 200 OK\r\na: \0\r\ncontent-length: 2\r\n\r\nhi",
    "a space before the colon": b"HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nhi",
    "a status below 100": b"HTTP/1.1 099 Odd\r\ncontent-length: 2\r\n\r\nhi" + OK,
    "another protocol": b"HTTP/1.1 101 Go\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\nhi",
    "another protocol, not named": b"HTTP/1.1 101 Go\r\n\r\n" + OK,
    "a long head": b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * MAX_HEAD,
    "interim without end": b"HTTP/1.1 100 Go\r\n\r\n" * MAX_HEAD,
    "a length in trailers": CHUNKED + b"0\r\ncontent-length: 4\r\n\r\nevil",
    "long trailers": CHUNKED + b"0\r\n" + b"a: b\r\n" * MAX_HEAD,
    "a long extension": CHUNKED + b"2;" + b"a" * MAX_HEAD * 4,
    "half a head": b"HTTP/1.1 200 OK\r\ncontent-",
    "nothing": b"",
    "half a body": b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi",
    "half the chunks": CHUNKED + b"2\r\nhi\r\n",
}


@pytest.mark.parametrize("case", BAD)
async def test_what_is_no_response(case: str) -> None:
    async with serving(BAD[case], close=True) as web, http_client() as client:
        with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)) as caught:
            await get(client, web.url())
        assert re.search(r"server|connection|reset", str(caught.value), re.IGNORECASE)
        assert web.count == 1


async def test_what_came_before_a_failure_is_heard() -> None:
    async with serving(CHUNKED + b"2\r\nhi\r\nrubbish\r\n") as web, http_client() as client:
        response = await client.ask("GET", web.url(), {}, None)
        chunks = aiter(wire.chunks_of(response))
        assert await anext(chunks) == b"hi"
        with pytest.raises(httpx2.RemoteProtocolError):
            await anext(chunks)
        await response.aclose()


# Connections


@pytest.mark.parametrize("secure", [False, True])
async def test_a_response_that_nobody_asked_for_answers_nothing(secure: bool, tls: Any, eventually: Eventually) -> None:
    """It is in the socket before the next request; whether the loop has seen it does not matter."""
    sent = asyncio.Event()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await sent.wait()
        writer.write(EVIL)
        writer.write(EVIL)

    async with serving(late, OK, tls=tls[0] if secure else None) as web, http_client(tls[1]) as client:
        url = web.url(NAME, "https" if secure else "http")
        assert await get(client, url) == b"hi"
        sent.set()
        await asyncio.sleep(0)  # the server writes
        await asyncio.sleep(0)
        assert await get(client, url) == b"hi"
        assert web.count == 2
        await eventually(lambda: web.gone == 1)


@pytest.mark.parametrize("secure", [False, True])
async def test_the_server_closes_an_idle_connection(secure: bool, tls: Any, eventually: Eventually) -> None:
    async with serving(OK, tls=tls[0] if secure else None, close=True) as web, http_client(tls[1]) as client:
        for number in range(1, 4):
            assert await get(client, web.url(NAME, "https" if secure else "http")) == b"hi"
            if number == 1:
                await eventually(lambda: web.gone == 1)
            assert web.count == number


async def test_closed_as_the_request_is_sent() -> None:
    """It may have been read: what to do then is for those to say who know what was asked."""

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    for last in (b"", reset):
        async with serving(OK, last, close=True) as web, http_client() as client:
            assert await get(client, web.url()) == b"hi"
            with pytest.raises((httpx2.ReadError, httpx2.RemoteProtocolError)) as caught:
                await get(client, web.url())
            assert HttpWire(str(web.url()), None, None, None).lost(caught.value).sent
            assert web.count == 1


async def test_several_at_once_and_no_more_are_kept() -> None:
    count = MAX_IDLE + 3
    waiting = asyncio.Barrier(count)

    async def together(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await waiting.wait()
        writer.write(OK)

    async with serving(together) as web, http_client() as client:
        for _ in range(2):
            assert await asyncio.gather(*(get(client, web.url()) for _ in range(count))) == [b"hi"] * count
        assert web.count == count + 3


async def test_left_idle_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1, "_IDLE_SECONDS", -1.0)
    async with serving(OK) as web, http_client() as client:
        assert [await get(client, web.url()) for _ in range(2)] == [b"hi", b"hi"]
        assert web.count == 2


async def test_a_body_that_is_not_read_ends_the_connection() -> None:
    async with serving(OK) as web, http_client() as client:
        for _ in range(2):
            await (await client.ask("GET", web.url(), {}, None)).aclose()
        assert web.count == 2


@pytest.mark.parametrize("secure", [False, True])
async def test_a_server_waits_for_a_slow_reader(secure: bool, tls: Any) -> None:
    size = 64 * MAX_UNREAD
    written = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        while written < size:
            writer.write(b"x" * MAX_UNREAD)
            written += MAX_UNREAD
            await writer.drain()

    async with serving(flood, tls=tls[0] if secure else None) as web, http_client(tls[1]) as client:
        response = await client.ask("GET", web.url(NAME, "https" if secure else "http"), {}, None)
        before = -1
        while before != written:  # until it stands still
            before = written
            await asyncio.sleep(0.1)
        assert written < size
        assert len(await body_of(response)) == size


async def test_a_request_that_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1, "_WRITE_SECONDS", 0.05)
    done = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.transport.abort()

    server = await asyncio.start_server(deaf, "127.0.0.1", 0)
    async with server, asyncio.timeout(SECONDS), http_client() as client:
        url = httpx2.URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        with pytest.raises(httpx2.WriteTimeout, match=r"within 0\.05 seconds"):
            await client.ask("POST", url, {}, b"x" * 50_000_000)
        done.set()


@pytest.mark.parametrize("answer", [OK.replace(b"200 OK", b"413 Big"), b"HTTP/1.1 413 Big\r\n\r\nhi"])
async def test_an_answer_before_the_request_is_written(answer: bytes) -> None:
    """It is heard, and the connection is not used again."""
    ended = asyncio.Event()

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.write_eof()
        await ended.wait()
        writer.transport.abort()

    server = await asyncio.start_server(early, "127.0.0.1", 0)
    async with server, asyncio.timeout(SECONDS), http_client() as client:
        url = httpx2.URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        response = await client.ask("POST", url, {}, b"x" * 50_000_000)
        assert (response.status_code, await body_of(response)) == (413, b"hi")
        ended.set()


# Cancelled, closed

STAGES: dict[str, tuple[Script | bytes, bytes | None]] = {
    "head": (hold, None),
    "half a head": (b"HTTP/1.1 200 OK\r\ncont", None),
    "body": (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhi", None),
    "body until the end": (b"HTTP/1.1 200 OK\r\n\r\nhi", None),
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("how", ["cancel", "close"])
@pytest.mark.parametrize("secure", [False, True])
async def test_in_the_middle(stage: str, how: str, secure: bool, tls: Any, eventually: Eventually) -> None:
    answer, body = STAGES[stage]
    async with serving(answer, tls=tls[0] if secure else None) as web, http_client(tls[1]) as client:
        url = web.url(NAME, "https" if secure else "http")

        async def whole() -> bytes:
            return await body_of(await client.ask("POST", url, {}, body))

        task = asyncio.create_task(whole())
        await eventually(lambda: web.requests and web.requests[0])
        if how == "cancel":
            task.cancel()
        else:
            await client.aclose()
        with pytest.raises(asyncio.CancelledError if how == "cancel" else httpx2.ReadError):
            await task
        await eventually(lambda: web.gone == 1)


@pytest.mark.parametrize("how", ["cancel", "close"])
async def test_while_the_connection_is_made(how: str, tls: Any, eventually: Eventually) -> None:
    reached, go = asyncio.Event(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)  # of TLS, which is not answered
        reached.set()
        await go.wait()
        writer.close()

    server = await asyncio.start_server(slow, "127.0.0.1", 0)
    async with server, asyncio.timeout(SECONDS), http_client(tls[1]) as client:
        url = httpx2.URL(f"https://{NAME}:{server.sockets[0].getsockname()[1]}/")
        task = asyncio.create_task(client.ask("GET", url, {}, None))
        await reached.wait()
        if how == "cancel":
            task.cancel()
        else:
            await client.aclose()
        go.set()
        with pytest.raises(asyncio.CancelledError if how == "cancel" else httpx2.ConnectError):
            await task


async def test_closed_before_the_connection_is_made() -> None:
    async with serving(OK) as web:
        client = Http1(ssl.create_default_context())
        task = asyncio.create_task(client.ask("GET", web.url(), {}, None))
        await asyncio.sleep(0)
        await client.aclose()
        with pytest.raises(httpx2.ConnectError):
            await task
        await client.aclose()
        assert not any(web.requests)


# Whom it speaks to

REFUSED = [("127.0.0.1", r"^Connection refused$"), (NAME, r"^Connection refused$"), ("no-such-host.invalid", r"\w")]


@pytest.mark.parametrize(("host", "said"), REFUSED)
async def test_nobody_there(host: str, said: str, free_port: int) -> None:
    async with http_client() as client:
        with pytest.raises(httpx2.ConnectError, match=said) as caught:
            await client.ask("GET", httpx2.URL(f"http://{host}:{free_port}/"), {}, None)
    assert not HttpWire("http://x", None, None, None).lost(caught.value).sent


@pytest.mark.parametrize(
    ("host", "trusted", "message"),
    [
        (NAME, True, None),
        (NAME, False, "CERTIFICATE_VERIFY_FAILED"),
        ("127.0.0.1", True, "CERTIFICATE_VERIFY_FAILED.*127.0.0.1"),
    ],
)
async def test_tls_is_for_the_name(host: str, trusted: bool, message: str | None, tls: Any) -> None:
    server, client_side = tls
    names: list[str | None] = []
    server.sni_callback = lambda _socket, name, _context: names.append(name)
    async with serving(OK, tls=server) as web, http_client(client_side if trusted else None) as client:
        if message is None:
            assert [await get(client, web.url(host, "https")) for _ in range(2)] == [b"hi", b"hi"]
        else:
            with pytest.raises(httpx2.ConnectError, match=message):
                await get(client, web.url(host, "https"))
            assert not any(web.requests)
    assert names == [None if host == "127.0.0.1" else host]


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad\r\n\r\n", b""])
async def test_no_tls_there(answer: bytes, tls: Any) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server, asyncio.timeout(SECONDS), http_client(tls[1]) as client:
        with pytest.raises(httpx2.ConnectError, match="WRONG_VERSION|record layer" if answer else "closed|reset|EOF"):
            await get(client, httpx2.URL(f"https://{NAME}:{server.sockets[0].getsockname()[1]}/"))


async def test_ipv6() -> None:
    try:
        async with serving(OK, host="::1") as web, http_client() as client:
            assert await get(client, web.url("[::1]")) == b"hi"
            assert f"\r\nhost: [::1]:{web.port}\r\n".encode() in web.requests[0][0]
    except OSError as error:
        pytest.skip(f"no IPv6: {error}")


# What it says


@pytest.mark.parametrize(
    "fields",
    [
        {"a": "b\r\nc: d"},
        {"a": "b\nc"},
        {"a": "b\rc"},
        {"a": "b\0"},
        {"a": " b"},
        {"a": "b "},
        {"a b": "c"},
        {"a:b": "c"},
        {"a\r\nb": "c"},
        {"": "b"},
        {"ä": "b"},
        {"a": "\u2028"},
        {"a": "b\r\n\r\nGET / HTTP/1.1"},
    ],
)
async def test_headers_that_would_say_something_else(fields: dict[str, str]) -> None:
    async with serving(OK) as web, http_client() as client:
        with pytest.raises((httpx2.LocalProtocolError, UnicodeEncodeError)):
            await client.ask("GET", web.url(), fields, None)
    assert not web.requests


async def test_the_request_as_it_is_written() -> None:
    async with serving(OK) as web, http_client() as client:
        url = httpx2.URL(f"http://127.0.0.1:{web.port}/ä?q=a b#part")
        await body_of(await client.ask("POST", url, {"x": "ü", "y": ""}, b"body"))
        head = (
            f"POST /%C3%A4?q=a%20b HTTP/1.1\r\nhost: 127.0.0.1:{web.port}\r\nx: ü\r\ny: \r\ncontent-length: 4\r\n\r\n"
        )
        assert web.requests == [[head.encode("latin-1") + b"body"]]


async def test_headers_do_not_frame_the_request() -> None:
    async with serving(OK) as web, http_client() as client:
        fields = {"content-length": "1", "transfer-encoding": "chunked", "x": "y"}
        assert await body_of(await client.ask("POST", web.url(), fields, b"body")) == b"hi"
        (head,) = [request for requests in web.requests for request in requests]
        assert head.endswith(b"\r\nx: y\r\ncontent-length: 4\r\n\r\nbody")
        assert b"chunked" not in head


# Around it: HttpWire


@asynccontextmanager
async def wired(url: str, monkeypatch: pytest.MonkeyPatch, proxies: dict[str, str] | None = None) -> AsyncIterator[Any]:
    monkeypatch.setattr(wire, "getproxies", lambda: proxies or {})
    opened = HttpWire(url, None, None, None)
    opened.open()
    try:
        yield opened
    finally:
        await opened.close()


async def test_cookies_go_back_to_their_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    baked = b"HTTP/1.1 200 OK\r\nset-cookie: a=b; Path=/mcp\r\ncontent-length: 0\r\n\r\n"
    async with serving(baked) as web, wired(str(web.url()), monkeypatch) as opened:
        for url in (None, None, web.url().join("/other")):
            async with opened.exchange("GET", {}, url=url) as response:
                await opened.text(response)
        (requests,) = web.requests
        assert [b"\r\ncookie: a=b\r\n" in request for request in requests] == [False, True, False]
        assert [b"cookie" in request for request in requests] == [False, True, False]


async def test_a_redirect_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = b"HTTP/1.1 307 Moved\r\nlocation: /there\r\ncontent-length: 0\r\n\r\n"
    async with serving(moved, OK) as web, wired(str(web.url()), monkeypatch) as opened:
        async with opened.exchange("POST", {}, b"body") as response:
            assert await opened.text(response) == b"hi"
        assert [request.split(b" ")[1] for request in web.requests[-1]][-1] == b"/there"


@pytest.mark.parametrize(
    ("url", "proxies", "direct"),
    [
        ("http://h/", {}, True),
        ("http://h/", {"no": "h", "ftp": "http://p"}, True),
        ("http://h/", {"http": "http://p"}, False),
        ("http://h/", {"all": "http://p", "no": "h"}, False),  # httpx2's to say
        ("http://u:p@h/", {}, False),
    ],
)
async def test_what_is_httpx2s(
    url: str, proxies: dict[str, str], direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with wired(url, monkeypatch, proxies) as opened:
        assert (opened._direct is not None) == direct


async def test_a_header_that_is_none_is_told_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(OK) as web, wired(str(web.url()), monkeypatch) as opened:
        with pytest.raises(ClientError, match="a header has characters") as caught:
            async with opened.exchange("GET", {"x": "secret\r\n"}):
                pass
        assert "secret" not in str(caught.value)


async def test_on_uvloop(tls: Any) -> None:
    """The same on the loop that servers run on."""
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        server = tls[0]
        for secure in (False, True):
            scheme, given = ("https", server) if secure else ("http", None)
            for case in ("length", "chunks", "another response behind it", "connection: close"):
                raw, body, again = GOOD[case]
                async with serving(raw, tls=given) as web, http_client(tls[1]) as client:
                    for _ in range(2):
                        assert await get(client, web.url(NAME, scheme)) == body
                    assert web.count == (1 if again else 2)
            for raw in UNTIL_CLOSED:
                async with serving(raw, tls=given, close=True) as web, http_client(tls[1]) as client:
                    assert await get(client, web.url(NAME, scheme)) == b"hi"
            for raw in (BAD["half a body"], BAD["no HTTP"]):
                async with serving(raw, tls=given, close=True) as web, http_client(tls[1]) as client:
                    with pytest.raises(httpx2.TransportError):
                        await get(client, web.url(NAME, scheme))
            big = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (8 * MAX_UNREAD) + b"x" * 8 * MAX_UNREAD
            async with serving(big, tls=given) as web, http_client(tls[1]) as client:
                assert [len(await get(client, web.url(NAME, scheme))) for _ in range(2)] == [8 * MAX_UNREAD] * 2
                assert web.count == 1

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(asyncio.wait_for(main(), 3 * SECONDS))

    await asyncio.to_thread(run)
