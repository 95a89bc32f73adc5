"""The lists of a server: pages, encoded once per revision and kept until something registered changes."""

from __future__ import annotations

import base64
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

from ..call import Answer, Call, Encoded
from ..components.checks import allowed_to
from ..components.component import Component
from ..components.context import Context
from ..components.registry import Registry
from ..components.schema_refs import inline_refs
from ..components.visibility import Rule
from ..exceptions import InvalidParams
from ..protocol.downgrade import fit_result
from ..protocol.jsonrpc import encode
from ..protocol.types import Result
from ..protocol.versions import Era
from ..tools.tool import FunctionTool

if TYPE_CHECKING:
    from .server import FastMCP

__all__ = ["Lists"]

MAX_KEPT = 1000
"""Pages that are kept at once, where callers see different ones."""
_NOTHING: frozenset[Component] = frozenset()


class Lists:
    """`server` holds what is registered."""

    def __init__(self, server: FastMCP) -> None:
        self._server = server
        self._encoded: dict[tuple[str, Era, Hashable], Encoded] = {}

    def forget(self) -> None:
        self._encoded = {}

    async def page(
        self, call: Call, context: Context, registry: Registry[Any], result: Callable[..., Result], member: str
    ) -> Answer:
        """One page, in the order of registration. Raises InvalidParams for a cursor that is none of ours."""
        cursor = call.params.cursor
        # Before the rules are read: a table is forgotten at every change, so what stays in it is not older than it.
        table = self._encoded
        checked = registry.checked
        rules = await context.rules()
        allowed = await allowed_to(call, checked) if checked else _NOTHING

        def make() -> Result:
            items = list(registry.shown(rules, allowed))
            size = self._server.list_page_size or len(items)
            start = _offset(cursor, size, len(items))
            end = start + size
            page: dict[str, Any] = {member: [self._entry(registry, item, rules, allowed) for item in items[start:end]]}
            return result(
                **page,
                next_cursor=_cursor(end) if end < len(items) else None,
                ttl_ms=self._server.cache_ttl_ms,
                cache_scope="private" if checked else self._server.cache_scope,
            )

        # What one session alone sees is not kept; what callers see who may use the same is, up to a bound.
        if rules is not self._server.rules or (allowed and len(table) >= MAX_KEPT):
            return make()
        return self._kept(table, call, (cursor, allowed) if allowed else cursor, make)

    def kept(self, call: Call, variant: str | None, make: Callable[[], Result]) -> Encoded:
        """What `make` gives, encoded; made once for each `variant` (which no client may choose) until something
        changes."""
        return self._kept(self._encoded, call, variant, make)

    def _kept(
        self,
        table: dict[tuple[str, Era, Hashable], Encoded],
        call: Call,
        variant: Hashable,
        make: Callable[[], Result],
    ) -> Encoded:
        # Only cursors of ours get this far without an error, so that no client can fill the table.
        key = (call.method, call.era, variant)
        encoded = table.get(key)
        if encoded is None:
            encoded = table[key] = Encoded(encode(fit_result(make(), call.era)))
        return encoded

    def _entry(self, registry: Registry[Any], item: Any, rules: Sequence[Rule], allowed: frozenset[Component]) -> Any:
        """A component as lists show it: with its other versions, and schemas without ``$ref``."""
        entry = item.to_wire()
        if not self._server.include_fastmcp_meta:
            entry.meta = item.meta
        elif item.version is not None:
            own = {**entry.meta["fastmcp"], "versions": registry.versions(item.identifier, rules, allowed)}
            entry.meta = {**entry.meta, "fastmcp": own}
        if self._server.dereference_schemas and isinstance(item, FunctionTool):
            # What was written by hand stays as it was written.
            if item.parameters is item.function.schema:
                entry.input_schema = inline_refs(entry.input_schema)
            if item.output is not None and not item.output.given:
                entry.output_schema = inline_refs(item.output.schema)
        return entry


def _cursor(offset: int) -> str:
    return base64.urlsafe_b64encode(b"o%d" % offset).decode("ascii")


def _offset(cursor: str | None, size: int, count: int) -> int:
    """Where a page begins. Raises InvalidParams for a cursor that this list would not give."""
    if cursor is None:
        return 0
    try:
        offset = int(base64.urlsafe_b64decode(cursor)[1:])
    except ValueError:
        offset = -1
    if 0 < offset < count and offset % size == 0 and _cursor(offset) == cursor:
        return offset
    raise InvalidParams(f"Invalid cursor: {cursor}")
