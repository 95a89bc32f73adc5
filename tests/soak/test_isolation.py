"""64 principals at once, in sessions, on streams and without either: no marker crosses. 10,000 calls in `make soak`, a
tenth of them in `make test`."""

from __future__ import annotations

import asyncio
import os
import random

import httpx2
import pytest

from ..http.wire import body_of, call, modern, send
from ..robustness.isolated import ELICITATION, Caller, callers, new_markers, served

PRINCIPALS = 64
CALLS = 10_000 if os.environ.get("HEADRACE_SOAK") else 1_000
AT_ONCE = 32
THEFTS = 0.05
"""How many of the rounds are attempts at what belongs to another."""

pytestmark = pytest.mark.timeout(600)


async def test_isolation() -> None:
    markers = new_markers(PRINCIPALS)
    choose = random.Random(6)
    done = {"calls": 0, "session": 0, "stream": 0, "state": 0}
    with served(markers) as running:
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=AT_ONCE * 2)
        async with httpx2.AsyncClient(trust_env=False, timeout=60, limits=limits) as http:
            all_of_them = await callers(http, running, markers)

            async def work(own: list[Caller], rounds: int) -> None:
                for number in range(rounds):
                    caller = choose.choice(own)
                    await caller.round(choose.randrange(1000))
                    done["calls"] += 1
                    if choose.random() < THEFTS:
                        victim = choose.choice([each for each in all_of_them if each is not caller])
                        done[await steal(caller, victim, number)] += 1

            # A principal's rounds may overlap with each other, too: two workers have each of them.
            groups = [all_of_them[number % AT_ONCE :: AT_ONCE // 2] for number in range(AT_ONCE)]
            await asyncio.gather(
                *(work(group, CALLS // AT_ONCE + (number < CALLS % AT_ONCE)) for number, group in enumerate(groups))
            )
            # By now most have something of each kind.
            for number in range(3):
                for thief, victim in zip(all_of_them, all_of_them[1:] + all_of_them[:1], strict=True):
                    done[await steal(thief, victim, number)] += 1
    assert done["calls"] == CALLS
    assert all(count >= PRINCIPALS / 2 for count in done.values()), done


async def steal(thief: Caller, victim: Caller, number: int) -> str:
    """An attempt; which one was made, the next where the victim has nothing of a kind yet."""
    kind = ("session", "stream", "state")[number % 3]
    if kind == "stream" and victim.event_ids:
        headers = {**thief.session, "last-event-id": victim.event_ids[-1]}
        reply = await send(thief.http, thief.url, None, headers, method="GET")
        expected = (400, -32600)
    elif kind == "state" and victim.states:
        params = {"name": "ask", "arguments": {"marker": thief.marker}, "requestState": victim.states[0]}
        own, body = modern(body_of("tools/call", params), capabilities=ELICITATION)
        reply = await send(thief.http, thief.url, body, {**thief.token, **own})
        expected = (200, -32602)
    else:
        kind = "session"
        stolen = {**victim.session, **thief.token}
        reply = await send(thief.http, thief.url, call("echo", {"marker": thief.marker}), stolen)
        expected = (404, -32600)
    thief.look(reply.text)
    assert (reply.status, reply.error["code"]) == expected, reply
    return kind
