"""Response types -> form schemas -> answers.

A form is flat: properties of primitive types, choices, and multiple choices, all inline (2026-07-28, client,
elicitation, Requested Schema). What pydantic says beyond that is left out of the form where it only narrows a
value, since the answer is checked against the full type; what no form can hold is a TypeError.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, Literal, TypeVar, cast

import msgspec
import pydantic
from msgspec import Raw
from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError

from ..call import Peer
from ..exceptions import UnsupportedByClient, ValidationError
from ..protocol.downgrade import fit_answer
from ..protocol.json_bounds import holds_infinity
from ..protocol.jsonrpc import encode
from ..protocol.types import CreateMessageResult, ElicitRequestParams, ElicitResult, ListRootsResult
from .json_schema import JsonSchema

__all__ = [
    "AcceptedElicitation",
    "CancelledElicitation",
    "DeclinedElicitation",
    "Form",
    "elicit",
    "elicit_url",
    "form",
    "input_response",
    "require",
]

T = TypeVar("T")
Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class AcceptedElicitation(Generic[T]):
    """The user answered."""

    data: T
    action: Literal["accept"] = "accept"


@dataclass(frozen=True, slots=True)
class DeclinedElicitation:
    """The user said no."""

    action: Literal["decline"] = "decline"


@dataclass(frozen=True, slots=True)
class CancelledElicitation:
    """The user closed the question without an answer."""

    action: Literal["cancel"] = "cancel"


class Form:
    """What is asked (`schema`) and how an answer becomes a value (`read`: content -> value, or ValidationError)."""

    __slots__ = ("read", "schema", "single")

    def __init__(self, schema: Schema, read: Callable[[Raw], Any], single: bool = False) -> None:
        """`single`: the form has one field, `value`, that the framework put around what was asked for."""
        self.schema = schema
        self.read = read
        self.single = single

    def labelled(self, title: str | None, description: str | None) -> Form:
        """The form with these texts at its field. Raises TypeError for a form whose fields are the caller's."""
        texts = {"title": title, "description": description}
        given = {name: text for name, text in texts.items() if text is not None}
        if not given:
            return self
        if not self.single:
            raise TypeError(
                "elicit: response_title and response_description are for single values; a model's fields have their "
                "own, as in Field(title=...)"
            )
        schema = {**self.schema, "properties": {"value": {**self.schema["properties"]["value"], **given}}}
        return Form(schema, self.read, True)


class _Answer(msgspec.Struct):
    action: Literal["accept", "decline", "cancel"]
    content: Raw = Raw(b"")


_decode = msgspec.json.Decoder(_Answer).decode


def require(peer: Peer, declared: bool, what: str, capabilities: dict[str, Any]) -> None:
    """Raises UnsupportedByClient unless the client declared what is needed."""
    if not declared:
        raise UnsupportedByClient(
            f"The client can't {what}: it did not declare that capability", capabilities=capabilities
        )


async def elicit(
    peer: Peer, message: str, asked: Form, key: str | None
) -> AcceptedElicitation[Any] | DeclinedElicitation | CancelledElicitation:
    """See `Context.elicit`."""
    if not peer.era.elicitation:
        raise UnsupportedByClient("The protocol revision of this client has no elicitation")
    modes = peer.capabilities.elicitation
    # An empty object means form mode only.
    forms = modes is not None and ("form" in modes or "url" not in modes)
    require(peer, forms, "ask its user to fill in a form", {"elicitation": {"form": {}}})

    def check(answer: Raw) -> AcceptedElicitation[Any] | DeclinedElicitation | CancelledElicitation:
        decoded = _decode(answer)
        if decoded.action == "accept":
            content = decoded.content
            if content and not peer.era.typed_elicitation_defaults:
                content = _typed(content, asked.schema)
            return AcceptedElicitation(asked.read(content))
        return DeclinedElicitation() if decoded.action == "decline" else CancelledElicitation()

    params = ElicitRequestParams(message=message, mode="form", requested_schema=asked.schema)
    return await peer.ask("elicitation/create", params, key=key, check=check)


async def elicit_url(
    peer: Peer, message: str, url: str, key: str | None, elicitation_id: str | None
) -> AcceptedElicitation[None] | DeclinedElicitation | CancelledElicitation:
    """See `Context.elicit_url`."""
    if not peer.era.url_elicitation:
        raise UnsupportedByClient("The protocol revision of this client has no URL elicitation")
    modes = peer.capabilities.elicitation
    require(peer, modes is not None and "url" in modes, "ask its user to open a URL", {"elicitation": {"url": {}}})
    if not peer.era.elicitation_ids:
        elicitation_id = None  # a fresh one would make each replay another question
    elif elicitation_id is None:
        elicitation_id = secrets.token_urlsafe(16)
    params = ElicitRequestParams(message=message, mode="url", url=url, elicitation_id=elicitation_id)
    return await peer.ask("elicitation/create", params, key=key, check=_url_answer)


def _typed(content: Raw, schema: Schema) -> Raw:
    """An answer to a form that was simplified for an older revision, as the form itself would have it."""
    decoded = msgspec.json.decode(content)
    if not isinstance(decoded, dict):
        return content
    return Raw(encode(fit_answer(cast(dict[str, Any], decoded), schema)))


def _url_answer(answer: Raw) -> AcceptedElicitation[None] | DeclinedElicitation | CancelledElicitation:
    action = _decode(answer).action
    if action == "accept":
        return AcceptedElicitation(None)
    return DeclinedElicitation() if action == "decline" else CancelledElicitation()


def form(response_type: Any) -> Form:
    """The form for a response type. Raises TypeError for what no form can hold."""
    if response_type is None or response_type is type(None):
        return _EMPTY
    if isinstance(response_type, dict):
        given = cast(dict[str, Any], response_type)
        return _schema_form(given) if given.get("type") == "object" else _choice_form(_titled(given), False)
    if isinstance(response_type, list):
        items = cast(list[Any], response_type)
        if len(items) == 1 and isinstance(items[0], list):
            return _choice_form(_untitled(cast(list[Any], items[0])), True)
        if len(items) == 1 and isinstance(items[0], dict):
            return _choice_form(_titled(cast(dict[str, Any], items[0])), True)
        return _choice_form(_untitled(items), False)
    try:
        return _typed_form(response_type)
    except PydanticUserError as error:
        raise TypeError(f"elicit: {response_type!r} has no form: {error}") from error


_EMPTY = Form({"type": "object", "properties": {}}, lambda content: {})


def _untitled(values: list[Any]) -> Schema:
    return {"enum": [str(value) for value in values]}


def _titled(choices: dict[str, Any]) -> Schema:
    """``{"low": {"title": "Low priority"}}`` or ``{"low": "Low priority"}``."""
    options: list[Schema] = []
    for value, label in choices.items():
        title = cast(dict[str, Any], label).get("title", value) if isinstance(label, dict) else label
        if not isinstance(title, str):
            raise TypeError("elicit: a dict is a JSON schema of type object, or choices with their titles")
        options.append({"const": value, "title": title})
    return {"oneOf": options}


def _choice_form(choices: Schema, several: bool) -> Form:
    if not several:
        value: Schema = {"type": "string", **choices}
    elif "oneOf" in choices:
        value = {"type": "array", "items": {"anyOf": choices["oneOf"]}}
    else:
        value = {"type": "array", "items": {"type": "string", **choices}}
    schema: Schema = {"type": "object", "properties": {"value": value}, "required": ["value"]}
    checked = JsonSchema(schema, "elicit")
    return Form(schema, lambda content: checked.decode(content, "The answer does not fit")["value"], True)


def _schema_form(schema: Schema) -> Form:
    for name, property in schema.get("properties", {}).items():
        _field(property, {}, name)
    checked = JsonSchema(schema, "elicit")
    return Form(schema, lambda content: checked.decode(content, "The answer does not fit"))


@lru_cache(maxsize=256)
def _typed_form(response_type: Any) -> Form:
    adapter: TypeAdapter[Any] = TypeAdapter(response_type)
    schema = adapter.json_schema()
    definitions: Schema = schema.get("$defs", {})
    schema = _resolve(schema, definitions)
    single = schema.get("type") != "object"
    if single:
        model = pydantic.create_model("Answer", value=(response_type, ...))
        adapter = TypeAdapter(model)
        schema = adapter.json_schema()
        definitions = schema.get("$defs", {})
    elif "properties" not in schema and schema.get("additionalProperties"):
        raise TypeError(f"elicit: {response_type!r} has no fixed fields; use a dataclass or a model")
    flat: Schema = {"type": "object", "properties": {}}
    required: list[str] = schema.get("required", [])
    for name, property in schema.get("properties", {}).items():
        flat["properties"][name] = _field(property, definitions, name, titled=not single)
    if required:
        flat["required"] = required
    read = _reader(adapter)
    return Form(flat, (lambda content: read(content).value) if single else read, single)


def _reader(adapter: TypeAdapter[Any]) -> Callable[[Raw], Any]:
    def read(content: Raw) -> Any:
        if holds_infinity(content):
            raise ValidationError("The answer does not fit: a number is out of range")
        try:
            return adapter.validator.validate_json(bytes(content) or b"{}")
        except pydantic.ValidationError as error:
            lines = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_url=False)]
            raise ValidationError("The answer does not fit:\n" + "\n".join(lines)) from None

    return read


_KEPT = {
    "string": ("title", "description", "minLength", "maxLength", "format", "default", "enum", "enumNames", "oneOf"),
    "number": ("title", "description", "minimum", "maximum", "default"),
    "integer": ("title", "description", "minimum", "maximum", "default"),
    "boolean": ("title", "description", "default"),
    "array": ("title", "description", "minItems", "maxItems", "default"),
}
_FORMATS = ("email", "uri", "date", "date-time")


def _field(schema: Schema, definitions: Schema, name: str, *, titled: bool = True) -> Schema:
    """One property as a form may show it. Raises TypeError for what is not flat."""
    schema = _resolve(_without_null(_resolve(schema, definitions)), definitions)
    if "const" in schema and "type" in schema:
        schema = {**schema, "enum": [schema["const"]]}
    kind = schema.get("type")
    if kind not in _KEPT:
        raise TypeError(f"elicit: the field {name!r} is not flat: forms hold text, numbers, booleans and choices")
    field: Schema = {"type": kind} | {key: schema[key] for key in _KEPT[kind] if key in schema}
    if field.get("default", ...) is None:
        del field["default"]
    if "enum" in schema and kind != "string":
        raise TypeError(f"elicit: the choices of the field {name!r} are not strings")
    if field.get("format", "date") not in _FORMATS:
        del field["format"]
    if not titled:
        field.pop("title", None)
    if kind == "array":
        field["items"] = _items(_resolve(schema.get("items", {}), definitions), name)
    return field


def _items(items: Schema, name: str) -> Schema:
    """The choices of a field that takes several."""
    if "const" in items:
        items = {**items, "enum": [items["const"]]}
    if "enum" in items and items.get("type", "string") == "string":
        return {"type": "string", "enum": items["enum"]}
    for keyword in ("anyOf", "oneOf"):
        options = items.get(keyword)
        if options and all("const" in option for option in options):
            return {"anyOf": options}
    raise TypeError(f"elicit: the field {name!r} is not flat: only lists of choices fit into a form")


def _without_null(schema: Schema) -> Schema:
    """``X | None`` as X: leaving a field out is how a form says None."""
    options = schema.get("anyOf")
    if not options:
        return schema
    rest = [option for option in options if option.get("type") != "null"]
    if len(rest) != 1 or len(rest) == len(options):
        return schema
    return rest[0] | {key: value for key, value in schema.items() if key != "anyOf"}


def _resolve(schema: Schema, definitions: Schema) -> Schema:
    """The schema a ``$ref`` points to, with what stands beside the reference."""
    reference = schema.get("$ref")
    if reference is None:
        return schema
    target: Schema = definitions.get(str(reference).removeprefix("#/$defs/"), {})
    return target | {key: value for key, value in schema.items() if key not in ("$ref", "$defs")}


_ANSWERS: tuple[tuple[str, Any], ...] = (
    ("action", ElicitResult),
    ("roots", ListRootsResult),
    ("model", CreateMessageResult),
)
"""A member that only answers of this kind have."""


def input_response(answer: Raw) -> Any:
    """An answer to a question that a function put into its result: typed by its members, else as it came."""
    value: Any = msgspec.json.decode(answer)
    for member, kind in _ANSWERS:
        if isinstance(value, dict) and member in value:
            try:
                return msgspec.convert(value, kind)
            except msgspec.ValidationError:
                return value  # pyright: ignore[reportUnknownVariableType]
    return value  # pyright: ignore[reportUnknownVariableType]
