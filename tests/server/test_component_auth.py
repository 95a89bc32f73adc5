"""Checks of components: who sees what, who may use what, and what a refusal says; over every transport."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

import headrace
from headrace import Context, FastMCP
from headrace.client import Client
from headrace.client.auth import OAuth
from headrace.client.oauth_callback import HeadlessCallback
from headrace.client.transports import StdioTransport
from headrace.exceptions import AuthorizationError, InsufficientScopeError, McpError, NotFoundError
from headrace.resources import TextResource
from headrace.server.auth import (
    AccessToken,
    AuthContext,
    RemoteAuthProvider,
    StaticTokenVerifier,
    require_roles,
    require_scopes,
    restrict_tag,
    run_auth_checks,
)
from headrace.server.dependencies import CurrentAccessToken, TokenClaim, get_access_token
from headrace.state.memory import MemoryEventStore
from headrace.tools import Tool

from ..client.auth_server import AuthorizationServer, protected
from ..http.servers import Running, run
from ..http.wire import Reply, body_of, call, initialize, modern, open_session, send, stream

BASE = "https://mcp.example.com"
METADATA = f"{BASE}/.well-known/oauth-protected-resource/mcp"
TOKENS: dict[str, dict[str, Any]] = {
    "plain": {"client_id": "plain", "scopes": ["use"], "sub": "ann"},
    "admin": {"client_id": "admin", "scopes": ["use", "admin"], "sub": "ben"},
    "both": {"client_id": "both", "scopes": ["use", "admin", "audit"]},
    "chief": {"client_id": "chief", "scopes": ["use"], "realm_access": {"roles": ["chief"]}},
    "odd": {"client_id": "odd", "scopes": ["use"], "realm_access": "none"},
}
ERAS = ["modern", "session", "stateless"]


TOKEN, SUB = CurrentAccessToken(), TokenClaim("sub")


def chiefs(claims: dict[str, Any]) -> Any:
    return claims["realm_access"]["roles"]


def named(context: AuthContext) -> bool:
    assert context.tool is context.component
    return context.token is not None and context.token.client_id == "chief"


async def named_later(context: AuthContext) -> bool:
    return named(context)


def broken(context: AuthContext) -> bool:
    raise ZeroDivisionError(f"the check is broken for {context.token and context.token.token}")


def refusing(context: AuthContext) -> bool:
    raise AuthorizationError("Not before noon")


CHECKS: dict[str, Any] = {
    "anybody": None,
    "scope": require_scopes("admin"),
    "scopes": require_scopes("admin", "audit"),
    "tag": restrict_tag("secret", scopes=["admin"]),
    "other_tag": restrict_tag("public", scopes=["admin"]),
    "role": require_roles("chief", extract=chiefs),
    "own": named,
    "own_async": named_later,
    "several": [require_scopes("admin"), require_scopes("audit")],
    "scope_and_own": [require_scopes("admin"), named],
    "broken": broken,
    "refusing": refusing,
}
SEEN = {
    "plain": {"anybody", "other_tag"},
    "odd": {"anybody", "other_tag"},
    "admin": {"anybody", "other_tag", "scope", "tag"},
    "both": {"anybody", "other_tag", "scope", "tag", "scopes", "several"},
    "chief": {"anybody", "other_tag", "role", "own", "own_async"},
}
"""What each token shows, of tools, resources, templates and prompts alike."""
CHALLENGED = {"scope": "admin", "scopes": "admin audit", "tag": "admin", "several": "admin audit"}
"""Where only scopes are missing, those that would do."""


def make(**options: Any) -> FastMCP:
    mcp = FastMCP("checked", **options)
    for name, check in CHECKS.items():
        add(mcp, name, check)

    @mcp.completion
    def complete(ref: Any, argument: Any, context: Any) -> list[str]:
        return ["completed"]

    @mcp.tool(name="versioned", version="1")
    def first() -> str:
        return "one"

    @mcp.tool(name="versioned", version="2", auth=require_scopes("admin"))
    def second() -> str:
        return "two"

    @mcp.tool
    async def inside(ctx: Context, tool: str) -> list[Any]:
        """Calls another tool, and says what there is."""
        try:
            called = (await mcp.call_tool(tool)).content[0].text  # type: ignore[union-attr]
        except NotFoundError:
            called = "not found"
        seen = [each.name for each in await mcp.list_tools()]
        return [called, seen, sorted(await mcp.get_tools()), [each.name for each in await ctx.list_prompts()]]

    @mcp.tool
    def dynamic(amount: int) -> str:
        token = get_access_token()
        if amount > 100 and (token is None or "audit" not in token.scopes):
            raise InsufficientScopeError(["audit"], message="Large amounts are audited")
        return "paid"

    @mcp.tool
    def who(token: AccessToken = TOKEN, sub: str = SUB) -> str:
        return f"{token.client_id} {sub}"

    return mcp


def add(mcp: FastMCP, name: str, check: Any) -> None:
    # Of a check that asserts it is asked for a tool, only tools are made.
    def function() -> str:
        return name

    mcp.tool(name=name, auth=check, tags={"secret"})(function)
    if check in (named, named_later) or name == "scope_and_own":
        return
    mcp.resource(f"data://{name}", name=name, auth=check, tags={"secret"})(function)
    mcp.resource(f"{name.replace('_', '-')}://{{id}}", name=name, auth=check, tags={"secret"})(lambda id: id)
    mcp.prompt(name=name, auth=check, tags={"secret"})(function)


def provider() -> RemoteAuthProvider:
    return RemoteAuthProvider(StaticTokenVerifier(TOKENS, required_scopes=["use"]), ["https://login.example.com"], BASE)


class Site:
    """The served app, and requests to it in each era."""

    def __init__(self, running: dict[str, Running], http: httpx2.AsyncClient) -> None:
        self._running = running
        self.http = http

    def url(self, era: str) -> str:
        return f"http://127.0.0.1:{self._running[era].port}/mcp"

    async def ask(self, era: str, token: str | None, body: dict[str, Any]) -> Reply:
        headers: dict[str, str | None] = {} if token is None else {"authorization": f"Bearer {token}"}
        if era == "modern":
            own, body = modern(body)
            headers |= own
        elif era == "session":
            headers |= await open_session(self.http, self.url(era), headers=headers)
        return await send(self.http, self.url(era), body, headers)


@pytest.fixture(scope="module")
def running() -> Iterator[dict[str, Running]]:
    with (
        run(make(auth=provider()).http_app()) as sessions,
        run(make(auth=provider()).http_app(stateless_http=True)) as s,
    ):
        yield {"modern": sessions, "session": sessions, "stateless": s}


@pytest.fixture
async def site(running: dict[str, Running]) -> AsyncGenerator[Site]:
    async with httpx2.AsyncClient(trust_env=False) as http:
        yield Site(running, http)


def challenge(reply: Reply) -> dict[str, str]:
    return dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', reply.headers["www-authenticate"]))


LISTS = {
    "tools/list": "tools",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
    "prompts/list": "prompts",
}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("token", SEEN)
async def test_lists(token: str, era: str, site: Site) -> None:
    for method, member in LISTS.items():
        for _ in range(2):  # made, and kept
            reply = await site.ask(era, token, body_of(method))
            names = {each["name"] for each in reply.result[member]}
            expected = {*SEEN[token], *(("versioned", "inside", "dynamic", "who") if method == "tools/list" else ())}
            assert names == (expected if method == "tools/list" else expected - {"own", "own_async"}), method
            assert reply.result.get("cacheScope", "private") == "private"


async def test_a_version_that_is_hidden_is_not_named(site: Site) -> None:
    for token, version, versions in (("plain", "1", ["1"]), ("admin", "2", ["2", "1"])):
        tools = (await site.ask("modern", token, body_of("tools/list"))).result["tools"]
        meta = next(tool for tool in tools if tool["name"] == "versioned")["_meta"]["fastmcp"]
        assert (meta["version"], meta["versions"]) == (version, versions)
        assert (await site.ask("modern", token, call("versioned"))).content == {"1": "one", "2": "two"}[version]
    asked = call("versioned", _meta={"fastmcp": {"version": "2"}})
    assert (await site.ask("modern", "plain", asked)).status == 403


USES = {
    "tool": lambda name: call(name),
    "resource": lambda name: body_of("resources/read", {"uri": f"data://{name}"}),
    "template": lambda name: body_of("resources/read", {"uri": f"{name.replace('_', '-')}://7"}),
    "prompt": lambda name: body_of("prompts/get", {"name": name}),
    "complete prompt": lambda name: body_of(
        "completion/complete", {"ref": {"type": "ref/prompt", "name": name}, "argument": {"name": "a", "value": ""}}
    ),
    "complete template": lambda name: body_of(
        "completion/complete",
        {
            "ref": {"type": "ref/resource", "uri": f"{name.replace('_', '-')}://{{id}}"},
            "argument": {"name": "id", "value": ""},
        },
    ),
}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("token", SEEN)
async def test_uses(token: str, use: str, era: str, site: Site) -> None:
    for name in CHECKS:
        if use != "tool" and name in ("own", "own_async", "scope_and_own"):
            continue
        reply = await site.ask(era, token, USES[use](name))
        if name in SEEN[token]:
            assert reply.status == 200, reply
            assert not reply.result.get("isError"), reply
        elif name in CHALLENGED or (name, token) == ("scope_and_own", "chief"):
            assert (reply.status, reply.error["code"]) == (403, -32600), reply
            fields = challenge(reply)
            # The scopes of the server, too: a client may ask for those that are named, and no others.
            assert fields.pop("error_description")
            needed = f"use {CHALLENGED.get(name, 'admin')}"
            assert fields == {"error": "insufficient_scope", "scope": needed, "resource_metadata": METADATA}
        elif name == "refusing":
            assert (reply.status, reply.error["code"], reply.error["message"]) == (403, -32600, "Not before noon")
            assert "www-authenticate" not in reply.headers
        else:
            # As if it were not there.
            unknown = await site.ask(era, token, USES[use](name.replace(name, f"no-{name}".replace("_", "-"))))
            assert unknown.status == reply.status == 200
            assert unknown.error["code"] == reply.error["code"]
            assert reply.error["code"] == (-32602 if era == "modern" or "uri" not in str(reply.error) else -32002)
            same = [
                re.sub(r"no-|_", lambda m: "-" if m[0] == "_" else "", r.error["message"]) for r in (unknown, reply)
            ]
            assert same[0] == same[1]


async def test_what_a_function_finds_missing(site: Site) -> None:
    """Scopes may depend on the arguments (2026-07-28, Authorization, Runtime Insufficient Scope Errors)."""
    for era in ERAS:
        assert (await site.ask(era, "plain", call("dynamic", {"amount": 7}))).content == "paid"
        reply = await site.ask(era, "plain", call("dynamic", {"amount": 700}))
        assert (reply.status, challenge(reply)["scope"]) == (403, "use audit")
        assert reply.error["message"] == "Large amounts are audited"
        assert (await site.ask(era, "both", call("dynamic", {"amount": 700}))).content == "paid"


async def test_a_check_that_breaks_refuses_and_is_logged(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        reply = await site.ask("modern", "both", call("broken"))
    assert reply.error["message"] == "Unknown tool: 'broken'"
    assert "the check is broken for ***" in caplog.text
    assert "both" not in caplog.text, "the token"


@pytest.mark.parametrize("era", ERAS)
async def test_calls_and_lists_inside_of_a_call_are_those_of_its_caller(era: str, site: Site) -> None:
    reply = await site.ask(era, "plain", call("inside", {"tool": "own"}))
    called, tools, by_name, prompts = json.loads(reply.content)
    assert called == "not found"
    assert set(tools) == set(by_name) == SEEN["plain"] | {"versioned", "inside", "dynamic", "who"}
    assert set(prompts) == SEEN["plain"]
    chief = await site.ask(era, "chief", call("inside", {"tool": "own"}))
    assert json.loads(chief.content)[0] == "own"
    refused = await site.ask(era, "plain", call("inside", {"tool": "scope"}))
    assert (refused.status, challenge(refused)["scope"]) == (403, "use admin")


async def test_subscriptions_of_a_session(site: Site) -> None:
    for uri, status, code in (
        ("data://anybody", 200, None),
        ("data://role", 200, -32002),
        ("data://none", 200, -32002),
    ):
        reply = await site.ask("session", "plain", body_of("resources/subscribe", {"uri": uri}))
        assert (reply.status, reply.answer.get("error", {}).get("code")) == (status, code)
    refused = await site.ask("session", "plain", body_of("resources/subscribe", {"uri": "data://scope"}))
    assert (refused.status, challenge(refused)["scope"]) == (403, "use admin")


async def test_a_listen_stream_is_granted_what_may_be_read(site: Site) -> None:
    uris = ["data://anybody", "data://role", "data://none", "data://scope", "other-tag://7", "scope://7"]
    for token, granted in (("plain", ["data://anybody", "other-tag://7"]), ("admin", None)):
        body = body_of("subscriptions/listen", {"notifications": {"resourceSubscriptions": uris}})
        headers, body = modern(body)
        headers["authorization"] = f"Bearer {token}"
        async with stream(site.http, site.url("modern"), body, headers, method="POST") as events:
            params = (await events.message())["params"]
        expected = granted or ["data://anybody", "data://scope", "other-tag://7", "scope://7"]
        assert params["notifications"]["resourceSubscriptions"] == expected


@pytest.mark.parametrize("mode", ["modern", "legacy"])
async def test_a_client_that_steps_up(mode: str) -> None:
    """A whole login for the list, another for the tool that needs more; the first scopes stay."""
    server = AuthorizationServer()
    login = OAuth(callback=HeadlessCallback())
    async with (
        protected(server, scopes_supported=["use"]) as url,
        Client(url, auth=login, mode=mode, timeout=20) as client,
    ):
        assert [tool.name for tool in await client.list_tools()] == ["add"]
        assert (await client.call_tool("secret")).data == "told"
        assert [tool.name for tool in await client.list_tools(cache_mode="bypass")] == ["add", "secret"]
    assert [set(asked["scope"].split()) for asked in server.asked("authorize")] == [{"use"}, {"use", "admin"}]


async def test_dependencies(site: Site) -> None:
    assert (await site.ask("modern", "plain", call("who"))).content == "plain ann"
    missing = await site.ask("modern", "both", call("who"))
    assert missing.result["isError"]
    assert "has no claim 'sub'; it has: client_id" in missing.result["content"][0]["text"]


async def test_where_answers_are_streams_from_the_start(site: Site) -> None:
    """With an event store those of a session are. A check that takes no time is still told in the status."""
    mcp = make(auth=provider())

    async def slow(context: AuthContext) -> bool:
        await asyncio.sleep(0.05)
        return True

    mcp.tool(name="slow", auth=[slow, require_scopes("admin")])(lambda: 1)
    with run(mcp.http_app(event_store=MemoryEventStore())) as running:
        other = Site({"session": running}, site.http)
        reply = await other.ask("session", "plain", call("scope"))
        assert (reply.status, reply.type, challenge(reply)["scope"]) == (403, "application/json", "use admin")
        assert (await other.ask("session", "admin", call("scope"))).content == "scope"
        reply = await other.ask("session", "plain", call("slow"))
        assert (reply.status, reply.type, reply.error["code"]) == (200, "text/event-stream", -32600)
        assert reply.error["message"] == "Insufficient scope: this needs admin"


async def test_without_authentication_nobody_has_a_token() -> None:
    """In memory, too, and from the program itself; no challenge, since there is nothing to log in to."""
    mcp = make()
    async with Client(mcp) as client:
        assert {tool.name for tool in await client.list_tools()} == {
            *("anybody", "other_tag", "versioned", "inside", "dynamic", "who")
        }
        for name in ("scope", "role", "several"):
            with pytest.raises(McpError, match=f"Unknown tool: '{name}'"):
                await client.call_tool(name)
        with pytest.raises(Exception, match="Nobody authenticated"):
            await client.call_tool("who")
    with pytest.raises(NotFoundError):
        await mcp.call_tool("scope")
    assert len(await mcp.list_tools()) > 10, "the program sees what it has registered"


async def test_stdio_is_not_checked(tmp_path: Path) -> None:
    """Who started the server is its user: FastMCP's rule, too."""
    program = tmp_path / "program.py"
    program.write_text(
        "from headrace import FastMCP\nfrom headrace.server.auth import require_scopes\nmcp = FastMCP('local')\n"
        "@mcp.tool(auth=require_scopes('admin'))\ndef secret() -> str:\n    return 'told'\nmcp.run()\n"
    )
    environment = {"PYTHONPATH": str(Path(headrace.__file__).parent.parent)}
    async with Client(StdioTransport(sys.executable, [str(program)], env=environment)) as client:
        assert [tool.name for tool in await client.list_tools()] == ["secret"]
        assert (await client.call_tool("secret")).data == "told"


async def test_who_is_refused_a_resource_does_not_get_it_from_a_template() -> None:
    mcp = FastMCP("shadow")
    mcp.resource("data://admin", name="admin", auth=require_scopes("admin"))(lambda: "secret")
    mcp.resource("data://{name}", name="any")(lambda name: f"any {name}")
    async with Client(mcp) as client:
        assert (await client.read_resource("data://other"))[0].text == "any other"  # type: ignore[union-attr]
        with pytest.raises(McpError, match="Resource not found"):
            await client.read_resource("data://admin")


async def test_classes_take_checks_too() -> None:
    mcp = FastMCP("classes")
    mcp.add_resource(TextResource(uri="data://x", text="x", auth=require_scopes("admin")))
    mcp.add_tool(Tool.from_function(lambda: 1, "one", auth=require_scopes("admin")))
    async with Client(mcp) as client:
        assert (await client.list_resources(), await client.list_tools()) == ([], [])
    mcp.remove_tool("one")
    assert mcp.tools.checked == ()


async def test_run_auth_checks() -> None:
    tool = Tool.from_function(lambda: 1, "one")
    token = AccessToken(token="t", client_id="c", scopes=["a"])
    assert await run_auth_checks([], AuthContext(None, tool))
    assert await run_auth_checks(require_scopes("a"), AuthContext(token, tool))
    assert not await run_auth_checks([require_scopes("a"), require_scopes("b")], AuthContext(token, tool))
    assert not await run_auth_checks(require_scopes("a"), AuthContext(None, tool))


async def test_what_is_added_while_a_list_is_made_is_not_in_it() -> None:
    """Nobody has asked its checks yet."""
    mcp = FastMCP("growing")

    async def check(context: AuthContext) -> bool:
        mcp.tool(name="added", auth=require_scopes("admin"))(lambda: 1)
        return True

    mcp.tool(name="slow", auth=check)(lambda: 1)
    async with Client(mcp) as client:
        assert [tool.name for tool in await client.list_tools()] == ["slow"]


async def test_what_is_kept_is_bounded() -> None:
    """Callers see as many different lists as they like; so many are kept and no more."""
    sees: set[str] = set()
    mcp = FastMCP("many")
    for number in range(11):
        mcp.tool(name=str(number), auth=lambda context: context.component.name in sees)(lambda: 1)
    async with Client(mcp) as client:
        for number in range(2**11):
            sees = {str(bit) for bit in range(11) if number & 1 << bit}
            assert {tool.name for tool in (await client.list_tools_mcp()).tools} == sees
    assert len(mcp._router._lists._encoded) <= 1000


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: require_scopes(), ValueError, "needs a scope"),
        (lambda: require_roles(extract=chiefs), ValueError, "needs a role"),
        (lambda: restrict_tag("t", scopes="admin"), TypeError, "list of strings"),
        (lambda: FastMCP("x").tool(name="x", auth=7)(lambda: 1), TypeError, "takes checks"),
        (lambda: FastMCP("x").tool(name="x", auth=["admin"])(lambda: 1), TypeError, "takes checks"),
    ],
)
def test_mistakes(make: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        make()


def test_one_role_as_a_string_is_one_role() -> None:
    tool = Tool.from_function(lambda: 1, "one")
    token = AccessToken(token="t", client_id="c", claims={"role": "admin"})
    check = require_roles("admin", extract=lambda claims: claims["role"])
    assert check(AuthContext(token, tool)) is True
    assert require_roles("a", extract=lambda claims: claims["role"])(AuthContext(token, tool)) is False


async def test_over_sse_a_refusal_is_an_answer_on_the_stream(site: Site) -> None:
    with run(make(auth=provider()).http_app(transport="sse")) as running:
        origin = f"http://127.0.0.1:{running.port}"
        ann: dict[str, str | None] = {"authorization": "Bearer plain"}
        async with stream(site.http, f"{origin}/sse", headers=ann) as events:
            messages = origin + (await events.next()).data
            for body in (initialize(), call("scope"), call("role"), call("anybody"), body_of("tools/list")):
                assert (await send(site.http, messages, body, ann)).status == 202
                body["answer"] = await events.message()
                if body["method"] == "tools/call":
                    name = body["params"]["name"]
                    code = body["answer"].get("error", {}).get("code")
                    assert code == {"scope": -32600, "role": -32602, "anybody": None}[name]
        assert {tool["name"] for tool in body["answer"]["result"]["tools"]} >= SEEN["plain"]
