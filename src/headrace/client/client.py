"""`Client`: connects to a server in this process or over HTTP, and speaks every revision.

A client may be entered several times, also by several tasks at once; the connection ends with the last exit, and
can be made again. Operations raise McpError for an error of the server, ClientError for whatever else goes wrong.
Those whose name ends with ``_mcp`` give the result as it came.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec
from msgspec import UNSET, Raw

from ..exceptions import ClientError, FastMCPError, InvalidParams, McpError, ToolError
from ..protocol.errors import HEADER_MISMATCH
from ..protocol.types import (
    LOG_LEVELS,
    CompleteResult,
    Completion,
    DiscoverResult,
    EmptyResult,
    GetPromptResult,
    Implementation,
    InitializeResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedResult,
    Prompt,
    PromptReference,
    ReadResourceResult,
    Resource,
    ResourceContents,
    ResourceTemplate,
    ResourceTemplateReference,
    Result,
    ServerCapabilities,
    SubscriptionFilter,
    Tool,
)
from ..protocol.types import CallToolResult as WireCallToolResult
from ..version import __version__
from .cache import CacheMode, ResponseCache
from .cancelling import unbroken
from .connection import Connection
from .elicitation import create_elicitation_callback
from .eras import Mode, begin
from .handlers import (
    ElicitationHandler,
    Handlers,
    LogHandler,
    MessageHandler,
    ProgressHandler,
    Roots,
    SamplingHandler,
)
from .known_tools import KnownTools
from .paging import all_pages
from .results import CallToolResult, plain_data, text_of
from .subscription import Subscription
from .transports import transport_for
from .versions import version_in, with_version

__all__ = ["Client"]

logger = logging.getLogger(__name__)
R = TypeVar("R", bound=Result)
P = TypeVar("P", bound=PaginatedResult)


class Client:
    """`target`: a server object (in memory), a URL, a script, an ``mcpServers`` config or its file, or a transport.

    `mode`: "auto" asks what the server speaks, "modern" insists on requests without a handshake, "legacy" on a
    handshake; `protocol_version` (or a revision as `mode`) allows only that one. `sampling_capabilities` is what the
    sampling handler can do beyond plain messages: ``{"tools": {}}``. `auth` is a bearer token, "oauth", or a login of
    `headrace.client.auth`. `timeout` in seconds per operation, over all its rounds, whatever progress is told
    meanwhile (a user who logs in takes no time); `init_timeout` the same for the beginning, else `timeout` or 30.
    `cache`: whether lists and resources are kept as long as the server allows it (2026-07-28).
    """

    def __init__(
        self,
        target: Any,
        *,
        mode: Mode | str = "auto",
        headers: Mapping[str, str] | None = None,
        auth: Any = None,
        timeout: timedelta | float | None = None,
        init_timeout: timedelta | float | None = None,
        cache: bool = True,
        elicitation_handler: ElicitationHandler | None = None,
        sampling_handler: SamplingHandler | None = None,
        sampling_capabilities: dict[str, Any] | None = None,
        roots: Roots | None = None,
        log_handler: LogHandler | None = None,
        progress_handler: ProgressHandler | None = None,
        message_handler: MessageHandler | None = None,
        client_info: Implementation | None = None,
        protocol_version: str | None = None,
    ) -> None:
        self.transport = transport_for(
            target, headers=headers, auth=auth, fall_back=mode == "auto" and protocol_version is None
        )
        self._mode = mode
        self._version = protocol_version
        self._timeout = _seconds(timeout)
        self._init_timeout = self._timeout if init_timeout is None else _seconds(init_timeout)
        self._cache = ResponseCache() if cache else None
        if self._cache is not None and (on_login := getattr(self.transport, "on_login", None)):
            on_login(self._cache.end_connection)  # the next user must not see what was private
        self._progress = progress_handler
        self._handlers = Handlers(
            elicitation=elicitation_handler and create_elicitation_callback(elicitation_handler),
            sampling=sampling_handler,
            sampling_capabilities=sampling_capabilities,
            roots=roots,
            log=log_handler,
            message=message_handler,
        )
        self._client_info = client_info or Implementation(name="headrace", version=__version__)
        self._connection: Connection | None = None
        self._entered = 0
        self._lock = asyncio.Lock()
        self._known = KnownTools()
        self._learning = asyncio.Lock()

    # The connection

    async def __aenter__(self) -> Self:
        async with self._lock:
            if self._connection is None:
                self._connection = await self._connect()
            self._entered += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await unbroken(self._leave(asyncio.current_task()))

    async def close(self) -> None:
        """End the connection now, however often the client was entered."""
        await unbroken(self._leave(asyncio.current_task(), at_once=True))

    async def _leave(self, leaver: asyncio.Task[Any] | None, *, at_once: bool = False) -> None:
        async with self._lock:
            self._entered = 0 if at_once else max(0, self._entered - 1)
            if self._entered:
                return
            connection, self._connection = self._connection, None
            self._known.forget_all()
            if self._cache is not None:
                self._cache.end_connection()
            if connection is not None:
                await connection.close(leaver)

    async def _connect(self) -> Connection:
        connection = Connection(self.transport, self._handlers, self._client_info, self._heard, self._cache)
        try:
            await self.transport.open(connection.hear)
            await begin(connection, self._mode, self._version, self._init_timeout)
        except BaseException:
            await unbroken(connection.close(asyncio.current_task()))
            raise
        return connection

    def is_connected(self) -> bool:
        return self._connection is not None

    @property
    def protocol_version(self) -> str:
        """The revision that is spoken. Like the other properties it raises ClientError while not connected."""
        return self._connected().era.version

    @property
    def server_info(self) -> Implementation | None:
        return self._connected().server_info

    @property
    def server_capabilities(self) -> ServerCapabilities:
        return self._connected().server_capabilities

    @property
    def instructions(self) -> str | None:
        return self._connected().instructions

    @property
    def initialize_result(self) -> InitializeResult | None:
        """What the server said in the handshake; None where there was none."""
        return self._connected().initialize_result

    @property
    def session_id(self) -> str | None:
        self._connected()
        return self.transport.session_id

    # Tools

    async def list_tools(self, *, cache_mode: CacheMode = "use") -> list[Tool]:
        """All pages. Over HTTP in 2026-07-28, tools whose header marks break the rules are left out with a warning."""
        pages = await self._pages("tools/list", ListToolsResult, cache_mode)
        return self._known.learn([tool for page in pages for tool in page.tools], mirrors=self._mirrors())

    async def list_tools_mcp(self, cursor: str | None = None, *, cache_mode: CacheMode = "use") -> ListToolsResult:
        """One page, as it came (tools with invalid header marks included)."""
        return await self._page("tools/list", ListToolsResult, cursor, cache_mode)

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        version: str | None = None,
        timeout: timedelta | float | None = None,
        progress_handler: ProgressHandler | None = None,
        raise_on_error: bool = True,
        meta: Mapping[str, Any] | None = None,
    ) -> CallToolResult:
        """`version` is that of the tool, else the highest. Raises ToolError for a tool that failed, unless
        `raise_on_error` is False."""
        meta = with_version(meta, version)
        limit = self._limit(timeout)
        until = None if limit is None else asyncio.get_running_loop().time() + limit
        wire = await self.call_tool_mcp(name, arguments, timeout=timeout, progress_handler=progress_handler, meta=meta)
        if limit is not None and until is not None and until <= (now := asyncio.get_running_loop().time()):
            until = now + limit  # a user logged in meanwhile, which takes no time
        if wire.is_error and raise_on_error:
            raise ToolError(text_of(wire.content) or f"The tool {name!r} failed")
        return CallToolResult.of(wire, await self._data(name, wire, meta, until))

    async def call_tool_mcp(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout: timedelta | float | None = None,
        progress_handler: ProgressHandler | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> WireCallToolResult:
        """The result as it came, also of a tool that failed."""
        arguments = arguments or {}
        params = {"name": name, "arguments": arguments}
        for attempt in (1, 2):
            headers = self._known.headers(name, arguments)
            try:
                return await self.request(
                    "tools/call",
                    params,
                    WireCallToolResult,
                    timeout=timeout,
                    progress_handler=progress_handler,
                    meta=meta,
                    headers=headers,
                )
            except McpError as error:
                if error.code != HEADER_MISMATCH or attempt == 2 or not self._mirrors():
                    raise
                await self.list_tools(cache_mode="refresh")  # which arguments are mirrored may have changed
        raise AssertionError("unreachable")

    # Resources

    async def list_resources(self, *, cache_mode: CacheMode = "use") -> list[Resource]:
        pages = await self._pages("resources/list", ListResourcesResult, cache_mode)
        return [resource for page in pages for resource in page.resources]

    async def list_resources_mcp(
        self, cursor: str | None = None, *, cache_mode: CacheMode = "use"
    ) -> ListResourcesResult:
        return await self._page("resources/list", ListResourcesResult, cursor, cache_mode)

    async def list_resource_templates(self, *, cache_mode: CacheMode = "use") -> list[ResourceTemplate]:
        pages = await self._pages("resources/templates/list", ListResourceTemplatesResult, cache_mode)
        return [template for page in pages for template in page.resource_templates]

    async def list_resource_templates_mcp(
        self, cursor: str | None = None, *, cache_mode: CacheMode = "use"
    ) -> ListResourceTemplatesResult:
        return await self._page("resources/templates/list", ListResourceTemplatesResult, cursor, cache_mode)

    async def read_resource(
        self,
        uri: Any,
        *,
        version: str | None = None,
        meta: Mapping[str, Any] | None = None,
        cache_mode: CacheMode = "use",
    ) -> list[ResourceContents]:
        """Raises NotFoundError (a McpError, too) where there is no such resource."""
        return (await self.read_resource_mcp(uri, meta=with_version(meta, version), cache_mode=cache_mode)).contents

    async def read_resource_mcp(
        self, uri: Any, *, meta: Mapping[str, Any] | None = None, cache_mode: CacheMode = "use"
    ) -> ReadResourceResult:
        params = {"uri": str(uri)}
        return await self.request("resources/read", params, ReadResourceResult, meta=meta, cache_mode=cache_mode)

    async def subscribe_resource(self, uri: Any) -> None:
        """Be told of changes through the message handler. Raises ClientError in 2026-07-28, which has `listen`."""
        self._only_handshake("subscribe_resource", "listen(uris=[...])")
        await self.request("resources/subscribe", {"uri": str(uri)}, EmptyResult)
        self._connected().session.subscribed.add(str(uri))

    async def unsubscribe_resource(self, uri: Any) -> None:
        self._only_handshake("unsubscribe_resource", "listen(uris=[...])")
        self._connected().session.subscribed.discard(str(uri))
        await self.request("resources/unsubscribe", {"uri": str(uri)}, EmptyResult)

    # Prompts

    async def list_prompts(self, *, cache_mode: CacheMode = "use") -> list[Prompt]:
        pages = await self._pages("prompts/list", ListPromptsResult, cache_mode)
        return [prompt for page in pages for prompt in page.prompts]

    async def list_prompts_mcp(self, cursor: str | None = None, *, cache_mode: CacheMode = "use") -> ListPromptsResult:
        return await self._page("prompts/list", ListPromptsResult, cursor, cache_mode)

    async def get_prompt(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        version: str | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> GetPromptResult:
        """Arguments of a prompt are text; other values are sent as their JSON."""
        return await self.get_prompt_mcp(name, arguments, meta=with_version(meta, version))

    async def get_prompt_mcp(
        self, name: str, arguments: Mapping[str, Any] | None = None, *, meta: Mapping[str, Any] | None = None
    ) -> GetPromptResult:
        params: dict[str, Any] = {"name": name}
        if arguments is not None:
            params["arguments"] = {
                key: value if isinstance(value, str) else msgspec.json.encode(value).decode()
                for key, value in arguments.items()
            }
        return await self.request("prompts/get", params, GetPromptResult, meta=meta)

    async def complete(
        self,
        ref: PromptReference | ResourceTemplateReference,
        argument: Mapping[str, str],
        context_arguments: Mapping[str, str] | None = None,
    ) -> Completion:
        """`argument` is ``{"name": ..., "value": ...}``; `context_arguments` are those that have a value already."""
        return (await self.complete_mcp(ref, argument, context_arguments)).completion

    async def complete_mcp(
        self,
        ref: PromptReference | ResourceTemplateReference,
        argument: Mapping[str, str],
        context_arguments: Mapping[str, str] | None = None,
    ) -> CompleteResult:
        params: dict[str, Any] = {"ref": ref, "argument": argument}
        if context_arguments:
            params["context"] = {"arguments": context_arguments}
        return await self.request("completion/complete", params, CompleteResult)

    # The rest

    async def ping(self) -> bool:
        """True if the server answers; 2026-07-28 has no ping, so it is asked what it speaks."""
        if self._connected().era.handshake:
            await self.request("ping", {}, EmptyResult)
        else:
            await self.request("server/discover", {}, DiscoverResult)
        return True

    async def set_logging_level(self, level: str) -> None:
        """The lowest level of notes to the log handler. Raises ValueError for an unknown one."""
        if level not in LOG_LEVELS:
            raise ValueError(f"Unknown log level {level!r}: one of {', '.join(LOG_LEVELS)}")
        connection = self._connected()
        if connection.era.handshake:
            await self.request("logging/setLevel", {"level": level}, EmptyResult)
            connection.session.level = level
        else:
            connection.set_log_level(level)

    async def send_roots_list_changed(self) -> None:
        """Raises ClientError in 2026-07-28, where the server asks each time it needs them."""
        self._only_handshake("notifications/roots/list_changed", "a function for `roots`")
        await self._connected().notify("notifications/roots/list_changed")

    def listen(
        self, *, tools: bool = False, prompts: bool = False, resources: bool = False, uris: Iterable[str] = ()
    ) -> Subscription:
        """Be told of changes: of the lists, and of the resources `uris`. Raises ClientError before 2026-07-28."""
        connection = self._connected()
        if not connection.era.listen:
            raise ClientError(
                f"{connection.era.version} has no subscriptions/listen: use message_handler and subscribe_resource"
            )
        wanted = SubscriptionFilter(
            tools_list_changed=tools or None,
            prompts_list_changed=prompts or None,
            resources_list_changed=resources or None,
            resource_subscriptions=list(uris) or None,
        )
        return Subscription(connection, wanted, self._timeout)

    @property
    def requests_in_flight(self) -> list[int]:
        """The ids of the requests that wait for an answer; each round of a call has its own."""
        return self._connected().ids

    async def cancel(self, request_id: int, reason: str = "cancelled by the client") -> bool:
        """Give a request up: who waits for it gets a ClientError. False where it is unknown or answered already.

        Cancelling the task that waits does the same without an error.
        """
        return self._connected().cancel(request_id, reason)

    async def request(
        self,
        method: str,
        params: Mapping[str, Any],
        kind: type[R],
        *,
        timeout: timedelta | float | None = None,
        progress_handler: ProgressHandler | None = None,
        meta: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        cache_mode: CacheMode = "use",
    ) -> R:
        """Any request; `kind` is the struct of its result."""
        return await self._connected().request(
            method,
            params,
            kind,
            timeout=self._limit(timeout),
            progress=progress_handler or self._progress,
            meta=meta,
            headers=headers,
            cache_mode=cache_mode,
        )

    def _connected(self) -> Connection:
        if self._connection is None:
            raise ClientError(f"Not connected to {self.transport.name}: use the client in `async with client:`")
        return self._connection

    def _mirrors(self) -> bool:
        return self._connected().era.mirrored_headers and self.transport.mirrors_headers

    def _only_handshake(self, name: str, instead: str) -> None:
        if not self._connected().era.handshake:
            raise ClientError(f"{self.protocol_version} has no {name}: use {instead}")

    def _heard(self, method: str, params: Raw) -> None:
        if method == "notifications/tools/list_changed":
            self._known.forget()
        if self._cache is not None:
            self._cache.hear(method, params)

    def _limit(self, timeout: timedelta | float | None) -> float | None:
        return self._timeout if timeout is None else _seconds(timeout)

    async def _data(
        self, name: str, result: WireCallToolResult, meta: Mapping[str, Any] | None, until: float | None
    ) -> Any:
        """Shaped by the tool's output schema; the list is asked for once where it is not known yet."""
        if result.structured_content is UNSET or result.is_error:
            return plain_data(result)
        if not self._known.knows(name):
            try:
                async with asyncio.timeout_at(until), self._learning:
                    if not self._known.knows(name):
                        await self.list_tools()
            except (FastMCPError, TimeoutError) as error:
                logger.debug("The result of %r stays plain, there is no list of tools: %r", name, error)
            self._known.miss(name)
        return self._known.data(name, result, version_in(meta))

    async def _page(self, method: str, kind: type[P], cursor: str | None, cache_mode: CacheMode) -> P:
        params = {} if cursor is None else {"cursor": cursor}
        return await self.request(method, params, kind, cache_mode=cache_mode)

    async def _pages(self, method: str, kind: type[P], cache_mode: CacheMode) -> list[P]:
        name = f"{method} of {self.transport.name}"
        try:
            return await all_pages(lambda cursor: self._page(method, kind, cursor, cache_mode), name)
        except InvalidParams:
            # A page that was kept may name a cursor that has become invalid (2026-07-28, Caching, Pagination).
            if self._cache is None or not self._cache.forget(method):
                raise
            return await all_pages(lambda cursor: self._page(method, kind, cursor, cache_mode), name)


def _seconds(timeout: timedelta | float | None) -> float | None:
    return timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
