"""The server object: registering, duplicates, schemas by hand, mirrored arguments, lifespan, doorways."""

from __future__ import annotations

import asyncio
import functools
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

import headrace
from headrace import Context, FastMCP
from headrace.exceptions import InvalidSignature, McpError, ToolError
from headrace.prompts import Prompt
from headrace.resources import Resource, ResourceTemplate
from headrace.testing import temporary_settings
from headrace.tools import Tool


def test_decorators_return_the_function() -> None:
    mcp = FastMCP()

    def function(a: int = 1) -> str:
        return "x"

    decorators: list[Any] = [
        mcp.tool,
        mcp.tool(),
        mcp.tool("a"),
        mcp.tool(name="b"),
        mcp.prompt,
        mcp.prompt("c"),
        mcp.resource("a://b"),
        mcp.resource("a://{a}"),
        mcp.completion,
        mcp.completion(),
        mcp.custom_route("/health", ["GET"]),
    ]
    for decorate in decorators:
        assert decorate(function) is function
    assert [tool.name for tool in mcp.tools] == ["function", "a", "b"]
    assert [prompt.name for prompt in mcp.prompts] == ["function", "c"]
    assert [len(mcp.resources), len(mcp.templates)] == [1, 1]
    route = mcp.custom_routes[0]
    assert (route.path, route.methods, route.name, route.include_in_schema) == ("/health", ["GET"], None, True)


class Holder:
    def method(self, a: int) -> int:
        return a

    @staticmethod
    def static(a: int) -> int:
        return a

    async def __call__(self, a: int) -> int:
        return a


def double(a: int, factor: int) -> int:
    return a * factor


@pytest.mark.parametrize(
    ("function", "name", "answer"),
    [
        (Holder().method, "method", 3),
        (Holder.static, "static", 3),
        (Holder.__dict__["static"], "static", 3),
        (Holder(), "Holder", 3),
        (functools.partial(double, factor=2), "double", 6),
        (functools.partial(Holder().method), "method", 3),
    ],
)
async def test_kinds_of_callables(ask: Any, function: Any, name: str, answer: int) -> None:
    mcp = FastMCP(tools=[function])
    result = await ask(mcp, "tools/call", {"name": name, "arguments": {"a": 3}})
    assert result["structuredContent"] == {"result": answer}


@pytest.mark.parametrize(
    "register",
    [
        lambda mcp: mcp.tool(lambda: 1),
        lambda mcp: mcp.tool("a", name="b"),
        lambda mcp: mcp.tool(3),
        lambda mcp: mcp.resource(lambda: 1),
        lambda mcp: mcp.resource("nothing")(double),
        lambda mcp: mcp.resource("a://{b}")(double),
        lambda mcp: mcp.resource("a://{a}{?factor}")(double),
        lambda mcp: mcp.resource("a://b")(double),
        lambda mcp: FastMCP(on_duplicate="what"),  # type: ignore[arg-type]
        lambda mcp: FastMCP(list_page_size=0),
    ],
)
def test_refused_at_registration(register: Any) -> None:
    with pytest.raises((ValueError, TypeError, InvalidSignature)):
        register(FastMCP())


@pytest.mark.parametrize(("policy", "kept"), [("warn", "two"), ("replace", "two"), ("ignore", "one")])
def test_duplicates(policy: Any, kept: str, caplog: pytest.LogCaptureFixture) -> None:
    mcp = FastMCP(on_duplicate=policy)
    for description in ("one", "two"):
        mcp.tool("same", description=description)(double)
    assert [tool.description for tool in mcp.tools] == [kept]
    assert bool(caplog.records) is (policy == "warn")


def test_duplicates_as_an_error() -> None:
    mcp = FastMCP(on_duplicate="error")
    mcp.add_tool(double)
    with pytest.raises(ValueError, match="'double' is already registered"):
        mcp.add_tool(double)


def test_components_are_added_as_objects() -> None:
    mcp = FastMCP()
    mcp.add_tool(Tool.from_function(double, name="t"))
    mcp.add_resource(Resource.from_function(lambda: "x", "a://b", "r"))
    mcp.add_template(ResourceTemplate.from_function(lambda a: a, "a://{a}", "s"))
    mcp.add_prompt(Prompt.from_function(lambda: "x", "p"))
    assert "t" in mcp.tools
    assert "a://b" in mcp.resources
    assert "a://{a}" in mcp.templates
    assert "p" in mcp.prompts


SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "pattern": "^(a+)+$"}, "n": {"type": "integer"}},
    "required": ["name"],
    "additionalProperties": False,
}


async def test_a_schema_by_hand(ask: Any) -> None:
    mcp = FastMCP()

    @mcp.tool(input_schema=SCHEMA)
    async def by_hand(ctx: Context, **arguments: Any) -> str:
        return f"{ctx.request_id} {sorted(arguments.items())}"

    assert (await ask(mcp, "tools/list"))["tools"][0]["inputSchema"] == SCHEMA
    good = await ask(mcp, "tools/call", {"name": "by_hand", "arguments": {"name": "aa", "n": 1}})
    assert good["content"][0]["text"] == "1 [('n', 1), ('name', 'aa')]"
    bad = await ask(mcp, "tools/call", {"name": "by_hand", "arguments": {"name": "a" * 60 + "b", "n": "x"}})
    assert bad["isError"] is True
    text = bad["content"][0]["text"]
    assert text.startswith("Invalid arguments for tool 'by_hand':")
    assert "n: " in text
    assert "name: " in text
    missing = await ask(mcp, "tools/call", {"name": "by_hand"})
    assert missing["isError"] is True


@pytest.mark.parametrize(
    "schema", [{"type": "nothing"}, {"$ref": "https://example.com/schema.json"}, {"$ref": "file:///etc/passwd"}]
)
def test_a_bad_schema_by_hand(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a usable JSON schema"):
        FastMCP().tool("t", input_schema=schema)(double)


class Inner(BaseModel):
    flag: Annotated[bool, Field(json_schema_extra={"x-mcp-header": "Flag"})]


def test_mirrored_arguments() -> None:
    mcp = FastMCP()

    @mcp.tool
    def marked(
        region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})],
        size: Annotated[int, Field(json_schema_extra={"x-mcp-header": "si-ze"})] = 1,
    ) -> None: ...

    assert dict(mcp.mirrored("marked")) == {
        "mcp-param-region": (("region",), "string"),
        "mcp-param-si-ze": (("size",), "integer"),
    }
    assert dict(mcp.mirrored("nope")) == {}
    nested = {"type": "object", "properties": {"inner": Inner.model_json_schema()}}
    mcp.tool("nested", input_schema=nested)(lambda inner: None)
    assert dict(mcp.mirrored("nested")) == {"mcp-param-flag": (("inner", "flag"), "boolean")}


def _marked(header: Any, **schema: Any) -> dict[str, Any]:
    return {"type": "string", "x-mcp-header": header, **schema}


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": _marked("")}},
        {"properties": {"a": _marked("A b")}},
        {"properties": {"a": _marked("A\r\n")}},
        {"properties": {"a": _marked(3)}},
        {"properties": {"a": _marked("A"), "b": _marked("a")}},
        {"properties": {"a": _marked("A", type="number")}},
        {"properties": {"a": _marked("A", type=["string", "null"])}},
        {"properties": {"a": {"anyOf": [_marked("A"), {"type": "null"}]}}},
        {"properties": {"a": {"type": "array", "items": _marked("A")}}},
        {"allOf": [{"properties": {"a": _marked("A")}}]},
        {"$defs": {"X": _marked("A")}, "properties": {"a": {"$ref": "#/$defs/X"}}},
        _marked("A", type="object"),
    ],
)
def test_invalid_marks(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"'t'.*x-mcp-header"):
        FastMCP().tool("t", input_schema={"type": "object", **schema})(lambda a: None)


def test_a_default_that_looks_like_a_mark_is_none() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "object", "default": {"x-mcp-header": "A"}}}}
    FastMCP().tool("t", input_schema=schema)(lambda a: None)


async def test_strict_input(ask: Any) -> None:
    mcp = FastMCP(strict_input_validation=True, tools=[double])
    result = await ask(mcp, "tools/call", {"name": "double", "arguments": {"a": "1", "factor": 1}})
    assert result["isError"] is True


async def test_lifespan_is_entered_once(ask: Any) -> None:
    events: list[str] = []

    @asynccontextmanager
    async def lifespan(server: FastMCP) -> AsyncIterator[dict[str, str]]:
        events.append(f"in {server.name}")
        try:
            yield {"db": "open"}
        finally:
            events.append("out")

    mcp = FastMCP("l", lifespan=lifespan)

    @mcp.tool
    async def look(ctx: Context) -> str:
        return str(ctx.lifespan_context["db"])

    assert not mcp.lifespan_running
    with pytest.raises(McpError, match=r"lifespan=mcp_app\.lifespan"):
        await ask(mcp, "tools/call", {"name": "look"})
    for _ in range(2):
        async with mcp.lifespan_context() as value, mcp.lifespan_context():
            assert value == {"db": "open"}
            assert mcp.lifespan_running
            assert (await ask(mcp, "tools/call", {"name": "look"}))["structuredContent"] == {"result": "open"}
    assert events == ["in l", "out"] * 2


async def test_lifespan_that_fails() -> None:
    @asynccontextmanager
    async def lifespan(server: FastMCP) -> AsyncIterator[None]:
        raise OSError("no database")
        yield

    mcp = FastMCP(lifespan=lifespan)
    for _ in range(2):
        with pytest.raises(OSError, match="no database"):
            async with mcp.lifespan_context():
                pass
    assert not mcp.lifespan_running


def test_lifespan_in_another_loop() -> None:
    mcp = FastMCP()

    async def enter() -> None:
        async with mcp.lifespan_context() as value:
            assert value == {}

    asyncio.run(enter())
    asyncio.run(enter())


def test_http_app_of_an_unknown_transport() -> None:
    with pytest.raises(ValueError, match="transport"):
        FastMCP().http_app(transport="carrier-pigeon")


def test_public_names() -> None:
    for name in headrace.__all__:
        if name == "Client":
            continue
        assert getattr(headrace, name) is not None
    assert set(headrace.__all__) <= set(dir(headrace))
    with pytest.raises(AttributeError):
        headrace.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_importing_the_root_does_nothing() -> None:
    code = (
        "import sys, headrace; print([m for m in sys.modules if m.startswith(('headrace.', 'pydantic', 'starlette'))])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert found.stdout.strip() == "[]"
    assert logging.getLogger("headrace").handlers == []


async def test_the_last_app_says_whether_errors_are_masked() -> None:
    """The settings of one app are not those of the next."""
    mcp = FastMCP()

    @mcp.tool
    def fail() -> None:
        raise KeyError("secret")

    for masked in (True, False):
        with temporary_settings(mask_error_details=masked):
            mcp.http_app()
        with pytest.raises(ToolError) as caught:
            await mcp.call_tool("fail")
        assert ("secret" in str(caught.value)) is not masked
