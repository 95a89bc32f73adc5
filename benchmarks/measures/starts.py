"""How long it takes to begin, and what it costs to be there: imports, the first answer, an idle server."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from ..cases import CASES, HANDSHAKE
from ..contenders import Wrong
from .figures import Goal, Measure, Quantity
from .processes import PROGRAMS, Setting, environment, resident, serving, told

__all__ = ["IMPORT", "MEMORY_IDLE", "STDIO_START"]

_SECONDS = 60.0
_CONTENDERS = ("headrace", "fastmcp", "mcp")
_IMPORTED = {
    "headrace": ("headrace", "FastMCP"),
    "fastmcp": ("fastmcp", "FastMCP"),
    "mcp": ("mcp.server", "MCPServer"),
}
# Nothing else is imported in there that would count as the contender's.
_IMPORT = """
import time
started = time.perf_counter()
from {module} import {name}
seconds = time.perf_counter() - started
assert isinstance({name}, type)
with open("/proc/self/status") as status:
    resident = next(line.split()[1] for line in status if line.startswith("VmRSS:"))
print('{{"seconds": %f, "resident": %s}}' % (seconds, resident))
"""


def _import(setting: Setting, contender: str) -> dict[str, float]:
    module, name = _IMPORTED[contender]
    program = _IMPORT.format(module=module, name=name)
    read = told([setting.pythons[contender], "-c", program], setting.server_core, _SECONDS)
    return {"time": read["seconds"], "memory": read["resident"] / 1024}


def _stdio(setting: Setting, contender: str) -> dict[str, float]:
    python, program = setting.pythons[contender], str(PROGRAMS / f"{contender}_stdio.py")
    commands = {
        "headrace": [str(Path(python).with_name("headrace")), "run", program, "--no-banner"],
        "fastmcp": [str(Path(python).with_name("fastmcp")), "run", program, "--no-banner"],
        "mcp": [python, program],
    }
    command = ["taskset", "-c", str(setting.server_core), *commands[contender]]
    started = time.perf_counter()
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment()
    )
    too_late = threading.Timer(_SECONDS, process.kill)
    too_late.start()
    try:
        hello = {
            "protocolVersion": HANDSHAKE,
            "capabilities": {},
            "clientInfo": {"name": "benchmark", "version": "1"},
        }
        _ask(process, 1, "initialize", hello)
        _say(process, {"jsonrpc": "2.0", "method": "notifications/initialized"})
        result = _ask(process, 2, "tools/call", {"name": "add", "arguments": {"a": 2, "b": 3}})
        seconds = time.perf_counter() - started
    finally:
        too_late.cancel()
        process.kill()
        process.communicate()
    if result.get("structuredContent") != {"result": 5}:
        raise Wrong(f"a wrong result: {json.dumps(result)[:300]}")
    return {"time": seconds}


def _say(process: subprocess.Popen[bytes], message: dict[str, Any]) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(message).encode() + b"\n")
        process.stdin.flush()
    except OSError as error:
        raise Wrong(f"it ended before it answered: {error}") from None


def _ask(process: subprocess.Popen[bytes], number: int, method: str, params: dict[str, Any]) -> dict[str, Any]:
    assert process.stdout is not None
    _say(process, {"jsonrpc": "2.0", "id": number, "method": method, "params": params})
    for line in process.stdout:
        message = json.loads(line)
        if message.get("id") == number and "result" in message:
            return message["result"]
    raise Wrong(f"{method} was not answered")


def _idle(setting: Setting, contender: str) -> dict[str, float]:
    with serving(setting, contender) as server:
        server.answer(CASES[0])
        time.sleep(0.5)
        return {"memory": resident(server.process_id) / 1024}


IMPORT = Measure(
    "import",
    (
        Quantity("time", "import of the server class", "s", goals=(Goal(0.20, "fastmcp"),)),
        Quantity(
            "memory", "resident memory after the import, interpreter and all", "MB", goals=(Goal(0.5, "fastmcp"),)
        ),
    ),
    _CONTENDERS,
    _import,
    rounds=(9, 3),
    untimed=1,  # writes the bytecode
)
STDIO_START = Measure(
    "stdio-start",
    (
        Quantity(
            "time", "from the start of the process to the answer of the first `tools/call` over stdio (`run`)", "s"
        ),
    ),
    _CONTENDERS,
    _stdio,
    rounds=(5, 2),
    untimed=1,
)
MEMORY_IDLE = Measure(
    "memory-idle",
    (Quantity("memory", "resident memory of the server on uvicorn after one call", "MB"),),
    _CONTENDERS,
    _idle,
)
