"""Every kind of function, parameter and return value that a tool may have, as clients of both eras see them."""

from __future__ import annotations

import asyncio
import base64
import datetime
import enum
import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,  # of typing, pydantic takes them from Python 3.12 on
)
from uuid import UUID

import mcp_types
import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator
from typing_extensions import TypedDict

from headrace import Audio, Client, Context, FastMCP, File, Image
from headrace.exceptions import InvalidSignature, ToolError
from headrace.prompts import prompt
from headrace.resources import resource
from headrace.tools import FunctionTool, Tool, tool
from headrace.types import ResourceLink, TextContent, ToolResult

MODES = ("legacy", "modern")


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> Any:
    return request.param


# Kinds of callables


class Holder:
    """Holds."""

    factor = 2

    @tool(name="method_tool", tags={"m"})
    def method(self, a: int) -> int:
        return a * self.factor

    @tool(title="Static")
    @staticmethod
    def static(a: int) -> int:
        return a * 2

    @staticmethod
    @tool(title="Static")
    def inner_static(a: int) -> int:
        return a * 2

    @classmethod
    def of_class(cls, a: int) -> int:
        return a * cls.factor

    async def async_method(self, a: int, ctx: Context) -> int:
        return a * self.factor

    def __call__(self, a: int) -> int:
        return a * self.factor


class AsyncCallee:
    async def __call__(self, a: int, *, ctx: Context) -> int:
        assert ctx.fastmcp.name
        return a * 2


def double(a: int, factor: int = 2) -> int:
    return a * factor


def wrapped(function: Any) -> Any:
    @functools.wraps(function)
    def outer(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return outer


async def async_double(a: int) -> int:
    return a * 2


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (Holder().method, "method_tool"),
        (Holder().async_method, "async_method"),
        (Holder.static, "static"),
        (Holder.inner_static, "inner_static"),
        (Holder().static, "static"),
        (Holder.of_class, "of_class"),
        (Holder().of_class, "of_class"),
        (Holder(), "Holder"),
        (AsyncCallee(), "AsyncCallee"),
        (functools.partial(double, factor=2), "double"),
        (functools.partial(async_double), "async_double"),
        (functools.partial(functools.partial(double), factor=2), "double"),
        (wrapped(double), "double"),
        (wrapped(async_double), "async_double"),
        (wrapped(Holder().method), "method_tool"),
    ],
)
async def test_callables(function: Callable[..., Any], name: str, mode: Any) -> None:
    mcp = FastMCP()
    mcp.add_tool(function)
    async with Client(mcp, mode=mode) as client:
        assert [each.name for each in await client.list_tools()] == [name]
        assert (await client.call_tool(name, {"a": 3})).data == 6


async def test_marked_functions_keep_their_options() -> None:
    mcp = FastMCP(tools=[Holder.static, Holder.inner_static, Holder().method])
    listed = {each.name: each for each in await mcp.list_tools()}
    assert [listed[name].title for name in ("static", "inner_static")] == ["Static", "Static"]
    assert listed["method_tool"].tags == {"m"}


async def test_standalone_decorators(mode: Any) -> None:
    @tool
    def bare(a: int) -> int:
        return a

    @tool("named", title="Named", version="2.0", meta={"k": 1})
    async def options(a: int) -> int:
        return a

    @prompt("asks", tags={"x"})
    def ask(a: str) -> str:
        return a

    @resource("data://{a}", name="read")
    def read(a: str) -> str:
        return a

    @resource("data://static", mime_type="text/x")
    def static() -> str:
        return "s"

    assert bare(3) == 3  # still the function
    mcp = FastMCP()
    assert isinstance(mcp.add_tool(bare), FunctionTool)
    mcp.add_tool(options)
    mcp.add_prompt(ask)
    mcp.add_resource(read)
    mcp.add_resource(static)
    async with Client(mcp, mode=mode) as client:
        tools = {each.name: each for each in await client.list_tools()}
        assert set(tools) == {"bare", "named"}
        assert tools["named"].title == "Named"
        assert tools["named"].meta == {"k": 1, "fastmcp": {"version": "2.0", "versions": ["2.0"]}}
        assert (await client.call_tool("named", {"a": 1})).data == 1
        assert (await client.list_prompts())[0].meta == {"fastmcp": {"tags": ["x"]}}
        assert (await client.read_resource("data://static"))[0].mime_type == "text/x"
        assert (await client.read_resource("data://other"))[0].text == "other"


@pytest.mark.parametrize(
    "register",
    [
        lambda mcp: mcp.tool(Holder.__dict__["of_class"]),
        lambda mcp: tool(Holder().method),
        lambda mcp: mcp.add_resource(double),
        lambda mcp: mcp.add_resource(tool(lambda: 1)),
        lambda mcp: mcp.add_tool(lambda: 1),
        lambda mcp: mcp.tool(lambda *args: 1, name="x"),
        lambda mcp: mcp.tool(lambda **kwargs: 1, name="x"),
        lambda mcp: mcp.tool(lambda a, /: 1, name="x"),
        lambda mcp: mcp.tool("x", exclude_args=["a"])(lambda a: 1),
        lambda mcp: mcp.tool("x", exclude_args=["b"])(lambda a: 1),
        lambda mcp: mcp.tool("x", exclude_args=["a"])(lambda a=Field(2): 1),  # noqa: B008
        lambda mcp: mcp.tool("x", version="1@2")(lambda: 1),
        lambda mcp: mcp.tool("x", input_schema={"type": 5})(lambda: 1),
        lambda mcp: mcp.tool("x", output_schema={"type": 5})(lambda: 1),
        lambda mcp: mcp.tool("x", annotations={"readOnlyHint": "yes"})(lambda: 1),
        lambda mcp: mcp.tool("x", icons=[{"sizes": 1}])(lambda: 1),
        lambda mcp: mcp.tool("x", nonsense=1)(lambda: 1),
    ],
)
def test_refused(register: Any) -> None:
    mcp = FastMCP()
    with pytest.raises((ValueError, TypeError, InvalidSignature)):
        register(mcp)
    assert (len(mcp.tools), len(mcp.resources)) == (0, 0)


# Parameters


class Colour(enum.Enum):
    red = "r"
    blue = "b"


class Level(enum.IntEnum):
    low = 1
    high = 2


class Model(BaseModel):
    name: str
    inner: Model | None = None


class Upper(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str

    @field_validator("name")
    @classmethod
    def upper(cls, value: str) -> str:
        return value.upper()


@dataclass
class Point:
    x: int
    y: int = 0
    tags: list[str] = field(default_factory=list[str])


class Typed(TypedDict):
    a: int
    b: NotRequired[str]


MARKED = Annotated[int, Field(ge=1, le=5, description="few")]


def keyword_only(*, a: int, b: int = 2) -> str:
    return f"{a} {b}"


def odd_names(_x: int, self: int, arguments: int, cls: int, kwargs: int, function: int) -> str:
    return f"{_x}{self}{arguments}{cls}{kwargs}{function}"


def aliased(a: Annotated[int, Field(alias="from")]) -> str:
    return str(a)


def factory(a: list[int] = Field(default_factory=lambda: [1])) -> str:  # noqa: B008
    return str(a)


def enums(colour: Colour, level: Level = Level.low) -> str:
    return f"{colour.name} {level.name}"


def model(model: Model) -> str:
    return f"{type(model).__name__} {model.inner.name if model.inner else None}"


def validated(model: Upper) -> str:
    return model.name


def point(point: Point) -> str:
    return f"{type(point).__name__} {point.x} {point.y} {point.tags}"


def typed(typed: Typed) -> str:
    return f"{sorted(typed.items())}"


def union(a: int | str | list[int] | None = None) -> str:
    return repr(a)


def literal(a: Literal["x", 1]) -> str:
    return repr(a)


def marked(a: MARKED) -> str:
    return repr(a)


def strictly(a: Annotated[int, Field(strict=True)]) -> str:
    return repr(a)


def dates(day: datetime.date, id: UUID, path: Path, raw: bytes) -> str:
    return f"{day.year} {id.version} {path.name} {raw!r}"


def anything(a: Any, b: dict[str, Any] | None = None) -> str:
    return repr(a)


def untyped(a, b=2):  # type: ignore[no-untyped-def]
    return f"{a!r} {b!r}"


UID = "12345678-1234-4234-8234-123456789012"


@pytest.mark.parametrize(
    ("function", "arguments", "answer"),
    [
        (keyword_only, {"a": 1}, "1 2"),
        (keyword_only, {"a": "1", "b": 3.0}, "1 3"),
        (keyword_only, {}, "a: required, but missing"),
        (keyword_only, {"a": 1, "c": 1}, "c: no such argument"),
        (odd_names, {"_x": 1, "self": 2, "arguments": 3, "cls": 4, "kwargs": 5, "function": 6}, "123456"),
        (aliased, {"from": 1}, "1"),
        (aliased, {"a": 1}, "no such argument"),
        (factory, {}, "[1]"),
        (enums, {"colour": "b", "level": 2}, "blue high"),
        (enums, {"colour": "green"}, "colour: Input should be 'r' or 'b'"),
        (model, {"model": {"name": "a", "inner": {"name": "b"}}}, "Model b"),
        (model, {"model": {"inner": {"name": "b"}}}, "model.name: required, but missing"),
        (validated, {"model": {"name": "a"}}, "A"),
        (validated, {"model": {"name": "a", "b": 1}}, "model.b: Extra inputs are not permitted"),
        (point, {"point": {"x": 1, "tags": ["t"]}}, "Point 1 0 ['t']"),
        (typed, {"typed": {"a": 1}}, "[('a', 1)]"),
        (typed, {"typed": {"b": ""}}, "typed.a: required, but missing"),
        (union, {}, "None"),
        (union, {"a": [1]}, "[1]"),
        (union, {"a": "1"}, "'1'"),
        (literal, {"a": 1}, "1"),
        (literal, {"a": 2}, "a: Input should be 'x' or 1"),
        (marked, {"a": 5}, "5"),
        (marked, {"a": 6}, "a: Input should be less than or equal to 5"),
        (strictly, {"a": 1}, "1"),
        (strictly, {"a": "1"}, "a: Input should be a valid integer"),
        (dates, {"day": "2026-01-02", "id": UID, "path": "/a/b", "raw": "x"}, "2026 4 b b'x'"),
        (anything, {"a": {"b": [None, 1.5]}}, "{'b': [None, 1.5]}"),
        (untyped, {"a": [1]}, "[1] 2"),
    ],
)
async def test_parameters(function: Any, arguments: dict[str, Any], answer: str, mode: Any) -> None:
    mcp = FastMCP()
    mcp.tool("t")(function)
    async with Client(mcp, mode=mode) as client:
        result = await client.call_tool("t", arguments, raise_on_error=False)
        assert answer in result.text
        assert result.is_error is result.text.startswith("Invalid arguments for tool 't':")


@pytest.mark.parametrize(
    ("server", "own", "text", "works"),
    [
        (False, None, "5", True),
        (True, None, "5", False),
        (True, False, "5", True),
        (False, True, "5", False),
        (True, None, 5, True),
    ],
)
@pytest.mark.parametrize("way", ["decorator", "function", "marked", "tool"])
async def test_strict(server: bool, own: bool | None, text: Any, works: bool, way: str) -> None:
    mcp = FastMCP(strict_input_validation=server)
    options: dict[str, Any] = {} if own is None else {"strict": own}

    def t(a: int) -> int:
        return a

    if way == "decorator":
        mcp.tool(**options)(t)
    elif way == "function":
        mcp.add_tool(t if own is None else Tool.from_function(t, **options))
    elif way == "marked":
        mcp.add_tool(tool(**options)(t))
    else:
        mcp.add_tool(Tool.from_function(t, **options))
    async with Client(mcp) as client:
        assert (await client.call_tool("t", {"a": text}, raise_on_error=False)).is_error is not works


async def test_sync_functions_run_in_threads() -> None:
    mcp = FastMCP()
    mcp.tool("thread")(lambda: threading.current_thread() is threading.main_thread())
    mcp.tool("loop", run_in_thread=False)(lambda: threading.current_thread() is threading.main_thread())
    for name, on_main_thread in (("thread", "false"), ("loop", "true")):
        result: Any = await mcp.call_tool(name)
        assert result.content[0].text == on_main_thread


# Results

PNG = base64.b64encode(b"png").decode()


def data(kind: Any) -> Any:
    """A function with this return annotation."""

    def decorate(value: Any) -> Any:
        async def function() -> Any:
            return value() if callable(value) else value

        function.__annotations__ = {"return": kind}
        return function

    return decorate


@pytest.mark.parametrize(
    ("function", "schema_type", "structured", "text"),
    [
        (data(int)(3), "integer", {"result": 3}, "3"),
        (data(bool)(True), "boolean", {"result": True}, "true"),
        (data(float)(float("inf")), "number", {"result": None}, "null"),
        (data(str)("x"), "string", {"result": "x"}, "x"),
        (data(list[int])([1]), "array", {"result": [1]}, "[1]"),
        (data(tuple[int, str])((1, "a")), "array", {"result": [1, "a"]}, '[1,"a"]'),
        (data(set[int])({1}), "array", {"result": [1]}, "[1]"),
        (data(Colour)(Colour.red), "string", {"result": "r"}, '"r"'),
        (data(Level)(Level.high), "integer", {"result": 2}, "2"),
        (data(datetime.date)(datetime.date(2026, 1, 2)), "string", {"result": "2026-01-02"}, '"2026-01-02"'),
        (data(list[Model])([{"name": "a"}]), "array", {"result": [{"name": "a", "inner": None}]}, None),
        (data(Point)(Point(1)), None, {"x": 1, "y": 0, "tags": []}, '{"x":1,"y":0,"tags":[]}'),
        (data(Upper)(Upper(name="a")), None, {"name": "A"}, '{"name":"A"}'),
        (data(Typed)({"a": 1}), None, {"a": 1}, '{"a":1}'),
        (data(dict[str, int])({"a": 1}), None, {"a": 1}, '{"a":1}'),
        (data(dict[str, Any])({"a": float("nan")}), None, {"a": None}, '{"a":null}'),
    ],
)
async def test_structured_results(
    function: Any, schema_type: str | None, structured: Any, text: str | None, mode: Any
) -> None:
    mcp = FastMCP()
    mcp.tool("t")(function)
    async with Client(mcp, mode=mode) as client:
        schema = (await client.list_tools())[0].output_schema
        assert schema is not None
        assert schema["type"] == "object"
        if schema_type is not None:
            assert schema["required"] == ["result"]
            assert schema_type in str(schema["properties"]["result"]) + str(schema.get("$defs"))
        result = await client.call_tool("t")
        assert result.structured_content == structured
        assert text in (None, result.text)


def mixed() -> list[Any]:
    return ["a", Image(data=b"png"), {"k": 1}, File(data=b"pdf", format="pdf", name="n")]


def no_annotation():  # type: ignore[no-untyped-def]
    return {"a": 1, "b": float("nan")}


@pytest.mark.parametrize(
    ("function", "content", "structured"),
    [
        (data(Image)(lambda: Image(data=b"png")), [{"type": "image", "data": PNG, "mimeType": "image/png"}], None),
        (data(Audio)(lambda: Audio(data=b"png")), [{"type": "audio", "data": PNG, "mimeType": "audio/wav"}], None),
        (
            data(bytes)(b"png"),
            [
                {
                    "type": "resource",
                    "resource": {"uri": "file:///resource", "mimeType": "application/octet-stream", "blob": PNG},
                }
            ],
            None,
        ),
        (
            data(ResourceLink)(lambda: ResourceLink(uri="a://b", name="n")),
            [{"type": "resource_link", "uri": "a://b", "name": "n"}],
            None,
        ),
        (data(TextContent)(lambda: TextContent(text="x")), [{"type": "text", "text": "x"}], None),
        (
            mixed,
            [
                {"type": "text", "text": "a"},
                {"type": "image", "data": PNG, "mimeType": "image/png"},
                {"type": "text", "text": '{"k":1}'},
                {
                    "type": "resource",
                    "resource": {
                        "uri": "file:///n",
                        "mimeType": "application/pdf",
                        "blob": base64.b64encode(b"pdf").decode(),
                    },
                },
            ],
            None,
        ),
        (no_annotation, [{"type": "text", "text": '{"a":1,"b":null}'}], {"a": 1, "b": None}),
        (data(None)(None), [], None),
        (data(Any)([1, "a"]), [{"type": "text", "text": '[1,"a"]'}], None),
        (
            data(ToolResult)(lambda: ToolResult("x", structured_content={"a": float("nan")}, meta={"k": 1})),
            [{"type": "text", "text": "x"}],
            {"a": None},
        ),
        (
            data(mcp_types.TextContent)(lambda: mcp_types.TextContent(type="text", text="x")),
            [{"type": "text", "text": "x"}],
            None,
        ),
        (
            data(list[mcp_types.ContentBlock])(
                lambda: [
                    mcp_types.ImageContent(type="image", data=PNG, mime_type="image/png"),
                    mcp_types.ResourceLink(type="resource_link", uri="a://b", name="n"),
                    mcp_types.EmbeddedResource(
                        type="resource", resource=mcp_types.TextResourceContents(uri="a://b", text="t")
                    ),
                ]
            ),
            [
                {"type": "image", "data": PNG, "mimeType": "image/png"},
                {"type": "resource_link", "uri": "a://b", "name": "n"},
                {"type": "resource", "resource": {"uri": "a://b", "text": "t"}},
            ],
            None,
        ),
        (
            data(mcp_types.CallToolResult)(
                lambda: mcp_types.CallToolResult(
                    content=[mcp_types.TextContent(type="text", text="x")], structured_content={"a": 1}
                )
            ),
            [{"type": "text", "text": "x"}],
            {"a": 1},
        ),
    ],
)
async def test_content(function: Any, content: list[Any], structured: Any, mode: Any, ask_wire: Any) -> None:
    mcp = FastMCP()
    mcp.tool("t")(function)
    async with Client(mcp, mode=mode) as client:
        assert (await client.list_tools())[0].output_schema is None
        result = await client.call_tool("t")
        assert ask_wire(result.content) == content
        assert result.structured_content == structured


@pytest.fixture
def ask_wire() -> Callable[[Any], Any]:
    import msgspec

    from headrace.protocol.jsonrpc import encode

    return lambda content: msgspec.json.decode(encode(content))


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (data(int)("x"), "does not fit the return annotation"),
        (data(Typed)({"b": "x"}), "a: required, but missing"),
        (data(dict[str, int])(None), "does not fit the return annotation"),
    ],
)
async def test_what_does_not_fit(function: Any, text: str, mode: Any) -> None:
    mcp = FastMCP()
    mcp.tool("t")(function)
    async with Client(mcp, mode=mode) as client:
        result = await client.call_tool("t", raise_on_error=False)
        assert result.is_error
        assert text in result.text


ANY_JSON: list[tuple[dict[str, Any], Any]] = [
    ({"type": "array", "items": {"type": "integer"}}, [1, 2]),
    ({"type": "string"}, "x"),
    ({"type": ["integer", "null"]}, 3),
    ({"type": "object", "required": ["a"]}, {"a": 1}),
]


@pytest.mark.parametrize("explicit", [False, True])
@pytest.mark.parametrize(("schema", "value"), ANY_JSON, ids=str)
async def test_any_json_value(schema: dict[str, Any], value: Any, explicit: bool, mode: Any) -> None:
    """2026-07-28 has structured content of any kind; older revisions get objects, and else the text alone."""
    mcp = FastMCP()

    @mcp.tool("t", output_schema=schema)
    async def function() -> Any:
        return ToolResult(structured_content=value) if explicit else value

    is_object = isinstance(value, dict)
    async with Client(mcp, mode=mode) as client:
        listed = (await client.list_tools())[0].output_schema
        assert listed == (schema if mode == "modern" or is_object else None)
        result = await client.call_tool_mcp("t", {})
        if mode == "modern" or is_object:
            assert result.structured_content == value
        else:
            assert not result.structured_content
        assert isinstance(result.content[0], TextContent)


@pytest.mark.parametrize("explicit", [False, True])
async def test_an_output_schema_is_kept(explicit: bool, mode: Any) -> None:
    mcp = FastMCP()

    @mcp.tool("t", output_schema={"type": "object", "required": ["a"]})
    async def function() -> Any:
        return ToolResult(structured_content={"b": 1}) if explicit else {"b": 1}

    async with Client(mcp, mode=mode) as client:
        with pytest.raises(ToolError, match="does not fit the output schema"):
            await client.call_tool("t")


@pytest.mark.parametrize(
    ("result", "is_error"), [(ToolResult("x", is_error=True), True), (ToolResult("x", meta={"k": 1}), False)]
)
async def test_tool_result(result: ToolResult, is_error: bool, mode: Any) -> None:
    mcp = FastMCP()
    mcp.tool("t")(lambda: result)
    async with Client(mcp, mode=mode) as client:
        got = await client.call_tool("t", raise_on_error=False)
        assert (got.text, got.is_error) == ("x", is_error)
        assert (got.meta or {}).get("k") == (result.meta or {}).get("k")


async def test_what_has_no_json_fails_alone(mode: Any) -> None:
    """A value that can't become JSON fails its call and leaves the connection as it was."""
    mcp = FastMCP()
    circle: list[Any] = []
    circle.append(circle)
    values = {"circle": circle, "surrogate": {"a": "\ud800"}, "bytes": {"a": b"\xff"}, "text": "\ud800"}

    @mcp.tool
    async def t(which: str):  # type: ignore[no-untyped-def]
        return values[which]

    @mcp.tool
    async def fine(which: str) -> dict[str, Any]:
        return {"got": values.get(which, which)}

    async with Client(mcp, mode=mode, timeout=5) as client:
        for which in values:
            for name in ("t", "fine"):
                with pytest.raises(Exception, match=r"."):
                    await client.call_tool(name, {"which": which})
        assert (await client.call_tool("fine", {"which": "x"})).data == {"got": "x"}


async def test_what_lists_show(mode: Any) -> None:
    mcp = FastMCP()

    @mcp.tool(
        "t",
        title="Title",
        description="Text",
        icons=[{"src": "https://a/b.png", "mimeType": "image/png"}],
        tags={"b", "a"},
        annotations={"readOnlyHint": True, "title": "Older title"},
        meta={"own": [1]},
        version=1.5,
    )
    def function(tenant: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Tenant"})]) -> int:
        return 1

    async with Client(mcp, mode=mode) as client:
        listed = (await client.list_tools())[0]
        assert (listed.title, listed.description) == ("Title", "Text")
        assert [(icon.src, icon.mime_type) for icon in listed.icons or ()] == [("https://a/b.png", "image/png")]
        assert listed.annotations is not None
        assert (listed.annotations.read_only_hint, listed.annotations.title) == (True, "Older title")
        assert listed.meta == {"own": [1], "fastmcp": {"tags": ["a", "b"], "version": "1.5", "versions": ["1.5"]}}
        assert listed.input_schema["properties"]["tenant"] == {"type": "string", "x-mcp-header": "Tenant"}
        assert (await client.call_tool("t", {"tenant": "x"})).data == 1


async def test_a_timeout(mode: Any) -> None:
    mcp = FastMCP()
    ended = asyncio.Event()

    @mcp.tool(timeout=0.02)
    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    release = threading.Event()

    @mcp.tool(timeout=0.02)
    def slow_thread() -> None:
        release.wait(10)

    async with Client(mcp, mode=mode) as client:
        for name in ("slow", "slow_thread"):
            with pytest.raises(ToolError, match=f"Tool '{name}' timed out after 0.02 seconds"):
                await client.call_tool(name)
        assert ended.is_set()
        release.set()


async def test_what_is_given_out_does_not_change_the_component() -> None:
    mcp = FastMCP()

    class Own(Tool):
        async def run(self, arguments: dict[str, Any]) -> Any:
            return "x"

    first, second = Own("first", meta={"k": 1}), Own("second")
    mcp.add_tool(first)
    mcp.add_tool(second)
    wire = first.to_wire()
    assert wire.meta is not None
    wire.meta["leak"] = 1
    first.parameters["properties"]["leak"] = {"type": "string"}
    assert first.meta == {"k": 1}
    assert second.parameters == {"type": "object", "properties": {}}
