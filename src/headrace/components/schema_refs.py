"""References inside a JSON schema: followed, inlined, and what nobody refers to left out.

Only references into the same document (``#``, ``#/$defs/Name``) are followed; nothing is ever fetched. Schemas may
come from a stranger, so what inlining makes of them is bounded. No function changes the schema it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast
from urllib.parse import unquote

import msgspec

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "inline_refs",
    "map_subschemas",
    "prune_definitions",
    "resolve",
    "resolve_root_ref",
    "subschemas",
]

MAX_BYTES = 250_000
"""The JSON of an inlined schema is at most about this long."""
MAX_DEPTH = 64
"""Schemas inside of schemas."""
_MAX_HOPS = 32

_MAPS = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLE = (
    "items",
    "additionalItems",
    "additionalProperties",
    "unevaluatedItems",
    "unevaluatedProperties",
    "propertyNames",
    "contains",
    "contentSchema",
    "not",
    "if",
    "then",
    "else",
)
_INSIDE = frozenset((*_LISTS, *_SINGLE))
_DEFINITIONS = ("$defs", "definitions")
# Beside a reference these say something about the place, not about the values: they may stand in the target itself.
_NOTES = frozenset(
    ("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment", *_DEFINITIONS)
)


class _CannotInlineError(Exception):
    """A reference that leads nowhere or in a circle, or a result that is too large."""


def map_subschemas(schema: dict[str, Any], change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """A copy in which every schema directly inside is what `change` makes of it; values (``default``) stay."""

    def changed(value: Any) -> Any:
        return change(cast("dict[str, Any]", value)) if isinstance(value, dict) else value

    copy: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword in _MAPS and isinstance(value, dict):
            copy[keyword] = {name: changed(part) for name, part in cast("dict[str, Any]", value).items()}
        elif isinstance(value, list) and (keyword in _LISTS or keyword == "items"):
            copy[keyword] = [changed(part) for part in cast("list[Any]", value)]
        elif keyword in _SINGLE:
            copy[keyword] = changed(value)
        else:
            copy[keyword] = value
    return copy


def subschemas(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schema itself and every schema in it, however deep."""
    waiting = [schema]
    while waiting:
        current = waiting.pop()
        yield current
        map_subschemas(current, waiting.append)


def resolve(root: dict[str, Any], reference: Any) -> dict[str, Any] | bool:
    """The schema that a reference into `root` names. Raises LookupError where there is none."""
    if not isinstance(reference, str) or (reference != "#" and not reference.startswith("#/")):
        raise LookupError(f"no reference into this schema: {reference!r}")
    node: Any = root
    for part in unquote(reference[1:]).split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(node, list) and key.isdecimal():
            node = cast("list[Any]", node)[int(key)]
        elif isinstance(node, dict) and key in node:
            node = cast("dict[str, Any]", node)[key]
        else:
            raise LookupError(f"the reference {reference!r} leads nowhere")
    if not isinstance(node, dict | bool):
        raise LookupError(f"the reference {reference!r} leads to no schema")
    return cast("dict[str, Any] | bool", node)


def inline_refs(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without references: each is replaced by what it refers to, and the definitions are gone.

    A schema that refers to itself, to what is not there or to another document, or that would become too large keeps
    its references and definitions; only one at its very top is resolved.
    """
    if not any("$ref" in part for part in subschemas(schema)):
        return prune_definitions(schema)
    try:
        return _Inliner(schema).inlined()
    except (_CannotInlineError, LookupError):
        return resolve_root_ref(schema)


def resolve_root_ref(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with a reference at its top followed, so that its ``type`` is seen there; definitions stay."""
    result = schema
    for _ in range(_MAX_HOPS):
        if "$ref" not in result:
            return result
        try:
            target = resolve(schema, result["$ref"])
        except LookupError:
            break
        if target is schema or not isinstance(target, dict):
            break
        result = _beside({key: value for key, value in result.items() if key != "$ref"}, target)
    return schema


def prune_definitions(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without the definitions at its top that nothing refers to, directly or by way of others."""
    rest = {key: value for key, value in schema.items() if key not in _DEFINITIONS}
    if len(rest) == len(schema):
        return schema
    used: set[tuple[str, str]] = set()
    waiting: list[Any] = [rest]
    while waiting:
        for part in subschemas(waiting.pop()):
            path = str(part.get("$ref", "")).split("/")
            if path[0] == "#" and len(path) > 2 and path[1] in _DEFINITIONS:
                named = (path[1], unquote(path[2]).replace("~1", "/").replace("~0", "~"))
                if named not in used:
                    used.add(named)
                    definition = schema.get(named[0], {}).get(named[1])
                    waiting.extend([definition] if isinstance(definition, dict) else [])
    for keyword in _DEFINITIONS:
        kept = {name: part for name, part in schema.get(keyword, {}).items() if (keyword, name) in used}
        if kept:
            rest[keyword] = kept
    return rest


class _Inliner:
    """One schema on its way. A target is inlined anew wherever it is referred to; `MAX_BYTES` bounds all of it."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._bytes = 0
        self._open: list[str] = []

    def inlined(self) -> dict[str, Any]:
        result = self._schema({key: value for key, value in self._root.items() if key not in _DEFINITIONS}, 0)
        return cast("dict[str, Any]", result) if isinstance(result, dict) else {"allOf": [result]}

    def _schema(self, schema: dict[str, Any], depth: int) -> Any:
        if depth > MAX_DEPTH or "$id" in schema or "$dynamicRef" in schema:
            raise _CannotInlineError
        self._count(schema)
        result: Any = map_subschemas(schema, lambda part: self._schema(part, depth + 1))
        for keyword in _DEFINITIONS:
            result.pop(keyword, None)
        if "$ref" in schema:
            del result["$ref"]
            result = self._followed(schema["$ref"], result, depth)
        return _without_discriminator(cast("dict[str, Any]", result)) if isinstance(result, dict) else result

    def _followed(self, reference: str, beside: dict[str, Any], depth: int) -> Any:
        if reference in self._open:
            raise _CannotInlineError
        target = resolve(self._root, reference)
        if not isinstance(target, dict):
            return {**beside, "allOf": [*beside.get("allOf", ()), target]} if beside else target
        self._open.append(reference)
        try:
            return _beside(beside, self._schema(target, depth + 1))
        finally:
            self._open.pop()

    def _count(self, schema: dict[str, Any]) -> None:
        # The schemas in it count for themselves.
        own = {key: list(value) if key in _MAPS else None if key in _INSIDE else value for key, value in schema.items()}
        self._bytes += len(msgspec.json.encode(own))
        if self._bytes > MAX_BYTES:
            raise _CannotInlineError


def _beside(beside: dict[str, Any], target: Any) -> Any:
    """What a reference with these members beside it means: notes of the place win, rules of both hold."""
    if not isinstance(target, dict):
        return {**beside, "allOf": [*beside.get("allOf", ()), target]} if beside else target
    schema = cast("dict[str, Any]", target)
    if beside.keys() <= _NOTES:
        return {**schema, **beside}
    return {**beside, "allOf": [*beside.get("allOf", ()), schema]}


def _without_discriminator(schema: dict[str, Any]) -> dict[str, Any]:
    """OpenAPI's ``discriminator`` names definitions, which are gone; its tag stays required, as its reader needs it."""
    mark: Any = schema.get("discriminator")
    if not isinstance(mark, dict) or not ("anyOf" in schema or "oneOf" in schema):
        return schema
    tag = cast("dict[str, Any]", mark).get("propertyName")
    result = {key: value for key, value in schema.items() if key != "discriminator"}
    for key in ("anyOf", "oneOf"):
        if key in result:
            result[key] = [_requiring(variant, tag) for variant in result[key]]
    return result


def _requiring(variant: Any, tag: Any) -> Any:
    if not isinstance(variant, dict) or not isinstance(tag, str):
        return cast("Any", variant)
    schema = cast("dict[str, Any]", variant)
    required: list[str] = schema.get("required", [])
    return schema if tag in required else {**schema, "required": [*required, tag]}
