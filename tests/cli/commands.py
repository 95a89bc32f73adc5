"""Calls of the ``headrace`` command: in this process, or as a user makes them, among programs that only take notes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from headrace.cli import main

__all__ = ["COMMAND", "HEAD", "SECONDS", "fake_program", "headrace", "invoke", "noted", "refused", "write"]

HEAD = "from headrace import FastMCP\n"
COMMAND = [sys.executable, "-P", "-m", "headrace.cli"]
SECONDS = 30
"""For a process to end."""

_FAKE = """#!{python} -IS
import json, os, sys
note = {{"argv": sys.argv[1:], "spawned": os.environ.get("HEADRACE_UV_SPAWNED"), "cwd": os.getcwd()}}
with open(sys.argv[0] + ".note", "w") as file:
    json.dump(note, file)
print({says!r}, file=sys.stderr)
sys.exit({code})
"""


def write(source: str, name: str = "server.py") -> str:
    Path(name).write_text(source)
    return name


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def refused(*arguments: str, code: int = 1) -> str:
    """The one line that a mistake is answered with."""
    result = invoke(*arguments)
    assert result.exit_code == code, result.output
    lines = result.output.strip().splitlines()
    assert len(lines) == 1, result.output
    return lines[0]


def fake_program(directory: Path, name: str, code: int = 0, says: str = "") -> Path:
    """A program of that name that notes how it was called, says something on stderr, and ends."""
    directory.mkdir(exist_ok=True)
    file = directory / name
    file.write_text(_FAKE.format(python=sys.executable, code=code, says=says))
    file.chmod(0o755)
    return file


def noted(program: Path) -> dict[str, Any]:
    """How the fake program was called."""
    return json.loads(Path(f"{program}.note").read_text())


def headrace(*arguments: str, path: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own; `path` is all there is in its PATH and its HOME."""
    environ = {**os.environ, "PATH": str(path), "HOME": str(path), **environ}
    return subprocess.run(
        [*COMMAND, *arguments], env=environ, capture_output=True, text=True, timeout=SECONDS, stdin=subprocess.DEVNULL
    )
