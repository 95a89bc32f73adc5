"""Asking the client's model: what users write -> ``sampling/createMessage`` -> what came back.

With tools the model may call some before it answers: those that are functions or components run here, and the model
is asked again with their results (2026-07-28, client, sampling, Multi-turn Tool Loop). Where the call is replayed
after each answer, a tool that ran is not run again: its result is kept with `Peer.once`.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, cast

import msgspec
import pydantic
from msgspec import Raw
from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError

from ..exceptions import ToolError, UnsupportedByClient, ValidationError
from ..protocol import types as wire
from ..protocol.types import (
    CreateMessageRequestParams,
    CreateMessageResult,
    InputRequiredResult,
    ModelHint,
    ModelPreferences,
    SamplingMessage,
    SamplingMessageContentBlock,
    TextContent,
    ToolChoice,
    ToolResultContent,
    ToolUseContent,
)
from ..redaction import log_failure, secrets_of
from ..tools.tool import Tool
from .content import json_bytes
from .elicitation import require
from .json_schema import SchemaWriter, describe_errors
from .sdk import from_sdk
from .standalone import pending

if TYPE_CHECKING:
    from ..call import Peer
    from .context import Context

__all__ = [
    "FINAL_RESPONSE",
    "MAX_ITERATIONS",
    "Choice",
    "Messages",
    "Preferences",
    "SampleOptions",
    "SampleStep",
    "SamplingOptions",
    "SamplingResult",
    "StepOptions",
    "sample",
    "sample_step",
]

logger = logging.getLogger(__name__)

MAX_ITERATIONS = 10
"""Rounds of `sample` unless the caller says otherwise."""
MAX_TOKENS = 512
FINAL_RESPONSE = "final_response"
"""The tool through which the model gives a typed result."""
_NUDGE = f"Give your answer by calling the tool {FINAL_RESPONSE}, not as text."

Messages = str | SamplingMessage | Sequence[str | SamplingMessage]
Preferences = str | list[str] | ModelPreferences | None
Choice = Literal["auto", "required", "none"] | None
IncludeContext = Literal["none", "thisServer", "allServers"] | None

_decode = msgspec.json.Decoder(CreateMessageResult).decode
_canonical = msgspec.json.Encoder(order="deterministic").encode


class SamplingOptions(TypedDict, total=False):
    """What `Context.sample` and `Context.sample_step` take beside the messages."""

    system_prompt: str | None
    max_tokens: int | None
    """512 unless given."""
    temperature: float | None
    model_preferences: Preferences
    """Names of models, the best first, or ModelPreferences."""
    stop_sequences: list[str] | None
    include_context: IncludeContext
    """Deprecated in the protocol."""
    tools: Sequence[Any] | None
    """Functions and Tool components, which run here; wire tools, whose calls are left to the caller."""
    tool_choice: Choice
    """For the first round; the model is free in those that follow."""
    mask_error_details: bool | None
    """Don't tell the model what a tool raised, save for ToolError; None: as the server does."""
    tool_concurrency: int | None
    """How many tools of one round run at a time: one unless given, 0 for all."""
    key: str | None
    """Finds the answers again when the call is replayed; by what was asked unless given."""


class StepOptions(SamplingOptions, total=False):
    """What `Context.sample_step` takes."""

    execute_tools: bool
    """False: the caller runs the tools, and puts their results into the history."""


class SampleOptions(SamplingOptions, total=False):
    """What `Context.sample` takes."""

    result_type: Any
    """The type of `SamplingResult.result`; anything that pydantic has a JSON schema for."""
    max_iterations: int
    """Rounds with the model before it is an error: 10 unless given."""


class SamplingResult:
    """What the model said last.

    * `text`: its text, empty if there was none; with a `result_type`, the result as JSON
    * `result`: the typed result; the text where no type was asked for; None where one was, but the model called a tool
      that does not run here
    * `history`: all messages, the results of tools included; send it on to continue
    * `response`: the client's answer as it came
    """

    __slots__ = ("history", "response", "result", "text")

    def __init__(self, response: CreateMessageResult, history: list[SamplingMessage]) -> None:
        self.response = response
        self.history = history
        self.text = "\n".join(block.text for block in self.content if isinstance(block, TextContent))
        self.result: Any = self.text

    @property
    def content(self) -> list[SamplingMessageContentBlock]:
        content = self.response.content
        return content if isinstance(content, list) else [content]

    @property
    def tool_calls(self) -> list[ToolUseContent]:
        return [block for block in self.content if isinstance(block, ToolUseContent)]

    @property
    def is_tool_use(self) -> bool:
        """Whether the model called tools."""
        return bool(self.tool_calls)


SampleStep = SamplingResult
"""The name FastMCP gives to one round."""


async def sample(
    context: Context,
    messages: Messages,
    *,
    result_type: Any = None,
    max_iterations: int = MAX_ITERATIONS,
    **options: Unpack[SamplingOptions],
) -> SamplingResult:
    """See `Context.sample`."""
    final = None if result_type in (None, str) else _Final(result_type)
    talk = _Conversation(context, messages, final, **options)
    for _ in range(max_iterations):
        said = await talk.step()
        if final is not None:
            if final.text is not None:
                said.text, said.result = final.text, final.value
                return said
            if not said.is_tool_use:
                talk.history.append(_message(_NUDGE))
                continue
            said.result = None
        if not talk.ran:
            return said
    what = "gave no result of the type asked for" if final is not None else "still called tools"
    raise ToolError(f"The model {what} after {max_iterations} rounds; sample(max_iterations=...) allows more")


async def sample_step(
    context: Context, messages: Messages, *, execute_tools: bool = True, **options: Unpack[SamplingOptions]
) -> SamplingResult:
    """See `Context.sample_step`."""
    return await _Conversation(context, messages, None, **options).step(execute_tools)


class _Conversation:
    """Rounds with the model: `history` grows, and `ran` tells whether the last round ran tools."""

    def __init__(
        self,
        context: Context,
        messages: Messages,
        final: _Final | None,
        *,
        tools: Sequence[Any] | None = None,
        tool_choice: Choice = None,
        mask_error_details: bool | None = None,
        tool_concurrency: int | None = None,
        key: str | None = None,
        **question: Any,
    ) -> None:
        """Raises UnsupportedByClient, and ValueError for tools of one name."""
        if tool_concurrency is not None and tool_concurrency < 0:
            raise ValueError(f"tool_concurrency is at least 0, not {tool_concurrency}")
        self._context = context
        self._peer = context.call.peer
        self._final = final
        self._tools, offered = _prepared(tools or (), final)
        self._passed = {tool.name for tool in offered} - self._tools.keys() - {FINAL_RESPONSE if final else ""}
        masked = context.fastmcp.masks if mask_error_details is None else mask_error_details
        self._masked = bool(masked)
        self._concurrency = tool_concurrency
        choice: Choice = "required" if final is not None else tool_choice
        _require(self._peer, bool(offered or choice))
        self._question = _question(messages, offered, choice, **question)
        self.history = self._question.messages
        self._key = self._own_key() if key is None and (self._tools or final) else key
        self._round = 0
        self.ran = False

    def _own_key(self) -> str:
        """A key from what is asked first, and how often that was asked before: each round finds its answer by it, and
        the tools that ran their results, when the call is replayed."""
        digest = hashlib.sha256(_canonical(self._question)).hexdigest()[:24]
        return f"sample-{digest}-{self._peer.occurrence(digest)}"

    async def step(self, execute: bool = True) -> SamplingResult:
        """One question and its answer; the tools that the model calls run, if all of them do so here."""
        key = f"{self._key}.{self._round}" if self._round else self._key
        response = await self._peer.ask("sampling/createMessage", self._question, key=key, check=_decode)
        self.history.append(SamplingMessage(role="assistant", content=response.content))
        calls = SamplingResult(response, self.history).tool_calls
        runs_here = bool(self._tools or self._final) and not any(call.name in self._passed for call in calls)
        self.ran = execute and runs_here and bool(calls)
        if self.ran:
            results = cast("list[SamplingMessageContentBlock]", await self._run(calls))
            self.history.append(SamplingMessage(role="user", content=results))
        self._round += 1
        if self._final is None:
            self._question.tool_choice = None
        return SamplingResult(response, list(self.history))

    async def _run(self, calls: list[ToolUseContent]) -> list[ToolResultContent]:
        at_a_time = 1 if self._concurrency is None else self._concurrency or len(calls)
        free = asyncio.Semaphore(at_a_time)

        async def one(position: int, call: ToolUseContent) -> ToolResultContent:
            async with free:
                return await self._result(position, call)

        return await asyncio.gather(*(one(position, call) for position, call in enumerate(calls)))

    async def _result(self, position: int, call: ToolUseContent) -> ToolResultContent:
        if self._final is not None and call.name == FINAL_RESPONSE:
            return self._final.take(call)
        tool = self._tools.get(call.name)
        if tool is None:
            return _told(call, f"Unknown tool: {call.name!r}")

        async def run() -> ToolResultContent:
            return await self._call(tool, call)

        kept = await self._peer.once(f"{self._key}.{self._round}:{position}", run)
        return msgspec.convert(kept, ToolResultContent)

    async def _call(self, tool: Tool, call: ToolUseContent) -> ToolResultContent:
        """What the tool answers; what it raises is told to the model."""
        try:
            arguments = tool.bind(Raw(json_bytes(call.input)))
        except ValidationError as error:
            return _told(call, str(error))
        try:
            answer = tool.result(await tool.call(arguments, self._context))
        except ToolError as error:
            return _told(call, str(error))
        except Exception as error:
            secrets = secrets_of(json_bytes({"arguments": call.input}), None)
            log_failure(logger, error, secrets, "Error calling tool %r for the model", tool.name)
            what = f"Error calling tool {tool.name!r}"
            return _told(call, what if self._masked else f"{what}: {error}")
        if isinstance(answer, InputRequiredResult):
            return _told(call, f"Tool {tool.name!r} asks the client for input, which only a call of a client can")
        return ToolResultContent(tool_use_id=call.id, content=answer.content, is_error=answer.is_error or None)


class _Final:
    """The tool `FINAL_RESPONSE`: it takes the result, an object as it is, anything else under ``value``."""

    def __init__(self, result_type: Any) -> None:
        """Raises TypeError for a type without a JSON schema."""
        try:
            self._adapter: TypeAdapter[Any] = TypeAdapter(result_type)
            schema = self._adapter.json_schema(schema_generator=SchemaWriter)
        except PydanticUserError as error:
            raise TypeError(f"sample: {result_type!r} has no JSON schema: {error}") from error
        self._wrapped = schema.get("type") != "object"
        if self._wrapped:
            definitions = {"$defs": schema.pop("$defs")} if "$defs" in schema else {}
            schema = {"type": "object", "properties": {"value": schema}, "required": ["value"], **definitions}
        self.tool = wire.Tool(name=FINAL_RESPONSE, description="Call this with your final answer.", input_schema=schema)
        self.value: Any = None
        self.text: str | None = None
        """The result as JSON, once the model gave one that fits."""

    def take(self, call: ToolUseContent) -> ToolResultContent:
        given: Any = call.input.get("value") if self._wrapped else call.input
        try:
            self.value = self._adapter.validate_json(json_bytes(given))
        except pydantic.ValidationError as error:
            return _told(call, f"The answer does not fit, call {call.name} again:\n{describe_errors(error)}")
        self.text = self._adapter.dump_json(self.value, by_alias=True).decode()
        return _told(call, "Accepted", is_error=None)


def _prepared(tools: Sequence[Any], final: _Final | None) -> tuple[dict[str, Tool], list[wire.Tool]]:
    """Those that run here by name, and all as the model sees them."""
    runs_here: dict[str, Tool] = {}
    offered = [] if final is None else [final.tool]
    for item in map(from_sdk, tools):
        if not isinstance(item, wire.Tool):
            tool = item if isinstance(item, Tool) else _made(item)
            runs_here[tool.name] = tool
            item = wire.Tool(name=tool.name, description=tool.description, input_schema=tool.parameters)
        if any(item.name == other.name for other in offered):
            raise ValueError(f"sample: two tools have the name {item.name!r}")
        offered.append(item)
    return runs_here, offered


def _made(function: Callable[..., Any]) -> Tool:
    """A tool from a function, with what ``@tool`` said of it."""
    if not callable(function):
        raise TypeError(f"sample: {function!r} is no tool: give functions, Tool components or wire tools")
    marked = pending(function)
    made = None if marked is None else marked.make(function)
    return made if isinstance(made, Tool) else Tool.from_function(function)


def _require(peer: Peer, with_tools: bool) -> None:
    declared = peer.capabilities.sampling
    require(peer, declared is not None, "sample from a model", {"sampling": {}})
    if with_tools:
        if not peer.era.sampling_tools:
            raise UnsupportedByClient("The protocol revision of this client has no sampling with tools")
        can = declared is not None and "tools" in declared
        require(peer, can, "sample from a model with tools", {"sampling": {"tools": {}}})


def _question(
    messages: Messages,
    tools: list[wire.Tool],
    choice: Choice,
    *,
    system_prompt: str | None = None,
    max_tokens: int | None = None,
    temperature: float | None = None,
    model_preferences: Preferences = None,
    stop_sequences: list[str] | None = None,
    include_context: IncludeContext = None,
) -> CreateMessageRequestParams:
    """The first question as it goes over the wire; a string is a user's message."""
    items = list(messages) if isinstance(messages, Sequence) and not isinstance(messages, str) else [messages]
    return CreateMessageRequestParams(
        messages=[_message(item) for item in items],
        max_tokens=MAX_TOKENS if max_tokens is None else max_tokens,
        system_prompt=system_prompt,
        temperature=temperature,
        model_preferences=_preferences(model_preferences),
        stop_sequences=stop_sequences,
        include_context=include_context,
        tools=tools or None,
        tool_choice=None if choice is None else ToolChoice(mode=choice),
    )


def _message(item: Any) -> SamplingMessage:
    return SamplingMessage(role="user", content=TextContent(text=item)) if isinstance(item, str) else from_sdk(item)


def _preferences(value: Any) -> ModelPreferences | None:
    if value is None or isinstance(value, ModelPreferences):
        return value
    names: list[str] = [value] if isinstance(value, str) else value
    return ModelPreferences(hints=[ModelHint(name=name) for name in names])


def _told(call: ToolUseContent, text: str, is_error: bool | None = True) -> ToolResultContent:
    return ToolResultContent(tool_use_id=call.id, content=[TextContent(text=text)], is_error=is_error)
