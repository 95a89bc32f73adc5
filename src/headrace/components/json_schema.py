"""JSON schemas: written by pydantic from types, or given by hand and checked with jsonschema-rs.

A ``$ref`` is never fetched, and patterns run on the engine that takes linear time.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
import pydantic
from msgspec import Raw
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

from ..exceptions import ValidationError

__all__ = ["JsonSchema", "SchemaWriter", "describe_errors"]

_MAX_ERRORS = 20


class SchemaWriter(GenerateJsonSchema):
    """JSON schemas without the titles that pydantic makes of field names, which tell a model nothing."""

    ignored_warning_kinds: ClassVar[set[JsonSchemaWarningKind]] = {"skipped-choice", "non-serializable-default"}  # pyright: ignore[reportIncompatibleVariableOverride]

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


class JsonSchema:
    """A compiled schema. Raises ValueError for one that is none, or that refers to another document."""

    __slots__ = ("_validator", "schema")

    def __init__(self, schema: dict[str, Any], label: str) -> None:
        # A doorway: servers whose schemas all come from signatures do without the validator.
        import jsonschema_rs

        self.schema = schema
        try:
            self._validator = jsonschema_rs.validator_for(
                schema, retriever=_never, pattern_options=jsonschema_rs.RegexOptions()
            )
        except Exception as error:  # the library's own errors have no common root
            raise ValueError(f"{label}: not a usable JSON schema: {error}") from error

    def check(self, value: Any, what: str) -> None:
        """Raises ValidationError with one line per error."""
        lines: list[str] = []
        for error in self._validator.iter_errors(value):
            path = ".".join(str(step) for step in error.instance_path)
            lines.append(f"{path}: {error.message}" if path else error.message)
            if len(lines) == _MAX_ERRORS:
                break
        if lines:
            raise ValidationError(f"{what}:\n" + "\n".join(lines))

    def decode(self, body: Raw, what: str) -> dict[str, Any]:
        """The JSON object, checked. Raises ValidationError."""
        try:
            value: Any = msgspec.json.decode(body) if body else None
        except msgspec.DecodeError as error:  # JSON it is, so a number is too big
            raise ValidationError(f"{what}: {error}") from None
        if value is None:
            value = dict[str, Any]()
        if not isinstance(value, dict):
            raise ValidationError(f"{what}: not an object")
        self.check(value, what)
        return value  # pyright: ignore[reportUnknownVariableType] - JSON


def describe_errors(error: pydantic.ValidationError) -> str:
    """One line per field: ``path: what is wrong``."""
    lines: list[str] = []
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        path = ".".join(str(step) for step in item["loc"])
        if item["type"] in ("missing_keyword_only_argument", "missing_argument", "missing"):
            message = "required, but missing"
        elif item["type"] == "unexpected_keyword_argument":
            message = "no such argument"
        else:
            message = item["msg"]
        lines.append(f"{path}: {message}" if path else message)
    return "\n".join(lines)


def _never(uri: str) -> Any:
    raise ValueError(f"$ref to another document is not followed: {uri}")
