"""A server inside a FastAPI app: ``uvicorn --app-dir examples fastapi_mount:app``.

MCP is at http://127.0.0.1:8000/mcp, the web API at http://127.0.0.1:8000/hello.
"""

from __future__ import annotations

from fastapi import FastAPI

from headrace import FastMCP

mcp = FastMCP("mounted")


@mcp.tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


mcp_app = mcp.http_app(path="/mcp")
# FastAPI runs only its own lifespan, so that of the mounted app is handed on.
app = FastAPI(lifespan=mcp_app.lifespan)


@app.get("/hello")
def hello() -> dict[str, str]:
    return {"hello": "world"}


# Last, since it takes every path that is left: both /mcp and /mcp/ are served without a redirect.
app.mount("/", mcp_app)
