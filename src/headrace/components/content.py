"""Return values -> content blocks and structured content.

Structured content is made from the return annotation: pydantic checks the value and writes its JSON, once; the
text block carries the same JSON for clients that know no structured content.
"""

from __future__ import annotations

import inspect
from typing import Annotated, Any, Union, cast, get_args, get_origin

import msgspec
import pydantic
import pydantic_core
from msgspec import UNSET, Raw
from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError

from ..exceptions import ValidationError
from ..protocol.jsonrpc import encode
from ..protocol.types import (
    AudioContent,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    InputRequiredResult,
    ResourceContents,
    ResourceLink,
    TextContent,
)
from ..types import Audio, File, Image, ToolResult
from .injection import is_union
from .json_schema import JsonSchema, SchemaWriter, describe_errors
from .sdk import from_sdk, is_sdk

__all__ = ["PLAIN", "WRAPPED", "Output", "block", "blocks", "explicit", "json_bytes", "tool_result"]

WRAPPED = "x-fastmcp-wrap-result"
"""Marks an output schema whose value stands under ``result`` because it is no object."""

_BLOCKS = (TextContent, ImageContent, AudioContent, ResourceLink, EmbeddedResource)
_MEDIA = (*_BLOCKS, ResourceContents, Image, Audio, File, bytes)
PLAIN = frozenset({str, int, float, bool, dict, list, type(None)})
"""What most tools return: neither a result of its own nor one of the SDK's."""
_new = msgspec.StructMeta.__call__  # a struct of ours, without the look at how its members are spelled
_WITHOUT_SCHEMA: tuple[Any, ...] = (*_MEDIA, ToolResult, InputRequiredResult, CallToolResult)


class Output:
    """The output schema of a tool and what makes structured content of its values."""

    __slots__ = ("_checked", "_exact", "_serialize", "_validate", "schema", "wrapped")

    def __init__(
        self,
        schema: dict[str, Any],
        *,
        adapter: TypeAdapter[Any] | None = None,
        exact: type | None = None,
        checked: JsonSchema | None = None,
    ) -> None:
        """`exact`: a plain type whose values need no look at them."""
        self.schema = schema
        self.wrapped: bool = schema.get(WRAPPED) is True
        self._validate = None if adapter is None else adapter.validator.validate_python
        self._serialize = None if adapter is None else adapter.serializer.to_json
        self._exact = exact
        self._checked = checked

    @classmethod
    def from_annotation(cls, annotation: Any) -> Output | None:
        """None where the annotation says nothing, or says content."""
        if is_union(annotation):  # what a call is answered with meanwhile is no result of it
            annotation = Union[tuple(part for part in get_args(annotation) if not _is_question(part))]  # noqa: UP007
        if annotation in (inspect.Parameter.empty, None, type(None), Any, object) or _is_content(annotation):
            return None
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(annotation)
            schema = adapter.json_schema(mode="serialization", schema_generator=SchemaWriter)
        except (PydanticUserError, NameError, TypeError):
            return None  # a type that pydantic does not know: text only
        return cls(_as_object(schema), adapter=adapter, exact=annotation if annotation in (int, str, bool) else None)

    @classmethod
    def from_schema(cls, schema: dict[str, Any], label: str) -> Output:
        """An output schema given by hand. Raises ValueError for one that is none."""
        return cls(schema, checked=JsonSchema(schema, label))

    @property
    def given(self) -> bool:
        """Whether the schema was given by hand."""
        return self._checked is not None

    def write(self, value: Any) -> bytes:
        """The JSON of a value. Raises ValidationError for one that the schema does not allow."""
        if self._validate is None or self._serialize is None:
            return json_bytes(value)
        try:
            return self._serialize(self._validate(value), by_alias=True, fallback=_fallback)
        except pydantic.ValidationError as error:
            raise ValidationError(
                f"the returned value does not fit the return annotation:\n{describe_errors(error)}"
            ) from None

    def result(self, value: Any) -> CallToolResult:
        """A value as structured content, and as text for clients that know no other. Raises ValidationError."""
        json = encode(value) if value.__class__ is self._exact else self.write(value)
        content = [] if value is None else [_new(TextContent, text=value if isinstance(value, str) else json.decode())]
        return CallToolResult(content=content, structured_content=self.structured(json))

    def structured(self, json: bytes) -> Raw:
        """Structured content from the JSON of a value. Raises ValidationError as `check` does."""
        structured = Raw(b'{"result":%b}' % json) if self.wrapped else Raw(json)
        if self._checked is not None:
            self.check(structured)
        return structured

    def check(self, structured: Raw) -> None:
        """Raises ValidationError for structured content that a schema given by hand does not allow."""
        if self._checked is not None:
            self._checked.check(
                msgspec.json.decode(structured), "the structured content does not fit the output schema"
            )


def tool_result(value: Any, output: Output | None) -> CallToolResult | InputRequiredResult:
    """What a tool returned as its result. Raises ValidationError for a value that does not fit its schema."""
    if output is not None and value.__class__ in PLAIN:
        return output.result(value)
    if isinstance(value, ToolResult):
        return _explicit(value, output)
    value = from_sdk(value)
    if isinstance(value, InputRequiredResult | CallToolResult):
        return value
    if output is not None:
        return output.result(value)
    if value is None:
        return CallToolResult(content=[])
    if isinstance(value, str):
        return CallToolResult(content=[TextContent(text=value)])
    if isinstance(value, _MEDIA) or _has_media(value):
        return CallToolResult(content=blocks(value))
    json = json_bytes(value)
    return CallToolResult(
        content=[TextContent(text=json.decode())],
        structured_content=Raw(json) if json[:1] == b"{" else UNSET,
    )


def _explicit(result: ToolResult, output: Output | None) -> CallToolResult:
    structured: Any = UNSET
    if result.structured_content is not None:
        structured = Raw(json_bytes(result.structured_content))
        if output is not None:
            output.check(structured)
    if result.content is None:
        content: list[ContentBlock] = [TextContent(text=bytes(structured).decode())]
    else:
        content = blocks(result.content)
    return CallToolResult(
        content=content, structured_content=structured, meta=result.meta, is_error=result.is_error or None
    )


def explicit(result: CallToolResult) -> ToolResult:
    """A result as users see it who call a tool themselves."""
    structured = result.structured_content
    return ToolResult(
        content=result.content,
        structured_content=msgspec.json.decode(structured) if isinstance(structured, Raw) else None,
        meta=result.meta,
        is_error=bool(result.is_error),
    )


def blocks(value: Any) -> list[ContentBlock]:
    """Content blocks of any value; a list is one block per item if it holds media, else one of JSON."""
    if value is None:
        return []
    if isinstance(value, list | tuple):
        value = [from_sdk(item) for item in cast("list[Any]", value)]
    if _has_media(value):
        return [block(item) for item in value]
    return [block(value)]


def block(value: Any) -> ContentBlock:
    """One content block of any value."""
    if isinstance(value, str):
        return TextContent(text=value)
    value = from_sdk(value)
    if isinstance(value, _BLOCKS):
        return value
    if isinstance(value, Image):
        return value.to_image_content()
    if isinstance(value, Audio):
        return value.to_audio_content()
    if isinstance(value, ResourceContents):
        return EmbeddedResource(resource=value)
    if isinstance(value, bytes):
        value = File(data=value)
    if isinstance(value, File):
        return value.to_resource_content()
    return TextContent(text=json_bytes(value).decode())


def json_bytes(value: Any) -> bytes:
    """The JSON of any value; what JSON can't hold becomes its text."""
    return pydantic_core.to_json(value, by_alias=True, inf_nan_mode="null", fallback=_fallback)


def _fallback(value: Any) -> Any:
    return msgspec.to_builtins(value) if isinstance(value, msgspec.Struct) else str(value)


def _has_media(value: Any) -> bool:
    return isinstance(value, list | tuple) and any(
        isinstance(item, _MEDIA) or is_sdk(item.__class__) for item in cast("list[Any]", value)
    )


def _is_question(annotation: Any) -> bool:
    """Whether it is InputRequiredResult, ours or the SDK's."""
    if annotation is InputRequiredResult:
        return True
    return isinstance(annotation, type) and is_sdk(annotation) and annotation.__name__ == InputRequiredResult.__name__


def _is_content(annotation: Any) -> bool:
    """Whether a value of this type may be content, or a list with content in it."""
    if annotation in (list, tuple, Any, object):
        return True
    if isinstance(annotation, type) and (issubclass(annotation, _WITHOUT_SCHEMA) or is_sdk(annotation)):
        return True
    origin = get_origin(annotation)
    if origin is Annotated:
        return _is_content(get_args(annotation)[0])
    if is_union(annotation) or origin in (list, tuple):
        return any(_is_content(part) for part in get_args(annotation) if part not in (type(None), ...))
    return False


def _as_object(schema: dict[str, Any]) -> dict[str, Any]:
    """Objects as they are, anything else under ``result``: revisions before 2026-07-28 know only objects."""
    reference = schema.get("$ref")
    definitions: dict[str, Any] = schema.get("$defs", {})
    if reference is not None:  # a recursive type
        target: dict[str, Any] = definitions.get(str(reference).removeprefix("#/$defs/"), {})
        if target.get("type") == "object":
            return {**schema, "type": "object"}
    if schema.get("type") == "object":
        return schema
    inner = {key: value for key, value in schema.items() if key != "$defs"}
    wrapped: dict[str, Any] = {
        "type": "object",
        "properties": {"result": inner},
        "required": ["result"],
        WRAPPED: True,
    }
    if definitions:
        wrapped["$defs"] = definitions
    return wrapped
