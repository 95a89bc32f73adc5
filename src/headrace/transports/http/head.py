"""The request head: what the transport needs of it, read in one pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["Head"]

_FIELDS = {
    name.encode(): name
    for name in (
        "host",
        "origin",
        "content-type",
        "content-length",
        "accept",
        "mcp-protocol-version",
        "mcp-method",
        "mcp-name",
        "mcp-session-id",
        "last-event-id",
    )
}
_LOOPBACK = frozenset({"::1", "::ffff:127.0.0.1", "localhost"})
_NO_PARAMS: dict[str, list[str]] = {}


class Head:
    """`get(name)` is a field's value without blanks around it, None when absent.

    A field that is sent twice is joined with a comma (RFC 9110, 5.3), so that no comparison can pick one.
    """

    __slots__ = ("fields", "get", "loopback", "method", "params", "scheme")

    def __init__(
        self, method: str, fields: dict[str, str], params: Mapping[str, list[str]], scheme: str, loopback: bool
    ) -> None:
        self.method = method
        self.fields = fields
        self.params = params
        """``mcp-param-*`` fields by lower-case name, every value that was sent."""
        self.scheme = scheme
        self.loopback = loopback
        """Whether the connection arrived on a loopback address."""
        self.get = fields.get

    @classmethod
    def read(cls, scope: Mapping[str, Any]) -> Head:
        fields: dict[str, str] = {}
        params: dict[str, list[str]] = _NO_PARAMS
        for name, value in scope["headers"]:
            known = _FIELDS.get(name)
            if known is not None:
                # httptools keeps trailing blanks, which are no part of the value.
                text = value.decode("latin-1").strip(" \t")
                fields[known] = f"{fields[known]}, {text}" if known in fields else text
            elif name.startswith(b"mcp-param-"):
                if params is _NO_PARAMS:
                    params = {}
                params.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1").strip(" \t"))
        server = scope.get("server")
        address = "" if server is None else str(server[0])
        loopback = address.startswith("127.") or address in _LOOPBACK
        return cls(scope["method"], fields, params, scope.get("scheme", "http"), loopback)
