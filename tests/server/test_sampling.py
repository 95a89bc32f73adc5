"""`ctx.sample` with tools that run here, and with a result type, as a client of either era sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel

from headrace import Client, Context, FastMCP
from headrace.exceptions import ToolError, UnsupportedByClient
from headrace.protocol.types import (
    CreateMessageRequestParams,
    CreateMessageResult,
    SamplingMessage,
    TextContent,
    Tool,
    ToolResultContent,
    ToolUseContent,
)
from headrace.server.elicitation import AcceptedElicitation
from headrace.testing import run_server_async
from headrace.tools.tool import Tool as ToolComponent
from headrace.tools.tool import tool


class Cell(NamedTuple):
    transport: str
    mode: Any


CELLS = [Cell(transport, mode) for transport in ("memory", "http") for mode in ("modern", "legacy")]


class Model:
    """The client's model: says `turns` one after the other, and keeps what it was asked."""

    def __init__(self, *turns: Any) -> None:
        self.turns = list(turns)
        self.asked: list[CreateMessageRequestParams] = []

    def __call__(self, messages: Any, params: CreateMessageRequestParams, context: Any) -> Any:
        self.asked.append(params)
        turn = self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]
        return turn(params) if callable(turn) else turn

    @property
    def told(self) -> list[tuple[str, bool]]:
        """The tool results of the last question, in order: text, and whether it was an error."""
        results = [
            block
            for message in self.asked[-1].messages
            for block in (message.content if isinstance(message.content, list) else [message.content])
            if isinstance(block, ToolResultContent)
        ]
        return [
            ("\n".join(each.text for each in result.content if isinstance(each, TextContent)), bool(result.is_error))
            for result in results
        ]


def calls(*called: tuple[str, dict[str, Any]]) -> CreateMessageResult:
    """Tool calls. The ids are the same in every answer: nothing may depend on them."""
    blocks: Any = [ToolUseContent(id=f"call_{n}", name=name, input=given) for n, (name, given) in enumerate(called)]
    return CreateMessageResult(role="assistant", content=blocks, model="m", stop_reason="toolUse")


@asynccontextmanager
async def connected(mcp: FastMCP, cell: Cell, model: Any, **options: Any) -> AsyncGenerator[Client]:
    declared = {"sampling_handler": model, "sampling_capabilities": {"tools": {}}}
    options = {"mode": cell.mode, "timeout": 20, **declared, **options}
    if cell.transport == "memory":
        async with Client(mcp, **options) as client:
            yield client
    else:
        async with run_server_async(mcp) as url, Client(url, **options) as client:
            yield client


async def ask(function: Callable[[Context], Any], model: Any, cell: Cell = CELLS[0], **options: Any) -> Any:
    """What a tool returns that is this function."""
    mcp = FastMCP("sampling", **options.pop("server", {}))

    @mcp.tool(output_schema=None)
    async def run(ctx: Context) -> Any:
        return await function(ctx)

    async with connected(mcp, cell, model, **options) as client:
        result = await client.call_tool("run")
        return result.text


class Counter:
    """Tools that count how often they ran."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def add(self, a: int, b: int) -> int:
        """Adds two numbers."""
        self.ran.append(f"add {a} {b}")
        return a + b

    async def fail(self, how: str) -> str:
        self.ran.append("fail")
        if how == "told":
            raise ToolError("said on purpose")
        raise RuntimeError("a secret")


@pytest.mark.parametrize("cell", CELLS, ids=str)
async def test_tools_run_once_and_their_results_go_back(cell: Cell) -> None:
    counter = Counter()

    async def think(ctx: Context) -> str:
        said = await ctx.sample("1 + 2 + 3?", system_prompt="count", tools=[counter.add], tool_choice="required")
        roles = [message.role for message in said.history]
        return f"{said.text} {said.result} {roles}"

    model = Model(
        calls(("add", {"a": 1, "b": 2}), ("add", {"a": 0, "b": 0})), calls(("add", {"a": 3, "b": 3})), "It is 6"
    )
    text = await ask(think, model, cell)
    assert text == "It is 6 It is 6 ['user', 'assistant', 'user', 'assistant', 'user', 'assistant']"
    assert counter.ran == ["add 1 2", "add 0 0", "add 3 3"]
    assert model.told == [("3", False), ("0", False), ("6", False)]
    first, second, _ = model.asked
    assert first.tools is not None
    assert (first.tools[0].name, first.tools[0].description) == ("add", "Adds two numbers.")
    assert first.tools[0].input_schema["required"] == ["a", "b"]
    assert (first.tool_choice and first.tool_choice.mode, second.tool_choice) == ("required", None)
    assert (second.system_prompt, second.max_tokens) == ("count", 512)


@pytest.mark.parametrize("cell", CELLS, ids=str)
async def test_equal_questions_run_their_tools_each(cell: Cell) -> None:
    counter = Counter()

    async def think(ctx: Context) -> str:
        async def one() -> str:
            return (await ctx.sample("again", tools=[counter.add])).text

        both = await asyncio.gather(one(), one())
        return ",".join([*both, await one()])

    def model(messages: Any, params: CreateMessageRequestParams, context: Any) -> Any:
        return "done" if len(messages) > 1 else calls(("add", {"a": 1, "b": 1}))

    assert await ask(think, model, cell) == "done,done,done"
    assert len(counter.ran) == 3


@pytest.mark.parametrize("cell", CELLS, ids=str)
async def test_tools_that_ask_the_user_get_an_answer_each(cell: Cell) -> None:
    """One question of two steps: a recorded step no longer asks, and must not leave its answer to the other."""
    deleted: list[str] = []
    users = iter([True, False, True])

    async def delete(name: str, ctx: Context) -> str:
        answer = await ctx.elicit("Really?", bool)
        yes = isinstance(answer, AcceptedElicitation) and answer.data
        keyed = await ctx.elicit("Sure?", bool, key="sure") if yes else None
        if yes and isinstance(keyed, AcceptedElicitation):
            deleted.append(name)
        return "deleted" if yes else "kept"

    async def think(ctx: Context) -> str:
        said = await ctx.sample("clean up", tools=[delete], key="clean")
        answer = await ctx.elicit("Really?", bool)
        return f"{said.text} {isinstance(answer, AcceptedElicitation) and answer.data}"

    def user(message: str, *_: Any) -> Any:
        return {"value": next(users) if message == "Really?" else True}

    model = Model(calls(("delete", {"name": "a"}), ("delete", {"name": "b"})), "clean")
    assert await ask(think, model, cell, elicitation_handler=user) == "clean True"
    assert deleted == ["a"]
    assert model.told == [("deleted", False), ("kept", False)]


@pytest.mark.parametrize(
    ("called", "options", "told"),
    [
        (("fail", {"how": "told"}), {}, "said on purpose"),
        (("fail", {"how": "told"}), {"mask_error_details": True}, "said on purpose"),
        (("fail", {"how": "x"}), {}, "Error calling tool 'fail': a secret"),
        (("fail", {"how": "x"}), {"mask_error_details": True}, "Error calling tool 'fail'"),
        (("add", {"a": 1}), {}, "Invalid arguments for tool 'add':\nb: required, but missing"),
        (("nosuch", {}), {}, "Unknown tool: 'nosuch'"),
        (("final_response", {}), {}, "Unknown tool: 'final_response'"),
    ],
)
async def test_errors_are_told_to_the_model(called: Any, options: Any, told: str) -> None:
    counter = Counter()

    async def think(ctx: Context) -> str:
        return (await ctx.sample("go", tools=[counter.add, counter.fail], **options)).text

    model = Model(calls(called), "sorry")
    assert await ask(think, model) == "sorry"
    assert model.told == [(told, True)]
    assert len(counter.ran) <= 1


async def test_errors_are_masked_where_the_server_masks_them() -> None:
    counter = Counter()
    model = Model(calls(("fail", {"how": "x"})), "sorry")

    async def think(ctx: Context) -> str:
        return (await ctx.sample("go", tools=[counter.fail])).text

    await ask(think, model, server={"mask_error_details": True})
    assert model.told == [("Error calling tool 'fail'", True)]


@pytest.mark.parametrize("mode", ["modern", "legacy"])
@pytest.mark.parametrize("options", [{"max_iterations": 3}, {}])
async def test_a_model_without_an_end(mode: Any, options: Any) -> None:
    counter = Counter()

    async def think(ctx: Context) -> str:
        return (await ctx.sample("go", tools=[counter.add], **options)).text

    rounds = options.get("max_iterations", 10)
    with pytest.raises(ToolError, match=f"still called tools after {rounds} rounds"):
        await ask(think, Model(calls(("add", {"a": 1, "b": 1}))), Cell("memory", mode))
    assert len(counter.ran) == rounds


class Person(BaseModel):
    name: str
    age: int


@dataclass
class Point:
    x: int
    y: int = 0


@pytest.mark.parametrize(
    ("kind", "given", "result", "text"),
    [
        (Person, {"name": "Ann", "age": 3}, Person(name="Ann", age=3), '{"name":"Ann","age":3}'),
        (Point, {"x": 1}, Point(1), '{"x":1,"y":0}'),
        (int, {"value": 4}, 4, "4"),
        (list[str], {"value": ["a"]}, ["a"], '["a"]'),
        (dict[str, int], {"a": 1}, {"a": 1}, '{"a":1}'),
        (Person | None, {"value": None}, None, "null"),
    ],
    ids=str,
)
async def test_a_typed_result(kind: Any, given: Any, result: Any, text: str) -> None:
    async def think(ctx: Context) -> str:
        said = await ctx.sample("who?", result_type=kind)
        assert said.result == result
        assert said.text == text
        return "good"

    model = Model(calls(("final_response", given)))
    assert await ask(think, model) == "good"
    assert model.asked[0].tool_choice is not None
    assert model.asked[0].tool_choice.mode == "required"
    assert [each.input_schema["type"] for each in model.asked[0].tools or ()] == ["object"]


@pytest.mark.parametrize("cell", CELLS, ids=str)
async def test_a_typed_result_at_last(cell: Cell) -> None:
    counter = Counter()

    async def think(ctx: Context) -> str:
        said = await ctx.sample("who?", result_type=Person, tools=[counter.add])
        return repr(said.result)

    model = Model(
        "Ann, who is three",
        calls(("final_response", {"name": "Ann", "age": "three"})),
        calls(("add", {"a": 1, "b": 2}), ("final_response", {"name": "Ann", "age": 3})),
    )
    assert await ask(think, model, cell) == "Person(name='Ann', age=3)"
    assert counter.ran == ["add 1 2"]
    assert "age: Input should be a valid integer" in model.told[0][0]
    assert model.asked[1].messages[-1].content == TextContent(
        text="Give your answer by calling the tool final_response, not as text."
    )


async def test_no_typed_result_in_the_end() -> None:
    async def think(ctx: Context) -> str:
        return (await ctx.sample("who?", result_type=Person, max_iterations=2)).text

    with pytest.raises(ToolError, match="gave no result of the type asked for after 2 rounds"):
        await ask(think, Model("Ann"))


LOOKUP = Tool(name="lookup", input_schema={"type": "object"})


@pytest.mark.parametrize(
    ("called", "options", "runs", "returned"),
    [
        ([("lookup", {"q": 1})], {}, 0, "lookup"),
        ([("add", {"a": 1, "b": 1}), ("lookup", {})], {}, 0, "add lookup"),
        ([("add", {"a": 1, "b": 1}), ("lookup", {})], {"result_type": int}, 0, "add lookup"),
        ([("add", {"a": 1, "b": 1})], {"tools": [LOOKUP]}, 0, "add"),
        ([("add", {"a": 1, "b": 1})], {}, 1, ""),
    ],
)
async def test_calls_of_wire_tools_are_left_to_the_caller(called: Any, options: Any, runs: int, returned: str) -> None:
    counter = Counter()

    async def think(ctx: Context) -> str:
        given: Any = {"tools": [counter.add, LOOKUP], **options}
        said = await ctx.sample("go", **given)
        assert said.is_tool_use == bool(returned)
        assert said.result == (None if "result_type" in options else said.text)
        return " ".join(call.name for call in said.tool_calls)

    assert await ask(think, Model(calls(*called), "done")) == returned
    assert len(counter.ran) == runs


async def test_all_kinds_of_tools() -> None:
    @tool(name="marked", description="by a decorator")
    def decorated(ctx: Context) -> str:
        return ctx.fastmcp.name

    def plain(x: int) -> list[int]:
        return [x, x]

    component = ToolComponent.from_function(lambda: "lambda", name="component")

    async def think(ctx: Context) -> str:
        return (await ctx.sample("go", tools=[decorated, plain, component], tool_concurrency=0)).text

    model = Model(calls(("marked", {}), ("plain", {"x": 1}), ("component", {})), "done")
    assert await ask(think, model) == "done"
    assert model.told == [("sampling", False), ("[1,1]", False), ("lambda", False)]
    assert [each.description for each in model.asked[0].tools or ()] == ["by a decorator", None, None]


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"tools": [LOOKUP, LOOKUP]}, ValueError, "two tools have the name 'lookup'"),
        ({"tools": [Tool(name="final_response", input_schema={})], "result_type": int}, ValueError, "final_response"),
        ({"tools": [3]}, TypeError, "3 is no tool"),
        ({"tools": [LOOKUP], "tool_concurrency": -1}, ValueError, "at least 0"),
        ({"result_type": object()}, TypeError, "has no JSON schema"),
    ],
)
async def test_what_can_not_be_asked(options: Any, error: type[Exception], says: str) -> None:
    async def think(ctx: Context) -> str:
        with pytest.raises(error, match=says):
            await ctx.sample("go", **options)
        return "refused"

    assert await ask(think, Model("never")) == "refused"


async def test_a_client_without_tools(make_peer: Any, ask: Any) -> None:
    mcp = FastMCP()

    @mcp.tool
    async def run(ctx: Context) -> str:
        return (await ctx.sample("go", tools=[Counter().add])).text

    with pytest.raises(UnsupportedByClient) as caught:
        await ask(mcp, "tools/call", {"name": "run"}, peer=make_peer(capabilities={"sampling": {}}))
    assert caught.value.capabilities == {"sampling": {"tools": {}}}


@pytest.mark.parametrize("cell", CELLS, ids=str)
async def test_a_loop_of_ones_own(cell: Cell) -> None:
    counter = Counter()

    async def think(ctx: Context) -> str:
        messages: list[Any] = ["go"]
        seen: list[str] = []
        while True:
            step = await ctx.sample_step(messages, tools=[counter.add])
            if not step.is_tool_use:
                return f"{step.text} {seen}"
            seen += [call.name for call in step.tool_calls]
            messages = step.history

    model = Model(calls(("add", {"a": 1, "b": 2})), calls(("add", {"a": 1, "b": 2})), "done")
    assert await ask(think, model, cell) == "done ['add', 'add']"
    assert len(counter.ran) == 2


async def test_steps_whose_tools_the_caller_runs() -> None:
    counter = Counter()

    async def think(ctx: Context) -> str:
        step = await ctx.sample_step("go", tools=[counter.add], execute_tools=False)
        results: Any = [
            ToolResultContent(tool_use_id=call.id, content=[TextContent(text="by hand")]) for call in step.tool_calls
        ]
        return (await ctx.sample_step([*step.history, SamplingMessage(role="user", content=results)])).text

    model = Model(calls(("add", {"a": 1, "b": 2})), "done")
    assert await ask(think, model) == "done"
    assert (counter.ran, model.told) == ([], [("by hand", False)])
