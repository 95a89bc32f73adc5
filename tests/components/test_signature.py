"""Signatures: schemas, binding, what is refused."""

from __future__ import annotations

import enum
import functools
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Optional

import pytest
from msgspec import Raw
from pydantic import BaseModel, Field

from headrace.components.context import Context
from headrace.components.signature import Function
from headrace.exceptions import InvalidSignature, ValidationError


class Colour(enum.Enum):
    red = "red"
    blue = "blue"


@dataclass
class Point:
    x: int
    y: int = 0


class Model(BaseModel):
    name: str


class Holder:
    def method(self, a: int) -> int:
        return a

    @classmethod
    def of_class(cls, a: int) -> int:
        return a

    @staticmethod
    def of_nothing(a: int) -> int:
        return a

    def __call__(self, a: int) -> int:
        return a


def plain(a: int, b: str = "x", *, c: float | None = None) -> None: ...
def described(
    a: Annotated[int, Field(ge=1, description="How many")], b: int = Field(2, description="More")
) -> None: ...
def rich(colour: Colour, point: Point, model: Model, choice: Literal["a", "b"], many: list[int]) -> None: ...
def with_context(a: int, ctx: Context, b: int = 1) -> None: ...
def with_optional_context(ctx: Optional[Context] = None, *, a: int) -> None: ...  # noqa: UP045
def with_annotated_context(a: int, ctx: Annotated[Context, "x"]) -> None: ...
def without_annotations(a, b=2): ...  # type: ignore[no-untyped-def]


INTEGER: dict[str, Any] = {"type": "integer"}


@pytest.mark.parametrize(
    ("function", "properties", "required"),
    [
        (
            plain,
            {
                "a": INTEGER,
                "b": {"type": "string", "default": "x"},
                "c": {"anyOf": [{"type": "number"}, {"type": "null"}], "default": None},
            },
            ["a"],
        ),
        (
            described,
            {
                "a": {"type": "integer", "minimum": 1, "description": "How many"},
                "b": {"type": "integer", "default": 2, "description": "More"},
            },
            ["a"],
        ),
        (with_context, {"a": INTEGER, "b": {"type": "integer", "default": 1}}, ["a"]),
        (with_optional_context, {"a": INTEGER}, ["a"]),
        (with_annotated_context, {"a": INTEGER}, ["a"]),
        (without_annotations, {"a": {}, "b": {"default": 2}}, ["a"]),
        (functools.partial(plain, b="y"), {"a": INTEGER}, ["a"]),
        (Holder().method, {"a": INTEGER}, ["a"]),
        (Holder.of_class, {"a": INTEGER}, ["a"]),
        (Holder.of_nothing, {"a": INTEGER}, ["a"]),
        (Holder(), {"a": INTEGER}, ["a"]),
        (lambda: None, {}, None),
    ],
)
def test_schema(function: Any, properties: dict[str, Any], required: list[str] | None) -> None:
    schema = Function(function, "it").schema
    given = {name: schema["properties"].get(name) for name in properties}
    assert given == properties
    assert schema.get("required") == required
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("function", "arguments", "bound"),
    [
        (plain, b'{"a":1}', {"a": 1, "b": "x", "c": None}),
        (plain, b'{"a":"10"}', {"a": 10, "b": "x", "c": None}),
        (without_annotations, b'{"a":[1]}', {"a": [1], "b": 2}),
        (
            rich,
            b'{"colour":"red","point":{"x":1},"model":{"name":"n"},"choice":"a","many":[1]}',
            {"colour": Colour.red, "point": Point(1), "model": Model(name="n"), "choice": "a", "many": [1]},
        ),
        (lambda: None, b"", {}),
        (lambda: None, b"null", {}),
    ],
)
def test_bind(function: Any, arguments: bytes, bound: dict[str, Any]) -> None:
    assert Function(function, "it").bind(Raw(arguments)) == bound


@pytest.mark.parametrize(
    ("function", "arguments", "lines"),
    [
        (plain, b"{}", ["a: required, but missing"]),
        (plain, b'{"a":1,"z":2}', ["z: no such argument"]),
        (plain, b'{"a":"x","b":3}', ["a: Input should be a valid integer", "b: Input should be a valid string"]),
        (plain, b"[1]", ["not an object"]),
        (rich, b'{"colour":"red","point":{"x":"q"},"model":{},"choice":"c","many":[]}', ["point.x:", "model.name:"]),
    ],
)
def test_bad_arguments_are_one_line_per_field(function: Any, arguments: bytes, lines: list[str]) -> None:
    with pytest.raises(ValidationError) as caught:
        Function(function, "it").bind(Raw(arguments))
    for line in lines:
        assert line in str(caught.value)
    assert "pydantic" not in str(caught.value)


def test_names_that_python_keeps_for_itself() -> None:
    def function(__a: int, b: int = 2) -> int:
        return __a + b

    assert Function(function, "tool 'function'").bind(Raw(b'{"__a":1}')) == {"__a": 1, "b": 2}


def test_strict() -> None:
    with pytest.raises(ValidationError):
        Function(plain, "it").bind(Raw(b'{"a":"10"}'), strict=True)


def star(*values: int) -> None: ...
def double_star(**values: int) -> None: ...
def positional(a: int, /) -> None: ...
def two_contexts(a: Context, b: Context) -> None: ...
def unresolved(a: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def no_schema(a: threading.Lock) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def callback(a: Holder) -> None: ...


@pytest.mark.parametrize("function", [star, double_star, positional, unresolved, no_schema, callback])
def test_refused(function: Any) -> None:
    with pytest.raises(InvalidSignature, match="it"):
        Function(function, "it")
