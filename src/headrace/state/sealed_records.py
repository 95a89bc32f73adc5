"""Records that who reads the store can't read: values are sealed, keys are hashed. Kinds and sizes stay visible.

A value opens only under the kind and key that it was written for, so that one can't be put in another's place. Who can
write to the store can still put an old value of a key back: the store has to be trusted that far.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from .records import RecordStore
from .sealer import AeadSealer

__all__ = ["SealedRecords"]

_MOVED = b"moved"
"""Stands where a record was that moves to a new key: opens as nothing."""


class SealedRecords:
    """A RecordStore over another. `secret_keys`: the first seals, each opens; none: a random one, for this process.

    To change the key put the new one first and keep the old one as long as what it sealed is to live; a record that
    is written moves to the new one. A value that does not open counts as absent.
    """

    def __init__(self, store: RecordStore, *secret_keys: str | bytes) -> None:
        self._store = store
        given = [key.encode() if isinstance(key, str) else key for key in secret_keys]
        self._secrets = given or [secrets.token_bytes(32)]

    async def put(self, kind: str, key: str, value: bytes, *, ttl: float | None = None) -> None:
        first, *others = self._names(kind, key)
        await self._store.put(kind, first, self._sealer(first).seal(value).encode(), ttl=ttl)
        for name in others:
            await self._store.delete(kind, name)

    async def get(self, kind: str, key: str) -> bytes | None:
        for name in self._names(kind, key):
            value = self._open(name, await self._store.get(kind, name))
            if value is not None:
                return value
        return None

    async def take(self, kind: str, key: str) -> bytes | None:
        taken = [self._open(name, await self._store.take(kind, name)) for name in self._names(kind, key)]
        return next((value for value in taken if value is not None), None)

    async def swap(
        self, kind: str, key: str, expected: bytes | None, value: bytes, *, ttl: float | None = None
    ) -> bool:
        names = self._names(kind, key)
        sealed = self._sealer(names[0]).seal(value).encode()
        for name in names:
            there = await self._store.get(kind, name)
            found = self._open(name, there)
            if found is None:
                continue
            if expected is None or found != expected:
                return False
            if name == names[0]:
                return await self._store.swap(kind, name, there, sealed, ttl=ttl)
            # Claimed first, so that of many one moves it; whoever looks in between finds nothing.
            if not await self._store.swap(kind, name, there, _MOVED, ttl=ttl):
                return False
            written = await self._store.swap(kind, names[0], None, sealed, ttl=ttl)
            await self._store.delete(kind, name)
            return written
        if expected is not None:
            return False
        # What is there does not open, so it is nothing.
        return await self._store.swap(kind, names[0], await self._store.get(kind, names[0]), sealed, ttl=ttl)

    async def delete(self, kind: str, key: str) -> None:
        for name in self._names(kind, key):
            await self._store.delete(kind, name)

    async def count(self, kind: str) -> int:
        return await self._store.count(kind)

    def _names(self, kind: str, key: str) -> list[str]:
        """Where the record may be: a name under each of the secrets."""
        text = f"headrace record\0{kind}\0{key}".encode("utf-8", "surrogatepass")
        return [hmac.new(secret, text, hashlib.sha256).hexdigest() for secret in self._secrets]

    def _sealer(self, name: str) -> AeadSealer:
        return AeadSealer(*self._secrets, purpose=f"record {name}")

    def _open(self, name: str, sealed: bytes | None) -> bytes | None:
        return None if sealed is None else self._sealer(name).open(sealed.decode("latin-1"))
