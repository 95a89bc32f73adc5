"""Protocol extensions: features beside the specification's, named by a reverse-DNS identifier and negotiated.

A server advertises what it implements in ``capabilities.extensions``; a client says in its own capabilities what it
understands. Whether to act on a client that did not say so is the extension's decision.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import pydantic
from pydantic import TypeAdapter

from ..call import Answer, Call, Encoded
from ..components.content import json_bytes
from ..components.context import Context
from ..components.json_schema import describe_errors
from ..exceptions import InvalidParams
from ..protocol.json_bounds import holds_infinity
from ..protocol.methods import METHODS
from ..protocol.types import CallToolResult, InputRequiredResult, Params, Result

if TYPE_CHECKING:
    from .server import FastMCP

__all__ = ["MethodBinding", "ServerExtension", "answer_extension", "check_bindings"]

_LABEL = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_IDENTIFIER = re.compile(rf"{_LABEL}(\.{_LABEL})+/[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.IGNORECASE)

ToolAnswer = CallToolResult | InputRequiredResult
CallNext = Callable[[], Awaitable[ToolAnswer]]


@dataclass(frozen=True, slots=True)
class MethodBinding:
    """A request method of an extension; `handler` gets the context and the params, and returns what becomes JSON.

    `params_type` is anything pydantic validates, or a msgspec struct; `protocol_versions` None: every revision.
    Raises ValueError for a method that is the specification's.
    """

    method: str
    params_type: Any
    handler: Callable[[Context, Any], Awaitable[Any]]
    protocol_versions: Collection[str] | None = None

    def __post_init__(self) -> None:
        if self.method in METHODS:
            raise ValueError(f"{self.method} is a method of the specification; an extension can't take its place")


class ServerExtension:
    """Subclass it, set `identifier` (``com.example/name``), and override what the extension does.

    Raises ValueError, when the subclass is made, for an identifier without such a prefix.
    """

    identifier: ClassVar[str] = ""
    server: FastMCP

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.identifier and not _IDENTIFIER.fullmatch(cls.identifier):
            raise ValueError(f"An extension is called like 'com.example/name', not {cls.identifier!r}")

    def settings(self) -> dict[str, Any]:
        """What clients see of the extension under ``capabilities.extensions``; JSON. Asked once until a component
        changes."""
        return {}

    def methods(self) -> Iterable[MethodBinding]:
        """Request methods it answers beside those of the specification."""
        return ()

    async def intercept_tool_call(self, params: Params, context: Context, call_next: CallNext) -> ToolAnswer:
        """Around every ``tools/call``, just before the tool: await `call_next`, or answer without it."""
        return await call_next()

    def lifespan(self) -> AbstractAsyncContextManager[Any]:
        """Entered and left with the server's lifespan."""
        return nullcontext()

    def client_settings(self, context: Context) -> dict[str, Any] | None:
        """What the client of this call declared for the extension; None if it did not."""
        return context.client_extension_settings(self.identifier)

    @property
    def intercepts(self) -> bool:
        return type(self).intercept_tool_call is not ServerExtension.intercept_tool_call

    @property
    def has_lifespan(self) -> bool:
        return type(self).lifespan is not ServerExtension.lifespan


def check_bindings(extension: ServerExtension, known: Collection[str]) -> dict[str, MethodBinding]:
    """The extension's methods by name. Raises ValueError for one that is taken."""
    bindings: dict[str, MethodBinding] = {}
    for binding in extension.methods():
        if binding.method in known or binding.method in bindings:
            raise ValueError(f"{extension.identifier} binds {binding.method}, which is bound already")
        bindings[binding.method] = binding
    return bindings


async def answer_extension(binding: MethodBinding, call: Call, context: Context) -> Answer:
    """Raises InvalidParams for params that do not fit."""
    value = await binding.handler(context, _params(binding.params_type, call))
    if isinstance(value, Result | Encoded):
        return value
    body = json_bytes({} if value is None else value)
    members: Any = msgspec.json.decode(body)
    if not isinstance(members, dict):
        raise TypeError(f"{binding.method}: a result is an object, not {type(value).__name__}")
    if "_meta" in members or "resultType" in members:
        raise TypeError(f"{binding.method}: _meta and resultType of a result are the server's to write")
    return Encoded(body)


def _params(kind: type[Any], call: Call) -> Any:
    body = bytes(call.raw) or b"{}"
    try:
        if inspect.isclass(kind) and issubclass(kind, msgspec.Struct):
            return msgspec.json.decode(body, type=kind)
        if holds_infinity(body):
            raise InvalidParams("Invalid params: a number is out of range")
        return TypeAdapter[Any](kind).validate_json(body)
    except msgspec.ValidationError as error:
        raise InvalidParams(f"Invalid params: {error}") from None
    except pydantic.ValidationError as error:
        raise InvalidParams(f"Invalid params:\n{describe_errors(error)}") from None
