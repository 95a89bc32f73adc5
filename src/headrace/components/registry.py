"""Names -> components, in the order in which they were registered."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Generic, Literal, TypeVar

__all__ = ["OnDuplicate", "Registry"]

T = TypeVar("T")
OnDuplicate = Literal["warn", "error", "replace", "ignore"]

logger = logging.getLogger(__name__)


class Registry(Generic[T]):
    """An ordered table that tells of its changes. Reading it costs a dict lookup."""

    def __init__(self, kind: str, on_duplicate: OnDuplicate, changed: Callable[[], None]) -> None:
        """`kind` is for messages ("tool"); `changed` is called after every change."""
        self.kind = kind
        self.on_duplicate: OnDuplicate = on_duplicate
        self._changed = changed
        self._items: dict[str, T] = {}
        self.get = self._items.get
        """The component of that name, or None."""

    def add(self, key: str, item: T) -> T:
        """The component that now has the name. Raises ValueError for a duplicate under the policy "error"."""
        known = self._items.get(key)
        if known is not None:
            if self.on_duplicate == "error":
                raise ValueError(f"The {self.kind} {key!r} is already registered")
            if self.on_duplicate == "ignore":
                return known
            if self.on_duplicate == "warn":
                logger.warning("The %s %r is already registered and is replaced", self.kind, key)
        self._replace({**self._items, key: item})
        return item

    def remove(self, key: str) -> None:
        """Raises KeyError for an unknown name."""
        items = dict(self._items)
        del items[key]
        self._replace(items)

    def _replace(self, items: dict[str, T]) -> None:
        # A new table: other threads may be reading the old one.
        self._items = items
        self.get = items.get
        self._changed()

    def __iter__(self) -> Iterator[T]:
        return iter(self._items.values())

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: object) -> bool:
        return key in self._items
