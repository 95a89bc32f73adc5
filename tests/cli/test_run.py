"""``headrace run`` and ``headrace version``: what is called, and the one line each mistake gets."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from headrace.cli import main
from headrace.server.server import FastMCP

HEAD = "from headrace import FastMCP\n"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What `run` of a server was called with, instead of serving."""
    made: list[tuple[str, dict[str, Any]]] = []

    def run(self: FastMCP, **options: Any) -> None:
        made.append((self.name, options))

    monkeypatch.setattr(FastMCP, "run", run)
    return made


@pytest.fixture(autouse=True)
def _same_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test begins in an empty directory, and leaves no module and no path behind."""
    monkeypatch.chdir(tmp_path)
    modules, path = set(sys.modules), list(sys.path)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if not name.startswith("headrace"):
            del sys.modules[name]


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


def test_defaults(calls: list[Any]) -> None:
    assert invoke("run", write(HEAD + 'mcp = FastMCP("a")')).exit_code == 0
    assert calls == [("a", {"transport": "http", "host": "127.0.0.1", "port": 8000})]


def test_every_option(calls: list[Any]) -> None:
    file = write(HEAD + 'mcp = FastMCP("a")')
    options = "--transport streamable-http --host ::1 --port 0 --path /x --stateless --json-response --log-level DEBUG"
    result = invoke("run", file, *options.split())
    assert result.exit_code == 0, result.output
    expected = {"transport": "streamable-http", "host": "::1", "port": 0, "path": "/x"}
    expected |= {"stateless_http": True, "json_response": True, "log_level": "debug"}
    assert calls == [("a", expected)]


def test_settings_are_the_defaults(calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_PORT", "9001")
    Path(".env").write_text("HEADRACE_HOST=0.0.0.0\nHEADRACE_PORT=9002\n")
    assert invoke("run", write(HEAD + 'mcp = FastMCP("a")')).exit_code == 0
    assert calls[0][1] == {"transport": "http", "host": "0.0.0.0", "port": 9001}


@pytest.mark.parametrize(
    ("source", "target", "name"),
    [
        ('x = FastMCP("x")\nserver = FastMCP("s")\nmcp = FastMCP("m")', "server.py", "m"),
        ('x = FastMCP("x")\nserver = FastMCP("s")', "server.py", "s"),
        ('mcp = 1\nx = y = FastMCP("x")', "server.py", "x"),
        ('x = FastMCP("x")\nmcp = FastMCP("m")', "server.py:x", "x"),
        ('def make():\n    return FastMCP("made")', "server.py:make", "made"),
        ('async def make():\n    return FastMCP("made")', "server.py:make", "made"),
        ('class Box:\n    inner = FastMCP("inner")', "server.py:Box.inner", "inner"),
    ],
)
def test_which_server(source: str, target: str, name: str, calls: list[Any]) -> None:
    write(HEAD + source)
    result = invoke("run", target)
    assert result.exit_code == 0, result.output
    assert calls[0][0] == name


def test_the_file_can_import_its_neighbours_and_they_it(calls: list[Any]) -> None:
    Path("deep").mkdir()
    write(HEAD + 'mcp = FastMCP("a")\nimport neighbour', "deep/own_server.py")
    write("import own_server\nown_server.mcp.name = 'seen'", "deep/neighbour.py")
    result = invoke("run", "deep/own_server.py")
    assert result.exit_code == 0, result.output
    assert calls[0][0] == "seen"


def test_a_file_named_like_a_standard_module_does_not_replace_it(calls: list[Any]) -> None:
    assert invoke("run", write(HEAD + 'mcp = FastMCP("a")', "json.py")).exit_code == 0
    assert sys.modules["json"] is json


@pytest.mark.parametrize(
    ("source", "target", "line"),
    [
        (None, "absent.py", "Error: absent.py: no such file"),
        (None, "absent.py:mcp", "Error: absent.py: no such file"),
        (None, ".", "Error: .: is a directory, not a Python file"),
        ("", "server.txt", "Error: server.txt: not a Python file (its name does not end in .py)"),
        ("x = (", "server.py", "Error: {dir}/server.py:1: SyntaxError: '(' was never closed"),
        (
            "x = 1\nimport no_such_module",
            "server.py",
            "Error: server.py:2: ModuleNotFoundError: No module named 'no_such_module'",
        ),
        ("def f():\n    1 / 0\nf()", "server.py", "Error: server.py:2: ZeroDivisionError: division by zero"),
        (
            "raise SystemExit(3)",
            "server.py",
            "Error: server.py:1: the file ended the program (3) while it was imported",
        ),
        (
            "x = 1",
            "server.py",
            "Error: server.py: no FastMCP server in it; make one at module level, or name a function: server.py:OBJECT",
        ),
        (
            HEAD + "a = FastMCP('a')\nb = FastMCP('b')",
            "server.py",
            "Error: server.py: several servers (a, b); name one: server.py:a",
        ),
        (HEAD + "a = FastMCP('a')", "server.py:b", "Error: server.py: has no b; its servers: a"),
        ("a = 1", "server.py:a", "Error: server.py: a is no FastMCP server but of type int"),
        ("def make(): return 'x'", "server.py:make", "Error: server.py: make is no FastMCP server but of type str"),
        ("def make(): raise KeyError('k')", "server.py:make", "Error: server.py:1: make() failed: KeyError: 'k'"),
    ],
)
def test_mistakes(source: str | None, target: str, line: str, calls: list[Any], tmp_path: Path) -> None:
    if source is not None:
        write(source, target.partition(":")[0])
    assert refused("run", target) == line.format(dir=tmp_path)
    assert calls == []


def test_a_wrong_setting_is_one_line(calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_PORT", "tcp://10.0.0.1:80")
    line = refused("run", write(HEAD + 'mcp = FastMCP("a")'))
    assert line == "Error: HEADRACE_PORT must be a whole number from 0 to 65535, got 'tcp://10.0.0.1:80'"


@pytest.mark.parametrize(
    "options", [["--path", "mcp"], ["--transport", "pigeon"], ["--port", "70000"], ["--log-level", "loud"]]
)
def test_wrong_options_exit_with_2(options: list[str], calls: list[Any]) -> None:
    assert invoke("run", write(HEAD + 'mcp = FastMCP("a")'), *options).exit_code == 2
    assert calls == []


def test_a_port_in_use_is_one_line() -> None:
    file = write(HEAD + 'mcp = FastMCP("a")')
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = refused("run", file, "--port", str(port))
    assert line == f"Error: port {port} on 127.0.0.1 is in use; choose another with --port, or 0 for any free one"


def test_version() -> None:
    result = invoke("version")
    assert result.exit_code == 0
    assert result.output.startswith("headrace")
    assert "2026-07-28, 2025-11-25, 2025-06-18, 2025-03-26, 2024-11-05" in result.output


def test_help_names_the_commands() -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    assert "run " in result.output
    assert "version " in result.output
