"""`json_schema_to_type`: a Python type that pydantic validates, out of a JSON schema."""

from __future__ import annotations

from ..components.json_types import JSONSchema, json_schema_to_type

__all__ = ["JSONSchema", "json_schema_to_type"]
