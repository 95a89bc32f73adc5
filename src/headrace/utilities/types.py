"""Media helpers, and what helps to look at types and signatures, at the path that FastMCP users know."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterable, Mapping
from types import EllipsisType
from typing import Annotated, Any, TypeAlias, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ..types import Annotations, Audio, ContentBlock, File, Image

__all__ = [
    "Annotations",
    "Audio",
    "ContentBlock",
    "FastMCPBaseModel",
    "File",
    "Image",
    "NotSet",
    "NotSetT",
    "create_function_without_params",
    "find_kwarg_by_type",
    "get_cached_typeadapter",
    "get_fn_name",
    "is_class_member_of_type",
    "issubclass_safe",
    "replace_type",
]

T = TypeVar("T")

NotSet = ...
"""Stands for "nothing was given" where None is a value."""
NotSetT: TypeAlias = EllipsisType


class FastMCPBaseModel(BaseModel):
    """A pydantic model that refuses members it does not know."""

    model_config = ConfigDict(extra="forbid")


def get_fn_name(fn: Callable[..., Any]) -> str:
    return fn.__name__


@functools.lru_cache(maxsize=1000)
def get_cached_typeadapter(cls: Any) -> TypeAdapter[Any]:
    """The `TypeAdapter` of a type or function, made once. A text in ``Annotated[int, "how many"]`` is a description."""
    told: Any = cls
    if inspect.isfunction(cls) or inspect.ismethod(cls):
        hints = _hints(cls)
        described = {name: _described(hint) for name, hint in hints.items()}
        told = cls if described == hints else _retold(cls, described, ())
    return TypeAdapter(told)


def issubclass_safe(cls: Any, base: type) -> bool:
    """Whether it is a class below `base`; a generic alias counts as its class, what is no class as False."""
    cls = get_origin(cls) or cls
    return isinstance(cls, type) and issubclass(cls, base)


def is_class_member_of_type(cls: Any, base: type) -> bool:
    """Whether an annotation means `base`, also as a member of a union or inside `Annotated`; not ``list[base]``."""
    origin = get_origin(cls)
    if origin in (Union, types.UnionType):
        return any(is_class_member_of_type(part, base) for part in get_args(cls))
    if origin is Annotated:
        return is_class_member_of_type(get_args(cls)[0], base)
    return issubclass_safe(cls, base)


def find_kwarg_by_type(fn: Callable[..., Any], kwarg_type: type) -> str | None:
    """The name of the first parameter that is annotated with the type; None if none is."""
    hints = _hints(fn)
    for name, parameter in inspect.signature(fn).parameters.items():
        if is_class_member_of_type(hints.get(name, parameter.annotation), kwarg_type):
            return name
    return None


def create_function_without_params(fn: Callable[..., T], exclude_params: Iterable[str]) -> Callable[..., T]:
    """The function, seen without these parameters, which keep their defaults."""
    return _retold(fn, dict(getattr(fn, "__annotations__", {})), tuple(exclude_params))


def replace_type(type_: Any, type_map: Mapping[Any, Any]) -> Any:
    """The type with others put in: ``replace_type(list[int | bool], {int: str})`` is ``list[str | bool]``."""
    if type_ in type_map:
        return type_map[type_]
    origin = get_origin(type_)
    if origin is None:
        return type_
    parts = tuple(replace_type(part, type_map) for part in get_args(type_))
    return Union[parts] if origin is types.UnionType else origin[parts]  # noqa: UP007 - the members are only known now


def _hints(fn: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(fn, include_extras=True)
    except (NameError, TypeError):  # a name that is not there yet, or a callable without annotations
        return dict(getattr(fn, "__annotations__", {}))


def _described(hint: Any) -> Any:
    if get_origin(hint) is not Annotated:
        return hint
    kind, *extras = get_args(hint)
    described = (Field(description=extra) if isinstance(extra, str) else extra for extra in extras)
    return Annotated[(kind, *described)]


def _retold(fn: Callable[..., Any], hints: dict[str, Any], without: tuple[str, ...]) -> Callable[..., Any]:
    """A function that calls `fn`, with other annotations and fewer parameters."""

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    del call.__wrapped__
    signature = inspect.signature(fn)
    parameters = [
        parameter.replace(annotation=hints.get(name, parameter.annotation))
        for name, parameter in signature.parameters.items()
        if name not in without
    ]
    told = cast("Any", call)
    told.__annotations__ = {name: hint for name, hint in hints.items() if name not in without}
    told.__signature__ = signature.replace(parameters=parameters)
    return told
