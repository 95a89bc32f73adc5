"""The load: ``wrk`` with one thread on a core of its own, its script written for one case and one server."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .cases import Case, request_headers
from .contenders import Server, Wrong

__all__ = ["Timing", "script", "timed"]

_FIRST = 100_000_000
"""Ids of one width, so that the length of a body never changes."""

# What wrk tells when it is done, for a program to read.
_DONE = """
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\nRESULT {"requests": %d, "microseconds": %d, "failed": %d, "p50": %d, "p90": %d, "p99": %d, "bytes": %d}\\n',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), summary.bytes))
end
"""

# In a session ids are new for every request, and the connections take the sessions in turn.
_IN_SESSIONS = """
local heads, count, turn = nil, 0, %(first)d
request = function()
  if heads == nil then
    heads = {}
    for index, session in ipairs(sessions) do
      wrk.headers["Mcp-Session-Id"] = session
      local whole = wrk.format(nil, nil, nil, before .. turn .. after)
      heads[index] = whole:sub(1, #whole - #(before .. turn .. after))
      count = index
    end
  end
  turn = turn + 1
  return heads[turn %% count + 1] .. before .. turn .. after
end
"""


@dataclass(frozen=True)
class Timing:
    """Latencies in milliseconds."""

    per_second: float
    busy: float
    """The part of the time that the server's process ran: far below 1, the load or the machine was the limit."""
    p50: float
    p90: float
    p99: float


def _ran(process_id: int) -> float:
    """Seconds of processor time so far, all threads."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _quoted(text: str) -> str:
    return f"[==[{text}]==]"


def script(case: Case, sessions: list[str]) -> str:
    """The Lua for wrk."""
    lines = ['wrk.method = "POST"']
    lines += [f"wrk.headers[ {_quoted(name)} ] = {_quoted(value)}" for name, value in request_headers(case).items()]
    body = case.body(_FIRST).decode()
    if not sessions:
        return "\n".join([*lines, f"wrk.body = {_quoted(body)}", _DONE])
    before, after = body.split(str(_FIRST))
    lines.append(f"local sessions = {{{', '.join(_quoted(session) for session in sessions)}}}")
    lines.append(f"local before, after = {_quoted(before)}, {_quoted(after)}")
    return "\n".join([*lines, _IN_SESSIONS % {"first": _FIRST}, _DONE])


def timed(server: Server, case: Case, connections: int, sessions: list[str], seconds: int, core: int) -> Timing:
    """One run of wrk. Raises Wrong if anything failed or nothing was answered."""
    with tempfile.TemporaryDirectory() as folder:
        lua = Path(folder) / "case.lua"
        lua.write_text(script(case, sessions))
        command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
        command += ["-s", str(lua), f"http://127.0.0.1:{server.port}/mcp"]
        before = _ran(server.process_id)
        ended = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
    ran = _ran(server.process_id) - before
    told = [line[7:] for line in ended.stdout.splitlines() if line.startswith("RESULT ")]
    if not told:
        raise Wrong(f"wrk said nothing: {' '.join((ended.stderr or ended.stdout).split())[-300:]}")
    result = json.loads(told[0])
    if result["failed"] or not result["requests"]:
        raise Wrong(f"{server.contender.title}, {case.title}, {connections} connections: {result}")
    return Timing(
        result["requests"] / result["microseconds"] * 1e6,
        ran / result["microseconds"] * 1e6,
        result["p50"] / 1000,
        result["p90"] / 1000,
        result["p99"] / 1000,
    )
