"""What every `RecordStore` has to do: run it in the tests of a backend of your own."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

from ..state.records import RecordStore

__all__ = ["check_record_store"]

_AT_ONCE = 40
_PATIENCE = 10.0
"""Seconds until a record whose time is over has to be gone."""
_VALUES = (b"", b"a", bytes(range(256)), b"\0" * 100_000)
_KEYS = ("a", "A", "a/b", "a:b", "a b", "%61", "ä", "a" * 500, "https://client.example/id?x=1&y=*")


async def check_record_store(make: Callable[[], RecordStore]) -> None:
    """Raises AssertionError that says what is wrong. `make` is called several times: each gives a store of its own on
    the same records, as several processes have them; they may have other records, too. Closing them is the caller's."""
    store, other = make(), make()
    kinds = [f"check-{secrets.token_hex(8)}-{name}" for name in ("a", "b", "c", "d")]
    await _check_values(store, other, kinds[0])
    await _check_swaps(store, other, kinds[1])
    await _check_time(store, kinds[2])
    await _check_at_once([store, other, make()], kinds[3])


def _require(holds: object, what: str) -> None:
    if not holds:
        raise AssertionError(f"This record store does not do what it should: {what}")


async def _check_values(store: RecordStore, other: RecordStore, kind: str) -> None:
    for value in _VALUES:
        await store.put(kind, "value", value)
        _require(await other.get(kind, "value") == value, f"get must give the {len(value)} bytes that put wrote")
    _require(await store.take(kind, "value") == _VALUES[-1], "take must give what was put last")
    for number, key in enumerate(_KEYS):
        await store.put(kind, key, b"%d" % number)
    _require(await store.count(kind) == len(_KEYS), "count must count the records of the kind, and only those")
    for number, key in enumerate(_KEYS):
        _require(await other.get(kind, key) == b"%d" % number, f"the key {key[:30]!r} must be one of its own")
        _require(await store.get(f"{kind}-other", key) is None, "another kind must have records of its own")
        _require(await other.take(kind, key) == b"%d" % number, "take must give the record")
        _require(await store.take(kind, key) is None, "a record that was taken must be gone")
    _require(await store.count(kind) == 0, "count must not count what was taken")
    await store.delete(kind, "a")
    await store.put(kind, "a", b"1")
    await other.delete(kind, "a")
    _require(await store.get(kind, "a") is None, "a deleted record must be gone")


async def _check_swaps(store: RecordStore, other: RecordStore, kind: str) -> None:
    _require(not await store.swap(kind, "a", b"1", b"2"), "swap must not write where there is nothing")
    _require(await store.get(kind, "a") is None, "swap that answers False must write nothing")
    _require(await store.swap(kind, "a", None, b"1"), "swap with None must write where there is nothing")
    _require(not await other.swap(kind, "a", None, b"2"), "swap with None must not write over a record")
    _require(not await other.swap(kind, "a", b"", b"2"), "an empty value is not None")
    _require(await other.swap(kind, "a", b"1", b"2"), "swap must write where it finds what is expected")
    _require(not await store.swap(kind, "a", b"1", b"3"), "swap must not write over another value")
    _require(await store.get(kind, "a") == b"2", "swap must keep what it does not write over")
    await store.delete(kind, "a")


async def _check_time(store: RecordStore, kind: str) -> None:
    for key in ("put", "put-over", "swapped-over", "for-ever"):
        await store.put(kind, key, b"1", ttl=0.05)
    await store.put(kind, "shorter", b"1")
    await store.put(kind, "kept", b"1", ttl=3600)
    await store.put(kind, "put-over", b"2", ttl=3600)
    await store.put(kind, "for-ever", b"2")
    await store.put(kind, "shorter", b"2", ttl=0.05)
    _require(
        await store.swap(kind, "swapped", None, b"1", ttl=0.05), "swap with None must write where there is nothing"
    )
    for key in ("put", "swapped", "shorter", "swapped-over"):
        await _gone(store, kind, key)
    _require(await store.take(kind, "put") is None, "take must not give a record whose time is over")
    _require(not await store.swap(kind, "put", b"1", b"2"), "swap must not find a record whose time is over")
    _require(
        await store.swap(kind, "swapped-over", None, b"1", ttl=3600), "a record whose time is over counts as nothing"
    )
    _require(
        await store.swap(kind, "swapped-over", b"1", b"2"), "swap must find a record that took the place of another"
    )
    for key, value in (("kept", b"1"), ("put-over", b"2"), ("for-ever", b"2"), ("swapped-over", b"2")):
        _require(await store.take(kind, key) == value, "a record must live as long as it was last written for")


async def _gone(store: RecordStore, kind: str, key: str) -> None:
    try:
        async with asyncio.timeout(_PATIENCE):
            while await store.get(kind, key) is not None:  # noqa: ASYNC110 - time tells nobody that it is over
                await asyncio.sleep(0.01)
    except TimeoutError:
        _require(False, "get must not give a record whose time is over")


async def _check_at_once(stores: list[RecordStore], kind: str) -> None:
    """What many do at the same time, one of them has done."""
    every = [stores[number % len(stores)] for number in range(_AT_ONCE)]
    await stores[0].put(kind, "a", b"1")
    taken = await asyncio.gather(*(store.take(kind, "a") for store in every))
    _require(taken.count(b"1") == 1 and taken.count(None) == _AT_ONCE - 1, "one of many must take a record")
    for expected, when in ((None, "made"), (b"1", "changed")):
        values = [b"%s %d" % (when.encode(), number) for number in range(_AT_ONCE)]
        if expected is not None:
            await stores[0].put(kind, "b", expected)
        done = await asyncio.gather(
            *(store.swap(kind, "b", expected, value) for store, value in zip(every, values, strict=True))
        )
        _require(sum(done) == 1, f"one of many must have {when} a record")
        _require(
            await stores[0].get(kind, "b") == values[done.index(True)], "the record must be that of whom swap told"
        )
    await stores[0].delete(kind, "b")
