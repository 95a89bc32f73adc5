"""Records in this process, bounded in bytes, gone with it."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable

from ..exceptions import StoreError

__all__ = ["MemoryRecordStore"]

_AROUND = 300
"""Bytes that Python keeps around a record (255 measured)."""

_Slot = tuple[bytes, float | None]
"""The value, and when its time is over."""


class MemoryRecordStore:
    """At most `max_bytes`, half of it for one kind, so that who fills one (begun logins) leaves room for the others.

    Nothing gives way: what does not fit is refused with StoreError. `clock` in seconds.
    """

    def __init__(self, *, max_bytes: int = 64 * 1024 * 1024, clock: Callable[[], float] = time.time) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._bytes: dict[str, int] = {}
        self._kinds: dict[str, dict[str, _Slot]] = {}
        self._due: list[tuple[float, str, str]] = []
        """A heap; an entry whose record was written again or is gone counts for nothing."""

    async def put(self, kind: str, key: str, value: bytes, *, ttl: float | None = None) -> None:
        self._write(kind, key, value, ttl)

    async def get(self, kind: str, key: str) -> bytes | None:
        return self._read(kind, key)

    async def take(self, kind: str, key: str) -> bytes | None:
        value = self._read(kind, key)
        self._drop(kind, key)
        return value

    async def swap(
        self, kind: str, key: str, expected: bytes | None, value: bytes, *, ttl: float | None = None
    ) -> bool:
        if self._read(kind, key) != expected:
            return False
        self._write(kind, key, value, ttl)
        return True

    async def delete(self, kind: str, key: str) -> None:
        self._drop(kind, key)

    async def count(self, kind: str) -> int:
        self._expire()
        return len(self._kinds.get(kind, ()))

    def _read(self, kind: str, key: str) -> bytes | None:
        value, until = self._kinds.get(kind, {}).get(key, (None, None))
        return value if until is None or until > self._clock() else None

    def _write(self, kind: str, key: str, value: bytes, ttl: float | None) -> None:
        self._expire()
        slots = self._kinds.get(kind, {})
        more = _size(key, value) - (_size(key, slots[key][0]) if key in slots else 0)
        of_kind = self._bytes.get(kind, 0) + more
        if of_kind > self._max_bytes // 2 or sum(self._bytes.values()) + more > self._max_bytes:
            raise StoreError(f"The store in memory is full ({self._max_bytes} bytes): use SqliteRecordStore")
        self._bytes[kind] = of_kind
        until = None if ttl is None else self._clock() + ttl
        self._kinds.setdefault(kind, {})[key] = (bytes(value), until)
        if until is not None:
            heapq.heappush(self._due, (until, kind, key))

    def _drop(self, kind: str, key: str) -> None:
        slots = self._kinds.get(kind, {})
        slot = slots.pop(key, None)
        if slot is None:
            return
        self._bytes[kind] -= _size(key, slot[0])
        if not slots:
            del self._kinds[kind], self._bytes[kind]

    def _expire(self) -> None:
        now = self._clock()
        while self._due and self._due[0][0] <= now:
            until, kind, key = heapq.heappop(self._due)
            if self._until(kind, key) == until:
                self._drop(kind, key)
        if len(self._due) > 64 + 2 * sum(map(len, self._kinds.values())):
            self._due = [each for each in self._due if self._until(each[1], each[2]) == each[0]]
            heapq.heapify(self._due)

    def _until(self, kind: str, key: str) -> float | None:
        return self._kinds.get(kind, {}).get(key, (b"", None))[1]


def _size(key: str, value: bytes) -> int:
    return len(key) + len(value) + _AROUND
