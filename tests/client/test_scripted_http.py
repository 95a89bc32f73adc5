"""The HTTP transport against servers that misbehave, or behave in ways that ours does not. No sockets."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import msgspec
import pytest

from headrace.client import Client, HandlerContext
from headrace.client.eras import forget_servers
from headrace.client.transports.http import StreamableHttpTransport
from headrace.exceptions import ClientError, McpError
from headrace.protocol.types import CreateMessageRequestParams, ElicitRequestParams, ElicitResult, SamplingMessage
from headrace.protocol.versions import LATEST, LATEST_HANDSHAKE

pytestmark = pytest.mark.usefixtures("no_tasks_left")
Eventually = Callable[[Callable[[], Any]], Awaitable[None]]

MODERN, HANDSHAKE = LATEST.version, LATEST_HANDSHAKE.version
DISCOVERED = {"resultType": "complete", "supportedVersions": [MODERN], "capabilities": {}}
INITIALIZED = {"protocolVersion": HANDSHAKE, "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}
DONE = {"resultType": "complete", "content": [{"type": "text", "text": "done"}]}


def json(status: int, body: Any, **headers: str) -> httpx2.Response:
    return httpx2.Response(
        status, content=msgspec.json.encode(body), headers={"content-type": "application/json", **headers}
    )


def result(request: dict[str, Any], value: Any, **headers: str) -> httpx2.Response:
    return json(200, {"jsonrpc": "2.0", "id": request["id"], "result": value}, **headers)


def error(request: dict[str, Any], status: int, code: int, data: Any = None) -> httpx2.Response:
    return json(status, {"jsonrpc": "2.0", "id": request["id"], "error": {"code": code, "message": "no", "data": data}})


class Sse(httpx2.AsyncByteStream):
    """Events, then the end, an error, or (`hold`) nothing for ever; `closed` tells that the client closed it."""

    def __init__(self, *events: str, fail: bool = False, hold: bool = False) -> None:
        self.events = events
        self.fail = fail
        self.hold = hold
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for event in self.events:
            yield event.encode()
        if self.fail:
            raise httpx2.ReadError("connection reset")
        if self.hold:
            await asyncio.sleep(60)

    async def aclose(self) -> None:
        self.closed = True

    def response(self) -> httpx2.Response:
        return httpx2.Response(200, stream=self, headers={"content-type": "text/event-stream"})


def data(message: Any, id: str = "") -> str:
    return f"{f'id: {id}' if id else ':'}\ndata: {msgspec.json.encode(message).decode()}\n\n"


class Script:
    """A server of one function per method: (request, HTTP request) -> HTTP response."""

    def __init__(self, **answers: Callable[[dict[str, Any], httpx2.Request], Any]) -> None:
        self.answers = {name.replace("__", "/"): answer for name, answer in answers.items()}
        self.seen: list[tuple[str, httpx2.Request, dict[str, Any]]] = []

    async def __call__(self, http: httpx2.Request) -> httpx2.Response:
        body: dict[str, Any] = msgspec.json.decode(http.content) if http.content else {}
        method = body.get("method", http.method if http.method != "POST" else "response")
        self.seen.append((method, http, body))
        answer = self.answers.get(method)
        if answer is not None:
            answered = answer(body, http)
            return await answered if isinstance(answered, Awaitable) else answered
        if method == "server/discover":
            return result(body, DISCOVERED)
        if method == "initialize":
            return result(body, INITIALIZED, **{"mcp-session-id": "session-1"})
        if http.method == "GET":
            return httpx2.Response(405)
        return httpx2.Response(200 if http.method == "DELETE" else 202)

    def client(self, **options: Any) -> Client:
        def make() -> httpx2.AsyncClient:
            return httpx2.AsyncClient(transport=httpx2.MockTransport(self))

        return Client(StreamableHttpTransport("http://server.example/mcp?key=secret", http_client=make), **options)

    def requests(self, method: str) -> list[tuple[httpx2.Request, dict[str, Any]]]:
        return [(http, body) for name, http, body in self.seen if name == method]


# Which era


async def test_modern_headers() -> None:
    script = Script(tools__call=lambda request, http: result(request, DONE))
    async with script.client() as client:
        assert client.protocol_version == MODERN
        await client.call_tool("naïve tool", {"a": 1}, meta={"com.example/x": 1})
    http, body = script.requests("tools/call")[0]
    assert http.headers["mcp-protocol-version"] == MODERN
    assert http.headers["mcp-method"] == "tools/call"
    assert http.headers["mcp-name"] == f"=?base64?{base64.b64encode('naïve tool'.encode()).decode()}?="
    assert http.headers["accept"] == "application/json, text/event-stream"
    assert body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] == MODERN
    assert body["params"]["_meta"]["com.example/x"] == 1
    assert body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] == {}
    assert "mcp-session-id" not in http.headers
    assert [name for name, _, _ in script.seen] == ["server/discover", "tools/call"]


@pytest.mark.parametrize(
    "refusal",
    [
        lambda request, http: httpx2.Response(400),
        lambda request, http: httpx2.Response(404, text="nothing here"),
        lambda request, http: httpx2.Response(405),
        lambda request, http: error(request, 400, -32600),
        lambda request, http: error(request, 400, -32000),
        lambda request, http: error(request, 200, -32601),
        lambda request, http: error(request, 400, -32022, {"supported": [HANDSHAKE, "2024-11-05"]}),
        lambda request, http: result(request, {"something": "else"}),
        lambda request, http: result(request, {**DISCOVERED, "supportedVersions": [HANDSHAKE]}),
    ],
)
async def test_what_no_modern_server_says_leads_to_a_handshake(refusal: Any) -> None:
    script = Script(server__discover=refusal)
    async with script.client() as client:
        assert client.protocol_version == HANDSHAKE
        assert client.session_id == "session-1"
    names = [name for name, _, _ in script.seen]
    assert names == ["server/discover", "initialize", "notifications/initialized", "GET", "DELETE"]
    assert "mcp-session-id" not in script.seen[1][1].headers
    for _, http, _ in script.seen[2:]:
        assert http.headers["mcp-session-id"] == "session-1"
        assert http.headers["mcp-protocol-version"] == HANDSHAKE
    with pytest.raises(ClientError, match="handshake"):
        await script.client(mode="modern").__aenter__()


@pytest.mark.parametrize("code", [-32020, -32021])
async def test_errors_that_only_modern_servers_know_are_told(code: int) -> None:
    script = Script(server__discover=lambda request, http: error(request, 400, code))
    with pytest.raises(McpError) as told:
        await script.client().__aenter__()
    assert told.value.code == code
    assert len(script.seen) == 1


async def test_no_common_version() -> None:
    script = Script(server__discover=lambda request, http: error(request, 400, -32022, {"supported": ["2099-01-01"]}))
    with pytest.raises(ClientError, match="2099-01-01"):
        await script.client().__aenter__()


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_refusals_that_say_nothing_of_the_era(status: int) -> None:
    script = Script(server__discover=lambda request, http: httpx2.Response(status))
    with pytest.raises(ClientError, match=str(status)) as told:
        await script.client().__aenter__()
    assert "secret" not in str(told.value)
    assert {name for name, _, _ in script.seen} == {"server/discover"}
    assert len(script.seen) == 1 or status == 503


async def test_an_unknown_version_in_the_handshake() -> None:
    script = Script(initialize=lambda request, http: result(request, {**INITIALIZED, "protocolVersion": "1999-01-01"}))
    with pytest.raises(ClientError, match="1999-01-01"):
        await script.client(mode="legacy").__aenter__()


# Answers


async def test_a_result_without_kind_is_complete() -> None:
    script = Script(tools__call=lambda request, http: result(request, {"content": [{"type": "text", "text": "x"}]}))
    async with script.client() as client:
        assert (await client.call_tool("t")).text == "x"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda request, http: result(request, {"resultType": "strange", "content": []}), "strange"),
        (lambda request, http: result(request, {"resultType": "input_required"}), "asks for none"),
        (lambda request, http: result(request, {"content": 5}), "does not fit"),
        (lambda request, http: result({"id": 999}, DONE), "does not answer"),
        (lambda request, http: httpx2.Response(202), "without a message"),
        (lambda request, http: httpx2.Response(200, text="<html>"), "without a message"),
        (lambda request, http: httpx2.Response(502, text="bad gateway"), "502"),
        (lambda request, http: json(200, [1]), "no JSON-RPC"),
        (lambda request, http: Sse().response(), "without an answer"),
        (lambda request, http: Sse(fail=True).response(), "connection reset"),
        (lambda request, http: Sse("data: {}\n\n").response(), "no JSON-RPC"),
        (lambda request, http: Sse(data({"jsonrpc": "2.0", "id": 999, "result": {}})).response(), "without an answer"),
        (lambda request, http: httpx2.Response(307, headers={"location": "http://evil.example/mcp"}), "another origin"),
    ],
)
async def test_answers_that_are_none(answer: Any, told: str) -> None:
    async with Script(tools__call=answer).client() as client:
        with pytest.raises(ClientError, match=told):
            await client.call_tool("t")


async def test_a_redirect_to_the_same_place_is_followed() -> None:
    def call_tool(request: dict[str, Any], http: httpx2.Request) -> httpx2.Response:
        if http.url.path == "/mcp":
            return httpx2.Response(307, headers={"location": "/mcp/"})
        return result(request, DONE)

    async with Script(tools__call=call_tool).client() as client:
        assert (await client.call_tool("t")).text == "done"


async def test_input_required_rounds_echo_the_state_and_use_new_ids() -> None:
    state = 'opaque "ü\x01" \u2028 \U0001f600'
    rounds: list[dict[str, Any]] = []
    form = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer", "default": 7}}}
    message = {"role": "user", "content": {"type": "text", "text": "hi"}}
    questions = {
        "name": {"method": "elicitation/create", "params": {"message": "Name?", "requestedSchema": form}},
        "roots": {"method": "roots/list"},
        "model": {"method": "sampling/createMessage", "params": {"messages": [message], "maxTokens": 5}},
    }
    answers = [
        {"resultType": "input_required", "inputRequests": questions, "requestState": state},
        {"resultType": "input_required", "requestState": "only a state"},
        {"resultType": "input_required", "inputRequests": {"roots": {"method": "roots/list"}}},
        DONE,
    ]

    def call_tool(request: dict[str, Any], http: httpx2.Request) -> httpx2.Response:
        rounds.append(request)
        return result(request, answers[len(rounds) - 1])

    def elicit(text: str, kind: Any, params: ElicitRequestParams, context: HandlerContext) -> Any:
        assert context.request_id == "name"
        return kind(name=text)

    async def sample(
        messages: list[SamplingMessage], params: CreateMessageRequestParams, context: HandlerContext
    ) -> str:
        return f"{params.max_tokens}"

    script = Script(tools__call=call_tool)
    handlers = {"elicitation_handler": elicit, "sampling_handler": sample, "roots": ["file:///a"]}
    async with script.client(**handlers) as client:
        assert (await client.call_tool("t", {"x": 1})).text == "done"
    assert len({request["id"] for request in rounds}) == 4
    params = [request["params"] for request in rounds]
    assert all(each["name"] == "t" and each["arguments"] == {"x": 1} for each in params)
    assert [each.get("requestState") for each in params] == [None, state, "only a state", None]
    assert "requestState" not in params[3]
    given = params[1]["inputResponses"]
    assert given["name"] == {"action": "accept", "content": {"age": 7, "name": "Name?"}}
    assert given["roots"] == {"roots": [{"uri": "file:///a"}]}
    assert given["model"]["content"] == {"type": "text", "text": "5"}
    assert "inputResponses" not in params[2]
    assert list(params[3]["inputResponses"]) == ["roots"]
    declared = params[0]["_meta"]["io.modelcontextprotocol/clientCapabilities"]
    assert declared == {"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}}


async def test_rounds_have_a_cap() -> None:
    again = {"resultType": "input_required", "requestState": "again"}
    async with Script(tools__call=lambda request, http: result(request, again)).client() as client:
        with pytest.raises(ClientError, match="32 times"):
            await client.call_tool("t")


async def test_a_change_of_the_roots_is_told_to_a_session() -> None:
    script = Script()
    async with script.client(mode="legacy", roots=["file:///a"]) as client:
        await client.send_roots_list_changed()
    assert script.requests("initialize")[0][1]["params"]["capabilities"]["roots"] == {"listChanged": True}
    assert len(script.requests("notifications/roots/list_changed")) == 1
    async with script.client(roots=["file:///a"]) as client:
        with pytest.raises(ClientError, match="roots/list_changed"):
            await client.send_roots_list_changed()


@pytest.mark.parametrize(
    ("schema", "answer", "content"),
    [
        ({"name": {"type": "string", "default": "Ada"}, "age": {"type": "integer", "default": 7}}, "None", None),
        ({"name": {"type": "string", "default": "Ada"}, "age": {"type": "integer", "default": 7}}, "kind(age=8)", 8),
        ({"age": {"type": "integer"}, "name": {"type": "string", "default": "Ada"}}, "kind(age=8, name='Ada')", 8),
        ({"name": {"type": "string", "default": "Ada"}, "age": 3}, "kind(age=8)", 8),
        ({"name": {"type": "string", "default": "Ada"}, "age": {"default": 7}}, "ElicitResult(action='accept')", None),
    ],
)
async def test_a_form_is_answered_with_its_type(schema: Any, answer: str, content: Any) -> None:
    question = {
        "method": "elicitation/create",
        "params": {"message": "Who?", "requestedSchema": {"properties": schema}},
    }
    given: list[Any] = []

    def call_tool(request: dict[str, Any], http: httpx2.Request) -> httpx2.Response:
        if "inputResponses" not in request["params"]:
            return result(request, {"resultType": "input_required", "inputRequests": {"q": question}})
        given.append(request["params"]["inputResponses"]["q"])
        return result(request, DONE)

    def handler(message: str, kind: Any, params: Any, context: Any) -> Any:
        return eval(answer, {"kind": kind, "ElicitResult": ElicitResult})

    async with Script(tools__call=call_tool).client(elicitation_handler=handler) as client:
        await client.call_tool("t")
    assert given == [{"action": "accept", "content": {"name": "Ada", "age": 7 if content is None else content}}]


# Headers that mirror arguments


def tool(name: str, header: Any) -> dict[str, Any]:
    return {
        "name": name,
        "inputSchema": {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": header}}},
    }


async def test_a_header_mismatch_refreshes_the_tools_and_retries_once(caplog: pytest.LogCaptureFixture) -> None:
    def call_tool(request: dict[str, Any], http: httpx2.Request) -> httpx2.Response:
        if http.headers.get("mcp-param-region") == "eu":
            return result(request, DONE)
        return error(request, 400, -32020)

    tools = {"resultType": "complete", "tools": [tool("t", "Region"), tool("bad", "no good")]}
    script = Script(tools__call=call_tool, tools__list=lambda request, http: result(request, tools))
    async with script.client() as client:
        assert (await client.call_tool("t", {"region": "eu"})).text == "done"
        assert (await client.call_tool("t", {"region": "eu"})).text == "done"
        assert [each.name for each in await client.list_tools()] == ["t"]
        with pytest.raises(McpError):
            await client.call_tool("t", {"region": "us"})
    assert "'bad'" in caplog.text
    methods = [name for name, _, _ in script.seen[1:]]
    refreshed = ["tools/call", "tools/list", "tools/call"]
    assert methods == [*refreshed, "tools/call", "tools/list", *refreshed]


# Streams


async def test_closing_the_stream_cancels_a_modern_call() -> None:
    stream = Sse(": hello\n\n", hold=True)
    script = Script(tools__call=lambda request, http: stream.response())
    async with script.client() as client:
        with pytest.raises(ClientError, match="within"):
            await client.call_tool("t", timeout=0.05)
        assert stream.closed
    assert [name for name, _, _ in script.seen] == ["server/discover", "tools/call"]


async def test_a_handshake_call_is_cancelled_by_a_notification(eventually: Eventually) -> None:
    script = Script(tools__call=lambda request, http: Sse(": hello\n\n", hold=True).response())
    async with script.client(mode="legacy") as client:
        task = asyncio.create_task(client.call_tool("t"))
        await eventually(lambda: script.requests("tools/call"))
        task.cancel()
        await asyncio.wait([task])
    [(_, cancelled)] = script.requests("notifications/cancelled")
    assert cancelled["params"]["requestId"] == script.requests("tools/call")[0][1]["id"]


async def test_a_stream_that_ends_early_is_resumed() -> None:
    ids: list[int] = []
    heard: list[float] = []

    def note(step: int) -> dict[str, Any]:
        params = {"progressToken": ids[0], "progress": step}
        return {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}

    def call_tool(request: dict[str, Any], http: httpx2.Request) -> httpx2.Response:
        ids.append(request["id"])
        return Sse("id: a-0\nretry: 20\ndata: \n\n", data(note(1), "a-1"), "id: a-9\ndata: cut", fail=True).response()

    gets: list[str | None] = []

    def get(_: dict[str, Any], http: httpx2.Request) -> httpx2.Response:
        after = http.headers.get("last-event-id")
        gets.append(after)
        if after is None:
            return httpx2.Response(405)
        if after == "a-1":
            return Sse(data(note(2), "a-2")).response()
        answer = {"jsonrpc": "2.0", "id": ids[0], "result": DONE}
        return Sse(data(answer, "a-3")).response() if len(gets) > 3 else Sse(fail=True).response()

    async with Script(tools__call=call_tool, GET=get).client(mode="legacy") as client:
        called = await client.call_tool("t", progress_handler=lambda progress, total, message: heard.append(progress))
    assert called.text == "done"
    assert gets == [None, "a-1", "a-2", "a-2"]
    assert heard == [1, 2]


async def test_resuming_gives_up() -> None:
    def get(_: dict[str, Any], http: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(405) if "last-event-id" not in http.headers else Sse().response()

    script = Script(tools__call=lambda request, http: Sse("id: 1\nretry: 1\ndata:\n\n").response(), GET=get)
    async with script.client(mode="legacy") as client:
        with pytest.raises(ClientError, match="attempts"):
            await client.call_tool("t")


async def test_questions_on_the_stream_of_a_call_are_answered_by_a_post() -> None:
    answered = asyncio.Event()

    def response(body: dict[str, Any], http: httpx2.Request) -> httpx2.Response:
        answered.set()
        return httpx2.Response(202)

    class Asking(Sse):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield data({"jsonrpc": "2.0", "id": "q1", "method": "roots/list"}).encode()
            await answered.wait()
            yield self.events[0].encode()

    def call_tool(request: dict[str, Any], http: httpx2.Request) -> httpx2.Response:
        return Asking(data({"jsonrpc": "2.0", "id": request["id"], "result": DONE})).response()

    script = Script(tools__call=call_tool, response=response)
    async with script.client(mode="legacy", roots=["file:///a"]) as client:
        assert (await client.call_tool("t")).text == "done"
    [(_, body)] = script.requests("response")
    assert body == {"jsonrpc": "2.0", "id": "q1", "result": {"roots": [{"uri": "file:///a"}]}}


async def test_the_stream_of_messages_comes_back(eventually: Eventually) -> None:
    heard: list[str] = []
    gets: list[str | None] = []
    note = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}

    def get(_: dict[str, Any], http: httpx2.Request) -> httpx2.Response:
        gets.append(http.headers.get("last-event-id"))
        if len(gets) == 1:
            return Sse("retry: 10\n" + data(note, "m1"), fail=True).response()
        if len(gets) == 2:
            return httpx2.Response(400)
        return Sse(data(note), hold=True).response()

    client = Script(GET=get).client(mode="legacy", message_handler=lambda notice: heard.append(notice.method))
    async with client:
        await eventually(lambda: len(heard) == 2)
    assert gets == [None, "m1", None]


# Sessions that end


class Sessions:
    """A script of sessions: every `initialize` makes the next one, the calls of those in `gone` are refused."""

    def __init__(self, refusal: Any = None, **answers: Any) -> None:
        self.gone: set[str] = set()
        self.made = 0
        self.ran: list[str] = []
        self.refusal = refusal or (lambda request: error(request, 404, -32600))
        self.script = Script(initialize=self.initialize, tools__call=self.in_session, **answers)

    def initialize(self, request: dict[str, Any], http: httpx2.Request) -> httpx2.Response:
        assert "mcp-session-id" not in http.headers
        assert "mcp-protocol-version" not in http.headers
        self.made += 1
        return result(request, INITIALIZED, **{"mcp-session-id": f"session-{self.made}"})

    def in_session(self, request: dict[str, Any], http: httpx2.Request) -> httpx2.Response:
        session = http.headers["mcp-session-id"]
        if session in self.gone:
            return self.refusal(request)
        self.ran.append(session)
        return result(request, DONE)


@pytest.mark.parametrize(
    "refusal",
    [
        lambda request: error(request, 404, -32600),
        lambda request: httpx2.Response(404),
        lambda request: httpx2.Response(404, text="no such session"),
    ],
)
async def test_a_session_that_is_gone_makes_place_for_another(refusal: Any) -> None:
    server = Sessions(refusal)
    async with server.script.client(mode="legacy") as client:
        assert (await client.call_tool("t")).text == "done"
        server.gone.add("session-1")
        server.script.seen.clear()
        assert (await client.call_tool("t", {"a": 1})).text == "done"
        assert client.session_id == "session-2"
        assert (await client.call_tool("t")).text == "done"
    assert server.ran == ["session-1", "session-2", "session-2"]
    again = ["initialize", "notifications/initialized", "GET"]
    assert [name for name, _, _ in server.script.seen] == ["tools/call", *again, "tools/call", "tools/call", "DELETE"]
    (_, refused), (http, sent), _ = server.script.requests("tools/call")
    assert refused["params"] == sent["params"]
    assert http.headers["mcp-protocol-version"] == HANDSHAKE


async def test_many_calls_need_one_new_session() -> None:
    server = Sessions()
    async with server.script.client(mode="legacy") as client:
        server.gone.add("session-1")
        results = await asyncio.gather(*(client.call_tool("t") for _ in range(20)))
        assert {result.text for result in results} == {"done"}
        assert (server.made, server.ran) == (2, ["session-2"] * 20)


async def test_a_new_session_is_told_what_the_old_one_knew() -> None:
    server = Sessions(
        resources__subscribe=lambda request, http: result(request, {}),
        resources__unsubscribe=lambda request, http: result(request, {}),
        logging__setLevel=lambda request, http: error(request, 200, -32601) if server.gone else result(request, {}),
    )
    async with server.script.client(mode="legacy") as client:
        for uri in ("data://b", "data://a", "data://c"):
            await client.subscribe_resource(uri)
        await client.unsubscribe_resource("data://c")
        await client.set_logging_level("error")
        server.gone.add("session-1")
        server.script.seen.clear()
        await client.call_tool("t")
    assert [body["params"]["uri"] for _, body in server.script.requests("resources/subscribe")] == [
        "data://a",
        "data://b",
    ]
    assert server.script.requests("logging/setLevel")[0][1]["params"] == {"level": "error"}


async def test_a_new_session_that_does_not_begin_is_tried_again() -> None:
    reached = asyncio.Event()
    waits = 0

    async def initialize(request: dict[str, Any], http: httpx2.Request) -> httpx2.Response:
        nonlocal waits
        if server.gone and waits < 2:
            waits += 1
            reached.set()
            if waits == 1:
                return httpx2.Response(500)
            await asyncio.sleep(60)
        return server.initialize(request, http)

    server = Sessions()
    server.script.answers["initialize"] = initialize
    async with asyncio.timeout(10), server.script.client(mode="legacy") as client:
        server.gone.add("session-1")
        with pytest.raises(ClientError, match="500"):
            await client.call_tool("t")
        reached.clear()
        task = asyncio.create_task(client.call_tool("t"))
        await reached.wait()
        task.cancel()
        await asyncio.wait([task])
        assert (await client.call_tool("t")).text == "done"
    assert server.ran == ["session-2"]


async def test_a_call_that_may_have_run_is_not_sent_again() -> None:
    def get(_: dict[str, Any], http: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(404 if "last-event-id" in http.headers else 405)

    script = Script(tools__call=lambda request, http: Sse("id: 1\nretry: 1\ndata:\n\n").response(), GET=get)
    async with script.client(mode="legacy") as client:
        with pytest.raises(ClientError, match="session"):
            await client.call_tool("t")
    assert len(script.requests("tools/call")) == 1


async def test_a_session_that_never_lasts_is_told() -> None:
    script = Script(tools__call=lambda request, http: error(request, 404, -32600))
    async with script.client(mode="legacy") as client:
        with pytest.raises(ClientError, match="no longer knows the session"):
            await client.call_tool("t")
    assert len(script.requests("tools/call")) == 2


async def test_not_found_without_a_session() -> None:
    script = Script(
        initialize=lambda request, http: result(request, INITIALIZED),
        tools__call=lambda request, http: httpx2.Response(404),
    )
    async with script.client(mode="legacy") as client:
        with pytest.raises(ClientError, match="404"):
            await client.call_tool("t")
    assert len(script.requests("initialize")) == 1


# What is remembered of a server


def without_discover(request: dict[str, Any], http: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(400)


async def names_of(script: Script, **options: Any) -> list[str]:
    script.seen.clear()
    async with script.client(**options):
        return [name for name, _, _ in script.seen][:2]


async def test_a_server_is_asked_once_what_it_speaks() -> None:
    script = Script(server__discover=without_discover)
    assert await names_of(script) == ["server/discover", "initialize"]
    assert await names_of(script) == ["initialize", "notifications/initialized"]
    assert await names_of(script, protocol_version="2025-06-18", mode="auto") == [
        "initialize",
        "notifications/initialized",
    ]
    with pytest.raises(ClientError, match="handshake"):
        await names_of(script, mode="modern")
    forget_servers()
    assert await names_of(script) == ["server/discover", "initialize"]


async def test_what_a_handshake_that_was_asked_for_says_is_not_remembered() -> None:
    script = Script()
    assert (await names_of(script, mode="legacy"))[0] == "initialize"
    assert await names_of(script) == ["server/discover"]
    assert await names_of(script) == ["server/discover"]


@pytest.mark.parametrize("refusal", [lambda r: error(r, 400, -32601), lambda r: httpx2.Response(405)])
async def test_a_server_that_no_longer_has_a_handshake(refusal: Any) -> None:
    script = Script(server__discover=without_discover)
    await names_of(script)
    del script.answers["server/discover"]
    script.answers["initialize"] = lambda request, http: refusal(request)
    assert await names_of(script) == ["initialize", "server/discover"]
    assert await names_of(script) == ["server/discover"]


@pytest.mark.parametrize("status", [401, 503])
async def test_a_failure_makes_nothing_forgotten(status: int) -> None:
    script = Script(server__discover=without_discover)
    await names_of(script)
    script.answers["initialize"] = lambda request, http: httpx2.Response(status)
    with pytest.raises(ClientError, match=str(status)):
        await names_of(script)
    assert {name for name, _, _ in script.seen} == {"initialize"}


async def test_an_unreachable_server_is_told() -> None:
    with pytest.raises(ClientError, match=r"127\.0\.0\.1"):
        await Client("http://127.0.0.1:1/mcp").__aenter__()
