"""The corpus of raw requests, sent to our server, and to nginx in front of it."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from .nginx import nginx
from .raw_http import CASES, LAXER_THAN_NGINX, Case
from .wire import SECONDS, serving

AT_ONCE = 60
BROKEN = {500, 502, 503, 504}
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """An app that notes who asked for what, and tells them who they are."""

    def __init__(self) -> None:
        self.seen: dict[str, list[str]] = defaultdict(list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        while (message := await receive()).get("more_body"):
            pass
        if message["type"] == "http.disconnect":
            return
        who = dict(scope["headers"]).get(b"x-from") or b"%d" % scope["client"][1]
        self.seen[who.decode()].append(scope["path"])
        length = [] if scope["method"] == "HEAD" else [(b"content-length", b"6")]
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-who", who), *length]})
        await send({"type": "http.response.body", "body": b"served"})


@pytest.fixture
async def echo() -> AsyncIterator[tuple[Echo, int]]:
    app = Echo()
    async with serving(app, lifespan="off") as served:
        yield app, served.port


async def said(streams: Streams, case: Case) -> bytes:
    """Everything that comes back until the connection ends."""
    reader, writer = streams
    try:
        # Who is refused may lose the rest of what it sends.
        with contextlib.suppress(ConnectionError):
            writer.write(case.data)
            if case.hangs_up:
                writer.write_eof()
            await writer.drain()
        async with asyncio.timeout(SECONDS):
            return await reader.read()
    finally:
        writer.close()


def answers(said: bytes) -> tuple[list[int], list[str]]:
    """The statuses without the interim ones, and who was served. 0: no head, which is how nginx answers HTTP/0.9."""
    statuses: list[int] = []
    who: list[str] = []
    while said:
        head, end, said = said.partition(b"\r\n\r\n")
        found = re.match(rb"HTTP/1\.1 (\d{3}) ", head)
        if not found or not end:
            return [*statuses, 0], who
        if int(found[1]) < 200:
            continue
        statuses.append(int(found[1]))
        if length := re.search(rb"(?i)\r\ncontent-length: (\d+)", head):
            said = said[int(length[1]) :]
        if named := re.search(rb"(?i)\r\nx-who: (\d+)", head):
            who.append(named[1].decode())
    return statuses, who


async def everything(connect: Callable[[], Awaitable[Streams]]) -> dict[str, tuple[list[int], list[str]]]:
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(case: Case) -> tuple[list[int], list[str]]:
        async with turn:
            return answers(await said(await connect(), case))

    return dict(zip((case.name for case in CASES), await asyncio.gather(*map(one, CASES)), strict=True))


def none_answered_twice(app: Echo, results: dict[str, tuple[list[int], list[str]]], unanswered: int = 0) -> None:
    """Each answer is to one request that the app has seen, and the app has seen no other; `unanswered`: almost none."""
    served = Counter(who for _, named in results.values() for who in named)
    assert served.total() == sum(statuses.count(200) for statuses, _ in results.values())
    seen = Counter({who: len(paths) for who, paths in app.seen.items()})
    assert served <= seen
    assert (seen - served).total() <= unanswered


def test_the_corpus() -> None:
    assert len(CASES) == 457
    assert len({case.data for case in CASES}) == len(CASES)
    assert LAXER_THAN_NGINX.keys() <= {case.name for case in CASES}


async def test_each_gets_what_it_deserves(echo: tuple[Echo, int]) -> None:
    app, port = echo
    results = await everything(lambda: asyncio.open_connection("127.0.0.1", port))
    wrong = [
        f"{case.name}: {results[case.name][0]} for {case.data[:100]!r}, not {case.answers}"
        for case in CASES
        if tuple(results[case.name][0]) != case.answers
    ]
    assert not wrong, "\n".join(wrong)
    none_answered_twice(app, results)
    assert "/smuggled" not in {path for paths in app.seen.values() for path in paths}


async def test_behind_nginx(echo: tuple[Echo, int]) -> None:
    """We read what nginx passes on as it does itself. What it refuses is refused here, too, or listed with a reason."""
    app, port = echo
    async with nginx(port) as front:
        results = await everything(lambda: asyncio.open_unix_connection(front))
    assert not {name: statuses for name, (statuses, _) in results.items() if BROKEN.intersection(statuses)}
    # nginx passes on what came of clients that have left since.
    none_answered_twice(app, results, sum(case.hangs_up and 200 in case.answers for case in CASES))
    laxer = [
        f"{case.name}: {results[case.name][0]} for {case.data[:100]!r}"
        for case in CASES
        if case.answers.count(200) > results[case.name][0].count(200) and case.name not in LAXER_THAN_NGINX
    ]
    assert not laxer, "\n".join(laxer)
