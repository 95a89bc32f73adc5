"""``mcpServers`` as data, and the files of clients: what is kept when one entry changes."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from headrace.mcp_config import (
    CanonicalMCPConfig,
    MCPConfig,
    RemoteMCPServer,
    StdioMCPServer,
    infer_transport_type_from_url,
    update_config_file,
)


@pytest.mark.parametrize(
    ("url", "transport"),
    [
        ("https://a.example/mcp", "http"),
        ("https://a.example/sse", "sse"),
        ("https://a.example/v1/sse/", "sse"),
        ("https://a.example/sse?x=1", "sse"),
        ("https://a.example/sse/messages", "sse"),
        ("https://a.example/sses", "http"),
        ("https://a.example/essentials?next=/sse", "http"),
        ("https://sse.example/", "http"),
    ],
)
def test_transports_of_urls(url: str, transport: str) -> None:
    assert infer_transport_type_from_url(url) == transport


@pytest.mark.parametrize("url", ["ftp://a.example", "a.example/sse", ""])
def test_no_urls(url: str) -> None:
    with pytest.raises(ValueError, match="Invalid URL"):
        infer_transport_type_from_url(url)


@pytest.mark.parametrize("kind", [MCPConfig, CanonicalMCPConfig])
def test_servers_of_both_kinds(kind: type[MCPConfig]) -> None:
    servers = {
        "a": {"command": "npx", "args": ["-y", "x"], "env": {"K": "v"}, "mine": 1},
        "b": {"url": "https://a.example/sse", "headers": {"X": "y"}, "auth": "oauth"},
    }
    config = kind.from_dict({"mcpServers": servers, "theme": "dark"})
    a, b = config.mcpServers["a"], config.mcpServers["b"]
    assert isinstance(a, StdioMCPServer)
    assert isinstance(b, RemoteMCPServer)
    assert (a.command, a.args, a.env, a.transport) == ("npx", ["-y", "x"], {"K": "v"}, "stdio")
    assert (b.transport, b.auth) == (None, "oauth")
    assert config.to_dict()["theme"] == "dark"
    assert config.to_dict()["mcpServers"]["a"]["mine"] == 1
    assert kind.from_dict(servers).mcpServers == config.mcpServers  # without mcpServers around them
    assert kind.from_dict({}).mcpServers == {}


@pytest.mark.parametrize(
    "config", [{"mcpServers": {"a": {}}}, {"mcpServers": []}, {"mcpServers": {"a": {"url": "x", "transport": "smoke"}}}]
)
def test_what_does_not_fit(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MCPConfig.from_dict(config)


def test_files(tmp_path: Path) -> None:
    file = tmp_path / "new" / "mcp.json"
    with pytest.raises(ValueError, match="No MCP servers defined in the config"):
        MCPConfig.from_file(file)
    config = MCPConfig()
    config.add_server("a", StdioMCPServer(command="x"))
    config.write_to_file(file)
    assert MCPConfig.from_file(file) == config
    assert not any(value is None for value in json.loads(file.read_text())["mcpServers"]["a"].values())
    file.write_text(" ")
    with pytest.raises(ValueError, match="No MCP servers defined in the config"):
        MCPConfig.from_file(file)


OTHER = {"url": "https://a.example", "odd": None}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, {"mcpServers": {"s": {"command": "uv", "args": ["run"], "env": {"B": "2"}}}}),
        ("", {"mcpServers": {"s": {"command": "uv", "args": ["run"], "env": {"B": "2"}}}}),
        (
            {"z": 1.50, "mcpServers": {"other": OTHER}, "a": {"ü": [None]}},
            {
                "z": 1.50,
                "mcpServers": {"other": OTHER, "s": {"command": "uv", "args": ["run"], "env": {"B": "2"}}},
                "a": {"ü": [None]},
            },
        ),
        (
            {"mcpServers": {"s": {"command": "old", "env": {"A": "1", "B": "1"}, "cwd": "/x", "mine": None}}},
            {
                "mcpServers": {
                    "s": {"command": "uv", "env": {"A": "1", "B": "2"}, "cwd": "/x", "mine": None, "args": ["run"]}
                }
            },
        ),
        (
            {"mcpServers": {"s": OTHER}},
            {"mcpServers": {"s": {"command": "uv", "args": ["run"], "env": {"B": "2"}}}},
        ),
    ],
)
def test_update(before: Any, after: Any, tmp_path: Path) -> None:
    file = tmp_path / "mcp.json"
    if before is not None:
        file.write_text(before if isinstance(before, str) else json.dumps(before))
    update_config_file(file, "s", StdioMCPServer(command="uv", args=["run"], env={"B": "2"}))
    found = json.loads(file.read_text(encoding="utf-8"))
    assert found == after
    assert list(found) == list(after)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{\n,", ":2: no JSON"),
        ("[]", ": no JSON object"),
        ('{"mcpServers": 1}', ": mcpServers is no JSON object"),
    ],
)
def test_a_file_that_is_not_understood_stays(text: str, error: str, tmp_path: Path) -> None:
    file = tmp_path / "mcp.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=error) as caught:
        update_config_file(file, "s", StdioMCPServer(command="uv"))
    assert "\n" not in str(caught.value)
    assert file.read_text() == text
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.skipif(sys.platform == "win32", reason="file modes and links")
def test_modes_and_links(tmp_path: Path) -> None:
    file, link = tmp_path / "mcp.json", tmp_path / "link.json"
    update_config_file(file, "s", StdioMCPServer(command="uv"))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600  # it may hold keys
    file.chmod(0o644)
    link.symlink_to(file)
    update_config_file(link, "t", StdioMCPServer(command="uv"))
    assert link.is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert list(json.loads(file.read_text())["mcpServers"]) == ["s", "t"]
