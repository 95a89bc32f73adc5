"""Response types -> forms -> values."""

from __future__ import annotations

import datetime
import enum
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from msgspec import Raw
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from headrace.components.elicitation import form
from headrace.exceptions import ValidationError


class Colour(enum.Enum):
    red = "red"
    blue = "blue"


@dataclass
class Person:
    name: str
    age: int = 3
    born: datetime.date | None = None


class Settings(BaseModel):
    colour: Colour = Colour.red
    size: Literal["s", "l"] = "s"
    ratio: float = Field(0.5, ge=0, le=1, description="How much")
    tags: list[Literal["a", "b"]] = []
    code: str = Field("x", pattern="^x")


class Pair(TypedDict):
    left: str
    right: bool


STRING = {"type": "string"}


@pytest.mark.parametrize(
    ("response_type", "properties", "required"),
    [
        (None, {}, None),
        (str, {"value": STRING}, ["value"]),
        (bool, {"value": {"type": "boolean"}}, ["value"]),
        (int, {"value": {"type": "integer"}}, ["value"]),
        (Literal["a", "b"], {"value": {"type": "string", "enum": ["a", "b"]}}, ["value"]),
        (Literal["a"], {"value": {"type": "string", "enum": ["a"]}}, ["value"]),
        (Colour, {"value": {"type": "string", "enum": ["red", "blue"]}}, ["value"]),
        (["a", "b"], {"value": {"type": "string", "enum": ["a", "b"]}}, ["value"]),
        ([["a", "b"]], {"value": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}}}, ["value"]),
        (
            list[Colour],
            {"value": {"type": "array", "items": {"type": "string", "enum": ["red", "blue"]}}},
            ["value"],
        ),
        (
            {"lo": {"title": "Low"}, "hi": {"title": "High"}},
            {
                "value": {
                    "type": "string",
                    "oneOf": [{"const": "lo", "title": "Low"}, {"const": "hi", "title": "High"}],
                }
            },
            ["value"],
        ),
        (
            Person,
            {
                "name": {"type": "string", "title": "Name"},
                "age": {"type": "integer", "title": "Age", "default": 3},
                "born": {"type": "string", "title": "Born", "format": "date"},
            },
            ["name"],
        ),
        (
            Settings,
            {
                "colour": {"type": "string", "title": "Colour", "enum": ["red", "blue"], "default": "red"},
                "size": {"type": "string", "title": "Size", "enum": ["s", "l"], "default": "s"},
                "ratio": {
                    "type": "number",
                    "title": "Ratio",
                    "description": "How much",
                    "minimum": 0,
                    "maximum": 1,
                    "default": 0.5,
                },
                "tags": {
                    "type": "array",
                    "title": "Tags",
                    "items": {"type": "string", "enum": ["a", "b"]},
                    "default": [],
                },
                "code": {"type": "string", "title": "Code", "default": "x"},
            },
            None,
        ),
        (
            Pair,
            {"left": {"type": "string", "title": "Left"}, "right": {"type": "boolean", "title": "Right"}},
            ["left", "right"],
        ),
        ({"type": "object", "properties": {"n": STRING}, "required": []}, {"n": STRING}, []),
    ],
)
def test_schema(response_type: Any, properties: dict[str, Any], required: list[str] | None) -> None:
    schema = form(response_type).schema
    assert schema["type"] == "object"
    assert schema["properties"] == properties
    assert schema.get("required") == required
    assert "$ref" not in str(schema)
    assert "$defs" not in schema


@dataclass
class Nested:
    inner: Person


@dataclass
class Listed:
    items: list[str] = field(default_factory=list[str])


@pytest.mark.parametrize(
    "response_type",
    [
        Nested,
        Listed,
        dict[str, int],
        list[int],
        str | int,
        Literal[1, 2],
        {"a": 1},
        {"type": "object", "properties": {"a": {"type": "object"}}},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}},
        object,
    ],
)
def test_what_no_form_can_hold(response_type: Any) -> None:
    with pytest.raises(TypeError, match="elicit"):
        form(response_type)


@pytest.mark.parametrize(
    ("response_type", "content", "value"),
    [
        (None, b"{}", {}),
        (None, b"", {}),
        (str, b'{"value":"x"}', "x"),
        (int, b'{"value":3}', 3),
        (Colour, b'{"value":"red"}', Colour.red),
        (["a", "b"], b'{"value":"b"}', "b"),
        ([["a", "b"]], b'{"value":["b"]}', ["b"]),
        (Person, b'{"name":"n","born":"2020-01-02"}', Person("n", 3, datetime.date(2020, 1, 2))),
        (Pair, b'{"left":"l","right":true}', {"left": "l", "right": True}),
        ({"type": "object", "properties": {"n": STRING}}, b'{"n":"x"}', {"n": "x"}),
    ],
)
def test_read(response_type: Any, content: bytes, value: Any) -> None:
    assert form(response_type).read(Raw(content)) == value


@pytest.mark.parametrize(
    ("response_type", "content"),
    [
        (str, b"{}"),
        (str, b""),
        (int, b'{"value":"x"}'),
        (["a", "b"], b'{"value":"c"}'),
        (Person, b"{}"),
        (Settings, b'{"ratio":2}'),
        (Settings, b'{"code":"y"}'),
        ({"type": "object", "properties": {"n": STRING}, "required": ["n"]}, b"{}"),
    ],
)
def test_answers_that_do_not_fit(response_type: Any, content: bytes) -> None:
    with pytest.raises(ValidationError, match="does not fit"):
        form(response_type).read(Raw(content))
