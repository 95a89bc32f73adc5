"""The small helpers of `headrace.utilities`: types, logging, exceptions, scopes, pages."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Annotated, Any, Optional

import pytest
from pydantic import ValidationError

from headrace import Context
from headrace.utilities import ui
from headrace.utilities.auth import parse_scopes
from headrace.utilities.exceptions import get_catch_handlers, iter_exc
from headrace.utilities.http import find_available_port
from headrace.utilities.logging import configure_logging, get_logger, temporary_log_level
from headrace.utilities.types import (
    FastMCPBaseModel,
    create_function_without_params,
    find_kwarg_by_type,
    get_cached_typeadapter,
    get_fn_name,
    is_class_member_of_type,
    issubclass_safe,
    replace_type,
)


@pytest.mark.parametrize(
    ("value", "scopes"),
    [
        (None, None),
        ("", []),
        ("  ", []),
        ("a b,c", ["a", "b", "c"]),
        ('["a", " b ", ""]', ["a", "b"]),
        ("[a", ["[a"]),
        (["a", " "], ["a"]),
        (("a",), ["a"]),
    ],
)
def test_scopes(value: Any, scopes: list[str] | None) -> None:
    assert parse_scopes(value) == scopes


def test_what_is_no_scopes() -> None:
    with pytest.raises(ValueError, match="int"):
        parse_scopes(3)


def test_exceptions_of_groups() -> None:
    group = ExceptionGroup("all", [ExceptionGroup("some", [KeyError("a")]), ValueError("b")])
    assert [type(error) for error in iter_exc(group)] == [KeyError, ValueError]
    (handler,) = get_catch_handlers().values()
    with pytest.raises(KeyError):
        handler(group)


def test_a_free_port() -> None:
    with socket.create_server(("127.0.0.1", find_available_port())) as listener:
        assert listener.getsockname()[1] > 0


# Types


class Child(str): ...


@pytest.mark.parametrize(
    ("annotation", "base", "is_member"),
    [
        (str, str, True),
        (Child, str, True),
        (int | str, str, True),
        (Optional[str], str, True),  # noqa: UP045 - the old way to write it
        (Annotated[str, "x"], str, True),
        (Annotated[int | str, "x"], str, True),
        (list[str], str, False),
        (list[str], list, True),
        (Any, str, False),
        ("str", str, False),
    ],
)
def test_members_of_a_type(annotation: Any, base: type, is_member: bool) -> None:
    assert is_class_member_of_type(annotation, base) is is_member


def test_subclasses() -> None:
    assert issubclass_safe(Child, str)
    assert not issubclass_safe(3, str)
    assert not issubclass_safe(str | int, str)


def function(a: int, ctx: Context | None = None, *, b: Annotated[str, "what b is"] = "x") -> str:
    return f"{a} {ctx} {b}"


class Owner:
    def method(self, context: Context) -> None: ...


@pytest.mark.parametrize(
    ("where", "kind", "name"),
    [(function, Context, "ctx"), (Owner().method, Context, "context"), (function, str, "b"), (function, bytes, None)],
)
def test_parameters_by_type(where: Callable[..., Any], kind: type, name: str | None) -> None:
    assert find_kwarg_by_type(where, kind) == name


def test_a_function_without_some_parameters() -> None:
    less = create_function_without_params(function, ["ctx"])
    assert less(1, b="y") == "1 None y"
    assert get_fn_name(less) == "function"
    schema = get_cached_typeadapter(less).json_schema()
    assert set(schema["properties"]) == {"a", "b"}


def test_adapters_are_made_once_and_know_descriptions() -> None:
    def add(a: int, b: Annotated[int, "the second"] = 2) -> int:
        return a + b

    adapter = get_cached_typeadapter(add)
    assert get_cached_typeadapter(add) is adapter
    assert adapter.json_schema()["properties"]["b"]["description"] == "the second"
    assert adapter.validate_python({"a": "1"}) == 3
    assert get_cached_typeadapter(list[int]).validate_python(["1"]) == [1]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (int, str),
        (list[int | bool], list[str | bool]),
        (list[list[int]], list[list[str]]),
        (dict[str, int], dict[str, str]),
        (Annotated[int, "x"], Annotated[str, "x"]),
        (bytes, bytes),
    ],
)
def test_types_replaced(before: Any, after: Any) -> None:
    assert replace_type(before, {int: str}) == after


def test_the_base_model_is_strict_about_members() -> None:
    class Model(FastMCPBaseModel):
        a: int

    with pytest.raises(ValidationError):
        Model(a=1, b=2)  # pyright: ignore[reportCallIssue]


# Logging


@pytest.mark.parametrize(
    ("name", "full"), [("x", "headrace.x"), ("headrace.x", "headrace.x"), ("headrace", "headrace")]
)
def test_loggers(name: str, full: str) -> None:
    assert get_logger(name).name == full


def test_logs_are_shown_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("headrace")
    kept = logging.NullHandler()
    logger.addHandler(kept)
    before = (logger.level, logger.propagate, list(logger.handlers))
    try:
        with temporary_log_level("debug"):
            configure_logging("INFO")
            configure_logging("INFO")
            get_logger("a").info("shown [bold]once[/bold]")
            get_logger("a").debug("not shown")
            assert len(logger.handlers) == 2
        get_logger("a").info("not shown")
        with temporary_log_level(None):
            assert logger.propagate
        assert (logger.level, logger.propagate, list(logger.handlers)) == before
    finally:
        logger.removeHandler(kept)
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("shown [bold]once[/bold]") == 1
    assert "not shown" not in output.err


# Pages

EVIL = "<script>alert('x')</script>\"&"


@pytest.mark.parametrize(
    "html",
    [
        ui.create_status_message(EVIL),
        ui.create_status_message(EVIL, is_success=False),
        ui.create_info_box(EVIL, is_error=True, centered=True, monospace=True),
        ui.create_detail_box([(EVIL, EVIL)]),
        ui.create_button_group([(EVIL, EVIL, EVIL)]),
        ui.create_logo("https://a.example/i.png?" + EVIL, EVIL),
        ui.create_page("", title=EVIL, csp_policy=EVIL),
    ],
)
def test_text_is_escaped(html: str) -> None:
    assert "<script" not in html
    assert "alert(" in html
    assert "alert('x')" not in html


def test_a_page_and_its_response() -> None:
    content = ui.create_logo() + ui.create_status_message("Signed in")
    page = ui.create_page(content, "Done")
    assert page.startswith("<!DOCTYPE html>")
    assert content in page
    assert "Content-Security-Policy" in page
    assert "Content-Security-Policy" not in ui.create_page(content, csp_policy="")
    response = ui.create_secure_html_response(page, 403)
    assert response.status_code == 403
    assert response.headers["x-frame-options"] == "DENY"
    assert bytes(response.body).decode() == page
    with pytest.raises(ValueError, match="https"):
        ui.create_logo("javascript:alert(1)")
