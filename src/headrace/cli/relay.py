"""The messages of a stdio client, passed on to a server behind HTTP and back, as they are.

The client speaks for itself: its handshake, its capabilities, the ids of its requests. What only HTTP has is added
here: sessions (a new one where the server has forgotten the old), headers that mirror a request, closed streams as
cancellations. Revisions are not translated: where the server does not speak the client's, the error says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any, NamedTuple, cast

import msgspec
from msgspec import Raw

from ..client.errors import error_of
from ..client.known_tools import KnownTools
from ..client.mirror import header_value
from ..client.paging import all_pages
from ..client.session import Session
from ..client.transports.base import Outgoing, Refused, Transport
from ..exceptions import ClientError, FastMCPError, McpError
from ..protocol.errors import (
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    MISSING_CLIENT_CAPABILITY,
)
from ..protocol.jsonrpc import (
    MAX_BATCH,
    Message,
    Notification,
    Request,
    Response,
    decode,
    decode_batch,
    encode_error,
    encode_notification,
    encode_request,
    encode_result,
    id_in,
    is_batch,
)
from ..protocol.methods import METHODS
from ..protocol.types import ListToolsResult
from ..protocol.versions import era

__all__ = ["MAX_CALLS", "MAX_SENDING", "Relay"]

logger = logging.getLogger(__name__)

MAX_CALLS = 1000
"""Requests of the client in flight."""
MAX_SENDING = 100
"""Its notifications and answers on their way, before nothing more is taken from it."""
_BEGINS = ("initialize", "server/discover")
_OTHER_REVISION = (400, 404, 405)
"""How a server refuses one that it does not speak."""
_END_SECONDS = 1.0


class _Meta(msgspec.Struct):
    version: Any = msgspec.field(name="io.modelcontextprotocol/protocolVersion", default=None)


class _Params(msgspec.Struct, rename="camel"):
    """What the relay looks at."""

    meta: _Meta = msgspec.field(name="_meta", default_factory=_Meta)
    protocol_version: Any = None
    request_id: Any = None
    name: Any = None
    uri: Any = None
    level: Any = None
    arguments: Any = None


class _Call(NamedTuple):
    task: asyncio.Task[bytes]
    method: str
    handshake: bool


_decode_params = msgspec.json.Decoder(_Params).decode
_decode_tools = msgspec.json.Decoder(ListToolsResult).decode


class Relay:
    """`take` the client's lines in order, `drain` where it may still read, `close`. `emit` sends it a message."""

    def __init__(self, transport: Transport, emit: Callable[[bytes], Awaitable[None]]) -> None:
        self._transport = transport
        self._emit = emit
        self._session = Session(transport)
        self._known = KnownTools()
        self._calls: dict[int | str, _Call] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._answering: set[asyncio.Task[None]] = set()
        self._opening: asyncio.Task[None] | None = None
        """The end of the handshake; requests go after it."""
        self._last_id = 0

    async def hear(self, message: Message) -> None:
        """What the server says by itself."""
        if isinstance(message, Request):
            await self._emit(encode_request(message.id, message.method, message.params))
        elif isinstance(message, Notification):
            await self._emit(encode_notification(message.method, message.params))

    async def take(self, body: bytes) -> None:
        """A message, or a batch of them (2025-03-26)."""
        while len(self._sending) >= MAX_SENDING:
            await asyncio.wait(self._sending, return_when=asyncio.FIRST_COMPLETED)
        batch = is_batch(body)
        try:
            messages = decode_batch(body, MAX_BATCH) if batch else [decode(body)]
        except McpError as error:
            await self._emit(encode_error(id_in(body), error.code, error.message, error.data))
            return
        answers = [task for message in messages if (task := self._taken(message)) is not None]
        if answers:
            _keep(self._answering, self._say(answers, batch))

    async def drain(self) -> None:
        """Nothing more comes from the client: wait for what is under way, but not for what has no end."""
        for call in list(self._calls.values()):
            if call.method == "subscriptions/listen":
                call.task.cancel()
        while tasks := {*self._answering, *self._sending}:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        tasks = {*self._answering, *self._sending, *(call.task for call in self._calls.values())}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_END_SECONDS)

    # From the client

    def _taken(self, message: Message | McpError) -> asyncio.Task[bytes] | None:
        """What gets the answer, where there is to be one."""
        if isinstance(message, Notification):
            self._noted(message)
        elif isinstance(message, Response):
            _keep(self._sending, self._send(_encoded(message, message.id)))
        else:
            return self._begun(message)
        return None

    def _begun(self, request: Request | McpError) -> asyncio.Task[bytes]:
        loop = asyncio.get_running_loop()
        if isinstance(request, McpError):
            return loop.create_task(_refusal(None, str(request)))
        if request.id in self._calls or len(self._calls) >= MAX_CALLS:
            return loop.create_task(_refusal(request.id, "a request with this id, or too many others, are in flight"))
        params = _params(request.params)
        task = loop.create_task(self._answer(request, params))
        self._calls[request.id] = _Call(task, request.method, params.meta.version is None)
        task.add_done_callback(lambda _: self._calls.pop(request.id))
        return task

    def _noted(self, note: Notification) -> None:
        body = encode_notification(note.method, note.params)
        if note.method == "notifications/initialized":
            self._opening = _keep(self._sending, self._opened(body))
            return
        if note.method == "notifications/cancelled":
            id = _params(note.params).request_id
            call = self._calls.get(id) if isinstance(id, int | str) else None
            if call is None:
                return
            call.task.cancel()
            if not call.handshake:  # the closed stream says it
                return
        _keep(self._sending, self._send(body))

    async def _say(self, answers: list[asyncio.Task[bytes]], batch: bool) -> None:
        await asyncio.wait(answers)
        bodies = [task.result() for task in answers if not task.cancelled()]
        if bodies:
            await self._emit(b"[%b]" % b",".join(bodies) if batch else bodies[0])

    async def _send(self, body: bytes) -> None:
        try:
            await self._transport.send(body)
        except ClientError as error:
            logger.warning("A message did not reach %s: %s", self._transport.name, error)

    async def _opened(self, body: bytes) -> None:
        await self._send(body)
        await self._transport.listen()

    # To the server

    async def _answer(self, request: Request, params: _Params) -> bytes:
        """The server's answer, or an error that says why there is none."""
        try:
            response = await self._asked(request, params)
        except Refused as refused:
            begins = request.method in _BEGINS and refused.status in _OTHER_REVISION
            text = self._other_revision(request.method, params, str(refused)) if begins else str(refused)
            return encode_error(request.id, METHOD_NOT_FOUND if begins else INTERNAL_ERROR, text)
        except FastMCPError as error:
            return encode_error(request.id, INTERNAL_ERROR, str(error))
        except Exception:
            logger.exception("%s could not be passed on", request.method)
            return encode_error(request.id, INTERNAL_ERROR, "The bridge failed")
        error = response.error
        if error is None or request.method not in _BEGINS or error.code in (INTERNAL_ERROR, MISSING_CLIENT_CAPABILITY):
            return _encoded(response, request.id)
        text = self._other_revision(request.method, params, error.message)
        return encode_error(request.id, error.code, text, error.data)

    def _other_revision(self, method: str, params: _Params, said: str) -> str:
        version = params.protocol_version if method == "initialize" else params.meta.version
        return f"{self._transport.name} does not speak {version}: {said}"

    async def _asked(self, request: Request, params: _Params) -> Response:
        if params.meta.version is not None:
            return await self._without_handshake(request, params)
        if request.method == "initialize":
            self._session = Session(self._transport)
            response = await self._initialized(request)
            self._session.begin = partial(self._begin_again, request)
            return response
        if self._opening is not None and not self._opening.done():
            await asyncio.wait([self._opening])
        if request.method == "logging/setLevel" and isinstance(params.level, str):
            self._session.level = params.level
        elif request.method == "resources/subscribe" and isinstance(params.uri, str):
            self._session.subscribed.add(params.uri)
        elif request.method == "resources/unsubscribe":
            self._session.subscribed.discard(params.uri)
        if self._session.begin is None:
            return await self._exchange(request)
        return await self._session.send(partial(self._exchange, request), self._own)

    async def _exchange(self, request: Request, headers: Mapping[str, str] | None = None) -> Response:
        body = encode_request(request.id, request.method, request.params)
        return await self._transport.request(Outgoing(request.id, request.method, body, headers or {}), self.hear)

    async def _own(self, method: str, params: Any, headers: Mapping[str, str] | None = None) -> Response:
        """A request that the client knows nothing of."""
        self._last_id += 1
        raw = Raw(msgspec.json.encode(params))
        return await self._exchange(Request(f"headrace-{self._last_id}", method, raw), headers)

    async def _initialized(self, request: Request) -> Response:
        response = await self._exchange(request)
        agreed = era(_params(response.result).protocol_version) if response.error is None else None
        if agreed is not None:
            self._transport.agree(agreed)
        return response

    async def _begin_again(self, request: Request) -> None:
        """A session in place of one that the server has forgotten."""
        self._last_id += 1
        response = await self._initialized(Request(f"headrace-{self._last_id}", request.method, request.params))
        if response.error is not None:
            raise error_of(response)
        await self._transport.send(encode_notification("notifications/initialized"))
        await self._transport.listen()

    async def _without_handshake(self, request: Request, params: _Params) -> Response:
        """2026-07-28: headers mirror the request (Streamable HTTP, Request Metadata)."""
        headers = _headers(request.method, params)
        if request.method != "tools/call":
            return await self._exchange(request, headers)
        arguments = cast("dict[str, Any]", params.arguments) if isinstance(params.arguments, dict) else {}
        marked = self._known.headers(str(params.name), arguments) or {}
        response = await self._exchange(request, {**headers, **marked})
        if response.error is None or response.error.code != HEADER_MISMATCH:
            return response
        await self._learn(request, params)  # which arguments are mirrored is told by the list alone
        marked = self._known.headers(str(params.name), arguments) or {}
        return await self._exchange(request, {**headers, **marked})

    async def _learn(self, request: Request, params: _Params) -> None:
        meta = {**msgspec.json.decode(request.params)["_meta"]}
        meta.pop("progressToken", None)

        async def page(cursor: str | None) -> ListToolsResult:
            asked = {"_meta": meta} if cursor is None else {"_meta": meta, "cursor": cursor}
            response = await self._own("tools/list", asked, _headers("tools/list", params))
            if response.error is not None:
                raise error_of(response)
            try:
                return _decode_tools(response.result)
            except msgspec.ValidationError as error:
                raise ClientError(f"The tools of {self._transport.name} do not fit: {error}") from None

        pages = await all_pages(page, f"tools/list of {self._transport.name}")
        self._known.learn([tool for each in pages for tool in each.tools], mirrors=True)


def _keep(tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    task = asyncio.get_running_loop().create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return task


async def _refusal(id: int | str | None, message: str) -> bytes:
    return encode_error(id, INVALID_REQUEST, f"Invalid request: {message}")


def _encoded(response: Response, id: int | str | None) -> bytes:
    """The response under the id that was asked with; the transport may have asked again with another."""
    if response.error is not None:
        return encode_error(id, response.error.code, response.error.message, response.error.data)
    return encode_result("" if id is None else id, bytes(response.result))


def _params(raw: Raw) -> _Params:
    try:
        return _decode_params(raw)
    except msgspec.ValidationError:
        return _Params()  # the server says what is wrong


def _headers(method: str, params: _Params) -> dict[str, str]:
    headers = {"mcp-protocol-version": header_value(str(params.meta.version)), "mcp-method": header_value(method)}
    known = METHODS.get(method)
    if known is not None and known.name_field is not None:
        headers["mcp-name"] = header_value(str(getattr(params, known.name_field, None) or ""))
    return headers
