"""Questions to the user, the same code in every revision: ``python examples/elicitation.py``.

Up to 2025-11-25 the tool waits while the client answers. In 2026-07-28 the call ends with the questions, and the
client's retry runs the tool again: each question then finds its answer by `key`. So code before a question may
run more than once; what must not happen twice goes into `ctx.once`.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from typing import Literal

from headrace import Context, FastMCP

mcp = FastMCP("table booking")


@dataclass
class Party:
    people: int
    seating: Literal["inside", "terrace"] = "inside"


async def new_reference() -> str:
    return uuid.uuid4().hex[:8]


@mcp.tool
async def book_table(day: str, ctx: Context) -> str:
    """Book a table at the restaurant."""
    reference = await ctx.once("reference", new_reference)

    # Two questions at once are one round trip.
    party, name = await asyncio.gather(
        ctx.elicit("How many are you, and where would you like to sit?", response_type=Party, key="party"),
        ctx.elicit("In which name?", response_type=str, key="name"),
    )
    if party.action != "accept" or name.action != "accept":
        return "Nothing was booked."

    sure = await ctx.elicit(f"Book for {party.data.people} on {day}?", response_type=None, key="sure")
    if sure.action != "accept":
        return "Nothing was booked."
    return f"Booked {reference}: {party.data.people} {party.data.seating} on {day}, for {name.data}."


if __name__ == "__main__":
    mcp.run(transport="http")
