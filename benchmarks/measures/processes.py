"""Processes to measure: where they run, what they tell, how much memory they hold."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..cases import CASES
from ..contenders import CONTENDERS, Server, Wrong, running

__all__ = ["PROGRAMS", "Setting", "environment", "resident", "serving", "told"]

PROGRAMS = Path(__file__).parent / "programs"
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Setting:
    """`pythons`: the interpreter of each contender; cores by their numbers."""

    pythons: dict[str, str]
    quick: bool
    server_core: int
    load_core: int


def environment() -> dict[str, str]:
    """What the contenders' programs get: nothing that another project put into it, and nobody asks for updates."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HEADRACE_"))}
    return {**kept, "FASTMCP_CHECK_FOR_UPDATES": "off"}


def told(command: list[str], core: int, seconds: float) -> dict[str, Any]:
    """The JSON that a program writes, which has so long. Raises Wrong with the last line of what went wrong."""
    pinned = ["taskset", "-c", str(core), *command]
    try:
        ended = subprocess.run(
            pinned, capture_output=True, text=True, timeout=seconds, check=False, env=environment(), cwd=_ROOT
        )
    except subprocess.TimeoutExpired:
        raise Wrong(f"not done after {seconds:.0f} s") from None
    if ended.returncode:
        raise Wrong((ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1])
    return json.loads(ended.stdout)


def resident(process_id: int) -> float:
    """Resident memory in KB of 1,024 bytes."""
    status = Path(f"/proc/{process_id}/status").read_text()
    return float(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1])


@contextlib.contextmanager
def serving(setting: Setting, name: str, program: str | None = None, *options: str) -> Iterator[Server]:
    """The contender's server for cases, or the one in `program`, on the core for servers."""
    contender = next(contender for contender in CONTENDERS if contender.name == name)
    if program is not None:
        contender = replace(contender, script=str(PROGRAMS / program))
    with running(contender, setting.pythons[name], (), CASES[0], setting.server_core, *options) as server:
        yield server
