"""Servers on real sockets that end with the block, and settings for the time of a test."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from headrace import Client, FastMCP, Settings
from headrace.testing import (
    caplog_for_fastmcp,
    find_available_port,
    memory_pair,
    run_server_async,
    run_server_in_process,
    temporary_settings,
)
from headrace.utilities.logging import configure_logging, temporary_log_level


def make(log: list[str] | None = None) -> FastMCP:
    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        if log is not None:
            log.append("start")
        yield
        if log is not None:
            log.append("end")

    mcp = FastMCP("served", lifespan=lifespan)

    @mcp.tool
    def add(a: int, b: int) -> int:
        return a + b

    return mcp


def refuses(url: str) -> bool:
    host, port = url.removeprefix("http://").partition("/")[0].split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) != 0


@pytest.mark.parametrize("mode", ["modern", "legacy"])
async def test_in_this_loop(mode: Any) -> None:
    log: list[str] = []
    async with run_server_async(make(log), path="/here") as url:
        assert url.endswith("/here")
        assert log == ["start"]
        async with Client(url, mode=mode) as client:
            assert (await client.call_tool("add", {"a": 1, "b": 2})).data == 3
    assert log == ["start", "end"]
    assert refuses(url)


async def test_the_block_ends_although_a_stream_is_open() -> None:
    async with asyncio.timeout(20):
        async with run_server_async(make()) as url:
            client = await Client(url, mode="legacy").__aenter__()
        await client.close()
    assert refuses(url)


async def test_the_test_may_fail_or_be_cancelled() -> None:
    urls: list[str] = []

    async def failing() -> None:
        async with run_server_async(make()) as url:
            urls.append(url)
            raise KeyError

    with pytest.raises(KeyError):
        await failing()
    assert refuses(urls.pop())

    async def forever() -> None:
        async with run_server_async(make()) as url:
            urls.append(url)
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await forever()
    assert refuses(urls[0])


async def test_a_port_in_use_and_a_lifespan_that_fails() -> None:
    port = find_available_port()
    async with run_server_async(make(), port=port) as url:
        assert f":{port}/" in url
        with pytest.raises(OSError, match="in use"):
            async with run_server_async(make(), port=port):
                pass

    @asynccontextmanager
    async def broken(_: Any) -> AsyncIterator[None]:
        raise ValueError("no database")
        yield

    with pytest.raises(RuntimeError, match="did not start"):
        async with run_server_async(FastMCP("broken", lifespan=broken)):
            pass


async def test_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    # The module of the function must be importable in the new process, however the tests were started.
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    with run_server_in_process(serve, "prefix", transport="http") as url:
        async with Client(f"{url}/mcp") as client:
            assert (await client.call_tool("prefix_add", {"a": 1, "b": 2})).data == 3
    assert refuses(url)


def test_a_process_that_ends_at_once() -> None:
    with (
        pytest.raises(RuntimeError, match="exit code"),
        run_server_in_process(print, "gone", provide_host_and_port=False),
    ):
        pass


def serve(prefix: str, host: str, port: int, transport: str) -> None:
    mcp = FastMCP("in a process")

    @mcp.tool(f"{prefix}_add")
    def add(a: int, b: int) -> int:
        return a + b

    mcp.run(transport=transport, host=host, port=port, show_banner=False)


async def test_memory_pair() -> None:
    async with memory_pair(make()) as (send, receive):
        await send(b'{"jsonrpc":"2.0","id":1,"method":"no/such"}')
        assert b'"error"' in await receive()


@pytest.mark.parametrize(
    ("changes", "variable", "text"),
    [
        ({"port": 9}, "HEADRACE_PORT", "9"),
        ({"stateless_http": True}, "HEADRACE_STATELESS_HTTP", "true"),
        ({"allowed_hosts": ("a.example", "b.example")}, "HEADRACE_ALLOWED_HOSTS", "a.example,b.example"),
        ({"allowed_origins": {"https://a.example"}}, "HEADRACE_ALLOWED_ORIGINS", "https://a.example"),
        ({"port": None}, "HEADRACE_PORT", None),
    ],
)
def test_temporary_settings(
    changes: dict[str, Any], variable: str, text: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_PORT", "1")
    before = dict(os.environ)
    with temporary_settings(**changes) as settings:
        assert os.environ.get(variable) == text
        (name, value) = next(iter(changes.items()))
        value = tuple(value) if isinstance(value, set) else value
        assert getattr(settings, name) == (Settings().port if value is None else value)
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("changes", "error", "says"), [({"prot": 1}, TypeError, "prot"), ({"port": -1}, ValueError, "HEADRACE_PORT")]
)
def test_settings_that_do_not_fit(changes: dict[str, Any], error: type[Exception], says: str) -> None:
    before = dict(os.environ)
    with pytest.raises(error, match=says), temporary_settings(**changes):
        pass
    assert dict(os.environ) == before


def test_logs_are_heard_by_caplog_though_they_are_shown(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("headrace.server")
    with temporary_log_level("INFO"):
        configure_logging("INFO")
        with caplog_for_fastmcp(caplog):
            logger.info("heard")
        logger.info("only shown")
    with caplog_for_fastmcp(caplog):
        logger.warning("as ever")
    assert caplog.messages == ["heard", "as ever"]
