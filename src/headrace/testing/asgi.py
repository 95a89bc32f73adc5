"""HTTP within the process: an ASGI app behind an httpx2 client, in the test's own loop, without a socket.

Other than httpx2's own ASGI transport this one streams: a chunk reaches the client when the app sends it, so that a
call which asks its client a question, or a stream that never ends, can be tested. Closing a response is a disconnect
to the app, and a client that does not read holds the app up, as over a socket.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2

__all__ = ["ASGIApp", "StreamingASGITransport", "run_asgi_lifespan"]

Message = MutableMapping[str, Any]
ASGIApp = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Any
]

_BUFFER = 256 * 1024
_CLOSE_SECONDS = 2.0


class StreamingASGITransport(httpx2.AsyncBaseTransport):
    """For ``httpx2.AsyncClient(transport=...)``. `state` is what the app's lifespan yielded (`run_asgi_lifespan`).

    An exception of the app before it answers is raised by the request; later the body breaks off.
    """

    def __init__(self, app: ASGIApp, *, state: Mapping[str, Any] | None = None) -> None:
        self._app = app
        self._state = state
        self._running: dict[asyncio.Task[None], _Exchange] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        exchange = _Exchange(await request.aread())
        # A context of its own: what the test has set in its own is not there on a server either.
        task = asyncio.get_running_loop().create_task(
            self._serve(_scope(request, self._state), exchange), context=contextvars.Context()
        )
        self._running[task] = exchange
        task.add_done_callback(self._running.pop)
        try:
            await exchange.started.wait()
            if exchange.error is not None and exchange.status is None:
                raise exchange.error
        except BaseException:
            exchange.disconnect()
            raise
        assert exchange.status is not None
        return httpx2.Response(exchange.status, headers=exchange.headers, stream=_Body(exchange), request=request)

    async def aclose(self) -> None:
        """Every client is gone: apps that don't end for that are cancelled."""
        for exchange in self._running.values():
            exchange.disconnect()
        with anyio.CancelScope(shield=True):
            for seconds in (_CLOSE_SECONDS, None):
                if self._running:
                    _, late = await asyncio.wait(self._running, timeout=seconds)
                    for task in late:
                        task.cancel()

    async def _serve(self, scope: dict[str, Any], exchange: _Exchange) -> None:
        try:
            await self._app(scope, exchange.receive, exchange.send)
            if exchange.status is None:
                raise RuntimeError("The app ended without an answer")
        except Exception as error:
            exchange.error = error
        finally:
            exchange.end()


class _Exchange:
    """One request and its answer, between the app's task and the client's."""

    def __init__(self, body: bytes) -> None:
        self.status: int | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.error: Exception | None = None
        self.started = asyncio.Event()
        self._body: bytes | None = body
        self._chunks: list[bytes] = []
        self._size = 0
        self._complete = False
        self._gone = False
        self._over = asyncio.Event()
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    async def receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self._gone:
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
            self.started.set()
        elif message["type"] == "http.response.body":
            await self._write(message.get("body", b""), last=not message.get("more_body", False))

    async def _write(self, chunk: bytes, *, last: bool) -> None:
        if chunk:
            self._chunks.append(bytes(chunk))
            self._size += len(chunk)
        if last:
            self._complete = True
            self._over.set()
        self._news.set()
        while self._size > _BUFFER and not self._gone:
            self._room.clear()
            await self._room.wait()

    def end(self) -> None:
        """The app is through."""
        self._over.set()
        self.started.set()
        self._news.set()

    def disconnect(self) -> None:
        """The client is gone."""
        self._gone = True
        self._over.set()
        self._room.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            while self._chunks:
                chunk = self._chunks.pop(0)
                self._size -= len(chunk)
                self._room.set()
                yield chunk
            if self._complete:
                return
            if self._over.is_set():
                raise httpx2.RemoteProtocolError("The app broke its answer off") from self.error
            self._news.clear()
            await self._news.wait()


class _Body(httpx2.AsyncByteStream):
    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._exchange.chunks():
            yield chunk

    async def aclose(self) -> None:
        self._exchange.disconnect()


def _scope(request: httpx2.Request, state: Mapping[str, Any] | None) -> dict[str, Any]:
    url = request.url
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": url.scheme,
        "path": url.path,
        "raw_path": url.raw_path.partition(b"?")[0],
        "query_string": url.query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "server": (url.host, url.port or (443 if url.scheme == "https" else 80)),
        "client": ("127.0.0.1", 50000),
    }
    if state is not None:
        scope["state"] = dict(state)
    return scope


@asynccontextmanager
async def run_asgi_lifespan(app: ASGIApp) -> AsyncGenerator[dict[str, Any]]:
    """The app's lifespan, in a task of its own; yields the state that it has for requests.

    Raises what the app raises at start or end, RuntimeError where it only says that it failed.
    """
    lifespan = _Lifespan(app)
    await lifespan.say("startup")
    try:
        yield lifespan.state
    except BaseException:
        await lifespan.leave()
        raise
    await lifespan.say("shutdown")
    await lifespan.task


class _Lifespan:
    def __init__(self, app: ASGIApp) -> None:
        self.state: dict[str, Any] = {}
        self._said: asyncio.Queue[Message] = asyncio.Queue()
        self._answers: asyncio.Queue[Message | None] = asyncio.Queue()
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        self.task: asyncio.Task[None] = asyncio.get_running_loop().create_task(
            self._run(app, scope), context=contextvars.Context()
        )

    async def _run(self, app: ASGIApp, scope: dict[str, Any]) -> None:
        try:
            await app(scope, self._said.get, self._answers.put)
        finally:
            self._answers.put_nowait(None)

    async def say(self, what: str) -> None:
        self._said.put_nowait({"type": f"lifespan.{what}"})
        try:
            answer = await self._answers.get()
        except asyncio.CancelledError:
            self.task.cancel()
            raise
        if answer is None or answer["type"] != f"lifespan.{what}.complete":
            await self.task  # raises what went wrong, where the app lets it out
            said = answer.get("message") if answer is not None else "it ended too early"
            raise RuntimeError(f"The lifespan of the app failed at {what}: {said}")

    async def leave(self) -> None:
        """End while another exception is on its way: what goes wrong now is not the cause."""
        with anyio.CancelScope(shield=True):
            self._said.put_nowait({"type": "lifespan.shutdown"})
            await asyncio.wait([self.task], timeout=_CLOSE_SECONDS)
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
