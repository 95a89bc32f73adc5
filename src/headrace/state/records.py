"""What must outlive a request and is small: registered clients, codes, tokens, pending logins.

Each operation is one atomic step, also with several processes on one store: what may be used once is taken (`take`),
what changes is compared and set (`swap`). Keys are not secret, values may be: `SealedRecords` hides both from who
reads the store.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["RecordStore"]


class RecordStore(Protocol):
    """Records of several kinds ("oauth-client"), each under a key. `ttl` is in seconds; None: for ever.

    A record whose time is over is not there. What a backend can't do (a full disk, a lost server) it raises as
    `StoreError`: callers fail closed. `headrace.testing.check_record_store` checks a backend of one's own.
    """

    async def put(self, kind: str, key: str, value: bytes, *, ttl: float | None = None) -> None:
        """Write the record, whatever was there."""
        ...

    async def get(self, kind: str, key: str) -> bytes | None: ...

    async def take(self, kind: str, key: str) -> bytes | None:
        """The record, which is gone then: of many that ask at once, one gets it."""
        ...

    async def swap(
        self, kind: str, key: str, expected: bytes | None, value: bytes, *, ttl: float | None = None
    ) -> bool:
        """Write the record if what is there is `expected` (None: nothing); whether it was."""
        ...

    async def delete(self, kind: str, key: str) -> None: ...

    async def count(self, kind: str) -> int:
        """How many there are; those whose time is over need not be counted, nor left out."""
        ...
