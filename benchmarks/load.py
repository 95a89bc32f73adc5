"""The load: ``wrk`` with one thread on a core of its own, its script written for one case and one server."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .cases import INITIALIZED, Case, request_headers
from .contenders import Server, Wrong

__all__ = ["Timing", "script", "timed"]

_FIRST = 100_000_000
"""Ids of one width, so that the length of a body never changes."""

# What wrk tells when it is done, for a program to read. `made` counts what is made of several requests.
_DONE = """
local threads = {}
setup = function(thread) threads[#threads + 1] = thread end
done = function(summary, latency, requests)
  local e, made, odd = summary.errors, 0, 0
  for _, thread in ipairs(threads) do
    made, odd = made + (thread:get("made") or 0), odd + (thread:get("odd") or 0)
  end
  io.write(string.format(
    '\\nRESULT {"requests": %d, "made": %d, "microseconds": %d, "failed": %d, "p50": %d, "p90": %d, "p99": %d}\\n',
    summary.requests, made, summary.duration, e.connect + e.read + e.write + e.status + e.timeout + odd,
    latency:percentile(50), latency:percentile(90), latency:percentile(99)))
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

# A session is made of two requests: whoever asks for its next request first gets the session that waits longest.
# `made` counts the second answers, `odd` what is neither a first nor a second one.
_MAKES_SESSIONS = """
local waiting, first, last, initialize = {}, 1, 0, nil
made, odd = 0, 0
request = function()
  if first > last then
    initialize = initialize or wrk.format()
    return initialize
  end
  wrk.headers["Mcp-Session-Id"] = waiting[first]
  waiting[first] = nil
  first = first + 1
  local whole = wrk.format(nil, nil, nil, initialized)
  wrk.headers["Mcp-Session-Id"] = nil
  return whole
end
response = function(status, headers, body)
  local session = headers["mcp-session-id"] or headers["Mcp-Session-Id"]
  if status == 200 and session then
    last = last + 1
    waiting[last] = session
  elseif status == 202 then
    made = made + 1
  else
    odd = odd + 1
  end
end
"""


@dataclass(frozen=True)
class Timing:
    """Latencies in milliseconds."""

    per_second: float
    """Requests; where sessions are made, sessions."""
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
    if case.mode == "sessions":
        lines += [f"wrk.body = {_quoted(body)}", f"local initialized = {_quoted(INITIALIZED.decode())}"]
        return "\n".join([*lines, _MAKES_SESSIONS, _DONE])
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
    count = result["made" if case.mode == "sessions" else "requests"]
    if result["failed"] or not count:
        raise Wrong(f"{server.contender.title}, {case.title}, {connections} connections: {result}")
    return Timing(
        count / result["microseconds"] * 1e6,
        ran / result["microseconds"] * 1e6,
        result["p50"] / 1000,
        result["p90"] / 1000,
        result["p99"] / 1000,
    )
