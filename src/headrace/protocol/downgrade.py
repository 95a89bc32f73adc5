"""A result, a question or a notification made fit for an older revision.

What a revision does not know is left out, or said in words it knows: audio becomes an embedded resource, a
resource link becomes text. Nothing is changed in place; what fits already is returned as it is, so that the same
struct can be answered to clients of every revision. Which member needs which fact of `Era` is in three tables:

* `_MEMBERS`: members that are left out where the fact is false
* `_PARTS`: members whose values are looked into
* `_CONVERSIONS`: types that are rewritten where the fact is false

The official schemas of all revisions allow unknown members; leaving them out keeps peers working that do not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, TypeVar, cast

from msgspec import UNSET, Raw
from msgspec.structs import replace

from ..exceptions import UnsupportedByClient
from . import types
from .jsonrpc import encode
from .versions import Era

__all__ = ["fit_answer", "fit_notification", "fit_question", "fit_result"]

R = TypeVar("R", bound=types.Result)
P = TypeVar("P")

_MEMBERS: dict[type, dict[str, tuple[str, ...]]] = {
    types.CacheableResult: {"result_types": ("ttl_ms", "cache_scope")},
    types.Implementation: {"titles": ("title",), "icons": ("description", "website_url", "icons")},
    types.ServerCapabilities: {"annotated_tools": ("completions",)},
    types.Tool: {
        "titles": ("title", "meta"),
        "icons": ("icons", "execution"),
        "annotated_tools": ("annotations",),
    },
    types.Resource: {"titles": ("title", "meta"), "icons": ("icons",)},
    types.ResourceTemplate: {"titles": ("title", "meta"), "icons": ("icons",)},
    types.Prompt: {"titles": ("title", "meta"), "icons": ("icons",)},
    types.PromptArgument: {"titles": ("title",)},
    types.Root: {"titles": ("meta",)},
    types.TextContent: {"titles": ("meta",)},
    types.ImageContent: {"titles": ("meta",)},
    types.AudioContent: {"titles": ("meta",)},
    types.ResourceLink: {"icons": ("icons",)},
    types.EmbeddedResource: {"titles": ("meta",)},
    types.ResourceContents: {"titles": ("meta",)},
    # `lastModified` came with the revision that brought titles.
    types.Annotations: {"titles": ("last_modified",)},
    types.SamplingMessage: {"sampling_tools": ("meta",)},
    types.CreateMessageRequestParams: {"sampling_tools": ("tools", "tool_choice")},
    types.ElicitRequestParams: {"url_elicitation": ("mode",), "elicitation_ids": ("elicitation_id",)},
    types.ProgressNotificationParams: {"annotated_tools": ("message",)},
}

_BLOCKS = (types.TextContent, types.ImageContent, types.AudioContent, types.ResourceLink, types.EmbeddedResource)
_SAMPLING_BLOCKS = (*_BLOCKS, types.ToolResultContent)

_PARTS: dict[type, dict[str, tuple[type, ...]]] = {
    types.InitializeResult: {"server_info": (types.Implementation,), "capabilities": (types.ServerCapabilities,)},
    types.ListToolsResult: {"tools": (types.Tool,)},
    types.ListResourcesResult: {"resources": (types.Resource,)},
    types.ListResourceTemplatesResult: {"resource_templates": (types.ResourceTemplate,)},
    types.ListPromptsResult: {"prompts": (types.Prompt,)},
    types.ListRootsResult: {"roots": (types.Root,)},
    types.CallToolResult: {"content": _BLOCKS},
    types.ReadResourceResult: {"contents": (types.ResourceContents,)},
    types.GetPromptResult: {"messages": (types.PromptMessage,)},
    types.CreateMessageResult: {"content": _SAMPLING_BLOCKS},
    types.CreateMessageRequestParams: {"messages": (types.SamplingMessage,), "tools": (types.Tool,)},
    types.Prompt: {"arguments": (types.PromptArgument,)},
    types.PromptMessage: {"content": _BLOCKS},
    types.SamplingMessage: {"content": _SAMPLING_BLOCKS},
    types.Resource: {"annotations": (types.Annotations,)},
    types.ResourceTemplate: {"annotations": (types.Annotations,)},
    types.TextContent: {"annotations": (types.Annotations,)},
    types.ImageContent: {"annotations": (types.Annotations,)},
    types.AudioContent: {"annotations": (types.Annotations,)},
    types.EmbeddedResource: {"annotations": (types.Annotations,), "resource": (types.ResourceContents,)},
}


def fit_result(result: R, era: Era) -> R:
    """The result as `era` can say it.

    An InputRequiredResult has no older form: where the revision lacks it, asking is the peer's business.
    """
    return _fit(result, era)


def fit_question(params: P, era: Era) -> P:
    """The params of a question to the client as `era` can say them.

    Raises UnsupportedByClient for an elicitation, or one by URL, that the revision lacks altogether.
    """
    return _fit(params, era)


def fit_notification(params: P, era: Era) -> P:
    """The params of a notification as `era` can say them."""
    return _fit(params, era)


def fit_answer(content: dict[str, Any], requested_schema: dict[str, Any]) -> dict[str, Any]:
    """The content of an ElicitResult as the form asked for it.

    Before 2025-11-25 a choice of several was asked for as text: "a, b" becomes ``["a", "b"]``.
    """
    fitted = dict(content)
    for name, field in requested_schema.get("properties", {}).items():
        value = fitted.get(name)
        if field.get("type") == "array" and isinstance(value, str):
            values, _ = _choices(field.get("items", {}))
            fitted[name] = [value] if value in values else [part.strip() for part in value.split(",") if part.strip()]
    return fitted


# The walk


class _Plan(NamedTuple):
    """What may have to be done for a type in a revision."""

    members: tuple[str, ...]
    parts: tuple[str, ...]
    conversions: tuple[Callable[[Any, Era], Any], ...]


@cache
def _plan(kind: type, era: Era) -> _Plan | None:
    """None if values of this type always fit. Kept for good: there are few types and fewer revisions."""
    members: list[str] = []
    parts: list[str] = []
    conversions: list[Callable[[Any, Era], Any]] = []
    for base in kind.__mro__:
        for fact, names in _MEMBERS.get(base, {}).items():
            if not getattr(era, fact):
                members += names
        for name, kinds in _PARTS.get(base, {}).items():
            if any(_plan(part, era) is not None for part in kinds):
                parts.append(name)
        if base in _CONVERSIONS:
            fact, convert = _CONVERSIONS[base]
            if not getattr(era, fact):
                conversions.append(convert)
    if not (members or parts or conversions):
        return None
    return _Plan(tuple(members), tuple(parts), tuple(conversions))


def _fit(value: object, era: Era) -> Any:
    kind = type(value)
    plan = _plan(kind, era)
    if plan is None:
        return value
    part: Any = value
    for convert in plan.conversions:
        part = convert(part, era)
    if part.__class__ is not kind:
        # It has become something else, which may have members too many of its own.
        return _fit(part, era)
    changes: dict[str, Any] = {}
    for name in plan.members:
        if getattr(part, name) is not None:
            changes[name] = None
    for name in plan.parts:
        old = getattr(part, name)
        if old is not None and name not in changes:
            new = _fit_all(cast("list[Any]", old), era) if isinstance(old, list) else _fit(old, era)
            if new is not old:
                changes[name] = new
    return replace(part, **changes) if changes else part


def _fit_all(values: list[Any], era: Era) -> list[Any]:
    fitted = [_fit(value, era) for value in values]
    return fitted if any(new is not old for new, old in zip(fitted, values, strict=True)) else values


# Conversions. Each gets a value of its type in a revision where its fact is false.


def _embed_audio(audio: types.AudioContent, era: Era) -> types.EmbeddedResource:
    # The digest keeps two recordings of one result apart for clients that store resources by URI.
    digest = hashlib.sha256(audio.data.encode()).hexdigest()[:16]
    contents = types.ResourceContents(uri=f"audio:{digest}", mime_type=audio.mime_type, blob=audio.data)
    return types.EmbeddedResource(resource=contents, annotations=audio.annotations, meta=audio.meta)


def _tell_link(link: types.ResourceLink, era: Era) -> types.TextContent:
    text = f"{link.title or link.name}: {link.uri}"
    if link.description:
        text += f"\n{link.description}"
    return types.TextContent(text=text, annotations=link.annotations, meta=link.meta)


def _is_object(value: Any) -> bool:
    if isinstance(value, dict):
        return True
    if isinstance(value, Raw):
        return bytes(memoryview(value)[:1]) == b"{"
    return not (value is None or isinstance(value, (bool, int, float, str, list, tuple, set, frozenset)))


S = TypeVar("S", types.CallToolResult, types.ToolResultContent)


def _plain_structured_content(result: S, era: Era) -> S:
    value = result.structured_content
    if value is UNSET or (era.structured_content and _is_object(value)):
        return result
    return replace(result, structured_content=UNSET)


def _plain_output_schema(tool: types.Tool, era: Era) -> types.Tool:
    schema = tool.output_schema
    if schema is None or (era.structured_content and schema.get("type") == "object"):
        return tool
    return replace(tool, output_schema=None)


def _plain_messages(params: types.CreateMessageRequestParams, era: Era) -> types.CreateMessageRequestParams:
    """One block per message, and only blocks the revision has."""
    messages = [
        replace(message, content=block) for message in params.messages for block in _plain_blocks(message.content, era)
    ]
    if len(messages) == len(params.messages) and all(
        new.content is old.content for new, old in zip(messages, params.messages, strict=True)
    ):
        return params
    return replace(params, messages=messages)


def _plain_answer(result: types.CreateMessageResult, era: Era) -> types.CreateMessageResult:
    """A client's answer is one block: the first (without tools a model gives no more)."""
    blocks = _plain_blocks(result.content, era)
    content = blocks[0] if blocks else types.TextContent(text="")
    return result if content is result.content else replace(result, content=content)


def _plain_blocks(content: Any, era: Era) -> list[types.SamplingMessageContentBlock]:
    blocks: list[Any] = cast("list[Any]", content) if isinstance(content, list) else [content]
    plain: list[types.SamplingMessageContentBlock] = []
    for block in blocks:
        if isinstance(block, types.ToolUseContent):
            plain.append(types.TextContent(text=f"Tool call: {block.name} {encode(block.input).decode()}"))
        elif isinstance(block, types.ToolResultContent):
            texts = [item.text for item in block.content if isinstance(item, types.TextContent)]
            plain.append(types.TextContent(text="\n".join(["Tool result:", *texts])))
        elif isinstance(block, types.AudioContent) and not era.audio:
            # Sampling messages have no embedded resources to put it into.
            plain.append(types.TextContent(text=f"(audio left out: {block.mime_type})"))
        else:
            plain.append(block)
    return plain


def _plain_elicitation(params: types.ElicitRequestParams, era: Era) -> types.ElicitRequestParams:
    if not era.elicitation:
        raise UnsupportedByClient(
            f"The client speaks {era.version}, which has no elicitation", capabilities={"elicitation": {}}
        )
    if params.mode == "url" and not era.url_elicitation:
        raise UnsupportedByClient(
            f"The client speaks {era.version}, which has no elicitation by URL",
            capabilities={"elicitation": {"url": {}}},
        )
    schema = params.requested_schema
    if schema is None:
        return params
    plain = {name: value for name, value in schema.items() if name != "$schema"}
    plain["properties"] = {name: _plain_field(field) for name, field in schema.get("properties", {}).items()}
    return params if plain == schema else replace(params, requested_schema=plain)


def _plain_field(field: dict[str, Any]) -> dict[str, Any]:
    """A form field of 2025-06-18: defaults only for booleans, a choice only of one, titles as ``enumNames``."""
    kind = field.get("type")
    if kind == "array":
        values, titles = _choices(field.get("items", {}))
        options = [
            value if value == title else f"{value} ({title})" for value, title in zip(values, titles, strict=True)
        ]
        hint = f"Any of these, separated by commas: {', '.join(options)}"
        description = field.get("description")
        plain: dict[str, Any] = {"type": "string", "description": f"{description} {hint}" if description else hint}
        if "title" in field:
            plain["title"] = field["title"]
        return plain
    plain = {
        name: value for name, value in field.items() if name != "oneOf" and (name != "default" or kind == "boolean")
    }
    if "oneOf" in field:
        plain["enum"], plain["enumNames"] = _choices(field)
    return plain


def _choices(schema: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The values and titles of a choice."""
    titled: list[dict[str, str]] = schema.get("oneOf") or schema.get("anyOf") or []
    if titled:
        return [item["const"] for item in titled], [item.get("title", item["const"]) for item in titled]
    values: list[str] = schema.get("enum", [])
    return values, values


_CONVERSIONS: dict[type, tuple[str, Callable[[Any, Era], Any]]] = {
    types.AudioContent: ("audio", _embed_audio),
    types.ResourceLink: ("resource_links", _tell_link),
    types.CallToolResult: ("any_structured_content", _plain_structured_content),
    types.ToolResultContent: ("any_structured_content", _plain_structured_content),
    types.Tool: ("any_structured_content", _plain_output_schema),
    types.CreateMessageRequestParams: ("sampling_tools", _plain_messages),
    types.CreateMessageResult: ("sampling_tools", _plain_answer),
    types.ElicitRequestParams: ("typed_elicitation_defaults", _plain_elicitation),
}
