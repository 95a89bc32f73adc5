"""The stores of records: what each promises, and what is their own: bounds, files, several processes, sealing."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from headrace.exceptions import StoreError
from headrace.state import sqlite
from headrace.state.memory import MemoryRecordStore
from headrace.state.records import RecordStore
from headrace.state.sealed_records import SealedRecords
from headrace.state.sqlite import SqliteRecordStore
from headrace.testing import check_record_store

OLD, NEW = "an old secret", "a new secret"
ENDINGS = ("", "-wal", "-shm")
"""Of the files that SQLite keeps side by side."""


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteRecordStore]:
    store = SqliteRecordStore(path)
    try:
        yield store
    finally:
        await store.close()


def mode(path: Path | str) -> int:
    return os.stat(path).st_mode & 0o777


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


# All


async def test_memory_keeps_the_contract() -> None:
    store = MemoryRecordStore()
    await check_record_store(lambda: store)


async def test_sqlite_keeps_the_contract(tmp_path: Path) -> None:
    stores: list[SqliteRecordStore] = []

    def make() -> RecordStore:
        stores.append(SqliteRecordStore(tmp_path / "records"))
        return stores[-1]

    try:
        await check_record_store(make)
    finally:
        for store in stores:
            await store.close()


@pytest.mark.parametrize("keys", [(), (NEW,), (NEW, OLD)])
async def test_sealed_records_keep_the_contract(keys: tuple[str, ...]) -> None:
    store = SealedRecords(MemoryRecordStore(), *keys)
    await check_record_store(lambda: store)


class Broken(MemoryRecordStore):
    """One promise is not kept."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what

    async def get(self, kind: str, key: str) -> bytes | None:
        found = await super().get(kind, key.lower() if self._what == "case" else key)
        return found or None if self._what == "empty" else found

    async def put(self, kind: str, key: str, value: bytes, *, ttl: float | None = None) -> None:
        await super().put(
            "all" if self._what == "kinds" else kind, key, value, ttl=None if self._what == "ttl" else ttl
        )

    async def take(self, kind: str, key: str) -> bytes | None:
        found = await self.get(kind, key)
        if self._what == "take":
            await asyncio.sleep(0)
        if self._what != "stays":
            await self.delete(kind, key)
        return found

    async def swap(
        self, kind: str, key: str, expected: bytes | None, value: bytes, *, ttl: float | None = None
    ) -> bool:
        if self._what == "over" or (self._what == "falsy" and not expected):
            expected = await self.get(kind, key)
        if await self.get(kind, key) != expected:
            return False
        if self._what == "swap":
            await asyncio.sleep(0)
        await self.put(kind, key, value, ttl=ttl)
        return True

    async def count(self, kind: str) -> int:
        return 0 if self._what == "count" else await super().count(kind)


BROKEN = ("case", "empty", "kinds", "ttl", "take", "stays", "over", "falsy", "swap", "count")


@pytest.mark.parametrize("what", BROKEN)
async def test_the_check_finds_a_store_that_breaks_a_promise(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.testing.record_store._PATIENCE", 0.3)
    store = Broken(what)
    with pytest.raises(AssertionError, match="does not do what it should"):
        await check_record_store(lambda: store)


# In memory


async def test_memory_refuses_what_does_not_fit_and_loses_nothing() -> None:
    store = MemoryRecordStore(max_bytes=20_000)
    await store.put("grant", "mine", b"x" * 2000)
    for number in range(7):
        await store.put("pending", str(number), b"x" * 1000)
    with pytest.raises(StoreError, match="full"):
        await store.put("pending", "7", b"x" * 1000)
    assert await store.count("pending") == 7
    assert await store.get("pending", "0") is not None  # none gave way
    assert await store.swap("grant", "mine", b"x" * 2000, b"y" * 2500)  # and who floods one kind, stops no other
    assert await store.swap("pending", "0", b"x" * 1000, b"y" * 1000)  # what is no longer is always taken
    with pytest.raises(StoreError):
        await store.put("pending", "0", b"x" * 9000)
    assert await store.get("pending", "0") == b"y" * 1000
    assert await store.take("pending", "1") is not None
    await store.put("pending", "more", b"x" * 1000)


async def test_memory_is_free_again_when_time_is_over() -> None:
    clock = Clock()
    store = MemoryRecordStore(max_bytes=100_000, clock=clock)
    for _ in range(50):
        for number in range(20):
            await store.put("pending", str(number), b"x" * 1000, ttl=10)
        clock.now += 10
    assert await store.count("pending") == 0
    await store.put("pending", "a", b"", ttl=10)
    clock.now += 9.9
    assert await store.get("pending", "a") == b""
    clock.now -= 3600  # a clock that is set back ends nothing early
    assert await store.get("pending", "a") == b""


async def test_memory_does_not_grow_with_records_that_are_written_again() -> None:
    store = MemoryRecordStore()
    for _ in range(5000):
        await store.put("a", "a", b"", ttl=3600)
    assert len(store._due) < 200


# In a file


async def test_a_file_survives_the_program(tmp_path: Path) -> None:
    async with opened(tmp_path / "records") as store:
        await store.put("a", "1", b"one")
        await store.put("a", "2", b"two", ttl=3600)
    async with opened(tmp_path / "records") as store:
        assert (await store.get("a", "1"), await store.get("a", "2")) == (b"one", b"two")


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
async def test_only_the_owner_can_read_the_file(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "made" / "records"
    before = os.umask(umask)
    try:
        async with opened(path) as store:
            await store.put("a", "b", b"c")
            assert [mode(f"{path}{ending}") for ending in ENDINGS] == [0o600] * 3
            assert mode(path.parent) == 0o700
    finally:
        os.umask(before)


async def test_a_file_that_others_can_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "records"
    async with opened(path) as first:
        await first.put("a", "b", b"c")
        for ending in ENDINGS:
            os.chmod(f"{path}{ending}", 0o666)
        async with opened(path) as second:
            assert await second.get("a", "b") == b"c"
            assert [mode(f"{path}{ending}") for ending in ENDINGS] == [0o600] * 3


async def test_a_link_that_lies_in_wait_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "records").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="records can't be used"):
        SqliteRecordStore(tmp_path / "records")
    assert not (tmp_path / "elsewhere").exists()


def _another_database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE users (name)")
    connection.close()


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda path: path.write_bytes(b"no database at all" * 100), "not a database"),
        (_another_database, "another program's database"),
        (lambda path: path.mkdir(), "records can't be used"),
    ],
)
async def test_what_is_no_file_of_records(tmp_path: Path, prepare: Callable[[Path], object], message: str) -> None:
    path = tmp_path / "records"
    prepare(path)
    content = path.read_bytes() if path.is_file() else None
    with pytest.raises(StoreError, match=message) as caught:
        async with opened(path) as store:
            await store.get("a", "b")
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    if content is not None:
        assert path.read_bytes() == content


async def test_a_locked_file_is_an_error_in_time_and_delays_no_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_BUSY_SECONDS", 0.3)
    async with opened(tmp_path / "records") as store:
        await store.put("a", "b", b"1")
        holder = sqlite3.connect(tmp_path / "records", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        writing = asyncio.create_task(store.put("a", "b", b"2"))
        turns = 0
        while not writing.done():
            await asyncio.sleep(0.01)
            turns += 1
        assert turns > 5  # the loop went on meanwhile
        with pytest.raises(StoreError, match="locked"):
            await writing
        assert await store.get("a", "b") == b"1"  # reading goes on
        with pytest.raises(StoreError):
            await store.take("a", "b")
        holder.execute("ROLLBACK")
        holder.close()
        assert await store.take("a", "b") == b"1"


async def test_who_waits_too_long_for_a_turn_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path / "records") as store:
        await store.put("a", "b", b"1")
        monkeypatch.setattr(sqlite, "_QUEUE_SECONDS", -1.0)
        with pytest.raises(StoreError, match="too slow"):
            await store.put("a", "b", b"2")
        monkeypatch.undo()
        assert await store.get("a", "b") == b"1"


async def test_a_full_disk_is_an_error_and_then_all_goes_on(tmp_path: Path) -> None:
    async with opened(tmp_path / "records") as store:
        await store.put("a", "kept", b"1")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
        try:
            with pytest.raises(StoreError, match="can't be used"):
                await store.put("a", "big", b"x" * 1_000_000)
            assert await store.get("a", "kept") == b"1"
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, ignored)
        assert await store.get("a", "big") is None
        await store.put("a", "big", b"x" * 1_000_000)
        assert await store.take("a", "kept") == b"1"


async def test_what_is_over_leaves_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_SWEEP_SECONDS", -1.0)
    async with opened(tmp_path / "records") as store:
        await store.put("a", "gone", b"1", ttl=-1)
        await store.put("a", "kept", b"1", ttl=60)
        await store.put("a", "for ever", b"1")
        assert await store.count("a") == 2


async def test_who_stops_waiting_breaks_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path / "records") as store:
        for number in range(50):
            waiting = asyncio.create_task(store.put("a", str(number), b"1"))
            await asyncio.sleep(0)
            waiting.cancel()
        await store.put("a", "last", b"1")
        assert await store.get("a", "last") == b"1"


TAKER = """
import asyncio, sys
from headrace.state.sqlite import SqliteRecordStore

async def main():
    store = SqliteRecordStore(sys.argv[1])
    await store.get("a", "0")
    print("ready", flush=True)
    sys.stdin.readline()
    taken = [number for number in range(100) if await store.take("once", str(number)) is not None]
    added = [number for number in range(100) if await store.swap("new", str(number), None, b"") ]
    print(*taken, "|", *added, flush=True)
    while not await store.swap("sum", "a", old := await store.get("sum", "a"), b"%d" % (int(old) + 1)):
        pass
    await store.close()

asyncio.run(main())
"""


async def test_several_processes_take_and_make_each_record_once(tmp_path: Path) -> None:
    path = tmp_path / "records"
    async with opened(path) as store:
        for number in range(100):
            await store.put("once", str(number), b"")
        await store.put("sum", "a", b"0")
        command = [sys.executable, "-c", TAKER, str(path)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        running = [await asyncio.to_thread(lambda: subprocess.Popen(command, **pipes)) for _ in range(3)]
        try:
            for each in running:
                assert each.stdout is not None
                assert await asyncio.to_thread(each.stdout.readline) == "ready\n"
            for each in running:
                assert each.stdin is not None
                each.stdin.write("go\n")
                each.stdin.flush()
            outputs = [(await asyncio.to_thread(each.communicate, None, 60))[0] for each in running]
        finally:
            for each in running:
                each.kill()
                await asyncio.to_thread(each.wait)
        for side in (0, 1):
            got = [int(number) for output in outputs for number in output.split("|")[side].split()]
            assert sorted(got) == list(range(100))
        assert await store.get("sum", "a") == b"3"


KILLED = """
import asyncio, os, signal, sys
from headrace.state.sqlite import SqliteRecordStore

async def main():
    store = SqliteRecordStore(sys.argv[1])
    for number in range(20):
        await store.put("a", str(number), b"1")
    asyncio.ensure_future(store.put("b", "half", b"x" * 1000000))
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path / "records")]
    ended = await asyncio.to_thread(subprocess.run, command, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    async with opened(tmp_path / "records") as store:
        assert [await store.get("a", str(number)) for number in range(20)] == [b"1"] * 20
        assert await store.get("b", "half") in (None, b"x" * 1000000)


FORKED = """
import asyncio, os, sys
from headrace.state.sqlite import SqliteRecordStore

store = SqliteRecordStore(sys.argv[1])
asyncio.run(store.put("a", "parent", b"1"))
child = os.fork()
asyncio.run(store.put("a", "child" if child == 0 else "after", b"1"))
if child == 0:
    asyncio.run(store.close())
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
keys = ("parent", "child", "after")
print([asyncio.run(store.get("a", key)) for key in keys])
asyncio.run(store.close())
"""


async def test_a_fork_opens_the_file_anew(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORKED, str(tmp_path / "records")]
    done = await asyncio.to_thread(subprocess.run, command, timeout=60, capture_output=True, text=True)
    assert done.stdout == "[b'1', b'1', b'1']\n", done.stderr


# Sealed


async def test_the_store_below_shows_neither_keys_nor_values() -> None:
    below = MemoryRecordStore()
    store = SealedRecords(below, NEW)
    await store.put("grant", "alice@example.com", b"upstream-token")
    shown = repr(below._kinds)
    assert "grant" in shown
    assert not [each for each in ("alice", "upstream", "token") if each in shown]
    assert await store.count("grant") == 1


async def test_a_value_opens_only_where_it_was_written() -> None:
    below = MemoryRecordStore()
    store = SealedRecords(below, NEW)
    for kind, key in (("grant", "mallory"), ("grant", "alice"), ("code", "mallory")):
        await store.put(kind, key, f"{kind} of {key}".encode())
    (mallory, alice), (code,) = list(below._kinds["grant"]), list(below._kinds["code"])
    mine, other_kind = await below.get("grant", mallory), await below.get("code", code)
    assert mine is not None
    assert other_kind is not None
    await below.put("grant", alice, mine)
    assert await store.get("grant", "alice") is None
    await below.put("grant", mallory, other_kind)
    assert await store.take("grant", "mallory") is None
    for forged in (b"", b"\xff\xfe", mine[:-4], mine[::-1], b"moved"):
        await below.put("grant", alice, forged)
        assert await store.get("grant", "alice") is None
        assert not await store.swap("grant", "alice", b"grant of alice", b"new")
    assert await store.swap("grant", "alice", None, b"new")  # what does not open is nothing
    assert await store.get("grant", "alice") == b"new"


async def test_another_secret_finds_nothing() -> None:
    below = MemoryRecordStore()
    await SealedRecords(below, OLD).put("a", "b", b"1")
    assert await SealedRecords(below, NEW).get("a", "b") is None
    assert await SealedRecords(below).get("a", "b") is None


async def test_a_new_secret_takes_over() -> None:
    below = MemoryRecordStore()
    before, both, after = SealedRecords(below, OLD), SealedRecords(below, NEW, OLD), SealedRecords(below, NEW)
    for key in ("read", "taken", "put", "swapped", "deleted"):
        await before.put("a", key, b"1")
    assert await both.get("a", "read") == b"1"
    assert await both.take("a", "taken") == b"1"
    assert await both.take("a", "taken") is None
    await both.put("a", "put", b"2")
    assert not await both.swap("a", "swapped", None, b"2")
    assert not await both.swap("a", "swapped", b"x", b"2")
    assert await both.swap("a", "swapped", b"1", b"2")
    await both.delete("a", "deleted")
    assert [await both.get("a", key) for key in ("put", "swapped", "deleted")] == [b"2", b"2", None]
    assert [await after.get("a", key) for key in ("put", "swapped", "read")] == [b"2", b"2", None]
    assert [await before.get("a", key) for key in ("put", "swapped", "deleted", "taken")] == [None] * 4
    assert await both.take("a", "put") == b"2"
    assert await both.get("a", "put") is None  # nothing older comes back
    assert await below.count("a") == 2  # "read" and "swapped": what moved leaves nothing behind


async def test_who_comes_late_while_a_record_moves_changes_nothing() -> None:
    class Slow(MemoryRecordStore):
        """One reader is held up once it has read the record."""

        read, go_on = asyncio.Event(), asyncio.Event()
        held: asyncio.Task[bool] | None = None

        async def get(self, kind: str, key: str) -> bytes | None:
            found = await super().get(kind, key)
            if found is not None and asyncio.current_task() is self.held:
                self.read.set()
                await self.go_on.wait()
            return found

    below = Slow()
    both = SealedRecords(below, NEW, OLD)
    await SealedRecords(below, OLD).put("a", "b", b"1")
    below.held = late = asyncio.create_task(both.swap("a", "b", b"1", b"late"))
    async with asyncio.timeout(5):
        await below.read.wait()
        assert await both.swap("a", "b", b"1", b"2")
        assert await both.take("a", "b") == b"2"  # used, and gone
        below.go_on.set()
        assert not await late
    assert await both.get("a", "b") is None


async def test_while_a_record_moves_one_of_many_has_it(tmp_path: Path) -> None:
    async with opened(tmp_path / "records") as below:
        both = [SealedRecords(below, NEW, OLD) for _ in range(20)]
        await SealedRecords(below, OLD).put("a", "b", b"1")
        done = await asyncio.gather(*(each.swap("a", "b", b"1", b"%d" % n) for n, each in enumerate(both)))
        assert sum(done) == 1
        assert await SealedRecords(below, NEW).get("a", "b") == b"%d" % done.index(True)
        await SealedRecords(below, OLD).put("c", "d", b"1")
        taken = await asyncio.gather(*(each.take("c", "d") for each in both))
        assert taken.count(b"1") == 1


async def test_a_key_may_be_any_text() -> None:
    store = SealedRecords(MemoryRecordStore(), NEW)
    await store.put("a", "\ud800\0", b"1")
    assert await store.get("a", "\ud800\0") == b"1"
