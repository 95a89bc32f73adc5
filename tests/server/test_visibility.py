"""What is shown and what is hidden: rules of the server and of one session, in lists, calls and every other way in."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from headrace import Client, Context, FastMCP
from headrace.components.versions import VersionSpec
from headrace.components.visibility import MAX_SESSION_RULES
from headrace.exceptions import McpError, NotFoundError, ToolError
from headrace.protocol.types import PromptReference, ResourceTemplateReference
from headrace.testing import asgi_server

MODES = ("legacy", "modern")


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> Any:
    return request.param


def make(**options: Any) -> FastMCP:
    mcp = FastMCP("seen", **options)
    mcp.tool("a", tags={"x"})(lambda: "a")
    mcp.tool("b", tags={"x", "y"})(lambda: "b")
    mcp.tool("c")(lambda: "c")
    mcp.tool("off", tags={"x"}, enabled=False)(lambda: "off")
    mcp.prompt("a", tags={"y"})(lambda: "p")
    mcp.resource("data://a", name="r", tags={"x"})(lambda: "r")
    mcp.resource("data://t/{id}", name="t", tags={"y"})(lambda id: id)
    mcp.completion(lambda ref, argument, context: ["one"])
    return mcp


async def seen(client: Client) -> str:
    """The names of all lists, in order."""
    names = [each.name for each in await client.list_tools()]
    names += [f"p:{each.name}" for each in await client.list_prompts()]
    names += [each.name for each in await client.list_resources()]
    names += [each.name for each in await client.list_resource_templates()]
    return " ".join(names)


EVERYTHING = "a b c p:a r t"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda mcp: None, EVERYTHING),
        (lambda mcp: mcp.disable(names={"a"}), "b c r t"),
        (lambda mcp: mcp.disable(names={"data://a"}), "a b c p:a t"),
        (lambda mcp: mcp.disable(names={"data://t/{id}"}), "a b c p:a r"),
        (lambda mcp: mcp.disable(names={"a"}, components={"tool"}), "b c p:a r t"),
        (lambda mcp: mcp.disable(keys={"tool:a@", "resource:data://a@"}), "b c p:a t"),
        (lambda mcp: mcp.disable(tags={"x"}), "c p:a t"),
        (lambda mcp: mcp.disable(tags={"x", "y"}), "c"),
        (lambda mcp: mcp.disable(tags={"x"}).enable(tags={"y"}), "b c p:a t"),
        (lambda mcp: mcp.disable(without_tags={"x"}), "a b r"),
        (lambda mcp: mcp.disable(components={"resource", "template"}), "a b c p:a"),
        (lambda mcp: mcp.disable(version=VersionSpec(gte="1")), EVERYTHING),
        (lambda mcp: mcp.enable(names={"off"}), "a b c off p:a r t"),
        (lambda mcp: mcp.enable(tags={"y"}, only=True), "b p:a t"),
        (lambda mcp: mcp.enable(tags={"y"}, only=True).enable(names={"c"}), "b c p:a t"),
        (lambda mcp: mcp.enable(tags={"y"}, only=True).disable(names={"b"}), "p:a t"),
        (lambda mcp: mcp.disable(tags=set()), EVERYTHING),
        (lambda mcp: mcp.tools.get("a").disable(), "b c p:a r t"),
        (lambda mcp: mcp.tools.get("off").enable(), "a b c off p:a r t"),
    ],
)  # fmt: skip
async def test_rules(change: Any, expected: str, mode: Any) -> None:
    mcp = make()
    async with Client(mcp, mode=mode) as client:
        assert await seen(client) == EVERYTHING  # and what was kept of it is not shown again
        change(mcp)
        assert await seen(client) == expected
        for name in ("a", "b", "c", "off"):
            if name in expected.replace("p:a", "").split():
                assert (await client.call_tool(name)).text == name
            else:
                with pytest.raises(McpError, match=f"Unknown tool: '{name}'"):
                    await client.call_tool(name)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, EVERYTHING),
        ({"include_tags": {"x"}}, "a b r"),  # `off` has the tag and stays off
        ({"exclude_tags": {"y"}}, "a c r"),
        ({"include_tags": {"x"}, "exclude_tags": {"y"}}, "a r"),
        ({"include_tags": {"x", "y"}}, "a b p:a r t"),
        ({"include_tags": set()}, ""),
    ],
)
async def test_tags_of_the_constructor(options: dict[str, Any], expected: str, mode: Any) -> None:
    async with Client(make(**options), mode=mode) as client:
        assert await seen(client) == expected


async def test_a_tool_that_is_switched_off_later_stays_off() -> None:
    mcp = make(include_tags={"x"})
    async with Client(mcp) as client:
        (await mcp.get_tool("a")).disable()
        assert await seen(client) == "b r"


@pytest.mark.parametrize(
    ("criteria", "error"),
    [
        ({}, ValueError),
        ({"names": "a"}, TypeError),
        ({"tags": "x"}, TypeError),
        ({"components": "tool"}, TypeError),
        ({"nonsense": {"a"}}, TypeError),
    ],
)
@pytest.mark.parametrize("way", ["enable", "disable", "only"])
async def test_a_refused_rule_changes_nothing(criteria: dict[str, Any], error: type[Exception], way: str) -> None:
    mcp = make()
    with pytest.raises(error):
        mcp.disable(**criteria) if way == "disable" else mcp.enable(only=way == "only", **criteria)
    async with Client(mcp) as client:
        assert await seen(client) == EVERYTHING


def test_a_key_without_a_version_is_told() -> None:
    with pytest.warns(UserWarning, match=r"'tool:a' matches nothing.*'tool:a@'") as caught:
        make().disable(keys={"tool:a"})
    assert caught[0].filename == __file__


async def test_no_way_to_what_is_hidden(mode: Any) -> None:
    mcp = make()
    mcp.tool("v", version="1")(lambda: "1")
    mcp.tool("v", version="2")(lambda: "2")
    mcp.disable(names={"a", "data://a", "data://t/{id}"}).disable(names={"v"}, version="2")
    wanted = {"fastmcp": {"version": "2"}}
    async with Client(mcp, mode=mode) as client:
        assert (await client.call_tool("v")).text == "1"
        ways = [
            client.call_tool("v", meta=wanted),
            client.call_tool("a"),
            client.get_prompt("a"),
            client.complete(PromptReference(name="a"), {"name": "x", "value": ""}),
            client.complete(ResourceTemplateReference(uri="data://t/{id}"), {"name": "id", "value": ""}),
            client.complete(ResourceTemplateReference(uri="data://t/1"), {"name": "id", "value": ""}),
            client.read_resource("data://a"),
            client.read_resource("data://t/1"),
        ]
        for way in ways:
            with pytest.raises(McpError, match=r"(Unknown|not found)"):
                await way
    direct = [
        mcp.call_tool("a"), mcp.call_tool("v", version="2"), mcp.read_resource("data://a"),
        mcp.read_resource("data://t/1"), mcp.render_prompt("a"), mcp.get_tool("a"), mcp.get_tool("v", "2"),
        mcp.get_resource("data://a"), mcp.get_resource_template("data://t/{id}"), mcp.get_prompt("a"),
    ]  # fmt: skip
    for call in direct:
        with pytest.raises(NotFoundError):
            await call
    assert [each.key for each in await mcp.list_tools()] == ["tool:b@", "tool:c@", "tool:v@1"]
    assert set(await mcp.get_tools()) == {"b", "c", "v"}
    assert await mcp.list_prompts() == []
    assert await mcp.get_prompts() == {}
    assert await mcp.get_resources() == {}
    assert await mcp.get_resource_templates() == {}


async def test_completions_of_what_is_shown(mode: Any) -> None:
    async with Client(make(), mode=mode) as client:
        for ref in (
            PromptReference(name="a"),
            ResourceTemplateReference(uri="data://t/{id}"),
            ResourceTemplateReference(uri="data://t/1"),
            ResourceTemplateReference(uri="data://a"),
        ):
            assert (await client.complete(ref, {"name": "x", "value": ""})).values == ["one"]


def test_switching_for_ever_is_bounded() -> None:
    mcp = make()
    for number in range(500):
        mcp.disable(names={"a"}).enable(names={"a"}).disable(tags={"x", "y"}).enable(tags={"y", "x"})
        mcp.enable(names={"a", "b"}, only=number % 2 == 0)
    assert len(mcp.rules) <= 5


async def test_headers_of_a_hidden_version_are_not_asked_for() -> None:
    """What HTTP clients must mirror is that of the tool they see."""
    mcp = FastMCP()
    marked = {"type": "object", "properties": {"t": {"type": "string", "x-mcp-header": "Tenant"}}}
    mcp.tool("v", version="1")(lambda t="": t)
    mcp.tool("v", version="2", input_schema=marked)(lambda t="": t)
    assert list(mcp.mirrored("v")) == ["mcp-param-tenant"]
    mcp.disable(version="2")
    assert not mcp.mirrored("v")
    mcp.disable(names={"v"})
    assert not mcp.mirrored("v")


# One session


@pytest.fixture
def switchboard() -> FastMCP:
    mcp = make()

    @mcp.tool
    async def hide(ctx: Context, names: list[str]) -> None:
        await ctx.disable_components(names=set(names))

    @mcp.tool
    async def show(ctx: Context, names: list[str]) -> None:
        await ctx.enable_components(names=set(names))

    @mcp.tool
    async def hide_all(ctx: Context) -> None:
        await ctx.disable_components(match_all=True)

    @mcp.tool
    async def reset(ctx: Context) -> None:
        await ctx.reset_visibility()

    @mcp.tool
    async def look(ctx: Context) -> list[str]:
        return [each.uri for each in await ctx.list_resources()] + [each.name for each in await ctx.list_prompts()]

    @mcp.tool
    async def use(ctx: Context, name: str) -> str:
        result: Any = await ctx.fastmcp.call_tool(name)
        return result.content[0].text

    @mcp.tool
    async def read(ctx: Context, uri: str) -> str:
        return str((await ctx.read_resource(uri)).contents[0].content)

    return mcp


async def names(client: Client) -> set[str]:
    return {each.name for each in await client.list_tools()} & {"a", "b", "c", "off"}


async def test_two_sessions(switchboard: FastMCP) -> None:
    async with Client(switchboard, mode="legacy") as one, Client(switchboard, mode="legacy") as two:
        for client in (one, two):
            assert await names(client) == {"a", "b", "c"}
        await one.call_tool("hide", {"names": ["a", "data://a"]})
        await two.call_tool("show", {"names": ["off"]})
        for _ in range(2):  # also from what the server keeps of its lists
            assert await names(one) == {"b", "c"}
            assert await names(two) == {"a", "b", "c", "off"}
        with pytest.raises(McpError, match="Unknown tool"):
            await one.call_tool("a")
        with pytest.raises(McpError, match="Unknown tool"):
            await one.call_tool("off")
        with pytest.raises(McpError, match="not found"):
            await one.read_resource("data://a")
        assert (await two.call_tool("off")).text == "off"
        # From inside of a call, too
        assert (await one.call_tool("look")).data == []
        assert (await two.call_tool("look")).data == ["data://a", "a"]
        for tool, arguments in (("use", {"name": "a"}), ("read", {"uri": "data://a"})):
            assert (await one.call_tool(tool, arguments, raise_on_error=False)).is_error
            assert not (await two.call_tool(tool, arguments, raise_on_error=False)).is_error
        # The server's rules come first, those of the session decide
        switchboard.disable(names={"b", "off"})
        assert await names(one) == {"c"}
        assert await names(two) == {"a", "c", "off"}
        await one.call_tool("reset")
        assert await names(one) == {"a", "c"}
        async with Client(switchboard, mode="modern") as three, Client(switchboard, mode="legacy") as four:
            assert await names(three) == await names(four) == {"a", "c"}


async def test_a_session_hides_everything_and_shows_a_part(switchboard: FastMCP) -> None:
    async with Client(switchboard, mode="legacy") as client:
        await client.call_tool("show", {"names": ["b"]})
        await client.call_tool("hide_all")
        assert await seen(client) == ""
        with pytest.raises(McpError, match="Unknown tool"):
            await client.call_tool("b")


async def test_only_the_session_is_told(switchboard: FastMCP) -> None:
    heard: dict[str, list[str]] = {"one": [], "two": []}

    def hear(name: str) -> Any:
        async def handler(message: Any) -> None:
            heard[name].append(message.method)

        return handler

    async with (
        Client(switchboard, mode="legacy", message_handler=hear("one")) as one,
        Client(switchboard, mode="legacy", message_handler=hear("two")) as two,
    ):
        await one.call_tool("hide", {"names": ["a"]})
        await two.call_tool("a")
    assert set(heard["one"]) == {
        "notifications/tools/list_changed", "notifications/resources/list_changed",
        "notifications/prompts/list_changed",
    }  # fmt: skip
    assert heard["two"] == []


async def test_there_is_no_session_in_2026(switchboard: FastMCP) -> None:
    async with Client(switchboard, mode="modern") as client:
        for tool in ("hide_all", "reset"):
            with pytest.raises(McpError, match="only be changed for a session"):
                await client.call_tool(tool)
        assert await seen(client) != ""


async def test_there_is_no_session_in_stateless_http(switchboard: FastMCP) -> None:
    """Hiding that would last for one request is refused rather than done in vain."""
    async with asgi_server(switchboard, stateless_http=True) as server, server.client(mode="legacy") as client:
        for tool in ("hide_all", "reset"):
            with pytest.raises(McpError, match="only be changed for a session"):
                await client.call_tool(tool)
        assert (await client.call_tool("a")).text == "a"


async def test_a_client_can_not_fill_its_session(switchboard: FastMCP) -> None:
    async with Client(switchboard, mode="legacy") as client:
        for _ in range(3):  # the same again costs nothing
            await client.call_tool("hide", {"names": ["x"]})

        @switchboard.tool
        async def many(ctx: Context) -> None:
            for number in range(MAX_SESSION_RULES + 1):
                await ctx.disable_components(names={f"n{number}"}, components={"prompt"})

        with pytest.raises(ToolError, match="Too many rules of visibility"):
            await client.call_tool("many")
        await client.call_tool("reset")
        await client.call_tool("hide", {"names": ["a"]})
        assert await names(client) == {"b", "c"}


# Changes while calls run


async def test_removed_while_it_runs(mode: Any) -> None:
    mcp = FastMCP()
    started, go = asyncio.Event(), asyncio.Event()

    @mcp.tool
    async def work() -> str:
        started.set()
        await go.wait()
        return "done"

    async with Client(mcp, mode=mode) as client:
        call = asyncio.ensure_future(client.call_tool("work"))
        await asyncio.wait_for(started.wait(), 5)
        mcp.remove_tool("work")
        assert await client.list_tools() == []
        with pytest.raises(McpError, match="Unknown tool"):
            await client.call_tool("work")
        go.set()
        assert (await call).text == "done"


async def test_registration_from_many_threads(mode: Any) -> None:
    """Sync tools run in threads and may register: nothing gets lost, and lists never show an old state for long."""
    mcp = FastMCP(on_duplicate="replace")
    barrier = threading.Barrier(8)

    @mcp.tool
    def register(number: int) -> None:
        barrier.wait(10)
        for each in range(20):
            mcp.tool(f"t{number}_{each}")(lambda: "x")
            mcp.disable(names={f"t{number}_{each}"}, components={"tool"})
            if each % 2:
                mcp.enable(names={f"t{number}_{each}"}, components={"tool"})
            if each % 4 == 1:
                mcp.remove_tool(f"t{number}_{each}")

    async with Client(mcp, mode=mode) as client:
        calls = [asyncio.ensure_future(client.call_tool("register", {"number": number})) for number in range(8)]
        while not all(call.done() for call in calls):
            await client.list_tools()
        await asyncio.gather(*calls)
        expected = {f"t{number}_{each}" for number in range(8) for each in range(20) if each % 4 == 3}
        assert {each.name for each in await client.list_tools()} == {"register", *expected}


async def test_switched_off_in_a_thread(mode: Any) -> None:
    mcp = make()

    @mcp.tool
    def switch(on: bool) -> None:
        tool = mcp.tools.get("a")
        assert tool is not None
        tool.enabled = on

    async with Client(mcp, mode=mode) as client:
        for on in (False, True, True, False):
            await client.call_tool("switch", {"on": on})
            assert ("a" in await names(client)) is on
