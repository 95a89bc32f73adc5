"""One connection: requests with their ids, rounds, timeouts and cancellation, in every revision, over every transport.

How a connection begins is told by `eras`; what the server says of its own accord goes to `incoming`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from ..exceptions import ClientError
from ..protocol.jsonrpc import Message, Response, encode, encode_notification, encode_request
from ..protocol.methods import METHODS
from ..protocol.types import (
    CacheableResult,
    CancelledNotificationParams,
    ClientCapabilities,
    Implementation,
    InitializeResult,
    Result,
    ServerCapabilities,
)
from ..protocol.versions import LATEST, Era
from .cache import CacheMode, ResponseCache, key_of
from .cancelling import InFlight
from .errors import error_of_request
from .handlers import Handlers, ProgressHandler
from .incoming import MAX_QUESTIONS, Incoming
from .mirror import header_value
from .patience import limit_of
from .session import Session
from .transports.base import Hear, Outgoing, Transport

__all__ = ["MAX_ROUNDS", "Connection"]

logger = logging.getLogger(__name__)
R = TypeVar("R", bound=Result)
S = TypeVar("S", bound=msgspec.Struct)

MAX_ROUNDS = 32
"""Times a server may ask for input within one call."""
_CLOSE_SECONDS = 2.0
_PREFIX = "io.modelcontextprotocol/"


class _Question(msgspec.Struct):
    method: str
    params: Raw = Raw(b"{}")


class _Kind(msgspec.Struct, rename="camel"):
    result_type: str = "complete"
    """Absent: complete."""
    input_requests: dict[str, _Question] | None = None
    request_state: str | None = None


@cache
def _decoder(kind: type[S]) -> Callable[[Raw], S]:
    return msgspec.json.Decoder(kind).decode


class Connection:
    """`heard` is told of every notification: its method, its params."""

    def __init__(
        self,
        transport: Transport,
        handlers: Handlers,
        client_info: Implementation,
        heard: Callable[[str, Raw], None],
        cache: ResponseCache | None,
    ) -> None:
        self.transport = transport
        self.handlers = handlers
        self.client_info = client_info
        self._cache = cache
        self.era: Era = LATEST
        self.server_info: Implementation | None = None
        self.server_capabilities = ServerCapabilities()
        self.instructions: str | None = None
        self.initialize_result: InitializeResult | None = None
        self.log_level: str | None = None
        self.session = Session(transport)
        self._incoming = Incoming(transport, handlers, heard)
        self._meta: dict[str, Any] = {}
        self._last_id = 0
        self._in_flight: set[InFlight] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def speak(self, era: Era) -> None:
        """Send requests of this revision from now on."""
        self.era = era
        self._meta = {}
        if not era.handshake:
            self._meta = {
                f"{_PREFIX}protocolVersion": era.version,
                f"{_PREFIX}clientInfo": Raw(encode(self.client_info)),
                f"{_PREFIX}clientCapabilities": Raw(encode(self.capabilities(era))),
            }
            if self.handlers.hears_logs:
                self._meta[f"{_PREFIX}logLevel"] = self.log_level or "debug"

    def capabilities(self, era: Era) -> ClientCapabilities:
        capabilities = self.handlers.capabilities(era)
        extensions = getattr(self.transport, "extensions", None)
        if extensions:
            capabilities.extensions = {**(capabilities.extensions or {}), **extensions}
        return capabilities

    def set_log_level(self, level: str) -> None:
        """2026-07-28: each request says the level."""
        self.log_level = level
        self._meta[f"{_PREFIX}logLevel"] = level

    @property
    def request_meta(self) -> dict[str, Any]:
        """What every request says in ``_meta``."""
        return self._meta

    @property
    def ids(self) -> list[int]:
        """The requests that wait for an answer."""
        return sorted(flight.id for flight in self._in_flight)

    def cancel(self, id: int, reason: str) -> bool:
        """Give a request up; who waits for it gets a ClientError. False where it is unknown or over."""
        for flight in self._in_flight:
            if flight.id == id:
                flight.stop(reason)
                return True
        return False

    async def request(
        self,
        method: str,
        params: Mapping[str, Any],
        kind: type[R],
        *,
        timeout: float | None = None,
        progress: ProgressHandler | None = None,
        meta: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        hear: Hear | None = None,
        cache_mode: CacheMode = "use",
    ) -> R:
        """Ask until the result is complete. `timeout` in seconds, over all rounds, whatever progress is told.

        A result that may be kept is taken from the cache while it is fresh. Raises McpError for an error of the
        server, ClientError for everything else that goes wrong.
        """
        key = None
        if self._cache is not None and self.era.result_types and meta is None and cache_mode != "bypass":
            key = key_of(self.era.version, method, params)
        if self._cache is None or key is None:
            raw, _ = await self._within(timeout, method, params, progress, meta, headers, hear or self.hear)
            return self._decoded(raw, kind, method)
        kept = self._cache.get(key) if cache_mode == "use" else None
        if kept is not None:
            await asyncio.sleep(0)  # who asks again and again lets others run
            return self._decoded(kept, kind, method)
        changes = self._cache.changes
        raw, first = await self._within(timeout, method, params, progress, meta, headers, hear or self.hear)
        result = self._decoded(raw, kind, method)
        if first and isinstance(result, CacheableResult):
            self._cache.put(key, raw, result, changes)
        return result

    async def exchange(
        self,
        method: str,
        params: Mapping[str, Any],
        *,
        headers: Mapping[str, str] | None = None,
        id: int | None = None,
        hear: Hear | None = None,
    ) -> Response:
        """One request and its response, as it comes."""
        if id is None:
            id = self._next_id()
        try:
            body = encode_request(id, method, params)
        except (TypeError, ValueError) as error:
            raise ClientError(f"The params of {method} are not JSON: {error}") from None
        every = self._headers(method, params)
        if headers:
            every.update(headers)
        try:
            return await self.transport.request(Outgoing(id, method, body, every), hear or self.hear)
        except asyncio.CancelledError:
            # Without a handshake the transport has closed the request's stream: that says it.
            if self.era.handshake and method != "initialize":
                self._spawn(self._tell_cancelled(id))
            raise

    async def notify(self, method: str, params: Any = None) -> None:
        await self.transport.send(encode_notification(method, params))

    async def hear(self, message: Message) -> None:
        """Take a notification or a question of the server."""
        await self._incoming.hear(message, self.era)

    async def close(self, closer: asyncio.Task[Any] | None) -> None:
        """Give up what is in flight, let what must still be said be said, and end the transport.

        `closer` is the task that wants it: a handler of a call may close the client.
        """
        for flight in list(self._in_flight):
            if flight.task is not closer:
                flight.stop("the client was closed")
        try:
            await self._incoming.close()  # meanwhile the requests that were given up say so
            if self._tasks:
                _, late = await asyncio.wait(self._tasks, timeout=_CLOSE_SECONDS)
                for task in late:
                    task.cancel()
        finally:
            await self.transport.close()

    # Requests

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _headers(self, method: str, params: Mapping[str, Any]) -> dict[str, str]:
        if not (self.era.mirrored_headers and self.transport.mirrors_headers):
            return {}
        headers = {"mcp-protocol-version": self.era.version, "mcp-method": method}
        known = METHODS.get(method)
        if known is not None and known.name_field is not None:
            headers["mcp-name"] = header_value(str(params.get(known.name_field, "")))
        return headers

    async def _within(
        self,
        timeout: float | None,
        method: str,
        params: Mapping[str, Any],
        progress: ProgressHandler | None,
        meta: Mapping[str, Any] | None,
        headers: Mapping[str, str] | None,
        hear: Hear,
    ) -> tuple[Raw, bool]:
        """The result, and whether the first request got it already."""
        task = asyncio.current_task()
        assert task is not None
        flight = InFlight(task)
        self._in_flight.add(flight)
        limit: asyncio.Timeout | None = None
        try:
            if timeout is None:
                return await self._rounds(flight, method, params, progress, meta, headers, hear)
            async with limit_of(timeout) as limit:
                return await self._rounds(flight, method, params, progress, meta, headers, hear)
        except asyncio.CancelledError:
            if not flight.only_stopped():
                raise
            raise ClientError(f"{method} was cancelled: {flight.stopped}") from None
        except TimeoutError:
            if limit is None or not limit.expired():
                raise
            raise ClientError(f"{self.transport.name} did not answer {method} within {timeout:g} seconds") from None
        finally:
            self._in_flight.discard(flight)

    async def _rounds(
        self,
        flight: InFlight,
        method: str,
        params: Mapping[str, Any],
        progress: ProgressHandler | None,
        meta: Mapping[str, Any] | None,
        headers: Mapping[str, str] | None,
        hear: Hear,
    ) -> tuple[Raw, bool]:
        answers: dict[str, Any] = {}
        for number in range(MAX_ROUNDS + 1):
            id = flight.id = self._next_id()  # every round is a request of its own
            members = {**(meta or {}), **self._meta}
            if progress is not None:
                members["progressToken"] = id
                self._incoming.progress[id] = progress
            asked = {**params, **answers}
            if members:
                asked["_meta"] = members
            try:
                response = await self._in_session(method, asked, headers, id, hear)
            finally:
                self._incoming.progress.pop(id, None)
            if response.error is not None:
                raise error_of_request(response, method, params, self.transport.name)
            required = self._input_required(method, response.result)
            if required is None:
                return response.result, number == 0
            answers = await self._answers(required)
        raise ClientError(f"{self.transport.name} asked for input {MAX_ROUNDS} times without coming to an end")

    async def _in_session(
        self, method: str, params: Mapping[str, Any], headers: Mapping[str, str] | None, id: int, hear: Hear
    ) -> Response:
        if self.session.begin is None:
            return await self.exchange(method, params, headers=headers, id=id, hear=hear)
        return await self.session.send(
            lambda: self.exchange(method, params, headers=headers, id=id, hear=hear), self.exchange
        )

    def _input_required(self, method: str, result: Raw) -> _Kind | None:
        if not self.era.result_types:
            return None
        kind = self._decoded(result, _Kind, method)
        if kind.result_type == "complete":
            return None
        known = METHODS.get(method)
        if kind.result_type != "input_required" or known is None or not known.input_required:
            kind_name = repr(kind.result_type)
            raise ClientError(f"{self.transport.name} answered {method} with an unknown kind of result: {kind_name}")
        if not kind.input_requests and kind.request_state is None:
            raise ClientError(f"{self.transport.name} needs input for {method} but asks for none")
        return kind

    async def _answers(self, required: _Kind) -> dict[str, Any]:
        """The members that the retry carries: the state as it was given, and none if none was."""
        members: dict[str, Any] = {}
        questions = required.input_requests or {}
        if len(questions) > MAX_QUESTIONS:
            raise ClientError(f"{self.transport.name} asks more than {MAX_QUESTIONS} questions at once")
        if questions:
            copies = {key: (question.method, question.params.copy()) for key, question in questions.items()}
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = {
                        key: group.create_task(self._incoming.answer(method, params, key, self.era))
                        for key, (method, params) in copies.items()
                    }
            except ExceptionGroup as failures:
                failure = failures.exceptions[0]
                if isinstance(failure, ClientError):
                    raise failure from None
                raise ClientError(f"A question of {self.transport.name} was not answered: {failure}") from failure
            members["inputResponses"] = {key: task.result() for key, task in tasks.items()}
        if required.request_state is not None:
            members["requestState"] = required.request_state
        return members

    def _decoded(self, result: Raw, kind: type[S], method: str) -> S:
        try:
            return _decoder(kind)(result)
        except msgspec.ValidationError as error:
            raise ClientError(f"{self.transport.name} answered {method} with what does not fit: {error}") from None

    async def _tell_cancelled(self, id: int) -> None:
        params = CancelledNotificationParams(request_id=id, reason="The client gave the request up")
        try:
            await self.notify("notifications/cancelled", params)
        except ClientError as error:
            logger.debug("%s could not be told of a cancellation: %s", self.transport.name, error)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
