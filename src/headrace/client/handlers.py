"""What the user's functions do for a connection: answer the server's questions, and hear its notes.

All may be sync or async. One that hears a note and raises is logged; one that answers and raises fails the question.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, cast

import msgspec
from msgspec import Raw

from ..exceptions import ClientError, MethodNotFound
from ..protocol.types import (
    ClientCapabilities,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequestParams,
    ElicitResult,
    EmptyResult,
    ListRootsResult,
    LoggingMessageNotificationParams,
    Result,
    Root,
    SamplingMessage,
    TextContent,
)
from ..protocol.versions import Era

__all__ = [
    "ElicitationHandler",
    "HandlerContext",
    "Handlers",
    "LogHandler",
    "MessageHandler",
    "Notice",
    "ProgressHandler",
    "Roots",
    "SamplingHandler",
]

logger = logging.getLogger(__name__)


class HandlerContext(NamedTuple):
    """About the question that a handler answers."""

    request_id: int | str
    """The id of the server's request; in 2026-07-28 the question's key."""
    method: str


class Notice(NamedTuple):
    """A notification of the server."""

    method: str
    params: dict[str, Any]


ElicitationHandler = Callable[[str, Any, ElicitRequestParams, HandlerContext], Any]
"""(message, response type, params, context) -> the form's content (a dict, dataclass, struct or model), or an
ElicitResult. The response type builds the content; it is None where there is no form: by URL, the answer is whether
the user agreed to open `params.url`."""
SamplingHandler = Callable[
    [list[SamplingMessage], CreateMessageRequestParams, HandlerContext],
    "str | CreateMessageResult | Awaitable[str | CreateMessageResult]",
]
Roots = Sequence["str | Root"] | Callable[[HandlerContext], Any]
LogHandler = Callable[[LoggingMessageNotificationParams], Any]
ProgressHandler = Callable[[float, "float | None", "str | None"], Any]
"""(progress, total, message)"""
MessageHandler = Callable[[Notice], Any]
"""Hears every notification."""

_decode_elicit = msgspec.json.Decoder(ElicitRequestParams).decode
_decode_sampling = msgspec.json.Decoder(CreateMessageRequestParams).decode
_decode_log = msgspec.json.Decoder(LoggingMessageNotificationParams).decode


class Handlers:
    def __init__(
        self,
        *,
        elicitation: ElicitationHandler | None = None,
        sampling: SamplingHandler | None = None,
        sampling_capabilities: dict[str, Any] | None = None,
        roots: Roots | None = None,
        log: LogHandler | None = None,
        message: MessageHandler | None = None,
    ) -> None:
        self._elicitation = elicitation
        self._sampling = sampling
        self._sampling_capabilities = sampling_capabilities or {}
        self.roots = roots
        self._log = log
        self._message = message

    @property
    def hears_logs(self) -> bool:
        return self._log is not None

    def capabilities(self, era: Era) -> ClientCapabilities:
        """What the handlers amount to. Form and URL are named where the revision tells them apart."""
        modes: dict[str, Any] = {"form": {}, "url": {}} if era.url_elicitation else {}
        return ClientCapabilities(
            elicitation=None if self._elicitation is None else modes,
            sampling=None if self._sampling is None else self._sampling_capabilities,
            roots=None if self.roots is None else {"listChanged": True} if era.handshake else {},
        )

    async def answer(self, method: str, params: Raw, context: HandlerContext) -> Result:
        """The client's result. Raises MethodNotFound without a handler, else what the handler raises."""
        if method == "ping":
            return EmptyResult()
        if method == "elicitation/create" and self._elicitation is not None:
            return await self._elicit(self._elicitation, _decode_elicit(params), context)
        if method == "sampling/createMessage" and self._sampling is not None:
            asked = _decode_sampling(params)
            return _sampled(await _called(self._sampling, asked.messages, asked, context))
        if method == "roots/list" and self.roots is not None:
            roots = await _called(self.roots, context) if callable(self.roots) else self.roots
            return ListRootsResult(roots=[Root(uri=root) if isinstance(root, str) else root for root in roots])
        raise MethodNotFound(f"This client has no handler for {method}")

    async def hear(self, method: str, params: Raw) -> None:
        if method == "notifications/message" and self._log is not None:
            await self.guarded(method, self._log, lambda: (_decode_log(params),))
        if self._message is not None:
            await self.guarded(method, self._message, lambda: (Notice(method, msgspec.json.decode(params)),))

    async def guarded(self, what: str, function: Callable[..., Any], arguments: Callable[[], tuple[Any, ...]]) -> None:
        """Call a function that only hears: its failure is its own."""
        try:
            await _called(function, *arguments())
        except Exception:
            logger.exception("The handler of %s failed", what)

    async def _elicit(
        self, handler: ElicitationHandler, asked: ElicitRequestParams, context: HandlerContext
    ) -> ElicitResult:
        form = asked.requested_schema if asked.mode != "url" else None
        has_fields = form is not None and bool(form.get("properties"))
        answer = await _called(handler, asked.message, dict[str, Any] if has_fields else None, asked, context)
        if not isinstance(answer, ElicitResult):
            answer = ElicitResult(action="accept", content=_content(answer) if form is not None else None)
        if answer.action != "accept" or form is None:
            return ElicitResult(action=answer.action, meta=answer.meta)
        # What was left out gets the form's default (SEP-1034).
        fields: dict[str, Any] = form.get("properties") or {}
        defaults = {
            name: cast("dict[str, Any]", field)["default"]
            for name, field in fields.items()
            if isinstance(field, dict) and "default" in field
        }
        return ElicitResult(action="accept", content={**defaults, **(answer.content or {})}, meta=answer.meta)


async def _called(function: Callable[..., Any], *arguments: Any) -> Any:
    result = function(*arguments)
    return await result if inspect.isawaitable(result) else result


def _content(answer: Any) -> dict[str, Any]:
    """The members of a dict, dataclass, struct or pydantic model. Raises ClientError for anything else."""
    if answer is None:
        return {}
    dump = getattr(answer, "model_dump", None)
    content = dump(mode="json") if callable(dump) else msgspec.to_builtins(answer)
    if not isinstance(content, dict):
        raise ClientError(f"An elicitation is answered with an object, not with {type(answer).__name__}")
    return cast("dict[str, Any]", content)


def _sampled(answer: Any) -> CreateMessageResult:
    if isinstance(answer, CreateMessageResult):
        return answer
    if not isinstance(answer, str):
        raise ClientError(f"Sampling is answered with text or a CreateMessageResult, not with {type(answer).__name__}")
    content = TextContent(text=answer)
    return CreateMessageResult(role="assistant", content=content, model="unknown", stop_reason="endTurn")
