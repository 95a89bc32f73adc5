"""A client: ``python examples/client.py`` talks to a server in this process, ``... URL`` to one over HTTP."""

from __future__ import annotations

import asyncio
import sys

from headrace import Client, FastMCP

server = FastMCP("greeter")


@server.tool
def greet(name: str) -> str:
    return f"Hello, {name}!"


async def main(target: FastMCP | str) -> None:
    async with Client(target, timeout=30) as client:
        print(f"speaks {client.protocol_version}")
        for tool in await client.list_tools():
            print(f"- {tool.name}: {tool.description or ''}")
        if isinstance(target, FastMCP):
            print((await client.call_tool("greet", {"name": "Ada"})).data)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else server))
