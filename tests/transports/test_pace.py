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
    pace.begin(lasting, asyncio.get_running_loop())
    pace.begin(ended, asyncio.get_running_loop()).discard(ended)
    async with asyncio.timeout(10):
        await lasting.told.wait()
        pace.begin(late, asyncio.get_running_loop())  # the clock has stopped, or is about to: it goes on
        await late.told.wait()
    assert (lasting.times, ended.times, late.times) == (1, 0, 1)


async def test_what_lasts_is_told_once() -> None:
    await _one_round(Pace(0.01, 2))


async def test_what_begins_at_different_times_is_told_at_different_times() -> None:
    pace, order = Pace(0.01, 5), list[str]()

    class Named(Item):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def lasts(self) -> None:
            order.append(f"{self.name} told")
            super().lasts()

    first, second, between = Named("first"), Named("second"), Item()
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10):
        pace.begin(first, loop)
        ticks = Pace(0.01, 2)
        ticks.begin(between, loop)
        await between.told.wait()  # one or two ticks later
        pace.begin(second, loop)
        order.append("second begun")
        await second.told.wait()
    assert order == ["second begun", "first told", "second told"]


async def test_what_begins_while_others_are_told() -> None:
    pace, second = Pace(0.01, 2), Item()

    class Starts(Item):
        def lasts(self) -> None:
            super().lasts()
            pace.begin(second, asyncio.get_running_loop())

    pace.begin(Starts(), asyncio.get_running_loop())
    async with asyncio.timeout(10):
        await second.told.wait()


def test_one_loop_after_another() -> None:
    pace = Pace(0.01, 2)
    left = Item

    async def leave() -> None:
        pace.begin(left(), asyncio.get_running_loop())  # the loop ends before the clock ticks

    asyncio.run(leave())
    asyncio.run(_one_round(pace))
