"""Where logins are kept: in memory, in a file, or wherever the user likes.

A storage keeps small dicts of JSON under keys. Stores of py-key-value fit as they are. One that several programs share
may have `exclusive`, too, an async context manager: who is in it is alone in renewing what is kept.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import msgspec

from ...exceptions import ClientError
from ...settings import config_folder
from ...state.sealer import AeadSealer

__all__ = ["FileTokenStorage", "MemoryTokenStorage", "TokenStorage"]

_KEY_BYTES = 32
_POLL_SECONDS = 0.05
_RENEWING_SECONDS = 60.0
_Kept = dict[str, dict[str, Any]]


class TokenStorage(Protocol):
    async def get(self, key: str) -> dict[str, Any] | None: ...

    def put(self, key: str, value: Mapping[str, Any]) -> Awaitable[Any]: ...

    def delete(self, key: str) -> Awaitable[Any]: ...


class MemoryTokenStorage:
    """Ends with the program."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[str, Any]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock: asyncio.Lock

    @asynccontextmanager
    async def exclusive(self) -> AsyncGenerator[None]:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._lock = loop, asyncio.Lock()
        async with self._lock:
            yield

    async def get(self, key: str) -> dict[str, Any] | None:
        return self._kept.get(key)

    async def put(self, key: str, value: Mapping[str, Any]) -> None:
        self._kept[key] = dict(value)

    async def delete(self, key: str) -> None:
        self._kept.pop(key, None)


class FileTokenStorage:
    """One file, encrypted with AES-256-GCM, that only its owner can read. Several programs may share it.

    `path` None is ``headrace/logins`` in the user's folder for configuration. `key` None: a random key, in a file of
    its own beside (``.key``), which keeps copies of the one file useless; a key from the system's keychain keeps more.
    Raises ClientError for a file that can't be used.
    """

    def __init__(self, path: str | Path | None = None, *, key: str | bytes | None = None) -> None:
        self._path = config_folder() / "logins" if path is None else Path(path).expanduser()
        self._key = key
        self._sealer: AeadSealer | None = None

    async def get(self, key: str) -> dict[str, Any] | None:
        return (await self._in_thread(self._read)).get(key)

    async def put(self, key: str, value: Mapping[str, Any]) -> None:
        await self._in_thread(lambda: self._change(lambda kept: kept.update({key: dict(value)})))

    async def delete(self, key: str) -> None:
        await self._in_thread(lambda: self._change(lambda kept: kept.pop(key, None)))

    @asynccontextmanager
    async def exclusive(self) -> AsyncGenerator[None]:
        """One program at a time, for as long as it takes to ask a server."""
        with await self._in_thread(lambda: _opened(self._beside(".renewing"))) as file:
            try:
                async with asyncio.timeout(_RENEWING_SECONDS):
                    while not _lock(file, wait=False):  # noqa: ASYNC110 - another program tells nobody
                        await asyncio.sleep(_POLL_SECONDS)
            except TimeoutError:
                raise ClientError(f"Another program does not stop renewing the logins in {self._path}") from None
            yield

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        try:
            return await asyncio.to_thread(work)
        except OSError as error:
            raise ClientError(f"The logins in {self._path} can't be used: {error.strerror}") from None

    def _change(self, change: Callable[[_Kept], Any]) -> None:
        with _opened(self._beside(".lock")) as file:
            _lock(file, wait=True)
            if self._key is None and not self._path.exists():
                self._make_key()
            kept = self._read()
            change(kept)
            _write(self._path, self._cipher().seal(msgspec.json.encode(kept)).encode())

    def _read(self) -> _Kept:
        try:
            sealed = self._path.read_text("ascii")
        except FileNotFoundError:
            return {}
        except UnicodeDecodeError:
            raise ClientError(f"{self._path} holds no logins: remove it, or name another file") from None
        plain = self._cipher().open(sealed)
        if plain is None:
            self._sealer = None  # another program may have begun anew, with another key
            plain = self._cipher().open(sealed)
        if plain is None:
            raise ClientError(f"The logins in {self._path} were written with another key: remove the file, or bring it")
        return msgspec.json.decode(plain, type=_Kept)

    def _cipher(self) -> AeadSealer:
        if self._sealer is None:
            try:
                key = self._key or self._beside(".key").read_bytes()
            except FileNotFoundError:
                raise ClientError(f"The key of {self._path} is gone: bring {self._path}.key, or remove both") from None
            self._sealer = AeadSealer(key, purpose="logins")
        return self._sealer

    def _beside(self, ending: str) -> Path:
        return self._path.with_name(self._path.name + ending)

    def _make_key(self) -> None:
        self._sealer = None
        _write(self._beside(".key"), os.urandom(_KEY_BYTES))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)


def _write(path: Path, content: bytes) -> None:
    """All of it or nothing; `mkstemp` makes files that only their owner can read."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _opened(path: Path) -> BinaryIO:
    """A file that is there only to be locked; its lock ends when it is closed."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return open(path, "ab", opener=_private)


def _lock(file: BinaryIO, *, wait: bool) -> bool:
    """False where another program has the lock. Where the system has none the last one to write wins."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
