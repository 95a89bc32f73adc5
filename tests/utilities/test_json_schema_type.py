"""JSON schema -> Python type: what pydantic takes and refuses, and what it makes of it."""

from __future__ import annotations

from dataclasses import is_dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal, Optional
from uuid import UUID

import pydantic
import pytest
from pydantic import TypeAdapter

from headrace.utilities.json_schema_type import json_schema_to_type

REFUSED = object()
PERSON = {
    "type": "object",
    "title": "Person",
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "age": {"type": "integer", "minimum": 0},
        "tags": {"type": "array", "items": {"type": "string"}, "default": ["new"]},
        "e-mail": {"type": "string", "format": "email"},
    },
    "required": ["name"],
}
TREE = {
    "$ref": "#/$defs/Tree",
    "$defs": {
        "Tree": {
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}},
            },
            "required": ["value"],
        }
    },
}
JSON = {
    "$ref": "#/$defs/Json",
    "$defs": {"Json": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"$ref": "#/$defs/Json"}}]}},
}
SHAPES = {
    "oneOf": [
        {"$ref": "#/$defs/Circle"},
        {
            "type": "object",
            "properties": {"kind": {"const": "square"}, "side": {"type": "number"}},
            "required": ["kind"],
        },
    ],
    "$defs": {
        "Circle": {
            "type": "object",
            "properties": {"kind": {"const": "circle"}, "radius": {"type": "number"}},
            "required": ["kind", "radius"],
        }
    },
}


def made(schema: Any, value: Any) -> Any:
    try:
        return TypeAdapter(json_schema_to_type(schema)).validate_python(value)
    except pydantic.ValidationError:
        return REFUSED


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"type": "string"}, "a", "a"),
        ({"type": "string"}, 1, REFUSED),
        ({"type": "string", "minLength": 2, "maxLength": 3}, "a", REFUSED),
        ({"type": "string", "pattern": "^a+$"}, "aa", "aa"),
        ({"type": "string", "pattern": "^a+$"}, "ab", REFUSED),
        ({"type": "string", "pattern": "(?=a)b"}, "c", "c"),  # look-around is not checked
        ({"type": "string", "format": "date-time"}, "2024-01-02T03:04:05Z", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ({"type": "string", "format": "date"}, "2024-01-02", date(2024, 1, 2)),
        ({"type": "string", "format": "uuid"}, "0" * 32, UUID("0" * 32)),
        ({"type": "string", "format": "email"}, "a@b.example", "a@b.example"),
        ({"type": "integer", "minimum": 1, "exclusiveMaximum": 3}, 2, 2),
        ({"type": "integer", "minimum": 1, "exclusiveMaximum": 3}, 3, REFUSED),
        ({"type": "number", "multipleOf": 0.5}, 1.5, 1.5),
        ({"type": "number", "multipleOf": 0.5}, 1.2, REFUSED),
        ({"type": "boolean"}, True, True),
        ({"type": "null"}, None, None),
        ({"type": "null"}, 0, REFUSED),
        ({"type": ["string", "null"]}, None, None),
        ({"type": ["string", "integer"]}, 1, 1),
        ({"type": ["string", "integer"]}, 1.5, REFUSED),
        ({}, {"any": 1}, {"any": 1}),
        (True, 1, 1),
        (False, 1, REFUSED),
        ({"const": "a"}, "a", "a"),
        ({"const": "a"}, "b", REFUSED),
        ({"const": {"x": True}}, {"x": 1}, REFUSED),
        ({"enum": ["a", 1, None]}, None, None),
        ({"enum": ["a", 1, None]}, "c", REFUSED),
        ({"enum": [1.5, [1]]}, [1], [1]),
        ({"enum": [1.5, [1]]}, [True], REFUSED),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 1}, [1], [1]),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 1}, [], REFUSED),
        ({"type": "array", "items": {"type": "integer"}, "uniqueItems": True}, [1, 2], {1, 2}),
        ({"type": "array", "items": {"type": "object"}, "uniqueItems": True}, [{"a": 1}, {"a": 1}], REFUSED),
        ({"type": "array", "prefixItems": [{"type": "integer"}, {}], "minItems": 2, "maxItems": 2}, [1, "a"], (1, "a")),
        ({"type": "array", "prefixItems": [{"type": "integer"}, {}], "minItems": 2, "maxItems": 2}, [1], REFUSED),
        ({"type": "array", "items": [{"type": "integer"}], "additionalItems": False}, [1], (1,)),
        ({"type": "array", "prefixItems": [{"type": "integer"}]}, [1, "more"], [1, "more"]),
        ({"type": "object"}, {"a": 1}, {"a": 1}),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, {"a": 1}, {"a": 1}),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, {"a": "x"}, REFUSED),
        ({"type": "object", "additionalProperties": False}, {"a": 1}, REFUSED),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": False}, {"b": 1}, REFUSED),
        (PERSON, {"name": ""}, REFUSED),
        (PERSON, {"age": 1}, REFUSED),
        (PERSON, {"name": "Ada", "age": -1}, REFUSED),
        (TREE, {"value": 1, "children": [{"value": "x"}]}, REFUSED),
        (JSON, ["a", ["b", []]], ["a", ["b", []]]),
        (JSON, ["a", [1]], REFUSED),
        ({"$ref": "#"}, 1, 1),
        ({"allOf": [{"$ref": "#"}]}, 1, 1),
    ],
)
def test_values(schema: Any, value: Any, expected: Any) -> None:
    found = made(schema, value)
    assert found is REFUSED if expected is REFUSED else (found, type(found)) == (expected, type(expected))


def test_an_object_is_a_dataclass() -> None:
    person: Any = json_schema_to_type(PERSON)
    assert person.__name__ == "Person"
    ada = TypeAdapter(person).validate_python({"name": "Ada", "e-mail": "a@b", "unknown": 1})
    assert (ada.name, ada.age, ada.tags, ada.e_mail, ada.unknown) == ("Ada", None, ["new"], "a@b", 1)
    assert person(name="Bob").tags is not person(name="Eve").tags
    assert TypeAdapter(person).dump_python(person(name="Bob", e_mail="b@c"), by_alias=True)["e-mail"] == "b@c"
    assert json_schema_to_type(PERSON, name="Human").__name__ == "Human"
    assert is_dataclass(person)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "integer"}, int),
        ({"type": "array", "items": {"type": "string"}}, list[str]),
        ({"type": ["string", "null"]}, Optional[str]),  # noqa: UP045 - the same type
        ({"enum": ["a", "b"]}, Literal["a", "b"]),
    ],
)
def test_plain_types_are_plain(schema: Any, expected: Any) -> None:
    assert json_schema_to_type(schema) == expected


def test_objects_inside_of_objects() -> None:
    tree = made(TREE, {"value": 1, "children": [{"value": 2, "children": [{"value": 3}]}]})
    assert tree.children[0].children[0].value == 3
    assert type(tree.children[0]) is type(tree)
    circle, square = made(SHAPES, {"kind": "circle", "radius": 1}), made(SHAPES, {"kind": "square", "side": 2})
    assert (type(circle).__name__, circle.radius, square.side) == ("Circle", 1, 2)
    inner = {"type": "object", "properties": {"b": {"type": "integer"}}, "default": {"b": 4}}
    assert made({"type": "object", "properties": {"a": inner}}, {}).a.b == 4


def test_all_of_is_one_type() -> None:
    schema = {
        "title": "Employee",
        "allOf": [{"$ref": "#/$defs/Named"}, {"properties": {"pay": {"type": "integer"}}, "required": ["pay"]}],
        "$defs": {"Named": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
    }
    employee = made(schema, {"name": "Ada", "pay": 1})
    assert (type(employee).__name__, employee.name, employee.pay) == ("Employee", "Ada", 1)
    assert made(schema, {"name": "Ada"}) is REFUSED


@pytest.mark.parametrize(
    "name", ["class", "a-b", "1st", "__init__", "__class__", "", " ", "self", "é", "x" * 500, "_a"]
)
def test_any_name(name: str) -> None:
    schema = {"type": "object", "title": name, "properties": {name: {"type": "integer"}, "a_b": {}}, "required": [name]}
    value = made(schema, {name: 7})
    assert TypeAdapter(type(value)).dump_python(value, by_alias=True)[name] == 7
    assert type(value).__init__ is not object.__init__


def wide(levels: int) -> dict[str, Any]:
    """Each level refers to the next one twice: without references it would be 2 to the power of levels long."""
    definitions: dict[str, Any] = {
        f"d{level}": {"type": "object", "properties": {side: {"$ref": f"#/$defs/d{level + 1}"} for side in "ab"}}
        for level in range(levels)
    }
    return {"$ref": "#/$defs/d0", "$defs": {**definitions, f"d{levels}": {"type": "integer"}}}


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (deep(100), "too deep"),
        (deep(5000), "too deep"),
        ({"anyOf": [{"type": "integer"}] * 6000}, "too large"),
        ({"$ref": "#/$defs/none"}, "leads nowhere"),
        ({"$ref": "http://127.0.0.1:1/schema"}, "no reference into this schema"),
        ({"$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}, {"type": "object"}]}}, "$ref": "#/$defs/a"}, "circle|deep"),
        ({"type": "strange"}, "strange"),
        ({"enum": 3}, "not iterable"),
        ({"type": "object", "properties": [1]}, "items"),
        ({"type": "object", "properties": {"a": {}}, "required": [{}]}, "unhashable"),
        ({"type": "array", "items": {"type": "object", "properties": {"a": 1}}}, "a schema is an object"),
    ],
)
def test_schemas_that_make_no_type(schema: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        json_schema_to_type(schema)


def test_merging_is_bounded() -> None:
    definitions = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)}
    with pytest.raises(ValueError, match="too large"):
        json_schema_to_type({"$ref": "#/$defs/d0", "$defs": {**definitions, "d40": {"type": "object"}}})


@pytest.mark.parametrize("pattern", ["(a{1000}){1000}", r"(\w{900}){900}", "a{1000000}" * 50])
def test_patterns_that_would_be_large_are_not_checked(pattern: str) -> None:
    assert made({"type": "array", "items": {"type": "string", "pattern": pattern}}, ["b"]) == ["b"]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "minLength": -1},
        {"type": "string", "maxLength": float("inf")},
        {"type": "integer", "multipleOf": 0},
        {"type": "number", "maximum": 10**400},
        {"type": "integer", "minimum": "a"},
    ],
)
def test_bounds_that_are_none(schema: Any) -> None:
    assert made(schema, "" if schema["type"] == "string" else 1) is not REFUSED


def test_what_is_shared_is_built_once() -> None:
    assert made(wide(25), {"a": {"b": {"a": {}}}}).a.b.a.a is None


def test_only_objects_get_a_name() -> None:
    with pytest.raises(ValueError, match="Only an object"):
        json_schema_to_type({"type": "string"}, name="Text")
