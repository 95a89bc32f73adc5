"""Many principals at one server, each with a marker of its own that nobody else may ever see."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
from pydantic import BaseModel

from headrace import Context, FastMCP
from headrace.server.auth import AuthContext, StaticTokenVerifier
from headrace.server.dependencies import TokenClaim, get_access_token
from headrace.server.sessions import UserSession
from headrace.state.memory import MemoryEventStore

from ..http.servers import Running, run
from ..http.wire import Event, Reply, body_of, call, events_of, modern, open_session, send, stream

__all__ = ["ELICITATION", "Caller", "callers", "new_markers", "served"]

_MARKER = re.compile(r"mk-[0-9a-f]{16}")
ELICITATION = {"elicitation": {"form": {}}}


class Answer(BaseModel):
    marker: str


CLAIM = TokenClaim("marker")


def server(markers: list[str]) -> FastMCP:
    tokens = {f"token-{marker}": {"client_id": "one", "sub": marker, "marker": marker} for marker in markers}
    mcp = FastMCP("isolated", auth=StaticTokenVerifier(tokens))

    @mcp.tool
    async def echo(marker: str, ctx: Context, claim: str = CLAIM) -> str:
        """Speaks on the way, and lets others go first."""
        for step in range(3):
            await ctx.info(f"{marker} {step}")
            await ctx.report_progress(step, 3, marker)
            await asyncio.sleep(0)
        return f"{marker} {claim} {ctx.client_id}"

    @mcp.tool
    def echo_in_thread(marker: str) -> str:
        return f"{marker} {get_access_token().claims['marker']}"

    @mcp.tool
    async def remember(marker: str, ctx: Context, user: UserSession) -> str:
        before = [await ctx.get_state("marker"), await user.get("marker")]
        await asyncio.sleep(0)
        await ctx.set_state("marker", marker)
        await user.set("marker", marker)
        return f"{marker} {before}"

    @mcp.tool
    async def ask(marker: str, ctx: Context) -> str:
        answer = await ctx.elicit(f"Whose? {marker}", response_type=Answer, key="who")
        return f"{marker} {answer.data.marker if answer.action == 'accept' else answer.action}"

    @mcp.resource("mark://{marker}")
    def resource(marker: str, claim: str = CLAIM) -> str:
        return f"{marker} {claim}"

    @mcp.prompt
    def prompt(marker: str, claim: str = CLAIM) -> str:
        return f"{marker} {claim}"

    for marker in markers:
        mcp.tool(name=f"own-{marker}", auth=_only(marker))(echo_in_thread)
    return mcp


def _only(marker: str) -> Any:
    def check(context: AuthContext) -> bool:
        return context.token is not None and context.token.claims["marker"] == marker

    return check


@contextmanager
def served(markers: list[str]) -> Iterator[Running]:
    """A server whose handshake-era streams can be resumed."""
    with run(server(markers).http_app(event_store=MemoryEventStore())) as running:
        yield running


class Caller:
    """One principal: a session, and requests without one. What comes back names no marker but its own."""

    def __init__(self, http: httpx2.AsyncClient, url: str, marker: str) -> None:
        self.http = http
        self.url = url
        self.marker = marker
        self.token: dict[str, str | None] = {"authorization": f"Bearer token-{marker}"}
        self.session: dict[str, str | None] = {}
        self.event_ids: list[str] = []
        self.states: list[str] = []
        self._id = 0
        self._rounds = [
            self.echo, self.in_thread, self.remember, self.ask, self.lists, self.resource, self.prompt
        ]  # fmt: skip

    async def begin(self) -> None:
        opened = await open_session(self.http, self.url, capabilities=ELICITATION, headers=self.token)
        self.session = {**self.token, **opened}

    async def round(self, number: int) -> None:
        """One call of some kind, in one of the eras."""
        await self._rounds[number // 2 % len(self._rounds)](number % 2 == 0)

    async def echo(self, era: bool) -> None:
        arguments = {"marker": self.marker}
        assert self.result(await self.send(era, call("echo", arguments, id=self.next()))) == (
            f"{self.marker} {self.marker} one"
        )

    async def in_thread(self, era: bool) -> None:
        body = call("echo_in_thread", {"marker": self.marker}, id=self.next())
        assert self.result(await self.send(era, body)) == f"{self.marker} {self.marker}"

    async def remember(self, era: bool) -> None:
        body = call("remember", {"marker": self.marker}, id=self.next())
        assert self.result(await self.send(era, body)).startswith(self.marker)

    async def lists(self, era: bool) -> None:
        reply = await self.send(era, body_of("tools/list", id=self.next()))
        own = [tool["name"] for tool in reply.result["tools"] if tool["name"].startswith("own-")]
        assert own == [f"own-{self.marker}"]
        assert self.result(await self.send(era, call(own[0], {"marker": self.marker}, id=self.next())))

    async def resource(self, era: bool) -> None:
        reply = await self.send(era, body_of("resources/read", {"uri": f"mark://{self.marker}"}, id=self.next()))
        assert reply.result["contents"][0]["text"] == f"{self.marker} {self.marker}"

    async def prompt(self, era: bool) -> None:
        params = {"name": "prompt", "arguments": {"marker": self.marker}}
        reply = await self.send(era, body_of("prompts/get", params, id=self.next()))
        assert reply.result["messages"][0]["content"]["text"] == f"{self.marker} {self.marker}"

    async def ask(self, era: bool) -> None:
        body = call("ask", {"marker": self.marker}, id=self.next())
        accepted = {"action": "accept", "content": {"marker": self.marker}}
        if era:
            asked = (await self.send(True, body)).result
            assert asked["resultType"] == "input_required"
            assert asked["inputRequests"]["who"]["params"]["message"] == f"Whose? {self.marker}"
            self.states = [asked["requestState"]]
            params = {**body["params"], "inputResponses": {"who": accepted}, "requestState": asked["requestState"]}
            reply = await self.send(True, {**body, "id": self.next(), "params": params})
            assert self.result(reply) == f"{self.marker} {self.marker}"
            return
        async with stream(self.http, self.url, body, self.session, method="POST") as events:
            while (message := await self.message(events)).get("method") != "elicitation/create":
                pass
            assert message["params"]["message"] == f"Whose? {self.marker}"
            answer = {"jsonrpc": "2.0", "id": message["id"], "result": accepted}
            assert (await send(self.http, self.url, answer, self.session)).status == 202
            assert (await self.message(events))["result"]["content"][0]["text"] == f"{self.marker} {self.marker}"

    async def send(self, era: bool, body: dict[str, Any]) -> Reply:
        headers = self.session
        if era:
            own, body = modern(body, capabilities=ELICITATION, log="debug", progress=self.marker)
            headers = {**self.token, **own}
        elif body["method"] == "tools/call":
            body = {**body, "params": {**body["params"], "_meta": {"progressToken": self.marker}}}
        reply = await send(self.http, self.url, body, headers)
        self.look(reply.text)
        assert reply.status == 200, reply
        assert reply.answer["id"] == body["id"]
        if reply.type == "text/event-stream":
            self.keep(events_of(reply.text))
        return reply

    async def message(self, events: Any) -> dict[str, Any]:
        while True:
            event = await events.next(30)
            self.look(json.dumps(vars(event)))
            self.keep([event])
            if event.data:
                return event.message

    def keep(self, events: list[Event]) -> None:
        self.event_ids = [event.id for event in events if event.id] or self.event_ids

    def look(self, text: str) -> None:
        strangers = set(_MARKER.findall(text)) - {self.marker}
        assert not strangers, f"{self.marker} was told of {strangers}: {text[:500]}"

    def result(self, reply: Reply) -> str:
        return reply.content

    def next(self) -> int:
        self._id += 1
        return self._id


async def callers(http: httpx2.AsyncClient, running: Running, markers: list[str]) -> list[Caller]:
    """One for each marker, its session opened."""
    found = [Caller(http, f"http://127.0.0.1:{running.port}/mcp", marker) for marker in markers]
    for caller in found:
        await caller.begin()
    return found


def new_markers(count: int) -> list[str]:
    return [f"mk-{secrets.token_hex(8)}" for _ in range(count)]
