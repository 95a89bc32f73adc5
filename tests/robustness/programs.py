"""Servers in processes of their own: started, asked to end, and killed by their own pid where they do not."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from .wire import SECONDS

__all__ = ["Program", "program"]


class Program:
    """A server in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, output: asyncio.Task[bytes]) -> None:
        self.process = process
        self.port = port
        self._output = output
        self._signalled = 0.0

    def end(self, number: int = signal.SIGTERM) -> None:
        """Send the signal."""
        self._signalled = time.monotonic()
        self.process.send_signal(number)

    async def exited(self, seconds: float, since: float | None = None) -> None:
        """Ended by itself, within `seconds` of the signal (or of `since`), and without a complaint."""
        async with asyncio.timeout(seconds + SECONDS):
            code = await self.process.wait()
            output = (await self._output).decode()
        took = time.monotonic() - (self._signalled if since is None else since)
        assert took < seconds, f"the exit took {took:.1f} s\n{output}"
        # uvicorn passes the signal on once it has shut down in good order.
        assert code in (0, -signal.SIGTERM, -signal.SIGINT), output
        assert "Traceback" not in output, output
        assert not re.search(r"\b(ERROR|WARNING|Task was destroyed|never awaited)\b", output), output


@contextlib.asynccontextmanager
async def program(command: Sequence[str], lifespans: int, cwd: Path | None = None) -> AsyncIterator[Program]:
    """Started: its port and that `lifespans` processes are ready is known from what it says.

    Killed by its own pid if it still runs at the end.
    """
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdout is not None
    output = None
    try:
        port, said = 0, b""
        async with asyncio.timeout(SECONDS):
            while not port or lifespans:
                line = await process.stdout.readline()
                said += line
                assert line, f"{command} did not start:\n{said.decode()}"
                if found := re.search(rb"http://127\.0\.0\.1:(\d+)", line):
                    port = int(found[1])
                lifespans -= b"Application startup complete" in line
        output = asyncio.get_running_loop().create_task(process.stdout.read())
        yield Program(process, port, output)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        if output is not None:
            await output
