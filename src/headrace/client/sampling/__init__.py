"""Prompts of a server to the client's model: ``Client(server, sampling_handler=handler)``.

`handlers.anthropic` and `handlers.openai` are ready for the clients of these two.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable

from ...protocol.types import CreateMessageRequestParams as SamplingParams
from ...protocol.types import CreateMessageResult, SamplingMessage, TextContent
from ..handlers import HandlerContext, SamplingHandler

__all__ = [
    "ClientSamplingHandler",
    "CreateMessageResult",
    "SamplingHandler",
    "SamplingMessage",
    "SamplingParams",
    "create_sampling_callback",
]

ClientSamplingHandler = SamplingHandler


def create_sampling_callback(
    sampling_handler: SamplingHandler,
) -> Callable[[list[SamplingMessage], SamplingParams, HandlerContext], Awaitable[CreateMessageResult]]:
    """A `SamplingHandler` that always gives a whole result; a text becomes the assistant's message."""

    async def callback(
        messages: list[SamplingMessage], params: SamplingParams, context: HandlerContext
    ) -> CreateMessageResult:
        answer = sampling_handler(messages, params, context)
        if inspect.isawaitable(answer):
            answer = await answer
        if isinstance(answer, CreateMessageResult):
            return answer
        content = TextContent(text=answer)
        return CreateMessageResult(role="assistant", content=content, model="headrace-client", stop_reason="endTurn")

    return callback
