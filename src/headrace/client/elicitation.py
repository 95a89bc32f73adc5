"""Answers to a server's questions to the user.

``Client(server, elicitation_handler=handler)`` calls ``handler(message, response_type, params, context)``; what it
returns is the answer: the form's content, or an `ElicitResult` to decline or cancel. The response type is a dataclass
of the form's fields.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, cast

import msgspec
from pydantic import TypeAdapter

from ..components.json_types import json_schema_to_type
from ..exceptions import ClientError
from ..protocol.types import ElicitRequestParams, ElicitResult
from .handlers import ElicitationHandler, HandlerContext

__all__ = ["ElicitRequestParams", "ElicitResult", "ElicitationHandler", "create_elicitation_callback", "response_type"]


def create_elicitation_callback(
    elicitation_handler: Callable[[str, Any, ElicitRequestParams, HandlerContext], Any],
) -> Callable[[str, Any, ElicitRequestParams, HandlerContext], Awaitable[ElicitResult]]:
    """An `ElicitationHandler` around one that wants a class of the form's fields for its response type; `Client` puts
    it around every handler.

    What it returns may be such an object, a dict, a single value where the form has the one field ``value``, or an
    `ElicitResult` with any of them as content.
    """

    async def callback(message: str, _: Any, params: ElicitRequestParams, context: HandlerContext) -> ElicitResult:
        answer = elicitation_handler(message, response_type(params), params, context)
        if inspect.isawaitable(answer):
            answer = await answer
        if not isinstance(answer, ElicitResult):
            answer = ElicitResult(action="accept", content=answer)
        if answer.action != "accept" or params.mode == "url":
            return ElicitResult(action=answer.action, meta=answer.meta)
        return ElicitResult(action="accept", content=_content(answer.content, params), meta=answer.meta)

    return callback


def response_type(params: ElicitRequestParams) -> Any:
    """A dataclass of the form's fields; None where there are none: a mere yes, or a URL to open. A dict where the
    schema is not usable: the user may still be asked."""
    schema = params.requested_schema
    if params.mode == "url" or not schema or not schema.get("properties"):
        return None
    try:
        return json_schema_to_type({"type": "object", **schema})
    except ValueError:
        return dict[str, Any]


def _content(answer: Any, params: ElicitRequestParams) -> dict[str, Any]:
    """The fields under the names of the form. Raises ClientError for what is no object."""
    fields: dict[str, Any] = (params.requested_schema or {}).get("properties") or {}
    if answer is None:
        return {}  # the defaults, if there are any
    dump: Any = getattr(answer, "model_dump", None)
    content: Any = answer
    if dataclasses.is_dataclass(answer) and not isinstance(answer, type):
        members: dict[str, Any] = TypeAdapter(type(answer)).dump_python(
            answer, mode="json", by_alias=True, warnings=False
        )
        # A field that was left out is None in the object, which its schema need not allow.
        content = {name: value for name, value in members.items() if value is not None}
    elif callable(dump):
        content = dump(mode="json", by_alias=True, exclude_none=True)
    elif isinstance(answer, msgspec.Struct):
        content = msgspec.to_builtins(answer)
    if not isinstance(content, dict):
        if list(fields) != ["value"]:
            raise ClientError(f"An elicitation is answered with an object, not with {type(answer).__name__}")
        return {"value": content}
    return cast("dict[str, Any]", content)
