"""A prompt: a function that makes messages from text arguments."""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Annotated, Any, ClassVar, TypeVar, cast, get_args, get_origin, overload

import msgspec
from msgspec import Raw
from pydantic import TypeAdapter
from pydantic_core import ValidationError as PydanticError

from ..components.checks import AuthCheck
from ..components.component import Component, struct
from ..components.content import block
from ..components.context import Context
from ..components.dependencies import current, get_context
from ..components.docstrings import documented
from ..components.sdk import from_sdk
from ..components.signature import Function, function_name
from ..components.standalone import Pending, decorated, mark
from ..components.visibility import Kind
from ..exceptions import PromptError, ValidationError
from ..protocol import types as wire
from ..protocol.types import GetPromptResult, Icon, InputRequiredResult, PromptArgument, PromptMessage, TextContent
from ..types import Message, PromptResult

# PromptArgument and the content types are here because users import them from here.
__all__ = [
    "FunctionPrompt",
    "Message",
    "Prompt",
    "PromptArgument",
    "PromptMessage",
    "PromptResult",
    "TextContent",
    "prompt",
    "prompt_result",
]

F = TypeVar("F", bound=Callable[..., Any])

_decode_arguments = msgspec.json.Decoder(dict[str, str]).decode


class Prompt(Component):
    """One prompt; a subclass says in `render` what it holds, and in `arguments` what it takes."""

    kind: ClassVar[Kind] = "prompt"

    def __init__(
        self, name: str, *, arguments: Iterable[PromptArgument | dict[str, Any]] | None = None, **component: Any
    ) -> None:
        """Raises ValueError for an argument that is none."""
        super().__init__(name, **component)
        converted = (struct(argument, PromptArgument) for argument in arguments or ())
        self.arguments = [argument for argument in converted if argument is not None]

    @staticmethod
    def from_function(
        fn: Callable[..., Any],
        name: str | None = None,
        *,
        title: str | None = None,
        description: str | None = None,
        icons: Iterable[Icon | dict[str, Any]] | None = None,
        tags: set[str] | None = None,
        meta: dict[str, Any] | None = None,
        enabled: bool = True,
        version: str | float | None = None,
        auth: AuthCheck | Sequence[AuthCheck] | None = None,
        run_in_thread: bool = True,
    ) -> FunctionPrompt:
        """Raises InvalidSignature or ValueError for what can't be a prompt."""
        name = name or function_name(fn, "prompt")
        texts = documented(fn)
        return FunctionPrompt(
            name,
            Function(fn, f"prompt {name!r}", run_in_thread=run_in_thread, texts=texts.parameters),
            title=title,
            description=texts.description if description is None else description,
            icons=icons,
            tags=tags,
            meta=meta,
            enabled=enabled,
            version=version,
            auth=auth,
        )

    async def render(self, arguments: dict[str, Any] | None = None) -> Any:
        """The messages: text, a Message, several of them, or a PromptResult."""
        raise NotImplementedError(f"{type(self).__name__} has to define render()")

    def bind(self, arguments: Raw) -> dict[str, Any]:
        """Arguments from raw JSON. Raises ValidationError for missing or unfit ones."""
        texts = self._texts(arguments)
        missing = [each.name for each in self.arguments if each.required and each.name not in texts]
        if missing:
            raise ValidationError(f"Invalid arguments for prompt {self.name!r}: missing: {', '.join(missing)}")
        return dict(texts)

    async def answer(self, arguments: dict[str, Any], context: Context) -> GetPromptResult | InputRequiredResult:
        """Raises what the prompt raises, and PromptError for a value that holds no messages."""
        value = from_sdk(await self._answer(arguments, context))
        if isinstance(value, GetPromptResult | InputRequiredResult):
            return value
        description, meta = self.description, self.meta
        if isinstance(value, PromptResult):
            description, meta, value = value.description or description, value.meta or meta, value.messages
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
            arguments=self.arguments,
            icons=self.icons,
            meta=self.listed_meta(),
        )

    to_mcp_prompt = to_wire

    def _answer(self, arguments: dict[str, Any], context: Context) -> Awaitable[Any]:
        return self.render(arguments)

    def _texts(self, arguments: Raw) -> dict[str, str]:
        try:
            return _decode_arguments(arguments) if arguments and bytes(arguments) != b"null" else {}
        except msgspec.ValidationError as error:
            raise ValidationError(f"Invalid arguments for prompt {self.name!r}: {error}") from None


class FunctionPrompt(Prompt):
    """A prompt that is a function; `fn` is the function.

    Arguments travel as text; those that are no text for the function are JSON in that text.
    """

    def __init__(self, name: str, function: Function, **component: Any) -> None:
        super().__init__(name, **component)
        self.function = function
        self.fn = function.function
        self._typed = {
            parameter.name: TypeAdapter[Any](parameter.annotation)
            for parameter in function.parameters.values()
            if not _is_text(parameter.annotation)
        }
        properties: dict[str, Any] = function.schema["properties"]
        self.arguments = [self._argument(key, properties.get(key, {})) for key in function.parameters]

    def bind(self, arguments: Raw) -> dict[str, Any]:
        """Keyword arguments. Raises ValidationError for missing, unknown or unfit ones."""
        texts = self._texts(arguments)
        values: dict[str, Any] = dict(texts)
        for name, adapter in self._typed.items():
            if name in values:
                values[name] = _parsed(adapter, texts[name])
        return self.function.bind_values(values)

    async def render(self, arguments: dict[str, Any] | None = None) -> PromptResult:
        """Render the prompt yourself, with values or texts. Raises ValidationError, and what the function raises."""
        context = get_context() if self.function.wants_context else cast(Context, current.get(None))
        result = await self.answer(self.function.bind_values(arguments or {}), context)
        if isinstance(result, InputRequiredResult):
            raise PromptError(f"Prompt {self.name!r} asks the client for input, which only a call through a server can")
        return prompt_result(result)

    def _answer(self, arguments: dict[str, Any], context: Context) -> Awaitable[Any]:
        return self.function.call(arguments, context)

    def _argument(self, name: str, schema: dict[str, Any]) -> PromptArgument:
        description: str | None = schema.get("description")
        if name in self._typed:
            shape = {key: value for key, value in schema.items() if key not in ("description", "default", "title")}
            hint = (
                f"Provide a value matching the following JSON schema: {json.dumps(shape, separators=(',', ':'))}. "
                "Encode non-string values as JSON."
            )
            description = f"{description}\n\n{hint}" if description else hint
        return PromptArgument(
            name=name,
            title=schema.get("title"),
            description=description,
            required=name in self.function.required,
        )


def prompt_result(result: GetPromptResult) -> PromptResult:
    """A rendered prompt as users see it who render one themselves."""
    messages = [Message(message.content, message.role) for message in result.messages]
    return PromptResult(messages, result.description, result.meta)


@overload
def prompt(name_or_fn: F, /) -> F: ...


@overload
def prompt(name_or_fn: str | None = None, /, **options: Any) -> Callable[[F], F]: ...


def prompt(name_or_fn: Any = None, /, **options: Any) -> Any:
    """Mark a function as a prompt that ``mcp.add_prompt(function)`` registers later; options as for ``@mcp.prompt``."""

    def register(function: F, **given: Any) -> F:
        return mark(function, Pending("prompt", lambda target: Prompt.from_function(target, **given)))

    return decorated(name_or_fn, options, register)


def _is_text(annotation: Any) -> bool:
    """Whether a parameter takes the text as it is."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation in (str, Any, inspect.Parameter.empty)


def _parsed(adapter: TypeAdapter[Any], text: str) -> Any:
    """The value in the text: JSON of the type, or else text that the type takes (checked when it is bound)."""
    try:
        return adapter.validate_json(text)
    except PydanticError:
        return text


def _message(value: Any) -> PromptMessage:
    value = from_sdk(value)
    if isinstance(value, PromptMessage):
        return value
    if isinstance(value, Message):
        return PromptMessage(role=value.role, content=block(value.content))
    return PromptMessage(role="user", content=block(value))
