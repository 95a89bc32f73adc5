"""One set of behaviours, on every transport in every revision that it serves, through the client.

Not in the matrix: stateless HTTP with a handshake keeps nothing between requests, so nobody can be asked there, nothing
is cancelled, and nothing is subscribed to.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec import UNSET

from headrace import Client
from headrace.client import HandlerContext, Notice
from headrace.client.transports import SSETransport, StdioTransport
from headrace.exceptions import ClientError, McpError, ToolError
from headrace.protocol.types import (
    ElicitRequestParams,
    ElicitResult,
    EmptyResult,
    PromptReference,
    TextContent,
)
from headrace.protocol.versions import ERAS, HANDSHAKE_VERSIONS, SERVED_VERSIONS, Era

from ..robustness.wire import serving
from .matrix_server import NOTE, make

SERVER = Path(__file__).parent / "matrix_server.py"
SECONDS = 10.0


class Cell(NamedTuple):
    transport: str
    era: Era

    @property
    def keeps_calls(self) -> bool:
        """Whether another message can reach a call: an answer, a cancellation."""
        return not (self.transport == "http stateless" and self.era.handshake)


CELLS = [
    Cell(transport, ERAS[version])
    for transport, versions in {
        "memory": list(ERAS),
        "stdio": list(ERAS),
        "http": SERVED_VERSIONS,
        "http stateless": SERVED_VERSIONS,
        "sse": HANDSHAKE_VERSIONS,
    }.items()
    for version in versions
]


class Heard:
    """What reached the client in one test."""

    def __init__(self) -> None:
        self.logs: list[Any] = []
        self.notices: asyncio.Queue[str] = asyncio.Queue()
        self.asked: list[str] = []
        self.answer: Any = {"left": 1, "right": "one"}

    def elicit(self, message: str, kind: Any, params: ElicitRequestParams, context: HandlerContext) -> Any:
        self.asked.append(message)
        return self.answer

    def sample(self, *_: Any) -> str:
        self.asked.append("sample")
        return "hello"

    def roots(self, context: HandlerContext) -> list[str]:
        self.asked.append("roots")
        return ["file:///here"]

    def hear(self, notice: Notice) -> None:
        self.notices.put_nowait(notice.method)


class Site:
    """A client in its cell. The server is the cell's transport's, for the whole module."""

    def __init__(self, cell: Cell, client: Client, heard: Heard) -> None:
        self.cell = cell
        self.era = cell.era
        self.client = client
        self.heard = heard


@pytest.fixture(scope="module")
async def http_url() -> AsyncIterator[str]:
    async with serving(make().http_app()) as running:
        yield f"http://127.0.0.1:{running.port}/mcp"


@pytest.fixture(scope="module")
async def stateless_url() -> AsyncIterator[str]:
    async with serving(make().http_app(stateless_http=True)) as running:
        yield f"http://127.0.0.1:{running.port}/mcp"


@pytest.fixture(scope="module")
async def sse_base() -> AsyncIterator[str]:
    async with serving(make().http_app(transport="sse")) as running:
        yield f"http://127.0.0.1:{running.port}"


@pytest.fixture(scope="module")
def cell(request: pytest.FixtureRequest) -> Cell:
    return request.param


@pytest.fixture(scope="module")
def target(cell: Cell, request: pytest.FixtureRequest) -> Any:
    """What the client connects to; only the server that is needed is started."""
    if cell.transport == "memory":
        return make()
    if cell.transport == "stdio":
        return StdioTransport(sys.executable, [str(SERVER)])
    if cell.transport == "sse":
        return SSETransport(f"{request.getfixturevalue('sse_base')}/sse")
    return request.getfixturevalue("http_url" if cell.transport == "http" else "stateless_url")


@pytest.fixture(scope="module")
async def connected(cell: Cell, target: Any) -> AsyncIterator[Site]:
    """One client per cell; what it hears goes to whatever test runs."""
    site: Site

    def now(name: str) -> Callable[..., Any]:
        return lambda *arguments: getattr(site.heard, name)(*arguments)

    client = Client(
        target,
        protocol_version=cell.era.version,
        timeout=SECONDS,
        elicitation_handler=now("elicit"),
        sampling_handler=now("sample"),
        roots=now("roots"),
        log_handler=lambda note: site.heard.logs.append(note.data),
        message_handler=now("hear"),
    )
    site = Site(cell, client, Heard())
    async with client:
        yield site


@pytest.fixture
def site(connected: Site) -> Site:
    connected.heard = Heard()
    return connected


def cells(fact: Callable[[Cell], bool] = lambda cell: True) -> pytest.MarkDecorator:
    """Where a behaviour is to be found."""
    found = [pytest.param(cell, id=f"{cell.transport}-{cell.era.version}") for cell in CELLS if fact(cell)]
    return pytest.mark.parametrize("cell", found, indirect=True)


@cells()
async def test_agrees(site: Site) -> None:
    assert site.client.protocol_version == site.era.version
    assert site.client.instructions == "Ask away"
    assert site.client.server_info is not None
    assert site.client.server_info.name == "matrix"
    assert await site.client.ping()


@cells()
async def test_lists_in_pages(site: Site) -> None:
    first = await site.client.list_tools_mcp()
    assert len(first.tools) == 4
    second = await site.client.list_tools_mcp(first.next_cursor)
    every = [tool.name for tool in await site.client.list_tools()]
    assert every[:8] == [tool.name for tool in (*first.tools, *second.tools)]
    assert set(every) >= {"add", "pair", "fail", "count", "ask", "sample", "roots", "survey", "hang", "change"}
    with pytest.raises(McpError) as refused:
        await site.client.list_tools_mcp("no such cursor")
    assert refused.value.code == -32602


@cells()
async def test_calls(site: Site) -> None:
    results = await asyncio.gather(*(site.client.call_tool("add", {"a": n, "b": 1}) for n in range(20)))
    assert [result.text for result in results] == [str(n + 1) for n in range(20)]


@cells()
async def test_structured_content(site: Site) -> None:
    result = await site.client.call_tool_mcp("pair", {"left": 7})
    value = {"left": 7, "right": "ü\n\u2028"}
    assert result.structured_content == (value if site.era.structured_content else UNSET)
    tools = {tool.name: tool for tool in await site.client.list_tools()}
    assert (tools["pair"].output_schema is not None) == site.era.structured_content


@cells()
async def test_a_failing_tool(site: Site) -> None:
    with pytest.raises(ToolError, match="it broke"):
        await site.client.call_tool("fail")


@cells()
async def test_bad_arguments(site: Site) -> None:
    if site.era.argument_errors_in_result:
        result = await site.client.call_tool("add", {"a": "x"}, raise_on_error=False)
        assert result.is_error
    else:
        with pytest.raises(McpError) as refused:
            await site.client.call_tool("add", {"a": "x"})
        assert refused.value.code == -32602


@cells()
async def test_what_does_not_exist(site: Site) -> None:
    for asked, code in (
        (site.client.call_tool("no such tool"), -32602),
        (site.client.request("no/method", {}, EmptyResult), -32601),
        (site.client.get_prompt("no such prompt"), -32602),
        (site.client.read_resource("other://x"), site.era.missing_resource_code),
    ):
        with pytest.raises(McpError) as refused:
            await asked
        assert refused.value.code == code


@cells()
async def test_progress_and_log(site: Site) -> None:
    if site.era.handshake and site.cell.keeps_calls:
        await site.client.set_logging_level("info")
    progress: list[Any] = []
    await site.client.call_tool("count", {"to": 3}, progress_handler=lambda *heard: progress.append(heard))
    messages = ["at 1", "at 2", "at 3"] if site.era.annotated_tools else [None, None, None]
    assert progress == [(number, 3, message) for number, message in zip((1, 2, 3), messages, strict=True)]
    assert site.heard.logs == [{"msg": "counted", "extra": {"to": 3}}]


@cells(lambda cell: cell.keeps_calls and cell.era.elicitation)
@pytest.mark.parametrize(
    ("answer", "said"),
    [({"left": 1, "right": "one"}, "one"), (ElicitResult(action="decline"), "decline")],
    ids=["accept", "decline"],
)
async def test_elicits(site: Site, answer: Any, said: str) -> None:
    site.heard.answer = answer
    assert (await site.client.call_tool("ask")).data == said
    assert site.heard.asked == ["Which pair?"]


@cells(lambda cell: cell.keeps_calls)
async def test_samples_and_asks_for_roots(site: Site) -> None:
    assert (await site.client.call_tool("sample")).text == "hello"
    assert "file:///here" in (await site.client.call_tool("roots")).text
    assert site.heard.asked == ["sample", "roots"]


@cells(lambda cell: cell.keeps_calls)
async def test_questions_at_once_and_effects_once(site: Site) -> None:
    result = (await site.client.call_tool("survey")).content
    texts = [block.text for block in result if isinstance(block, TextContent)]
    assert "".join(texts).replace(" ", "").replace("\n", "") in ('[0,"hello",1]', "0hello1")
    assert sorted(site.heard.asked) == ["roots", "sample"]


@cells(lambda cell: not cell.keeps_calls)
async def test_who_can_not_be_asked_is_not(site: Site) -> None:
    with pytest.raises(McpError, match="can't"):
        await site.client.call_tool("sample")
    assert site.heard.asked == []


@cells(lambda cell: cell.keeps_calls)
async def test_cancels(site: Site) -> None:
    before = int((await site.client.call_tool("cancelled")).text)
    begun = asyncio.Event()
    call = asyncio.create_task(site.client.call_tool("hang", progress_handler=lambda *_: begun.set()))
    async with asyncio.timeout(SECONDS):
        await begun.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        while int((await site.client.call_tool("cancelled")).text) == before:
            continue


@cells(lambda cell: cell.keeps_calls)
async def test_a_timeout_is_told(site: Site) -> None:
    with pytest.raises(ClientError, match=r"within 0\.05 seconds"):
        await site.client.call_tool("hang", timeout=0.05)
    assert (await site.client.call_tool("add", {"a": 1, "b": 1})).text == "2"


@cells()
async def test_reads(site: Site) -> None:
    assert [str(each.uri) for each in await site.client.list_resources()] == [NOTE]
    assert [each.uri_template for each in await site.client.list_resource_templates()] == ["note://{name}"]
    assert (await site.client.read_resource(NOTE))[0].text == "a note"
    assert (await site.client.read_resource("note://mine"))[0].text == "the note mine"


@cells()
async def test_prompts_and_completes(site: Site) -> None:
    assert [prompt.name for prompt in await site.client.list_prompts()] == ["greet"]
    message = (await site.client.get_prompt("greet", {"who": "Ann"})).messages[0]
    assert isinstance(message.content, TextContent)
    assert message.content.text == "Greet Ann"
    completion = await site.client.complete(PromptReference(name="greet"), {"name": "who", "value": "An"})
    assert completion.values == ["Ann", "Anton"]


CHANGES = {"notifications/resources/updated", "notifications/tools/list_changed"}


@cells(lambda cell: cell.keeps_calls and cell.era.handshake)
async def test_subscribes(site: Site) -> None:
    await site.client.subscribe_resource(NOTE)
    missing = set(CHANGES)
    async with asyncio.timeout(SECONDS):
        while missing:  # over HTTP nothing says when the stream for notices is there
            await site.client.call_tool("change")
            try:
                while missing:
                    missing.discard(await asyncio.wait_for(site.heard.notices.get(), 0.3))
            except TimeoutError:
                continue
    await site.client.unsubscribe_resource(NOTE)
    while not site.heard.notices.empty():
        site.heard.notices.get_nowait()
    await site.client.call_tool("change")
    async with asyncio.timeout(SECONDS):
        assert await site.heard.notices.get() == "notifications/tools/list_changed"


@cells(lambda cell: cell.era.listen)
async def test_listens(site: Site) -> None:
    async with asyncio.timeout(SECONDS):
        async with site.client.listen(tools=True, uris=[NOTE]) as all_of_it, site.client.listen(tools=True) as tools:
            await site.client.call_tool("change")
            assert {(await anext(all_of_it)).method for _ in CHANGES} == CHANGES
            assert (await anext(tools)).method == "notifications/tools/list_changed"
        with pytest.raises(StopAsyncIteration):
            await anext(tools)
        async with site.client.listen(uris=[NOTE]) as again:
            await site.client.call_tool("change")
            assert (await anext(again)).params["uri"] == NOTE


@cells(lambda cell: not cell.era.listen)
async def test_listen_is_of_the_newest_revision(site: Site) -> None:
    with pytest.raises(ClientError, match="subscribe_resource"):
        site.client.listen(tools=True)
