"""``headrace inspect``: the summary, and JSON in three layouts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headrace import Client, FastMCP
from headrace.utilities.inspect import FastMCPInfo, format_info, inspect_fastmcp, inspect_server

from .commands import invoke, refused, write

SERVER = '''
from headrace import FastMCP

mcp = FastMCP("shop", "Sells things.\\nCheaply.", version="1.2", website_url="https://shop.example",
              icons=[{"src": "https://shop.example/i.png", "mimeType": "image/png"}])

@mcp.tool(tags={"b", "a"}, title="Buy", annotations={"readOnlyHint": False}, meta={"k": 1})
def buy(item: str, count: int = 1) -> int:
    """Buy it."""
    return count

@mcp.tool(enabled=False)
def hidden() -> None: ...

@mcp.resource("shop://hours", mime_type="text/plain")
def hours() -> str:
    """When."""
    return "9"

@mcp.resource("shop://item/{id}")
def item(id: int) -> str:
    return str(id)

@mcp.prompt
def ask(what: str, how: str = "kindly") -> str:
    return what
'''


@pytest.fixture
def shop() -> FastMCP:
    space: dict[str, Any] = {}
    exec(SERVER, space)
    return space["mcp"]


def output(*arguments: str) -> Any:
    result = invoke("inspect", write(SERVER), *arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_summary() -> None:
    lines = [line.split(maxsplit=1) for line in output().splitlines()]
    assert lines[:-1] == [
        ["server", "shop 1.2"],
        ["instructions", "Sells things."],
        ["website", "https://shop.example"],
        ["tools", "buy"],
        ["resources", "shop://hours"],
        ["templates", "shop://item/{id}"],
        ["prompts", "ask"],
    ]
    assert lines[-1][0] == "headrace"


@pytest.mark.parametrize(
    ("layout", "environment"), [("fastmcp", {"fastmcp", "mcp"}), ("headrace", {"headrace", "protocol"})]
)
def test_manifest(layout: str, environment: set[str]) -> None:
    found = json.loads(output("--format", layout))
    assert set(found) == {"server", "environment", "tools", "prompts", "resources", "templates"}
    assert set(found["environment"]) == environment
    server = found["server"]
    assert (server["name"], server["version"], server["generation"]) == ("shop", "1.2", 2)
    assert server["icons"] == [{"src": "https://shop.example/i.png", "mimeType": "image/png"}]
    (tool,) = found["tools"]
    assert (tool["key"], tool["name"], tool["title"], tool["description"]) == ("buy", "buy", "Buy", "Buy it.")
    assert (tool["tags"], tool["enabled"], tool["meta"]) == (["a", "b"], True, {"k": 1})
    assert set(tool["input_schema"]["properties"]) == {"item", "count"}
    assert tool["annotations"] == {"readOnlyHint": False}
    assert tool["output_schema"]["properties"]["result"]["type"] == "integer"
    (prompt,) = found["prompts"]
    assert [(each["name"], each["required"]) for each in prompt["arguments"]] == [("what", True), ("how", False)]
    (resource,) = found["resources"]
    assert (resource["key"], resource["uri"], resource["mime_type"]) == ("shop://hours", "shop://hours", "text/plain")
    (template,) = found["templates"]
    assert template["uri_template"] == "shop://item/{id}"
    assert set(template["parameters"]["properties"]) == {"id"}


def test_what_clients_are_told() -> None:
    found = json.loads(output("-f", "mcp"))
    assert found["serverInfo"]["name"] == "shop"
    assert found["serverInfo"]["websiteUrl"] == "https://shop.example"
    assert [tool["name"] for tool in found["tools"]] == ["buy"]
    assert "inputSchema" in found["tools"][0]
    assert found["resources"][0]["mimeType"] == "text/plain"
    assert found["resourceTemplates"][0]["uriTemplate"] == "shop://item/{id}"
    assert [argument["name"] for argument in found["prompts"][0]["arguments"]] == ["what", "how"]
    assert found["capabilities"]["tools"] == {"listChanged": True}


def test_into_a_file() -> None:
    assert output("-f", "fastmcp", "-o", "report.json") == f"Written to {Path.cwd()}/report.json\n"
    assert json.loads(Path("report.json").read_text())["server"]["name"] == "shop"
    assert refused("inspect", "server.py", "-f", "mcp", "-o", "no/report.json").startswith("Error: ")


def test_what_the_file_prints_is_no_part_of_the_json() -> None:
    result = invoke("inspect", write("print('loading')\n" + SERVER), "-f", "mcp")
    assert json.loads(result.stdout)["serverInfo"]["name"] == "shop"
    assert result.stderr == "loading\n"


def test_a_lifespan_that_fails() -> None:
    source = "from headrace import FastMCP\nasync def life(server):\n    raise OSError('no\\ndatabase')\n    yield"
    write(f"import contextlib\n{source}\nmcp = FastMCP('a', lifespan=contextlib.asynccontextmanager(life))")
    assert refused("inspect", "server.py", "-f", "mcp") == "Error: a can't be inspected: OSError: no"


def test_a_file_needs_a_format() -> None:
    assert refused("inspect", write(SERVER), "-o", "x.json", code=2) == "Error: --output needs --format"


@pytest.mark.parametrize(
    ("target", "line"), [("absent.py", "absent.py: no such file"), ("x.json", "x.json: no such file")]
)
def test_mistakes(target: str, line: str) -> None:
    assert refused("inspect", target) == f"Error: {line}"


async def test_as_python(shop: FastMCP) -> None:
    info = await inspect_fastmcp(shop)
    assert isinstance(info, FastMCPInfo)
    assert [tool.name for tool in info.tools] == ["buy"]
    assert json.loads(await format_info(shop, "fastmcp", info))["tools"][0]["name"] == "buy"
    with pytest.raises(ValueError, match="yaml"):
        await format_info(shop, "yaml")


@pytest.mark.parametrize("completes", [False, True])
async def test_capabilities_are_those_that_clients_see(completes: bool, shop: FastMCP) -> None:
    if completes:
        shop.completion(lambda ref, argument, context: [])
    async with Client(shop) as client:
        seen = msgspec.to_builtins(client.server_capabilities)
    assert (await inspect_server(shop)).capabilities == seen
