"""The commands as a user at a terminal meets them: questions, a progress bar, Ctrl-C, and servers that misuse it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.cli.listing import signature
from headrace.cli.terminal import harmless, one_line
from headrace.cli.values import value_of
from headrace.protocol.types import Tool

from .commands import COMMAND, SECONDS
from .library import make_server, serving

pytestmark = pytest.mark.skipif(os.name == "nt", reason="pseudo-terminals")

STEERS = (b"\x1b]", b"\x07", b"\xc2\x9b", "\u202e".encode())
"""What the server says and no terminal may see."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(make_server()) as url:
        yield url


def at_terminal(home: Path, *arguments: str, typing: list[tuple[str, str]], number: int = 0) -> tuple[str, int]:
    """What is on the screen after all, and the exit code. `typing`: after that text, this is typed, or, for an empty
    one, the signal is sent."""
    ours, theirs = os.openpty()
    environ = {**os.environ, "HEADRACE_HOME": str(home), "COLUMNS": "100", "TERM": "xterm"}
    process = subprocess.Popen([*COMMAND, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environ)
    os.close(theirs)
    screen, seen, deadline = b"", 0, time.monotonic() + SECONDS
    try:
        while time.monotonic() < deadline and select.select([ours], [], [], deadline - time.monotonic())[0]:
            try:
                screen += os.read(ours, 65536)
            except OSError:  # the process has ended
                break
            if typing and (at := screen.find(typing[0][0].encode(), seen)) >= 0:
                (awaited, text), seen = typing.pop(0), at
                seen += len(awaited.encode())
                os.write(ours, text.encode()) if text else process.send_signal(number)
        code = process.wait(SECONDS)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert not any(each in screen for each in STEERS), screen
    assert not typing, (typing, screen)
    return screen.decode().replace("\r\n", "\n"), code


FILLED = "accept: Member(name='Ada', age=36, shelf='science', mail=None)"


@pytest.mark.parametrize("mode", ["modern", "legacy"])
def test_a_form(mode: str, url: str, tmp_path: Path) -> None:
    typing = [
        ("  As on the card\r\nName: ", "\n"),  # it is required: asked again
        ("Name: ", "Ada\n"),
        ("Age [18]: ", "old\n"),
        ("is not an integer: 'old'\r\nAge [18]: ", "-1\n"),
        ("less than the minimum", "36\n"),
        ("2) science", "2\n"),
        ("Mail (optional): ", "\n"),
        ("Send this? [Y/n] ", "\n"),
    ]
    screen, code = at_terminal(tmp_path, "call", url, "join", "--mode", mode, typing=typing)
    assert "The server asks: Who are you?\\u001b]0;owned" in screen
    assert (screen.splitlines()[-1], code) == (FILLED, 0)


def test_choices(url: str, tmp_path: Path) -> None:
    """By number, value or title; several with commas."""
    typing = [
        ("  1) s (Small)\r\n  2) l (Large)\r\nsize: ", "Large\n"),
        ("3) blue\r\ncolors: ", ",\n"),
        ("colors: ", "1, blue\n"),
        ("gift: ", "yes\n"),
        ("Send this? [Y/n] ", "y\n"),
    ]
    screen, code = at_terminal(tmp_path, "call", url, "choose", typing=typing)
    assert (screen.splitlines()[-1], code) == ("{'size': 'l', 'colors': ['red', 'blue'], 'gift': True}", 0)


@pytest.mark.parametrize(
    ("typing", "last"),
    [
        ([("Name: ", "\x04")], "cancel: None"),
        ([("Name: ", "Ada\n"), ("Age", "\n"), ("Shelf", "\n"), ("Mail", "\n"), ("Send", "n\n")], "decline: None"),
    ],
)
def test_a_form_that_is_not_sent(typing: list[tuple[str, str]], last: str, url: str, tmp_path: Path) -> None:
    screen, code = at_terminal(tmp_path, "call", url, "join", typing=typing)
    assert (screen.splitlines()[-1], code) == (last, 0)


@pytest.mark.parametrize(
    ("page", "typed", "said", "last"),
    [
        ("https://pay.example/x?y=1", "y\n", "this page of pay.example in your browser", "accept"),
        ("https://pay.example/", "\n", "if you trust it:\n  https://pay.example/", "decline"),
    ],
)
def test_a_page(page: str, typed: str, said: str, last: str, url: str, tmp_path: Path) -> None:
    typing = [("Do you open it? [y/N] ", typed)]
    screen, code = at_terminal(tmp_path, "call", url, "visit", f"url={page}", typing=typing)
    assert said in screen
    assert (screen.splitlines()[-1], code) == (last, 0)


@pytest.mark.parametrize("page", ["file:///etc/passwd", "javascript:alert(1)"])
def test_what_is_no_page(page: str, url: str, tmp_path: Path) -> None:
    screen, _ = at_terminal(tmp_path, "call", url, "visit", f"url={page}", typing=[])
    assert screen.splitlines()[-2:] == [f"Declined: {page!r} is no web page", "decline"]


def test_progress(url: str, tmp_path: Path) -> None:
    screen, code = at_terminal(tmp_path, "call", url, "work", typing=[("1/2 step 0\\u001b]0;owned", " ")])
    assert "2/2 step 1" in screen
    assert screen.count("info: working\\u001b]0;owned\\u0007\\u009b2J\\u202e\n") == 2
    assert "worked\\u001b]0;owned\\u0007\\u009b2J\\u202e\\u000d\n" in screen
    assert code == 0


def test_bytes_are_kept_from_the_terminal(url: str, tmp_path: Path) -> None:
    screen, code = at_terminal(tmp_path, "read", url, "book://cover", typing=[])
    assert "book://cover is no text (image/png, 6 bytes): use --output FILE, or a pipe" in screen
    assert code == 1
    screen, code = at_terminal(tmp_path, "read", url, "book://one", typing=[])
    assert (screen.strip(), code) == ("Once\\u001b]0;owned\\u0007\\u009b2J\\u202e", 0)


@pytest.mark.parametrize(("tool", "when"), [("join", "Name: "), ("work", "step 0")])
def test_interrupted(tool: str, when: str, url: str, tmp_path: Path) -> None:
    arguments = ["call", url, tool, *(["times=100000"] if tool == "work" else [])]
    screen, code = at_terminal(tmp_path, *arguments, typing=[(when, "")], number=signal.SIGINT)
    assert code == 130
    assert "Traceback" not in screen


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\nc\r\nd", "a\tb\nc\nd"),
        ("\x1b[2J\x00\x7f\x85\x9b", "\\u001b[2J\\u0000\\u007f\\u0085\\u009b"),
        ("a\rb\u2067c", "a\\u000db\\u2067c"),
        ("Grüße, 世界 🚀", "Grüße, 世界 🚀"),
    ],
)
def test_harmless(text: str, shown: str) -> None:
    assert harmless(text) == shown


def test_one_line() -> None:
    assert one_line("a\n\n b\x1b") == "a b\\u001b"
    assert len(one_line("x" * 10_000)) == 2000


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ("5", {}, "5"),
        ("5", None, "5"),
        ("5", {"type": "string"}, "5"),
        ("5", {"type": ["integer", "null"]}, 5),
        ("5.0", {"type": "integer"}, 5),
        ("null", {"type": ["integer", "null"]}, None),
        ("5", {"anyOf": [{"type": "integer"}, {"type": "string"}]}, "5"),
        ("5", {"anyOf": [{"type": "integer"}, {}]}, "5"),
        ("2", {"enum": [1, 2]}, 2),
        ("2", {"const": 2}, 2),
        ("NO", {"type": "boolean"}, False),
        ("1", {"type": "array", "items": {"type": "integer"}}, [1]),
        ("[1, 2]", {"type": "array", "items": {"type": "integer"}}, [1, 2]),
        ("1e3", {"allOf": [{}, {"type": "number"}]}, 1000.0),
        ("{}", {"properties": {}}, {}),
    ],
)
def test_values(text: str, schema: object, value: object) -> None:
    found = value_of(text, schema)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("schema", "shown"),
    [
        ({"$defs": 1, "properties": []}, "t()"),
        ({"properties": {"a": 1, "b": {"type": 2}}, "required": 3}, "t(a: Any = ..., b: Any = ...)"),
        ({"properties": {"a": {"$ref": "#"}, "b": {"anyOf": {}}}, "required": ["a"]}, "t(a: Any, b: Any = ...)"),
    ],
)
def test_schemas_that_are_none(schema: dict[str, object], shown: str) -> None:
    assert signature(Tool(name="t", input_schema=schema)) == shown


@pytest.mark.parametrize("text", ["x", "1.5", "true", "[" * 100_000, "NaN", "9" * 5000])
def test_values_that_do_not_fit(text: str) -> None:
    with pytest.raises(ValueError, match="is not an integer"):
        value_of(text, {"type": "integer"})
