"""What the documentation's servers are called with: values made from schemas and templates, always the same ones."""

from __future__ import annotations

import json
import re
from typing import Any, cast

__all__ = ["for_prompt", "for_schema", "for_tool", "for_uri_template"]

_FORMATS = {
    "date": "2024-05-06",
    "date-time": "2024-05-06T07:08:09Z",
    "time": "07:08:09Z",
    "duration": "PT5S",
    "email": "someone@example.com",
    "uri": "https://example.com/page",
    "uuid": "12345678-1234-5678-1234-567812345678",
    "binary": "sample",
    "base64url": "c2FtcGxl",
    "path": "sample.txt",
    "ipv4": "127.0.0.1",
}
_WORDS = ["sample", "samples", "a", "A", "1", "12", "123", "ABC", "AB-12", "ABC-123", "sample_1", "a@example.com"]


def for_tool(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The argument sets of a tool: all properties, only the required ones, and none where some are required."""
    properties: dict[str, Any] = schema.get("properties") or {}
    required = [name for name in cast("list[str]", schema.get("required") or []) if name in properties]
    every = {name: for_schema(sub, schema) for name, sub in properties.items()}
    sets = [every]
    for other in ({name: every[name] for name in required}, {}):
        if other not in sets:
            sets.append(other)
    return sets


def for_prompt(arguments: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The argument sets of a prompt: all, and only the required ones. Texts name the JSON schema of a typed one."""
    every: dict[str, str] = {}
    for argument in arguments:
        value: Any = "sample"
        text = str(argument.get("description") or "")
        start = text.find("{")
        if "JSON" in text and start >= 0:
            schema: Any = json.JSONDecoder().raw_decode(text[start:])[0]
            value = for_schema(schema, schema)
        every[argument["name"]] = value if isinstance(value, str) else json.dumps(value)
    required = {argument["name"]: every[argument["name"]] for argument in arguments if argument.get("required")}
    return [every] if required == every else [every, required]


def for_uri_template(template: str) -> list[str]:
    """URIs that the template matches: with its query parameters, and without them."""

    def fill(match: re.Match[str]) -> str:
        expression = match[1]
        if expression.startswith("?"):
            return "?" + "&".join(f"{name.strip('*')}=1" for name in expression[1:].split(","))
        return "1/2" if expression.endswith("*") else "1"

    bare = re.sub(r"\{\?[^}]*\}", "", template)
    filled = [re.sub(r"\{([^}]*)\}", fill, each) for each in (template, bare)]
    return filled if filled[0] != filled[1] else filled[:1]


def for_schema(schema: Any, root: dict[str, Any], depth: int = 0) -> Any:
    """One value that the schema allows, as far as this simple reading of it goes."""
    if not isinstance(schema, dict) or depth > 12:
        return "sample"
    schema = cast("dict[str, Any]", schema)
    if "$ref" in schema:
        target: Any = root
        for step in str(schema["$ref"]).removeprefix("#/").split("/"):
            target = target.get(step, {})
        return for_schema(target, root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for name in ("anyOf", "oneOf"):
        if schema.get(name):
            options = [option for option in schema[name] if option.get("type") != "null"] or [{"type": "null"}]
            return for_schema(options[0], root, depth + 1)
    if schema.get("allOf"):
        return for_schema(schema["allOf"][0], root, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "any")
    if isinstance(kind, list):
        kind = next((each for each in cast("list[str]", kind) if each != "null"), "null")
    if kind == "object":
        properties: dict[str, Any] = schema.get("properties") or {}
        return {name: for_schema(sub, root, depth + 1) for name, sub in properties.items()}
    if kind == "array":
        if schema.get("prefixItems"):
            return [for_schema(item, root, depth + 1) for item in schema["prefixItems"]]
        return [for_schema(schema.get("items", {}), root, depth + 1)] * max(1, schema.get("minItems", 1))
    if kind in ("integer", "number"):
        return _number(schema, whole=kind == "integer")
    return {"boolean": True, "null": None}[kind] if kind in ("boolean", "null") else _text(schema)


def _number(schema: dict[str, Any], *, whole: bool) -> int | float:
    step = schema.get("multipleOf", 1)
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    value: float = 3 if whole else 1.5
    if "multipleOf" in schema:
        value = step
    if low is not None and value <= low:
        value = low + step
    if high is not None and value >= high:
        value = high if low is None or high - step <= low else high - step
        if "exclusiveMaximum" in schema and value == high:
            value = (low + high) / 2 if low is not None else high - step
    return int(value) if whole else value


def _text(schema: dict[str, Any]) -> str:
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength", 10_000)
    words = [word.ljust(shortest, "x")[:longest] for word in _WORDS]
    pattern = schema.get("pattern")
    return next((word for word in words if not pattern or re.search(pattern, word)), words[0])
