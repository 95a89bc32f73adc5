"""What a function's docstring says: about the function, and about each parameter."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Documented", "documented"]

_SECTIONS = re.compile(
    r"^(Args|Arguments|Parameters|Params|Returns?|Raises|Yields|Keyword Args|Attributes|Examples?)\s*(:\s*$|\n\s*-{3,})"
    r"|^:(param|type|returns?|rtype|raises)\b",
    re.MULTILINE,
)
"""Where a docstring of the Google, NumPy or Sphinx style stops being prose."""


class Documented(NamedTuple):
    description: str | None
    parameters: dict[str, str]


def documented(function: Callable[..., Any]) -> Documented:
    """The prose of the docstring, and its text for each parameter (Google, NumPy and Sphinx style).

    For a callable object they are those of its class and of its ``__call__``.
    """
    while isinstance(function, functools.partial):
        function = function.func
    if not getattr(function, "__name__", None):
        call = type(function).__call__
        called = documented(call) if call.__doc__ else Documented(None, {})  # not what Python says of any call
        return Documented(documented(type(function)).description or called.description, called.parameters)
    text = (inspect.getdoc(function) or "").strip()
    if not text or not _SECTIONS.search(text):
        return Documented(text or None, {})
    # A doorway: most servers have plain docstrings and do without the library.
    import docstring_parser

    try:
        # It dedents what is dedented already, which a first line without indent would spoil.
        parsed = docstring_parser.parse("\n" + text)
    except Exception:  # the parser stumbles over odd docstrings in many ways; those are prose
        return Documented(text, {})
    parts = [part for part in (parsed.short_description, parsed.long_description) if part]
    prose = ("\n\n" if parsed.blank_after_short_description else "\n").join(parts)
    parameters = {each.arg_name.lstrip("*"): each.description for each in parsed.params if each.description}
    return Documented(prose or None, parameters)
