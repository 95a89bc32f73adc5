"""Asking the client's model: what users write -> ``sampling/createMessage`` -> what came back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import Raw

from ..call import Peer
from ..exceptions import UnsupportedByClient
from ..protocol.types import (
    CreateMessageRequestParams,
    CreateMessageResult,
    ModelHint,
    ModelPreferences,
    SamplingMessage,
    SamplingMessageContentBlock,
    TextContent,
    Tool,
    ToolChoice,
)
from .elicitation import require

__all__ = ["Choice", "Messages", "Preferences", "SamplingResult", "request", "sample"]

Messages = str | SamplingMessage | Sequence[str | SamplingMessage]
Preferences = str | list[str] | ModelPreferences | None
Choice = Literal["auto", "required", "none"] | None

_decode = msgspec.json.Decoder(CreateMessageResult).decode


class SamplingResult:
    """What the model said: `text`, all of `content`, and the client's `result` as it came."""

    __slots__ = ("content", "result")

    def __init__(self, result: CreateMessageResult) -> None:
        self.result = result
        content = result.content
        self.content: list[SamplingMessageContentBlock] = content if isinstance(content, list) else [content]

    @property
    def text(self) -> str:
        """The text blocks, joined; empty if the model gave none."""
        return "\n".join(block.text for block in self.content if isinstance(block, TextContent))


def request(
    messages: Messages,
    *,
    system_prompt: str | None,
    max_tokens: int,
    temperature: float | None,
    model_preferences: Preferences,
    stop_sequences: list[str] | None,
    tools: list[Tool] | None,
    tool_choice: Choice,
) -> CreateMessageRequestParams:
    """The question as it goes over the wire; a string is a user's message."""
    items = [messages] if isinstance(messages, str | SamplingMessage) else list(messages)
    return CreateMessageRequestParams(
        messages=[_message(item) for item in items],
        max_tokens=max_tokens,
        system_prompt=system_prompt,
        temperature=temperature,
        model_preferences=_preferences(model_preferences),
        stop_sequences=stop_sequences,
        tools=tools,
        tool_choice=None if tool_choice is None else ToolChoice(mode=tool_choice),
    )


async def sample(peer: Peer, params: CreateMessageRequestParams, key: str | None) -> SamplingResult:
    """Raises UnsupportedByClient where the client has no sampling, or none with tools."""
    declared = peer.capabilities.sampling
    require(peer, declared is not None, "sample from a model", {"sampling": {}})
    if params.tools or params.tool_choice:
        if not peer.era.sampling_tools:
            raise UnsupportedByClient("The protocol revision of this client has no sampling with tools")
        with_tools = declared is not None and "tools" in declared
        require(peer, with_tools, "sample from a model with tools", {"sampling": {"tools": {}}})
    return await peer.ask("sampling/createMessage", params, key=key, check=_result)


def _result(answer: Raw) -> SamplingResult:
    return SamplingResult(_decode(answer))


def _message(item: str | SamplingMessage) -> SamplingMessage:
    return SamplingMessage(role="user", content=TextContent(text=item)) if isinstance(item, str) else item


def _preferences(value: Any) -> ModelPreferences | None:
    if value is None or isinstance(value, ModelPreferences):
        return value
    names: list[str] = [value] if isinstance(value, str) else value
    return ModelPreferences(hints=[ModelHint(name=name) for name in names])
