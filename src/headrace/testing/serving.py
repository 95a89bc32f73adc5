"""A server on a real socket for the time of a test: in the test's own loop, or in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import socket
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import uvicorn

from ..server.run import authority, listen
from .ports import find_available_port

__all__ = ["run_server_async", "run_server_in_process"]

_END_SECONDS = 3
_PROCESS_SECONDS = 20.0


@asynccontextmanager
async def run_server_async(
    server: Any,
    port: int | None = None,
    transport: str = "http",
    path: str | None = None,
    host: str = "127.0.0.1",
    **app_options: Any,
) -> AsyncGenerator[str]:
    """Serve on a free port of the loopback interface, under uvicorn in this loop; yields the URL.

    `server` is what has an `http_app` method; `app_options` go to it. At the end open streams are ended, the lifespan
    is left and the socket closed. Raises RuntimeError where the app does not start.
    """
    app = server.http_app(path=path, transport=transport, **app_options)
    listener = listen(host, port or 0)
    running = _Server(
        # No log_config: how logs are set up is the test's own affair.
        uvicorn.Config(app, lifespan="on", ws="none", log_config=None, timeout_graceful_shutdown=_END_SECONDS)
    )
    task = asyncio.get_running_loop().create_task(running.run_on(listener))
    try:
        await running.wait_until_up(task)
        yield f"http://{authority(host, listener.getsockname()[1])}{app.state.path}"
    finally:
        with anyio.CancelScope(shield=True):
            app.drain()
            running.should_exit = True
            _, late = await asyncio.wait([task], timeout=_END_SECONDS * 2)
            for each in late:
                each.cancel()
            await asyncio.wait([task])
            listener.close()


class _Server(uvicorn.Server):
    """uvicorn that tells when it is up, and leaves signals to the test."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._up = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def run_on(self, listener: socket.socket) -> None:
        # When the lifespan fails uvicorn ends quietly, or with the program.
        with contextlib.suppress(SystemExit):
            await self.serve([listener])
        if not self.started:
            raise RuntimeError("The server did not start: its lifespan failed, see the log")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._up.set()

    async def wait_until_up(self, task: asyncio.Task[None]) -> None:
        up = asyncio.get_running_loop().create_task(self._up.wait())
        try:
            await asyncio.wait([up, task], return_when=asyncio.FIRST_COMPLETED)
        finally:
            up.cancel()
        if not self._up.is_set():
            await task


@contextmanager
def run_server_in_process(
    server_fn: Callable[..., Any],
    *args: Any,
    provide_host_and_port: bool = True,
    host: str = "127.0.0.1",
    port: int | None = None,
    **kwargs: Any,
) -> Generator[str]:
    """Run ``server_fn(*args, host=..., port=..., **kwargs)`` in a new process; yields its URL without a path.

    The process starts afresh, so the function stands at the top of a module that can be imported. Raises RuntimeError
    if nothing listens within 20 seconds; at the end the process is terminated.
    """
    port = port or find_available_port()
    if provide_host_and_port:
        kwargs = {**kwargs, "host": host, "port": port}
    process = multiprocessing.get_context("spawn").Process(target=server_fn, args=args, kwargs=kwargs, daemon=True)
    process.start()
    try:
        _wait_until_up(process, host, port)
        yield f"http://{authority(host, port)}"
    finally:
        process.terminate()
        process.join(_END_SECONDS * 2)
        if process.is_alive():
            process.kill()
            process.join()
        process.close()


def _wait_until_up(process: Any, host: str, port: int) -> None:
    deadline = time.monotonic() + _PROCESS_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            socket.create_connection((host, port), timeout=1).close()
            return
        process.join(0.02)
        if not process.is_alive():
            raise RuntimeError(f"The server's process ended at once, with exit code {process.exitcode}")
    raise RuntimeError(f"Nothing listens on {host}:{port} after {_PROCESS_SECONDS:g} seconds")
