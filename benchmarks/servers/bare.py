"""The limit: an ASGI app that reads the whole body and sends the same bytes as Headrace's answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shared import options, serve


def main() -> None:
    chosen = options()
    body = Path(chosen.body).read_bytes()
    headers = [
        (b"content-type", chosen.content_type.encode()),
        (b"content-length", str(len(body)).encode()),
    ]
    start = {"type": "http.response.start", "status": 200, "headers": headers}
    answer = {"type": "http.response.body", "body": body}

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        while (await receive()).get("more_body", False):
            pass
        await send(start)
        await send(answer)

    serve(app, granian=chosen.granian)


if __name__ == "__main__":
    main()
