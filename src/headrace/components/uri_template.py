"""URI templates, matched in linear time.

``{name}`` is one path segment or a part of one, ``{name*}`` any number of segments, ``{?a,b}`` at the end are
optional query parameters. A match is found by carrying the set of positions that a prefix of the template can
end at through the URI, so no URI makes it slow: the cost is parts times length.

Values are percent-decoded and then refused where they would leave their place in a path: ``..``, a separator
inside a single segment, an absolute path, a NUL.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote_to_bytes

__all__ = ["MAX_URI", "UriTemplate"]

MAX_URI = 8192
"""Longer URIs match nothing."""

_BRACES = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_DRIVE = re.compile(r"[A-Za-z]:(/|\Z)")
_LITERAL, _SEGMENT, _WILDCARD = 0, 1, 2


class UriTemplate:
    """One template. Raises ValueError for one that can't be understood."""

    __slots__ = ("_parts", "path_names", "query_names", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.path_names: list[str] = []
        self.query_names: list[str] = []
        self._parts: list[tuple[int, str]] = []
        self._parse()

    @property
    def names(self) -> list[str]:
        return self.path_names + self.query_names

    def _parse(self) -> None:
        position = 0
        for match in _BRACES.finditer(self.text):
            if self.query_names:
                raise ValueError(f"The query parameters come last in a URI template: {self.text!r}")
            self._literal(self.text[position : match.start()])
            self._variable(match[1])
            position = match.end()
        rest = self.text[position:]
        if rest and self.query_names:
            raise ValueError(f"The query parameters come last in a URI template: {self.text!r}")
        self._literal(rest)
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"A parameter appears twice in the URI template {self.text!r}")

    def _literal(self, text: str) -> None:
        if "{" in text or "}" in text:
            raise ValueError(f"Unbalanced braces in the URI template {self.text!r}")
        if text:
            self._parts.append((_LITERAL, text))

    def _variable(self, text: str) -> None:
        if text.startswith("?"):
            self.query_names = [self._name(name.strip()) for name in text[1:].split(",")]
            return
        kind = _WILDCARD if text.endswith("*") else _SEGMENT
        name = self._name(text.removesuffix("*"))
        if self._parts and self._parts[-1][0] != _LITERAL:
            raise ValueError(f"Two parameters touch each other in the URI template {self.text!r}")
        self._parts.append((kind, name))
        self.path_names.append(name)

    def _name(self, name: str) -> str:
        if not _NAME.match(name):
            raise ValueError(f"{name!r} is no parameter name, in the URI template {self.text!r}")
        return name

    def match(self, uri: str) -> dict[str, str] | None:
        """The decoded values by name, or None. Query parameters that the template does not name are ignored."""
        if len(uri) > MAX_URI:
            return None
        query = ""
        if self.query_names:
            uri, _, query = uri.partition("?")
        reached = self._walk(uri)
        if reached is None:
            return None
        values = self._values(uri, reached)
        if values is None or not self.query_names:
            return values
        for name, value in (
            parse_qsl(query, keep_blank_values=True, max_num_fields=100) if query.count("&") < 100 else ()
        ):
            if name in self.query_names:
                values[name] = value
        return values

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

    def _values(self, uri: str, reached: list[set[int]]) -> dict[str, str] | None:
        """Walk back from the end; where several splits are possible, the earlier parameter takes most."""
        values: dict[str, str] = {}
        position = len(uri)
        for (kind, text), starts in zip(reversed(self._parts), reversed(reached), strict=True):
            if kind == _LITERAL:
                position -= len(text)
                continue
            floor = uri.rfind("/", 0, position) + 1 if kind == _SEGMENT else 0
            start = max(begin for begin in starts if floor <= begin < position)
            value = _decode(uri[start:position], kind)
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


def _decode(text: str, kind: int) -> str | None:
    """The decoded value, or None for one that would leave its place in a path."""
    try:
        value = unquote_to_bytes(text).decode("utf-8") if "%" in text else text
    except UnicodeDecodeError:
        return None
    if "\\" in value or "\0" in value or value.startswith("/") or (kind == _SEGMENT and "/" in value):
        return None
    if ".." in value.split("/") or value == "." or (kind == _WILDCARD and _DRIVE.match(value)):
        return None
    return value
