"""The ready sampling handlers, with stand-ins for the clients of Anthropic and OpenAI."""

from __future__ import annotations

from types import SimpleNamespace as Made
from typing import Any

import pytest

from headrace import Context, FastMCP
from headrace.client import Client
from headrace.client.sampling.handlers.anthropic import AnthropicSamplingHandler
from headrace.client.sampling.handlers.openai import OpenAISamplingHandler
from headrace.exceptions import ClientError
from headrace.protocol.types import (
    AudioContent,
    CreateMessageRequestParams,
    CreateMessageResult,
    ImageContent,
    ModelHint,
    ModelPreferences,
    SamplingMessage,
    TextContent,
    Tool,
    ToolChoice,
    ToolResultContent,
    ToolUseContent,
)

pytestmark = pytest.mark.usefixtures("no_tasks_left")
USED = ToolUseContent(id="u1", name="add", input={"a": 1})
GAVE = ToolResultContent(tool_use_id="u1", content=[TextContent(text="3"), TextContent(text="4")])
IMAGE = ImageContent(data="QUJD", mime_type="image/png")


class Api:
    """Answers of the two APIs; `asked` is what the last request said."""

    def __init__(self, answer: Any) -> None:
        self.asked: dict[str, Any] = {}
        self.answer = answer
        self.messages = self.completions = self
        self.chat = self

    async def create(self, **asked: Any) -> Any:
        self.asked = asked
        return self.answer


def claude(*blocks: Any, stop: str = "end_turn") -> Api:
    return Api(Made(content=list(blocks), model="claude-x", stop_reason=stop))


def gpt(text: str | None, *calls: Any, stop: str = "stop") -> Api:
    message = Made(content=text, tool_calls=list(calls) or None)
    return Api(Made(choices=[Made(message=message, finish_reason=stop)], model="gpt-x"))


def handler_of(api: Api, model: str = "") -> Any:
    if hasattr(api.answer, "choices"):
        return OpenAISamplingHandler(model or "gpt-default", api)
    return AnthropicSamplingHandler(model or "claude-default", api)


SAID = Made(type="text", text="hello")
APIS = pytest.mark.parametrize("api", [lambda: claude(SAID), lambda: gpt("hello")])


@APIS
@pytest.mark.parametrize("mode", ["modern", "legacy"])
async def test_a_server_that_asks_the_model(api: Any, mode: Any) -> None:
    server = FastMCP("asks")

    @server.tool
    async def think(ctx: Context) -> str:
        return (await ctx.sample("Hi", system_prompt="Be brief", max_tokens=9)).text or ""

    said = api()
    async with Client(server, mode=mode, sampling_handler=handler_of(said)) as client:
        assert (await client.call_tool("think")).data == "hello"
    assert 9 in (said.asked.get("max_tokens"), said.asked.get("max_completion_tokens"))
    assert "Be brief" in str(said.asked)


def request(messages: list[SamplingMessage], **options: Any) -> CreateMessageRequestParams:
    return CreateMessageRequestParams(messages=messages, max_tokens=10, **options)


ROUND = [
    SamplingMessage(role="user", content=[TextContent(text="look"), IMAGE]),
    SamplingMessage(role="assistant", content=[TextContent(text="hm"), USED]),
    SamplingMessage(role="user", content=GAVE),
]
ADD = Tool(name="add", description="Add", input_schema={"properties": {"a": {"type": "integer"}}})
OPTIONS: dict[str, Any] = {
    "tools": [ADD],
    "tool_choice": ToolChoice(mode="required"),
    "temperature": 0.5,
    "stop_sequences": ["END"],
    "system_prompt": "Be brief",
}


async def test_what_claude_is_asked() -> None:
    api = claude(
        SAID, Made(type="thinking"), Made(type="tool_use", id="u2", name="add", input={"a": 2}), stop="tool_use"
    )
    params = request(ROUND, **OPTIONS)
    result = await handler_of(api)(params.messages, params, None)
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    source = {"type": "base64", "media_type": "image/png", "data": "QUJD"}
    text = [{"type": "text", "text": "3"}, {"type": "text", "text": "4"}]
    assert api.asked == {
        "model": "claude-default",
        "max_tokens": 10,
        "system": "Be brief",
        "extra_body": {"temperature": 0.5},
        "stop_sequences": ["END"],
        "tools": [{"name": "add", "description": "Add", "input_schema": schema}],
        "tool_choice": {"type": "any"},
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "look"}, {"type": "image", "source": source}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "hm"},
                    {"type": "tool_use", "id": "u1", "name": "add", "input": {"a": 1}},
                ],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "u1", "content": text, "is_error": False}],
            },
        ],
    }
    assert result == CreateMessageResult(
        role="assistant",
        content=[TextContent(text="hello"), ToolUseContent(id="u2", name="add", input={"a": 2})],
        model="claude-x",
        stop_reason="toolUse",
    )


async def test_what_gpt_is_asked() -> None:
    call = Made(type="function", id="u2", function=Made(name="add", arguments='{"a":2}'))
    api = gpt("hello", call, Made(type="custom"), stop="tool_calls")
    params = request(ROUND, **OPTIONS)
    result = await handler_of(api)(params.messages, params, None)
    parameters = {"type": "object", "properties": {"a": {"type": "integer"}}}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}
    called = {"id": "u1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
    assert api.asked == {
        "model": "gpt-default",
        "max_completion_tokens": 10,
        "temperature": 0.5,
        "stop": ["END"],
        "tools": [{"type": "function", "function": {"name": "add", "description": "Add", "parameters": parameters}}],
        "tool_choice": "required",
        "messages": [
            {"role": "system", "content": "Be brief"},
            {"role": "user", "content": [{"type": "text", "text": "look"}, image]},
            {"role": "assistant", "content": [{"type": "text", "text": "hm"}], "tool_calls": [called]},
            {"role": "tool", "tool_call_id": "u1", "content": "3\n4"},
        ],
    }
    assert result == CreateMessageResult(
        role="assistant",
        content=[TextContent(text="hello"), ToolUseContent(id="u2", name="add", input={"a": 2})],
        model="gpt-x",
        stop_reason="toolUse",
    )


@pytest.mark.parametrize(
    ("hints", "api", "model"),
    [
        (["gpt-5", "claude-next"], claude, "claude-next"),
        ([None, "sonnet"], claude, "claude-default"),
        (["claude-next", "o9"], gpt, "o9"),
        ([], gpt, "gpt-default"),
    ],
)
async def test_the_model_that_the_server_would_like(hints: list[str | None], api: Any, model: str) -> None:
    asked = api(SAID) if api is claude else api("hello")
    params = request([], model_preferences=ModelPreferences(hints=[ModelHint(name=name) for name in hints]))
    await handler_of(asked)([], params, None)
    assert asked.asked["model"] == model


@APIS
async def test_no_tools_where_none_may_be_used(api: Any) -> None:
    asked = api()
    params = request([], tools=[ADD], tool_choice=ToolChoice(mode="none"))
    await handler_of(asked)([], params, None)
    assert asked.asked.get("tool_choice", "none") == "none"
    assert ("tools" in asked.asked) == ("tool_choice" in asked.asked)


@pytest.mark.parametrize(
    ("api", "stop", "reason"),
    [
        (lambda stop: claude(SAID, stop=stop), "max_tokens", "maxTokens"),
        (lambda stop: claude(SAID, stop=stop), "stop_sequence", "stopSequence"),
        (lambda stop: claude(SAID, stop=stop), "end_turn", "endTurn"),
        (lambda stop: gpt("hello", stop=stop), "length", "maxTokens"),
        (lambda stop: gpt("hello", stop=stop), "stop", "endTurn"),
    ],
)
async def test_why_it_stopped(api: Any, stop: str, reason: str) -> None:
    result = await handler_of(api(stop))([], request([]), None)
    assert (result.stop_reason, result.content) == (reason, TextContent(text="hello"))


@pytest.mark.parametrize(
    ("api", "content", "told"),
    [
        (claude(SAID), AudioContent(data="QUJD", mime_type="audio/wav"), "audio"),
        (claude(SAID), ImageContent(data="QUJD", mime_type="image/tiff"), "image/tiff"),
        (claude(), TextContent(text="hi"), "said nothing"),
        (gpt("hello"), ImageContent(data="QUJD", mime_type="image/tiff"), "image/tiff"),
        (gpt("hello"), ToolResultContent(tool_use_id="u", content=[IMAGE]), "only text"),
        (gpt(None), TextContent(text="hi"), "said nothing"),
        (
            gpt(None, Made(type="function", id="u", function=Made(name="add", arguments="[1"))),
            TextContent(text="hi"),
            "no JSON object",
        ),
    ],
)
async def test_what_can_not_be_said(api: Api, content: Any, told: str) -> None:
    messages = [SamplingMessage(role="user", content=content)]
    with pytest.raises(ClientError, match=told):
        await handler_of(api)(messages, request(messages), None)
