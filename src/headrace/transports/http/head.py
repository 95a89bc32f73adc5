"""The request head: what the transport needs of it, read in one pass."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import Any, Self

from msgspec import Struct

__all__ = ["Head", "fields_of"]


class Head(Struct, eq=False):
    """`fields` are what `fields_of` reads from the scope."""

    scope: MutableMapping[str, Any]
    method: str
    fields: dict[bytes, bytes]

    @classmethod
    def of(cls, scope: MutableMapping[str, Any]) -> Self:
        return cls(scope, scope["method"], fields_of(scope))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.method} {self.scope.get('path')}>"

    def get(self, name: bytes) -> str | None:
        """A field's value without blanks around it (httptools keeps those behind it); None when absent."""
        value = self.fields.get(name)
        return None if value is None else _text(value)

    def values(self, name: bytes) -> list[str]:
        """Every value that was sent for a field."""
        return [_text(value) for sent, value in self.scope["headers"] if sent == name]


def fields_of(scope: MutableMapping[str, Any]) -> dict[bytes, bytes]:
    """Every header by its lower-case name, as bytes.

    A field that is sent twice is joined with a comma (RFC 9110, 5.3), so that no comparison can pick one.
    """
    headers: Any = scope["headers"]
    if headers.__class__ is not list:  # any iterable, says ASGI
        headers = scope["headers"] = list(headers)
    fields: dict[bytes, bytes] = dict(headers)
    return fields if len(fields) == len(headers) else _joined(headers)


def _text(value: bytes) -> str:
    return value.decode("latin-1").strip(" \t")


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    fields: dict[bytes, bytes] = {}
    for name, value in headers:
        fields[name] = b"%b, %b" % (fields[name], value.strip(b" \t")) if name in fields else value.strip(b" \t")
    return fields
