"""JSON schema -> a Python type that pydantic validates: dataclasses, builtins, `Literal`, unions.

The schema may come from a stranger: its text is never evaluated or fetched, names are made fit to be identifiers,
patterns run on the engine that takes linear time, and the size of what is built is bounded.

What a type can't say is left out rather than refused: ``not``, ``if``, ``contains``, ``patternProperties``, formats
other than dates, times and UUIDs, rules for members that the schema does not name, patterns with look-around, and
large patterns.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
import keyword
import math
import re
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, Union, cast
from uuid import UUID

import msgspec
import pydantic_core
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, core_schema

from .schema_refs import resolve

__all__ = ["MAX_DEPTH", "MAX_SCHEMAS", "JSONSchema", "json_schema_to_type"]

JSONSchema: TypeAlias = Mapping[str, Any]

MAX_DEPTH = 64
"""Schemas inside of schemas, references followed."""
MAX_SCHEMAS = 5_000
"""Schemas that one type is made of."""
_MAX_PATTERNS = 20_000
"""What compiling the patterns of one type may cost (`_weight`); those beyond it are not checked."""
_MAX_NAME = 100
_LARGE, _LONG = 1e300, 2**31

_FORMATS: dict[Any, Any] = {"date-time": datetime, "date": date, "time": time, "duration": timedelta, "uuid": UUID}
_STRING = {"minLength": "min_length", "maxLength": "max_length"}
_ITEMS = {"minItems": "min_length", "maxItems": "max_length"}
_MEMBERS = {"minProperties": "min_length", "maxProperties": "max_length"}
_NUMBER = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
}
_PLAIN: dict[Any, Any] = {"boolean": bool, "null": None, None: Any}
_BRANCHES = ("anyOf", "oneOf")


def json_schema_to_type(schema: JSONSchema | bool, name: str | None = None) -> Any:
    """The Python type of a schema: for an object with named properties a dataclass, called `name` or its title.

    Absent properties without a default are None, members without a name in the schema are kept as attributes.
    Raises ValueError for a schema that is too large or refers to what is not there, and for a name where the
    schema is no object.
    """
    if isinstance(schema, bool):
        schema = {} if schema else {"enum": []}
    if name is not None and schema.get("type") != "object":
        raise ValueError(f"Only an object gets a name, this schema's type is {schema.get('type')!r}")
    root = dict(schema)
    if name is not None:
        root["title"] = name
    try:
        return _Builder(root).type_of(root, "Root")
    except (LookupError, TypeError, AttributeError, OverflowError) as error:  # `enum` is 3, or `properties` a list
        raise ValueError(f"Not a usable JSON schema: {error}") from error


class _Builder:
    """One schema on its way. What a reference names is built once; one that is being built is named, not entered."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._count = 0
        self._depth = 0
        self._patterns = _MAX_PATTERNS
        self._built: dict[int, Any] = {}
        """By the identity of the schema."""
        self._kept: list[Any] = []
        """Schemas made on the way: an identity is only good while its owner lives."""
        self._objects: dict[int, type] = {}
        """Dataclasses that are being built."""
        self._aliases: dict[int, type[_Alias] | None] = {}
        """Other schemas that are being built; an alias is made where they refer to themselves."""

    def type_of(self, schema: Any, hint: str) -> Any:
        """`hint` names what has no title."""
        self._depth += 1
        try:
            self._spend()
            if isinstance(schema, bool):
                return Any if schema else _NEVER
            if not isinstance(schema, dict):
                raise LookupError(f"a schema is an object, not {type(schema).__name__}")
            return self._known(cast("dict[str, Any]", schema), hint)
        finally:
            self._depth -= 1

    def _spend(self) -> None:
        self._count += 1
        if self._depth > MAX_DEPTH or self._count > MAX_SCHEMAS:
            raise LookupError("it is too large or too deep to make a type of it")

    def _known(self, schema: dict[str, Any], hint: str) -> Any:
        key = id(schema)
        for known in (self._built, self._objects):
            if key in known:
                return known[key]
        if key in self._aliases:
            alias = self._aliases[key] = self._aliases[key] or type("Recursive", (_Alias,), {})
            return alias
        self._aliases[key] = None
        self._kept.append(schema)
        built = self._new(schema, hint, key)
        alias = self._aliases.pop(key)
        if alias is not None:
            alias.target = Any if built is alias else built
            built = alias
        self._built[key] = built
        return built

    def _new(self, schema: dict[str, Any], hint: str, key: int) -> Any:
        if "$ref" in schema:
            target = resolve(self._root, schema["$ref"])
            if not (schema.keys() - _NOTES):
                return self.type_of(target, str(schema["$ref"]).rpartition("/")[2].strip("#") or "Root")
        if "const" in schema:
            return _one_of([schema["const"]])
        if "enum" in schema:
            return _one_of(list(schema["enum"]))
        if "allOf" in schema or "$ref" in schema:
            return self.type_of(self._merged(schema), hint)
        for branches in _BRANCHES:
            if branches in schema:
                rest = {word: value for word, value in schema.items() if word not in (branches, *_NOTES)}
                return _union(self.type_of(_both(rest, part), hint) for part in schema[branches])
        kind = schema.get("type")
        if isinstance(kind, list):
            kinds = cast("list[Any]", kind)
            return _union(self.type_of({**schema, "type": one}, hint) for one in kinds)
        if kind == "object" or (kind is None and "properties" in schema):
            return self._object(schema, hint, key)
        if kind == "array" or (kind is None and ("items" in schema or "prefixItems" in schema)):
            return self._array(schema, hint)
        if kind == "string":
            return self._string(schema)
        return _scalar(kind, schema)

    def _merged(self, schema: dict[str, Any]) -> dict[str, Any]:
        """``allOf``, and a reference with rules beside it, as one schema."""
        merged = {word: value for word, value in schema.items() if word not in ("allOf", "$ref")}
        parts: list[Any] = [*schema.get("allOf", ())]
        if len(parts) == 1 and not merged.keys() - _NOTES:
            merged = {}  # nothing but a note on what is referred to
        if "$ref" in schema:
            parts.insert(0, {"$ref": schema["$ref"]})
        for part in parts:
            both = _both(merged, self._followed(part))
            if isinstance(both, bool):
                return {"enum": []}
            merged = both
        return merged

    def _followed(self, part: Any) -> Any:
        """What a schema refers to, and the rules beside the reference."""
        for _ in range(MAX_DEPTH):
            self._spend()
            if not isinstance(part, dict) or "$ref" not in part:
                return cast("Any", part)
            found = cast("dict[str, Any]", part)
            part = _both(
                {word: value for word, value in found.items() if word != "$ref"}, resolve(self._root, found["$ref"])
            )
        raise LookupError("references lead in a circle")

    def _string(self, schema: dict[str, Any]) -> Any:
        """Dates, times and UUIDs as such; other formats, an e-mail address say, are strings."""
        kind = _FORMATS.get(schema.get("format"))
        if kind is not None:
            return kind
        bounds = _bounds(schema, _STRING)
        pattern = schema.get("pattern")
        if isinstance(pattern, str):
            self._patterns -= _weight(pattern)
            if self._patterns >= 0 and _usable(pattern):
                bounds["pattern"] = pattern
        return _with(str, bounds)

    # Objects

    def _object(self, schema: dict[str, Any], hint: str, key: int) -> Any:
        properties: dict[str, Any] = schema.get("properties") or {}
        more: Any = schema.get("additionalProperties", True)
        if not properties:
            value: Any = Any if isinstance(more, bool) else self.type_of(more, f"{hint}Value")
            bounds = _bounds(schema, _MEMBERS)
            if more is False and "patternProperties" not in schema:
                bounds["max_length"] = 0
            return _with(dict[str, value], bounds)
        title = schema.get("title")
        cls = type(_identifier(title if isinstance(title, str) else hint, "Root"), (), {})
        cls.__module__ = __name__
        self._objects[key] = cls
        required = set(schema.get("required", ()))
        annotations: dict[str, Any] = {}
        taken: set[str] = set()
        for name, part in properties.items():
            attribute = _identifier(name, "field", taken)
            taken.add(attribute)
            self._field(cls, annotations, attribute, name, part, name in required)
        cls.__annotations__ = annotations
        closed = more is False and "patternProperties" not in schema
        config = ConfigDict(extra="forbid" if closed else "allow", validate_default=True, populate_by_name=True)
        cls.__pydantic_config__ = config  # pyright: ignore[reportAttributeAccessIssue] - how a dataclass is configured
        del self._objects[key]
        return dataclasses.dataclass(kw_only=True)(cls)

    def _field(
        self, cls: type, annotations: dict[str, Any], attribute: str, name: str, part: Any, required: bool
    ) -> None:
        annotation = self.type_of(part, f"{cls.__name__}_{attribute}")
        has_default = isinstance(part, dict) and "default" in part
        if not (required or has_default):
            annotation = _union((annotation, None))
        if attribute != name:
            annotation = Annotated[annotation, Field(alias=name)]
        annotations[attribute] = annotation
        if has_default:
            default = cast("dict[str, Any]", part)["default"]
            setattr(cls, attribute, dataclasses.field(default_factory=functools.partial(copy.deepcopy, default)))
        elif not required:
            setattr(cls, attribute, None)

    # Arrays

    def _array(self, schema: dict[str, Any], hint: str) -> Any:
        items: Any = schema.get("items", True)
        first: Any = schema.get("prefixItems")
        if isinstance(items, list):  # before 2020-12
            first, items = cast("list[Any]", items), schema.get("additionalItems", True)
        hint = f"{hint}Item"
        if first:
            parts = [self.type_of(part, f"{hint}{number}") for number, part in enumerate(first, 1)]
            closed = items is False or schema.get("maxItems") == len(parts)
            if closed and schema.get("minItems", len(parts) if items is False else 0) == len(parts):
                return tuple[tuple(parts)]
            return _with(list[Any], _bounds(schema, _ITEMS))
        item = self.type_of(items, hint)
        if schema.get("uniqueItems") is True:
            if item in (str, int, float, bool):
                return _with(set[item], _bounds(schema, _ITEMS))
            return Annotated[_with(list[item], _bounds(schema, _ITEMS)), AfterValidator(_all_differ)]
        return _with(list if items is True else list[item], _bounds(schema, _ITEMS))


class _Alias:
    """A type that contains itself and is no dataclass, such as "a string or a list of such"."""

    target: ClassVar[Any] = Any

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        entered, name = _entered.get(), f"headrace-recursive-{id(cls)}"
        if name in entered:
            return core_schema.definition_reference_schema(name)
        token = _entered.set(entered | {name})
        try:
            return core_schema.chain_schema([handler.generate_schema(cls.target)], ref=name)
        finally:
            _entered.reset(token)


_entered: ContextVar[frozenset[str]] = ContextVar("aliases that are being described to pydantic", default=frozenset())

_NOTES = frozenset(
    ("$ref", "$schema", "$id", "$defs", "definitions", "title", "description", "default", "examples", "deprecated")
)


def _scalar(kind: Any, schema: dict[str, Any]) -> Any:
    if kind in ("integer", "number"):
        return _with(int if kind == "integer" else float, _bounds(schema, _NUMBER))
    if kind not in _PLAIN:
        raise LookupError(f"there is no type {kind!r}")
    return _PLAIN[kind]


def _usable(pattern: str) -> bool:
    """Whether the linear-time engine knows the pattern."""
    try:
        TypeAdapter(Annotated[str, Field(pattern=pattern)])
    except pydantic_core.SchemaError:
        return False
    return True


def _weight(pattern: str) -> int:
    """About how large the automaton of a pattern gets: repetitions inside of repetitions multiply."""
    return len(pattern) * math.prod(int(number[:7]) + 1 for number in re.findall(r"[{,](\d+)", pattern))


def _bounds(schema: dict[str, Any], words: Mapping[str, str]) -> dict[str, Any]:
    bounds: dict[str, Any] = {}
    for word, name in words.items():
        number: Any = schema.get(word)
        if not isinstance(number, int | float) or isinstance(number, bool) or not -_LARGE < number < _LARGE:
            continue
        if name.endswith("length"):
            bounds[name] = min(max(int(number), 0), _LONG)
        elif name != "multiple_of" or number > 0:
            bounds[name] = number
    return bounds


def _with(kind: Any, bounds: dict[str, Any]) -> Any:
    return Annotated[kind, Field(**bounds)] if bounds else kind


def _both(one: dict[str, Any], other: Any) -> dict[str, Any] | Literal[False]:
    """A schema that means both, as far as one type can: properties and required ones together, later words win."""
    if isinstance(other, bool):
        return one if other else False
    if not isinstance(other, dict):
        raise LookupError(f"a schema is an object, not {type(other).__name__}")
    second = cast("dict[str, Any]", other)
    if not one:
        return second  # its identity is how a recursive schema is found again
    merged = {**one, **second}
    for word in ("properties", "$defs"):
        if word in one and word in second:
            merged[word] = {**one[word], **second[word]}
    if "required" in one and "required" in second:
        merged["required"] = [*one["required"], *second["required"]]
    if "allOf" in one and "allOf" in second:
        merged["allOf"] = [*one["allOf"], *second["allOf"]]
    return merged


def _union(parts: Any) -> Any:
    kinds = tuple(parts)
    return Union[kinds] if kinds else _NEVER  # noqa: UP007 - the members are only known now


def _one_of(values: list[Any]) -> Any:
    """`Literal` where Python has one for the values."""
    if values and all(value is None or isinstance(value, str | int) for value in values):
        return Literal[tuple(values)]
    marked = [_marked(value) for value in values]

    def check(value: Any) -> Any:
        if _marked(value) not in marked:
            raise ValueError("none of the values that are allowed here" if values else "no value is allowed here")
        return value

    return Annotated[Any, BeforeValidator(check)]


def _marked(value: Any) -> Any:
    """Equal for equal JSON only: Python takes True for 1."""
    if isinstance(value, dict):
        return {key: _marked(part) for key, part in cast("dict[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_marked(part) for part in cast("list[Any]", value)]
    return (isinstance(value, bool), value)


def _all_differ(values: list[Any]) -> list[Any]:
    if len({msgspec.json.encode(value, order="sorted") for value in values}) < len(values):
        raise ValueError("the items must differ from each other")
    return values


def _identifier(text: str, otherwise: str, taken: set[str] | frozenset[str] = frozenset()) -> str:
    """A Python name for any text."""
    name = re.sub(r"\W", "_", text[:_MAX_NAME], flags=re.ASCII)
    if not name.strip("_") or name.startswith("__"):
        name = f"{otherwise}{name}"
    if name[0].isdigit():
        name = f"_{name}"
    if keyword.iskeyword(name):
        name += "_"
    numbered = (f"{name}_{number}" for number in itertools.count(2))
    return name if name not in taken else next(each for each in numbered if each not in taken)


_NEVER: Any = _one_of([])
