"""What of scripts/fastmcp_docs can be tested without FastMCP and its documentation."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "scripts/fastmcp_docs"

PAGE = """\
A server:

<Tab>
    ```python server.py {3}
    from fastmcp import FastMCP

    mcp = FastMCP("Sums")

    @mcp.tool
    def add(a: int, b: int = 1) -> int:
        return a + b

    if __name__ == "__main__":
        mcp.run()
    ```
</Tab>

And then

```python
@mcp.prompt
def ask(topic: str) -> str:
    return f"What is {topic}?"
```

```python
from fastmcp import Client
async with Client("server.py") as client: ...
```

```python
from fastmcp import FastMCP
from fastmcp.server.middleware import Middleware
mcp = FastMCP("Guarded", middleware=...)
```

```bash
fastmcp run server.py
```
"""


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(SCRIPT))
    names = ("blocks", "compare", "arguments")
    yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture
def page_blocks(modules: Any, tmp_path: Path) -> list[Any]:
    page = tmp_path / "docs/servers/page.mdx"
    page.parent.mkdir(parents=True)
    page.write_text(PAGE)
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.com")
    for command in (("init", "-q"), ("add", "."), (*identity, "commit", "-qm", "page")):
        subprocess.run(["git", "-C", tmp_path, *command], check=True)
    return modules.blocks.read_blocks(str(tmp_path), "HEAD")


def test_servers_fragments_and_later_steps_are_told_apart(page_blocks: list[Any]) -> None:
    assert [(block.line, block.complete, block.later) for block in page_blocks] == [
        (5, True, None),
        (21, False, None),
        (32, True, "fastmcp.server.middleware"),
    ]


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("from fastmcp import FastMCP", "from headrace import FastMCP"),
        ("  from fastmcp.tools import tool", "  from headrace.tools import tool"),
        ("import fastmcp", "import headrace as fastmcp"),
        ("import fastmcp.settings", "import headrace.settings"),
        ("from mcp.types import Icon", "from headrace.types import Icon"),
        ("import mcp_types", "import headrace.types as mcp_types"),
        ("from fastmcp_tasks import x", "from fastmcp_tasks import x"),
        ("from mcp.server import Server", "from mcp.server import Server"),
    ],
)
def test_only_the_import_line_changes(modules: Any, line: str, changed: str) -> None:
    assert modules.blocks.for_headrace(f"{line}\nx = 'fastmcp'\n") == f"{changed}\nx = 'fastmcp'\n"


def test_a_server_is_listed_and_called_in_every_way(modules: Any, page_blocks: list[Any], tmp_path: Path) -> None:
    """The probe, as the script starts it; what it writes down compares as alike with itself."""
    block, ways = page_blocks[0], ["memory/legacy", "memory/modern", "http/legacy", "http/modern"]
    asked, answered = tmp_path / "jobs.json", tmp_path / "records.jsonl"
    job = {"id": block.id, "sources": [modules.blocks.for_headrace(block.source)], "ways": ways}
    asked.write_text(json.dumps([job]))
    command = [sys.executable, str(SCRIPT / "probe.py"), "headrace", str(asked), str(answered)]
    subprocess.run(command, check=True, timeout=50)
    record = json.loads(answered.read_text())
    assert list(record["records"]) == ways
    for each in record["records"].values():
        calls = each["servers"]["mcp"]["calls"]
        assert [call["call"][2] for call in calls] == [{"a": 3, "b": 3}, {"a": 3}, {}]
        assert [call["result"].get("structuredContent") for call in calls] == [{"result": 6}, {"result": 4}, None]
    outcome = modules.compare.compared(block, record, None, record)
    assert (outcome.verdict, outcome.differences) == ("alike", [])
    other = json.loads(answered.read_text().replace('{"result": 6}', '{"result": 7}'))
    outcome = modules.compare.compared(block, other, None, record)
    assert outcome.verdict == "different"
    assert outcome.differences[0][1:] == (7, 6)


def test_a_value_fits_its_schema(modules: Any) -> None:
    schema = {
        "$defs": {"Color": {"enum": ["red", "blue"]}},
        "properties": {
            "color": {"$ref": "#/$defs/Color"},
            "few": {"type": "integer", "minimum": 10, "maximum": 20},
            "when": {"anyOf": [{"type": "null"}, {"type": "string", "format": "date"}]},
            "names": {"type": "array", "items": {"type": "string", "minLength": 8}, "minItems": 2},
        },
        "required": ["color"],
    }
    every = {"color": "red", "few": 11, "when": "2024-05-06", "names": ["samplexx", "samplexx"]}
    assert modules.arguments.for_tool(schema) == [every, {"color": "red"}, {}]
    assert modules.arguments.for_uri_template("a://{b}/{c*}{?d,e}") == ["a://1/1/2?d=1&e=1", "a://1/1/2"]


def test_the_page_lists_every_rule_of_the_comparison(modules: Any) -> None:
    page = (ROOT / "docs/moving-from-fastmcp.md").read_text(encoding="utf-8")
    assert [name for name in modules.compare.RULES if f"`{name}`" not in page] == []
