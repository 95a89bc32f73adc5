"""One table: what each method of the specification carries, where it goes, and in which revisions it exists.

Methods of extensions are not in it. `Method.served` reads named facts of a revision, never its date.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from . import types
from .versions import ERAS, Era

__all__ = ["METHODS", "NAMED", "REQUESTS", "Method"]


def _always(era: Era) -> bool:
    return True


def _handshake(era: Era) -> bool:
    return era.handshake


def _no_handshake(era: Era) -> bool:
    return not era.handshake


def _listen(era: Era) -> bool:
    return era.listen


def _elicitation(era: Era) -> bool:
    return era.elicitation


def _elicitation_ids(era: Era) -> bool:
    return era.elicitation_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One method of the specification."""

    params: type[types.RequestParams] | type[types.NotificationParams]
    result: type[types.Result] | None = None
    """None for a notification."""
    to: Literal["server", "client", "both"] = "server"
    """Who receives it."""
    notification: bool = False
    served: Callable[[Era], bool] = _always
    """Whether the revision has the method. 2026-07-28 has the questions to the client only as input requests."""
    name_field: Literal["name", "uri"] | None = None
    """The member of the params that the header ``Mcp-Name`` mirrors."""
    capability: str | None = None
    """The member of ServerCapabilities that a server declares to have the method."""
    input_required: bool = False
    """May be answered by InputRequiredResult where the revision has it."""
    cacheable: bool = False
    """The result is a CacheableResult."""


METHODS: Mapping[str, Method] = {
    # Requests to the server
    "initialize": Method(params=types.InitializeRequestParams, result=types.InitializeResult, served=_handshake),
    "server/discover": Method(
        params=types.RequestParams, result=types.DiscoverResult, served=_no_handshake, cacheable=True
    ),
    "ping": Method(params=types.RequestParams, result=types.EmptyResult, to="both", served=_handshake),
    "tools/list": Method(
        params=types.PaginatedRequestParams, result=types.ListToolsResult, capability="tools", cacheable=True
    ),
    "tools/call": Method(
        params=types.CallToolRequestParams,
        result=types.CallToolResult,
        name_field="name",
        capability="tools",
        input_required=True,
    ),
    "resources/list": Method(
        params=types.PaginatedRequestParams, result=types.ListResourcesResult, capability="resources", cacheable=True
    ),
    "resources/templates/list": Method(
        params=types.PaginatedRequestParams,
        result=types.ListResourceTemplatesResult,
        capability="resources",
        cacheable=True,
    ),
    "resources/read": Method(
        params=types.ReadResourceRequestParams,
        result=types.ReadResourceResult,
        name_field="uri",
        capability="resources",
        input_required=True,
        cacheable=True,
    ),
    "resources/subscribe": Method(
        params=types.SubscribeRequestParams, result=types.EmptyResult, served=_handshake, capability="resources"
    ),
    "resources/unsubscribe": Method(
        params=types.UnsubscribeRequestParams, result=types.EmptyResult, served=_handshake, capability="resources"
    ),
    "prompts/list": Method(
        params=types.PaginatedRequestParams, result=types.ListPromptsResult, capability="prompts", cacheable=True
    ),
    "prompts/get": Method(
        params=types.GetPromptRequestParams,
        result=types.GetPromptResult,
        name_field="name",
        capability="prompts",
        input_required=True,
    ),
    "completion/complete": Method(
        params=types.CompleteRequestParams, result=types.CompleteResult, capability="completions"
    ),
    "logging/setLevel": Method(
        params=types.SetLevelRequestParams, result=types.EmptyResult, served=_handshake, capability="logging"
    ),
    "subscriptions/listen": Method(
        params=types.SubscriptionsListenRequestParams, result=types.SubscriptionsListenResult, served=_listen
    ),
    # Questions to the client
    "sampling/createMessage": Method(
        params=types.CreateMessageRequestParams, result=types.CreateMessageResult, to="client"
    ),
    "elicitation/create": Method(
        params=types.ElicitRequestParams, result=types.ElicitResult, to="client", served=_elicitation
    ),
    "roots/list": Method(params=types.RequestParams, result=types.ListRootsResult, to="client"),
    # Notifications
    "notifications/initialized": Method(params=types.NotificationParams, notification=True, served=_handshake),
    "notifications/roots/list_changed": Method(params=types.NotificationParams, notification=True, served=_handshake),
    "notifications/cancelled": Method(params=types.CancelledNotificationParams, notification=True, to="both"),
    # In 2026-07-28 only a server reports progress; a client's is harmless and ignored.
    "notifications/progress": Method(params=types.ProgressNotificationParams, notification=True, to="both"),
    "notifications/message": Method(
        params=types.LoggingMessageNotificationParams, notification=True, to="client", capability="logging"
    ),
    "notifications/tools/list_changed": Method(
        params=types.NotificationParams, notification=True, to="client", capability="tools"
    ),
    "notifications/prompts/list_changed": Method(
        params=types.NotificationParams, notification=True, to="client", capability="prompts"
    ),
    "notifications/resources/list_changed": Method(
        params=types.NotificationParams, notification=True, to="client", capability="resources"
    ),
    "notifications/resources/updated": Method(
        params=types.ResourceUpdatedNotificationParams, notification=True, to="client", capability="resources"
    ),
    "notifications/subscriptions/acknowledged": Method(
        params=types.SubscriptionsAcknowledgedNotificationParams, notification=True, to="client", served=_listen
    ),
    "notifications/elicitation/complete": Method(
        params=types.ElicitationCompleteNotificationParams, notification=True, to="client", served=_elicitation_ids
    ),
}


NAMED: Mapping[str, Literal["name", "uri"]] = {
    name: method.name_field for name, method in METHODS.items() if method.name_field is not None
}
"""Method -> the member of the params that the header ``Mcp-Name`` mirrors."""

REQUESTS: Mapping[Era, frozenset[str]] = {
    era: frozenset(
        name
        for name, method in METHODS.items()
        if not method.notification and method.to != "client" and method.served(era)
    )
    for era in ERAS.values()
}
"""The requests from a client to a server that each revision has."""
