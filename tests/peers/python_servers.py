"""Servers out of the Python frameworks of others: ``python python_servers.py sdk|fastmcp stdio|http|sse``.

Over HTTP the port is printed; the program ends when stdin does. The tools are the same, and so is what they say.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from typing import Annotated, Any

import mcp_types as types
import uvicorn
from pydantic import BaseModel

NOTE = "note://now"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
NAMES = ("Ann", "Anton", "Bob")


class Weather(BaseModel):
    city: str
    degrees: float
    winds: list[int]


class Party(BaseModel):
    name: str
    people: int = 2


def summary(party: Party, said: Any, roots: types.ListRootsResult) -> str:
    return f"{party.name}, {party.people}, {said.content.text}, {', '.join(str(root.uri) for root in roots.roots)}"


SAMPLING: dict[str, Any] = {
    "messages": [types.SamplingMessage(role="user", content=types.TextContent(type="text", text="Say hello"))],
    "max_tokens": 20,
}


def add_components(mcp: Any, context: type, failure: type[Exception]) -> None:
    """What both frameworks write alike. `context` is the class whose parameters they fill, `failure` what tools raise
    to be heard."""
    given_up: list[str] = []

    async def weather(city: str) -> Weather:
        return Weather(city=city, degrees=21.5, winds=[1, 2])

    async def pictures():
        text = types.TextContent(
            type="text", text="look", annotations=types.Annotations(audience=["user"], priority=0.7)
        )
        image = types.ImageContent(type="image", data=PIXEL, mime_type="image/png")
        inside = types.TextResourceContents(uri=NOTE, text="a note")  # type: ignore[arg-type]
        link = types.ResourceLink(type="resource_link", uri=NOTE, name="now")  # type: ignore[arg-type]
        return [text, image, types.EmbeddedResource(type="resource", resource=inside), link]

    async def count(to: int, ctx: Any) -> str:
        for number in range(1, to + 1):
            await ctx.report_progress(number, to, f"at {number}")
        await ctx.info(f"counted to {to}")
        return "done"

    async def fails() -> str:
        raise failure("it broke")

    async def wait(name: str, ctx: Any) -> str:
        """For ever."""
        try:
            await ctx.report_progress(0, 1, "waiting")
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            given_up.append(name)
            raise
        return name

    async def gave_up() -> list[str]:
        return given_up

    count.__annotations__["ctx"] = wait.__annotations__["ctx"] = context
    for function in (weather, pictures, count, fails, wait, gave_up):
        mcp.tool()(function)

    @mcp.resource(NOTE, mime_type="text/plain")
    def now() -> str:
        return "a note"

    @mcp.resource("note://{name}")
    def named(name: str) -> str:
        return f"the note {name}"

    @mcp.prompt()
    def greet(who: str) -> str:
        return f"Greet {who}"

    @mcp.completion()
    async def complete(ref: Any, argument: Any, context: Any) -> types.Completion:
        return types.Completion(values=[name for name in NAMES if name.startswith(argument.value)])


def sdk_server() -> Any:
    from mcp.server import MCPServer
    from mcp.server.mcpserver import Context
    from mcp.server.mcpserver.exceptions import ToolError
    from mcp.server.mcpserver.resolve import Elicit, ListRoots, Resolve, Sample

    mcp = MCPServer("theirs", instructions="Ask away", log_level="ERROR")
    add_components(mcp, Context, ToolError)

    async def ask() -> Elicit[Party]:
        return Elicit("Who are you?", Party)

    async def sample() -> Sample:
        return Sample(**SAMPLING)

    async def list_roots() -> ListRoots:
        return ListRoots()

    async def survey(party: Any, said: Any, roots: Any) -> str:
        return summary(party, said, roots)

    async def change(ctx: Any) -> str:
        await ctx.notify_resource_updated(NOTE)
        await ctx.notify_tools_changed()
        return "changed"

    survey.__annotations__.update(
        party=Annotated[Party, Resolve(ask)],
        said=Annotated[types.CreateMessageResult, Resolve(sample)],
        roots=Annotated[types.ListRootsResult, Resolve(list_roots)],
    )
    change.__annotations__["ctx"] = Context
    mcp.tool()(survey)
    mcp.tool()(change)
    return mcp


def fastmcp_server() -> Any:
    from fastmcp import Context, FastMCP
    from fastmcp.exceptions import ToolError

    mcp = FastMCP("theirs", instructions="Ask away")
    add_components(mcp, Context, ToolError)
    questions = {
        "party": types.ElicitRequest(
            params=types.ElicitRequestFormParams(message="Who are you?", requested_schema=Party.model_json_schema())
        ),
        "said": types.CreateMessageRequest(params=types.CreateMessageRequestParams(**SAMPLING)),
        "roots": types.ListRootsRequest(),
    }

    async def survey(ctx: Any) -> Any:
        """The questions all at once where the revision has rounds, else one after the other."""
        if ctx.session.protocol_version < "2026-07-28":
            answer = await ctx.elicit("Who are you?", Party)
            said = await ctx.session.create_message(**SAMPLING)
            return summary(answer.data, said, await ctx.session.list_roots())
        answers = ctx.input_responses
        if not answers:
            return types.InputRequiredResult(input_requests=questions, request_state="asked")
        assert ctx.request_state == "asked"
        return summary(Party.model_validate(answers["party"].content), answers["said"], answers["roots"])

    survey.__annotations__["ctx"] = Context
    mcp.tool()(survey)
    return mcp


def serve(app: Any) -> None:
    bound = socket.socket(proto=socket.IPPROTO_TCP)  # asyncio sets TCP_NODELAY only then
    bound.bind(("127.0.0.1", 0))
    print(bound.getsockname()[1], flush=True)
    runner = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))

    def until_parent_ends() -> None:
        sys.stdin.read()
        runner.should_exit = True

    threading.Thread(target=until_parent_ends, daemon=True).start()
    asyncio.run(runner.serve(sockets=[bound]))


def main() -> None:
    framework, transport = sys.argv[1:]
    mcp = sdk_server() if framework == "sdk" else fastmcp_server()
    if transport == "stdio":
        mcp.run(**({} if framework == "sdk" else {"show_banner": False}))
    elif framework == "sdk":
        serve(mcp.sse_app() if transport == "sse" else mcp.streamable_http_app())
    else:
        serve(mcp.http_app(transport=transport))


if __name__ == "__main__":
    main()
