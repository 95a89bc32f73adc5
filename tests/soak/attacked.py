"""What test_slow_attack.py attacks: ``python attacked.py DIVISOR``, by which all time limits are divided."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import StreamingResponse

from headrace import FastMCP
from headrace.server.uvicorn_protocol import HardenedProtocol, Limits

DIVISOR = float(sys.argv[1])

mcp = FastMCP("attacked")


@mcp.tool
def add(a: int, b: int) -> int:
    return a + b


@mcp.custom_route("/large", ["GET"])
async def large(request: Request) -> StreamingResponse:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"x" * 65536

    return StreamingResponse(pieces())


class Protocol(HardenedProtocol):
    limits = Limits()._replace(
        **{name: value / DIVISOR for name, value in Limits()._asdict().items() if name.endswith("_seconds")}
    )


if __name__ == "__main__":
    mcp.run("http", port=0, show_banner=True, uvicorn_config={"http": Protocol})
