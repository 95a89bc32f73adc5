"""The protocol that `run` gives uvicorn: what apps and clients see of it, and that uvicorn's options hold."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from headrace import FastMCP
from headrace.server.uvicorn_protocol import HardenedProtocol, Limits

from ..certificates import self_signed
from . import wire
from .programs import program
from .wire import SECONDS, Answer, Broken, Connection, encode_request, modern_headers, modern_meta, serving

HERE = Path(__file__).parent
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
App = Callable[[Any, Any, Any], Awaitable[None]]


async def start(send: Any, *headers: tuple[bytes, bytes], status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def body(send: Any, data: bytes = b"", more: bool = False) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": more})


async def whole(receive: Any) -> bytes:
    pieces: list[bytes] = []
    while True:
        message = await receive()
        assert message["type"] == "http.request"
        pieces.append(message["body"])
        if not message["more_body"]:
            return b"".join(pieces)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    sent = await whole(receive)
    headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
    told = {"body": sent.decode("latin-1"), "headers": headers}
    for name in ("method", "path", "http_version", "scheme", "root_path", "client", "server", "type"):
        told[name] = scope[name]
    told |= {"raw_path": scope["raw_path"].decode(), "query": scope["query_string"].decode()}
    await start(send, (b"content-type", b"application/json"))
    await body(send, json.dumps(told).encode())


async def ask(app: App, data: bytes, **options: Any) -> Answer:
    async with serving(app, lifespan="off", **options) as served, await Connection.open(served.port) as connection:
        connection.write(data)
        return await connection.read()


# What an app sees


async def test_the_scope() -> None:
    data = b"POST /%C3%A9/x?y=%20 HTTP/1.1\r\nHost: a:1\r\nX-Up:  v  \r\nContent-Length: 2\r\n\r\nhi"
    async with serving(echo, lifespan="off", root_path="/root") as served, await Connection.open(served.port) as client:
        client.write(data)
        told = (await client.read()).json()
    assert told["client"][0] == "127.0.0.1"
    assert told["client"][1] > 0
    assert told["server"] == ["127.0.0.1", served.port]
    assert told["headers"] == {"host": "a:1", "x-up": "v", "content-length": "2"}
    assert (told["path"], told["raw_path"], told["root_path"]) == ("/root/é/x", "/root/%C3%A9/x", "/root")
    assert (told["method"], told["query"], told["http_version"], told["scheme"]) == ("POST", "y=%20", "1.1", "http")
    assert told["body"] == "hi"


REQUESTS = (
    b"GET /a/b?x=1&y=%20 HTTP/1.1",
    b"GET / HTTP/1.0",
    b"GET /%C3%A9%2Fx%ff//a/../b;c=d??e HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"PUT /x HTTP/1.1\r\nContent-Length: 0\r\nCookie: a=1\r\ncookie: b=2\r\nX: \xe9\r\nY: \t z \t\r\nZ:",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked",
    b"GET / HTTP/1.1\r\nX-Forwarded-For: 192.0.2.1, 127.0.0.1\r\nX-Forwarded-Proto: https",
    b"GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIA",
    b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket",
)


@pytest.mark.parametrize("options", [{}, {"root_path": "/r", "proxy_headers": False}])
async def test_scopes_are_those_of_uvicorns_own_protocol(options: dict[str, Any]) -> None:
    seen: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append({**scope, "client": scope["client"][0], "server": scope["server"][0]})
        await start(send, (b"connection", b"close"))
        await body(send)

    async def scopes(**http: str) -> list[dict[str, Any]]:
        seen.clear()
        async with serving(app, lifespan="off", **http, **options) as served:
            for request in REQUESTS:
                async with await Connection.open(served.port) as client:
                    client.write(request + b"\r\nHost: a\r\n\r\n")
                    await client.until_end()
        return [*seen]

    theirs, ours = await scopes(http="h11"), await scopes()
    assert len(ours) == len(REQUESTS)
    assert ours == theirs


async def test_the_state_of_the_lifespan_is_each_requests_own() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            scope["state"]["made"] = 1
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        found, scope["state"]["made"] = scope["state"]["made"], 2
        await start(send)
        await body(send, b"%d" % found)

    async with serving(app, lifespan="on") as served, await Connection.open(served.port) as client:
        for _ in range(2):
            client.write(GET)
            assert (await client.read()).body == b"1"


@pytest.mark.parametrize("pieces", [1, 2, 7, 50])
async def test_a_request_in_pieces(pieces: int) -> None:
    data = encode_request("POST", "/x", [("host", "a"), ("x", "y")], b"z" * 100)
    async with serving(echo, lifespan="off") as served, await Connection.open(served.port) as client:
        for _ in range(3):
            step = len(data) // pieces + 1
            for at in range(0, len(data), step):
                client.write(data[at : at + step])
                await asyncio.sleep(0.001)
            assert (await client.read()).json()["body"] == "z" * 100


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_a_large_body_waits_until_the_app_reads_it(framing: str) -> None:
    size = 8 * 1024 * 1024
    reads = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await reads.wait()
        received = len(await whole(receive))
        await start(send)
        await body(send, b"%d" % received)

    async with serving(app, lifespan="off") as served, await Connection.open(served.port) as client:
        if framing == "length":
            client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        else:
            chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
            client.write(
                b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 128 + b"0\r\n\r\n"
            )
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.drain()
        reads.set()
        assert (await client.read()).body == b"%d" % size


async def test_100_continue_comes_when_the_app_reads() -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    async with serving(echo, lifespan="off") as served, await Connection.open(served.port) as client:
        client.write(head)
        assert (await client.head())[0] == 100
        client.write(b"hi")
        assert (await client.read()).json()["body"] == "hi"

    async def refuses(scope: Any, receive: Any, send: Any) -> None:
        await start(send, (b"content-length", b"0"), status=401)
        await body(send)

    # Nobody knows whether the body comes now.
    answer = await ask(refuses, head)
    assert (answer.status, answer.headers["connection"]) == (401, "close")


async def test_a_client_that_leaves_is_a_disconnect() -> None:
    told: asyncio.Queue[Any] = asyncio.Queue()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await told.put(await receive())
        await told.put(await receive())

    async with serving(app, lifespan="off") as served, asyncio.timeout(SECONDS):
        async with await Connection.open(served.port) as client:
            client.write(GET)
            assert (await told.get())["type"] == "http.request"
        assert (await told.get())["type"] == "http.disconnect"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
async def test_requests_that_wait_where_tasks_are_eager() -> None:
    """On a loop whose tasks start at once, all over before they are made."""
    loop, requests = asyncio.get_running_loop(), 2000

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send, (b"content-length", b"0"))
        await body(send)

    async with serving(app, lifespan="off") as served, await Connection.open(served.port) as client:
        loop.set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009 - Python 3.11 has none
        try:
            client.write(GET * requests)
            for _ in range(requests):
                assert (await client.read()).status == 200
        finally:
            loop.set_task_factory(None)


# What a client sees


async def test_answers_without_a_length_are_chunked_and_keep_the_connection() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send, (b"transfer-encoding", b"chunked"))
        for piece in (b"one", b"", b"two"):
            await body(send, piece, True)
        await body(send)

    async with serving(app, lifespan="off") as served, await Connection.open(served.port) as client:
        for _ in range(2):
            client.write(GET)
            answer = await client.read()
            assert answer.headers["transfer-encoding"] == "chunked"
            assert answer.body == b"onetwo"
        client.write(GET.replace(b"1.1", b"1.0"))
        _, headers = await client.head()
        assert "transfer-encoding" not in headers
        assert headers["connection"] == "close"
        assert await client.until_end() == b"onetwo"


@pytest.mark.parametrize(
    ("request_line", "status"), [(b"HEAD / HTTP/1.1", 200), (b"GET / HTTP/1.1", 204), (b"GET / HTTP/1.1", 304)]
)
async def test_answers_without_a_body(request_line: bytes, status: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send, status=status)
        await body(send, b"not for them")

    async with serving(app, lifespan="off") as served, await Connection.open(served.port) as client:
        for _ in range(2):
            client.write(request_line + b"\r\nHost: a\r\n\r\n")
            found, headers = await client.head()
            assert found == status
            assert not {"transfer-encoding", "content-length"} & headers.keys()


async def test_head_and_body_go_out_in_one_piece() -> None:
    """Small answers in two pieces wait for each other on a network."""
    async with serving(echo, lifespan="off") as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(GET)
        assert (await reader.read(65536)).endswith(b"0\r\n\r\n")
        writer.close()


async def test_small_pieces_go_out_at_once_on_whatever_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """uvicorn's own of --workers and --reload are such that asyncio does not see to it."""
    at_once: list[int] = []

    class Seen(HardenedProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            found = transport.get_extra_info("socket")
            at_once.append(found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr(wire, "listener", lambda: socket.create_server(("127.0.0.1", 0)))
    await ask(echo, GET, http=Seen)
    assert at_once == [1]


@pytest.mark.parametrize(
    ("headers", "data"),
    [
        ([(b"x", b"a\r\nset-cookie: b")], b""),
        ([(b"x\r\ny", b"a")], b""),
        ([(b"x", b"a\nb")], b""),
        ([(b"x", b"a\0b")], b""),
        ([(b"x", b"a\x01b")], b""),
        ([(b"", b"a")], b""),
        ([(b"x y", b"a")], b""),
        ([(b"x:y", b"a")], b""),
        ([(b"x\n", b"a")], b""),
        ([(b"content-length", b"-2")], b"hi"),
        ([(b"content-length", b"two")], b"hi"),
        ([(b"content-length", b"1_0")], b"0123456789"),
        ([(b"content-length", b"2"), (b"content-length", b"2")], b"hi"),
        ([(b"content-length", b"2")], b"longer"),
        ([(b"content-length", b"20")], b"shorter"),
    ],
)
async def test_answers_that_would_break_the_next_one_are_500(
    headers: list[tuple[bytes, bytes]], data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send, *headers)
        await body(send, data)

    answer = await ask(app, GET, log_config=None)
    assert (answer.status, answer.headers["connection"]) == (500, "close")
    assert b"set-cookie" not in answer.body
    assert "Exception in ASGI application" in caplog.text


@pytest.mark.parametrize("status", [-1, 0, 99, 100, 101, 103, 1000])
async def test_a_status_that_is_no_answers_is_500(status: int, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send, status=status)
        await body(send)

    assert (await ask(app, GET, log_config=None)).status == 500
    assert f"Not the status of a response: {status}" in caplog.text


async def test_an_app_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/late":
            await start(send)
            await body(send, b"half", True)
        if scope["path"] != "/none":
            raise ValueError("at random")

    async with serving(app, lifespan="off", log_config=None) as served:
        for path in ("/early", "/none"):
            async with await Connection.open(served.port) as client:
                answer = await client.request("GET", path, {})
                assert (answer.status, answer.body) == (500, b"Internal Server Error\n")
                assert await client.ended()
        async with await Connection.open(served.port) as client:
            with pytest.raises(Broken):
                await client.request("GET", "/late", {})
    assert caplog.text.count("ValueError: at random") == 2


async def test_an_app_that_sends_without_end_leaves_others_their_turn() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send)
        if scope["path"] != "/endless":
            await body(send, b"served")
            return
        await whole(receive)
        gone = asyncio.create_task(receive())
        while not gone.done():
            await body(send, b"x" * 65536, True)

    async with serving(app, lifespan="off") as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
        async with await Connection.open(served.port) as client:
            for _ in range(5):
                assert len(await reader.read(2**20)) > 0
                assert (await client.request("GET", "/", {})).body == b"served"
        writer.close()


async def test_what_the_app_did_not_read_is_dropped() -> None:
    """A little of it; then the connection ends, and the answer still arrives."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send, (b"content-length", b"2"))
        await body(send, b"no")

    async with serving(app, lifespan="off") as served:
        async with await Connection.open(served.port) as client:
            for _ in range(2):
                client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
                assert (await client.read()).body == b"no"
                client.write(b"x" * 100_000)
        async with await Connection.open(served.port) as client:
            client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 300_000)
            answer = await client.read()
            assert (answer.body, answer.headers["connection"]) == (b"no", "close")
            client.write(b"x" * 700_000)
            assert await client.ended()
        async with await Connection.open(served.port) as client:
            client.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            answer = await client.read()
            assert (answer.body, answer.headers["connection"]) == (b"no", "close")
            client.write((b"8000\r\n" + b"x" * 0x8000 + b"\r\n") * 20)
            assert await client.ended()


# Closed on one side


async def half_closed(port: int, data: bytes) -> Answer | None:
    async with await Connection.open(port) as client:
        client.write(data)
        client.write_eof()
        try:
            answer = await client.read()
        except Broken:
            return None
        assert await client.ended()
        return answer


def call(name: str, seconds: float, era: str) -> bytes:
    params: dict[str, Any] = {"name": name, "arguments": {"seconds": seconds}}
    headers = {"host": "127.0.0.1", "content-type": "application/json", "accept": "application/json, text/event-stream"}
    if era == "modern":
        params["_meta"] = modern_meta()
        headers |= modern_headers("tools/call", name)
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return encode_request("POST", "/mcp", headers.items(), json.dumps(message).encode())


@pytest.fixture
async def tools() -> AsyncIterator[tuple[int, asyncio.Queue[str]]]:
    mcp, ends = FastMCP("half"), asyncio.Queue[str]()

    @mcp.tool
    async def wait(seconds: float) -> str:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            ends.put_nowait("cancelled")
            raise
        ends.put_nowait("done")
        return "answered"

    async with serving(mcp.http_app(stateless_http=True), lifespan="on") as served:
        yield served.port, ends


async def test_handshake_clients_that_close_their_side_get_what_is_ready_in_a_second(
    tools: tuple[int, asyncio.Queue[str]],
) -> None:
    port, ends = tools
    answer = await half_closed(port, call("wait", 0.5, "handshake"))
    assert answer is not None
    assert answer.json()["result"]["content"][0]["text"] == "answered"
    assert await ends.get() == "done"
    # Past it nobody is there any more; the call itself goes on.
    assert await half_closed(port, call("wait", 3, "handshake")) is None
    assert ends.empty()
    assert await ends.get() == "done"


async def test_modern_clients_that_close_their_side_cancel_the_call(tools: tuple[int, asyncio.Queue[str]]) -> None:
    port, ends = tools
    assert await half_closed(port, call("wait", 0.0, "modern")) is not None
    assert await ends.get() == "done"
    started = asyncio.get_running_loop().time()
    assert await half_closed(port, call("wait", 30, "modern")) is None
    assert await ends.get() == "cancelled"
    assert asyncio.get_running_loop().time() - started < 10


# uvicorn's options


async def test_limit_concurrency_is_503() -> None:
    answer = await ask(echo, GET, limit_concurrency=1)
    assert (answer.status, answer.headers["connection"]) == (503, "close")


async def test_connections_are_bounded() -> None:
    class Small(HardenedProtocol):
        limits = Limits(connections=2)

    async with (
        serving(echo, lifespan="off", http=Small) as served,
        await Connection.open(served.port) as one,
        await Connection.open(served.port) as two,
    ):
        for client in (one, two):
            assert (await client.request("GET", "/", {})).status == 200
        async with await Connection.open(served.port) as third:
            answer = await third.read()
            assert (answer.status, answer.headers["connection"]) == (503, "close")
            assert "Too many connections" in answer.body.decode()
            assert await third.ended()
        assert (await one.request("GET", "/", {})).status == 200
        await two.close()
        async with asyncio.timeout(SECONDS):
            while True:
                async with await Connection.open(served.port) as again:
                    if (await again.request("GET", "/", {})).status == 200:
                        break


async def test_the_access_log_is_uvicorns(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "uvicorn.access"):
        request = b"GET /a%20b?c=d HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n"
        await ask(echo, request, log_config=None, log_level="info", forwarded_allow_ips="127.0.0.1")
    (record,) = [each for each in caplog.records if each.name == "uvicorn.access"]
    # What is in a query may be secret.
    assert record.getMessage() == '192.0.2.7:0 - "GET /a%20b HTTP/1.1" 200'


async def test_other_headers_and_no_date() -> None:
    options = {"headers": [("x-more", "y")], "date_header": False, "server_header": False}
    answer = await ask(echo, GET, **options)
    assert answer.headers["x-more"] == "y"
    assert not {"date", "server"} & answer.headers.keys()


async def test_over_tls(tmp_path: Path) -> None:
    file = self_signed(tmp_path, "localhost")
    context = ssl.create_default_context(cafile=file)
    async with serving(echo, lifespan="off", ssl_certfile=str(file)) as served:
        streams = await asyncio.open_connection("localhost", served.port, ssl=context)
        async with Connection(*streams) as client:
            for _ in range(2):
                answer = await client.request("POST", "/", {}, b"x" * 300_000)
                told = answer.json()
                assert (told["scheme"], len(told["body"])) == ("https", 300_000)
            client.write(b"GET / HTTP/1.1\r\n\r\n")
            assert (await client.read()).status == 400
            assert await client.ended()


async def test_over_tls_who_still_sends_learns_why_it_was_refused(tmp_path: Path) -> None:
    file = self_signed(tmp_path, "localhost")

    async def refuses(scope: Any, receive: Any, send: Any) -> None:
        await start(send, (b"content-length", b"0"), status=413)
        await body(send)

    def posts(port: int) -> list[int]:
        found: list[int] = []
        for _ in range(5):
            context = ssl.create_default_context(cafile=file)
            client = http.client.HTTPSConnection("localhost", port, context=context, timeout=SECONDS)
            client.request("POST", "/", b"x" * 10_000_000)
            found.append(client.getresponse().status)
            client.close()
        return found

    async with serving(refuses, lifespan="off", ssl_certfile=str(file)) as served:
        assert await asyncio.to_thread(posts, served.port) == [413] * 5


ASGI = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        return await send({"type": "lifespan.shutdown.complete"})
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""


@pytest.mark.parametrize(
    ("options", "processes"),
    [((), 1), (("--workers", "2"), 2), (("--loop", "asyncio"), 1), (("--limit-max-requests", "2"), 1)],
)
async def test_under_plain_uvicorn(options: tuple[str, ...], processes: int, tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text(ASGI)
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(tmp_path), "--port", "0"]
    command += ["--http", "headrace.server.uvicorn_protocol:HardenedProtocol", *options, "plain:app"]
    async with program(command, processes) as running:
        for _ in range(2):
            async with asyncio.timeout(SECONDS):
                async with await Connection.open(running.port) as client:
                    assert (await client.request("GET", "/", {})).body == b"ok"
        if "--limit-max-requests" not in options:
            running.end()
        await running.exited(SECONDS, since=asyncio.get_running_loop().time())


async def test_on_a_unix_socket(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text(ASGI)
    path = tmp_path / "s"
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(tmp_path), "--uds", str(path), "--lifespan", "off"]
    process = await asyncio.create_subprocess_exec(
        *command,
        "--http",
        "headrace.server.uvicorn_protocol:HardenedProtocol",
        "plain:app",
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(SECONDS):
            while b"running on" not in await process.stderr.readline():
                assert process.returncode is None
            async with Connection(*await asyncio.open_unix_connection(path)) as client:
                assert (await client.request("GET", "/", {})).body == b"ok"
        process.terminate()
        await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
