"""Environments: what uv is asked to run, and what is said where it is missing. The uv here only takes notes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from .commands import HEAD, fake_program, headrace, noted, write

SERVER = HEAD + 'mcp = FastMCP("a")\n@mcp.tool\ndef one() -> int:\n    return 1\n'


@pytest.mark.parametrize(
    ("environment", "given", "uv", "again"),
    [
        (
            {},
            ["run", "server.py", "--with", "pandas", "--with", "a b>=1", "-t", "http", "--", "--with"],
            ["--with", "a b>=1", "--with", "headrace", "--with", "pandas"],
            ["server.py", "--with", "pandas", "--with", "a b>=1", "-t", "http", "--skip-env", "--", "--with"],
        ),
        (
            {},
            ["run", "server.py", "--reload", "--python", "3.13", "--with-editable", "."],
            ["--python", "3.13", "--with", "headrace[reload]", "--with-editable", "{dir}"],
            ["server.py", "--reload", "--python", "3.13", "--with-editable", ".", "--skip-env"],
        ),
        (
            {"dependencies": ["numpy"], "python": "3.12"},
            ["run", "--with", "pandas", "--python", "3.13"],
            ["--python", "3.13", "--with", "headrace", "--with", "numpy", "--with", "pandas"],
            ["--with", "pandas", "--python", "3.13", "--skip-env"],
        ),
        (
            {"dependencies": ["numpy"], "project": "."},
            ["inspect", "-f", "mcp"],
            ["--project", "{dir}", "--with", "headrace", "--with", "numpy"],
            ["-f", "mcp", "--skip-env"],
        ),
    ],
)
def test_the_command_is_run_again_by_uv(
    environment: dict[str, Any], given: list[str], uv: list[str], again: list[str], tmp_path: Path
) -> None:
    Path("headrace.json").write_text(json.dumps({"source": {"path": "server.py"}, "environment": environment}))
    write(SERVER)
    program = fake_program(tmp_path / "bin", "uv", code=7)
    done = headrace(*given, path=program.parent)
    assert done.returncode == 7, done.stderr  # uv's
    expected = ["run", *uv, "headrace", given[0], *again]
    note = noted(program)
    assert note["argv"] == [part.replace("{dir}", os.getcwd()) for part in expected]
    assert (note["spawned"], note["cwd"]) == ("1", os.getcwd())


def test_without_uv(tmp_path: Path) -> None:
    write(SERVER)
    done = headrace("inspect", "server.py", "--with", "pandas", path=tmp_path)
    line = "Error: uv is not installed, and --with and an environment need it: install uv, or pass --skip-env\n"
    assert (done.returncode, done.stderr, done.stdout) == (1, line, "")


def test_skip_env(tmp_path: Path) -> None:
    write(SERVER)
    done = headrace("inspect", "server.py", "--with", "pandas", "--skip-env", path=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "one" in done.stdout
