"""A sampling handler that asks Claude, through an ``anthropic.AsyncAnthropic``.

Messages of both sides: 2026-07-28, client, Sampling; Anthropic's Messages API.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from ....exceptions import ClientError
from ....protocol.types import (
    CreateMessageRequestParams,
    CreateMessageResult,
    ImageContent,
    ModelPreferences,
    SamplingMessage,
    SamplingMessageContentBlock,
    TextContent,
    Tool,
    ToolResultContent,
    ToolUseContent,
)

__all__ = ["AnthropicSamplingHandler"]

_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_STOPPED = {"tool_use": "toolUse", "max_tokens": "maxTokens", "stop_sequence": "stopSequence"}
_CHOICES = {"auto": "auto", "required": "any"}


class AnthropicSamplingHandler:
    """``Client(server, sampling_handler=AnthropicSamplingHandler("claude-..."), sampling_capabilities={"tools": {}})``

    `default_model` answers unless the server names another Claude. `client` is an ``AsyncAnthropic``; without one it
    is made from the environment, which needs the package ``anthropic``. Raises ClientError for what the API does not
    take.
    """

    def __init__(self, default_model: str, client: Any = None) -> None:
        self.default_model = default_model
        self.client: Any = import_module("anthropic").AsyncAnthropic() if client is None else client

    async def __call__(
        self, messages: list[SamplingMessage], params: CreateMessageRequestParams, context: Any
    ) -> CreateMessageResult:
        asked: dict[str, Any] = {
            "model": self._model(params.model_preferences),
            "max_tokens": params.max_tokens,
            "messages": [{"role": each.role, "content": _blocks(each)} for each in messages],
        }
        if params.system_prompt is not None:
            asked["system"] = params.system_prompt
        if params.temperature is not None:
            # Newer clients have no argument for it, while the API takes it still.
            asked["extra_body"] = {"temperature": params.temperature}
        if params.stop_sequences:
            asked["stop_sequences"] = params.stop_sequences
        choice = params.tool_choice.mode if params.tool_choice is not None else None
        if params.tools and choice != "none":
            asked["tools"] = [_tool(tool) for tool in params.tools]
            if choice is not None:
                asked["tool_choice"] = {"type": _CHOICES[choice]}
        return _result(await self.client.messages.create(**asked))

    def _model(self, preferences: ModelPreferences | None) -> str:
        hints = (preferences.hints if preferences is not None else None) or []
        named = [hint.name for hint in hints if hint.name and hint.name.startswith("claude-")]
        return named[0] if named else self.default_model


def _blocks(message: SamplingMessage) -> list[dict[str, Any]]:
    content = message.content if isinstance(message.content, list) else [message.content]
    return [_block(block) for block in content]


def _block(block: SamplingMessageContentBlock) -> dict[str, Any]:
    if isinstance(block, TextContent):
        return {"type": "text", "text": block.text}
    if isinstance(block, ImageContent):
        return _image(block)
    if isinstance(block, ToolUseContent):
        return {"type": "tool_use", "id": block.id, "name": block.name, "input": block.input}
    if isinstance(block, ToolResultContent):
        return {
            "type": "tool_result",
            "tool_use_id": block.tool_use_id,
            "content": _said(block.content),
            "is_error": bool(block.is_error),
        }
    raise ClientError(f"Anthropic's API takes no content of the type {block.type!r}")


def _said(content: Sequence[Any]) -> list[dict[str, Any]]:
    """What a tool said, as far as the API takes it."""
    return [_block(block) for block in content if isinstance(block, TextContent | ImageContent)]


def _image(block: ImageContent) -> dict[str, Any]:
    if block.mime_type not in _IMAGES:
        raise ClientError(f"Anthropic's API takes no image of the type {block.mime_type!r}")
    return {"type": "image", "source": {"type": "base64", "media_type": block.mime_type, "data": block.data}}


def _tool(tool: Tool) -> dict[str, Any]:
    schema = {"type": "object", **tool.input_schema}
    return {"name": tool.name, "description": tool.description or "", "input_schema": schema}


def _result(message: Any) -> CreateMessageResult:
    """Of an ``anthropic.types.Message``; other blocks, thoughts say, are not for the server."""
    content: list[SamplingMessageContentBlock] = []
    for block in message.content:
        if block.type == "text":
            content.append(TextContent(text=block.text))
        elif block.type == "tool_use":
            content.append(ToolUseContent(id=block.id, name=block.name, input=block.input))
    if not content:
        raise ClientError(f"{message.model} said nothing")
    return CreateMessageResult(
        role="assistant",
        content=content[0] if len(content) == 1 else content,
        model=message.model,
        stop_reason=_STOPPED.get(message.stop_reason, "endTurn"),
    )
