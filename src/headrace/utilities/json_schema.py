"""JSON schemas made smaller or plainer, under the names that FastMCP users know."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..components.schema_refs import inline_refs as dereference_refs
from ..components.schema_refs import map_subschemas, prune_definitions, resolve_root_ref

__all__ = ["compress_schema", "dereference_refs", "resolve_root_ref"]


def compress_schema(
    schema: dict[str, Any],
    prune_params: Iterable[str] | None = None,
    prune_defs: bool = True,
    prune_additional_properties: bool = False,
    prune_titles: bool = False,
    dereference: bool = False,
) -> dict[str, Any]:
    """The schema without these properties, unused definitions, ``additionalProperties: false`` or titles.

    `dereference` inlines references (see `dereference_refs`). The schema that is given stays as it is.
    """
    schema = dereference_refs(schema) if dereference else resolve_root_ref(schema)
    for name in prune_params or ():
        schema = _without_property(schema, name)
    if prune_additional_properties or prune_titles:
        schema = _stripped(schema, prune_additional_properties, prune_titles)
    return prune_definitions(schema) if prune_defs else schema


def _without_property(schema: dict[str, Any], name: str) -> dict[str, Any]:
    properties: dict[str, Any] = schema.get("properties", {})
    if name not in properties:
        return schema
    result = {**schema, "properties": {key: value for key, value in properties.items() if key != name}}
    required = [key for key in schema.get("required", ()) if key != name]
    if required:
        result["required"] = required
    else:
        result.pop("required", None)
    return result


def _stripped(schema: dict[str, Any], additional: bool, titles: bool) -> dict[str, Any]:
    result = map_subschemas(schema, lambda part: _stripped(part, additional, titles))
    if titles and isinstance(result.get("title"), str):
        del result["title"]
    if additional and result.get("additionalProperties") is False:
        del result["additionalProperties"]
    return result
