"""HTTP without a socket: it streams, disconnects are heard, the lifespan runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from headrace import Context, FastMCP
from headrace.exceptions import ClientError
from headrace.testing import StreamingASGITransport, asgi_client, asgi_server, run_asgi_lifespan

START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}


def client_of(app: Any) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=StreamingASGITransport(app), base_url="http://127.0.0.1")


def chunk(body: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


async def test_a_chunk_is_there_when_the_app_sends_it() -> None:
    go_on = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["body"] == b"question"
        await send(START)
        await send(chunk(b"first"))
        await go_on.wait()
        await send(chunk(b"last", more=False))

    async with client_of(app) as client, client.stream("POST", "/x", content=b"question") as response:
        chunks = response.aiter_bytes()
        assert await anext(chunks) == b"first"
        go_on.set()
        assert await anext(chunks) == b"last"
        assert [rest async for rest in chunks] == []


async def test_leaving_a_response_is_a_disconnect() -> None:
    heard: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(START)
        await send(chunk(b"first"))
        heard.append((await receive())["type"])

    async with client_of(app) as client, client.stream("GET", "/") as response:
        assert response.status_code == 200
        assert heard == []
    assert heard == ["http.disconnect"]


async def test_an_app_that_ignores_the_disconnect_is_cancelled_when_the_client_closes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("headrace.testing.asgi._CLOSE_SECONDS", 0.05)
    ended: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async with client_of(app) as client, client.stream("GET", "/"):
        pass
    assert ended == ["cancelled"]


async def test_a_client_that_does_not_read_holds_the_app_up() -> None:
    sent = 0
    waiting = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await send(START)
        for number in range(100):
            if number == 4:
                waiting.set()
            await send(chunk(b"x" * 100_000, more=number < 99))
            sent += 1

    async with client_of(app) as client, client.stream("GET", "/") as response:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await waiting.wait()
        assert sent < 4
        assert len(await response.aread()) == 10_000_000


@pytest.mark.parametrize("answered", [False, True])
async def test_an_app_that_fails(answered: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if answered:
            await send(START)
        raise RuntimeError("broken")

    async with client_of(app) as client:
        if not answered:
            with pytest.raises(RuntimeError, match="broken"):
                await client.get("/")
        else:
            with pytest.raises(httpx2.RemoteProtocolError):
                await client.get("/")


async def test_the_scope_is_that_of_a_server() -> None:
    seen: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        await send(START)
        await send(chunk(b"", more=False))

    async with client_of(app) as client:
        await client.get("/a%20b?c=d", headers={"X-Test": "1"})
    (scope,) = seen
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/a b", b"/a%20b", b"c=d")
    assert (b"x-test", b"1") in scope["headers"]
    assert scope["server"] == ("127.0.0.1", 80)


def lifespan_app(*, fails_at: str = "", says: bool = True, log: list[str] | None = None) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "lifespan"
        for step in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{step}"
            if log is not None:
                log.append(step)
            if step == fails_at and says:
                await send({"type": f"lifespan.{step}.failed", "message": "no database"})
                return
            if step == fails_at:
                raise OSError("no database")
            scope["state"]["ready"] = True
            await send({"type": f"lifespan.{step}.complete"})

    return app


@pytest.mark.parametrize("step", ["startup", "shutdown"])
@pytest.mark.parametrize(("says", "error"), [(True, RuntimeError), (False, OSError)])
async def test_a_lifespan_that_fails(step: str, says: bool, error: type[Exception]) -> None:
    entered: list[Any] = []

    async def run() -> None:
        async with run_asgi_lifespan(lifespan_app(fails_at=step, says=says)) as state:
            entered.append(dict(state))

    with pytest.raises(error, match="no database"):
        await run()
    assert entered == ([] if step == "startup" else [{"ready": True}])


async def test_what_fails_in_the_block_is_what_is_raised() -> None:
    log: list[str] = []
    with pytest.raises(KeyError):
        async with run_asgi_lifespan(lifespan_app(fails_at="shutdown", log=log)):
            raise KeyError
    assert log == ["startup", "shutdown"]


def server() -> FastMCP:
    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[dict[str, int]]:
        yield {"answer": 42}

    mcp = FastMCP("tested", lifespan=lifespan)

    @mcp.tool
    async def ask(ctx: Context) -> str:
        await ctx.report_progress(1, 2)
        answer = await ctx.elicit("Your name?", str)
        return f"{answer.data} {ctx.lifespan_context['answer']}"  # pyright: ignore[reportAttributeAccessIssue]

    return mcp


@pytest.mark.parametrize("mode", ["modern", "legacy"])
async def test_a_call_that_asks_its_client(mode: str) -> None:
    heard: list[float] = []
    async with asgi_client(
        server(),
        mode=mode,
        elicitation_handler=lambda *_: {"value": "Ada"},
        progress_handler=lambda progress, *_: heard.append(progress),
    ) as client:
        result = await client.call_tool("ask")
    assert result.text == "Ada 42"
    assert heard[0] == 1


async def test_plain_http_and_headers() -> None:
    mcp = server()

    @mcp.custom_route("/health", methods=["GET"])
    async def health(request: Any) -> Any:
        from starlette.responses import JSONResponse

        return JSONResponse({"tenant": request.headers.get("x-tenant")})

    async with asgi_server(mcp, path="/here") as running:
        assert running.url == "http://127.0.0.1/here"
        async with running.http_client(headers={"x-tenant": "acme"}) as http:
            assert (await http.get("/health")).json() == {"tenant": "acme"}
            assert (await http.get(running.url, headers={"origin": "http://evil.example"})).status_code == 403
        async with running.client(headers={"x-tenant": "acme"}) as client:
            assert [tool.name for tool in await client.list_tools()] == ["ask"]


async def test_an_sse_app_is_reached_with_plain_http() -> None:
    async with asgi_server(server(), transport="sse") as running:
        with pytest.raises(ClientError, match="http_client"):
            running.client()
        async with running.http_client() as http, http.stream("GET", running.url) as response:
            assert "/messages/" in await anext(response.aiter_text())
