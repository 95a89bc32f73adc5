"""A sampling handler that asks a model of OpenAI, or of who has its API, through an ``openai.AsyncOpenAI``.

Messages of both sides: 2026-07-28, client, Sampling; OpenAI's Chat Completions API.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import msgspec

from ....exceptions import ClientError
from ....protocol.types import (
    AudioContent,
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

__all__ = ["OpenAISamplingHandler"]

_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_SOUNDS = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mp3": "mp3", "audio/mpeg": "mp3"}
_STOPPED = {"tool_calls": "toolUse", "length": "maxTokens"}
_MODEL = re.compile(r"(gpt-|chatgpt-|o\d)")


class OpenAISamplingHandler:
    """``Client(server, sampling_handler=OpenAISamplingHandler("gpt-..."), sampling_capabilities={"tools": {}})``

    `default_model` answers unless the server names another one of OpenAI's. `client` is an ``AsyncOpenAI``; without
    one it is made from the environment, which needs the package ``openai``. Raises ClientError for what the API does
    not take.
    """

    def __init__(self, default_model: str, client: Any = None) -> None:
        self.default_model = default_model
        self.client: Any = import_module("openai").AsyncOpenAI() if client is None else client

    async def __call__(
        self, messages: list[SamplingMessage], params: CreateMessageRequestParams, context: Any
    ) -> CreateMessageResult:
        said = [part for message in messages for part in _messages(message)]
        if params.system_prompt:
            said.insert(0, {"role": "system", "content": params.system_prompt})
        asked: dict[str, Any] = {
            "model": self._model(params.model_preferences),
            "max_completion_tokens": params.max_tokens,
            "messages": said,
        }
        if params.temperature is not None:
            asked["temperature"] = params.temperature
        if params.stop_sequences:
            asked["stop"] = params.stop_sequences
        if params.tools:
            asked["tools"] = [_tool(tool) for tool in params.tools]
            if params.tool_choice is not None and params.tool_choice.mode is not None:
                asked["tool_choice"] = params.tool_choice.mode
        return _result(await self.client.chat.completions.create(**asked))

    def _model(self, preferences: ModelPreferences | None) -> str:
        hints = (preferences.hints if preferences is not None else None) or []
        named = [hint.name for hint in hints if hint.name and _MODEL.match(hint.name)]
        return named[0] if named else self.default_model


def _messages(message: SamplingMessage) -> list[dict[str, Any]]:
    """Results of tools are messages of their own there, calls of tools a member of the assistant's."""
    content = message.content if isinstance(message.content, list) else [message.content]
    results = [
        {"role": "tool", "tool_call_id": block.tool_use_id, "content": _said(block)}
        for block in content
        if isinstance(block, ToolResultContent)
    ]
    calls = [_call(block) for block in content if isinstance(block, ToolUseContent)]
    parts = [
        _part(block, message.role) for block in content if not isinstance(block, ToolResultContent | ToolUseContent)
    ]
    if not parts and not calls:
        return results
    own: dict[str, Any] = {"role": message.role, "content": parts or None}
    if calls:
        own["tool_calls"] = calls
    return [*results, own]


def _part(block: Any, role: str) -> dict[str, Any]:
    if isinstance(block, TextContent):
        return {"type": "text", "text": block.text}
    if role == "user" and isinstance(block, ImageContent) and block.mime_type in _IMAGES:
        return {"type": "image_url", "image_url": {"url": f"data:{block.mime_type};base64,{block.data}"}}
    if role == "user" and isinstance(block, AudioContent) and block.mime_type in _SOUNDS:
        return {"type": "input_audio", "input_audio": {"data": block.data, "format": _SOUNDS[block.mime_type]}}
    raise ClientError(f"OpenAI's API takes no {block.mime_type!r} in a message of the {role}")


def _call(block: ToolUseContent) -> dict[str, Any]:
    arguments = msgspec.json.encode(block.input).decode()
    return {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": arguments}}


def _said(block: ToolResultContent) -> str:
    if any(not isinstance(part, TextContent) for part in block.content):
        raise ClientError("OpenAI's API takes only text as the result of a tool")
    return "\n".join(part.text for part in block.content if isinstance(part, TextContent))


def _tool(tool: Tool) -> dict[str, Any]:
    parameters = {"type": "object", **tool.input_schema}
    function = {"name": tool.name, "description": tool.description or "", "parameters": parameters}
    return {"type": "function", "function": function}


def _result(completion: Any) -> CreateMessageResult:
    """Of an ``openai.types.chat.ChatCompletion``."""
    choice = completion.choices[0] if completion.choices else None
    content: list[SamplingMessageContentBlock] = []
    if choice is not None:
        calls: list[Any] = choice.message.tool_calls or []
        said: str | None = choice.message.content
        content += [TextContent(text=said)] if said else []
        content += [
            ToolUseContent(id=call.id, name=call.function.name, input=_arguments(call.function))
            for call in calls
            if call.type == "function"
        ]
    if choice is None or not content:
        raise ClientError(f"{completion.model} said nothing")
    return CreateMessageResult(
        role="assistant",
        content=content[0] if len(content) == 1 else content,
        model=completion.model,
        stop_reason=_STOPPED.get(choice.finish_reason, "endTurn"),
    )


def _arguments(function: Any) -> dict[str, Any]:
    try:
        return msgspec.json.decode(function.arguments or "{}", type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ClientError(f"The model called {function.name!r} with what is no JSON object: {error}") from None
