"""What is measured: one request per case, the headers of its revision, and what a right answer says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CASES", "HANDSHAKE", "INITIALIZED", "JUDGED_AT", "MODERN", "Case", "messages", "request_headers"]

MODERN = "2026-07-28"
HANDSHAKE = "2025-06-18"
TOOLS = 100
NOTES = 100
JUDGED_AT = 16
"""The number of connections that goals are for."""
INITIALIZED = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
_TOKEN = "benchmark-token"
_EVERYWHERE = (1, 16, 256)
_NAMED_BY = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
Check = Callable[[dict[str, Any]], bool]


@dataclass(frozen=True, eq=False)
class Case:
    """`mode`: modern, stateless, session (the request is made in one) or sessions (they are what is counted).

    `right` judges the result; `notes`: how many notifications precede it.
    """

    name: str
    title: str
    mode: str
    method: str
    params: dict[str, Any]
    right: Check
    tools: int = 0
    notes: int = 0
    token: str | None = None
    """The bearer token that the server asks for."""
    connections: tuple[int, ...] = (JUDGED_AT,)
    """How many at once, one timing after the other."""
    granian: bool = False
    """Whether it is measured on granian, too."""
    peers_json: bool = False
    """In a session: whether the peers answer in JSON; they choose SSE by themselves."""
    goals: dict[str, float] = field(default_factory=dict[str, float])
    """At 16 connections: contender -> how many times its throughput Headrace must reach."""
    p99_goal: float | None = None
    """At 16 connections: how many times the bare app's p99 Headrace's may be."""

    @property
    def judged(self) -> bool:
        return bool(self.goals)

    @property
    def served(self) -> str:
        """What the request is for, for servers that serve only that: a tool, a prompt, or a method."""
        return "add" if self.mode == "sessions" else self.params.get("name", self.method)

    @property
    def unit(self) -> str:
        return "sessions" if self.mode == "sessions" else "requests"

    @property
    def revision(self) -> str:
        return MODERN if self.mode == "modern" else HANDSHAKE

    def body(self, number: int) -> bytes:
        """The request with the id `number`."""
        params = dict(self.params)
        meta: dict[str, Any] = {}
        if self.mode == "modern":
            meta = {
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientInfo": {"name": "benchmark", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {},
            }
        if self.notes:
            meta["progressToken"] = "notes"
        if meta:
            params["_meta"] = meta
        request = {"jsonrpc": "2.0", "id": number, "method": self.method, "params": params}
        return json.dumps(request, separators=(",", ":")).encode()

    def verdict(self, status: int, content_type: str, body: bytes, number: int) -> str | None:
        """None if the answer is right, else what is wrong with it, in one line."""
        if status != 200:
            return f"status {status}: {body[:200]!r}"
        *before, last = messages(content_type, body) or [{}]
        if last.get("id") != number or "result" not in last:
            return f"no result for id {number}: {json.dumps(last)[:300]}"
        if not self.right(last["result"]):
            return f"a wrong result: {json.dumps(last['result'])[:300]}"
        if sum(note.get("method") == "notifications/progress" for note in before) != self.notes:
            return f"{len(before)} messages before the result, not {self.notes} progress notes"
        return None


def messages(content_type: str, body: bytes) -> list[dict[str, Any]]:
    """The JSON-RPC messages of an answer, JSON or SSE."""
    if not content_type.startswith("text/event-stream"):
        return [json.loads(body)]
    data = [line[5:].strip() for line in body.replace(b"\r\n", b"\n").split(b"\n") if line.startswith(b"data:")]
    return [json.loads(piece) for piece in data if piece]


def request_headers(case: Case, session: str | None = None) -> dict[str, str]:
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": case.revision,
    }
    if case.mode == "modern":
        headers["Mcp-Method"] = case.method
        if case.method in _NAMED_BY:
            headers["Mcp-Name"] = str(case.params[_NAMED_BY[case.method]])
    if case.token is not None:
        headers["Authorization"] = f"Bearer {case.token}"
    if session is not None:
        headers["Mcp-Session-Id"] = session
    return headers


def _is_five(result: dict[str, Any]) -> bool:
    first = result["content"][0]
    return not result.get("isError") and first["text"] == "5" and result["structuredContent"] == {"result": 5}


def _lists_all(result: dict[str, Any]) -> bool:
    tools = result["tools"]
    return len({tool["name"] for tool in tools}) == TOOLS and all(
        set(tool["inputSchema"]["properties"]) == {"query", "limit", "exact", "tags"} and tool["description"]
        for tool in tools
    )


def _is_profile(result: dict[str, Any]) -> bool:
    said = json.loads(result["content"][0]["text"])
    return not result.get("isError") and said == _PROFILE and result["structuredContent"] == _PROFILE


def _is_welcome(result: dict[str, Any]) -> bool:
    return result["protocolVersion"] == HANDSHAKE and "tools" in result["capabilities"]


def _is_big(result: dict[str, Any]) -> bool:
    return not result.get("isError") and len(result["content"][0]["text"]) >= 2**20


def _is_done(result: dict[str, Any]) -> bool:
    return not result.get("isError") and result["content"][0]["text"] == "done"


def _is_resource(result: dict[str, Any]) -> bool:
    return result["contents"][0]["text"].startswith("The content of")


def _is_prompt(result: dict[str, Any]) -> bool:
    return "Ada" in result["messages"][0]["content"]["text"]


def _call(tool: str, **arguments: Any) -> dict[str, Any]:
    return {"name": tool, "arguments": arguments}


_ADD = _call("add", a=2, b=3)
_ADD_SYNC = _call("add_sync", a=2, b=3)
_PROFILE: dict[str, Any] = {
    "first_name": "Ada",
    "last_name": "Lovelace",
    "email": "ada@example.org",
    "phone": "+44 20 7946 0000",
    "street": "12 St James's Square",
    "city": "London",
    "postcode": "SW1Y 4JH",
    "country": "United Kingdom",
    "company": None,
    "age": 36,
    "children": 3,
    "visits": 1843,
    "points": 12_000,
    "height": 1.65,
    "weight": 55.5,
    "balance": -12.25,
    "active": True,
    "newsletter": False,
    "plan": "team",
    "tags": ["engine", "numbers", "notes"],
}
_HELLO: dict[str, Any] = {
    "protocolVersion": HANDSHAKE,
    "capabilities": {},
    "clientInfo": {"name": "benchmark", "version": "1"},
}

CASES: tuple[Case, ...] = (
    Case(
        "async",
        "tools/call, 2026-07-28, `async def`",
        "modern",
        "tools/call",
        _ADD,
        _is_five,
        connections=_EVERYWHERE,
        granian=True,
        goals={"bare": 0.68, "fastmcp": 14, "mcp": 6, "typescript": 9},
        p99_goal=2.5,
    ),
    Case(
        "def",
        "tools/call, 2026-07-28, `def`",
        "modern",
        "tools/call",
        _ADD_SYNC,
        _is_five,
        connections=_EVERYWHERE,
        granian=True,
        goals={"bare": 0.58, "fastmcp": 11, "mcp": 6.5},
    ),
    Case(
        "stateless",
        "tools/call, 2025-06-18, stateless, JSON, `def`",
        "stateless",
        "tools/call",
        _ADD_SYNC,
        _is_five,
        goals={"fastmcp": 16, "mcp": 22},
    ),
    Case(
        "session",
        "tools/call, 2025-06-18, in a session (SSE in the peers, their default), `async def`",
        "session",
        "tools/call",
        _ADD,
        _is_five,
        connections=_EVERYWHERE,
        granian=True,
        goals={"fastmcp": 20, "mcp": 14},
    ),
    Case(
        "session-json",
        "tools/call, 2025-06-18, in a session (JSON in the peers, too), `async def`",
        "session",
        "tools/call",
        _ADD,
        _is_five,
        peers_json=True,
    ),
    Case(
        "sessions",
        "sessions made and initialised, 2025-06-18: initialize, notifications/initialized",
        "sessions",
        "initialize",
        _HELLO,
        _is_welcome,
        goals={"fastmcp": 15},
    ),
    Case(
        "list",
        "tools/list, 2026-07-28, 100 tools",
        "modern",
        "tools/list",
        {},
        _lists_all,
        tools=TOOLS,
        connections=_EVERYWHERE,
        granian=True,
        goals={"fastmcp": 90, "mcp": 50},
    ),
    Case(
        "auth",
        "tools/call, 2026-07-28, `async def`, with a bearer token that is verified",
        "modern",
        "tools/call",
        _ADD,
        _is_five,
        token=_TOKEN,
    ),
    Case(
        "model",
        "tools/call, 2026-07-28, a model of 20 fields in and out",
        "modern",
        "tools/call",
        _call("save", profile=_PROFILE),
        _is_profile,
    ),
    Case(
        "read",
        "resources/read, 2026-07-28",
        "modern",
        "resources/read",
        {"uri": "bench://text"},
        _is_resource,
    ),
    Case(
        "prompt",
        "prompts/get, 2026-07-28",
        "modern",
        "prompts/get",
        {"name": "greeting", "arguments": {"name": "Ada"}},
        _is_prompt,
    ),
    Case(
        "big",
        "tools/call, 2026-07-28, 1 MB of text, sent twice (content, structured)",
        "modern",
        "tools/call",
        _call("big_text"),
        _is_big,
    ),
    Case(
        "notes",
        "tools/call, 2026-07-28, 100 progress notes over SSE",
        "modern",
        "tools/call",
        _call("notes"),
        _is_done,
        notes=NOTES,
        goals={"fastmcp": 10},
    ),
)
