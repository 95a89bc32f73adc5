"""What lasts is told once, what ends is not, in one loop after another."""

from __future__ import annotations

import asyncio

from headrace.transports.http.pace import Pace


class Item:
    def __init__(self) -> None:
        self.told = asyncio.Event()
        self.times = 0

    def lasts(self) -> None:
        self.times += 1
        self.told.set()


async def _one_round(pace: Pace) -> None:
    lasting, ended, late = Item(), Item(), Item()
    for item in (lasting, ended):
        pace.begin(item, asyncio.get_running_loop())
    pace.end(ended)
    async with asyncio.timeout(10):
        await lasting.told.wait()
        pace.begin(late, asyncio.get_running_loop())  # the clock has stopped, or is about to: it goes on
        await late.told.wait()
    pace.end(lasting)
    assert (lasting.times, ended.times, late.times) == (1, 0, 1)


async def test_what_lasts_is_told_once() -> None:
    await _one_round(Pace(0.01))


async def test_what_begins_while_others_are_told() -> None:
    pace, second = Pace(0.01), Item()

    class Starts(Item):
        def lasts(self) -> None:
            super().lasts()
            pace.begin(second, asyncio.get_running_loop())

    pace.begin(Starts(), asyncio.get_running_loop())
    async with asyncio.timeout(10):
        await second.told.wait()


def test_one_loop_after_another() -> None:
    pace = Pace(0.01)
    left = Item

    async def leave() -> None:
        pace.begin(left(), asyncio.get_running_loop())  # the loop ends before the clock ticks

    asyncio.run(leave())
    asyncio.run(_one_round(pace))
