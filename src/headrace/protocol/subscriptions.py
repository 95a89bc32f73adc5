"""Which change notice reaches which listener."""

from __future__ import annotations

from collections.abc import Set

from .types import SubscriptionFilter

__all__ = ["RESOURCE_UPDATED", "wants"]

RESOURCE_UPDATED = "notifications/resources/updated"
_FLAGS = {
    "notifications/tools/list_changed": "tools_list_changed",
    "notifications/prompts/list_changed": "prompts_list_changed",
    "notifications/resources/list_changed": "resources_list_changed",
}


def wants(granted: SubscriptionFilter, method: str, uri: str | None, uris: Set[str]) -> bool:
    """Whether a `subscriptions/listen` stream gets this notice; `uris` are its granted resource subscriptions."""
    if method == RESOURCE_UPDATED:
        return uri in uris
    flag = _FLAGS.get(method)
    return flag is not None and bool(getattr(granted, flag))
