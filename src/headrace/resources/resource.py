"""A resource: a URI and the function that reads it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from typing import Any, get_args, get_origin
from urllib.parse import urlsplit

from ..components.component import Component, described, struct
from ..components.content import json_bytes
from ..components.context import Context
from ..components.signature import Function, function_name
from ..exceptions import InvalidSignature
from ..protocol import types as wire
from ..protocol.types import (
    Annotations,
    EmbeddedResource,
    Icon,
    InputRequiredResult,
    ReadResourceResult,
    ResourceContents,
    TextContent,
)
from ..types import Audio, File, Image, ResourceContent, ResourceResult

__all__ = ["Resource", "guess_mime_type", "read_result"]

_TEXT, _BYTES, _JSON = "text/plain", "application/octet-stream", "application/json"


class Resource(Component):
    """One resource. `mime_type` None: as the return annotation says, and each value if it says nothing."""

    def __init__(
        self,
        uri: str,
        function: Function,
        name: str,
        *,
        mime_type: str | None = None,
        annotations: Annotations | dict[str, Any] | None = None,
        size: int | None = None,
        **component: Any,
    ) -> None:
        """Raises ValueError for a URI without a scheme."""
        super().__init__(name, **component)
        check_uri(uri)
        self.uri = uri
        self.function = function
        self.mime_type = mime_type
        self.annotations = struct(annotations, Annotations)
        self.size = size

    @classmethod
    def from_function(
        cls,
        function: Callable[..., Any],
        uri: str,
        name: str | None = None,
        *,
        title: str | None = None,
        description: str | None = None,
        icons: Iterable[Icon | dict[str, Any]] | None = None,
        mime_type: str | None = None,
        tags: set[str] | None = None,
        annotations: Annotations | dict[str, Any] | None = None,
        size: int | None = None,
        meta: dict[str, Any] | None = None,
        enabled: bool = True,
        run_in_thread: bool = True,
    ) -> Resource:
        """Raises InvalidSignature for a function that needs arguments."""
        name = name or function_name(function, "resource")
        wrapped = Function(function, f"resource {uri!r}", run_in_thread=run_in_thread)
        if wrapped.required:
            raise InvalidSignature(
                f"The resource {uri!r} has no {{parameters}} in its URI, but its function needs "
                f"{', '.join(sorted(wrapped.required))}"
            )
        return cls(
            uri,
            wrapped,
            name,
            mime_type=mime_type,
            annotations=annotations,
            size=size,
            title=title,
            description=described(function, description),
            icons=icons,
            tags=tags,
            meta=meta,
            enabled=enabled,
        )

    async def read(self, context: Context) -> ReadResourceResult | InputRequiredResult:
        value = await self.function.call({}, context)
        return read_result(value, self.uri, self.mime_type)

    def to_wire(self) -> wire.Resource:
        """The resource as lists show it."""
        return wire.Resource(
            uri=self.uri,
            name=self.name,
            title=self.title,
            description=self.description,
            mime_type=self.mime_type or guess_mime_type(self.function.returns),
            size=self.size,
            annotations=self.annotations,
            icons=self.icons,
            meta=self.listed_meta(),
        )


def check_uri(uri: str) -> None:
    """Raises ValueError for a URI without a scheme."""
    if not urlsplit(uri.partition("{")[0]).scheme:
        raise ValueError(f"A resource is registered by a URI with a scheme, as in 'data://config', not {uri!r}")


def guess_mime_type(annotation: Any) -> str | None:
    """What a function with this return annotation gives; None where it says nothing certain."""
    kind = get_origin(annotation) or annotation
    if kind is str:
        return _TEXT
    if kind is bytes:
        return _BYTES
    if kind is dict or hasattr(kind, "__pydantic_validator__") or hasattr(kind, "__dataclass_fields__"):
        return _JSON
    if kind is list and get_args(annotation) and get_args(annotation)[0] in (dict, int, float, bool):
        return _JSON
    return None


def read_result(value: Any, uri: str, mime_type: str | None) -> ReadResourceResult | InputRequiredResult:
    """What a resource function returned as its result."""
    if isinstance(value, ReadResourceResult | InputRequiredResult):
        return value
    meta = None
    if isinstance(value, ResourceResult):
        meta, value = value.meta, value.contents
    parts: list[Any] = [value]
    if isinstance(value, list | tuple) and any(isinstance(item, _PARTS) for item in value):  # pyright: ignore[reportUnknownVariableType]
        parts = list(value)  # pyright: ignore[reportUnknownArgumentType]
    return ReadResourceResult(contents=[_contents(part, uri, mime_type) for part in parts], meta=meta)


_PARTS = (ResourceContent, ResourceContents, EmbeddedResource, Image, Audio, File, bytes)


def _contents(value: Any, uri: str, mime_type: str | None) -> ResourceContents:
    meta = None
    if isinstance(value, ResourceContent):
        uri, mime_type, meta = value.uri or uri, value.mime_type or mime_type, value.meta
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
    if value is None:
        return ResourceContents(uri=uri, mime_type=mime_type or _TEXT, text="", meta=meta)
    return ResourceContents(uri=uri, mime_type=mime_type or _JSON, text=json_bytes(value).decode(), meta=meta)
