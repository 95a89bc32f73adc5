"""Where settings come from, what wins, and what a wrong one says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import headrace.settings
from headrace.settings import Settings, expanded, read_env_file


def test_defaults() -> None:
    settings = Settings.load({}, None)
    assert settings == Settings()
    assert (settings.host, settings.port, settings.streamable_http_path) == ("127.0.0.1", 8000, "/mcp")
    assert (settings.max_body_bytes, settings.session_idle_timeout, settings.max_sessions) == (4 << 20, 1800, 10_000)
    assert settings.secret_key is None
    assert (settings.transport, settings.show_banner) == ("stdio", True)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("host", "0.0.0.0", "0.0.0.0"),
        ("port", " 0 ", 0),
        ("sse_path", "/events", "/events"),
        ("json_response", "TRUE", True),
        ("stateless_http", "0", False),
        ("log_level", "debug", "DEBUG"),
        ("allowed_hosts", "a.example, b.example:8080,", ("a.example", "b.example:8080")),
        ("session_idle_timeout", "0.5", 0.5),
        ("secret_key", "k" * 32, "k" * 32),
        ("port", "", 8000),
        ("transport", "HTTP", "http"),
        ("show_banner", "false", False),
    ],
)
def test_values(name: str, text: str, value: Any) -> None:
    assert getattr(Settings.load({f"HEADRACE_{name.upper()}": text}, None), name) == value


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("PORT", "70000", "a whole number from 0 to 65535"),
        ("PORT", "1_000", "a whole number from 0 to 65535"),
        ("DEBUG", "maybe", "true or false"),
        ("MAX_BODY_BYTES", "0", "a whole number from 1"),
        ("SESSION_IDLE_TIMEOUT", "inf", "a number of seconds above 0"),
        ("SESSION_IDLE_TIMEOUT", "nan", "a number of seconds above 0"),
        ("STREAMABLE_HTTP_PATH", "mcp", "a path that begins with one slash, without ? or #"),
        ("TRANSPORT", "pigeon", "one of stdio, http, streamable-http, sse"),
        ("LOG_LEVEL", "loud", "one of CRITICAL, ERROR, WARNING, INFO, DEBUG"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_variable(name: str, text: str, wanted: str) -> None:
    with pytest.raises(ValueError, match=name) as caught:
        Settings.load({f"HEADRACE_{name}": text}, None)
    assert str(caught.value) == f"HEADRACE_{name} must be {wanted}, got {text!r}"


def test_a_secret_is_never_shown() -> None:
    with pytest.raises(ValueError, match="HEADRACE_SECRET_KEY must be at least 32 characters") as caught:
        Settings.load({"HEADRACE_SECRET_KEY": "hunter2"}, None)
    assert "hunter2" not in str(caught.value)
    assert "k" * 32 not in repr(Settings(secret_key="k" * 32))


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("HEADRACE_PORT=1\nHEADRACE_HOST=file\n")
    settings = Settings.load({"HEADRACE_PORT": "2"}, file)
    assert (settings.port, settings.host) == (2, "file")


def test_what_a_file_may_hold(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(
        "# a comment\n\nOTHER\nOTHER='x\nHEADRACE_HOST = \"a b\" \nexport HEADRACE_SSE_PATH='/s'\n"
        "HEADRACE_SECRET_KEY=a#b # comment\n",
        encoding="utf-8",
    )
    assert read_env_file(file) == {
        "HEADRACE_HOST": "a b",
        "HEADRACE_SSE_PATH": "/s",
        "HEADRACE_SECRET_KEY": "a#b",
    }
    assert read_env_file(tmp_path / "absent") == {}
    assert read_env_file(tmp_path) == {}


def test_a_line_without_a_value_names_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("\nHEADRACE_PORT\n")
    with pytest.raises(ValueError, match=r"\.env:2: expected NAME=value"):
        Settings.load({}, file)


def test_which_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("HEADRACE_PORT=1\nHEADRACE_ENV_FILE=other.env\n")
    Path("prod.env").write_text("HEADRACE_PORT=2\n")
    assert Settings.load({}).port == 1
    assert Settings.load({"HEADRACE_ENV_FILE": "prod.env"}).port == 2
    assert Settings.load({"HEADRACE_ENV_FILE": "prod.env"}, ".env").port == 1
    assert Settings.load({"HEADRACE_ENV_FILE": "prod.env"}, None).port == 8000
    with pytest.raises(ValueError, match=r"HEADRACE_ENV_FILE must be a file that is there, got 'absent\.env'"):
        Settings.load({"HEADRACE_ENV_FILE": "absent.env"})


def test_every_line_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "my.env"
    file.write_text("# keys\n\nA=1\n  export B = 'x # y'\nC=\n")
    assert read_env_file(file, prefix="") == {"A": "1", "B": "x # y", "C": ""}


def test_variables_in_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_TEST_A", "a")
    assert expanded("${HEADRACE_TEST_A}/$HEADRACE_TEST_A/${HEADRACE_TEST_NONE}") == (
        "a/$HEADRACE_TEST_A/${HEADRACE_TEST_NONE}"
    )


def test_there_are_no_live_settings() -> None:
    with pytest.raises(AttributeError, match=r"read Settings.load\(\).port from it, or set HEADRACE_PORT before"):
        headrace.settings.port  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError, match="has no attribute 'prot'"):
        headrace.settings.prot  # type: ignore[attr-defined]  # noqa: B018
