"""Which components are shown: rules, of which the last that matches a component decides.

A component that no rule matches is shown unless it was made with ``enabled=False``.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec.structs import replace

from ..protocol.subscriptions import PROMPTS_CHANGED, RESOURCES_CHANGED, TOOLS_CHANGED
from .versions import VersionSpec

if TYPE_CHECKING:
    from .component import Component

__all__ = ["LISTS", "MAX_SESSION_RULES", "Kind", "Rule", "changes", "followed_by", "rule", "shown", "stored_with"]

Kind = Literal["tool", "resource", "template", "prompt"]

LISTS: dict[str, tuple[Kind, ...]] = {
    TOOLS_CHANGED: ("tool",),
    RESOURCES_CHANGED: ("resource", "template"),
    PROMPTS_CHANGED: ("prompt",),
}
"""What each notice of a changed list is about."""


MAX_SESSION_RULES = 1000
"""What clients make a server remember is bounded."""


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """Shows or hides the components that meet all of its criteria; without criteria, every component."""

    show: bool
    names: frozenset[str] | None = None
    keys: frozenset[str] | None = None
    tags: frozenset[str] | None = None
    kinds: frozenset[Kind] | None = None
    version: VersionSpec | None = None
    without_tags: frozenset[str] | None = None

    def matches(self, component: Component) -> bool:
        return (
            (self.names is None or component.name in self.names or component.identifier in self.names)
            and (self.keys is None or component.key in self.keys)
            and (self.tags is None or not self.tags.isdisjoint(component.tags))
            and (self.kinds is None or component.kind in self.kinds)
            and (self.version is None or self.version.matches(component.version, match_none=False))
            and (self.without_tags is None or self.without_tags.isdisjoint(component.tags))
        )


def rule(
    show: bool,
    *,
    names: Collection[str] | None = None,
    keys: Collection[str] | None = None,
    version: VersionSpec | str | None = None,
    tags: Collection[str] | None = None,
    components: Collection[Kind] | None = None,
    without_tags: Collection[str] | None = None,
    match_all: bool = False,
) -> Rule:
    """A rule from what users write. Raises TypeError for a string where a set is meant, ValueError without criteria.

    Warns of keys that can match nothing: a key always has an ``@`` before the version, "tool:add@".
    """
    criteria: dict[str, Any] = {
        "names": names,
        "keys": keys,
        "tags": tags,
        "kinds": components,
        "without_tags": without_tags,
    }
    for name, value in criteria.items():
        if isinstance(value, str):
            raise TypeError(f"{name} is a set of strings, not one string: {{{value!r}}}")
        criteria[name] = None if value is None else frozenset(value)
    if isinstance(version, str):
        version = VersionSpec(eq=version)
    if not match_all and version is None and all(value is None for value in criteria.values()):
        raise ValueError("Say which components: names=, keys=, tags=, version= or components=")
    for key in keys or ():
        if "@" not in key:
            warnings.warn(
                f"The key {key!r} matches nothing: a key ends in @ and the version, as in '{key}@'", stacklevel=3
            )
    return Rule(show=show, version=version, **criteria)


def changes(rule: Rule | None) -> list[str]:
    """The notices of lists that a new rule changes; None: any rule may have gone."""
    kinds: frozenset[Kind] | None = None if rule is None else rule.kinds
    return [method for method, listed in LISTS.items() if kinds is None or not kinds.isdisjoint(listed)]


def followed_by(rules: Sequence[Rule], last: Rule) -> tuple[Rule, ...]:
    """The rules with one more at the end, without those it makes void: switching back and forth is bounded."""
    if last == Rule(show=last.show):
        return (last,)
    return (*(each for each in rules if replace(each, show=last.show) != last), last)


def stored_with(stored: Any, last: Rule) -> Any:
    """The rules of a session, as JSON, with one more. Raises RuntimeError beyond `MAX_SESSION_RULES`."""
    rules = followed_by(msgspec.convert(stored or [], list[Rule]), last)
    if len(rules) > MAX_SESSION_RULES:
        raise RuntimeError("Too many rules of visibility for one session: forget them with reset_visibility()")
    return msgspec.to_builtins(rules)


def shown(component: Component, rules: Sequence[Rule]) -> bool:
    """Whether the component is listed and can be used; the last rule that matches it decides."""
    for each in reversed(rules):
        if each.matches(component):
            return each.show
    return component.enabled
