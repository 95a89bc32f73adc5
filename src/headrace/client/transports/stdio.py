"""stdio, the client's side: starts the server as a process of its own and talks to it over its stdin and stdout.

What it writes to stderr goes where this process's stderr goes, or into a log file. The end is the specification's:
stdin is closed, then the process is asked to terminate, then it is killed, each after a while (2026-07-28, stdio,
Shutdown).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

from ...exceptions import ClientError
from ...settings import variable
from ...transports.lines import Lines, line
from .duplex import DuplexTransport

__all__ = ["StdioTransport", "default_environment"]

MAX_LINE_BYTES = 32 * 1024 * 1024
MAX_UNREAD = 1000
"""Messages of the server that nobody took yet, before it has to wait."""
_TURN = 100
"""Messages taken in one go."""
_PROBE_SECONDS = 10.0
"""How long a server that does not know ``server/discover`` may be silent; some are slow to start."""
_END_SECONDS = 2.0
_INHERITED = (
    "APPDATA HOMEDRIVE HOMEPATH LOCALAPPDATA PATH PATHEXT PROCESSOR_ARCHITECTURE SYSTEMDRIVE SYSTEMROOT TEMP USERNAME "
    "USERPROFILE"
    if sys.platform == "win32"
    else "HOME LANG LC_ALL LC_CTYPE LOGNAME PATH SHELL TERM TMPDIR USER"
).split()


def default_environment() -> dict[str, str]:
    """What a server gets to know of this process's environment: no secrets that happen to be in it."""
    known = {name: variable(name) for name in _INHERITED}
    # What begins with brackets is a function of a shell.
    return {name: value for name, value in known.items() if value and not value.startswith("()")}


class StdioTransport(DuplexTransport):
    """`command` is started without a shell. `env` goes on top of `default_environment`. What the server writes to
    stderr goes into `log_file`: a path, whose file is appended to, or an open file."""

    def __init__(
        self,
        command: str,
        args: Sequence[str] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        *,
        log_file: Path | IO[Any] | None = None,
    ) -> None:
        # The arguments may hold secrets, so messages name the command alone.
        super().__init__(f"the server {Path(command).name!r}", self._process, probe_seconds=_PROBE_SECONDS)
        self.command = command
        self.args = list(args or ())
        self.env = dict(env or {})
        self.cwd = cwd
        self.log_file = log_file

    @asynccontextmanager
    async def _process(self) -> AsyncGenerator[_Process]:
        process = await self._started()
        try:
            yield process
        finally:
            await process.end()

    async def _started(self) -> _Process:
        log: IO[Any] | None = None
        try:
            # The process has a descriptor of its own for it.
            log = open(self.log_file, "ab") if isinstance(self.log_file, Path) else self.log_file  # noqa: ASYNC230, SIM115
            _, process = await asyncio.get_running_loop().subprocess_exec(
                lambda: _Process(self.name),
                self.command,
                *self.args,
                env={**default_environment(), **self.env},
                cwd=self.cwd,
                stderr=log,
                # A group of its own: what a launcher started ends with it, and Ctrl-C here is for us to hear.
                start_new_session=sys.platform != "win32",
            )
        except (OSError, ValueError) as error:
            raise ClientError(f"Can't start {self.name}: {error}") from error
        finally:
            if isinstance(self.log_file, Path) and log is not None:
                log.close()
        return process


class _Process(asyncio.SubprocessProtocol):
    """A server's process, as the channel to it."""

    session_id: str | None = None

    def __init__(self, name: str) -> None:
        self._name = name
        self._transport: asyncio.SubprocessTransport | None = None
        self._stdin: asyncio.WriteTransport | None = None
        self._stdout: asyncio.ReadTransport | None = None
        self._lines = Lines(MAX_LINE_BYTES)
        self._unread: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._reading = True
        self._ending = False
        self._turn = asyncio.Lock()
        self._room = asyncio.Event()
        self._room.set()
        self._gone = asyncio.Event()
        self._failure: ClientError | None = None

    async def send(self, body: bytes) -> None:
        async with self._turn:
            await self._room.wait()
            if self._stdin is not None and not self._stdin.is_closing() and self._failure is None:
                self._stdin.write(line(body))
                return
        raise await self._lost()

    async def receive(self, take: Callable[[bytes], bool]) -> None:
        taken = 0
        while (body := await self._unread.get()) is not None:
            take(body)
            taken += 1
            if taken % _TURN == 0:
                await asyncio.sleep(0)  # the queue never waits while it is full: others run, too
            if not self._reading and self._unread.qsize() < MAX_UNREAD // 2 and self._stdout is not None:
                self._reading = True
                self._stdout.resume_reading()
        raise await self._lost()

    async def end(self) -> None:
        """No process is left, nor what it started."""
        self._ending = True
        if self._stdin is not None:
            self._stdin.close()
        if self._stdout is not None and not self._reading:
            self._stdout.resume_reading()  # or a server that has something to say could not end
        kill = signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL
        try:
            for number in (signal.SIGTERM, kill):
                if await self._exited():
                    return
                self._signal(number)
            await self._exited()
        finally:
            if not self._gone.is_set():  # this was cancelled
                self._signal(kill)
            if self._transport is not None:
                self._transport.close()

    async def _exited(self) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await self._gone.wait()
        return self._gone.is_set()

    def _signal(self, number: int) -> None:
        if self._transport is None:
            return
        with contextlib.suppress(ProcessLookupError):
            if sys.platform == "win32":
                self._transport.terminate()
            else:
                os.killpg(self._transport.get_pid(), number)

    async def _lost(self) -> ClientError:
        """Why there is no connection any more; the exit code may take a moment."""
        if self._failure is not None:
            return self._failure
        await self._exited()
        code = self._transport.get_returncode() if self._transport is not None else None
        return ClientError(f"{self._name} ended the connection{'' if code is None else f' (exit code {code})'}")

    # What the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport
        stdin, stdout = transport.get_pipe_transport(0), transport.get_pipe_transport(1)
        assert isinstance(stdin, asyncio.WriteTransport)
        assert isinstance(stdout, asyncio.ReadTransport)
        self._stdin, self._stdout = stdin, stdout

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if self._ending:
            return
        for body in self._lines.feed(data):
            if body is None:
                self._failure = ClientError(f"{self._name} sent a message of more than {MAX_LINE_BYTES} bytes")
                self._unread.put_nowait(None)
            else:
                self._unread.put_nowait(body)
        if self._reading and self._unread.qsize() >= MAX_UNREAD and self._stdout is not None:
            self._reading = False
            self._stdout.pause_reading()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._room.set()
        if fd == 1:
            self._unread.put_nowait(None)

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def process_exited(self) -> None:
        if sys.platform != "win32":
            self._signal(signal.SIGKILL)  # what it started and left behind: it may hold our pipes
        self._gone.set()
        self._room.set()
