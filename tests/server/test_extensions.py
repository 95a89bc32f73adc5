"""Protocol extensions: what they advertise, their methods in every era and over HTTP, their hold on tool calls."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel, Field

from headrace import Client, Context, FastMCP
from headrace.exceptions import McpError, ToolError
from headrace.protocol.types import CallToolResult, EmptyResult, Params, Result, TextContent
from headrace.protocol.versions import ERAS, LATEST
from headrace.server.extensions import CallNext, MethodBinding, ServerExtension, ToolAnswer
from headrace.testing import asgi_client, asgi_server

ERA_LIST = list(ERAS.values())
METHOD = "example/count"


class Counted(Result):
    count: int | None = None
    seen: str | None = None


class Query(BaseModel):
    name: str
    limit: int = Field(1, ge=1)


@dataclass
class Plain:
    name: str


class Struct(msgspec.Struct):
    name: str


class Counting(ServerExtension):
    identifier = "com.example/counting"

    def __init__(self, params_type: Any = Query, answer: Any = None, versions: Any = None) -> None:
        self.params_type, self.answer, self.versions = params_type, answer, versions

    def settings(self) -> dict[str, Any]:
        return {"most": 3}

    def methods(self) -> Iterable[MethodBinding]:
        return [MethodBinding(METHOD, self.params_type, self.count, self.versions)]

    async def count(self, context: Context, params: Any) -> Any:
        if self.answer is not None:
            return self.answer() if callable(self.answer) else self.answer
        assert isinstance(params, self.params_type)
        return {"count": len(params.name), "seen": f"{context.fastmcp.name} {self.client_settings(context)}"}


def make(*extensions: ServerExtension) -> FastMCP:
    mcp = FastMCP("extended")
    for extension in extensions:
        mcp.add_extension(extension)

    @mcp.tool
    async def work(ctx: Context, a: int = 1) -> int:
        return a

    @mcp.tool
    async def fail() -> int:
        raise ValueError("inside")

    return mcp


@pytest.mark.parametrize("kind", [Query, Plain, Struct])
@pytest.mark.parametrize("version", [era.version for era in ERA_LIST])
async def test_a_method_in_memory(kind: Any, version: str) -> None:
    async with Client(make(Counting(kind)), protocol_version=version) as client:
        assert (client.server_capabilities.extensions or {}) == {"com.example/counting": {"most": 3}}
        result = await client.request(METHOD, {"name": "abc"}, Counted)
        assert (result.count, result.seen) == (3, "extended None")
        with pytest.raises(McpError, match="name") as caught:
            await client.request(METHOD, {"name": 3}, Counted)
        assert caught.value.code == -32602
        for method in ("example/other", "example/count/"):
            with pytest.raises(McpError, match="Method not found") as caught:
                await client.request(method, {"name": "abc"}, Counted)
            assert caught.value.code == -32601


@pytest.mark.parametrize("stateless", [False, True])
@pytest.mark.parametrize("version", [era.version for era in ERA_LIST if era.streamable_http])
async def test_a_method_over_http(version: str, stateless: bool) -> None:
    mcp = make(Counting())
    async with asgi_server(mcp, stateless_http=stateless) as server, server.client(protocol_version=version) as client:
        assert (await client.request(METHOD, {"name": "abc"}, Counted)).count == 3
        for params in ({}, {"name": "a", "limit": 0}):
            with pytest.raises(McpError, match=r"(name|limit): ") as caught:
                await client.request(METHOD, params, Counted)
            assert caught.value.code == -32602
        with pytest.raises(McpError) as caught:
            await client.request("example/other", {"name": "abc"}, Counted)
        assert caught.value.code == -32601
        assert (await client.call_tool("work")).text == "1"


@pytest.mark.parametrize("version", [era.version for era in ERA_LIST])
async def test_only_in_some_revisions(version: str) -> None:
    async with Client(make(Counting(versions={LATEST.version})), protocol_version=version) as client:
        if version == LATEST.version:
            assert (await client.request(METHOD, {"name": "abc"}, Counted)).count == 3
        else:
            with pytest.raises(McpError, match="Method not found") as caught:
                await client.request(METHOD, {"name": "abc"}, Counted)
            assert caught.value.code == -32601


async def test_what_the_client_declared() -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": LATEST.version,
        "io.modelcontextprotocol/clientCapabilities": {"extensions": {"com.example/counting": {"unit": "words"}}},
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": METHOD, "params": {"name": "abc", "_meta": meta}}
    headers = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": LATEST.version,
        "mcp-method": METHOD,
    }
    async with asgi_server(make(Counting())) as server, server.http_client() as http:
        reply = await http.post(server.url, json=body, headers=headers)
        assert reply.status_code == 200
        result = reply.json()["result"]
        assert (result["count"], result["seen"]) == (3, "extended {'unit': 'words'}")
        assert result["resultType"] == "complete"
        wrong = await http.post(server.url, json=body, headers={**headers, "mcp-method": "tools/list"})
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, -32020)
        unknown = json.loads(json.dumps(body).replace("example/count", "example/none"))
        missing = await http.post(server.url, json=unknown, headers={**headers, "mcp-method": "example/none"})
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, -32601)
    async with asgi_server(make(Counting(versions=()))) as server, server.http_client() as http:
        none = await http.post(server.url, json=body, headers=headers)
        assert (none.status_code, none.json()["error"]["code"]) == (404, -32601)


class Model(BaseModel):
    count: int


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (lambda: None, {}),
        ({}, {}),
        (Model(count=2), {"count": 2}),
        (EmptyResult(), {}),
        (lambda: {"count": float("nan")}, {"count": None}),
    ],
)
@pytest.mark.parametrize("mode", ["legacy", "modern"])
async def test_answers(answer: Any, result: dict[str, Any], mode: Any) -> None:
    async with Client(make(Counting(answer=answer)), mode=mode, timeout=5) as client:
        got = await client.request(METHOD, {"name": "abc"}, Counted)
        assert got.count == result.get("count")


def raises(error: Exception) -> Any:
    def function() -> Any:
        raise error

    return function


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ([1], -32603),
        ("text", -32603),
        (lambda: 0, -32603),
        ({"_meta": {}}, -32603),
        ({"resultType": "complete"}, -32603),
        ({"a": "\ud800"}, -32603),
        (raises(ValueError("inside")), -32603),
        (raises(McpError("mine", code=-7)), -7),
    ],
)
@pytest.mark.parametrize("mode", ["legacy", "modern"])
async def test_answers_that_are_none(answer: Any, code: int, mode: Any) -> None:
    async with Client(make(Counting(answer=answer)), mode=mode, timeout=5) as client:
        with pytest.raises(McpError) as caught:
            await client.request(METHOD, {"name": "abc"}, Counted)
        assert caught.value.code == code
        assert (await client.call_tool("work")).text == "1"


# Around tool calls


class Around(ServerExtension):
    identifier = "com.example/around"

    def __init__(self, name: str, steps: list[str], act: Any = None) -> None:
        self.name, self.steps, self.act = name, steps, act

    async def intercept_tool_call(self, params: Params, context: Context, call_next: CallNext) -> ToolAnswer:
        self.steps.append(f"{self.name} {params.name}")
        try:
            return await (call_next() if self.act is None else self.act(call_next))
        finally:
            self.steps.append(f"{self.name} done")


class Outer(Around):
    identifier = "com.example/outer"


async def twice(call_next: CallNext) -> ToolAnswer:
    await call_next()
    return await call_next()


async def instead(call_next: CallNext) -> ToolAnswer:
    return CallToolResult(content=[TextContent(text="9")])


async def broken(call_next: CallNext) -> Any:
    raise ValueError("broken")


async def refusing(call_next: CallNext) -> Any:
    raise ToolError("refused")


async def mistaken(call_next: CallNext) -> Any:
    await call_next()


@pytest.mark.parametrize("mode", ["legacy", "modern"])
@pytest.mark.parametrize(
    ("act", "tool", "text"),
    [
        (None, "work", "1"),
        (twice, "work", "1"),
        (instead, "work", "9"),
        (instead, "fail", "9"),
        (broken, "work", "Error calling tool 'work': broken"),
        (refusing, "work", "refused"),
        (None, "fail", "Error calling tool 'fail': inside"),
        (mistaken, "work", "Error calling tool 'work': "),
    ],
)
async def test_around_a_tool(act: Any, tool: str, text: str, mode: Any) -> None:
    steps: list[str] = []
    mcp = make(Outer("outer", steps), Around("inner", steps, act))
    async with Client(mcp, mode=mode, timeout=5) as client:
        result = await client.call_tool(tool, raise_on_error=False)
        assert result.text.startswith(text)
        assert result.is_error is (text[:1].isalpha())
        assert steps == [f"outer {tool}", f"inner {tool}", "inner done", "outer done"]
        # Arguments and the tool come before: nothing runs for those that are wrong
        steps.clear()
        assert (await client.call_tool("work", {"a": "x"}, raise_on_error=False)).is_error
        with pytest.raises(McpError):
            await client.call_tool("none")
        assert steps == []
    steps.clear()
    if not text[:1].isalpha():
        await mcp.call_tool(tool)
        assert steps[0] == f"outer {tool}"


# Registration and lifespan


class Other(Counting):
    identifier = "com.example/other"


class Twice(Counting):
    identifier = "com.example/twice"

    def methods(self) -> Iterable[MethodBinding]:
        return [*super().methods(), *super().methods()]


class Nameless(ServerExtension):
    pass


@pytest.mark.parametrize("second", [Counting(), Other(), Twice(), Nameless()])
def test_refused(second: ServerExtension) -> None:
    mcp = make(Counting())
    with pytest.raises(ValueError, match=r"(already|identifier)"):
        mcp.add_extension(second)
    assert len(mcp.extensions) == 1
    assert list(mcp.extension_methods) == [METHOD]


@pytest.mark.parametrize("method", ["tools/call", "initialize", "notifications/cancelled", "sampling/createMessage"])
def test_methods_of_the_specification_are_taken(method: str) -> None:
    with pytest.raises(ValueError, match="can't take its place"):
        MethodBinding(method, dict, lambda context, params: None)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(
    "name", ["counting", "com.example", "com/x", "/x", "com.example/", "com.example/x/y", "-a.b/c"]
)
def test_identifiers(name: str) -> None:
    with pytest.raises(ValueError, match=r"com\.example/name"):
        type("Wrong", (ServerExtension,), {"identifier": name})


class Lasting(ServerExtension):
    identifier = "com.example/lasting"

    def __init__(self, steps: list[str], fails: str = "") -> None:
        self.steps, self.fails = steps, fails

    def lifespan(self) -> AbstractAsyncContextManager[Any]:
        return self.run()

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        assert self.server.name == "lasting"
        self.steps.append("extension starts")
        if self.fails == "start":
            raise ValueError("no start")
        yield
        self.steps.append("extension ends")
        if self.fails == "end":
            raise ValueError("no end")


@pytest.mark.parametrize("fails", ["", "start", "end"])
async def test_lifespan(fails: str) -> None:
    steps: list[str] = []

    @asynccontextmanager
    async def lifespan(server: FastMCP) -> AsyncIterator[dict[str, int]]:
        steps.append("server starts")
        try:
            yield {"a": 1}
        finally:
            steps.append("server ends")

    mcp = FastMCP("lasting", lifespan=lifespan)
    mcp.add_extension(Lasting(steps, fails))
    mcp.tool("look")(lambda: 1)
    for _ in range(2):  # what failed can be started again
        steps.clear()
        if fails == "start":
            with pytest.raises(ValueError, match="no start"):
                await mcp.call_tool("look")
            assert steps == ["server starts", "extension starts", "server ends"]
            continue
        if fails == "end":
            with pytest.raises(ValueError, match="no end"):
                async with mcp.lifespan_context():
                    await mcp.call_tool("look")
        else:
            async with mcp.lifespan_context() as value:
                assert value == {"a": 1}
                with pytest.raises(RuntimeError, match="runs already"):
                    mcp.add_extension(type("Late", (Lasting,), {"identifier": "com.example/late"})(steps))
        assert steps == ["server starts", "extension starts", "extension ends", "server ends"]
    assert not mcp.lifespan_running
    assert len(mcp.extensions) == 1


async def test_without_a_lifespan_of_its_own() -> None:
    """An extension without one asks nothing of the app around, and may come late."""
    mcp = FastMCP("x")
    mcp.add_extension(Counting())
    assert mcp.lifespan_running
    mcp.tool("look")(lambda: 1)
    async with asgi_client(mcp) as client:
        mcp.add_extension(Around("late", steps := []))
        await client.call_tool("look")
    assert steps == ["late look", "late done"]
