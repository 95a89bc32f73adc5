"""Which change notice reaches which listener."""

from __future__ import annotations

from collections.abc import Collection, Set

from ..exceptions import InvalidParams
from .types import SubscriptionFilter

__all__ = [
    "CHANGES",
    "PROMPTS_CHANGED",
    "RESOURCES_CHANGED",
    "RESOURCE_UPDATED",
    "TOOLS_CHANGED",
    "check_uris",
    "wants",
]

RESOURCE_UPDATED = "notifications/resources/updated"
TOOLS_CHANGED = "notifications/tools/list_changed"
PROMPTS_CHANGED = "notifications/prompts/list_changed"
RESOURCES_CHANGED = "notifications/resources/list_changed"
_FLAGS = {
    TOOLS_CHANGED: "tools_list_changed",
    PROMPTS_CHANGED: "prompts_list_changed",
    RESOURCES_CHANGED: "resources_list_changed",
}
CHANGES = (*_FLAGS, RESOURCE_UPDATED)
"""Every notice that a client can listen to."""
_MAX_RESOURCES = 1000
_MAX_CHARACTERS = 256 * 1024
"""Of all their URIs: they are kept as long as the session or the stream."""


def check_uris(uris: Collection[str]) -> None:
    """Raises InvalidParams for more than one session or stream may watch."""
    if len(uris) > _MAX_RESOURCES or sum(map(len, uris)) > _MAX_CHARACTERS:
        limits = f"{_MAX_RESOURCES}, whose URIs have {_MAX_CHARACTERS} characters together"
        raise InvalidParams(f"Too many resources to watch: at most {limits}")


def wants(granted: SubscriptionFilter, method: str, uri: str | None, uris: Set[str]) -> bool:
    """Whether a `subscriptions/listen` stream gets this notice; `uris` are its granted resource subscriptions."""
    if method == RESOURCE_UPDATED:
        return uri in uris
    flag = _FLAGS.get(method)
    return flag is not None and bool(getattr(granted, flag))
