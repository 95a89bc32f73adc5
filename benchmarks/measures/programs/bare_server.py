"""The limit: an ASGI app whose every answer is a stream that stays open."""

from __future__ import annotations

from typing import Any

from common import serve

_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")],
}
_FIRST = {"type": "http.response.body", "body": b"data: {}\r\n\r\n", "more_body": True}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body", False):
        pass
    await send(_START)
    await send(_FIRST)
    while (await receive())["type"] != "http.disconnect":
        pass


if __name__ == "__main__":
    serve(app)
