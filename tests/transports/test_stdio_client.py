"""`StdioTransport`: starting a server, talking to one that misbehaves, and leaving no process behind."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from headrace import Client
from headrace.client.transports import StdioTransport, stdio
from headrace.client.transports.stdio import default_environment
from headrace.exceptions import ClientError

HERE = Path(__file__).parent
SECONDS = 15.0


def program(tmp_path: Path, source: str, *arguments: str) -> StdioTransport:
    file = tmp_path / "program.py"
    file.write_text(source)
    return StdioTransport(sys.executable, [str(file), *arguments])


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    # One that init has still to reap is gone for us.
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


async def gone(pid: int) -> None:
    deadline = time.monotonic() + SECONDS
    while is_there(pid):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_environment_and_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "s")
    monkeypatch.setenv("SHELL", "() { :; }")
    cwd = str(tmp_path)
    transport = StdioTransport(sys.executable, [str(HERE / "stdio_server.py")], env={"GIVEN": "g"}, cwd=cwd)
    async with Client(transport) as client:
        for name, value in (("GIVEN", "g"), ("SECRET_TOKEN", None), ("SHELL", None), ("PATH", os.environ["PATH"])):
            assert (await client.call_tool("env", {"name": name})).data == [value, cwd]
    assert "PATH" in default_environment()


async def test_a_client_can_be_entered_again() -> None:
    client = Client(StdioTransport(sys.executable, [str(HERE / "stdio_server.py")]))
    for _ in range(2):
        async with client:
            assert await client.ping()


async def test_a_command_that_is_not_there() -> None:
    with pytest.raises(ClientError, match=r"Can't start the server 'no-such-program': .*No such file"):
        await Client(StdioTransport("/nowhere/no-such-program", ["--token=secret"])).__aenter__()


@pytest.mark.parametrize(
    ("source", "told"),
    [("raise SystemExit(4)", r"ended the connection \(exit code 4\)"), ("print('hello')", r"\(exit code 0\)")],
)
async def test_a_server_that_ends_at_once(source: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ClientError, match=told):
        await Client(program(tmp_path, source)).__aenter__()


async def test_a_server_that_dies_in_a_call() -> None:
    async with Client(StdioTransport(sys.executable, [str(HERE / "stdio_server.py")])) as client:
        sleeping = asyncio.create_task(client.call_tool("sleep", {"seconds": 60}))
        with pytest.raises(ClientError, match="exit code 3"):
            await client.call_tool("leave")
        with pytest.raises(ClientError, match="exit code 3"):
            await sleeping
        with pytest.raises(ClientError):
            await client.call_tool("sleep", {"seconds": 0})


LEGACY = """
import json, sys
print("welcome to this server")  # which it should not say
for line in sys.stdin:
    message = json.loads(line)
    if message["method"] == "initialize":
        result = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "old", "version": "1"}}
    elif message["method"] == "ping":
        result = {}
    elif "refuse" in sys.argv and "id" in message:
        error = {"code": -32000, "message": "no"}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": error}), flush=True)
        continue
    else:
        continue  # not even an answer
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"""


@pytest.mark.parametrize("arguments", [["refuse"], []], ids=["refuses the probe", "ignores the probe"])
async def test_an_older_server(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stdio, "_PROBE_SECONDS", 0.5)
    async with Client(program(tmp_path, LEGACY, *arguments)) as client:
        assert client.protocol_version == "2025-06-18"
        assert await client.ping()
    with pytest.raises(ClientError, match="needs a handshake"):
        await Client(program(tmp_path, LEGACY, *arguments), mode="modern").__aenter__()


STUBBORN = """
import signal, subprocess, sys
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1], "w").write(str(child.pid))
from headrace import FastMCP
mcp = FastMCP("stubborn")
@mcp.tool
def pid() -> int:
    import os
    return os.getpid()
mcp.run(show_banner=False)
import time
while True:
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups")
async def test_a_server_that_does_not_want_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stdio, "_END_SECONDS", 0.2)
    note = tmp_path / "child"
    async with Client(program(tmp_path, STUBBORN, str(note))) as client:
        pid = (await client.call_tool("pid")).data
        child = int(note.read_text())
        assert is_there(pid)
        assert is_there(child)
    await gone(pid)
    await gone(child)


async def test_a_cancelled_exit_leaves_nothing(tmp_path: Path) -> None:
    note = tmp_path / "child"
    client = Client(program(tmp_path, STUBBORN, str(note)))
    before = asyncio.all_tasks()
    await client.__aenter__()
    pid = (await client.call_tool("pid")).data
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await client.close()
    await gone(pid)
    if ending := asyncio.all_tasks() - before:  # what is closed behind the back of who was cancelled
        await asyncio.wait(ending, timeout=SECONDS)
    assert asyncio.all_tasks() == before


async def test_handlers_may_call_and_readers_may_wait() -> None:
    """On one channel nothing that one of them does holds up the others."""
    seen: list[Any] = []

    async def log(note: Any) -> None:
        seen.append((await client.call_tool("add", {"a": 1, "b": 1})).data)

    client = Client(StdioTransport(sys.executable, [str(HERE / "matrix_server.py")]), log_handler=log)
    async with asyncio.timeout(SECONDS), client:
        await client.call_tool("count", {"to": 1})
        assert seen == [2]
        async with client.listen(tools=True) as notices:
            for _ in range(3):  # nobody reads the notices meanwhile
                await client.call_tool("change")
            assert (await anext(notices)).method == "notifications/tools/list_changed"
