"""``headrace run`` and ``headrace version``: what is called, and the one line each mistake gets."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .commands import HEAD, invoke, refused, write


def test_defaults(calls: list[Any]) -> None:
    file = write(HEAD + 'mcp = FastMCP("a")')
    assert invoke("run", file).exit_code == 0
    assert invoke("run", file, "--transport", "http").exit_code == 0
    assert calls == [
        ("a", {"transport": "stdio"}),
        ("a", {"transport": "http", "host": "127.0.0.1", "port": 8000}),
    ]


def test_every_option(calls: list[Any]) -> None:
    file = write(HEAD + 'mcp = FastMCP("a")')
    options = (
        "-t streamable-http --host ::1 -p 0 --path /x --stateless --json-response -l DEBUG --no-banner --no-reload"
        " --skip-env --skip-source"
    )
    result = invoke("run", file, *options.split())
    assert result.exit_code == 0, result.output
    expected = {"transport": "streamable-http", "host": "::1", "port": 0, "path": "/x", "stateless": True}
    expected |= {"json_response": True, "log_level": "debug", "show_banner": False}
    assert calls == [("a", expected)]


def test_stdio_options(calls: list[Any]) -> None:
    file = write(HEAD + 'mcp = FastMCP("a")')
    result = invoke("run", file, *["-t", "stdio", "--stateless", "--log-level", "warning", "--no-banner"])
    assert result.exit_code == 0, result.output
    assert calls == [("a", {"transport": "stdio", "stateless": True, "log_level": "warning", "show_banner": False})]


@pytest.mark.parametrize("option", [["--host", "::1"], ["--port", "1"], ["--path", "/x"], ["--json-response"]])
def test_http_options_need_http(option: list[str], calls: list[Any]) -> None:
    line = refused("run", write(HEAD + 'mcp = FastMCP("a")'), *option, code=2)
    assert line == f"Error: {option[0]} is for HTTP, and this would serve on stdio: add --transport http"
    assert calls == []


@pytest.mark.parametrize("path", ["x", "//x", "/x?y", "/x#y"])
def test_a_path_that_is_none(path: str, calls: list[Any]) -> None:
    line = refused("run", write(HEAD + 'mcp = FastMCP("a")'), "-t", "http", "--path", path, code=2)
    assert line == f"Error: --path must be a path that begins with one slash, without ? or #, got {path!r}"


def test_settings_are_the_defaults(calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_PORT", "9001")
    Path(".env").write_text("HEADRACE_HOST=0.0.0.0\nHEADRACE_PORT=9002\nHEADRACE_TRANSPORT=sse\n")
    assert invoke("run", write(HEAD + 'mcp = FastMCP("a")')).exit_code == 0
    assert calls[0][1] == {"transport": "sse", "host": "0.0.0.0", "port": 9001}


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
        (None, f"{300 * 'x'}.py:mcp", f"Error: {300 * 'x'}.py: File name too long"),
        (None, "~no_such_user/a.py", "Error: ~no_such_user/a.py: Could not determine home directory."),
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
def test_mistakes(source: str | None, target: str, line: str, calls: list[Any]) -> None:
    if source is not None:
        write(source, target.partition(":")[0])
    assert refused("run", target) == line.format(dir=Path.cwd())
    assert calls == []


def test_a_module(calls: list[Any]) -> None:
    Path("pack").mkdir()
    write("", "pack/__init__.py")
    write(HEAD + 'mcp = FastMCP("m")\nother = FastMCP("o")', "pack/own_module.py")
    for target in ("pack.own_module", "pack.own_module:other"):
        result = invoke("run", "-m", target)
        assert result.exit_code == 0, result.output
    assert [name for name, _ in calls] == ["m", "o"]


@pytest.mark.parametrize(
    ("source", "arguments", "code", "line"),
    [
        ("", ["-m", "absent_x"], 1, "no module named absent_x; the module is looked up from the working directory"),
        ("", ["-m", "absent_x.y"], 1, "no module named absent_x.y; the module is looked up from the working directory"),
        ("x = 1\n1 / 0", ["-m", "own_broken"], 1, "own_broken:2: ZeroDivisionError: division by zero"),
        ("", ["server.py", "-m", "own_broken"], 2, "name a file or a module, not both"),
        ("", [], 2, "name a target: there is no headrace.json and no fastmcp.json here"),
        ("", ["https://a.example/mcp"], 1, "a URL can't be served yet: that comes with the proxy, in a later release"),
    ],
)
def test_mistakes_in_targets(source: str, arguments: list[str], code: int, line: str, calls: list[Any]) -> None:
    write(source, "own_broken.py")
    assert refused("run", *arguments, code=code) == f"Error: {line}"
    assert calls == []


@pytest.mark.parametrize("target", [["server.py"], ["-m", "server_argv"]])
def test_arguments_for_the_file(target: list[str], calls: list[Any]) -> None:
    source = HEAD + "import sys\nmcp = FastMCP('|'.join(sys.argv))"
    write(source)
    write(source, "server_argv.py")
    before = list(sys.argv)
    result = invoke("run", *target, "--transport", "stdio", "--", "--config", "x.json", "--", "run")
    assert result.exit_code == 0, result.output
    assert calls == [(f"{target[-1]}|--config|x.json|--|run", {"transport": "stdio"})]
    assert sys.argv == before


def test_a_wrong_setting_is_one_line(calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_PORT", "tcp://10.0.0.1:80")
    line = refused("run", write(HEAD + 'mcp = FastMCP("a")'))
    assert line == "Error: HEADRACE_PORT must be a whole number from 0 to 65535, got 'tcp://10.0.0.1:80'"


@pytest.mark.parametrize(
    "options",
    [["--path", "mcp", "-t", "http"], ["--transport", "pigeon"], ["--port", "70000"], ["--log-level", "loud"]],
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
        line = refused("run", file, "--transport", "http", "--port", str(port))
    assert line == f"Error: port {port} on 127.0.0.1 is in use; choose another with --port, or 0 for any free one"


def test_version() -> None:
    result = invoke("version")
    assert result.exit_code == 0
    assert result.output.startswith("headrace")
    assert "2026-07-28, 2025-11-25, 2025-06-18, 2025-03-26, 2024-11-05" in result.output


def test_help_names_the_commands() -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    for name in ("run", "inspect", "install", "version"):
        assert f"  {name} " in result.output
    for client in ("claude-code", "claude-desktop", "cursor", "gemini-cli", "goose", "mcp-json", "vscode"):
        assert f"  {client} " in invoke("install", "--help").output


def test_help_loads_no_server() -> None:
    code = "import sys; from headrace.cli.cli import app; app(['--help'], standalone_mode=False);"
    code += "print(sorted({'pydantic', 'msgspec', 'rich', 'uvicorn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
