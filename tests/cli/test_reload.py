"""``headrace run --reload``: real processes, a file that changes, and signals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import IO, Any

import httpx2
import pytest

from .commands import COMMAND, HEAD, SECONDS, write

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")

SERVER = HEAD + 'mcp = FastMCP("a")\n@mcp.tool\ndef version() -> int:\n    return {version}\n'


class Running:
    """The command; `line` and `error` wait for a line of its output that has `part` in it."""

    def __init__(self, *arguments: str) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([*COMMAND, "run", *arguments], stdin=pipe, stdout=pipe, stderr=pipe)
        assert self.process.stdin
        assert self.process.stdout
        assert self.process.stderr
        self.stdin = self.process.stdin
        self._out, self._err = _lines(self.process.stdout), _lines(self.process.stderr)

    def line(self, part: str = "") -> str:
        return _wait(self._out, part)

    def error(self, part: str) -> str:
        return _wait(self._err, part)

    def ask(self, method: str, **params: Any) -> Any:
        """The result of a request over stdio."""
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        self.stdin.write(json.dumps(message).encode() + b"\n")
        self.stdin.flush()
        return json.loads(self.line())["result"]


def _lines(stream: IO[bytes]) -> Queue[str]:
    queue: Queue[str] = Queue()

    def read() -> None:
        with stream:
            for line in stream:
                queue.put(line.decode())
        queue.put("")

    threading.Thread(target=read, daemon=True).start()
    return queue


def _wait(lines: Queue[str], part: str) -> str:
    while True:
        line = lines.get(timeout=SECONDS)
        assert line, f"the output ended before {part!r}"
        if part in line:
            return line


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    started: list[Running] = []

    def start(*arguments: str) -> Running:
        started.append(Running(*arguments))
        return started[-1]

    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    yield start
    for each in started:
        each.stdin.close()
        if each.process.poll() is None:
            each.process.terminate()
        try:
            each.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            each.process.kill()
            each.process.wait()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_http(number: int, start: Any) -> None:
    write(SERVER.format(version=1) + "import os\nprint('pid', os.getpid(), flush=True)")
    running = start("server.py", "--reload", "--transport", "http", "--port", "0")
    pids = [int(running.line("pid").split()[1])]
    assert _called(running.line("serves MCP on")) == 1
    write(SERVER.format(version=2) + "import os\nprint('pid', os.getpid(), flush=True)")
    assert "server.py" in running.error("Restarting")
    pids.append(int(running.line("pid").split()[1]))
    assert _called(running.line("serves MCP on")) == 2
    running.process.send_signal(number)
    assert running.process.wait(SECONDS) == 0
    assert not any(alive(pid) for pid in pids)


def _called(line: str) -> int:
    found = re.search(r"http://\S+", line)
    assert found
    params = {"name": "version", "arguments": {}}
    headers = {"Accept": "application/json, text/event-stream"}
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    with httpx2.Client(headers=headers, timeout=SECONDS) as client:
        body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
        session = client.post(found[0], json=body).headers["mcp-session-id"]
        client.headers |= {"mcp-session-id": session, "mcp-protocol-version": "2025-06-18"}
        client.post(found[0], json={"jsonrpc": "2.0", "method": "notifications/initialized"})
        body = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
        return client.post(found[0], json=body).json()["result"]["structuredContent"]["result"]


def test_stdio_goes_on_after_a_restart_and_ends_with_its_client(start: Any) -> None:
    write(SERVER.format(version=1))
    running = start("server.py", "--reload", "-t", "stdio")
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    assert running.ask("initialize", **hello)["serverInfo"]["name"] == "a"
    running.error("serves MCP on")
    write(SERVER.format(version=2))
    running.error("serves MCP on")
    result = running.ask("tools/call", name="version", arguments={})
    assert result["structuredContent"] == {"result": 2}
    running.stdin.close()
    assert running.process.wait(SECONDS) == 0


def test_a_file_that_breaks_is_started_again_at_the_next_change(start: Any) -> None:
    write("1 / 0")
    running = start("server.py", "--reload", "-t", "http", "--port", "0")
    assert running.error("Error") == "Error: server.py:1: ZeroDivisionError: division by zero\n"
    assert running.error("code 1") == "The server ended with code 1; it starts again at the next change\n"
    write(SERVER.format(version=1))
    assert running.line("serves MCP on")


def test_which_files_count(start: Any) -> None:
    Path("other").mkdir()
    Path("x.json").write_text('{"source": {"path": "server.py"}, "deployment": {"transport": "http", "port": 0}}')
    write(SERVER.format(version=1))
    running = start("x.json", "--reload", "--reload-dir", ".", "--reload-dir", "other")
    running.line("serves MCP on")
    write("data", "other/data.json")
    write("x = 1", "other/module.py")
    assert running.error("Restarting") == "Restarting: module.py changed\n"
    running.line("serves MCP on")
    Path("x.json").write_text(Path("x.json").read_text())
    assert running.error("Restarting") == "Restarting: x.json changed\n"


def test_without_watchfiles() -> None:
    write(SERVER.format(version=1))
    code = "import sys; sys.modules['watchfiles'] = None; from headrace.cli import main; main(['run', *sys.argv[1:]])"
    arguments = [sys.executable, "-c", code, "server.py", "--reload"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=SECONDS)
    assert (done.returncode, done.stderr) == (1, "Error: --reload needs watchfiles: install headrace[reload]\n")
