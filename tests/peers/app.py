"""The one server that every peer talks to: what it is asked is the same in each era and each language."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from pydantic import BaseModel, Field

from headrace import Context, FastMCP
from headrace.exceptions import ToolError
from headrace.server.elicitation import AcceptedElicitation

__all__ = ["NOTE", "make"]

NOTE = "note://now"


class Party(BaseModel):
    name: str
    people: int


def make() -> FastMCP:
    mcp = FastMCP("peers", instructions="Ask away")

    @mcp.tool
    def add(a: int, b: int) -> int:
        print("what is printed is no message")
        return a + b

    @mcp.tool
    async def count(to: int, ctx: Context) -> str:
        for number in range(1, to + 1):
            await ctx.report_progress(number, to, f"at {number}")
        await ctx.info(f"counted to {to}")
        # The older TypeScript SDK loses progress that reaches it in one piece with the result.
        await asyncio.sleep(0.02)
        return "done"

    @mcp.tool
    async def survey(ctx: Context) -> dict[str, Any]:
        """Asks the user, the model and the client, at once; then the user again."""
        party, said, roots = await asyncio.gather(
            ctx.elicit("Who are you?", response_type=Party),
            ctx.sample("Say hello", max_tokens=20),
            ctx.list_roots(),
        )
        assert isinstance(party, AcceptedElicitation)
        sure = await ctx.elicit(f"Sure, {party.data.name}?", response_type=["yes", "no"])
        return {
            "name": party.data.name,
            "people": party.data.people,
            "said": said.text,
            "roots": [str(root.uri) for root in roots],
            "sure": getattr(sure, "data", sure.action),
        }

    @mcp.tool
    def mirrored(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]) -> str:
        """Its argument travels in a header too, where the revision says so."""
        return region

    @mcp.tool
    def fails() -> str:
        raise ToolError("it broke")

    @mcp.tool
    async def change(ctx: Context) -> str:
        """A resource that may be subscribed to changes, and so does the list of tools."""
        await ctx.notify_resource_updated(NOTE)
        mcp.add_tool(extra)
        mcp.remove_tool("extra")
        return "changed"

    @mcp.resource(NOTE)
    def now() -> str:
        return "a note"

    @mcp.resource("note://{name}")
    async def named(name: str) -> str:
        return f"the note {name}"

    @mcp.prompt
    def greet(who: str) -> str:
        return f"Greet {who}"

    @mcp.completion
    def complete(ref: Any, argument: Any, context: Any) -> list[str]:
        return [name for name in ("Ann", "Anton", "Bob") if name.startswith(argument.value)]

    return mcp


def extra() -> str:
    return "extra"


if __name__ == "__main__":  # over stdio the peers start it themselves
    make().run()
