"""The wire types of all protocol revisions, in one description.

Class names are those of the official schemas, fields are snake_case here and camelCase on the wire. A member
that is absent is None; where null means something (structured content, log data) absence is UNSET or impossible.
Unknown members are ignored. What a revision does not know is taken out by `protocol.downgrade`; which method
uses which type is told by `protocol.methods`.

Not members of these types: ``jsonrpc``, ``id`` and ``method`` (the envelope, `protocol.jsonrpc`), and
``resultType``, which the encoder writes from `Result.result_type`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, get_args

import msgspec
from msgspec import UNSET, Raw

from .json_bounds import BoundedId
from .spelling import Spelled

# fmt: off
__all__ = [
    "LOG_LEVELS", "Annotations", "AudioContent",
    "CacheScope", "CacheableResult", "CallToolRequestParams", "CallToolResult",
    "CancelledNotificationParams", "ClientCapabilities", "CompleteRequestParams", "CompleteResult", "Completion",
    "CompletionArgument", "CompletionContext", "ContentBlock", "CreateMessageRequestParams", "CreateMessageResult",
    "DiscoverResult", "ElicitRequestParams", "ElicitResult", "ElicitationCompleteNotificationParams",
    "EmbeddedResource", "EmptyResult", "GetPromptRequestParams", "GetPromptResult", "Icon", "ImageContent",
    "Implementation", "InitializeRequestParams", "InitializeResult", "InputRequest", "InputRequiredResult",
    "InputResponseRequestParams", "ListPromptsResult", "ListResourceTemplatesResult", "ListResourcesResult",
    "ListRootsResult", "ListToolsResult", "LoggingLevel", "LoggingMessageNotificationParams", "ModelHint",
    "ModelPreferences", "NotificationParams", "PaginatedRequestParams", "PaginatedResult", "Params",
    "ProgressNotificationParams", "ProgressToken", "Prompt", "PromptArgument", "PromptMessage", "PromptReference",
    "ReadResourceRequestParams", "ReadResourceResult", "RequestId", "RequestMeta", "RequestParams", "Resource",
    "ResourceContents", "ResourceLink", "ResourceTemplate", "ResourceTemplateReference",
    "ResourceUpdatedNotificationParams", "Result", "Role", "Root", "SamplingMessage", "SamplingMessageContentBlock",
    "ServerCapabilities", "SetLevelRequestParams", "SubscribeRequestParams", "SubscriptionFilter",
    "SubscriptionsAcknowledgedNotificationParams", "SubscriptionsListenRequestParams", "SubscriptionsListenResult",
    "TextContent", "Tool", "ToolAnnotations", "ToolChoice", "ToolExecution", "ToolResultContent", "ToolUseContent",
    "UnsubscribeRequestParams", "Wire",
]
# fmt: on

Role = Literal["user", "assistant"]
LoggingLevel = Literal["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]
LOG_LEVELS: tuple[str, ...] = get_args(LoggingLevel)
"""Lowest first (RFC 5424)."""
CacheScope = Literal["public", "private"]
RequestId = str | int
ProgressToken = str | int


class Wire(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """Base of all wire types. msgspec does not hand `kw_only` down, so every type says it again."""


# Shared parts


class Icon(Wire, kw_only=True, metaclass=Spelled):
    src: str
    mime_type: str | None = None
    sizes: list[str] | None = None
    theme: Literal["light", "dark"] | None = None


class Implementation(Wire, kw_only=True):
    """Name and version of a client or server."""

    name: str
    version: str
    title: str | None = None
    description: str | None = None
    website_url: str | None = None
    icons: list[Icon] | None = None


class Annotations(Wire, kw_only=True, metaclass=Spelled):
    audience: list[Role] | None = None
    priority: float | None = None
    """From 0 (optional) to 1 (required)."""
    last_modified: str | None = None
    """ISO 8601."""


class ClientCapabilities(Wire, kw_only=True):
    """What a client can do; a member that is present, even empty, is a capability."""

    experimental: dict[str, Any] | None = None
    roots: dict[str, Any] | None = None
    sampling: dict[str, Any] | None = None
    elicitation: dict[str, Any] | None = None
    tasks: dict[str, Any] | None = None
    """2025-11-25 only."""
    extensions: dict[str, Any] | None = None


class ServerCapabilities(Wire, kw_only=True):
    """What a server can do; a member that is present, even empty, is a capability."""

    experimental: dict[str, Any] | None = None
    logging: dict[str, Any] | None = None
    completions: dict[str, Any] | None = None
    prompts: dict[str, Any] | None = None
    """``listChanged``"""
    resources: dict[str, Any] | None = None
    """``listChanged``, ``subscribe``"""
    tools: dict[str, Any] | None = None
    """``listChanged``"""
    tasks: dict[str, Any] | None = None
    """2025-11-25 only."""
    extensions: dict[str, Any] | None = None


# Content


class TextContent(Wire, kw_only=True, tag_field="type", tag="text", metaclass=Spelled):
    type: ClassVar[str] = "text"
    text: str
    annotations: Annotations | None = None
    meta: dict[str, Any] | None = msgspec.field(default=None, name="_meta")


class ImageContent(Wire, kw_only=True, tag_field="type", tag="image", metaclass=Spelled):
    type: ClassVar[str] = "image"
    data: str
    """Base64."""
    mime_type: str
    annotations: Annotations | None = None
    meta: dict[str, Any] | None = msgspec.field(default=None, name="_meta")


class AudioContent(Wire, kw_only=True, tag_field="type", tag="audio", metaclass=Spelled):
    type: ClassVar[str] = "audio"
    data: str
    """Base64."""
    mime_type: str
    annotations: Annotations | None = None
    meta: dict[str, Any] | None = msgspec.field(default=None, name="_meta")


class ResourceContents(Wire, kw_only=True, metaclass=Spelled):
    """TextResourceContents (`text`) or BlobResourceContents (`blob`, base64): exactly one is set."""

    uri: str
    mime_type: str | None = None
    text: str | None = None
    blob: str | None = None
    meta: dict[str, Any] | None = msgspec.field(default=None, name="_meta")


class EmbeddedResource(Wire, kw_only=True, tag_field="type", tag="resource", metaclass=Spelled):
    type: ClassVar[str] = "resource"
    resource: ResourceContents
    annotations: Annotations | None = None
    meta: dict[str, Any] | None = msgspec.field(default=None, name="_meta")


class ResourceLink(Wire, kw_only=True, tag_field="type", tag="resource_link", metaclass=Spelled):
    """A resource named in content; it need not be listed."""

    type: ClassVar[str] = "resource_link"
    uri: str
    name: str
    title: str | None = None
    description: str | None = None
    mime_type: str | None = None
    size: int | None = None
    annotations: Annotations | None = None
    icons: list[Icon] | None = None
    meta: dict[str, Any] | None = msgspec.field(default=None, name="_meta")


ContentBlock = TextContent | ImageContent | AudioContent | ResourceLink | EmbeddedResource


class ToolUseContent(Wire, kw_only=True, tag_field="type", tag="tool_use"):
    type: ClassVar[str] = "tool_use"
    id: str
    name: str
    input: dict[str, Any]
    meta: dict[str, Any] | None = msgspec.field(default=None, name="_meta")


class ToolResultContent(Wire, kw_only=True, tag_field="type", tag="tool_result"):
    type: ClassVar[str] = "tool_result"
    tool_use_id: str
    content: list[ContentBlock]
    structured_content: Any = UNSET
    is_error: bool | None = None
    meta: dict[str, Any] | None = msgspec.field(default=None, name="_meta")


SamplingMessageContentBlock = TextContent | ImageContent | AudioContent | ToolUseContent | ToolResultContent


# Tools, resources, prompts


class ToolAnnotations(Wire, kw_only=True, metaclass=Spelled):
    """Hints, not promises."""

    title: str | None = None
    read_only_hint: bool | None = None
    destructive_hint: bool | None = None
    idempotent_hint: bool | None = None
    open_world_hint: bool | None = None


class ToolExecution(Wire, kw_only=True):
    """2025-11-25 only."""

    task_support: Literal["forbidden", "optional", "required"] | None = None


class Tool(Wire, kw_only=True):
    name: str
    input_schema: dict[str, Any]
    title: str | None = None
    description: str | None = None
    output_schema: dict[str, Any] | None = None
    annotations: ToolAnnotations | None = None
    icons: list[Icon] | None = None
    execution: ToolExecution | None = None
    meta: dict[str, Any] | None = msgspec.field(default=None, name="_meta")


class Resource(Wire, kw_only=True):
    uri: str
    name: str
    title: str | None = None
    description: str | None = None
    mime_type: str | None = None
    size: int | None = None
    """Bytes, before any base64."""
    annotations: Annotations | None = None
    icons: list[Icon] | None = None
    meta: dict[str, Any] | None = msgspec.field(default=None, name="_meta")


class ResourceTemplate(Wire, kw_only=True):
    uri_template: str
    name: str
    title: str | None = None
    description: str | None = None
    mime_type: str | None = None
    annotations: Annotations | None = None
    icons: list[Icon] | None = None
    meta: dict[str, Any] | None = msgspec.field(default=None, name="_meta")


class PromptArgument(Wire, kw_only=True, metaclass=Spelled):
    name: str
    title: str | None = None
    description: str | None = None
    required: bool | None = None


class Prompt(Wire, kw_only=True):
    name: str
    title: str | None = None
    description: str | None = None
    arguments: list[PromptArgument] | None = None
    icons: list[Icon] | None = None
    meta: dict[str, Any] | None = msgspec.field(default=None, name="_meta")


class PromptMessage(Wire, kw_only=True, metaclass=Spelled):
    role: Role
    content: ContentBlock


class Root(Wire, kw_only=True):
    uri: str
    name: str | None = None
    meta: dict[str, Any] | None = msgspec.field(default=None, name="_meta")


# What a server decodes of every request


class RequestMeta(Wire, kw_only=True):
    """The members of ``_meta`` that the protocol defines; 2026-07-28 demands the version and the capabilities."""

    protocol_version: str | None = msgspec.field(default=None, name="io.modelcontextprotocol/protocolVersion")
    client_info: Implementation | None = msgspec.field(default=None, name="io.modelcontextprotocol/clientInfo")
    client_capabilities: ClientCapabilities | None = msgspec.field(
        default=None, name="io.modelcontextprotocol/clientCapabilities"
    )
    log_level: str | None = msgspec.field(default=None, name="io.modelcontextprotocol/logLevel")
    """Not checked here: admission says what is wrong with it."""
    progress_token: BoundedId | None = None
    fastmcp: Any = None
    """No member of the protocol: FastMCP's clients name the version of a component in it."""


class Params(Wire, kw_only=True):
    """The members that methods share, decoded once per request. `Raw` members view the body and are empty if absent."""

    name: str | None = None
    uri: str | None = None
    cursor: str | None = None
    arguments: Raw = Raw(b"")
    input_responses: Raw = Raw(b"")
    """Raw because null and junk are tolerated: what does not fit is asked again."""
    request_state: str | None = None
    meta: RequestMeta | None = msgspec.field(default=None, name="_meta")


# Params of requests to a server


class RequestParams(Wire, kw_only=True):
    meta: dict[str, Any] | None = msgspec.field(default=None, name="_meta")


class PaginatedRequestParams(RequestParams, kw_only=True):
    cursor: str | None = None


class InputResponseRequestParams(RequestParams, kw_only=True):
    """What a retry carries (2026-07-28): answers by the key of the question, and the state as it was given."""

    input_responses: dict[str, Any] | None = None
    request_state: str | None = None


class InitializeRequestParams(RequestParams, kw_only=True):
    protocol_version: str
    capabilities: ClientCapabilities
    client_info: Implementation


class CallToolRequestParams(InputResponseRequestParams, kw_only=True):
    name: str
    arguments: dict[str, Any] | None = None


class GetPromptRequestParams(InputResponseRequestParams, kw_only=True):
    name: str
    arguments: dict[str, str] | None = None


class ReadResourceRequestParams(InputResponseRequestParams, kw_only=True):
    uri: str


class SubscribeRequestParams(RequestParams, kw_only=True):
    uri: str


class UnsubscribeRequestParams(RequestParams, kw_only=True):
    uri: str


class SetLevelRequestParams(RequestParams, kw_only=True):
    level: LoggingLevel


class PromptReference(Wire, kw_only=True, tag_field="type", tag="ref/prompt"):
    type: ClassVar[str] = "ref/prompt"
    name: str
    title: str | None = None


class ResourceTemplateReference(Wire, kw_only=True, tag_field="type", tag="ref/resource"):
    type: ClassVar[str] = "ref/resource"
    uri: str


class CompletionArgument(Wire, kw_only=True):
    name: str
    value: str


class CompletionContext(Wire, kw_only=True):
    arguments: dict[str, str] | None = None


class CompleteRequestParams(RequestParams, kw_only=True):
    ref: PromptReference | ResourceTemplateReference
    argument: CompletionArgument
    context: CompletionContext | None = None


class SubscriptionFilter(Wire, kw_only=True):
    """Which notices a `subscriptions/listen` stream carries."""

    tools_list_changed: bool | None = None
    prompts_list_changed: bool | None = None
    resources_list_changed: bool | None = None
    resource_subscriptions: list[str] | None = None
    """URIs."""


class SubscriptionsListenRequestParams(RequestParams, kw_only=True):
    notifications: SubscriptionFilter


# Params of questions to a client


class ModelHint(Wire, kw_only=True):
    name: str | None = None


class ModelPreferences(Wire, kw_only=True):
    """Priorities are from 0 to 1."""

    hints: list[ModelHint] | None = None
    cost_priority: float | None = None
    speed_priority: float | None = None
    intelligence_priority: float | None = None


class ToolChoice(Wire, kw_only=True):
    mode: Literal["auto", "required", "none"] | None = None


class SamplingMessage(Wire, kw_only=True, metaclass=Spelled):
    role: Role
    content: SamplingMessageContentBlock | list[SamplingMessageContentBlock]
    meta: dict[str, Any] | None = msgspec.field(default=None, name="_meta")


class CreateMessageRequestParams(RequestParams, kw_only=True, metaclass=Spelled):
    messages: list[SamplingMessage]
    max_tokens: int
    model_preferences: ModelPreferences | None = None
    system_prompt: str | None = None
    include_context: Literal["none", "thisServer", "allServers"] | None = None
    temperature: float | None = None
    stop_sequences: list[str] | None = None
    metadata: dict[str, Any] | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None


class ElicitRequestParams(RequestParams, kw_only=True, metaclass=Spelled):
    """ElicitRequestFormParams (`requested_schema`, `mode` "form" or absent) or ElicitRequestURLParams (`url`)."""

    message: str
    mode: Literal["form", "url"] | None = None
    requested_schema: dict[str, Any] | None = None
    url: str | None = None
    elicitation_id: str | None = None
    """2025-11-25 only."""


class InputRequest(Wire, kw_only=True, metaclass=Spelled):
    """A question inside `InputRequiredResult`: a request without envelope."""

    method: str
    params: Any = UNSET


# Results of a server


class Result(Wire, kw_only=True):
    result_type: ClassVar[str] = "complete"
    """What the encoder writes as ``resultType`` where the revision has it."""

    meta: dict[str, Any] | None = msgspec.field(default=None, name="_meta")


class EmptyResult(Result, kw_only=True):
    pass


class CacheableResult(Result, kw_only=True):
    ttl_ms: int | None = None
    """Milliseconds; the schema of 2026-07-28 demands both members."""
    cache_scope: CacheScope | None = None


class PaginatedResult(CacheableResult, kw_only=True):
    next_cursor: str | None = None


class InputRequiredResult(Result, kw_only=True, metaclass=Spelled):
    """The client is asked first and sends the request again (2026-07-28)."""

    result_type: ClassVar[str] = "input_required"

    input_requests: dict[str, InputRequest] | None = None
    request_state: str | None = None


class InitializeResult(Result, kw_only=True):
    protocol_version: str
    capabilities: ServerCapabilities
    server_info: Implementation
    instructions: str | None = None


class DiscoverResult(CacheableResult, kw_only=True):
    supported_versions: list[str]
    capabilities: ServerCapabilities
    instructions: str | None = None


class ListToolsResult(PaginatedResult, kw_only=True):
    tools: list[Tool]


class ListResourcesResult(PaginatedResult, kw_only=True):
    resources: list[Resource]


class ListResourceTemplatesResult(PaginatedResult, kw_only=True):
    resource_templates: list[ResourceTemplate]


class ListPromptsResult(PaginatedResult, kw_only=True):
    prompts: list[Prompt]


class CallToolResult(Result, kw_only=True):
    content: list[ContentBlock]
    structured_content: Any = UNSET
    """Any JSON value, null included; UNSET if there is none."""
    is_error: bool | None = None


class ReadResourceResult(CacheableResult, kw_only=True):
    contents: list[ResourceContents]


class GetPromptResult(Result, kw_only=True):
    messages: list[PromptMessage]
    description: str | None = None


class Completion(Wire, kw_only=True, metaclass=Spelled):
    values: list[str]
    """At most 100."""
    total: int | None = None
    has_more: bool | None = None


class CompleteResult(Result, kw_only=True):
    completion: Completion


class SubscriptionsListenResult(Result, kw_only=True):
    """Ends a stream; ``_meta`` must carry ``io.modelcontextprotocol/subscriptionId``."""


# Results of a client


class ElicitResult(Result, kw_only=True):
    action: Literal["accept", "decline", "cancel"]
    content: dict[str, Any] | None = None


class CreateMessageResult(Result, kw_only=True):
    role: Role
    content: SamplingMessageContentBlock | list[SamplingMessageContentBlock]
    model: str
    stop_reason: str | None = None


class ListRootsResult(Result, kw_only=True):
    roots: list[Root]


# Params of notifications


class NotificationParams(Wire, kw_only=True):
    meta: dict[str, Any] | None = msgspec.field(default=None, name="_meta")


class CancelledNotificationParams(NotificationParams, kw_only=True):
    request_id: RequestId
    reason: str | None = None


class ProgressNotificationParams(NotificationParams, kw_only=True):
    progress_token: ProgressToken
    progress: float
    total: float | None = None
    message: str | None = None


class LoggingMessageNotificationParams(NotificationParams, kw_only=True):
    level: LoggingLevel
    data: Any
    """Any JSON value, null included."""
    logger: str | None = None


class ResourceUpdatedNotificationParams(NotificationParams, kw_only=True):
    uri: str


class SubscriptionsAcknowledgedNotificationParams(NotificationParams, kw_only=True):
    notifications: SubscriptionFilter
    """The part of the wish that is granted."""


class ElicitationCompleteNotificationParams(NotificationParams, kw_only=True):
    """2025-11-25 only."""

    elicitation_id: str
