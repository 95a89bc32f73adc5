"""What is measured: one request per case, the headers of its revision, and what a right answer says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CASES", "HANDSHAKE", "MODERN", "Case", "messages", "request_headers"]

MODERN = "2026-07-28"
HANDSHAKE = "2025-06-18"
TOOLS = 100
NOTES = 100
_NAMED_BY = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
Check = Callable[[dict[str, Any]], bool]


@dataclass(frozen=True, eq=False)
class Case:
    """`mode`: modern, stateless or session; `right` judges the result; `notes`: how many notifications precede it."""

    name: str
    title: str
    mode: str
    method: str
    params: dict[str, Any]
    right: Check
    tools: int = 0
    notes: int = 0
    thin: bool = True
    """Whether it is in the run without ``--all``."""
    peers_json: bool = False
    """In a session: whether the peers answer in JSON; they choose SSE by themselves."""
    goals: dict[str, float] = field(default_factory=dict[str, float])
    """At 16 connections: contender -> how many times its throughput Headrace must reach."""

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

CASES: tuple[Case, ...] = (
    Case(
        "async",
        "tools/call, 2026-07-28, `async def`",
        "modern",
        "tools/call",
        _ADD,
        _is_five,
        goals={"bare": 0.68, "fastmcp": 14, "mcp": 6},
    ),
    Case(
        "def",
        "tools/call, 2026-07-28, `def`",
        "modern",
        "tools/call",
        _ADD_SYNC,
        _is_five,
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
        "list",
        "tools/list, 2026-07-28, 100 tools",
        "modern",
        "tools/list",
        {},
        _lists_all,
        tools=TOOLS,
        goals={"fastmcp": 90, "mcp": 50},
    ),
    Case(
        "read",
        "resources/read, 2026-07-28",
        "modern",
        "resources/read",
        {"uri": "bench://text"},
        _is_resource,
        thin=False,
    ),
    Case(
        "prompt",
        "prompts/get, 2026-07-28",
        "modern",
        "prompts/get",
        {"name": "greeting", "arguments": {"name": "Ada"}},
        _is_prompt,
        thin=False,
    ),
    Case(
        "big",
        "tools/call, 2026-07-28, 1 MB of text, sent twice (content, structured)",
        "modern",
        "tools/call",
        _call("big_text"),
        _is_big,
        thin=False,
    ),
    Case(
        "notes",
        "tools/call, 2026-07-28, 100 progress notes over SSE",
        "modern",
        "tools/call",
        _call("notes"),
        _is_done,
        notes=NOTES,
        thin=False,
        goals={"fastmcp": 10},
    ),
)
