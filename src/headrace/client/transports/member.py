"""One of several servers: its client, under whose name it is known, and what it asks and tells the client of all."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec
from msgspec import Raw

from ...exceptions import ClientError, McpError
from ...protocol.jsonrpc import Message, Notification, Response, encode
from ...protocol.methods import METHODS
from ...protocol.types import (
    CallToolResult,
    ClientCapabilities,
    ContentBlock,
    EmbeddedResource,
    GetPromptResult,
    Implementation,
    Prompt,
    ReadResourceResult,
    Resource,
    ResourceLink,
    ResourceTemplate,
    Result,
    SubscriptionFilter,
    Tool,
)
from ...protocol.versions import Era
from ..client import Client
from ..errors import error_of
from ..handlers import HandlerContext, Handlers, ProgressHandler
from ..subscription import Subscription
from .base import Transport
from .repeating import MAX_WAIT

__all__ = ["Member", "Outside", "Part", "progress_for"]

logger = logging.getLogger(__name__)
N = TypeVar("N", Tool, Prompt)

_BEGIN_SECONDS = 20.0
"""For each server: less than the client of all waits, so that one that is silent does not stop the others."""
_KEPT_BACK = ("notifications/progress", "notifications/cancelled", "notifications/subscriptions/acknowledged")
"""What a server's own client has dealt with."""


class Member(NamedTuple):
    """How a server is reached, and how many seconds it has for an answer."""

    transport: Transport
    timeout: float | None = None


class Outside(Protocol):
    """The client of all, as the servers see it."""

    async def hear(self, message: Message) -> None: ...

    async def ask(self, method: str, params: Raw) -> Response: ...


class Part(Client):
    """`capabilities` and `client_info` are those of the client of all."""

    def __init__(
        self,
        name: str,
        member: Member,
        outside: Outside,
        capabilities: ClientCapabilities,
        client_info: Implementation,
    ) -> None:
        begin = _BEGIN_SECONDS if member.timeout is None else min(_BEGIN_SECONDS, member.timeout)
        super().__init__(member.transport, timeout=member.timeout, init_timeout=begin, client_info=client_info)
        self._handlers = _Relay(outside, capabilities, self.outer_uri)
        self._name = name
        self._watching: dict[str | None, asyncio.Task[None]] = {}

    async def begin(self) -> None:
        """Connect. Raises what connecting raises."""
        await self.__aenter__()
        has = self.server_capabilities
        tools, prompts, resources = (
            bool((each or {}).get("listChanged")) for each in (has.tools, has.prompts, has.resources)
        )
        if (tools or prompts or resources) and not self.has_handshake:
            self._watch(None, lambda: self.listen(tools=tools, prompts=prompts, resources=resources))

    async def end(self) -> None:
        tasks = list(self._watching.values())
        self._watching.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self.close()

    @property
    def has_handshake(self) -> bool:
        return self._connected().era.handshake

    # Names

    def outer_uri(self, uri: str) -> str:
        scheme, there, path = uri.partition("://")
        return f"{scheme}://{self._name}/{path}" if there else uri

    async def tools(self) -> list[Tool]:
        return [self._named(tool) for tool in await self.list_tools()]

    async def prompts(self) -> list[Prompt]:
        return [self._named(prompt) for prompt in await self.list_prompts()]

    async def resources(self) -> list[Resource]:
        return [msgspec.structs.replace(each, uri=self.outer_uri(each.uri)) for each in await self.list_resources()]

    async def templates(self) -> list[ResourceTemplate]:
        templates = await self.list_resource_templates()
        return [msgspec.structs.replace(each, uri_template=self.outer_uri(each.uri_template)) for each in templates]

    async def call(
        self, name: str, arguments: Any, progress: ProgressHandler | None, meta: dict[str, Any]
    ) -> CallToolResult:
        result = await self.call_tool_mcp(name, arguments, progress_handler=progress, meta=meta or None)
        return msgspec.structs.replace(result, content=[self._outer(block) for block in result.content])

    async def prompt(self, name: str, arguments: Any, meta: dict[str, Any]) -> GetPromptResult:
        result = await self.get_prompt_mcp(name, arguments, meta=meta or None)
        messages = [msgspec.structs.replace(each, content=self._outer(each.content)) for each in result.messages]
        return msgspec.structs.replace(result, messages=messages)

    def _outer(self, block: ContentBlock) -> ContentBlock:
        """With URIs that can be read through the client of all."""
        if isinstance(block, ResourceLink):
            return msgspec.structs.replace(block, uri=self.outer_uri(block.uri))
        if isinstance(block, EmbeddedResource):
            resource = msgspec.structs.replace(block.resource, uri=self.outer_uri(block.resource.uri))
            return msgspec.structs.replace(block, resource=resource)
        return block

    async def read(self, uri: str, meta: dict[str, Any]) -> ReadResourceResult:
        result = await self.read_resource_mcp(uri, meta=meta or None)
        contents = [msgspec.structs.replace(each, uri=self.outer_uri(each.uri)) for each in result.contents]
        return msgspec.structs.replace(result, contents=contents)

    def _named(self, component: N) -> N:
        return msgspec.structs.replace(component, name=f"{self._name}_{component.name}")

    # What differs between the eras

    async def tell(self, method: str) -> None:
        """A notification of the handshake era."""
        if self.has_handshake:
            await self._connected().notify(method)

    async def set_level(self, level: str) -> None:
        if self.server_capabilities.logging is not None:
            await self.set_logging_level(level)

    async def subscribe(self, uri: str) -> None:
        if self.has_handshake:
            await self.subscribe_resource(uri)
        elif uri not in self._watching:
            subscription = self.listen(uris=[uri])
            await subscription.open()
            self._watch(uri, lambda: self.listen(uris=[uri]), subscription)

    async def unsubscribe(self, uri: str) -> None:
        if self.has_handshake:
            await self.unsubscribe_resource(uri)
        elif (task := self._watching.pop(uri, None)) is not None:
            task.cancel()
            await asyncio.wait([task])

    def _watch(
        self, key: str | None, make: Callable[[], Subscription], subscription: Subscription | None = None
    ) -> None:
        kept = self._kept(subscription or make(), make)
        self._watching[key] = asyncio.get_running_loop().create_task(kept)

    async def _kept(self, subscription: Subscription, make: Callable[[], Subscription]) -> None:
        """The handlers hear every notice as it comes; here the stream is only kept going, and begun anew."""
        name, failures = self.transport.name, 0
        while True:
            try:
                async with subscription:
                    if failures:
                        await self._tell_of_all(subscription.granted or SubscriptionFilter())
                    failures = 0
                    async for _ in subscription:
                        pass
            except McpError as error:
                logger.warning("%s tells of no more changes: %s", name, error)
                return
            except ClientError as error:
                logger.debug("%s: the stream of changes broke: %s", name, error)
            failures += 1
            await asyncio.sleep(min(MAX_WAIT, 2.0**failures) * (0.5 + random.random() / 2))
            subscription = make()

    async def _tell_of_all(self, granted: SubscriptionFilter) -> None:
        """What changed while nobody listened is not known, so everything may have."""
        notices = [
            Notification(f"notifications/{kind}/list_changed", Raw(b"{}"))
            for kind in ("tools", "prompts", "resources")
            if getattr(granted, f"{kind}_list_changed")
        ]
        for uri in granted.resource_subscriptions or ():
            notices.append(Notification("notifications/resources/updated", Raw(encode({"uri": uri}))))
        for notice in notices:
            await self._connected().hear(notice)


class _Relay(Handlers):
    """Hands on what a server asks and says."""

    def __init__(self, outside: Outside, capabilities: ClientCapabilities, outer_uri: Callable[[str], str]) -> None:
        super().__init__()
        self._outside = outside
        self._capabilities = capabilities
        self._outer_uri = outer_uri

    @property
    def hears_logs(self) -> bool:
        return True

    def capabilities(self, era: Era) -> ClientCapabilities:
        return self._capabilities

    async def answer(self, method: str, params: Raw, context: HandlerContext) -> Result:
        known = METHODS.get(method)
        if method == "ping" or known is None or known.result is None:
            return await super().answer(method, params, context)
        response = await self._outside.ask(method, params)
        if response.error is not None:
            raise error_of(response)
        return msgspec.json.decode(response.result, type=known.result)

    async def hear(self, method: str, params: Raw) -> None:
        if method in _KEPT_BACK:
            return
        if method == "notifications/resources/updated":
            note: dict[str, Any] = msgspec.json.decode(params)
            params = Raw(encode({**note, "uri": self._outer_uri(str(note.get("uri")))}))
        await self._outside.hear(Notification(method, params))


def progress_for(outside: Outside, token: int | str) -> Callable[[float, float | None, str | None], Any]:
    """Tells of the progress of a call under the token of the one that asked for it."""

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        note = {"progressToken": token, "progress": progress, "total": total, "message": message}
        told = {name: value for name, value in note.items() if value is not None}
        await outside.hear(Notification("notifications/progress", Raw(encode(told))))

    return tell
