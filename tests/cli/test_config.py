"""headrace.json and fastmcp.json: what is read of them, what wins, and what a mistake says."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from headrace.cli.server_config import Deployment, FileSystemSource, MCPServerConfig, UVEnvironment, generate_schema

from .commands import HEAD, invoke, refused, write

SCHEMA = "https://gofastmcp.com/public/schemas/fastmcp.json/v1.json"


def config(name: str = "headrace.json", **members: Any) -> str:
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(json.dumps({"source": {"path": "server.py"}, **members}))
    return name


def test_a_whole_file(calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHO", "world")
    Path("deep/data").mkdir(parents=True)
    source = "import os, sys\nfrom pathlib import Path\ndef make():\n"
    source += "    return FastMCP(f\"{os.environ['GREETING']} {os.environ['KEPT']} {sys.argv[1:]} {Path.cwd().name}\")"
    write(HEAD + source, "deep/server.py")
    file = config(
        "deep/prod.json",
        **{"$schema": SCHEMA, "unknown": 1},
        source={"type": "filesystem", "path": "server.py", "entrypoint": "make"},
        environment={"type": "uv"},
        deployment={
            "transport": "http",
            "host": "::1",
            "port": 9000,
            "path": "/api",
            "log_level": "debug",
            "cwd": "data",
            "env": {"HELLO": "hello ${WHO}", "GREETING": "${HELLO}!", "KEPT": "${NO_SUCH_VARIABLE}"},
            "args": ["--x", "1"],
        },
    )
    result = invoke("run", file)
    assert result.exit_code == 0, result.output
    options = {"transport": "http", "host": "::1", "port": 9000, "path": "/api", "log_level": "debug"}
    assert calls == [("hello world! ${NO_SUCH_VARIABLE} ['--x', '1'] data", options)]


@pytest.mark.parametrize(
    ("flags", "options"),
    [
        (["--port", "1"], {"transport": "http", "host": "127.0.0.1", "port": 1}),
        (["-t", "sse", "--host", "::1"], {"transport": "sse", "host": "::1", "port": 9000}),
        (["-t", "stdio"], {"transport": "stdio"}),
    ],
)
def test_flags_win(flags: list[str], options: dict[str, Any], calls: list[Any]) -> None:
    write(HEAD + 'mcp = FastMCP("a")')
    config(deployment={"transport": "http", "port": 9000})
    result = invoke("run", "headrace.json", *flags)
    assert result.exit_code == 0, result.output
    assert calls == [("a", options)]


def test_arguments_of_the_command_line_win(calls: list[Any]) -> None:
    write(HEAD + "import sys\nmcp = FastMCP(' '.join(sys.argv[1:]))")
    config(deployment={"args": ["file"]})
    assert invoke("run", "--", "line").exit_code == 0
    assert calls == [("line", {"transport": "stdio"})]


def test_settings_in_the_files_variables_count(calls: list[Any]) -> None:
    write(HEAD + 'mcp = FastMCP("a")')
    config(deployment={"transport": "http", "env": {"HEADRACE_PORT": "7001"}})
    assert invoke("run").exit_code == 0
    assert calls[0][1]["port"] == 7001


def test_which_file_is_found(calls: list[Any]) -> None:
    write(HEAD + 'a = FastMCP("a")\nb = FastMCP("b")')
    config("fastmcp.json", source={"path": "server.py:b"})
    assert invoke("run").exit_code == 0
    config("headrace.json", source={"path": "server.py", "entrypoint": "a"})
    assert invoke("run").exit_code == 0
    assert [name for name, _ in calls] == ["b", "a"]


def test_a_module_as_source(calls: list[Any]) -> None:
    write(HEAD + 'a = FastMCP("a")', "own_source.py")
    config(source={"type": "module", "module": "own_source", "entrypoint": "a"})
    assert invoke("run").exit_code == 0
    assert calls == [("a", {"transport": "stdio"})]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{", "Error: x.json:1: no JSON: Expecting property name enclosed in double quotes"),
        ("{}", "Error: x.json: source: Field required"),
        ("[]", "Error: x.json: the file: Input should be a valid dictionary or instance of MCPServerConfig"),
        (
            '{"source": {"path": "server.py"}, "deployment": {"port": 70000}}',
            "Error: x.json: deployment.port: Input should be less than or equal to 65535",
        ),
        (
            '{"mcpServers": {"a": {"command": "x"}}}',
            "Error: x.json: mcpServers can't be served yet: that comes with the proxy, in a later release",
        ),
        ('{"source": {"path": "absent.py"}}', "Error: {dir}/absent.py: no such file"),
        (
            '{"source": {"path": "server.py"}, "deployment": {"cwd": "absent"}}',
            "Error: {dir}/x.json: deployment.cwd: No such file or directory: {dir}/absent",
        ),
        (None, "Error: x.json: no such file"),
        (
            10_000 * "[",
            "Error: x.json can't be read: maximum recursion depth exceeded while decoding a JSON array from a "
            "unicode string",
        ),
        (
            '{"source": {"path": "~no_such_user/server.py"}}',
            "Error: x.json: Could not determine home directory.",
        ),
        (
            '{"source": {"path": "server.py"}, "deployment": {"env": {"A": "\\u0000"}}}',
            "Error: {dir}/x.json: deployment: embedded null byte",
        ),
    ],
)
def test_mistakes(text: str | None, line: str, calls: list[Any]) -> None:
    if text is not None:
        Path("x.json").write_text(text)
    assert refused("run", "x.json") == line.replace("{dir}", os.getcwd())
    assert calls == []


@pytest.mark.parametrize(
    ("members", "command"),
    [
        ({}, ["x"]),
        ({"python": "3.12"}, ["uv", "run", "--python", "3.12", "x"]),
        ({"dependencies": ["b", "a>=2", "b"]}, ["uv", "run", "--with", "a>=2", "--with", "b", "x"]),
        ({"editable": "."}, ["uv", "run", "--with-editable", "{dir}", "x"]),
        ({"editable": [".", "lib"]}, ["uv", "run", "--with-editable", "{dir}", "--with-editable", "{dir}/lib", "x"]),
        (
            {"project": ".", "python": "3.12", "requirements": "r.txt"},
            ["uv", "run", "--project", "{dir}", "--with-requirements", "{dir}/r.txt", "x"],
        ),
    ],
)
def test_uv_commands(members: dict[str, Any], command: list[str]) -> None:
    expected = [part.replace("{dir}", os.getcwd()) for part in command]
    assert UVEnvironment(**members).build_command(["x"]) == expected


def test_as_python() -> None:
    source = FileSystemSource(path="server.py:app")
    assert (source.path, source.entrypoint, source.type) == ("server.py", "app", "filesystem")
    made = MCPServerConfig.from_cli_args(source, transport="http", port=1, dependencies=["a"], host=None)
    assert made.run_options() == {"transport": "http", "port": 1}
    assert made.environment == UVEnvironment(dependencies=["a"])
    with pytest.raises(TypeError, match="no such member: prot"):
        MCPServerConfig.from_cli_args(source, prot=1)
    members = {"source": {"path": "server.py"}, "environment": None, "deployment": None}
    assert MCPServerConfig.model_validate(members).deployment == Deployment()
    assert MCPServerConfig.find_config() is None
    found = MCPServerConfig.find_config(Path(config("deep/fastmcp.json")).parent)
    assert found is not None
    assert found == Path("deep/fastmcp.json")
    assert MCPServerConfig.from_file(found).source == FileSystemSource(path="server.py")
    assert set((generate_schema() or {})["properties"]) == {"$schema", "source", "environment", "deployment"}


async def test_load_a_server_in_a_running_loop() -> None:
    write(HEAD + 'async def make():\n    return FastMCP("made")')
    assert (await FileSystemSource(path="server.py:make").load_server()).name == "made"
