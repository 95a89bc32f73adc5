"""The login of the commands: begun by a server that asks for one, kept in a file, never printed."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headrace import Client
from headrace.client.transports import StdioTransport

from ..client.auth_server import AuthorizationServer, protected
from .commands import COMMAND, SECONDS

BROWSER = """import sys, urllib.request
with urllib.request.urlopen(sys.argv[1]) as page:
    page.read()
"""
"""A user who agrees to everything."""

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the webbrowser module starts a program there")


@pytest.fixture
async def server() -> AuthorizationServer:
    return AuthorizationServer()


@pytest.fixture
async def url(server: AuthorizationServer) -> AsyncIterator[str]:
    async with protected(server) as url:
        yield url


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    browser = tmp_path / "browser.py"
    browser.write_text(BROWSER)
    return {**os.environ, "HEADRACE_HOME": str(tmp_path / "home"), "BROWSER": f"{sys.executable} {browser} %s"}


async def run(environ: dict[str, str], *arguments: str) -> tuple[int | None, str, str]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*COMMAND, *arguments, stdout=pipe, stderr=pipe, env=environ)
    try:
        async with asyncio.timeout(SECONDS):
            stdout, stderr = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    return process.returncode, stdout.decode(), stderr.decode()


@pytest.mark.parametrize("arguments", [[], ["--auth", "oauth", "--mode", "legacy"]])
async def test_a_login(arguments: list[str], url: str, server: AuthorizationServer, environ: dict[str, str]) -> None:
    call = ["call", url, "add", "a=1", "b=2", *arguments]
    assert await run(environ, *call) == (0, "3\n", "")
    assert len(server.asked("authorize")) == 1
    assert await run(environ, *call) == (0, "3\n", "")
    assert len(server.asked("authorize")) == 1  # the tokens were kept
    mode, kept = _logins(environ)
    assert mode == 0o600
    assert not any(token in kept for token in server.valid)


def _logins(environ: dict[str, str]) -> tuple[int, str]:
    file = Path(environ["HEADRACE_HOME"], "logins")
    return file.stat().st_mode & 0o777, file.read_text()


@pytest.mark.parametrize("arguments", [["--auth", "none"], ["--auth", "s3cret"], ["-H", "Authorization: s3cret"]])
async def test_no_login(arguments: list[str], url: str, server: AuthorizationServer, environ: dict[str, str]) -> None:
    code, stdout, stderr = await run(environ, "list", url, *arguments)
    assert (code, stdout) == (1, "")
    assert stderr.startswith(f"Error: {url} answered 401")
    assert "s3cret" not in stderr
    assert server.asked("authorize") == []


async def test_a_token(url: str, server: AuthorizationServer, environ: dict[str, str]) -> None:
    await run(environ, "list", url)
    (token, *_) = server.valid
    call = ["call", url, "add", "a:=1", "b:=2", "--auth"]
    assert await run({**environ, "TOKEN": token}, *call, "${TOKEN}") == (0, "3\n", "")


@pytest.mark.parametrize("mode", ["modern", "legacy"])
async def test_the_bridge_logs_in(mode: Any, url: str, server: AuthorizationServer, environ: dict[str, str]) -> None:
    program, *rest = COMMAND
    transport = StdioTransport(program, [*rest, "bridge", url], environ)
    async with asyncio.timeout(SECONDS), Client(transport, mode=mode) as client:
        assert (await client.call_tool("add", {"a": 1, "b": 2})).data == 3
    assert len(server.asked("authorize")) == 1
