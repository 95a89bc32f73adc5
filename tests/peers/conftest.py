"""The servers the peers talk to, and their programs in Node."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ..robustness.wire import serving
from .app import make

HERE = Path(__file__).parent
NODE_SECONDS = 50.0
STDIO = (sys.executable, str(HERE / "app.py"))
"""What starts the server over stdio."""

RunNode = Callable[..., Awaitable[str]]


@pytest.fixture(scope="module")
async def url() -> AsyncIterator[str]:
    """Streamable HTTP, every era on one path."""
    async with serving(make().http_app()) as running:
        yield f"http://127.0.0.1:{running.port}/mcp"


@pytest.fixture(scope="module")
async def sse_url() -> AsyncIterator[str]:
    """HTTP+SSE."""
    async with serving(make().http_app(transport="sse")) as running:
        yield f"http://127.0.0.1:{running.port}/sse"


@pytest.fixture
def run_node(node: str, tmp_path: Path) -> RunNode:
    """Run a program with Node: what it wrote to stdout. Fails with what it said where its exit code is not 0."""

    async def run(*arguments: str) -> str:
        # A home of its own: the inspector keeps files there.
        environment = {**os.environ, "HOME": str(tmp_path), "NO_COLOR": "1"}
        process = await asyncio.create_subprocess_exec(
            node,
            *arguments,
            env=environment,
            cwd=HERE,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(NODE_SECONDS):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, (out + err).decode()
        return out.decode()

    return run


@pytest.fixture
def report(run_node: RunNode) -> Callable[..., Awaitable[dict[str, Any]]]:
    """What one of the client programs beside this file found, as JSON."""

    async def run(*arguments: str) -> dict[str, Any]:
        return json.loads(await run_node(*arguments))

    return run
