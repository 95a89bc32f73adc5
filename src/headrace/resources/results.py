"""What a resource function returned -> the contents that a client gets."""

from __future__ import annotations

import base64
from typing import Any

from ..components.content import json_bytes
from ..protocol.types import EmbeddedResource, InputRequiredResult, ReadResourceResult, ResourceContents, TextContent
from ..types import Audio, File, Image, ResourceContent, ResourceResult

__all__ = ["guess_mime_type", "read_result", "resource_result"]

_TEXT, _BYTES, _JSON = "text/plain", "application/octet-stream", "application/json"
_PARTS = (ResourceContent, ResourceContents, EmbeddedResource, Image, Audio, File, bytes)


def guess_mime_type(annotation: Any) -> str:
    """What lists say of a function with this return annotation: bytes are bytes, anything else is sent as text."""
    return _BYTES if annotation is bytes else _TEXT


def read_result(
    value: Any, uri: str, mime_type: str | None, meta: dict[str, Any] | None = None
) -> ReadResourceResult | InputRequiredResult:
    """The result of a read. Text, bytes and JSON take the `mime_type` and `meta` of the resource.

    A ResourceContent has a MIME type of its own; a ResourceResult is taken as it is, without the resource's `meta`.
    """
    if isinstance(value, ReadResourceResult | InputRequiredResult):
        return value
    explicit = isinstance(value, ResourceResult)
    result_meta = None
    if isinstance(value, ResourceResult):
        meta, result_meta, value = None, value.meta, value.contents
    parts: list[Any] = [value]
    if isinstance(value, list | tuple):
        items: list[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType]
        if any(isinstance(item, _PARTS) for item in items) or (explicit and not items):
            parts = items
    return ReadResourceResult(contents=[_contents(part, uri, mime_type, meta) for part in parts], meta=result_meta)


def resource_result(result: ReadResourceResult) -> ResourceResult:
    """A result as users see it who read a resource themselves: text, or bytes for a blob."""
    return ResourceResult([_content(each) for each in result.contents], meta=result.meta)


def _content(part: ResourceContents) -> ResourceContent:
    content = part.text if part.blob is None else base64.b64decode(part.blob)
    return ResourceContent(content, part.mime_type, part.meta, uri=part.uri)


def _contents(value: Any, uri: str, mime_type: str | None, meta: dict[str, Any] | None) -> ResourceContents:
    default = _TEXT
    if isinstance(value, ResourceContent):
        default, uri, mime_type = _JSON, value.uri or uri, value.mime_type
        meta = {**(meta or {}), **value.meta} if value.meta else meta
        value = value.content
    if isinstance(value, ResourceContents):
        return value
    if isinstance(value, EmbeddedResource):
        return value.resource
    if isinstance(value, TextContent):
        value = value.text
    if isinstance(value, Image | Audio | File):
        mime_type, value = mime_type or value.mime_type, value.read()
    if isinstance(value, str):
        return ResourceContents(uri=uri, mime_type=mime_type or _TEXT, text=value, meta=meta)
    if isinstance(value, bytes | bytearray):
        blob = base64.b64encode(value).decode("ascii")
        return ResourceContents(uri=uri, mime_type=mime_type or _BYTES, blob=blob, meta=meta)
    return ResourceContents(uri=uri, mime_type=mime_type or default, text=json_bytes(value).decode(), meta=meta)
