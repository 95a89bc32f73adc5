"""What users write in signatures and return from functions: media helpers, content blocks, results.

The content blocks are the wire types themselves, re-exported; their fields are snake_case here.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec

from .protocol.subscriptions import PROMPTS_CHANGED, RESOURCE_UPDATED, RESOURCES_CHANGED, TOOLS_CHANGED
from .protocol.types import (
    Annotations,
    AudioContent,
    CallToolResult,
    Completion,
    CompletionArgument,
    CompletionContext,
    ContentBlock,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequestParams,
    ElicitResult,
    EmbeddedResource,
    GetPromptResult,
    Icon,
    ImageContent,
    InputRequest,
    InputRequiredResult,
    ListRootsResult,
    ModelHint,
    ModelPreferences,
    PromptArgument,
    PromptMessage,
    PromptReference,
    ReadResourceResult,
    ResourceContents,
    ResourceLink,
    ResourceTemplateReference,
    Root,
    SamplingMessage,
    TextContent,
    ToolAnnotations,
    ToolResultContent,
    ToolUseContent,
    Wire,
)

__all__ = [
    "Annotations",
    "Audio",
    "AudioContent",
    "BlobResourceContents",
    "CallToolResult",
    "Completion",
    "CompletionArgument",
    "CompletionContext",
    "ContentBlock",
    "CreateMessageRequest",
    "CreateMessageRequestParams",
    "CreateMessageResult",
    "ElicitRequest",
    "ElicitRequestFormParams",
    "ElicitRequestParams",
    "ElicitRequestURLParams",
    "ElicitResult",
    "EmbeddedResource",
    "File",
    "GetPromptResult",
    "Icon",
    "Image",
    "ImageContent",
    "InputRequest",
    "InputRequiredResult",
    "ListRootsRequest",
    "ListRootsResult",
    "Message",
    "ModelHint",
    "ModelPreferences",
    "Notification",
    "PromptArgument",
    "PromptListChangedNotification",
    "PromptMessage",
    "PromptReference",
    "PromptResult",
    "ReadResourceResult",
    "ResourceContent",
    "ResourceContents",
    "ResourceLink",
    "ResourceListChangedNotification",
    "ResourceResult",
    "ResourceTemplateReference",
    "ResourceUpdatedNotification",
    "Root",
    "SamplingMessage",
    "TextContent",
    "TextResourceContents",
    "ToolAnnotations",
    "ToolListChangedNotification",
    "ToolResult",
    "ToolResultContent",
    "ToolUseContent",
]

_IMAGES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp"}
_SOUNDS = {".wav": "audio/wav", ".mp3": "audio/mpeg", ".ogg": "audio/ogg", ".m4a": "audio/mp4", ".flac": "audio/flac"}
_TEXTS = {
    ".txt": "text/plain",
    ".md": "text/markdown",
    ".html": "text/html",
    ".csv": "text/csv",
    ".json": "application/json",
}


class _Media:
    """Bytes, given or in a file, with their MIME type. The file is read when the content is made."""

    _suffixes: ClassVar[dict[str, str]] = {}
    _default = "application/octet-stream"
    _kind = "application"

    def __init__(
        self,
        path: str | Path | None = None,
        data: bytes | None = None,
        format: str | None = None,
        annotations: Annotations | dict[str, Any] | None = None,
    ) -> None:
        """Raises ValueError unless exactly one of `path` and `data` is given. `format` is a MIME subtype ("png")."""
        if (path is None) == (data is None):
            raise ValueError(f"{type(self).__name__} takes either path= or data=")
        self.path = None if path is None else Path(path)
        self.data = data
        self.format = format
        self.annotations = msgspec.convert(annotations, Annotations) if isinstance(annotations, dict) else annotations

    @property
    def mime_type(self) -> str:
        if self.format is not None:
            return self.format if "/" in self.format else f"{self._kind}/{self.format.lower()}"
        if self.path is not None:
            return self._suffixes.get(self.path.suffix.lower(), "application/octet-stream")
        return self._default

    def read(self) -> bytes:
        if self.data is not None:
            return self.data
        assert self.path is not None
        return self.path.read_bytes()

    def to_data_uri(self) -> str:
        """``data:image/png;base64,...``, as icons take it."""
        return f"data:{self.mime_type};base64,{self._base64()}"

    def _base64(self) -> str:
        return base64.b64encode(self.read()).decode("ascii")


class Image(_Media):
    """An image that a tool or prompt returns: ``Image(path="chart.png")`` or ``Image(data=png, format="png")``."""

    _suffixes = _IMAGES
    _default = "image/png"
    _kind = "image"

    def to_image_content(self) -> ImageContent:
        return ImageContent(data=self._base64(), mime_type=self.mime_type, annotations=self.annotations)


class Audio(_Media):
    """A sound that a tool or prompt returns."""

    _suffixes = _SOUNDS
    _default = "audio/wav"
    _kind = "audio"

    def to_audio_content(self) -> AudioContent:
        return AudioContent(data=self._base64(), mime_type=self.mime_type, annotations=self.annotations)


class File(_Media):
    """A file that a tool or prompt returns, as an embedded resource; `name` becomes part of its URI."""

    _suffixes = _TEXTS | _IMAGES | _SOUNDS | {".pdf": "application/pdf"}

    def __init__(
        self,
        path: str | Path | None = None,
        data: bytes | None = None,
        format: str | None = None,
        name: str | None = None,
        annotations: Annotations | dict[str, Any] | None = None,
    ) -> None:
        super().__init__(path, data, format, annotations)
        self.name = name

    @property
    def uri(self) -> str:
        if self.path is not None and self.name is None:
            return self.path.resolve().as_uri()
        return f"file:///{self.name or 'resource'}"

    def to_resource_content(self) -> EmbeddedResource:
        mime_type = self.mime_type
        contents = ResourceContents(uri=self.uri, mime_type=mime_type)
        if mime_type.startswith("text/") or mime_type == "application/json":
            try:
                contents.text = self.read().decode("utf-8")
            except UnicodeDecodeError:
                contents.blob = self._base64()
        else:
            contents.blob = self._base64()
        return EmbeddedResource(resource=contents, annotations=self.annotations)


class ToolResult:
    """Full control of what a tool answers.

    Without `content` the text is the JSON of `structured_content`. `is_error` tells the model that it failed.
    Raises ValueError if both are missing.
    """

    __slots__ = ("content", "is_error", "meta", "structured_content")

    def __init__(
        self,
        content: Any = None,
        structured_content: Any = None,
        meta: dict[str, Any] | None = None,
        is_error: bool = False,
    ) -> None:
        if content is None and structured_content is None:
            raise ValueError("ToolResult needs content or structured_content")
        self.content: Any = content
        self.structured_content: Any = structured_content
        self.meta = meta
        self.is_error = is_error

    def __repr__(self) -> str:
        return f"ToolResult(content={self.content!r}, structured_content={self.structured_content!r})"


class ResourceContent:
    """One part of a resource: text, bytes, or a value that becomes JSON. `uri` defaults to the one that is read."""

    __slots__ = ("content", "meta", "mime_type", "uri")

    def __init__(
        self,
        content: Any,
        mime_type: str | None = None,
        meta: dict[str, Any] | None = None,
        *,
        uri: str | None = None,
    ) -> None:
        self.content: Any = content
        self.mime_type = mime_type
        self.meta = meta
        self.uri = uri


class ResourceResult:
    """All parts of a resource."""

    __slots__ = ("contents", "meta")

    def __init__(self, contents: Any, meta: dict[str, Any] | None = None) -> None:
        self.contents = contents
        self.meta = meta


class Message:
    """One message of a prompt; `content` is text, a media helper, a content block, or a value that becomes JSON."""

    __slots__ = ("content", "role")

    def __init__(self, content: Any, role: Literal["user", "assistant"] = "user") -> None:
        self.content: Any = content
        self.role: Literal["user", "assistant"] = role


class PromptResult:
    """The messages of a prompt with a description and `meta` of their own."""

    __slots__ = ("description", "messages", "meta")

    def __init__(
        self,
        messages: str | Message | PromptMessage | Sequence[str | Message | PromptMessage],
        description: str | None = None,
        meta: dict[str, Any] | None = None,
    ) -> None:
        single = isinstance(messages, str | Message | PromptMessage)
        self.messages = [_as_message(each) for each in ([messages] if single else messages)]
        self.description = description
        self.meta = meta


def _as_message(value: Any) -> Message:
    if isinstance(value, Message):
        return value
    return Message(value.content, value.role) if isinstance(value, PromptMessage) else Message(value)


# The official SDK's names for what is one type here, or a method and its params

TextResourceContents = BlobResourceContents = ResourceContents
ElicitRequestFormParams = ElicitRequestParams


class ElicitRequestURLParams(ElicitRequestParams, kw_only=True, omit_defaults=False):
    mode: Literal["form", "url"] | None = "url"


class ElicitRequest(InputRequest, kw_only=True, omit_defaults=False):
    """A question of an InputRequiredResult; so are the next two."""

    method: str = "elicitation/create"


class CreateMessageRequest(InputRequest, kw_only=True, omit_defaults=False):
    method: str = "sampling/createMessage"


class ListRootsRequest(InputRequest, kw_only=True, omit_defaults=False):
    method: str = "roots/list"


class Notification(Wire, kw_only=True):
    """What `Context.send_notification` takes."""

    method: str
    params: Any = None


class ToolListChangedNotification(Notification, kw_only=True):
    method: str = TOOLS_CHANGED


class ResourceListChangedNotification(Notification, kw_only=True):
    method: str = RESOURCES_CHANGED


class PromptListChangedNotification(Notification, kw_only=True):
    method: str = PROMPTS_CHANGED


class ResourceUpdatedNotification(Notification, kw_only=True):
    """``params={"uri": ...}``"""

    method: str = RESOURCE_UPDATED
