"""Records in a file that survives restarts and that several processes of one machine may share.

SQLite in WAL mode, each change on the disk before it is answered (``synchronous=FULL``). One thread of its own does the
work, so that the loop never waits for the disk. Only the owner can read the file, those beside it, and their folder.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ..exceptions import StoreError

__all__ = ["SqliteRecordStore"]

_APPLICATION = 0x48527263
"""Marks files of ours ("HRrc"): another program's database is left alone."""
_BUSY_SECONDS = 5.0
_QUEUE_SECONDS = 10.0
"""Who waited so long for its turn is refused, or a file that is locked would keep everybody."""
_SWEEP_SECONDS = 60.0
_SWEEP_ROWS = 1000

_T = TypeVar("_T")


class SqliteRecordStore:
    """`path` of the file, made if it is missing (mode 0600, its folder 0700); one that is open to others is closed.

    Raises StoreError, at once for a file that can't be used, later for a disk that is full or a file that stays locked.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path).expanduser().absolute()
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None
        self._process = 0
        self._parents: sqlite3.Connection | None = None
        """Kept, for in the child of a fork it must not even be closed."""
        self._swept = 0.0
        try:
            _prepare(self._path)
        except OSError as error:
            raise StoreError(f"The store {self._path.name} can't be used: {error.strerror}") from None

    async def put(self, kind: str, key: str, value: bytes, *, ttl: float | None = None) -> None:
        await self._run(lambda now: self._change(now, _PUT, (kind, key, value, _until(now, ttl))))

    async def get(self, kind: str, key: str) -> bytes | None:
        return _value(await self._run(lambda now: self._connected().execute(_GET, (kind, key, now)).fetchone()))

    async def take(self, kind: str, key: str) -> bytes | None:
        return _value(await self._run(lambda now: self._change(now, _TAKE, (kind, key, now))[0]))

    async def swap(
        self, kind: str, key: str, expected: bytes | None, value: bytes, *, ttl: float | None = None
    ) -> bool:
        def work(now: float) -> bool:
            until = _until(now, ttl)
            if expected is None:
                return self._change(now, _ADD, (kind, key, value, until, now))[1] == 1
            return self._change(now, _SWAP, (value, until, kind, key, expected, now))[1] == 1

        return await self._run(work)

    async def delete(self, kind: str, key: str) -> None:
        await self._run(lambda now: self._change(now, _DELETE, (kind, key)))

    async def count(self, kind: str) -> int:
        return await self._run(lambda now: self._connected().execute(_COUNT, (kind,)).fetchone()[0])

    async def close(self) -> None:
        """Ends the thread and closes the file; a later operation opens it again."""
        if self._thread is not None and self._process == os.getpid():
            await self._run(self._disconnect)
            self._thread.shutdown(wait=False)
        self._thread = None

    async def _run(self, work: Callable[[float], _T]) -> _T:
        if self._process != os.getpid():
            self._process, self._parents = os.getpid(), self._connection
            self._thread = self._connection = None
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "headrace-records")
        asked = time.monotonic()

        def in_thread() -> _T:
            if time.monotonic() - asked > _QUEUE_SECONDS:
                raise StoreError(f"The store {self._path.name} is too slow: others are waiting for it")
            return work(time.time())

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, in_thread)
        except sqlite3.Error as error:
            raise StoreError(f"The store {self._path.name} can't be used: {error}") from None
        except OSError as error:
            raise StoreError(f"The store {self._path.name} can't be used: {error.strerror}") from None

    def _change(self, now: float, statement: str, values: tuple[object, ...]) -> tuple[tuple[bytes] | None, int]:
        """What the statement returned, and how many rows it changed.

        Each is one statement, which SQLite runs as one transaction that holds the write lock from its beginning.
        """
        connection = self._connected()
        if now - self._swept > _SWEEP_SECONDS or now < self._swept:
            # What is left is for the next change, or whoever writes faster would fill the disk.
            if connection.execute(_SWEEP, (now, _SWEEP_ROWS)).rowcount < _SWEEP_ROWS:
                self._swept = now
        cursor = connection.execute(statement, values)
        row = cursor.fetchone()
        cursor.close()
        return row, cursor.rowcount

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            _prepare(self._path)
            self._connection = _opened(self._path)
        return self._connection

    def _disconnect(self, now: float) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


_PUT = (
    "INSERT INTO records VALUES (?, ?, ?, ?) "
    "ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value, until = excluded.until"
)
_ADD = f"{_PUT} WHERE records.until <= ?"
_GET = "SELECT value FROM records WHERE kind = ? AND key = ? AND (until IS NULL OR until > ?)"
_TAKE = "DELETE FROM records WHERE kind = ? AND key = ? AND (until IS NULL OR until > ?) RETURNING value"
_SWAP = (
    "UPDATE records SET value = ?, until = ? WHERE kind = ? AND key = ? AND value = ? AND (until IS NULL OR until > ?)"
)
_DELETE = "DELETE FROM records WHERE kind = ? AND key = ?"
_COUNT = "SELECT count(*) FROM records WHERE kind = ?"
_SWEEP = "DELETE FROM records WHERE rowid IN (SELECT rowid FROM records WHERE until <= ? LIMIT ?)"
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS records "
    "(kind TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, until REAL, PRIMARY KEY (kind, key))",
    "CREATE INDEX IF NOT EXISTS records_until ON records (until) WHERE until IS NOT NULL",
    f"PRAGMA application_id = {_APPLICATION}",
)


def _until(now: float, ttl: float | None) -> float | None:
    return None if ttl is None else now + ttl


def _value(row: tuple[bytes] | None) -> bytes | None:
    return None if row is None else row[0]


def _prepare(path: Path) -> None:
    """The file is its owner's alone before anything is in it; SQLite gives those beside it the same rights."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for ending in ("", "-wal", "-shm"):
        flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | (0 if ending else os.O_CREAT)
        try:
            descriptor = os.open(f"{path}{ending}", flags, 0o600)
        except FileNotFoundError:
            continue
        try:
            if os.fstat(descriptor).st_mode & 0o177 and hasattr(os, "fchmod"):
                os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and application != _APPLICATION:
            raise StoreError(f"{path.name} is another program's database: name another file")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection
