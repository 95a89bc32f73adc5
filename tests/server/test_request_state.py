"""Keys of a server's own for what questions carry through the client; one takes the place of another."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from headrace import Context, FastMCP
from headrace.server.request_state import RequestStateSecurity

OLD, NEW, OTHER = "o" * 32, b"n" * 32, "x" * 32
META: dict[str, Any] = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
}
HEADERS = {
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/call",
    "mcp-name": "ask",
}


def server(keys: list[str | bytes]) -> FastMCP:
    mcp = FastMCP("asks", request_state_security=RequestStateSecurity(keys=keys))

    @mcp.tool
    async def ask(ctx: Context) -> str:
        answer = await ctx.elicit("Name?", str, key="name")
        return getattr(answer, "data", answer.action)

    return mcp


async def call(mcp: FastMCP, **more: Any) -> Any:
    params = {"name": "ask", "arguments": {}, "_meta": META, **more}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    app = mcp.http_app()
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http:
        return (await http.post("/mcp", json=body, headers=HEADERS)).json()


@pytest.mark.parametrize(
    ("first", "then", "taken"),
    [
        ([OLD], [OLD], True),
        ([OLD], [NEW, OLD], True),
        ([NEW, OLD], [OLD, NEW], True),
        ([OLD], [NEW], False),
        ([OLD], [OTHER, NEW], False),
    ],
)
async def test_keys(first: list[str | bytes], then: list[str | bytes], taken: bool) -> None:
    asked = (await call(server(first)))["result"]
    answers = {"name": {"action": "accept", "content": {"value": "Ann"}}}
    again = await call(server(then), requestState=asked["requestState"], inputResponses=answers)
    if taken:
        assert again["result"]["structuredContent"] == {"result": "Ann"}
    else:
        assert again["error"]["code"] == -32602


@pytest.mark.parametrize("keys", [[], ["short"], [OLD, b"short"]])
def test_keys_that_can_be_guessed(keys: list[str | bytes]) -> None:
    with pytest.raises(ValueError, match="at least 32"):
        RequestStateSecurity(keys=keys)


def test_no_key_is_shown() -> None:
    assert OLD not in repr(RequestStateSecurity(keys=[OLD]))
