"""Servers that other people published on top of FastMCP start and answer with `fastmcp` aliased to headrace.

Each runs in a process of its own, from its own console script, unchanged; the official Python client talks to it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.session import ClientRequestContext

from .servers import SERVERS, Call, Published, installed

ALIAS = Path(__file__).parent / "alias"
SECONDS = 30.0
"""The longest wait for a server to start, to answer, or to end."""
DOT = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC")
MODES = {"auto": "2026-07-28", "legacy": "2025-11-25"}

# The first test of a server also installs it.
pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning"),
]


class Installed:
    """A published server on this machine, and the folder it works in."""

    def __init__(self, server: Published, home: Path, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.script = [str(home / "bin" / server.script)]
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": os.pathsep.join([str(ALIAS), str(home)]),
            "PYTHONUTF8": "1",
            "NO_COLOR": "1",
        }

    def stdio(self) -> StdioServerParameters:
        return StdioServerParameters(
            command=sys.executable,
            args=[*self.script, *self.server.arguments],
            env=self.environment,
            cwd=self.folder,
        )

    @contextlib.asynccontextmanager
    async def http(self) -> AsyncIterator[str]:
        """The server's URL, as its start-up line names it. It is asked to end at the end, and has to."""
        assert self.server.http_arguments is not None
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *self.script,
            *self.server.http_arguments,
            env={**self.environment, **self.server.http_environment, "PYTHONUNBUFFERED": "1"},
            cwd=self.folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdout is not None
        said, reading = b"", None
        try:
            async with asyncio.timeout(SECONDS):
                while (found := re.search(rb"http://127\.0\.0\.1:[1-9]\d*/mcp", said)) is None:
                    line = await process.stdout.readline()
                    said += line
                    assert line, f"it ended:\n{said.decode()}"
            reading = asyncio.ensure_future(process.stdout.read())
            yield found[0].decode()
            process.terminate()
            async with asyncio.timeout(SECONDS):
                await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            if reading is not None:
                await reading


Install = Callable[[Published], Installed]


@pytest.fixture
def install(request: pytest.FixtureRequest, tmp_path: Path) -> Install:
    (tmp_path / "dot.png").write_bytes(DOT)
    cache = request.config.cache
    assert cache is not None
    home = cache.mkdir("published")
    return lambda server: Installed(server, installed(server, home), tmp_path)


def named(name: str) -> Published:
    return next(server for server in SERVERS if server.name == name)


def filled(value: Any, folder: Path) -> Any:
    """The value with the folder in the place of ``{folder}``."""
    return json.loads(json.dumps(value).replace("{folder}", folder.as_posix()))


async def answers(client: Client, call: Call, folder: Path) -> None:
    """The call answers as its row says."""
    result = await client.call_tool(call.tool, filled(dict(call.arguments), folder))
    assert isinstance(result, types.CallToolResult)
    first = result.content[0]
    assert isinstance(first, types.TextContent)
    assert (bool(result.is_error), tuple(block.type for block in result.content)) == (call.is_error, call.blocks), first
    if isinstance(call.answer, str):
        assert first.text == call.answer
    else:
        said = json.loads(first.text)
        expected = filled(dict(call.answer), folder)
        assert {name: said.get(name) for name in expected} == expected, said


async def holds_what_its_row_says(client: Client, here: Installed, mode: str) -> None:
    row = here.server
    assert client.protocol_version == MODES[mode]
    assert client.server_info is not None
    icons = client.server_info.icons or []
    assert [icon.src.partition(";")[0] for icon in icons] == ["data:image/png"] * row.icon
    tools = (await client.list_tools()).tools
    assert {tool.name for tool in tools} == row.tools
    assert {tool.name for tool in tools if tool.annotations and tool.annotations.read_only_hint} == row.read_only
    assert all(tool.description and tool.input_schema["type"] == "object" for tool in tools)
    for call in row.calls:
        await answers(client, call, here.folder)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
async def test_over_stdio(server: Published, mode: str, install: Install) -> None:
    here = install(server)
    async with Client(here.stdio(), mode=mode, read_timeout_seconds=SECONDS) as client:
        await holds_what_its_row_says(client, here, mode)


@pytest.mark.parametrize(
    "server", [server for server in SERVERS if server.http_arguments is not None], ids=lambda server: server.name
)
async def test_over_http(server: Published, install: Install) -> None:
    here = install(server)
    async with here.http() as url:
        for mode in MODES:
            async with Client(url, mode=mode, read_timeout_seconds=SECONDS) as client:
                await holds_what_its_row_says(client, here, mode)


@pytest.mark.parametrize("mode", MODES)
async def test_resources_prompts_and_a_question_to_the_user(mode: str, install: Install) -> None:
    async def choose(context: ClientRequestContext, params: types.ElicitRequestParams) -> types.ElicitResult:
        assert params.message.startswith("Unknown operation 'turn'")
        return types.ElicitResult(action="accept", content={"matrix_operation_type": "determinant"})

    here = install(named("mcp-mathematics"))
    async with Client(here.stdio(), mode=mode, elicitation_callback=choose, read_timeout_seconds=SECONDS) as client:
        resources = (await client.list_resources()).resources
        paths = ["history/recent", "functions/all", "constants/math"]
        assert [str(resource.uri) for resource in resources] == [f"resource://{path}" for path in paths]
        read = await client.read_resource("resource://constants/math")
        assert isinstance(read, types.ReadResourceResult)
        assert isinstance(read.contents[0], types.TextResourceContents)
        assert "pi = 3.141592653589793" in read.contents[0].text

        prompts = (await client.list_prompts()).prompts
        assert [prompt.name for prompt in prompts] == ["scientific_calculation", "batch_calculation"]
        got = await client.get_prompt("scientific_calculation", {"precision": "3", "show_steps": "true"})
        assert isinstance(got, types.GetPromptResult)
        content = got.messages[0].content
        assert isinstance(content, types.TextContent)
        assert content.text.startswith("Calculate with 3 decimal precision with step-by-step solution.")

        matrices = [[[1, 2], [3, 4]]]
        asking = Call("matrix_operation", {"matrices": matrices, "operation": "turn"}, {"result": -2.0})
        await answers(client, asking, here.folder)


def test_the_alias_is_one_module_under_two_names(install: Install) -> None:
    """A class has one identity, whichever name is imported first; what headrace lacks is named as missing."""
    program = """if True:
        import fastmcp.server.context, headrace.server.context, fastmcp, headrace
        from fastmcp import Context, FastMCP
        assert fastmcp is headrace and fastmcp.server.context is headrace.server.context
        assert (FastMCP.__module__, Context) == ("headrace.server.server", headrace.Context)
        assert headrace.__spec__.name == "headrace" and headrace.server.__spec__.name == "headrace.server"
        try:
            import fastmcp.nowhere
        except ModuleNotFoundError as error:
            assert error.name == "headrace.nowhere", error
        else:
            raise SystemExit("found")
    """
    here = install(named("mcp-mathematics"))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=here.environment,
        cwd=here.folder,
        capture_output=True,
        timeout=SECONDS,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
