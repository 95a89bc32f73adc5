"""The server of test_json_bounds.py: tools that read their arguments in four ways. As a program it serves stdio."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from headrace import FastMCP


class Box(BaseModel):
    value: Any = None


def make() -> FastMCP:
    mcp = FastMCP("bounds")

    @mcp.tool
    async def plain(value: float = 0.0) -> str:
        return repr(value)

    @mcp.tool
    async def anything(value: Any = None) -> str:
        return repr(value)

    @mcp.tool
    async def model(box: Box) -> str:
        return repr(box.value)

    @mcp.tool(input_schema={"type": "object", "properties": {"value": {}}})
    async def schema(value: Any = None) -> str:
        return repr(value)

    return mcp


if __name__ == "__main__":
    make().run("stdio", show_banner=False)
