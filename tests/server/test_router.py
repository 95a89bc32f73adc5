"""Every method a server has: results, errors, lists and what is kept of them."""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated, Any

import pytest
from pydantic import Field

from headrace import Context, FastMCP, Image
from headrace.call import Principal
from headrace.exceptions import (
    InvalidParams,
    McpError,
    MethodNotFound,
    NotFoundError,
    PromptError,
    ResourceError,
    ToolError,
    UnsupportedByClient,
)
from headrace.protocol.versions import ERAS, LATEST, LATEST_HANDSHAKE
from headrace.types import InputRequest, InputRequiredResult, Message, PromptResult, ResourceContent, ResourceResult

ERA_LIST = list(ERAS.values())
OLD = ERAS["2025-03-26"]


@pytest.fixture
def mcp() -> FastMCP:
    mcp = FastMCP("test", "Read me", version="1", cache_ttl=2.5)

    @mcp.tool
    async def add(a: int, b: int = 2) -> int:
        """Adds."""
        return a + b

    @mcp.tool
    def sync_add(a: int, b: int) -> int:
        return a + b

    @mcp.tool("renamed", title="Renamed", tags={"y", "x"}, annotations={"readOnlyHint": True}, meta={"k": 1})
    async def other() -> str:
        return "x"

    @mcp.tool
    async def fail(kind: str) -> str:
        raise {
            "plain": ValueError("inside"),
            "tool": ToolError("for the model"),
            "mcp": McpError("mine", code=-1),
            "unsupported": UnsupportedByClient("no"),
            "group": ExceptionGroup("g", [ValueError("a"), McpError("grouped", code=-2)]),
            "tool group": ExceptionGroup("g", [ToolError("for the model")]),
        }[kind]

    @mcp.tool(timeout=0.02)
    async def slow() -> str:
        await asyncio.sleep(5)
        return "never"

    @mcp.tool(timeout=5)
    async def own_timeout() -> str:
        raise TimeoutError("my own")

    @mcp.tool
    async def asks() -> InputRequiredResult:
        return InputRequiredResult(input_requests={"k": InputRequest(method="roots/list")})

    @mcp.resource("data://text")
    def text() -> str:
        """Some text."""
        return "hello"

    @mcp.resource("data://dict")
    async def values() -> dict[str, int]:
        return {"a": 1}

    @mcp.resource("data://bytes", mime_type="image/png", title="Bytes")
    def raw() -> bytes:
        return b"\1\2"

    @mcp.resource("data://many")
    def many() -> ResourceResult:
        return ResourceResult([ResourceContent("a"), ResourceContent(b"\1", mime_type="x/y"), ResourceContent([1])])

    @mcp.resource("data://fails")
    def fails() -> str:
        raise ValueError("inside")

    @mcp.resource("data://refuses")
    def refuses() -> str:
        raise ResourceError("for the client")

    @mcp.resource("user://{id}/{what*}{?limit}")
    def user(id: int, what: str, limit: int = 10) -> dict[str, Any]:
        return {"id": id, "what": what, "limit": limit}

    @mcp.prompt
    def greet(name: Annotated[str, Field(description="Who")], times: int = 1) -> str:
        """Greets."""
        return f"Hello {name}" * times

    @mcp.prompt
    async def talk() -> list[Any]:
        return ["a", Message("b", role="assistant"), Message(Image(data=b"\1")), {"c": 1}]

    @mcp.prompt
    async def full() -> PromptResult:
        return PromptResult("x", description="Mine", meta={"k": 1})

    @mcp.prompt(name="broken")
    async def broken_prompt() -> str:
        raise ValueError("inside")

    return mcp


def failed(text: str) -> dict[str, Any]:
    return {"resultType": "complete", "content": [{"type": "text", "text": text}], "isError": True}


async def test_initialize(ask: Any, mcp: FastMCP, make_peer: Any) -> None:
    result = await ask(mcp, "initialize", peer=make_peer(LATEST_HANDSHAKE))
    assert result == {
        "protocolVersion": LATEST_HANDSHAKE.version,
        "capabilities": {
            "logging": {},
            "prompts": {"listChanged": True},
            "resources": {"subscribe": True, "listChanged": True},
            "tools": {"listChanged": True},
        },
        "serverInfo": {"name": "test", "version": "1"},
        "instructions": "Read me",
    }


async def test_discover(ask: Any, mcp: FastMCP) -> None:
    @mcp.completion
    def complete(ref: Any, argument: Any, context: Any) -> list[str]:
        return []

    result = await ask(mcp, "server/discover")
    assert result["supportedVersions"] == [LATEST.version]
    assert result["capabilities"]["completions"] == {}
    assert (result["ttlMs"], result["cacheScope"], result["instructions"]) == (2500, "public", "Read me")


HANDSHAKE = {"initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"}
MODERN = {"server/discover", "subscriptions/listen"}


@pytest.mark.parametrize("era", ERA_LIST, ids=lambda era: era.version)
@pytest.mark.parametrize("method", [*sorted(HANDSHAKE | MODERN), "nothing", "completion/complete"])
async def test_methods_of_revisions(ask: Any, mcp: FastMCP, make_peer: Any, era: Any, method: str) -> None:
    params = {"uri": "data://text", "level": "info", "notifications": {}}
    known = method in (HANDSHAKE if era.handshake else MODERN)
    try:
        await ask(mcp, method, params, peer=make_peer(era))
    except MethodNotFound:
        assert not known
    else:
        assert known


@pytest.mark.parametrize(
    ("name", "arguments", "text", "structured"),
    [
        ("add", {"a": 1}, "3", {"result": 3}),
        ("add", {"a": "1", "b": 5}, "6", {"result": 6}),
        ("sync_add", {"a": 1, "b": 5}, "6", {"result": 6}),
        ("renamed", None, "x", {"result": "x"}),
    ],
)
async def test_tool(ask: Any, mcp: FastMCP, name: str, arguments: Any, text: str, structured: Any) -> None:
    params = {"name": name} if arguments is None else {"name": name, "arguments": arguments}
    assert await ask(mcp, "tools/call", params) == {
        "resultType": "complete",
        "content": [{"type": "text", "text": text}],
        "structuredContent": structured,
    }


@pytest.mark.parametrize("era", ERA_LIST, ids=lambda era: era.version)
async def test_bad_arguments(ask: Any, mcp: FastMCP, make_peer: Any, era: Any) -> None:
    params = {"name": "add", "arguments": {"a": "x", "c": 1}}
    lines = ["Invalid arguments for tool 'add':", "a: Input should be a valid integer", "c: no such argument"]
    if era.argument_errors_in_result:
        result = await ask(mcp, "tools/call", params, peer=make_peer(era))
        assert result["isError"] is True
        text = result["content"][0]["text"]
    else:
        with pytest.raises(InvalidParams) as caught:
            await ask(mcp, "tools/call", params, peer=make_peer(era))
        text = str(caught.value)
    assert all(line in text for line in lines)


TOO_MANY = [f"a://{number}" for number in range(1001)]


@pytest.mark.parametrize(
    ("method", "params", "error"),
    [
        ("tools/call", {"name": "nope"}, NotFoundError),
        ("tools/call", {}, InvalidParams),
        ("tools/call", {"name": "fail", "arguments": {"kind": "mcp"}}, McpError),
        ("tools/call", {"name": "fail", "arguments": {"kind": "group"}}, McpError),
        ("tools/call", {"name": "fail", "arguments": {"kind": "unsupported"}}, UnsupportedByClient),
        ("resources/read", {"uri": "data://nope"}, NotFoundError),
        ("resources/read", {"uri": "user://x/a"}, InvalidParams),
        ("resources/read", {}, InvalidParams),
        ("resources/read", {"uri": "data://fails"}, ResourceError),
        ("resources/read", {"uri": "data://refuses"}, ResourceError),
        ("prompts/get", {"name": "nope"}, NotFoundError),
        ("prompts/get", {"name": "greet"}, InvalidParams),
        ("prompts/get", {"name": "greet", "arguments": {"name": "x", "times": "many"}}, InvalidParams),
        ("prompts/get", {"name": "greet", "arguments": {"name": 3}}, InvalidParams),
        ("prompts/get", {"name": "greet", "arguments": {"name": "x", "z": "y"}}, InvalidParams),
        ("prompts/get", {"name": "broken"}, PromptError),
        ("tools/list", {"cursor": "zzz"}, InvalidParams),
        ("tools/list", {"cursor": "\u00e9"}, InvalidParams),
        ("subscriptions/listen", {}, InvalidParams),
        ("subscriptions/listen", {"notifications": {"resourceSubscriptions": TOO_MANY}}, InvalidParams),
        ("subscriptions/listen", {"notifications": {"resourceSubscriptions": ["a://" + "b" * 300_000]}}, InvalidParams),
    ],
)
async def test_errors(ask: Any, mcp: FastMCP, method: str, params: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        await ask(mcp, method, params)


async def test_unknown_resource_names_its_uri(ask: Any, mcp: FastMCP) -> None:
    with pytest.raises(NotFoundError) as caught:
        await ask(mcp, "resources/read", {"uri": "data://nope"})
    assert caught.value.uri == "data://nope"


@pytest.mark.parametrize(
    ("kind", "masked", "text"),
    [
        ("plain", False, "Error calling tool 'fail': inside"),
        ("plain", True, "Error calling tool 'fail'"),
        ("tool", True, "for the model"),
        ("tool group", True, "for the model"),
    ],
)
async def test_tool_raised(
    ask: Any, mcp: FastMCP, caplog: pytest.LogCaptureFixture, kind: str, masked: bool, text: str
) -> None:
    mcp.mask_error_details = masked
    assert await ask(mcp, "tools/call", {"name": "fail", "arguments": {"kind": kind}}) == failed(text)
    assert ("inside" in caplog.text) is (kind == "plain")


async def test_masked_resources_and_prompts(ask: Any, mcp: FastMCP, caplog: pytest.LogCaptureFixture) -> None:
    mcp.mask_error_details = True
    with pytest.raises(ResourceError, match=r"^Error reading resource 'data://fails'$"):
        await ask(mcp, "resources/read", {"uri": "data://fails"})
    with pytest.raises(PromptError, match=r"^Error rendering prompt 'broken'$"):
        await ask(mcp, "prompts/get", {"name": "broken"})
    with pytest.raises(ResourceError, match="for the client"):
        await ask(mcp, "resources/read", {"uri": "data://refuses"})
    assert caplog.text.count("ValueError: inside") == 2


async def test_timeouts(ask: Any, mcp: FastMCP) -> None:
    assert await ask(mcp, "tools/call", {"name": "slow"}) == failed("Tool 'slow' timed out after 0.02 seconds")
    assert await ask(mcp, "tools/call", {"name": "own_timeout"}) == failed("Error calling tool 'own_timeout': my own")


async def test_input_required_passes_through(ask: Any, mcp: FastMCP) -> None:
    result = await ask(mcp, "tools/call", {"name": "asks"})
    assert result["resultType"] == "input_required"
    assert result["inputRequests"] == {"k": {"method": "roots/list"}}


@pytest.mark.parametrize(
    ("uri", "contents"),
    [
        ("data://text", [{"uri": "data://text", "mimeType": "text/plain", "text": "hello"}]),
        ("data://dict", [{"uri": "data://dict", "mimeType": "text/plain", "text": '{"a":1}'}]),
        ("data://bytes", [{"uri": "data://bytes", "mimeType": "image/png", "blob": "AQI="}]),
        (
            "data://many",
            [
                {"uri": "data://many", "mimeType": "text/plain", "text": "a"},
                {"uri": "data://many", "mimeType": "x/y", "blob": "AQ=="},
                {"uri": "data://many", "mimeType": "application/json", "text": "[1]"},
            ],
        ),
        (
            "user://7/a/b?limit=3",
            [
                {
                    "uri": "user://7/a/b?limit=3",
                    "mimeType": "text/plain",
                    "text": '{"id":7,"what":"a/b","limit":3}',
                }
            ],
        ),
    ],
)
async def test_read(ask: Any, mcp: FastMCP, uri: str, contents: list[Any]) -> None:
    result = await ask(mcp, "resources/read", {"uri": uri})
    assert result == {"resultType": "complete", "ttlMs": 2500, "cacheScope": "public", "contents": contents}


async def test_what_a_principal_reads_is_private(ask: Any, mcp: FastMCP) -> None:
    result = await ask(mcp, "resources/read", {"uri": "data://text"}, principal=Principal("me"))
    assert result["cacheScope"] == "private"


@pytest.mark.parametrize(
    ("name", "arguments", "messages"),
    [
        ("greet", {"name": "A"}, [("user", {"type": "text", "text": "Hello A"})]),
        ("greet", {"name": "A", "times": "2"}, [("user", {"type": "text", "text": "Hello AHello A"})]),
        (
            "talk",
            None,
            [
                ("user", {"type": "text", "text": "a"}),
                ("assistant", {"type": "text", "text": "b"}),
                ("user", {"type": "image", "data": "AQ==", "mimeType": "image/png"}),
                ("user", {"type": "text", "text": '{"c":1}'}),
            ],
        ),
        ("full", {}, [("user", {"type": "text", "text": "x"})]),
    ],
)
async def test_prompt(ask: Any, mcp: FastMCP, name: str, arguments: Any, messages: list[Any]) -> None:
    params = {"name": name} if arguments is None else {"name": name, "arguments": arguments}
    result = await ask(mcp, "prompts/get", params)
    assert [(message["role"], message["content"]) for message in result["messages"]] == messages
    assert result.get("description") == {"greet": "Greets.", "full": "Mine"}.get(name)


async def test_lists(ask: Any, mcp: FastMCP) -> None:
    tools = (await ask(mcp, "tools/list"))["tools"]
    assert [tool["name"] for tool in tools] == ["add", "sync_add", "renamed", "fail", "slow", "own_timeout", "asks"]
    assert tools[0] == {
        "name": "add",
        "title": "Add",
        "description": "Adds.",
        "inputSchema": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer", "default": 2}},
            "required": ["a"],
        },
        "outputSchema": {
            "type": "object",
            "properties": {"result": {"type": "integer"}},
            "required": ["result"],
            "x-fastmcp-wrap-result": True,
        },
    }
    renamed = tools[2]
    assert renamed["title"] == "Renamed"
    assert renamed["annotations"] == {"readOnlyHint": True}
    assert renamed["_meta"] == {"k": 1, "fastmcp": {"tags": ["x", "y"]}}
    resources = (await ask(mcp, "resources/list"))["resources"]
    assert resources[0] == {
        "uri": "data://text",
        "name": "text",
        "description": "Some text.",
        "mimeType": "text/plain",
    }
    templates = (await ask(mcp, "resources/templates/list"))["resourceTemplates"]
    assert [template["uriTemplate"] for template in templates] == ["user://{id}/{what*}{?limit}"]
    prompts = (await ask(mcp, "prompts/list"))["prompts"]
    assert [argument["name"] for argument in prompts[0]["arguments"]] == ["name", "times"]
    assert prompts[0]["arguments"][0] == {"name": "name", "description": "Who", "required": True}
    assert prompts[0]["arguments"][1]["required"] is False
    assert '{"type":"integer"}' in prompts[0]["arguments"][1]["description"]


@pytest.mark.parametrize("era", ERA_LIST, ids=lambda era: era.version)
async def test_lists_fit_their_revision(ask: Any, mcp: FastMCP, make_peer: Any, era: Any) -> None:
    result = await ask(mcp, "tools/list", peer=make_peer(era))
    assert ("ttlMs" in result) is era.result_types
    assert ("outputSchema" in result["tools"][0]) is era.structured_content
    assert "resultType" not in result  # the transport puts it in front, as with every result


async def test_pages(ask: Any) -> None:
    mcp = FastMCP(list_page_size=2)
    for number in range(5):
        mcp.add_tool(_named(f"t{number}"))
    names: list[str] = []
    cursors: list[str] = []
    params: dict[str, Any] = {}
    while True:
        result = await ask(mcp, "tools/list", params)
        names += [tool["name"] for tool in result["tools"]]
        if "nextCursor" not in result:
            break
        cursors.append(result["nextCursor"])
        params = {"cursor": result["nextCursor"]}
    assert names == ["t0", "t1", "t2", "t3", "t4"]
    assert len(set(cursors)) == 2
    with pytest.raises(InvalidParams):
        await ask(mcp, "tools/list", {"cursor": cursors[0] + "="})


def _named(name: str) -> Any:
    async def tool() -> str:
        return name

    tool.__name__ = name
    return tool


async def test_lists_are_kept_until_a_change(ask: Any, mcp: FastMCP) -> None:
    notices: list[tuple[str, str | None]] = []
    end = mcp.on_change(lambda method, uri: notices.append((method, uri)))
    before = (await ask(mcp, "tools/list"))["tools"]
    mcp.add_tool(_named("late"))
    after = (await ask(mcp, "tools/list"))["tools"]
    assert len(after) == len(before) + 1
    mcp.remove_tool("late")
    assert (await ask(mcp, "tools/list"))["tools"] == before
    mcp.resource("data://late")(_named("r"))
    mcp.resource("data://{late}", name="l")(lambda late: late)
    mcp.remove_resource("data://late")
    mcp.remove_resource("data://{late}")
    mcp.prompt(_named("p"))
    mcp.remove_prompt("p")
    await mcp.notify_resource_updated("data://text")
    end()
    mcp.add_tool(_named("later"))
    changed = {kind: (f"notifications/{kind}/list_changed", None) for kind in ("tools", "resources", "prompts")}
    assert notices == [
        *[changed["tools"]] * 2,
        *[changed["resources"]] * 4,
        *[changed["prompts"]] * 2,
        ("notifications/resources/updated", "data://text"),
    ]
    for remove in (mcp.remove_tool, mcp.remove_resource, mcp.remove_prompt):
        with pytest.raises(NotFoundError):
            remove("nope")


async def test_disabled_components(ask: Any) -> None:
    mcp = FastMCP()
    mcp.tool(enabled=False)(_named("off"))
    assert (await ask(mcp, "tools/list"))["tools"] == []
    with pytest.raises(NotFoundError):
        await ask(mcp, "tools/call", {"name": "off"})


async def test_subscriptions(ask: Any, mcp: FastMCP, make_peer: Any) -> None:
    peer = make_peer(LATEST_HANDSHAKE)
    assert await ask(mcp, "resources/subscribe", {"uri": "data://text"}, peer=peer) == {}
    assert await ask(mcp, "resources/unsubscribe", {"uri": "data://text"}, peer=peer) == {}
    assert peer.subscribed == [("data://text", True), ("data://text", False)]
    wanted = {"toolsListChanged": True, "promptsListChanged": False, "resourceSubscriptions": ["a://b", "a://b"]}
    granted = await ask(mcp, "subscriptions/listen", {"notifications": wanted})
    assert granted == {"toolsListChanged": True, "resourceSubscriptions": ["a://b"]}


async def test_log_level(ask: Any, mcp: FastMCP, make_peer: Any) -> None:
    peer = make_peer(LATEST_HANDSHAKE)
    assert await ask(mcp, "logging/setLevel", {"level": "error"}, peer=peer) == {}
    assert peer.log_level == "error"
    with pytest.raises(InvalidParams):
        await ask(mcp, "logging/setLevel", {"level": "loud"}, peer=peer)
    assert await ask(mcp, "ping", peer=peer) == {}


@pytest.mark.parametrize(
    ("value", "completion"),
    [
        (["a", "b"], {"values": ["a", "b"], "total": 2, "hasMore": False}),
        (None, {"values": [], "total": 0, "hasMore": False}),
        (
            [str(n) for n in range(150)],
            {"values": [str(n) for n in range(100)], "total": 150, "hasMore": True},
        ),
    ],
)
@pytest.mark.parametrize("asynchronous", [True, False])
async def test_completion(ask: Any, mcp: FastMCP, value: Any, completion: Any, asynchronous: bool) -> None:
    seen: list[Any] = []

    def complete(ref: Any, argument: Any, context: Any) -> Any:
        seen.append((ref.name, argument.name, argument.value, context.arguments))
        return value

    async def complete_later(ref: Any, argument: Any, context: Any) -> Any:
        return complete(ref, argument, context)

    mcp.completion(complete_later if asynchronous else complete)
    params = {
        "ref": {"type": "ref/prompt", "name": "greet"},
        "argument": {"name": "name", "value": "x"},
        "context": {"arguments": {"times": "2"}},
    }
    assert (await ask(mcp, "completion/complete", params))["completion"] == completion
    assert seen == [("greet", "name", "x", {"times": "2"})]
    params["ref"] = {"type": "ref/prompt", "name": "nope"}
    with pytest.raises(NotFoundError):
        await ask(mcp, "completion/complete", params)
    with pytest.raises(InvalidParams):
        await ask(mcp, "completion/complete", {"ref": {"type": "ref/other"}})


async def test_a_context_outside_and_after_a_call(ask: Any, mcp: FastMCP, make_peer: Any) -> None:
    kept: list[Context] = []

    @mcp.tool
    async def keep(ctx: Context) -> None:
        kept.append(ctx)

    peer = make_peer(log_level="debug")
    await ask(mcp, "tools/call", {"name": "keep", "_meta": {"progressToken": 1}}, peer=peer)
    await kept[0].info("late")
    await kept[0].report_progress(1)
    assert peer.notes == []


def test_loggers_are_named_after_modules() -> None:
    assert logging.getLogger("headrace.server.router").name in logging.Logger.manager.loggerDict
