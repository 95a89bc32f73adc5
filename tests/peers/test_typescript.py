"""The TypeScript clients, `@modelcontextprotocol/client` in both eras and the older `@modelcontextprotocol/sdk`, and
the Inspector's command line."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import STDIO, RunNode

Report = Callable[..., Awaitable[dict[str, Any]]]
INSPECTOR = (
    Path(__file__).parent.parent / "node/node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"
)
TOOLS = {"add", "count", "survey", "mirrored", "fails", "change"}


def is_right(found: dict[str, Any]) -> None:
    """What every client finds, whatever it speaks."""
    assert found["server"] == "peers"
    assert set(found["tools"]) >= TOOLS
    assert found["sum"] == {"result": 3}
    failed, why = found["failed"]
    assert failed
    assert "it broke" in why
    assert found["progress"] == [[1, 3, "at 1"], [2, 3, "at 2"], [3, 3, "at 3"]]
    assert found["counted"] == {"result": "done"}
    assert found["logged"] == ["counted to 3"]
    assert found["survey"] == {
        "name": "Ann",
        "people": 3,
        "said": "hello in 20",
        "roots": ["file:///here"],
        "sure": "yes",
    }
    assert sorted(found["asked"]) == ["Sure, Ann?", "Who are you?", "roots", "sample"]
    assert found["read"] == "the note mine"
    assert found["prompt"] == "Greet Ann"
    assert found["completed"] == ["Ann", "Anton"]
    assert found["notices"] == ["notifications/resources/updated", "notifications/tools/list_changed"]


async def test_client_over_2026_07_28(url: str, report: Report) -> None:
    found = await report("client.mjs", url, "auto")
    assert found["version"] == "2026-07-28"
    is_right(found)
    assert found["mirrored"] == ["eu-west", "", " blanks ", "Zürich", "=?base64?x?="]
    assert found["honored"] == {"toolsListChanged": True, "resourceSubscriptions": ["note://now"]}
    assert found["closed"] == "local"


async def test_client_over_the_handshake_era(url: str, report: Report) -> None:
    found = await report("client.mjs", url, "legacy")
    assert found["version"] == "2025-11-25"
    is_right(found)


async def test_older_sdk_over_streamable_http(url: str, report: Report) -> None:
    found = await report("sdk.mjs", url, "http")
    assert found["version"] == "2025-11-25"
    is_right(found)
    assert found["ended"]


async def test_older_sdk_over_http_sse(sse_url: str, report: Report) -> None:
    is_right(await report("sdk.mjs", sse_url, "sse"))


@pytest.mark.parametrize(("mode", "version"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
async def test_client_over_stdio(mode: str, version: str, report: Report) -> None:
    found = await report("client.mjs", "stdio", mode, *STDIO)
    assert found["version"] == version
    is_right(found)


async def test_older_sdk_over_stdio(report: Report) -> None:
    is_right(await report("sdk.mjs", "stdio", "stdio", *STDIO))


@pytest.mark.parametrize("transport", ["http", "sse", "stdio"])
async def test_inspector_lists_and_calls(transport: str, run_node: RunNode, request: pytest.FixtureRequest) -> None:
    if transport == "stdio":
        target: tuple[str, ...] = STDIO
    else:
        target = (request.getfixturevalue("url" if transport == "http" else "sse_url"), "--transport", transport)

    async def inspect(*arguments: str) -> dict[str, Any]:
        return json.loads(await run_node(str(INSPECTOR), "--cli", *target, "--method", *arguments))

    listed = await inspect("tools/list")
    assert {tool["name"] for tool in listed["tools"]} >= TOOLS
    called = await inspect("tools/call", "--tool-name", "add", "--tool-arg", "a=1", "b=2")
    assert called["structuredContent"] == {"result": 3}
