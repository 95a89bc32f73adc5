"""stdio: what goes over the pipe, what does not, and every way it ends (2025-11-25 and 2026-07-28, stdio)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from headrace import Context, FastMCP
from headrace.server.run import run_stdio_async
from headrace.state.sealer import AeadSealer
from headrace.transports.lines import Lines
from headrace.transports.memory import memory_pair
from headrace.transports.stdio import StandardStreams, serve_stdio, standard_streams

SERVER = Path(__file__).parent / "stdio_server.py"
SECONDS = 15.0
MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
}


def request(id: int, method: str, params: dict[str, Any] | None = None, *, modern: bool = False) -> dict[str, Any]:
    params = dict(params or {})
    if modern:
        params["_meta"] = MODERN
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": params}


def call(id: int, name: str, arguments: dict[str, Any] | None = None, *, modern: bool = False) -> dict[str, Any]:
    return request(id, "tools/call", {"name": name, "arguments": arguments or {}}, modern=modern)


def initialize(version: str = "2025-11-25") -> dict[str, Any]:
    info = {"name": "raw", "version": "1"}
    return request(
        0, "initialize", {"protocolVersion": version, "capabilities": {"elicitation": {}}, "clientInfo": info}
    )


def cancelled(id: int) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}}


class Raw:
    """A server's process and its pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self.stdin, self.stdout, self.stderr = process.stdin, process.stdout, process.stderr

    async def send(self, *messages: Any) -> None:
        lines = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in messages]
        self.stdin.write(b"".join(line + b"\n" for line in lines))
        await self.stdin.drain()

    async def receive(self) -> Any:
        async with asyncio.timeout(SECONDS):
            line = await self.stdout.readline()
        assert line, (await self.stderr.read()).decode()
        return json.loads(line)

    async def ask(self, message: Any) -> Any:
        await self.send(message)
        return await self.receive()

    async def ended(self) -> tuple[list[Any], str]:
        """What it still said, once it has ended by itself and well; and what it wrote to stderr."""
        async with asyncio.timeout(SECONDS):
            rest, errors = await asyncio.gather(self.stdout.read(), self.stderr.read())
            code = await self.process.wait()
        assert code == 0, errors.decode()
        assert "Traceback" not in errors.decode(), errors.decode()
        return [json.loads(line) for line in rest.splitlines()], errors.decode()

    async def finish(self) -> tuple[list[Any], str]:
        self.stdin.close()
        return await self.ended()


@asynccontextmanager
async def started(*arguments: str, **environment: str) -> AsyncIterator[Raw]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SERVER),
        *arguments,
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=4 * 1024 * 1024,
    )
    try:
        yield Raw(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture
async def server() -> AsyncIterator[Raw]:
    async with started() as raw:
        yield raw


def text(response: Any) -> str:
    return response["result"]["content"][0]["text"]


async def test_both_eras_share_the_pipe(server: Raw) -> None:
    found = await server.ask(request(1, "server/discover", modern=True))
    assert found["result"]["supportedVersions"] == ["2026-07-28"]
    assert (await server.ask(initialize()))["result"]["protocolVersion"] == "2025-11-25"
    assert text(await server.ask(call(2, "sleep", {"seconds": 0}))) == "slept"
    modern = await server.ask(call(3, "sleep", {"seconds": 0}, modern=True))
    assert modern["result"]["resultType"] == "complete"
    said, errors = await server.finish()
    assert said == []
    assert errors.splitlines() == ["lifespan began", "lifespan ended"]


@pytest.mark.parametrize(
    ("line", "code", "id"),
    [
        (b"hello", -32700, None),
        (b'{"jsonrpc":"2.0","id":1,', -32700, None),
        (b"\xff\xfe{}", -32700, None),
        (b'{"jsonrpc":"2.0","id":5,"method":"ping","params":[1]}', -32600, 5),
        (b'{"jsonrpc":"1.0","id":"a","method":"ping"}', -32600, "a"),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600, None),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}', -32600, 1),
        (b'{"jsonrpc":"2.0","id":1,"method":"server/discover"}', -32600, 1),
        (json.dumps(request(1, "no/method", modern=True)).encode(), -32601, 1),
        (json.dumps(request(1, "ping", modern=True)).encode(), -32601, 1),
        (
            b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":'
            b'{"_meta":{"io.modelcontextprotocol/protocolVersion":"1999-01-01",'
            b'"io.modelcontextprotocol/clientCapabilities":{}}}}',
            -32022,
            1,
        ),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"' + b"y" * 3000 + b'"}}', -32600, None),
    ],
)
async def test_a_line_that_can_not_be_served(line: bytes, code: int, id: Any) -> None:
    async with started(HEADRACE_MAX_BODY_BYTES="2000") as server:
        answer = await server.ask(line)
        assert (answer["error"]["code"], answer.get("id")) == (code, id)
        # Nothing broke; blank lines and carriage returns are no messages.
        await server.send(b"", b" \r", b'{"jsonrpc":"2.0","id":9,"method":"ping"}\r')
        assert await server.receive() == {"jsonrpc": "2.0", "id": 9, "result": {}}


async def test_before_and_after_the_handshake(server: Raw) -> None:
    assert (await server.ask(request(1, "ping")))["result"] == {}
    await server.send({"jsonrpc": "2.0", "method": "notifications/initialized"})  # too early: ignored
    assert "result" in await server.ask(initialize())
    assert (await server.ask(initialize()))["error"]["code"] == -32600


async def test_stateless_needs_no_handshake() -> None:
    async with started("stateless") as server:
        assert text(await server.ask(call(1, "sleep", {"seconds": 0}))) == "slept"


async def test_batches_of_the_revision_that_has_them(server: Raw) -> None:
    await server.ask(initialize("2025-03-26"))
    await server.send([request(1, "ping"), call(2, "sleep", {"seconds": 0}), {"jsonrpc": "2.0", "id": 3}, cancelled(7)])
    answers = await server.receive()
    assert [answer.get("id") for answer in answers] == [1, 2, None]
    assert answers[2]["error"]["code"] == -32600
    await server.send([cancelled(8)])  # nothing to answer
    assert (await server.ask([initialize()]))["error"]["code"] == -32600
    assert (await server.ask(b"[]"))["error"]["code"] == -32600


async def test_nothing_but_the_protocol_reaches_stdout(server: Raw) -> None:
    await server.ask(initialize())
    await server.send(call(1, "noise"), request(2, "ping"))
    answers = {answer["id"]: answer for answer in (await server.receive(), await server.receive())}
    assert text(answers[1]) == "nothing to read"
    said, errors = await server.finish()
    assert said == []
    for line in ("printed", "written", "to the original", "to the descriptor", "from a subprocess", "a prompt"):
        assert line in errors


@pytest.mark.parametrize("modern", [True, False])
async def test_a_cancelled_call_is_not_answered(server: Raw, modern: bool) -> None:
    if not modern:
        await server.ask(initialize())
    # In one piece: the call has hardly begun.
    await server.send(
        call(1, "sleep", {"seconds": 60}, modern=modern),
        cancelled(1),
        cancelled(99),
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {}},
    )
    assert (await server.ask(call(2, "sleep", {"seconds": 0}, modern=modern)))["id"] == 2
    # The id is free again; and two calls with one id are refused.
    await server.send(call(1, "sleep", {"seconds": 60}, modern=modern))
    assert (await server.ask(call(1, "sleep", {"seconds": 0}, modern=modern)))["error"]["code"] == -32600
    await server.send(cancelled(1))
    said, _ = await server.finish()
    assert said == []


async def test_subscriptions(server: Raw) -> None:
    mark = "io.modelcontextprotocol/subscriptionId"
    for id in (1, 2):
        answer = await server.ask(
            request(id, "subscriptions/listen", {"notifications": {"toolsListChanged": True}}, modern=True)
        )
        assert answer["method"] == "notifications/subscriptions/acknowledged"
        assert answer["params"]["_meta"][mark] == id
    await server.send(cancelled(1))  # ends it without a word
    said, _ = await server.finish()
    assert [(answer["id"], answer["result"]["_meta"][mark]) for answer in said] == [(2, 2)]


async def test_questions_of_both_eras(server: Raw) -> None:
    asked = await server.ask(call(1, "ask", modern=True))
    assert asked["result"]["resultType"] == "input_required"
    (key,) = asked["result"]["inputRequests"]
    retry = call(2, "ask", modern=True)
    retry["params"] |= {
        "inputResponses": {key: {"action": "decline"}},
        "requestState": asked["result"]["requestState"],
    }
    assert "declined" in text(await server.ask(retry)).lower()
    await server.ask(initialize())
    question = await server.ask(call(3, "ask"))
    assert question["method"] == "elicitation/create"
    answer = await server.ask({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "decline"}})
    assert (answer["id"], "declined" in text(answer).lower()) == (3, True)


# How it ends


async def test_calls_end_after_stdin_did(server: Raw) -> None:
    await server.ask(initialize())
    await server.send(call(1, "sleep", {"seconds": 0.3}), call(2, "ask"))
    question = await server.receive()
    assert question["method"] == "elicitation/create"
    said, errors = await server.finish()
    # Nobody can answer the question any more; everything else is answered.
    answers = {answer.get("id"): answer for answer in said}
    assert text(answers[1]) == "slept"
    assert answers[2]["error"]["code"] == -32603
    assert "lifespan ended" in errors


async def test_a_file_as_stdin(tmp_path: Path) -> None:
    file = tmp_path / "messages"
    messages = [initialize(), call(1, "sleep", {"seconds": 0.1}), request(2, "ping")]
    file.write_text("\n".join(map(json.dumps, messages)))  # the last line without its end
    out = tmp_path / "answers"
    with file.open() as stdin, out.open("w") as stdout:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(SERVER), stdin=stdin, stdout=stdout, stderr=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(SECONDS):
            _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert sorted(json.loads(line)["id"] for line in out.read_text().splitlines()) == [0, 1, 2]


async def test_a_terminal() -> None:
    pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals")
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(sys.executable, str(SERVER), stdin=theirs, stdout=theirs)
    os.close(theirs)
    try:
        os.write(ours, b'{"jsonrpc":"2.0","id":4,"method":"ping"}\n')
        seen = b""
        async with asyncio.timeout(SECONDS):
            while b'"result":{}' not in seen:
                seen += await asyncio.to_thread(os.read, ours, 1000)
            os.write(ours, b"\x04")  # end of file, as a terminal says it
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(ours)


async def test_one_pipe_for_stdout_and_stderr() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SERVER),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=4 * 1024 * 1024,
    )
    messages = [call(1, "big", {"size": 300_000}, modern=True), call(2, "sleep", {"seconds": 0}, modern=True)]
    async with asyncio.timeout(SECONDS):
        out, _ = await process.communicate("\n".join(map(json.dumps, messages)).encode())
    assert process.returncode == 0, out[-2000:]
    began, *answers, ended = out.splitlines()
    assert (began, ended) == (b"lifespan began", b"lifespan ended")
    assert sorted(json.loads(line)["id"] for line in answers) == [1, 2]


async def test_one_socket_that_its_owner_made_non_blocking() -> None:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SERVER), stdin=theirs.fileno(), stdout=theirs.fileno()
    )
    theirs.close()
    reader, writer = await asyncio.open_connection(sock=ours)
    try:
        async with asyncio.timeout(SECONDS):
            for id in range(4):
                writer.write(json.dumps(call(id, "big", {"size": 300_000}, modern=True)).encode() + b"\n")
            writer.write_eof()
            answers = (await reader.read()).splitlines()
            assert await process.wait() == 0
        assert sorted(json.loads(line)["id"] for line in answers) == [0, 1, 2, 3]
    finally:
        writer.close()
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell that closes descriptors")
@pytest.mark.parametrize(("closed", "code"), [("<&-", 1), (">&-", 1), ("2>&-", 0)])
async def test_a_stream_that_is_closed_from_the_start(closed: str, code: int) -> None:
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, str(SERVER)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(SECONDS):
        out, errors = await process.communicate(json.dumps(call(1, "noise", modern=True)).encode())
    assert process.returncode == code, errors
    if code:
        assert b"stdio needs an open stdin and stdout" in errors
    else:
        (answer,) = out.splitlines()  # and nothing of the noise
        assert json.loads(answer)["id"] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signals_end_it_well(server: Raw, number: int) -> None:
    await server.ask(initialize())
    await server.send(call(1, "sleep", {"seconds": 60}), call(2, "block", {"seconds": 60}))
    assert "result" in await server.ask(request(3, "ping"))  # the calls have begun
    server.process.send_signal(number)
    said, errors = await server.ended()
    assert {(answer["id"], answer["error"]["code"]) for answer in said} == {(1, -32603), (2, -32603)}
    assert "lifespan ended" in errors


async def test_a_broken_stdout_ends_it() -> None:
    read, write = os.pipe()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SERVER),
        stdin=asyncio.subprocess.PIPE,
        stdout=write,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(write)
    assert process.stdin is not None
    process.stdin.write(json.dumps(call(1, "sleep", {"seconds": 60}, modern=True)).encode() + b"\n")
    assert process.stderr is not None
    async with asyncio.timeout(SECONDS):
        await process.stderr.readline()
        os.close(read)
        _, errors = await process.communicate()
    assert process.returncode == 0
    assert b"Traceback" not in errors


async def test_a_client_that_does_not_read_waits_itself(server: Raw) -> None:
    """Memory stays bounded: after so many answers the server takes no more; later all are there."""
    count = 1000
    lines = b"".join(
        json.dumps(call(id, "big", {"size": 20_000}, modern=True)).encode() + b" " * 2000 + b"\n"
        for id in range(1, count + 1)
    )
    server.stdin.transport.set_write_buffer_limits(high=0)  # type: ignore[attr-defined]
    server.stdin.write(lines)
    with pytest.raises(TimeoutError):  # 2 MB of requests are not taken in
        await asyncio.wait_for(server.stdin.drain(), 1.5)
    ids: list[int] = []
    while len(ids) < count:
        answer = await server.receive()
        assert len(text(answer)) == 20_000
        ids.append(answer["id"])
    assert sorted(ids) == list(range(1, count + 1))
    assert (await server.finish())[0] == []


# In this process


@contextmanager
def pipes() -> Iterator[tuple[StandardStreams, int, int]]:
    """A server's streams, and the descriptors at their other ends: to write to, to read from."""
    read, to_server = os.pipe()
    from_server, write = os.pipe()
    try:
        yield StandardStreams(read, write), to_server, from_server
    finally:
        for descriptor in (read, write, from_server):
            os.close(descriptor)


async def test_what_outlasts_the_grace_is_cancelled() -> None:
    server = FastMCP("slow")
    state: list[str] = []

    @server.tool
    async def hang() -> None:
        state.append("began")
        try:
            await asyncio.Event().wait()
        finally:
            state.append("cancelled")

    with pipes() as (streams, to_server, from_server):
        os.write(to_server, json.dumps(call(1, "hang", modern=True)).encode() + b"\n")
        os.close(to_server)
        async with asyncio.timeout(SECONDS):
            await serve_stdio(server, streams, sealer=AeadSealer(), max_message_bytes=10_000, grace=0.1)
        assert os.get_blocking(streams.output)
        assert json.loads(os.read(from_server, 10_000))["error"]["code"] == -32603
    assert state == ["began", "cancelled"]


async def test_the_streams_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where sys.stdin and sys.stdout are no files."""
    server = FastMCP("inside")
    monkeypatch.setattr(sys, "stdin", None)
    monkeypatch.setattr(sys, "stdout", stdout := object())
    saved = os.dup(0), os.dup(1)
    with pipes() as (streams, to_server, from_server):
        os.dup2(streams.input, 0)
        os.dup2(streams.output, 1)
        try:
            os.write(to_server, b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
            os.close(to_server)
            async with asyncio.timeout(SECONDS):
                await run_stdio_async(server, show_banner=False)
            assert sys.stdout is stdout
            assert os.path.samestat(os.fstat(0), os.fstat(streams.input))
            assert os.path.samestat(os.fstat(1), os.fstat(streams.output))
        finally:
            for number, descriptor in enumerate(saved):
                os.dup2(descriptor, number)
                os.close(descriptor)
        assert os.read(from_server, 1000) == b'{"jsonrpc":"2.0","id":1,"result":{}}\n'


def test_streams_are_taken_once() -> None:
    with standard_streams() as outer, standard_streams() as inner:
        assert inner is outer


async def test_a_pair_in_memory() -> None:
    server = FastMCP("pair")

    @server.tool
    async def hello(ctx: Context) -> str:
        await ctx.report_progress(1)
        return "hello"

    async with memory_pair(server) as (send, receive), asyncio.timeout(SECONDS):
        for message in (initialize(), call(1, "hello")):
            message["params"]["_meta"] = {"progressToken": "p"}
            await send(json.dumps(message).encode())
        assert json.loads(await receive())["result"]["serverInfo"]["name"] == "pair"
        assert json.loads(await receive())["params"] == {"progressToken": "p", "progress": 1}
        assert text(json.loads(await receive())) == "hello"


Cut = Callable[[bytes], list[bytes]]


@pytest.mark.parametrize("cut", [lambda data: [data], lambda data: [data[i : i + 1] for i in range(len(data))]])
def test_lines(cut: Cut) -> None:
    lines = Lines(5)
    data = b"one\n\n 12345678\r\nfive5\r\n" + b"x" * 50 + b"\n\r\ntwo"
    found = [line for piece in cut(data) for line in lines.feed(piece)] + lines.end()
    assert found == [b"one", None, None, None, b"two"]
