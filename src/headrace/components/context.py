"""`Context`: what a running function can do with its call.

One is made per call; it speaks to the client through the call's `Peer`, the same way in both eras.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Unpack, get_args

import msgspec
from msgspec import Raw, Struct

from ..call import Call, Peer
from ..exceptions import UnsupportedByClient
from ..protocol.subscriptions import CHANGES
from ..protocol.types import (
    ClientCapabilities,
    ElicitationCompleteNotificationParams,
    GetPromptResult,
    Implementation,
    ListRootsResult,
    LoggingLevel,
    LoggingMessageNotificationParams,
    ProgressNotificationParams,
    Prompt,
    RequestMeta,
    RequestParams,
    Resource,
    Root,
)
from ..types import ResourceResult
from . import elicitation, visibility
from .checks import allowed_to
from .dependencies import get_context, get_http_request
from .elicitation import AcceptedElicitation, CancelledElicitation, DeclinedElicitation, require
from .registry import Registry
from .sdk import as_data
from .visibility import Rule

if TYPE_CHECKING:
    from starlette.requests import Request

    from ..server.server import FastMCP
    from .sampling import Messages, SampleOptions, SamplingResult, StepOptions

__all__ = ["Context", "RequestContext", "current_context", "severity"]

_LEVELS: dict[str, int] = {level: number for number, level in enumerate(get_args(LoggingLevel))}
_VISIBILITY = "headrace.visibility"
"""Where a session's rules are kept, in its state."""
_decode_roots = msgspec.json.Decoder(ListRootsResult).decode


def severity(level: str) -> int | None:
    """The rank of a log level, debug lowest; None for an unknown one."""
    return _LEVELS.get(level)


def current_context() -> Context:
    """The context of the running call. Raises RuntimeError outside of one."""
    return get_context()


class RequestContext:
    """The request as the official SDK's users know it."""

    __slots__ = ("_context",)

    def __init__(self, context: Context) -> None:
        self._context = context

    @property
    def request(self) -> Request | None:
        """The HTTP request; None over other transports."""
        return get_http_request() if self._context.call.scope is not None else None

    @property
    def request_id(self) -> str:
        return self._context.request_id

    @property
    def meta(self) -> RequestMeta | None:
        return self._context.call.params.meta

    @property
    def session(self) -> Peer:
        return self._context.call.peer

    @property
    def lifespan_context(self) -> Any:
        return self._context.lifespan_context


class Context(Struct, eq=False, weakref=True):
    """Given to functions that have a parameter of this type; `get_context` finds it anywhere in a call."""

    call: Call
    fastmcp: FastMCP
    _progress: float | None = None
    _objects: dict[str, Any] | None = None
    _finished: bool = False

    def __repr__(self) -> str:
        return f"<Context of {self.call!r}>"

    def finish(self) -> None:
        """The result is made: nothing more may be sent for this call."""
        self._finished = True

    # Who and what

    @property
    def request_id(self) -> str:
        return str(self.call.id)

    @property
    def session_id(self) -> str | None:
        """The handshake era's session; None without one."""
        return self.call.peer.session_id

    @property
    def client_id(self) -> str | None:
        """Who authenticated: the token's client, else the principal; None without authentication."""
        principal = self.call.principal
        if principal is None:
            return None
        return getattr(principal.token, "client_id", None) or principal.id

    @property
    def transport(self) -> str:
        return self.call.peer.transport

    @property
    def client_info(self) -> Implementation | None:
        return self.call.peer.client_info

    @property
    def client_capabilities(self) -> ClientCapabilities:
        return self.call.peer.capabilities

    @property
    def request_context(self) -> RequestContext:
        return RequestContext(self)

    @property
    def lifespan_context(self) -> Any:
        """What the server's lifespan yielded; an empty dict without a lifespan."""
        return self.fastmcp.lifespan_value

    @property
    def input_responses(self) -> Mapping[str, Any] | None:
        """The client's answers to what the function asked by returning an InputRequiredResult, by key.

        None in the first round; ElicitResult, CreateMessageResult and ListRootsResult in later ones.
        """
        raw = self.call.peer.input_responses()
        if not raw and self.request_state is None:
            return None
        return {key: elicitation.input_response(answer) for key, answer in raw.items()}

    @property
    def request_state(self) -> str | None:
        """What the function put into the InputRequiredResult it returned in the round before; None in the first."""
        return self.call.peer.request_state

    @property
    def session(self) -> Peer:
        """The client, as the call sees it."""
        return self.call.peer

    def client_extension_settings(self, identifier: str) -> dict[str, Any] | None:
        """What the client declared for a protocol extension; None if it did not."""
        extensions = self.call.peer.capabilities.extensions or {}
        return extensions.get(identifier)

    def client_supports_extension(self, identifier: str) -> bool:
        return self.client_extension_settings(identifier) is not None

    # Notes to the client

    async def log(
        self,
        message: str,
        level: LoggingLevel | None = None,
        logger_name: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Send a log note, if the client wants notes of this level. Raises ValueError for an unknown level."""
        level = level or "info"
        rank = severity(level)
        if rank is None:
            raise ValueError(f"{level!r} is no log level; these are: {', '.join(_LEVELS)}")
        peer = self.call.peer
        if self._finished:
            return
        if peer.log_level is None:
            if not peer.era.handshake or rank < _LEVELS[self.fastmcp.client_log_level]:
                return
        elif rank < _LEVELS.get(peer.log_level, 0):
            return
        data = {"msg": message, "extra": extra}
        await peer.note(
            "notifications/message", LoggingMessageNotificationParams(level=level, data=data, logger=logger_name)
        )

    async def debug(self, message: str, logger_name: str | None = None, extra: Mapping[str, Any] | None = None) -> None:
        await self.log(message, "debug", logger_name, extra)

    async def info(self, message: str, logger_name: str | None = None, extra: Mapping[str, Any] | None = None) -> None:
        await self.log(message, "info", logger_name, extra)

    async def notice(
        self, message: str, logger_name: str | None = None, extra: Mapping[str, Any] | None = None
    ) -> None:
        await self.log(message, "notice", logger_name, extra)

    async def warning(
        self, message: str, logger_name: str | None = None, extra: Mapping[str, Any] | None = None
    ) -> None:
        await self.log(message, "warning", logger_name, extra)

    async def error(self, message: str, logger_name: str | None = None, extra: Mapping[str, Any] | None = None) -> None:
        await self.log(message, "error", logger_name, extra)

    async def report_progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        """Send progress, if the client asked for it. It must grow: what does not is dropped (basic, Progress)."""
        meta = self.call.params.meta
        if meta is None or meta.progress_token is None or self._finished:
            return
        if self._progress is not None and not progress > self._progress:
            return
        self._progress = progress
        params = ProgressNotificationParams(
            progress_token=meta.progress_token, progress=progress, total=total, message=message
        )
        await self.call.peer.note("notifications/progress", params)

    async def notify_resource_updated(self, uri: str) -> None:
        """Tell those who subscribed to the resource that it changed."""
        await self.fastmcp.notify_resource_updated(uri)

    async def send_notification(self, notification: Any) -> None:
        """Send a notification to this client: a method's name, or an object with `method` and `params`.

        Where lists change (2026-07-28) a client hears only what it listens to: such notices go to all who do.
        """
        method: str = notification if isinstance(notification, str) else notification.method
        params: Any = getattr(notification, "params", None)
        if hasattr(params, "model_dump"):
            params = as_data(params)
        elif isinstance(params, msgspec.Struct):
            params = msgspec.to_builtins(params)
        if self.call.era.handshake:
            await self.call.peer.note(method, params or {})
        elif method in CHANGES:
            self.fastmcp.notify(method, None if params is None else params.get("uri"))
        else:
            raise ValueError(
                f"{method} can't be sent to a client of this revision, which listens to: {', '.join(CHANGES)}"
            )

    # What the server offers

    async def list_resources(self) -> list[Resource]:
        """The resources as this client sees them."""
        return await self._seen(self.fastmcp.resources)

    async def list_prompts(self) -> list[Prompt]:
        """The prompts as this client sees them."""
        return await self._seen(self.fastmcp.prompts)

    async def _seen(self, registry: Registry[Any]) -> list[Any]:
        allowed = await allowed_to(self.call, registry.checked)
        return [each.to_wire() for each in registry.shown(await self.rules(), allowed)]

    async def read_resource(self, uri: Any) -> ResourceResult:
        """Read one of the server's resources. Raises NotFoundError, ResourceError."""
        return await self.fastmcp.read_resource(uri)

    async def get_prompt(self, name: str, arguments: dict[str, Any] | None = None) -> GetPromptResult:
        """Render one of the server's prompts. Raises NotFoundError, PromptError."""
        return await self.fastmcp.prompt_result(name, arguments)

    # Which components this session sees

    async def rules(self) -> tuple[Rule, ...]:
        """The server's rules of visibility, and those of this session behind them."""
        if not self.call.era.handshake:
            return self.fastmcp.rules
        own = await self.call.peer.get_state(_VISIBILITY)
        return self.fastmcp.rules if own is None else (*self.fastmcp.rules, *msgspec.convert(own, list[Rule]))

    async def enable_components(self, **criteria: Any) -> None:
        """Show components to this session alone; criteria as for `FastMCP.enable`, and ``match_all=True``.

        Raises UnsupportedByClient where the client has no session (2026-07-28, stateless HTTP).
        """
        await self._see(visibility.rule(True, **criteria))

    async def disable_components(self, **criteria: Any) -> None:
        """Hide components from this session alone; otherwise as `enable_components`."""
        await self._see(visibility.rule(False, **criteria))

    async def reset_visibility(self) -> None:
        """Forget the rules of this session."""
        await self._see(None)

    async def _see(self, rule: Rule | None) -> None:
        peer = self.call.peer
        if peer.session_id is None:
            raise UnsupportedByClient("What a client sees can only be changed for a session, which this client has not")
        if rule is None:
            await peer.delete_state(_VISIBILITY)
        else:
            await peer.set_state(_VISIBILITY, visibility.stored_with(await peer.get_state(_VISIBILITY), rule))
        for method in visibility.changes(rule):
            await peer.note(method, {})

    # Questions to the client

    async def elicit(
        self,
        message: str,
        response_type: Any = None,
        *,
        response_title: str | None = None,
        response_description: str | None = None,
        key: str | None = None,
    ) -> AcceptedElicitation[Any] | DeclinedElicitation | CancelledElicitation:
        """Ask the user for data.

        `response_type`: None (a mere yes), a scalar type, choices (Literal, Enum, a list of strings), a flat
        dataclass, pydantic model or TypedDict, or a JSON schema; a title and a description are for single values.
        In 2026-07-28 the call is run again with the answer, found by `key` (else by what was asked). Raises
        UnsupportedByClient where the client can't be asked, TypeError for a type that no form can hold.
        """
        form = elicitation.form(response_type).labelled(response_title, response_description)
        return await elicitation.elicit(self.call.peer, message, form, key)

    async def elicit_url(
        self, message: str, url: str, *, key: str | None = None, elicitation_id: str | None = None
    ) -> AcceptedElicitation[None] | DeclinedElicitation | CancelledElicitation:
        """Ask the user to open a URL. Accepting means consent, not completion. Raises UnsupportedByClient.

        `elicitation_id` (made if not given) is what `elicitation_complete` refers to, in revisions that have it.
        """
        return await elicitation.elicit_url(self.call.peer, message, url, key, elicitation_id)

    async def elicitation_complete(self, elicitation_id: str) -> None:
        """Tell the client that what it opened is done; nothing in revisions without that notice."""
        if self.call.era.elicitation_ids:
            params = ElicitationCompleteNotificationParams(elicitation_id=elicitation_id)
            await self.call.peer.note("notifications/elicitation/complete", params)

    async def sample(self, messages: Messages, **options: Unpack[SampleOptions]) -> SamplingResult:
        """Ask the client's model until it answers. `tools` that are functions or components run here when it calls
        them, once even where this call is replayed; calls of wire tools come back in the answer's `tool_calls`. With
        a `result_type` its `result` is of that type.

        Raises UnsupportedByClient where the client has no sampling (with tools), ToolError past `max_iterations`.
        """
        from .sampling import sample

        return await sample(self, messages, **options)

    async def sample_step(self, messages: Messages, **options: Unpack[StepOptions]) -> SamplingResult:
        """One round of `sample`, for a loop of your own: go on with the answer's `history`."""
        from .sampling import sample_step

        return await sample_step(self, messages, **options)

    async def list_roots(self, *, key: str | None = None) -> list[Root]:
        """The directories the client works in. Raises UnsupportedByClient where it has none to tell."""
        peer = self.call.peer
        require(peer, peer.capabilities.roots is not None, "list its roots", {"roots": {}})
        return await peer.ask("roots/list", RequestParams(), key=key, check=_roots)

    async def once(self, key: str, function: Callable[[], Awaitable[Any]]) -> Any:
        """The function's result, which is JSON; not run again when the call is replayed."""
        return await self.call.peer.once(key, function)

    async def close_sse_stream(self) -> None:
        """Close the call's stream early so that the client polls; nothing where it could not resume."""
        await self.call.peer.close_stream()

    # State: lives with the session in the handshake era, with the call and its retries in 2026-07-28

    async def get_state(self, key: str, default: Any = None) -> Any:
        if self._objects and key in self._objects:
            return self._objects[key]
        value = await self.call.peer.get_state(key)
        if isinstance(value, Raw):
            value = msgspec.json.decode(value)
        return default if value is None else value

    async def set_state(self, key: str, value: Any, *, serializable: bool = True) -> None:
        """Keep a JSON value; with ``serializable=False`` any value, which lives as long as this context."""
        if not serializable:
            self._objects = {**(self._objects or {}), key: value}
            return
        (self._objects or {}).pop(key, None)
        await self.call.peer.set_state(key, value)

    async def delete_state(self, key: str) -> None:
        (self._objects or {}).pop(key, None)
        await self.call.peer.delete_state(key)


def _roots(answer: Raw) -> list[Root]:
    return _decode_roots(answer).roots
