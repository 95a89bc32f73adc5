"""Text that a user typed, as the JSON value that a schema asks for."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, cast

from ..components.schema_refs import inline_refs

__all__ = ["json_value", "properties_of", "required_in", "types_in", "value_of", "without_references"]

_WORDS = {"true": True, "yes": True, "false": False, "no": False}
_NAMES = {
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "array": "a JSON array",
    "object": "a JSON object",
    "null": "null",
}


def value_of(text: str, schema: Any) -> Any:
    """The text itself wherever the schema allows text. Raises ValueError, whose message follows a name: ``is no ...``.

    `schema` is one `without_references`.
    """
    types = types_in(schema)
    if not types or "string" in types:
        return text
    if "boolean" in types and text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        value = json_value(text)
    except ValueError:
        value = text
    if isinstance(value, float) and value.is_integer() and "number" not in types:
        value = int(value)
    if types & _types_of(value):
        return value
    if "array" in types:  # one item, as it is typed
        return [value_of(text, cast("dict[str, Any]", schema).get("items"))]
    raise ValueError(f"is not {' or '.join(_NAMES.get(name, name) for name in sorted(types))}: {text!r}")


def without_references(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with its references followed; as it is where the server sent what is none."""
    try:
        return inline_refs(schema)
    except (AttributeError, TypeError):
        return schema


def properties_of(schema: Any) -> dict[str, Any]:
    """None where what the server sent is no object of them."""
    found: Any = cast("dict[str, Any]", schema).get("properties") if isinstance(schema, dict) else None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def required_in(schema: dict[str, Any]) -> list[Any]:
    found: Any = schema.get("required")
    return cast("list[Any]", found) if isinstance(found, list) else []


def types_in(schema: Any) -> set[str]:
    """The JSON types that a schema allows; none where it does not say."""
    if not isinstance(schema, dict):
        return set()
    schema = cast("dict[str, Any]", schema)
    said: Any = schema.get("type")
    if said is not None:
        names: list[Any] = cast("list[Any]", said) if isinstance(said, list) else [said]
        return {name for name in names if isinstance(name, str)}
    if "const" in schema:
        return _types_of(schema["const"])
    if isinstance(schema.get("enum"), list):
        return _joined(_types_of(value) for value in schema["enum"])
    for keyword in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(keyword), list):
            parts = [types_in(part) for part in schema[keyword]]
            if keyword == "allOf":
                parts = [part for part in parts if part][:1]
            return _joined(parts) if all(parts) else set()
    return {"object"} if "properties" in schema else set()


def json_value(text: str) -> Any:
    """Raises ValueError for what is no JSON."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _joined(parts: Iterable[set[str]]) -> set[str]:
    return set[str]().union(*parts)


def _types_of(value: Any) -> set[str]:
    if value is None:
        return {"null"}
    if isinstance(value, bool):
        return {"boolean"}
    if isinstance(value, int):
        return {"integer", "number"}
    if isinstance(value, float):
        return {"number"}
    return {"string"} if isinstance(value, str) else {"array"} if isinstance(value, list) else {"object"}


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")
