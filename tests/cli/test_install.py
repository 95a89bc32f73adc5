"""``headrace install``: what each client is told. The clients' commands are programs that take notes."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from .commands import HEAD, fake_program, headrace, invoke, noted, refused, write

SERVER = HEAD + "import sys\nassert sys.argv == ['server.py']\nmcp = FastMCP('My shop & co')\n"


@pytest.fixture(autouse=True)
def server() -> Path:
    return Path(write(SERVER)).resolve()


@pytest.fixture
def bin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory in PATH, HOME, too: an empty one."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.setenv("HOME", str(directory))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return directory


def printed(*arguments: str) -> Any:
    """The JSON of `install mcp-json`."""
    result = invoke("install", "mcp-json", *arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def test_the_json(server: Path) -> None:
    command = ["run", "--with", "headrace", "headrace", "run", str(server)]
    assert printed("server.py") == {"My shop & co": {"command": "uv", "args": command}}


@pytest.mark.parametrize(
    ("arguments", "uv", "run"),
    [
        (["server.py:mcp"], [], ["{file}:mcp"]),
        (["-m", "server:mcp"], [], ["--module", "server:mcp"]),
        (["server.py", "--with", "x>=1", "--with", "a"], ["--with", "a", "--with", "x>=1"], ["{file}"]),
        (["server.py", "--python", "3.12", "--with-editable", "."], ["--python", "3.12"], ["{file}"]),
        (["server.py", "--project", "."], ["--project", "{dir}"], ["{file}"]),
        (["server.py", "--with-requirements", "r.txt"], ["--with-requirements", "{dir}/r.txt"], ["{file}"]),
        (
            ["headrace.json", "--with", "x"],
            ["--with", "pandas", "--with", "x", "--with-editable", "{dir}/lib"],
            ["{dir}/headrace.json", "--skip-env", "--transport", "stdio"],
        ),
        ([], ["--with", "pandas"], ["{dir}/headrace.json", "--skip-env", "--transport", "stdio"]),
    ],
)
def test_commands(arguments: list[str], uv: list[str], run: list[str], server: Path) -> None:
    Path("r.txt").touch()
    environment = {"dependencies": ["pandas"], "editable": ["lib"]}
    Path("headrace.json").write_text(json.dumps({"source": {"path": "server.py"}, "environment": environment}))
    entry = printed(*arguments, "--name", "n")["n"]
    names = {"{file}": str(server), "{dir}": os.getcwd()}

    def full(parts: list[str]) -> list[str]:
        for short, long in names.items():
            parts = [part.replace(short, long) for part in parts]
        return parts

    position = entry["args"].index("headrace", entry["args"].index("headrace") + 1)
    assert entry["args"][position:] == ["headrace", "run", *full(run)]
    given = entry["args"][:position]
    assert given[0] == "run"
    pairs = set(zip(given[1::2], given[2::2], strict=True))
    assert {("--with", "headrace"), *zip(full(uv)[::2], full(uv)[1::2], strict=True)} <= pairs


def test_variables() -> None:
    Path("my.env").write_text("# keys\n\nA=file\nexport B='two words'\nC=$HOME\n")
    found = printed("server.py", "--name", "n", "--env-file", "my.env", "--env", "A=line", "--env", "D=x=y")
    assert found["n"]["env"] == {"A": "line", "B": "two words", "C": "$HOME", "D": "x=y"}


def test_a_server_whose_packages_are_missing_gets_the_name_of_its_file() -> None:
    write("import no_such_package", "tools.py")
    assert list(printed("tools.py", "--with", "no_such_package")) == ["tools"]


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["absent.py"], 1, "absent.py: no such file"),
        (["absent.py", "--name", "n"], 1, "absent.py: no such file"),
        (["broken.py"], 1, "broken.py:1: ZeroDivisionError: division by zero"),
        (["server.py", "--name", "--x"], 2, "'--x' can't be the name of a server: choose another with --name"),
        (["server.py", "--env", "A"], 2, "--env A: expected NAME=VALUE"),
        (["server.py", "--env-file", "bad.env"], 1, "bad.env:1: expected NAME=value"),
    ],
)
def test_mistakes(arguments: list[str], code: int, line: str) -> None:
    write("1 / 0", "broken.py")
    Path("bad.env").write_text("A")
    assert refused("install", "mcp-json", *arguments, code=code) == f"Error: {line}"


UV = ["run", "--with", "headrace", "headrace", "run", "{file}"]


@pytest.mark.parametrize(
    ("client", "program", "argv", "says"),
    [
        (
            "claude-code",
            "claude",
            ["mcp", "add", "My shop & co", "-e", "A=1 $(x)", "--", "uv", *UV],
            "Installed My shop & co in Claude Code\n",
        ),
        (
            "gemini-cli",
            "gemini",
            ["mcp", "add", "-e", "A=1 $(x)", "My shop & co", "uv", "--", *UV],
            "Installed My shop & co in Gemini CLI\n",
        ),
        (
            "vscode",
            "code",
            ["--add-mcp", {"name": "My shop & co", "env": {"A": "1 $(x)"}, "command": "uv", "args": UV}],
            "Installed My shop & co in VS Code\n",
        ),
    ],
)
def test_through_the_clients_own_command(
    client: str, program: str, argv: list[Any], says: str, server: Path, tmp_path: Path
) -> None:
    fake = fake_program(tmp_path / "bin", program)
    done = headrace("install", client, "server.py", "--env", "A=1 $(x)", path=fake.parent)
    assert (done.returncode, done.stdout, done.stderr) == (0, says, "")
    found = noted(fake)["argv"]
    if isinstance(argv[-1], dict):
        found[-1] = json.loads(found[-1])
    assert found == json.loads(json.dumps(argv).replace("{file}", str(server)))


@pytest.mark.parametrize(
    ("client", "program", "line"),
    [
        ("claude-code", "claude", "claude mcp add failed: it exists already"),
        ("gemini-cli", "gemini", "gemini mcp add failed: it exists already"),
        ("vscode", "code", "code --add-mcp failed: it exists already"),
    ],
)
def test_a_command_that_fails(client: str, program: str, line: str, bin: Path) -> None:
    fake_program(bin, program, code=1, says="first\nit exists already")
    assert refused("install", client, "server.py") == f"Error: {line}"


@pytest.mark.parametrize(
    ("client", "line"),
    [
        ("claude-code", "Claude Code is not installed: there is no claude command"),
        ("gemini-cli", "Gemini CLI is not installed: there is no gemini command"),
        (
            "claude-desktop",
            "Claude Desktop's configuration is not there: start Claude Desktop once, or name --config-path",
        ),
    ],
)
def test_a_client_that_is_missing(client: str, line: str, bin: Path) -> None:
    assert refused("install", client, "server.py") == f"Error: {line}"


def query(link: str) -> dict[str, list[str]]:
    assert " " not in link
    return parse_qs(urlsplit(link).query, strict_parsing=True)


def link_of(*arguments: str, bin: Path) -> str:
    """The link that is handed to the system."""
    opener = fake_program(bin, "xdg-open")
    result = invoke("install", *arguments)
    assert result.exit_code == 0, result.output
    (link,) = noted(opener)["argv"]
    return link


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="xdg-open is Linux's")
class TestLinks:
    def test_cursor(self, bin: Path, server: Path) -> None:
        link = link_of("cursor", "server.py", "--env", "A=ÿ>?", bin=bin)
        assert link.startswith("cursor://anysphere.cursor-deeplink/mcp/install?name=My%20shop%20%26%20co&config=")
        assert not set("+/=") & set(link.partition("&config=")[2])
        config = json.loads(base64.b64decode(query(link)["config"][0], validate=True))
        assert config == {"command": "uv", "args": [*UV[:-1], str(server)], "env": {"A": "ÿ>?"}}

    def test_vscode_without_its_command(self, bin: Path, server: Path) -> None:
        link = link_of("vscode", "server.py", bin=bin)
        head, _, text = link.partition("?")
        assert head == "vscode:mcp/install"
        entry = {"name": "My shop & co", "command": "uv", "args": [*UV[:-1], str(server)]}
        assert json.loads(unquote(text)) == entry

    def test_goose(self, bin: Path, server: Path) -> None:
        link = link_of("goose", "server.py:mcp", "--with", "a&b", "--python", "3.12", bin=bin)
        found = query(link)
        assert link.startswith("goose://extension?cmd=uvx&arg=")
        assert found["arg"] == ["--python", "3.12", "--with", "a&b", "headrace", "run", f"{server}:mcp"]
        assert (found["id"], found["name"]) == (["my-shop-co"], ["My shop & co"])

    @pytest.mark.parametrize("there", [True, False])
    def test_nothing_opens_it(self, there: bool, bin: Path) -> None:
        if there:
            fake_program(bin, "xdg-open", code=3)
        line = refused("install", "goose", "server.py")
        assert line.startswith("Error: can't open Goose from here; open this link yourself: goose://extension?cmd=uvx")


def test_what_the_file_prints_is_no_part_of_the_json(server: Path) -> None:
    server.write_text("print('loading')\n" + server.read_text())
    assert list(json.loads(invoke("install", "mcp-json", "server.py").stdout)) == ["My shop & co"]


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (
            ["--env", "A=1"],
            "a Goose link carries no variables: leave out --env and --env-file, and set them in Goose",
        ),
        (
            ["--project", "."],
            "a Goose link has no --project: name its packages with --with or --with-editable",
        ),
    ],
)
def test_what_goose_can_not(flags: list[str], line: str) -> None:
    assert refused("install", "goose", "server.py", *flags, code=2) == f"Error: {line}"


def test_claude_desktop(bin: Path, server: Path) -> None:
    directory = bin / ".config" / "Claude"
    directory.mkdir(parents=True)
    file = directory / "claude_desktop_config.json"
    other = {"command": "x", "env": {"K": None}, "unknown": [1]}
    earlier = {"command": "old", "env": {"A": "1", "B": "2"}, "disabled": True}
    file.write_text(json.dumps({"theme": "dark", "mcpServers": {"other": other, "My shop & co": earlier}}))
    for arguments in (["server.py", "--env", "B=3"], ["server.py"]):
        result = invoke("install", "claude-desktop", *arguments)
        assert result.exit_code == 0, result.output
    assert result.output == f"Installed My shop & co in Claude Desktop ({file}); restart it to see the server\n"
    entry = {"command": "uv", "args": [*UV[:-1], str(server)], "env": {"A": "1", "B": "3"}, "disabled": True}
    assert json.loads(file.read_text()) == {"theme": "dark", "mcpServers": {"other": other, "My shop & co": entry}}
    assert [path.name for path in directory.iterdir()] == [file.name]


def test_claude_desktop_keeps_a_file_that_it_does_not_understand() -> None:
    Path("claude_desktop_config.json").write_text("{,")
    line = refused("install", "claude-desktop", "server.py", "--config-path", ".")
    assert line.startswith("Error: claude_desktop_config.json:1: no JSON: ")
    assert Path("claude_desktop_config.json").read_text() == "{,"


def test_cursor_in_a_workspace(server: Path) -> None:
    result = invoke("install", "cursor", "server.py", "--name", "n", "--workspace", ".")
    assert result.exit_code == 0, result.output
    entry = {"command": "uv", "args": [*UV[:-1], str(server)]}
    assert json.loads(Path(".cursor/mcp.json").read_text()) == {"mcpServers": {"n": entry}}


def test_copy(bin: Path) -> None:
    assert refused("install", "mcp-json", "server.py", "--copy").startswith("Error: no program here can copy")
    fake = fake_program(bin, "xsel")
    result = invoke("install", "mcp-json", "server.py", "--copy")
    assert (result.exit_code, result.output) == (0, "Copied the JSON of My shop & co\n")
    assert noted(fake)["argv"] == ["-ib"]
