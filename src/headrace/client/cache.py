"""Results that a server lets its clients keep for a while (2026-07-28, server, utilities, Caching).

Only whole answers to a first request are kept, never those of a retry that carries answers or a state. A notice of a
change takes out what it makes stale, and keeps out an answer that is still under way. Each client has a cache of its
own; what is private ends with the connection, since the next one may be another user's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Raw

from ..protocol.types import CacheableResult, ResourceUpdatedNotificationParams

__all__ = ["MAX_BYTES", "MAX_ENTRIES", "MAX_TTL_MS", "CacheMode", "Key", "ResponseCache", "key_of"]

CacheMode = Literal["use", "refresh", "bypass"]
"""Serve and keep; keep, but ask the server; leave the cache alone."""
MAX_ENTRIES = 512
MAX_BYTES = 16 * 1024 * 1024
"""Of all results together; one that takes more than a quarter of it is not kept."""
MAX_TTL_MS = 24 * 60 * 60 * 1000

_READ = "resources/read"
_MEMBERS = {
    "tools/list": "cursor",
    "prompts/list": "cursor",
    "resources/list": "cursor",
    "resources/templates/list": "cursor",
    _READ: "uri",
}
"""The member of the params that the result depends on. ``server/discover`` is only asked to be asked."""
_STALE: dict[str, tuple[str, ...]] = {
    "notifications/tools/list_changed": ("tools/list",),
    "notifications/prompts/list_changed": ("prompts/list",),
    # A resource that has gone must not be read any more.
    "notifications/resources/list_changed": ("resources/list", "resources/templates/list", _READ),
}
_decode_updated = msgspec.json.Decoder(ResourceUpdatedNotificationParams).decode


class Key(NamedTuple):
    version: str
    method: str
    detail: str | None
    """The cursor of a page, the URI of a resource."""


class _Entry(NamedTuple):
    result: Raw
    until: float
    private: bool


def key_of(version: str, method: str, params: Mapping[str, Any]) -> Key | None:
    """None for a request whose answer is never kept."""
    member = _MEMBERS.get(method)
    if member is None or params.keys() - {member}:
        return None
    detail = params.get(member)
    return Key(version, method, detail) if detail is None or isinstance(detail, str) else None


def _concerns(updated: str, read: str) -> bool:
    """Whether an update is of what was read, or of a part of it. Without a URI it may be of anything."""
    return not updated or updated == read or updated.startswith(f"{read.rstrip('/')}/")


class ResponseCache:
    """Bounded; who was not asked for the longest goes first. `clock` gives seconds."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        max_entries: int = MAX_ENTRIES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._clock = clock
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: dict[Key, _Entry] = {}
        self._bytes = 0
        self.changes = 0
        """How many changes were heard of; an answer asked for before the last one may be stale."""

    def get(self, key: Key) -> Raw | None:
        """The result as it came, while it is fresh."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if self._clock() >= entry.until:
            self._drop(key)
            return None
        self._entries[key] = self._entries.pop(key)
        return entry.result

    def put(self, key: Key, raw: Raw, result: CacheableResult, changes: int) -> None:
        """Keep `raw`, which is `result`, as long as it says. `changes`: as of when the server was asked."""
        if changes != self.changes:
            return
        self._drop(key)
        ttl_ms = min(result.ttl_ms or 0, MAX_TTL_MS)
        if ttl_ms <= 0 or len(raw) > self._max_bytes // 4:
            return
        # A copy: the bytes may be a view of the whole message.
        self._entries[key] = _Entry(raw.copy(), self._clock() + ttl_ms / 1000, result.cache_scope != "public")
        self._bytes += len(raw)
        while len(self._entries) > self._max_entries or self._bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def hear(self, method: str, params: Raw) -> None:
        """A notice of the server."""
        if method in _STALE:
            self._forget(lambda key: key.method in _STALE[method])
        elif method == "notifications/resources/updated":
            try:
                uri = _decode_updated(params).uri
            except msgspec.ValidationError:
                uri = ""
            self._forget(lambda key: key.method == _READ and _concerns(uri, key.detail or ""))

    def forget(self, method: str) -> bool:
        """Whether there was something to forget."""
        return self._forget(lambda key: key.method == method)

    def end_connection(self) -> None:
        """What is private must not be seen by whom the next connection speaks for."""
        self._forget(lambda key: self._entries[key].private)

    def _forget(self, is_stale: Callable[[Key], bool]) -> bool:
        self.changes += 1
        stale = [key for key in self._entries if is_stale(key)]
        for key in stale:
            self._drop(key)
        return bool(stale)

    def _drop(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= len(entry.result)
