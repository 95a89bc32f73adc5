"""References inlined, schemas compressed; nothing is fetched, nothing explodes, the given schema stays as it is."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from headrace.components.schema_refs import prune_definitions
from headrace.utilities.json_schema import compress_schema, dereference_refs, resolve_root_ref

from .test_json_schema_type import TREE, deep, wide

POINT = {"type": "object", "properties": {"x": {"type": "integer"}}, "title": "Point"}


def with_defs(definitions: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "$defs": definitions}


def plain(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("plain", plain(a={"type": "string"}), plain(a={"type": "string"})),
    ("once", with_defs({"P": POINT}, a={"$ref": "#/$defs/P"}), plain(a=POINT)),
    ("unused", with_defs({"P": POINT}, a={"type": "string"}), plain(a={"type": "string"})),
    (
        "nested, in a list",
        with_defs({"P": POINT, "L": {"type": "array", "items": {"$ref": "#/$defs/P"}}}, a={"$ref": "#/$defs/L"}),
        plain(a={"type": "array", "items": POINT}),
    ),
    (
        "a note beside it wins",
        with_defs({"P": POINT}, a={"$ref": "#/$defs/P", "title": "Here", "default": {"x": 1}}),
        plain(a={**POINT, "title": "Here", "default": {"x": 1}}),
    ),
    (
        "a rule beside it holds as well",
        with_defs({"P": POINT}, a={"$ref": "#/$defs/P", "required": ["x"]}),
        plain(a={"required": ["x"], "allOf": [POINT]}),
    ),
    (
        "values are no schemas",
        with_defs({"P": POINT}, a={"default": {"$ref": "#/$defs/P"}}, **{"$ref": {"$ref": "#/$defs/P"}}),
        plain(a={"default": {"$ref": "#/$defs/P"}}, **{"$ref": POINT}),
    ),
    ("definitions of old", {"$ref": "#/definitions/P", "definitions": {"P": POINT}}, POINT),
    ("a name with a slash", with_defs({"a/b c": POINT}, a={"$ref": "#/$defs/a~1b%20c"}), plain(a=POINT)),
    ("false", with_defs({"No": False}, a={"$ref": "#/$defs/No"}), plain(a=False)),
    (
        "a discriminator names what is gone",
        with_defs(
            {"P": POINT},
            a={"anyOf": [{"$ref": "#/$defs/P"}], "discriminator": {"propertyName": "x", "mapping": {"p": "#/$defs/P"}}},
        ),
        plain(a={"anyOf": [{**POINT, "required": ["x"]}]}),
    ),
    ("recursive: only the top", TREE, {**TREE["$defs"]["Tree"], "$defs": TREE["$defs"]}),  # type: ignore[index]
    ("nowhere", plain(a={"$ref": "#/$defs/none"}), plain(a={"$ref": "#/$defs/none"})),
    ("another document", plain(a={"$ref": "http://127.0.0.1:1/x"}), plain(a={"$ref": "http://127.0.0.1:1/x"})),
    ("itself", {"$ref": "#"}, {"$ref": "#"}),
]


@pytest.mark.parametrize(("schema", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_references_are_inlined(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    before = deepcopy(schema)
    assert dereference_refs(schema) == expected
    assert schema == before


def test_what_would_be_too_large_keeps_its_references() -> None:
    schema = wide(40)
    assert dereference_refs(schema) == {**schema["$defs"]["d0"], "$defs": schema["$defs"]}
    schema = {"type": "array", "items": deep(200), "$defs": {"P": POINT}, "contains": {"$ref": "#/$defs/P"}}
    assert dereference_refs(schema) is schema
    schema = deep(3000)
    assert dereference_refs(schema) is schema


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"$ref": "#/$defs/P", "$defs": {"P": POINT}}, {**POINT, "$defs": {"P": POINT}}),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}, None),
        ({"$ref": "#/$defs/A"}, None),
        (POINT, None),
    ],
)
def test_a_reference_at_the_top(schema: dict[str, Any], expected: dict[str, Any] | None) -> None:
    assert resolve_root_ref(schema) == (schema if expected is None else expected)


def test_definitions_that_are_used_by_others_stay() -> None:
    definitions = {"A": {"items": {"$ref": "#/$defs/B"}}, "B": {"$ref": "#/$defs/A/items"}, "C": {"$ref": "#/$defs/A"}}
    pruned = prune_definitions(with_defs(definitions, a={"$ref": "#/$defs/B/x"}))
    assert list(pruned["$defs"]) == ["A", "B"]


STRICT = {
    "type": "object",
    "title": "Top",
    "additionalProperties": False,
    "properties": {
        "title": {"type": "string", "title": "Title"},
        "ctx": {"$ref": "#/$defs/P"},
        "inner": {"type": "object", "additionalProperties": False},
    },
    "required": ["title", "ctx"],
    "$defs": {"P": POINT},
}


@pytest.mark.parametrize(
    ("options", "check"),
    [
        ({}, lambda s: s == STRICT),
        (
            {"prune_params": ["ctx"]},
            lambda s: "ctx" not in s["properties"] and s["required"] == ["title"] and "$defs" not in s,
        ),
        ({"prune_params": ["ctx", "title"]}, lambda s: "required" not in s),
        ({"prune_params": ["ctx"], "prune_defs": False}, lambda s: s["$defs"] == {"P": POINT}),
        ({"prune_params": ["none"]}, lambda s: s == STRICT),
        ({"prune_titles": True}, lambda s: "title" not in s and s["properties"]["title"] == {"type": "string"}),
        (
            {"prune_additional_properties": True},
            lambda s: "additionalProperties" not in s and s["properties"]["inner"] == {"type": "object"},
        ),
        ({"dereference": True}, lambda s: s["properties"]["ctx"] == POINT and "$defs" not in s),
    ],
)
def test_compressed(options: dict[str, Any], check: Any) -> None:
    before = deepcopy(STRICT)
    assert check(compress_schema(STRICT, **options))
    assert before == STRICT
