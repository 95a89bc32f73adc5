"""A prompt: a function that makes messages from text arguments."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable
from typing import Annotated, Any, get_args, get_origin

import msgspec
from msgspec import Raw
from pydantic import TypeAdapter
from pydantic_core import ValidationError as PydanticError

from ..components.component import Component, described
from ..components.content import block
from ..components.context import Context
from ..components.signature import Function, function_name
from ..exceptions import PromptError, ValidationError
from ..protocol import types as wire
from ..protocol.types import GetPromptResult, Icon, InputRequiredResult, PromptArgument, PromptMessage
from ..types import Message, PromptResult

__all__ = ["Message", "Prompt", "PromptResult"]

_decode_arguments = msgspec.json.Decoder(dict[str, str]).decode


class Prompt(Component):
    """One prompt. Its arguments travel as text; those that are no text for the function are JSON in that text."""

    def __init__(self, name: str, function: Function, **component: Any) -> None:
        super().__init__(name, **component)
        self.function = function
        self._typed = {
            parameter.name: TypeAdapter[Any](parameter.annotation)
            for parameter in function.parameters.values()
            if not _is_text(parameter.annotation)
        }
        properties: dict[str, Any] = function.schema["properties"]
        self.arguments = [self._argument(key, properties.get(key, {})) for key in function.parameters]

    @classmethod
    def from_function(
        cls,
        function: Callable[..., Any],
        name: str | None = None,
        *,
        title: str | None = None,
        description: str | None = None,
        icons: Iterable[Icon | dict[str, Any]] | None = None,
        tags: set[str] | None = None,
        meta: dict[str, Any] | None = None,
        enabled: bool = True,
        run_in_thread: bool = True,
    ) -> Prompt:
        """Raises InvalidSignature or ValueError for what can't be a prompt."""
        name = name or function_name(function, "prompt")
        return cls(
            name,
            Function(function, f"prompt {name!r}", run_in_thread=run_in_thread),
            title=title,
            description=described(function, description),
            icons=icons,
            tags=tags,
            meta=meta,
            enabled=enabled,
        )

    def bind(self, arguments: Raw) -> dict[str, Any]:
        """Keyword arguments. Raises ValidationError for missing, unknown or unfit ones."""
        try:
            texts = _decode_arguments(arguments) if arguments and bytes(arguments) != b"null" else {}
        except msgspec.ValidationError as error:
            raise ValidationError(f"Invalid arguments for prompt {self.name!r}: {error}") from None
        values: dict[str, Any] = dict(texts)
        for name, adapter in self._typed.items():
            if name in values:
                values[name] = _parsed(adapter, texts[name])
        return self.function.bind_values(values)

    async def render(self, arguments: dict[str, Any], context: Context) -> GetPromptResult | InputRequiredResult:
        """Raises what the function raises, and PromptError for a value that holds no messages."""
        value = await self.function.call(arguments, context)
        if isinstance(value, GetPromptResult | InputRequiredResult):
            return value
        description, meta = self.description, None
        if isinstance(value, PromptResult):
            description, meta, value = value.description or description, value.meta, value.messages
        items: list[Any] = list(value) if isinstance(value, list | tuple) else [value]  # pyright: ignore[reportUnknownArgumentType]
        if value is None:
            raise PromptError(f"The prompt {self.name!r} returned no messages")
        return GetPromptResult(messages=[_message(item) for item in items], description=description, meta=meta)

    def to_wire(self) -> wire.Prompt:
        """The prompt as lists show it."""
        return wire.Prompt(
            name=self.name,
            title=self.title,
            description=self.description,
            arguments=self.arguments or None,
            icons=self.icons,
            meta=self.listed_meta(),
        )

    def _argument(self, name: str, schema: dict[str, Any]) -> PromptArgument:
        description: str | None = schema.get("description")
        if name in self._typed:
            shape = {key: value for key, value in schema.items() if key not in ("description", "default", "title")}
            hint = f"Provide as a JSON string matching the following schema: {json.dumps(shape)}"
            description = f"{description}\n\n{hint}" if description else hint
        return PromptArgument(
            name=name,
            title=schema.get("title"),
            description=description,
            required=name in self.function.required,
        )


def _is_text(annotation: Any) -> bool:
    """Whether a parameter takes the text as it is."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    parts = get_args(annotation) or (annotation,)
    return all(
        part in (str, type(None), Any) or part is inspect.Parameter.empty for part in parts
    ) and annotation is not type(None)


def _parsed(adapter: TypeAdapter[Any], text: str) -> Any:
    """The value in the text: JSON of the type, or else text that the type takes (checked when it is bound)."""
    try:
        return adapter.validate_json(text)
    except PydanticError:
        return text


def _message(value: Any) -> PromptMessage:
    if isinstance(value, PromptMessage):
        return value
    if isinstance(value, Message):
        return PromptMessage(role=value.role, content=block(value.content))
    return PromptMessage(role="user", content=block(value))
