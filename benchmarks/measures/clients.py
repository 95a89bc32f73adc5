"""Calls per second of a client: one client, one call after the other, every answer checked."""

from __future__ import annotations

from ..contenders import Wrong
from .figures import Goal, Measure, Quantity
from .processes import PROGRAMS, Setting, serving, told

__all__ = ["CLIENT_HTTP", "CLIENT_MEMORY"]

_CONTENDERS = ("headrace", "fastmcp", "mcp")


def _calls(setting: Setting, contender: str, target: str) -> dict[str, float]:
    seconds = 1 if setting.quick else 5
    program = str(PROGRAMS / f"{contender}_client.py")
    counted = told([setting.pythons[contender], program, target, str(seconds)], setting.load_core, seconds + 60)
    if not counted["calls"]:
        raise Wrong("no call was answered")
    return {"calls": counted["calls"] / counted["seconds"]}


def _in_memory(setting: Setting, contender: str) -> dict[str, float]:
    return _calls(setting, contender, "memory")


def _over_http(setting: Setting, contender: str) -> dict[str, float]:
    with serving(setting, "headrace") as server:
        return _calls(setting, contender, f"http://127.0.0.1:{server.port}/mcp")


CLIENT_MEMORY = Measure(
    "client-memory",
    (
        Quantity(
            "calls",
            "`Client` calls per second, each against a server of its own in memory",
            "per second",
            more=True,
            goals=(Goal(20, "fastmcp", judged=False),),
        ),
    ),
    _CONTENDERS,
    _in_memory,
)
CLIENT_HTTP = Measure(
    "client-http",
    (
        Quantity(
            "calls",
            "`Client` calls per second over HTTP, all against Headrace's server",
            "per second",
            more=True,
            goals=(Goal(5, "fastmcp", judged=False),),
        ),
    ),
    _CONTENDERS,
    _over_http,
)
