"""The handlers' modules of the client, as FastMCP users know them, with a real client and server."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

import pytest

from headrace import Client, Context, FastMCP
from headrace.client.elicitation import ElicitResult, create_elicitation_callback
from headrace.client.handlers import Notice
from headrace.client.logging import LogMessage, create_log_callback, default_log_handler
from headrace.client.messages import Message, MessageHandler
from headrace.client.progress import default_progress_handler
from headrace.client.roots import Root, convert_roots_list, create_roots_callback
from headrace.client.sampling import CreateMessageResult, create_sampling_callback
from headrace.exceptions import McpError
from headrace.protocol.types import TextContent

MODES = pytest.mark.parametrize("mode", ["modern", "legacy"])


@dataclass
class Person:
    name: str
    age: int = 30
    nick: str | None = None


def make() -> FastMCP:
    mcp = FastMCP("asks")

    @mcp.tool
    async def person(ctx: Context) -> str:
        answer: Any = await ctx.elicit("Who?", Person)
        return f"{answer.action} {getattr(answer, 'data', None)}"

    @mcp.tool
    async def number(ctx: Context) -> str:
        answer: Any = await ctx.elicit("How many?", int)
        return f"{answer.action} {getattr(answer, 'data', None)}"

    @mcp.tool
    async def sure(ctx: Context) -> str:
        return (await ctx.elicit("Sure?", None)).action

    @mcp.tool
    async def think(ctx: Context) -> str:
        return str((await ctx.sample("Think")).text)

    @mcp.tool
    async def roots(ctx: Context) -> list[str]:
        return [root.uri for root in await ctx.list_roots()]

    @mcp.tool
    async def work(ctx: Context) -> None:
        await ctx.report_progress(1, 4, "quarter")
        await ctx.warning("careful %s", logger_name="worker")

    return mcp


@MODES
@pytest.mark.parametrize(
    ("tool", "answer", "text"),
    [
        ("person", lambda kind: kind(name="Ada"), "accept Person(name='Ada', age=30, nick=None)"),
        ("person", lambda kind: {"name": "Bob", "age": 3}, "accept Person(name='Bob', age=3, nick=None)"),
        (
            "person",
            lambda kind: ElicitResult(action="accept", content=kind(name="Eve", nick="E")),
            "accept Person(name='Eve', age=30, nick='E')",
        ),
        ("person", lambda kind: ElicitResult(action="decline"), "decline None"),
        ("number", lambda kind: kind(value=3), "accept 3"),
        ("number", lambda kind: 4, "accept 4"),
        ("sure", lambda kind: None if kind is None else "a type", "accept"),
    ],
)
async def test_elicitation(mode: Any, tool: str, answer: Any, text: str) -> None:
    async def handler(message: str, response_type: Any, params: Any, context: Any) -> Any:
        return answer(response_type)

    async with Client(make(), mode=mode, elicitation_handler=create_elicitation_callback(handler)) as client:
        assert (await client.call_tool(tool)).text == text


@MODES
@pytest.mark.parametrize(
    "answer",
    ["thought", CreateMessageResult(role="assistant", content=TextContent(text="thought"), model="m")],
)
async def test_sampling(mode: Any, answer: Any) -> None:
    async with Client(
        make(), mode=mode, sampling_handler=create_sampling_callback(lambda messages, params, context: answer)
    ) as client:
        assert (await client.call_tool("think")).text == "thought"


async def later(_: Any) -> Any:
    return ["file:///a"]


@MODES
@pytest.mark.parametrize("roots", [["file:///a"], [Root(uri="file:///a")], lambda _: ["file:///a"], later])
async def test_roots(mode: Any, roots: Any) -> None:
    async with Client(make(), mode=mode, roots=create_roots_callback(roots)) as client:
        assert (await client.call_tool("roots")).data == ["file:///a"]


@pytest.mark.parametrize("root", ["https://a.example", 3])
def test_what_is_no_root(root: Any) -> None:
    with pytest.raises(ValueError, match="file://"):
        convert_roots_list([root])


@MODES
async def test_the_default_handlers_log(mode: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with Client(
        make(), mode=mode, log_handler=create_log_callback(), progress_handler=default_progress_handler
    ) as client:
        await client.call_tool("work")
    said = [(record.levelname, record.getMessage()) for record in caplog.records if "client" in record.name]
    assert ("DEBUG", "Progress: 1 of 4 (25.0%): quarter") in said
    assert any(level == "WARNING" and "(worker)" in text and "careful %s" in text for level, text in said), said


@pytest.mark.parametrize(
    ("level", "expected"), [("debug", 10), ("notice", 20), ("error", 40), ("alert", 50), ("emergency", 50)]
)
async def test_levels(level: Any, expected: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        await default_log_handler(LogMessage(level=level, data={"a": 1}))
    assert caplog.records[-1].levelno == expected


async def test_a_log_handler_of_your_own_stays_it() -> None:
    assert create_log_callback(default_log_handler) is create_log_callback()


class Heard(MessageHandler):
    def __init__(self) -> None:
        self.all: list[str] = []
        self.own: list[Any] = []
        self.changed = asyncio.Event()

    async def on_message(self, message: Message) -> None:
        self.all.append(message.root.method)

    async def on_progress(self, message: Message) -> None:
        self.own.append(message.params.progress)

    async def on_logging_message(self, message: Message) -> None:
        self.own.append(message.params.level)

    async def on_tool_list_changed(self, message: Message) -> None:
        self.own.append(message.method)
        self.changed.set()


async def test_messages() -> None:
    mcp, heard = make(), Heard()
    async with Client(mcp, mode="legacy", message_handler=heard, progress_handler=default_progress_handler) as client:
        await client.call_tool("work")
        mcp.add_tool(make)
        async with asyncio.timeout(5):
            await heard.changed.wait()
    assert heard.own == [1, "warning", "notifications/tools/list_changed"]
    assert heard.all == ["notifications/progress", "notifications/message", "notifications/tools/list_changed"]
    await heard(Notice("com.example/mine", {"a": 1}))
    assert heard.all[-1] == "com.example/mine"


async def test_a_handler_that_answers_nonsense() -> None:
    async with Client(make(), elicitation_handler=create_elicitation_callback(lambda *_: 3)) as client:
        with pytest.raises(Exception, match="answered with an object") as caught:
            await client.call_tool("person")
    assert not isinstance(caught.value, McpError)
