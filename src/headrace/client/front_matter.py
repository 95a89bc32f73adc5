"""The YAML at the head of a SKILL.md, held against what its entry says. Needs PyYAML."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, cast

import yaml

__all__ = ["MAX_FRONT_MATTER", "says"]

MAX_FRONT_MATTER = 16 * 1024
"""Characters. YAML is read by Python code: what is made to take long takes two seconds of a thread, not more."""
_FRONT_MATTER = re.compile(r"\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)


def says(text: str, value: Any) -> bool:
    """Whether the front matter at the head of the text says this JSON value. Raises ValueError for what is none."""
    found = _FRONT_MATTER.match(text[:MAX_FRONT_MATTER])
    if found is None:
        raise ValueError(f"there is none within {MAX_FRONT_MATTER} characters")
    compose = cast("Callable[..., yaml.Node | None]", yaml.compose)  # pyright: ignore[reportUnknownMemberType]
    try:
        return _says(compose(found[1], Loader=yaml.SafeLoader), value)
    except (RecursionError, yaml.YAMLError) as error:
        raise ValueError(str(error)) from None


def _says(node: yaml.Node | None, value: Any) -> bool:
    """Whether the YAML says this JSON value.

    Nothing is built of the YAML: an alias can't make much out of little.
    """
    members: Any = value
    if isinstance(node, yaml.MappingNode):
        pairs = {key.value: child for key, child in node.value if isinstance(key, yaml.ScalarNode)}
        return (
            isinstance(value, dict)
            and len(pairs) == len(node.value) == len(members)
            and all(key in members and _says(child, members[key]) for key, child in pairs.items())
        )
    if isinstance(node, yaml.SequenceNode):
        return isinstance(value, list) and len(node.value) == len(members) and all(map(_says, node.value, members))
    return isinstance(node, yaml.ScalarNode) and any(
        reading == value and isinstance(reading, bool) == isinstance(value, bool) for reading in _readings(node)
    )


def _readings(scalar: yaml.ScalarNode) -> Iterator[Any]:
    """A plain scalar as YAML 1.2 reads it (10.3.2, core schema), and as YAML 1.1 does: servers use either."""
    text = scalar.value
    if scalar.style:
        yield text
        return
    yield yaml.constructor.SafeConstructor().construct_object(scalar)  # pyright: ignore[reportUnknownMemberType]
    if re.fullmatch(r"[-+]?[0-9]+", text):
        yield int(text)
    elif re.fullmatch(r"[-+]?(\.[0-9]+|[0-9]+\.?[0-9]*)([eE][-+]?[0-9]+)?", text):
        yield float(text)
    elif text not in ("", "~", "null", "Null", "NULL", "true", "True", "TRUE", "false", "False", "FALSE"):
        yield text
