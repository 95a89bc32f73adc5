"""Several servers as one: tools and prompts are called ``server_name``, resources ``scheme://server/path``.

Each server has a client of its own, which agrees with it on a revision of its own. To the outside there is one
connection of the handshake era, since that can carry everything: what a server of 2026-07-28 asks in its results, its
client answers with what the outside says to the same question; its changes are listened to where they are wanted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from ...exceptions import ClientError, FastMCPError, InvalidParams, McpError, MethodNotFound
from ...protocol.jsonrpc import Message, Notification, Request, Response, decode, encode, encode_error
from ...protocol.types import (
    CompleteRequestParams,
    EmptyResult,
    Implementation,
    InitializeRequestParams,
    InitializeResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PromptReference,
    Result,
    ServerCapabilities,
)
from ...protocol.versions import Era
from ...version import __version__
from .base import Hear, Outgoing, Refused
from .member import Member, Part, progress_for

__all__ = ["JoinedTransport"]

logger = logging.getLogger(__name__)
T = TypeVar("T")

_KINDS = ("tools", "prompts", "resources", "completions", "logging")


class JoinedTransport:
    """`members` by name. A server that can't be reached is left out with a warning, unless none can."""

    mirrors_headers = False
    session_id: str | None = None

    def __init__(self, members: Mapping[str, Member]) -> None:
        self._members = dict(members)
        self._parts: dict[str, Part] = {}
        self._hear: Hear | None = None
        self._asked = 0
        self._questions: dict[int | str | None, asyncio.Future[Response]] = {}

    @property
    def name(self) -> str:
        return f"the servers {', '.join(self._members)}"

    async def open(self, hear: Hear) -> None:
        self._hear = hear

    async def close(self) -> None:
        parts, self._parts = self._parts, {}
        self._hear = None
        for outcome in await asyncio.gather(*(part.end() for part in parts.values()), return_exceptions=True):
            if isinstance(outcome, Exception):
                logger.warning("A server of %s did not end well: %r", self.name, outcome)

    def agree(self, era: Era) -> None: ...

    async def listen(self) -> None: ...

    async def request(self, outgoing: Outgoing, hear: Hear) -> Response:
        if self._hear is None:
            raise ClientError(f"Not connected to {self.name}: use the client in `async with client:`")
        request = decode(outgoing.body)
        assert isinstance(request, Request)
        try:
            result = await self._answer(request, msgspec.json.decode(request.params))
        except McpError as error:
            response = decode(encode_error(outgoing.id, error.code, error.message, error.data))
            assert isinstance(response, Response)
            return response
        return Response(outgoing.id, Raw(encode(result)), None)

    async def send(self, body: bytes) -> None:
        message = decode(body)
        if isinstance(message, Response):
            waiting = self._questions.get(message.id)
            if waiting is not None and not waiting.done():
                waiting.set_result(message)
        elif message.method == "notifications/roots/list_changed":
            for part in self._parts.values():
                await part.tell(message.method)

    # Requests

    async def _answer(self, request: Request, params: dict[str, Any]) -> Result:
        method = request.method
        if method == "server/discover":
            raise Refused(f"{self.name} are reached together, which takes a handshake", 404)
        if method == "initialize":
            return await self._begin(msgspec.convert(params, InitializeRequestParams))
        if method == "ping":
            await _all(part.ping() for part in self._parts.values())
            return EmptyResult()
        if method == "logging/setLevel":
            await _all(part.set_level(params["level"]) for part in self._parts.values())
            return EmptyResult()
        if method.endswith("/list"):
            return await self._list(method)
        if method == "completion/complete":
            return await self._complete(msgspec.json.decode(request.params, type=CompleteRequestParams))
        return await self._call(method, params)

    async def _begin(self, asked: InitializeRequestParams) -> InitializeResult:
        failures: dict[str, FastMCPError] = {}

        async def connect(name: str, member: Member) -> None:
            part = Part(name, member, self, asked.capabilities, asked.client_info)
            try:
                await part.begin()
            except FastMCPError as error:
                failures[name] = error
                logger.warning("The server %r is left out: %s", name, error)
            else:
                self._parts[name] = part

        await _all(connect(name, member) for name, member in self._members.items())
        if not self._parts:
            raise ClientError(f"None of {self.name} can be reached: {'; '.join(map(str, failures.values()))}")
        self._parts = {name: self._parts[name] for name in self._members if name in self._parts}
        said = [f"# {name}\n\n{part.instructions}" for name, part in self._parts.items() if part.instructions]
        return InitializeResult(
            protocol_version=asked.protocol_version,
            capabilities=self._capabilities(),
            server_info=Implementation(name=", ".join(self._parts), version=__version__),
            instructions="\n\n".join(said) or None,
        )

    def _capabilities(self) -> ServerCapabilities:
        """What any of the servers can do."""
        every: dict[str, dict[str, Any]] = {}
        for part in self._parts.values():
            for kind in _KINDS:
                has: dict[str, Any] | None = getattr(part.server_capabilities, kind)
                if has is not None:
                    every.setdefault(kind, {}).update({name: True for name, value in has.items() if value})
        return msgspec.convert(every, ServerCapabilities)

    async def _list(self, method: str) -> Result:
        """All pages of all servers, as one page."""
        if method == "tools/list":
            return ListToolsResult(tools=await self._from_all("tools", Part.tools))
        if method == "prompts/list":
            return ListPromptsResult(prompts=await self._from_all("prompts", Part.prompts))
        if method == "resources/list":
            return ListResourcesResult(resources=await self._from_all("resources", Part.resources))
        if method == "resources/templates/list":
            templates = await self._from_all("resources", Part.templates)
            return ListResourceTemplatesResult(resource_templates=templates)
        raise MethodNotFound(f"Method not found: {method}")

    async def _from_all(self, kind: str, lists: Callable[[Part], Awaitable[list[T]]]) -> list[T]:
        having = [part for part in self._parts.values() if getattr(part.server_capabilities, kind) is not None]
        return [each for found in await _all(lists(part) for part in having) for each in found]

    async def _call(self, method: str, params: dict[str, Any]) -> Result:
        meta: dict[str, Any] = dict(params.get("_meta") or {})
        token = meta.pop("progressToken", None)
        if method == "tools/call":
            part, name = self._named(params["name"], "tool")
            progress = None if token is None else progress_for(self, token)
            return await part.call(name, params.get("arguments"), progress, meta)
        if method == "prompts/get":
            part, name = self._named(params["name"], "prompt")
            return await part.prompt(name, params.get("arguments"), meta)
        if method == "resources/read":
            part, uri = self._located(params["uri"])
            return await part.read(uri, meta)
        if method in ("resources/subscribe", "resources/unsubscribe"):
            part, uri = self._located(params["uri"])
            await (part.subscribe(uri) if method == "resources/subscribe" else part.unsubscribe(uri))
            return EmptyResult()
        raise MethodNotFound(f"Method not found: {method}")

    async def _complete(self, asked: CompleteRequestParams) -> Result:
        if isinstance(asked.ref, PromptReference):
            part, name = self._named(asked.ref.name, "prompt")
            ref = msgspec.structs.replace(asked.ref, name=name)
        else:
            part, uri = self._located(asked.ref.uri)
            ref = msgspec.structs.replace(asked.ref, uri=uri)
        argument = {"name": asked.argument.name, "value": asked.argument.value}
        return await part.complete_mcp(ref, argument, asked.context.arguments if asked.context else None)

    # Which server

    def _named(self, name: str, what: str) -> tuple[Part, str]:
        """The server of a tool or prompt, and what it calls it. Where several fit, the longest name is meant."""
        fitting = [prefix for prefix in self._parts if name.startswith(f"{prefix}_")]
        if not fitting:
            raise InvalidParams(f"Unknown {what}: {name!r}: it begins with the name of a server and _")
        prefix = max(fitting, key=len)
        return self._parts[prefix], name[len(prefix) + 1 :]

    def _located(self, uri: str) -> tuple[Part, str]:
        scheme, there, path = uri.partition("://")
        fitting = [prefix for prefix in self._parts if path.startswith(f"{prefix}/")]
        if not there or not fitting:
            message = f"Unknown resource: {uri!r}: after its scheme comes the name of a server and /"
            raise InvalidParams(message, data={"uri": uri})
        prefix = max(fitting, key=len)
        return self._parts[prefix], f"{scheme}://{path[len(prefix) + 1 :]}"

    # What servers say and ask

    async def hear(self, message: Message) -> None:
        if self._hear is not None:
            await self._hear(message)

    async def ask(self, method: str, params: Raw) -> Response:
        """Ask the client of all what a server asks."""
        self._asked += 1
        id = f"joined-{self._asked}"
        waiting = self._questions[id] = asyncio.get_running_loop().create_future()
        try:
            await self.hear(Request(id, method, params))
            return await waiting
        except asyncio.CancelledError:
            await self.hear(Notification("notifications/cancelled", Raw(encode({"requestId": id}))))
            raise
        finally:
            del self._questions[id]


async def _all(work: Iterable[Awaitable[T]]) -> list[T]:
    """The results, made at the same time. Raises the first error; nothing is left running."""

    async def one(each: Awaitable[T]) -> T:
        return await each

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(each)) for each in work]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
