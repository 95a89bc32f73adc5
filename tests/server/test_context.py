"""What a function sees and does through its context."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import mcp_types
import pytest
from starlette.requests import Request

from headrace import Client, Context, FastMCP
from headrace.call import Principal
from headrace.exceptions import NotFoundError, ToolError, UnsupportedByClient
from headrace.protocol.subscriptions import RESOURCE_UPDATED
from headrace.protocol.types import ResourceUpdatedNotificationParams, SamplingMessage, TextContent, Tool
from headrace.protocol.versions import ERAS, LATEST, LATEST_HANDSHAKE
from headrace.server.dependencies import get_access_token, get_context, get_http_headers, get_http_request
from headrace.server.elicitation import AcceptedElicitation, CancelledElicitation, DeclinedElicitation

R2025_03, R2025_06 = ERAS["2025-03-26"], ERAS["2025-06-18"]


class Run:
    """Runs a function of the context as a tool of a fresh server; what it returns or raises comes out as it is."""

    def __init__(self, ask: Any) -> None:
        self.ask = ask

    async def __call__(self, function: Any, **call: Any) -> Any:
        mcp = call.pop("server", None) or FastMCP("run")
        meta = call.pop("meta", {})
        outcome: list[Any] = []

        @mcp.tool
        async def probe(ctx: Context) -> None:
            try:
                outcome.append(await function(ctx))
            except Exception as error:
                outcome.append(error)

        await self.ask(mcp, "tools/call", {"name": "probe", "_meta": meta}, **call)
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]


@pytest.fixture
def run(ask: Any) -> Run:
    return Run(ask)


async def test_who_and_what(run: Run, make_peer: Any) -> None:
    async def look(ctx: Context) -> None:
        assert ctx is get_context()
        assert (ctx.request_id, ctx.session_id, ctx.transport, ctx.client_id) == ("1", "s1", "fake", "me")
        assert ctx.client_capabilities.roots == {}
        assert ctx.lifespan_context == {}
        assert ctx.fastmcp.name == "run"
        assert ctx.request_context.request is None
        assert ctx.request_context.session is ctx.call.peer
        assert ctx.request_context.lifespan_context == {}
        assert ctx.input_responses == {"k": {"a": 1}}

    peer = make_peer(LATEST_HANDSHAKE, input_responses={"k": {"a": 1}})
    await run(look, peer=peer, principal=Principal("me"))


@pytest.mark.parametrize(
    ("era", "level", "sent"),
    [
        (LATEST_HANDSHAKE, None, ["debug", "info", "notice", "warning", "error"]),
        (LATEST_HANDSHAKE, "warning", ["warning", "error"]),
        (LATEST, None, []),
        (LATEST, "debug", ["debug", "info", "notice", "warning", "error"]),
        (LATEST, "emergency", []),
    ],
)
async def test_log_levels(run: Run, make_peer: Any, era: Any, level: str | None, sent: list[str]) -> None:
    async def log(ctx: Context) -> None:
        await ctx.debug("m")
        await ctx.info("m", logger_name="l", extra={"a": 1})
        await ctx.notice("m")
        await ctx.warning("m")
        await ctx.error("m")

    peer = make_peer(era, log_level=level)
    await run(log, peer=peer)
    assert [params["level"] for _, params in peer.notes] == sent
    if len(sent) == 5:
        assert peer.notes[1] == (
            "notifications/message",
            {"level": "info", "data": {"msg": "m", "extra": {"a": 1}}, "logger": "l"},
        )


async def test_an_unknown_level(run: Run) -> None:
    with pytest.raises(ValueError, match="log level"):
        await run(lambda ctx: ctx.log("m", "loud"))


async def test_progress_grows(run: Run, make_peer: Any) -> None:
    async def report(ctx: Context) -> None:
        for progress in (0, 1, 1, 0.5, 2):
            await ctx.report_progress(progress, 2, "m")
        await ctx.report_progress(float("nan"))

    peer = make_peer()
    await run(report, peer=peer, meta={"progressToken": "t"})
    assert [params["progress"] for _, params in peer.notes] == [0, 1, 2]
    assert peer.notes[0][1] == {"progressToken": "t", "progress": 0, "total": 2, "message": "m"}
    silent = make_peer()
    await run(report, peer=silent)
    assert silent.notes == []


@dataclass
class Person:
    name: str
    age: int = 3


@pytest.mark.parametrize(
    ("response_type", "answer", "outcome"),
    [
        (str, {"action": "accept", "content": {"value": "x"}}, AcceptedElicitation("x")),
        (None, {"action": "accept"}, AcceptedElicitation({})),
        (Person, {"action": "accept", "content": {"name": "n"}}, AcceptedElicitation(Person("n"))),
        (Person, {"action": "decline"}, DeclinedElicitation()),
        (Person, {"action": "cancel", "content": None}, CancelledElicitation()),
    ],
)
async def test_elicit(run: Run, make_peer: Any, response_type: Any, answer: Any, outcome: Any) -> None:
    peer = make_peer(answers=[answer])
    assert await run(lambda ctx: ctx.elicit("m", response_type, key="k"), peer=peer) == outcome
    method, params, key = peer.questions[0]
    assert (method, params["message"], params["mode"], key) == ("elicitation/create", "m", "form", "k")
    assert params["requestedSchema"]["type"] == "object"


async def test_several_choices_of_an_older_revision(run: Run, make_peer: Any) -> None:
    peer = make_peer(R2025_06, answers=[{"action": "accept", "content": {"value": "a, b"}}])
    assert await run(lambda ctx: ctx.elicit("m", [["a", "b", "c"]]), peer=peer) == AcceptedElicitation(["a", "b"])


async def test_elicit_url(run: Run, make_peer: Any) -> None:
    peer = make_peer(answers=[{"action": "accept"}])
    assert await run(lambda ctx: ctx.elicit_url("m", "https://a"), peer=peer) == AcceptedElicitation(None)
    assert peer.questions[0][1] == {"message": "m", "mode": "url", "url": "https://a"}
    old = make_peer(LATEST_HANDSHAKE, answers=[{"action": "decline"}])
    assert await run(lambda ctx: ctx.elicit_url("m", "https://a"), peer=old) == DeclinedElicitation()
    assert old.questions[0][1]["elicitationId"]
    await run(lambda ctx: ctx.elicitation_complete("id"), peer=old)
    await run(lambda ctx: ctx.elicitation_complete("id"), peer=peer)
    assert (old.notes, peer.notes) == ([("notifications/elicitation/complete", {"elicitationId": "id"})], [])


SAMPLED = {"role": "assistant", "model": "m", "content": {"type": "text", "text": "Paris"}}


async def test_sample(run: Run, make_peer: Any) -> None:
    messages = ["a", SamplingMessage(role="assistant", content=TextContent(text="b"))]

    async def sample(ctx: Context) -> str:
        result = await ctx.sample(
            messages, system_prompt="s", max_tokens=9, temperature=0.5, model_preferences=["x"], key="k"
        )
        assert result.response.model == "m"
        assert result.result == "Paris"
        assert result.content == [TextContent(text="Paris")]
        return result.text

    peer = make_peer(answers=[SAMPLED])
    assert await run(sample, peer=peer) == "Paris"
    assert peer.questions == [
        (
            "sampling/createMessage",
            {
                "messages": [
                    {"role": "user", "content": {"type": "text", "text": "a"}},
                    {"role": "assistant", "content": {"type": "text", "text": "b"}},
                ],
                "maxTokens": 9,
                "systemPrompt": "s",
                "temperature": 0.5,
                "modelPreferences": {"hints": [{"name": "x"}]},
            },
            "k",
        )
    ]


async def test_list_roots(run: Run, make_peer: Any) -> None:
    peer = make_peer(answers=[{"roots": [{"uri": "file:///a", "name": "A"}]}])
    roots = await run(lambda ctx: ctx.list_roots(), peer=peer)
    assert [(root.uri, root.name) for root in roots] == [("file:///a", "A")]
    assert peer.questions == [("roots/list", {}, None)]


TOOLS = [Tool(name="t", input_schema={"type": "object"})]


@pytest.mark.parametrize(
    ("question", "era", "capabilities", "needed"),
    [
        ("elicit", LATEST, {}, {"elicitation": {"form": {}}}),
        ("elicit", LATEST, {"elicitation": {"url": {}}}, {"elicitation": {"form": {}}}),
        ("elicit", R2025_03, {"elicitation": {}}, None),
        ("elicit_url", LATEST, {"elicitation": {}}, {"elicitation": {"url": {}}}),
        ("elicit_url", R2025_06, {"elicitation": {"url": {}}}, None),
        ("sample", LATEST, {}, {"sampling": {}}),
        ("tools", LATEST, {"sampling": {}}, {"sampling": {"tools": {}}}),
        ("tools", R2025_06, {"sampling": {"tools": {}}}, None),
        ("roots", LATEST, {}, {"roots": {}}),
    ],
)
async def test_unsupported(run: Run, make_peer: Any, question: str, era: Any, capabilities: Any, needed: Any) -> None:
    questions: dict[str, Any] = {
        "elicit": lambda ctx: ctx.elicit("m", str),
        "elicit_url": lambda ctx: ctx.elicit_url("m", "https://a"),
        "sample": lambda ctx: ctx.sample("m"),
        "tools": lambda ctx: ctx.sample("m", tools=TOOLS),
        "roots": lambda ctx: ctx.list_roots(),
    }
    peer = make_peer(era, capabilities=capabilities)
    with pytest.raises(UnsupportedByClient) as caught:
        await run(questions[question], peer=peer)
    assert caught.value.capabilities == needed
    assert peer.questions == []


async def test_an_empty_elicitation_capability_means_forms(run: Run, make_peer: Any) -> None:
    peer = make_peer(capabilities={"elicitation": {}}, answers=[{"action": "decline"}])
    assert await run(lambda ctx: ctx.elicit("m", str), peer=peer) == DeclinedElicitation()


async def test_state_once_and_stream(run: Run, make_peer: Any) -> None:
    async def work(ctx: Context) -> None:
        await ctx.set_state("a", [1])
        assert await ctx.get_state("a") == [1]
        await ctx.delete_state("a")
        assert await ctx.get_state("a") is None
        assert await ctx.get_state("a", 5) == 5

        async def step() -> int:
            return 3

        assert await ctx.once("k", step) == 3
        await ctx.close_sse_stream()

    peer = make_peer()
    await run(work, peer=peer)
    assert peer.closed == 1


async def test_objects_live_as_long_as_the_call(run: Run, make_peer: Any) -> None:
    async def work(ctx: Context) -> None:
        thing = object()
        await ctx.set_state("a", 1)
        await ctx.set_state("a", thing, serializable=False)
        assert await ctx.get_state("a") is thing
        await ctx.set_state("a", 2)
        assert await ctx.get_state("a") == 2
        await ctx.set_state("b", thing, serializable=False)
        await ctx.delete_state("b")
        assert await ctx.get_state("b", "none") == "none"

    peer = make_peer()
    await run(work, peer=peer)
    assert peer.state == {"a": 2}


async def test_resource_updated(run: Run) -> None:
    mcp = FastMCP()
    notices: list[Any] = []
    mcp.on_change(lambda *notice: notices.append(notice))
    await run(lambda ctx: ctx.notify_resource_updated("a://b"), server=mcp)
    assert notices[-1] == ("notifications/resources/updated", "a://b")


SCOPE: dict[str, Any] = {
    "type": "http",
    "method": "POST",
    "path": "/mcp",
    "query_string": b"",
    "headers": [
        (b"host", b"a"),
        (b"Authorization", b"Bearer secret"),
        (b"cookie", b"c"),
        (b"content-length", b"3"),
        (b"x-one", b"1"),
        (b"x-one", b"2"),
    ],
}


class User:
    access_token = "token"


async def test_http_of_a_call(run: Run) -> None:
    async def look(ctx: Context) -> None:
        assert get_http_request().url.path == "/mcp"
        assert isinstance(ctx.request_context.request, Request)
        assert get_http_headers() == {"x-one": "1, 2"}
        assert get_http_headers(include={"Authorization"})["authorization"] == "Bearer secret"
        assert set(get_http_headers(include_all=True)) == {
            "host", "authorization", "cookie", "content-length", "x-one",
        }  # fmt: skip

    await run(look, scope=SCOPE)


async def test_access_token(run: Run) -> None:
    async def look(ctx: Context) -> Any:
        return get_access_token()

    assert await run(look) is None
    assert await run(look, principal=Principal("me", "mine")) == "mine"
    assert await run(look, scope={**SCOPE, "user": User()}) == "token"


def test_outside_of_everything() -> None:
    with pytest.raises(RuntimeError, match="No active HTTP request found"):
        get_http_request()
    with pytest.raises(RuntimeError, match="context"):
        get_context()
    assert get_http_headers() == {}
    assert get_access_token() is None


async def test_context_in_a_worker_thread(ask: Any) -> None:
    mcp = FastMCP()

    @mcp.tool
    def look(ctx: Context) -> bool:
        return ctx is get_context() and get_http_request().url.path == "/mcp"

    assert (await ask(mcp, "tools/call", {"name": "look"}, scope=SCOPE))["structuredContent"] == {"result": True}


# As clients see it, in memory


def notices(heard: list[Any]) -> Any:
    async def handler(message: Any) -> None:
        heard.append(message.method)

    return handler


class OwnNotification:
    method = RESOURCE_UPDATED
    params = ResourceUpdatedNotificationParams(uri="data://a")


class Wrong:
    method = "notifications/message"
    params = None


@pytest.mark.parametrize(
    "sent",
    [
        "notifications/tools/list_changed",
        mcp_types.ToolListChangedNotification(),
        mcp_types.ResourceListChangedNotification(),
        mcp_types.ResourceUpdatedNotification(params=mcp_types.ResourceUpdatedNotificationParams(uri="data://a")),
        OwnNotification(),
    ],
    ids=lambda sent: type(sent).__name__,
)
async def test_send_notification(sent: Any) -> None:
    method = sent if isinstance(sent, str) else sent.method
    mcp = FastMCP()

    @mcp.tool
    async def tell(ctx: Context) -> None:
        await ctx.send_notification(sent)

    mcp.resource("data://a", name="a")(lambda: "x")
    told: list[Any] = []
    others: list[Any] = []
    async with (
        Client(mcp, mode="legacy", message_handler=notices(told)) as one,
        Client(mcp, mode="legacy", message_handler=notices(others)) as two,
    ):
        await one.call_tool("tell")
        await two.ping()
    assert told == [method]
    assert others == []
    async with (
        Client(mcp, mode="modern") as client,
        client.listen(tools=True, resources=True, uris=["data://a"]) as heard,
    ):
        await client.call_tool("tell")
        assert (await asyncio.wait_for(anext(heard), 5)).method == method


async def test_a_notification_that_nobody_can_listen_to() -> None:
    mcp = FastMCP()

    @mcp.tool
    async def tell(ctx: Context) -> None:
        await ctx.send_notification(Wrong())

    async with Client(mcp, mode="modern") as client:
        with pytest.raises(ToolError, match="notifications/message can't be sent to a client of this revision"):
            await client.call_tool("tell")


@pytest.mark.parametrize("mode", ["legacy", "modern"])
async def test_what_the_server_offers(mode: Any) -> None:
    mcp = FastMCP()
    mcp.resource("data://a", name="a", meta={"k": 1})(lambda: "text")
    mcp.resource("data://hidden", name="hidden", enabled=False)(lambda: "x")
    mcp.resource("data://{id}/part", name="t")(lambda id: id)
    mcp.prompt("ask")(lambda topic: f"about {topic}")

    @mcp.resource("data://asks", name="asks")
    async def asks(ctx: Context) -> str:
        return (await ctx.read_resource("data://a")).contents[0].content + "!"

    @mcp.tool
    async def look(ctx: Context) -> list[str]:
        listed = await ctx.list_resources()
        assert listed[0].meta is not None
        listed[0].meta["leak"] = 1
        with pytest.raises(NotFoundError):
            await ctx.read_resource("data://hidden")
        with pytest.raises(NotFoundError):
            await ctx.get_prompt("hidden")
        found = [each.uri for each in listed] + [each.name for each in await ctx.list_prompts()]
        for uri in ("data://a", "data://7/part", "data://asks"):
            found.append((await ctx.read_resource(uri)).contents[0].content)
        prompt = await ctx.get_prompt("ask", {"topic": "bees"})
        assert isinstance(prompt.messages[0].content, TextContent)
        return [*found, prompt.messages[0].content.text]

    async with Client(mcp, mode=mode) as client:
        for _ in range(2):
            answer = (await client.call_tool("look")).data
            assert answer == ["data://a", "data://asks", "ask", "text", "7", "text!", "about bees"]
        assert (await client.list_resources())[0].meta == {"k": 1}


@pytest.mark.parametrize("mode", ["legacy", "modern"])
@pytest.mark.parametrize(
    ("lowest", "asked", "legacy"),
    [
        ("debug", None, ["debug", "info", "warning", "error"]),
        ("warning", None, ["warning", "error"]),
        ("warning", "debug", ["debug", "info", "warning", "error"]),
        ("debug", "error", ["error"]),
    ],
)
async def test_client_log_level(lowest: Any, asked: Any, legacy: list[str], mode: Any) -> None:
    """The server's lowest level is for clients of the handshake era that named none."""
    mcp = FastMCP(client_log_level=lowest)
    heard: list[str] = []

    @mcp.tool
    async def log(ctx: Context) -> None:
        for each in (ctx.debug, ctx.info, ctx.warning, ctx.error):
            await each("m")

    async def hear(message: Any) -> None:
        heard.append(message.level)

    async with Client(mcp, mode=mode, log_handler=hear) as client:
        if asked is not None:
            await client.set_logging_level(asked)
        await client.call_tool("log")
    everything = ["debug", "info", "warning", "error"]  # what a 2026-07-28 client with a handler asks for
    assert heard == (legacy if mode == "legacy" or asked is not None else everything)


def test_an_unknown_client_log_level() -> None:
    with pytest.raises(ValueError, match="client_log_level is one of debug"):
        FastMCP(client_log_level="loud")  # type: ignore[arg-type]


async def test_what_the_client_declared_of_extensions(run: Run, make_peer: Any) -> None:
    async def look(ctx: Context) -> Any:
        known = ("com.example/a", "com.example/b")
        return [(ctx.client_supports_extension(each), ctx.client_extension_settings(each)) for each in known]

    peer = make_peer(capabilities={"extensions": {"com.example/a": {"k": 1}}})
    assert await run(look, peer=peer) == [(True, {"k": 1}), (False, None)]
    assert await run(look, peer=make_peer(capabilities={})) == [(False, None), (False, None)]


async def test_nothing_is_sent_after_the_result(run: Run, make_peer: Any) -> None:
    kept: list[Context] = []

    async def keep(ctx: Context) -> None:
        kept.append(ctx)

    peer = make_peer(LATEST_HANDSHAKE)
    await run(keep, peer=peer, meta={"progressToken": "t"})
    await kept[0].info("late")
    await kept[0].report_progress(1)
    assert peer.notes == []
