"""URI templates, matched in linear time.

``{name}`` is one path segment or a part of one, ``{name*}`` any number of segments; ``{?a,b}`` and ``{&c}`` at the
end are optional query parameters, ``{?tags*}`` one that may be repeated. A hyphen in a name is an underscore in
Python. A match is found by carrying the set of positions that a prefix of the template can end at through the URI,
so no URI makes it slow: the cost is parts times length.

Values are percent-decoded and not judged: `resources.security` does that.
"""

from __future__ import annotations

import re
from string import printable
from typing import Any
from urllib.parse import parse_qsl, quote, unquote_to_bytes

__all__ = ["MAX_QUERY_FIELDS", "MAX_URI", "UriTemplate"]

MAX_URI = 8192
"""Longer URIs match nothing."""

MAX_QUERY_FIELDS = 100
"""A query with more of them is not looked at."""

_BRACES = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
_ASCII = printable.strip()
_LITERAL, _SEGMENT, _WILDCARD = 0, 1, 2


class UriTemplate:
    """One template. Raises ValueError for one that can't be understood."""

    __slots__ = ("_parts", "_query", "_repeated", "path_names", "query_names", "segment_names", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.path_names: list[str] = []
        self.segment_names: set[str] = set()
        """Those of the path that stand for one segment."""
        self.query_names: list[str] = []
        self._query: dict[str, str] = {}
        """Query parameters as the URI spells them -> as Python does."""
        self._repeated: set[str] = set()
        self._parts: list[tuple[int, str]] = []
        self._parse()

    @property
    def names(self) -> list[str]:
        return self.path_names + self.query_names

    def _parse(self) -> None:
        position = 0
        for match in _BRACES.finditer(self.text):
            self._literal(self.text[position : match.start()])
            if match[1].startswith(("?", "&")):
                self._query_variables(match[1][1:])
            else:
                self._variable(match[1])
            position = match.end()
        self._literal(self.text[position:])
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"A parameter appears twice in the URI template {self.text!r}")

    def _literal(self, text: str) -> None:
        if "{" in text or "}" in text:
            raise ValueError(f"Unbalanced braces in the URI template {self.text!r}")
        if text:
            self._before_query()
            self._parts.append((_LITERAL, _encoded(text)))

    def _query_variables(self, text: str) -> None:
        for each in text.split(","):
            raw = each.strip().removesuffix("*")
            name = self._name(raw)
            self.query_names.append(name)
            self._query[raw] = name
            if each.strip().endswith("*"):
                self._repeated.add(name)

    def _variable(self, text: str) -> None:
        self._before_query()
        kind = _WILDCARD if text.endswith("*") else _SEGMENT
        name = self._name(text.removesuffix("*"))
        if self._parts and self._parts[-1][0] != _LITERAL:
            raise ValueError(f"Two parameters touch each other in the URI template {self.text!r}")
        self._parts.append((kind, name))
        self.path_names.append(name)
        if kind == _SEGMENT:
            self.segment_names.add(name)

    def _before_query(self) -> None:
        if self.query_names:
            raise ValueError(f"The query parameters come last in a URI template: {self.text!r}")

    def _name(self, name: str) -> str:
        if not _NAME.match(name):
            raise ValueError(f"{name!r} is no parameter name, in the URI template {self.text!r}")
        return name.replace("-", "_")

    def match(self, uri: str) -> dict[str, Any] | None:
        """The decoded values by name, or None; a parameter that may be repeated has a list.

        Query parameters that the template does not name are ignored, as is all but the first value of a name.
        """
        if len(uri) > MAX_URI:
            return None
        uri = _encoded(uri)
        query = ""
        if self.query_names:
            uri, _, query = uri.partition("?")
        reached = self._walk(uri)
        values = None if reached is None else self._values(uri, reached)
        if values is not None and query and query.count("&") < MAX_QUERY_FIELDS:
            self._read_query(query, values)
        return values

    def _read_query(self, query: str, values: dict[str, Any]) -> None:
        for raw, value in parse_qsl(query, keep_blank_values=True):
            name = self._query.get(raw)
            if name in self._repeated:
                values.setdefault(name, []).append(value)
            elif name is not None:
                values.setdefault(name, value)

    def _walk(self, uri: str) -> list[set[int]] | None:
        """For each part the positions at which it can begin, or None where the end is not reached."""
        here = {0}
        reached: list[set[int]] = []
        for kind, text in self._parts:
            reached.append(here)
            if kind == _LITERAL:
                here = {position + len(text) for position in here if uri.startswith(text, position)}
            elif kind == _SEGMENT:
                here = _spread(uri, here)
            else:
                first = min(here)
                here = set(range(first + 1, _end(uri, first, "?#") + 1))
            if not here:
                return None
        return reached if len(uri) in here else None

    def _values(self, uri: str, reached: list[set[int]]) -> dict[str, Any] | None:
        """Walk back from the end; where several splits are possible, the earlier parameter takes most."""
        values: dict[str, Any] = {}
        position = len(uri)
        for (kind, text), starts in zip(reversed(self._parts), reversed(reached), strict=True):
            if kind == _LITERAL:
                position -= len(text)
                continue
            floor = uri.rfind("/", 0, position) + 1 if kind == _SEGMENT else 0
            start = max(begin for begin in starts if floor <= begin < position)
            value = _decoded(uri[start:position])
            if value is None:
                return None
            values[text] = value
            position = start
        return dict(reversed(values.items()))


def _spread(uri: str, starts: set[int]) -> set[int]:
    """Where one or more characters of a segment can end that begin at one of `starts`."""
    ends: set[int] = set()
    covered = -1
    for start in sorted(starts):
        if start < covered:  # the segment is covered from an earlier start
            continue
        covered = _end(uri, start, "/?#")
        ends.update(range(start + 1, covered + 1))
    return ends


def _end(uri: str, start: int, stops: str) -> int:
    """Where the run of characters that are none of `stops` ends."""
    ends = [uri.find(stop, start) for stop in stops]
    return min((end for end in ends if end >= 0), default=len(uri))


def _encoded(text: str) -> str:
    """The text with what no URI may hold percent-encoded: clients write ``café`` either way."""
    return text if text.isascii() and " " not in text else quote(text, safe=_ASCII)


def _decoded(text: str) -> str | None:
    """The decoded value, or None where it is no text."""
    try:
        return unquote_to_bytes(text).decode("utf-8") if "%" in text else text
    except UnicodeDecodeError:
        return None
