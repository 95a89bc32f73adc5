"""Names -> components, in the order in which they were registered; a name may stand for several versions."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Generic, Literal, TypeVar

from ..call import Call
from ..exceptions import NotFoundError
from .checks import permitted
from .component import Component
from .versions import VersionSpec, version_key
from .visibility import Rule, shown

__all__ = ["OnDuplicate", "Registry", "may_be_seen"]

C = TypeVar("C", bound=Component)
OnDuplicate = Literal["warn", "error", "replace", "ignore"]

logger = logging.getLogger(__name__)


def may_be_seen(component: Component, allowed: Collection[Component] | None) -> bool:
    return allowed is None or not component.checks or component in allowed


class Registry(Generic[C]):
    """An ordered table that tells of its changes."""

    def __init__(
        self, kind: str, on_duplicate: OnDuplicate = "warn", changed: Callable[[], None] | None = None
    ) -> None:
        """`kind` is for messages ("tool"); `changed` is called after every change. Raises ValueError."""
        if on_duplicate not in ("warn", "error", "replace", "ignore"):
            raise ValueError(f"on_duplicate is warn, error, replace or ignore, not {on_duplicate!r}")
        self.kind = kind
        self.on_duplicate: OnDuplicate = on_duplicate
        self._changed = changed or (lambda: None)
        self._items: dict[str, tuple[C, ...]] = {}
        """The versions of each name, highest first; replaced at a change, since other threads may be reading."""
        self.checked: tuple[C, ...] = ()
        """The components that not every caller may see."""
        self._changing = threading.Lock()

    def add(self, item: C) -> C:
        """The component that now has the name.

        Raises ValueError for a duplicate under the policy "error", and where one version has a number and another
        has none: without a number nobody could ask for it.
        """
        with self._changing:
            added = self._add(item)
        if added is item:
            self._changed()
        return added

    def _add(self, item: C) -> C:
        key = item.identifier
        known = self._items.get(key, ())
        same = next((each for each in known if each.version == item.version), None)
        if same is None and known and None in (item.version, known[0].version):
            raise ValueError(
                f"The {self.kind} {key!r} is already registered {'without' if known[0].version is None else 'with'} "
                "a version: give all of them a version, or none"
            )
        if same is not None:
            if self.on_duplicate == "error":
                raise ValueError(f"The {self.kind} {key!r} is already registered")
            if self.on_duplicate == "ignore":
                return same
            if self.on_duplicate == "warn":
                logger.warning("The %s %r is already registered and is replaced", self.kind, key)
            same.unwatch(self._changed)
        versions = [each for each in known if each is not same] + [item]
        if len(versions) > 1:
            versions.sort(key=lambda each: (version_key(each.version), each.version or ""), reverse=True)
        item.watch(self._changed)
        self._keep({**self._items, key: tuple(versions)})
        return item

    def _keep(self, items: dict[str, tuple[C, ...]]) -> None:
        self._items = items
        self.checked = tuple(each for each in self if each.checks)

    def remove(self, key: str, version: str | None = None) -> None:
        """Remove a version, or all. Raises NotFoundError for an unknown name or version."""
        with self._changing:
            known = self._items.get(key, ())
            gone = [each for each in known if version is None or each.version == version]
            if not gone:
                raise NotFoundError(f"Unknown {self.kind}: {key}" + (f" {version}" if version else ""))
            items = dict(self._items)
            items[key] = tuple(each for each in known if each not in gone)
            if not items[key]:
                del items[key]
            for each in gone:
                each.unwatch(self._changed)
            self._keep(items)
        self._changed()

    def get(self, key: str) -> C | None:
        """The component of that name, its highest version; None for an unknown name."""
        versions = self._items.get(key)
        return versions[0] if versions else None

    def find(self, key: str, rules: Sequence[Rule] = (), version: VersionSpec | None = None) -> C | None:
        """The highest version of that name that is shown, and that `version` means."""
        for each in self._items.get(key, ()):
            if (shown(each, rules) if rules else each.enabled) and (version is None or version.matches(each.version)):
                return each
        return None

    def candidates(self, key: str, rules: Sequence[Rule] = (), version: VersionSpec | None = None) -> Iterator[C]:
        """All that `find` chooses from, best first."""
        for each in self._items.get(key, ()):
            if shown(each, rules) and (version is None or version.matches(each.version)):
                yield each

    async def permitted(
        self, key: str, call: Call, rules: Sequence[Rule] = (), version: VersionSpec | None = None
    ) -> C:
        """The best of the `candidates` that the caller may use. Raises NotFoundError, AuthorizationError."""
        found = await permitted(self.candidates(key, rules, version), call)
        if found is None:
            raise NotFoundError(f"Unknown {self.kind}: {key!r}")
        return found

    def shown(self, rules: Sequence[Rule] = (), allowed: Collection[Component] | None = None) -> Iterator[C]:
        """The highest shown version of each name.

        Those that are checked have to be among the `allowed`, and nothing is asked where that is None.
        """
        for key in self._items:
            found = next((each for each in self.candidates(key, rules) if may_be_seen(each, allowed)), None)
            if found is not None:
                yield found

    def versions(self, key: str, rules: Sequence[Rule] = (), allowed: Collection[Component] | None = None) -> list[str]:
        """The versions of a name that are shown, highest first, for a caller as in `shown`."""
        return [each.version for each in self.candidates(key, rules) if each.version and may_be_seen(each, allowed)]

    def __iter__(self) -> Iterator[C]:
        """Every component, every version."""
        for versions in self._items.values():
            yield from versions

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: object) -> bool:
        return key in self._items
