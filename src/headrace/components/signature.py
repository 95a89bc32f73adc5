"""A function's signature -> JSON schema and binder; and how the function is called.

The public parameters become a pydantic validator of their own: it takes the raw JSON of the arguments and
gives keyword arguments. Parameters that the framework fills (a `Context`, a dependency) are hidden from the schema.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import typing
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Mapping
from typing import Annotated, Any, cast, get_args, get_origin

import msgspec
import pydantic
from msgspec import Raw
from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic.json_schema import JsonSchemaValue

from ..exceptions import InvalidSignature, ValidationError
from ..protocol.json_bounds import holds_infinity
from .content import PLAIN
from .context import Context
from .injection import CONTEXT, Dependency, Resolver, annotated, dependency_of
from .json_schema import SchemaWriter, describe_errors
from .workers import workers

__all__ = ["Function", "function_name"]

_NO_ARGUMENTS = b"{}"
_EXACT = (int, str, bool, float)
"""Types of which JSON has values that need no conversion."""


class Function:
    """A user's function with its public parameters.

    Raises InvalidSignature for a function whose parameters can't be offered by name.
    """

    __slots__ = (
        "_contexts",
        "_decode_exact",
        "_dependencies",
        "_inner",
        "_refused",
        "_validate_json",
        "_validate_python",
        "function",
        "hints",
        "label",
        "parameters",
        "schema",
    )

    def __init__(
        self,
        function: Callable[..., Any],
        label: str,
        *,
        run_in_thread: bool = True,
        by_name: bool = False,
        hidden: Collection[str] = (),
        texts: Mapping[str, str] | None = None,
        extra: Collection[str] = (),
    ) -> None:
        """`label` names the component in messages ("tool 'add'").

        `by_name`: arguments are checked elsewhere and only handed on, so their types need no schema. `hidden`:
        parameters with defaults that nobody may give. `texts`: descriptions of parameters that have none. `extra`:
        names that ``**kwargs`` takes, as text.
        """
        self.function = function
        self.label = label
        self._inner = function if _is_coroutine_function(function) else _caller(function, run_in_thread)
        self.hints = _hints(function, label)
        self._contexts: list[str] = []
        self._dependencies: dict[str, Dependency] = {}
        signature = _signature(function, label)
        self.parameters = self._public(signature, by_name, hidden, extra)
        own = {each.name for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD}
        self._refused = own - self.parameters.keys()
        adapter = self._adapter({} if by_name else self.parameters)
        self.schema: dict[str, Any] = _schema(adapter, label)
        self._describe(texts or {})
        self._decode_exact = None if by_name else _exact_decoder(self.parameters)
        self._validate_json = adapter.validator.validate_json
        self._validate_python = adapter.validator.validate_python

    @property
    def required(self) -> set[str]:
        return {name for name, parameter in self.parameters.items() if _is_required(parameter)}

    @property
    def returns(self) -> Any:
        """The return annotation, or `inspect.Parameter.empty`."""
        return self.hints.get("return", inspect.Parameter.empty)

    @property
    def wants_context(self) -> bool:
        """Whether it can only run in a call."""
        return bool(self._contexts or self._dependencies)

    def bind(self, arguments: Raw, strict: bool | None = None) -> dict[str, Any]:
        """Keyword arguments from a JSON object. Raises ValidationError, one line per field."""
        if self._decode_exact is not None and not strict:
            try:
                return msgspec.structs.asdict(self._decode_exact(arguments))
            except msgspec.DecodeError:
                pass  # pydantic converts more than this, and says what is wrong
        body = bytes(arguments) or _NO_ARGUMENTS
        if body[:1] != b"{":  # pydantic would take an array as positional arguments
            if body != b"null":
                raise ValidationError(f"Invalid arguments for {self.label}: not an object")
            body = _NO_ARGUMENTS
        if holds_infinity(body):
            raise ValidationError(f"Invalid arguments for {self.label}: a number is out of range")
        try:
            return self._validate_json(body, strict=strict)
        except pydantic.ValidationError as error:
            raise ValidationError(f"Invalid arguments for {self.label}:\n{describe_errors(error)}") from None

    def bind_values(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Keyword arguments from values, text converted to the types asked for. Raises ValidationError."""
        try:
            return self._validate_python(dict(arguments))
        except pydantic.ValidationError as error:
            raise ValidationError(f"Invalid arguments for {self.label}:\n{describe_errors(error)}") from None

    def check_names(self, arguments: Mapping[str, Any]) -> None:
        """For arguments checked elsewhere. Raises ValidationError for one that is not the client's to give."""
        refused = sorted(self._refused & arguments.keys())
        if refused:
            lines = "\n".join(f"{name}: no such argument" for name in refused)
            raise ValidationError(f"Invalid arguments for {self.label}:\n{lines}")

    def call(self, arguments: dict[str, Any], context: Context) -> Awaitable[Any]:
        """The awaitable that runs the function: in this task, or in a worker thread for a sync one."""
        for name in self._contexts:
            arguments[name] = context
        if self._dependencies:
            return self._call_with_dependencies(arguments, context)
        return self._inner(**arguments)

    async def _call_with_dependencies(self, arguments: dict[str, Any], context: Context) -> Any:
        async with Resolver(context, arguments, self._dependencies) as resolver:
            made = {name: await resolver.argument(name, False) for name in self._dependencies}
            return await self._inner(**arguments, **made)

    def _public(
        self, signature: inspect.Signature, by_name: bool, hidden: Collection[str], extra: Collection[str]
    ) -> dict[str, inspect.Parameter]:
        public: dict[str, inspect.Parameter] = {}
        for name, parameter in signature.parameters.items():
            annotation = self.hints.get(name, parameter.annotation)
            if parameter.kind is parameter.VAR_KEYWORD and (by_name or extra):
                more = (each for each in extra if each not in signature.parameters)
                public |= {each: inspect.Parameter(each, parameter.KEYWORD_ONLY, annotation=str) for each in more}
                continue
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
                raise InvalidSignature(
                    f"{self.label}: the parameter {parameter} can't be given by name; "
                    "use named parameters instead of *args, **kwargs and positional-only ones"
                )
            dependency = dependency_of(parameter, annotation)
            if dependency is CONTEXT:
                self._contexts.append(name)
            elif dependency is not None:
                dependency.check()
                self._dependencies[name] = dependency
            elif name not in hidden:
                public[name] = parameter.replace(annotation=annotation, kind=parameter.KEYWORD_ONLY)
            elif parameter.default is parameter.empty or isinstance(parameter.default, pydantic.fields.FieldInfo):
                raise InvalidSignature(f"{self.label}: the hidden parameter {name!r} has no plain default")
        unknown = set(hidden) - set(signature.parameters)
        if unknown:
            raise InvalidSignature(f"{self.label}: has no parameter {', '.join(sorted(unknown))} to hide")
        return public

    def _describe(self, texts: Mapping[str, str]) -> None:
        """Texts for parameters that have none: of the annotation (``Annotated[int, "how many"]``), of the docstring."""
        properties: dict[str, dict[str, Any]] = self.schema["properties"]
        for name, parameter in self.parameters.items():
            text = _annotated_text(parameter.annotation) or texts.get(name)
            if text and name in properties:
                properties[name].setdefault("description", text)

    def _adapter(self, public: dict[str, inspect.Parameter]) -> TypeAdapter[Any]:
        def collect(**arguments: Any) -> dict[str, Any]:
            return arguments

        # Pydantic reads parameters from the signature and their types from the annotations.
        parameters = list(public.values())
        collect.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        collect.__annotations__ = {p.name: p.annotation for p in parameters if p.annotation is not p.empty}
        collect.__module__ = getattr(self.function, "__module__", None) or __name__
        try:
            return TypeAdapter[Any](cast(Any, collect))
        except (PydanticUserError, NameError) as error:
            raise InvalidSignature(f"{self.label}: a parameter has a type that has no JSON schema: {error}") from error


def function_name(function: Callable[..., Any], what: str) -> str:
    """The name a function is registered by. Raises ValueError for a lambda."""
    while isinstance(function, functools.partial):
        function = function.func
    name: str = getattr(function, "__name__", None) or type(function).__name__
    if name == "<lambda>":
        raise ValueError(f"A lambda has no name: give the {what} one with name=")
    return name


def _exact_decoder(parameters: Mapping[str, inspect.Parameter]) -> Callable[[Raw], msgspec.Struct] | None:
    """A decoder of arguments that are what the annotations say to the letter, where these are plain types: it gives
    what pydantic would, in a third of the time."""
    for each in parameters.values():
        if each.name.startswith("__") or not any(each.annotation is kind for kind in _EXACT):
            return None
        if each.default is not each.empty and each.default.__class__ not in _EXACT:
            return None
    fields: list[Any] = [
        (name, each.annotation) if each.default is each.empty else (name, each.annotation, each.default)
        for name, each in parameters.items()
    ]
    kind = msgspec.defstruct("Arguments", fields, kw_only=True, forbid_unknown_fields=True)
    return msgspec.json.Decoder(kind).decode


def _annotated_text(annotation: Any) -> str | None:
    if get_origin(annotation) is not Annotated:
        return None
    return next((part for part in get_args(annotation)[1:] if isinstance(part, str)), None)


def _is_required(parameter: inspect.Parameter) -> bool:
    default = parameter.default
    if isinstance(default, pydantic.fields.FieldInfo):
        return default.is_required()
    if default is parameter.empty and get_origin(parameter.annotation) is Annotated:
        fields = [part for part in get_args(parameter.annotation)[1:] if isinstance(part, pydantic.fields.FieldInfo)]
        return all(field.is_required() for field in fields)
    return default is parameter.empty


def _is_coroutine_function(function: Callable[..., Any]) -> bool:
    if isinstance(function, staticmethod):
        function = function.__func__
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(type(function), "__call__", None)  # noqa: B004 - an object whose __call__ is a coroutine function
    )


def _caller(function: Callable[..., Any], run_in_thread: bool) -> Callable[..., Awaitable[Any]]:
    """A sync function as a coroutine function; what it returns may be awaitable (a lambda around a coroutine).

    What a generator yields is a list, made here, where the function's dependencies are still open.
    """

    def finished(**arguments: Any) -> Any:
        result = function(**arguments)
        return list(cast("Iterable[Any]", result)) if inspect.isgenerator(result) else result

    async def call(**arguments: Any) -> Any:
        if run_in_thread:
            result = await workers.run(functools.partial(finished, **arguments))
        else:
            result = finished(**arguments)
        if result.__class__ in PLAIN:
            return result
        if inspect.isasyncgen(result):
            async with contextlib.aclosing(cast("AsyncGenerator[Any]", result)) as items:
                return [item async for item in items]
        return await result if inspect.isawaitable(result) else result

    return call


def _hints(function: Callable[..., Any], label: str) -> dict[str, Any]:
    plain = annotated(function)
    try:
        return typing.get_type_hints(plain, include_extras=True)
    except NameError:
        pass
    try:  # a Context that the user imports for type checkers only is still meant
        return typing.get_type_hints(plain, localns={"Context": Context}, include_extras=True)
    except NameError as error:
        raise InvalidSignature(f"{label}: an annotation can't be resolved: {error}") from error


def _signature(function: Callable[..., Any], label: str) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise InvalidSignature(f"{label}: no function with a readable signature: {error}") from error


def _schema(adapter: TypeAdapter[Any], label: str) -> JsonSchemaValue:
    try:
        schema = adapter.json_schema(schema_generator=SchemaWriter)
    except PydanticUserError as error:
        raise InvalidSignature(f"{label}: a parameter has a type that has no JSON schema: {error}") from error
    schema.setdefault("type", "object")
    schema.setdefault("properties", {})
    return schema
