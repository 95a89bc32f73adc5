"""File descriptors in the event loop, whatever they are.

Reading: the loop tells when a pipe, socket or terminal has something. It can't for regular files (``server < file``),
and on Windows for nothing: there a thread reads, and dies with the process if it waits then.

Writing: a pipe or socket that nobody else here uses is the loop's, too, which makes it non-blocking meanwhile. Anything
else stays as it is, since whoever shares it expects that (a terminal is stdin, stdout and stderr in one), and a
thread writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import stat
import sys
import threading
from collections.abc import Callable, Iterable
from io import FileIO
from queue import SimpleQueue
from typing import Protocol

__all__ = ["Reader", "Writer", "open_reader", "open_writer"]

CHUNK = 64 * 1024
MAX_UNWRITTEN = 64 * 1024
"""Bytes that a thread has still to write, before `write` waits."""
_FLUSH_SECONDS = 1.0


class Reader(Protocol):
    async def read(self) -> bytes:
        """What there is, at most `CHUNK` bytes; empty at the end."""
        ...

    def close(self) -> None:
        """The descriptor stays open."""
        ...


class Writer(Protocol):
    async def write(self, data: bytes) -> None:
        """Queue the bytes, in the order of the calls. Waits for a reader who is slow; what comes after he left is
        dropped."""
        ...

    async def close(self) -> None:
        """Write what is queued, or give up after a second. The descriptor stays open."""
        ...


def open_reader(descriptor: int) -> Reader:
    loop = asyncio.get_running_loop()
    try:
        loop.add_reader(descriptor, _nothing)
        loop.remove_reader(descriptor)
    except (OSError, NotImplementedError):
        return _ThreadReader(descriptor)
    return _LoopReader(descriptor)


async def open_writer(descriptor: int, *, beside: Iterable[int], lost: Callable[[], None]) -> Writer:
    """`lost` is called when the other side can't be written to any more; `beside` are descriptors it may be, too."""
    if sys.platform == "win32" or not _is_our_pipe(descriptor, beside):
        return _ThreadWriter(descriptor, lost)
    writer = _LoopWriter(descriptor, lost)
    await writer.open()
    return writer


class _LoopReader:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def read(self) -> bytes:
        loop = asyncio.get_running_loop()
        while True:
            ready = asyncio.Event()
            loop.add_reader(self._descriptor, ready.set)
            try:
                await ready.wait()
            finally:
                loop.remove_reader(self._descriptor)
            try:
                return os.read(self._descriptor, CHUNK)
            except BlockingIOError:  # somebody else who has it read what there was
                continue
            except OSError:  # a terminal that was closed, a socket that was reset
                return b""

    def close(self) -> None:
        pass


class _ThreadReader:
    def __init__(self, descriptor: int) -> None:
        self._wanted: SimpleQueue[asyncio.Future[bytes] | None] = SimpleQueue()
        threading.Thread(target=self._work, args=(descriptor,), name="headrace-stdin", daemon=True).start()

    async def read(self) -> bytes:
        chunk: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._wanted.put(chunk)
        return await chunk

    def close(self) -> None:
        self._wanted.put(None)

    def _work(self, descriptor: int) -> None:
        while future := self._wanted.get():
            try:
                chunk = os.read(descriptor, CHUNK)
            except OSError:
                chunk = b""
            with contextlib.suppress(RuntimeError):  # the loop is closed
                future.get_loop().call_soon_threadsafe(_settle, future, chunk)


class _LoopWriter(asyncio.BaseProtocol):
    """The protocol of a pipe transport."""

    def __init__(self, descriptor: int, lost: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._was_blocking = os.get_blocking(descriptor)
        self._lost = lost
        self._turn = asyncio.Lock()
        self._room = asyncio.Event()
        self._room.set()
        self._ended = asyncio.Event()
        self._transport: asyncio.WriteTransport | None = None

    async def open(self) -> None:
        pipe = FileIO(os.dup(self._descriptor), "w")
        self._transport, _ = await asyncio.get_running_loop().connect_write_pipe(lambda: self, pipe)

    async def write(self, data: bytes) -> None:
        async with self._turn:
            await self._room.wait()
            if self._transport is not None and not self._ended.is_set():
                self._transport.write(data)

    async def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FLUSH_SECONDS):
                    await self._ended.wait()
            if not self._ended.is_set():
                self._transport.abort()
        os.set_blocking(self._descriptor, self._was_blocking)

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended.set()
        self._room.set()
        self._lost()


class _ThreadWriter:
    def __init__(self, descriptor: int, lost: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._lost = lost
        self._turn = asyncio.Lock()
        self._room = asyncio.Event()
        self._room.set()
        self._ended = asyncio.Event()
        self._unwritten = 0
        self._queue: SimpleQueue[bytes] = SimpleQueue()
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._work, args=(loop,), name="headrace-stdout", daemon=True).start()

    async def write(self, data: bytes) -> None:
        async with self._turn:
            await self._room.wait()
            if self._ended.is_set():
                return
            self._unwritten += len(data)
            if self._unwritten > MAX_UNWRITTEN:
                self._room.clear()
            self._queue.put(data)

    async def close(self) -> None:
        self._queue.put(b"")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_SECONDS):
                await self._ended.wait()
        self._end()

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        with contextlib.suppress(OSError, RuntimeError):  # the reader left, the loop is closed
            while data := self._queue.get():
                rest = memoryview(data)
                while rest:
                    try:
                        rest = rest[os.write(self._descriptor, rest) :]
                    except BlockingIOError:  # whoever shares it made it non-blocking
                        select.select((), (self._descriptor,), ())
                loop.call_soon_threadsafe(self._written, len(data))
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._end)

    def _written(self, size: int) -> None:
        self._unwritten -= size
        if self._unwritten <= MAX_UNWRITTEN:
            self._room.set()

    def _end(self) -> None:
        self._ended.set()
        self._room.set()
        self._lost()


def _is_our_pipe(descriptor: int, beside: Iterable[int]) -> bool:
    """Whether it is a pipe or socket, and none that is used otherwise, too."""
    ours = os.fstat(descriptor)
    if not (stat.S_ISFIFO(ours.st_mode) or stat.S_ISSOCK(ours.st_mode)):
        return False
    for other in beside:
        with contextlib.suppress(OSError):
            if os.path.samestat(ours, os.fstat(other)):
                return False
    return True


def _settle(future: asyncio.Future[bytes], chunk: bytes) -> None:
    if not future.done():
        future.set_result(chunk)


def _nothing() -> None:
    pass
