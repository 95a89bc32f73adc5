"""`run`: which transport, what it says at the start, and what it is told in vain."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from headrace import FastMCP

from ..certificates import self_signed

SECONDS = 15.0
SERVER = """
import sys
from headrace import FastMCP
FastMCP("my server").run({options})
"""


async def run(
    tmp_path: Path, options: str, environment: dict[str, str] | None = None, terminal: int | None = None
) -> Any:
    file = tmp_path / "server.py"
    file.write_text(SERVER.replace("{options}", options))
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(file),
        cwd=tmp_path,
        env={**os.environ, **(environment or {})},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE if terminal is None else terminal,
        stderr=asyncio.subprocess.PIPE,
    )


@pytest.mark.parametrize(
    ("options", "environment", "path", "kind", "scheme"),
    [
        ("transport='http', port=0", {}, "/mcp", "http", "http"),
        ("'http', port=0, uvicorn_config={'ssl_certfile': 'both.pem'}", {}, "/mcp", "http", "https"),
        ("'streamable-http', port=0, stateless=True", {}, "/mcp", "http", "http"),
        ("'sse', port=0, show_banner=True", {"HEADRACE_SHOW_BANNER": "false"}, "/sse", "sse", "http"),
        ("port=0, host_origin_protection='auto'", {"HEADRACE_TRANSPORT": "http"}, "/mcp", "http", "http"),
    ],
)
async def test_http_says_where_it_is_and_how_to_call_it(
    options: str, environment: dict[str, str], path: str, kind: str, scheme: str, tmp_path: Path
) -> None:
    self_signed(tmp_path, "localhost")
    process = await run(tmp_path, options, environment)
    try:
        async with asyncio.timeout(SECONDS):
            first, second = await process.stdout.readline(), await process.stdout.readline()
            found = re.fullmatch(rf"my server serves MCP on ({scheme}://127\.0\.0\.1:\d+{path})\n", first.decode())
            assert found, first
            assert second.decode() == f"To use it: claude mcp add --transport {kind} my-server {found[1]}\n"
            process.send_signal(signal.SIGTERM)
            await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_in_colours_on_a_terminal(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals")
    ours, theirs = pty.openpty()
    process = await run(tmp_path, "'http', port=0", {"TERM": "xterm-256color", "NO_COLOR": ""}, terminal=theirs)
    try:
        os.close(theirs)
        said = b""
        async with asyncio.timeout(SECONDS):
            while b"claude mcp add" not in said:
                said += await asyncio.to_thread(os.read, ours, 1000)
        assert b"\x1b[" in said
        assert b"my server" in said
    finally:
        process.kill()
        await process.communicate()
        os.close(ours)


@pytest.mark.parametrize(
    ("environment", "line"), [({}, "my server serves MCP on stdio"), ({"HEADRACE_SHOW_BANNER": "false"}, "")]
)
async def test_stdio_is_the_default_and_says_so_on_stderr(
    environment: dict[str, str], line: str, tmp_path: Path
) -> None:
    process = await run(tmp_path, "", environment)
    async with asyncio.timeout(SECONDS):
        said, errors = await process.communicate(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
    assert process.returncode == 0
    assert said == b'{"jsonrpc":"2.0","id":1,"result":{}}\n'
    assert errors.decode().startswith(line)
    assert bool(errors) == bool(line)


@pytest.mark.parametrize(
    ("transport", "options", "error", "told"),
    [
        (None, {"port": 9000, "host": "::1"}, TypeError, "stdio has no host, port: .* transport='http'"),
        ("pigeon", {}, ValueError, "Unknown transport 'pigeon': one of stdio, http, streamable-http, sse"),
        ("http", {"uvicorn_config": {"workers": 2}}, ValueError, "one process.* start `uvicorn --workers 2 --http"),
        ("http", {"uvicorn_config": {"reload": True}}, ValueError, "one process.*`headrace run --reload"),
    ],
)
def test_what_does_not_fit_is_told(
    transport: str | None, options: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        FastMCP("x").run(transport, **options)


@pytest.mark.parametrize(("protection", "status"), [(None, 421), (True, 421), ("auto", 421), (False, 200)])
async def test_host_origin_protection(protection: Any, status: int, tmp_path: Path) -> None:
    process = await run(tmp_path, f"'http', port=0, host_origin_protection={protection!r}")
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}},
    }
    try:
        async with asyncio.timeout(SECONDS), httpx2.AsyncClient() as http:
            url = (await process.stdout.readline()).split()[-1].decode()
            headers = {"host": "evil.example", "accept": "application/json, text/event-stream"}
            assert (await http.post(url, json=message, headers=headers)).status_code == status
    finally:
        process.kill()
        await process.communicate()


async def test_in_a_running_loop_it_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match=r"await run_async\(\) instead"):
        FastMCP("inside").run()
