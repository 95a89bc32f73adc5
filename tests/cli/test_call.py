"""``headrace call``, ``list`` and ``read``: what they print, and the one line each mistake gets."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import headrace as package
from headrace import FastMCP
from headrace.cli import main
from headrace.server.dependencies import get_http_request

from .commands import HEAD, headrace, invoke, refused, write
from .library import PIXEL, STEERING, make_server, serving

ERAS = ["modern", "legacy"]
SERVED = HEAD + 'mcp = FastMCP("files")\n@mcp.tool\ndef add(a: int, b: int) -> int:\n    return a + b\n'


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(make_server()) as url:
        yield url


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "home"))


def output(*arguments: str) -> str:
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stderr == "", result.stderr
    return result.stdout


@pytest.mark.parametrize("mode", ERAS)
def test_list(mode: str, url: str) -> None:
    revision = {"modern": "2026-07-28", "legacy": "2025-11-25"}[mode]
    options = "tags: list[str] | None = None, exact: bool = False, options: dict | None = None"
    assert output("list", url, "--mode", mode) == (
        f"library 1.4, {revision}\n"
        "\nTools\n"
        f"  find(title: str, count: int = 1, {options}, shelf: 'a' | 'b' = 'a', ratio: float | None = None) -> str\n"
        "      Where a book stands.\n"
        "  work(times: int = 2) -> str\n  fail() -> str\n  picture()\n"
        "  join() -> str\n  choose() -> str\n  visit(url: str) -> str\n"
        "\nResources\n  book://one (one, text/plain)\n  book://cover (cover, image/png)\n"
        "\nTemplates\n  book://page/{number} (page, text/plain)\n      A page.\n"
        "\nPrompts\n  review(title, how = ...)\n      Ask for a review.\n"
    )


def test_a_part_of_the_list(url: str) -> None:
    assert output("list", url, "--prompts").splitlines()[2:] == [
        "Prompts",
        "  review(title, how = ...)",
        "      Ask for a review.",
    ]
    found = json.loads(output("list", url, "--json", "--tools", "--resources"))
    assert list(found) == ["tools", "resources", "resourceTemplates"]
    assert found["tools"][0]["inputSchema"]["properties"]["count"] == {"default": 1, "type": "integer"}
    assert found["resourceTemplates"][0]["uriTemplate"] == "book://page/{number}"
    shown = output("list", url, "--tools", "--input-schema", "--output-schema")
    assert '"title": {\n' in shown
    assert '"x-fastmcp-wrap-result": true\n' in shown


def test_a_server_without_anything() -> None:
    with serving(FastMCP("empty", version="0")) as url:
        assert output("list", url, "--resources").endswith("\nResources: none\n\nTemplates: none\n")


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize(
    ("words", "called"),
    [
        (["title=x"], "('x', 1, None, False, None, 'a', None)"),
        (["title=12", "count=3", "exact=yes", "ratio=2"], "('12', 3, None, True, None, 'a', 2.0)"),
        (["title=a=b", "tags=x", "tags=y"], "('a=b', 1, ['x', 'y'], False, None, 'a', None)"),
        (["title=[1]", 'tags=["x"]'], "('[1]', 1, ['x'], False, None, 'a', None)"),
        (["title=x", 'options={"deep": true}'], "('x', 1, None, False, Options(deep=True), 'a', None)"),
        (['title:="x"', "count:=2", "shelf=b"], "('x', 2, None, False, None, 'b', None)"),
        (["--input-json", '{"title": "x", "count": 2}', "count=3"], "('x', 3, None, False, None, 'a', None)"),
    ],
)
def test_arguments(mode: str, words: list[str], called: str, url: str) -> None:
    assert output("call", url, "find", *words, "--mode", mode) == f"{called}\n"


def test_arguments_from_stdin(url: str) -> None:
    result = CliRunner().invoke(main, ["call", url, "find", "-", "count=2"], input='{"title": "x"}')
    assert result.output == "('x', 2, None, False, None, 'a', None)\n"


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["find", "count=x", "title=x"], 2, "count is not an integer: 'x'"),
        (["find", "exact=maybe"], 2, "exact is not true or false: 'maybe'"),
        (["find", "options=[1]"], 2, "options is not null or a JSON object: '[1]'"),
        (["find", "title=x", "title=y"], 2, "title is given 2 times"),
        (["find", "title"], 2, "'title': expected KEY=VALUE, KEY:=JSON or -"),
        (["find", "title:=x"], 2, "title is no JSON: Expecting value: line 1 column 1 (char 0)"),
        (["find", "--input-json", "[]"], 2, "--input-json is no JSON object"),
        (["find", "--input-json", '{"a": NaN}'], 2, "--input-json is no JSON: NaN is no JSON"),
        (["finds", "title=x"], 1, "{url} has no tool 'finds': is it 'find'?"),
        (["zzz", "title=x"], 1, "{url} has no tool 'zzz': headrace list shows what there is"),
        (["zzz"], 1, "{url}: Unknown tool: 'zzz'"),
        (["book://none"], 1, "{url} has no resource 'book://none': Resource not found: book://none"),
        (["book://one", "a=b"], 2, "a resource has no arguments"),
        (["zzz", "--prompt"], 1, "{url}: Unknown prompt: 'zzz'"),
        ([], 2, "name a tool of it: headrace list shows them"),
    ],
)
def test_mistakes(words: list[str], code: int, line: str, url: str) -> None:
    assert refused("call", url, *words, code=code) == f"Error: {line.format(url=url)}"


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["list"], 2, "name a TARGET (a URL, a script, a config) or a --command"),
        (["list", "a.py", "b.py"], 1, "a.py: No such file or directory"),
        (["list", "x.json"], 1, "x.json: no such file"),
        (["list", "http://127.0.0.1:1/mcp"], 1, "The connection to http://127.0.0.1:1/mcp failed: Connection refused"),
        (["list", "--command", "no-such-program"], 1, "Can't start the server 'no-such-program': [Errno 2]"),
        (["list", "--command", "'"], 2, "--command: No closing quotation"),
        (["list", "http://x", "--header", "Authorization Bearer s3cret"], 2, "--header: expected 'NAME: VALUE'"),
        (["list", "http://x", "--header", "X-Key: a\nb: s3cret"], 2, "--header: expected 'NAME: VALUE'"),
        (["list", "a.py", "--env", "NO_SUCH_VARIABLE"], 2, "--env 'NO_SUCH_VARIABLE': expected NAME=VALUE, or a"),
        (["list", "--command", "x", "--header", "a: b"], 1, "headers and auth are for URLs"),
        (["read", "http://x.invalid", "a:b"], 1, "The connection to http://x.invalid"),
        (["list", "http://x.invalid", "--auth", "oauth"], 1, "A server that is logged in to must be https"),
        (["bridge", "server.py"], 2, "a bridge leads to a URL: http:// or https://"),
    ],
)
def test_mistakes_with_targets(arguments: list[str], code: int, line: str) -> None:
    said = refused(*arguments, code=code)
    assert said.startswith(f"Error: {line}")
    assert "s3cret" not in said


@pytest.mark.parametrize("mode", ERAS)
def test_a_tool_that_fails(mode: str, url: str) -> None:
    result = invoke("call", url, "fail", "--mode", mode)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "no luck\nat all\n")
    result = invoke("call", url, "fail", "--mode", mode, "--json")
    assert (result.exit_code, json.loads(result.stdout)["isError"], result.stderr) == (1, True, "")


def test_results(url: str) -> None:
    assert output("call", url, "picture") == f"a pixel\n[image: image/png, {len(PIXEL)} bytes]\n"
    assert json.loads(output("call", url, "find", "title=x", "--json"))["structuredContent"]["result"][:4] == "('x'"
    assert output("call", url, "review", "--prompt", "title=Emma") == "user: Review Emma kindly\n"
    found = json.loads(output("call", url, "review", "--prompt", "title=12", "how=x", "--json"))
    assert found["messages"][0]["content"]["text"] == "Review 12 x"
    assert output("call", url, "book://page/3") == "page 3"


@pytest.mark.parametrize("mode", ERAS)
def test_nothing_but_the_result_goes_to_stdout(mode: str, url: str) -> None:
    """Notes go to stderr, a line each, without what steers a terminal; there is no bar where nobody sees it."""
    result = invoke("call", url, "work", "--mode", mode)
    note = "info: working\\u001b]0;owned\\u0007\\u009b2J\\u202e\n"
    assert (result.exit_code, result.stdout_bytes, result.stderr) == (0, f"worked{STEERING}\n".encode(), note * 2)
    everything = invoke("call", url, "work", "--mode", mode, "--log-level", "debug")
    assert everything.stderr == note * 2 + "debug: details\n"
    assert invoke("call", url, "work", "--mode", mode, "--log-level", "error").stderr == ""


@pytest.mark.parametrize("mode", ERAS)
def test_questions_are_declined_where_there_is_nobody_to_ask(mode: str, url: str) -> None:
    result = invoke("call", url, "join", "--mode", mode)
    assert (result.exit_code, result.stdout) == (0, "decline: None\n")
    assert result.stderr.startswith("declined, as there is nobody to ask: Who are you?\\u001b]0;owned")


def test_read(url: str) -> None:
    runner = CliRunner()
    assert runner.invoke(main, ["read", url, "book://cover"]).stdout_bytes == PIXEL
    assert runner.invoke(main, ["read", url, "book://one"]).stdout_bytes == f"Once{STEERING}\n".encode()
    result = invoke("read", url, "book://cover", "--output", "cover.png")
    assert (result.stdout, result.stderr) == ("", "Written to cover.png\n")
    assert Path("cover.png").read_bytes() == PIXEL
    assert json.loads(output("read", url, "book://cover", "--json"))["contents"][0]["blob"]
    assert (
        refused("read", url, "book://cover", "-o", "no/x") == "Error: no/x can't be written: No such file or directory"
    )
    assert refused("read", url, "a", "--json", "-o", "x", code=2) == "Error: --output or --json, not both"
    assert refused("read", url, code=2) == "Error: name the URI of one resource: headrace list shows them"


def seen_headers(*arguments: str) -> dict[str, str]:
    seen: dict[str, str] = {}
    server = FastMCP("headers")

    @server.tool
    def look() -> str:
        seen.update(get_http_request().headers)
        return "looked"

    with serving(server) as url:
        assert output("call", url, "look", *arguments) == "looked\n"
    return seen


def test_headers_and_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "s3cret")
    seen = seen_headers("--header", "X-Key: ${KEY}", "-H", "X-Other:b", "--auth", "${KEY}")
    assert (seen["x-key"], seen["x-other"], seen["authorization"]) == ("s3cret", "b", "Bearer s3cret")
    assert seen_headers("-H", "Authorization: Basic YQ==")["authorization"] == "Basic YQ=="


@pytest.mark.parametrize("arguments", [[], ["--transport", "sse"]])
def test_http_and_sse(arguments: list[str]) -> None:
    with serving(make_server(), transport="sse") as url:
        assert output("call", url, "book://page/1", *arguments) == "page 1"


def test_one_server_of_a_config(url: str) -> None:
    write(json.dumps({"mcpServers": {"lib": {"url": url}, "gone": {"command": "no-such-program"}}}), "mcp.json")
    assert output("call", "mcp.json:lib", "book://page/1") == "page 1"
    assert refused("list", "mcp.json:x") == "Error: mcp.json has no server 'x': it has lib, gone"


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (SERVED, "server.py"),
        (SERVED, "server.py:mcp"),
        (SERVED + 'if __name__ == "__main__":\n    mcp.run()\n', "server.py"),
        (SERVED, "headrace.json"),
    ],
)
def test_programs(source: str, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(source)
    write('{"source": {"path": "server.py"}}', "headrace.json")
    inherited = _python_path(monkeypatch)
    assert output("call", target, "add", "a=1", "b=2", *inherited).splitlines()[-1] == "3"


def test_a_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write(SERVED + 'if __name__ == "__main__":\n    mcp.run(show_banner=False)\n')
    arguments = ["call", "--command", f"'{sys.executable}' server.py", "add", "a=1", "b=2", *_python_path(monkeypatch)]
    assert output(*arguments) == "3\n"


def _python_path(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """For servers that are started: this very package."""
    monkeypatch.setenv("PYTHONPATH", str(Path(str(package.__file__)).parents[1]))
    return ["--env", "PYTHONPATH"]


def test_in_a_process_of_its_own(url: str, tmp_path: Path) -> None:
    done = headrace("call", url, "find", "title=x", path=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "('x', 1, None, False, None, 'a', None)\n", "")
