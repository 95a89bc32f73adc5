"""Every wire type, in every revision, against two oracles: the official schemas and the models of `mcp_types`."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import mcp_types.methods as peer
import msgspec
import pytest

from headrace.exceptions import UnsupportedByClient
from headrace.protocol import types as t
from headrace.protocol.downgrade import fit_notification, fit_question, fit_result
from headrace.protocol.methods import METHODS
from headrace.protocol.results import encode_result_object
from headrace.protocol.versions import ERAS, LATEST, LATEST_HANDSHAKE, Era

SCHEMAS = Path(__file__).parent.parent / "schemas"
STAMP = b'{"name":"server","version":"1"}'
META: dict[str, Any] = {"example.com/trace": {"a": [1, None]}}

# Samples: every member set, and only what is required.

ICONS = [t.Icon(src="https://e.com/i.png", mime_type="image/png", sizes=["48x48"], theme="dark"), t.Icon(src="data:,")]
ANNOTATIONS = t.Annotations(audience=["user", "assistant"], priority=0.5, last_modified="2026-01-01T00:00:00Z")
IMPLEMENTATION = t.Implementation(
    name="n", version="1", title="N", description="d", website_url="https://e.com", icons=ICONS
)
OBJECT_SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
MARKED_SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string", "x-mcp-header": "A"}}}
TOOL = t.Tool(
    name="add",
    title="Add",
    description="d",
    input_schema=MARKED_SCHEMA,
    output_schema=OBJECT_SCHEMA,
    annotations=t.ToolAnnotations(
        title="x", read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
    ),
    icons=ICONS,
    meta=META,
)
TEXT_RESOURCE = t.ResourceContents(uri="file:///a", mime_type="text/plain", text="", meta=META)
BLOB_RESOURCE = t.ResourceContents(uri="file:///b", mime_type="image/png", blob="AA==", meta=META)
TEXT = t.TextContent(text="t", annotations=ANNOTATIONS, meta=META)
IMAGE = t.ImageContent(data="AA==", mime_type="image/png", annotations=ANNOTATIONS, meta=META)
AUDIO = t.AudioContent(data="AA==", mime_type="audio/wav", annotations=ANNOTATIONS, meta=META)
LINK = t.ResourceLink(
    uri="file:///a",
    name="a",
    title="A",
    description="d",
    mime_type="text/plain",
    size=3,
    annotations=ANNOTATIONS,
    icons=ICONS,
    meta=META,
)
BLOCKS: list[t.ContentBlock] = [
    TEXT,
    IMAGE,
    AUDIO,
    LINK,
    t.EmbeddedResource(resource=TEXT_RESOURCE, annotations=ANNOTATIONS, meta=META),
    t.EmbeddedResource(resource=BLOB_RESOURCE),
    t.TextContent(text=""),
    t.ImageContent(data="", mime_type="image/png"),
    t.AudioContent(data="", mime_type="audio/wav"),
    t.ResourceLink(uri="file:///a", name="a"),
]
SERVER_CAPABILITIES = t.ServerCapabilities(
    experimental={"e": {}},
    logging={},
    completions={},
    prompts={"listChanged": True},
    resources={"listChanged": True, "subscribe": False},
    tools={"listChanged": False},
)
CLIENT_CAPABILITIES = t.ClientCapabilities(
    experimental={"e": {}},
    roots={"listChanged": True},
    sampling={"tools": {}, "context": {}},
    elicitation={"form": {}, "url": {}},
    extensions={"com.example/x": {}},
)
TOOL_USE = t.ToolUseContent(id="1", name="add", input={"a": 1}, meta=META)
TOOL_RESULT = t.ToolResultContent(
    tool_use_id="1", content=BLOCKS, structured_content={"a": None}, is_error=False, meta=META
)
FORM: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "text": {
            "type": "string",
            "title": "T",
            "description": "d",
            "minLength": 1,
            "maxLength": 9,
            "format": "email",
            "default": "a@b.c",
        },
        "number": {"type": "number", "minimum": 0, "maximum": 9, "default": 1},
        "integer": {"type": "integer", "default": 0},
        "boolean": {"type": "boolean", "title": "B", "description": "d", "default": True},
        "one": {"type": "string", "enum": ["a", "b"], "default": "a"},
        "named": {"type": "string", "enum": ["a", "b"], "enumNames": ["A", "B"]},
        "titled": {"type": "string", "oneOf": [{"const": "a", "title": "A"}], "default": "a"},
        "several": {
            "type": "array",
            "items": {"type": "string", "enum": ["a", "b"]},
            "minItems": 0,
            "maxItems": 2,
            "default": ["a"],
        },
        "titled_several": {
            "type": "array",
            "title": "S",
            "description": "Pick.",
            "items": {"anyOf": [{"const": "a", "title": "A"}, {"const": "b", "title": "B"}]},
        },
    },
    "required": ["text"],
}

CACHED: dict[str, Any] = {"meta": META, "ttl_ms": 60_000, "cache_scope": "private"}
LISTED: dict[str, Any] = {**CACHED, "next_cursor": "c"}
FRESH: dict[str, Any] = {"ttl_ms": 0, "cache_scope": "public"}
SUBSCRIPTION: dict[str, Any] = {"io.modelcontextprotocol/subscriptionId": "s"}

RESULTS: list[tuple[str, t.Result]] = [
    ("ping", t.EmptyResult(meta=META)),
    ("ping", t.EmptyResult()),
    ("logging/setLevel", t.EmptyResult()),
    ("resources/subscribe", t.EmptyResult()),
    ("resources/unsubscribe", t.EmptyResult()),
    (
        "initialize",
        t.InitializeResult(
            protocol_version="2025-11-25",
            capabilities=SERVER_CAPABILITIES,
            server_info=IMPLEMENTATION,
            instructions="i",
            meta=META,
        ),
    ),
    (
        "initialize",
        t.InitializeResult(
            protocol_version="2024-11-05",
            capabilities=t.ServerCapabilities(),
            server_info=t.Implementation(name="n", version="1"),
        ),
    ),
    (
        "server/discover",
        t.DiscoverResult(supported_versions=["x"], capabilities=SERVER_CAPABILITIES, instructions="i", **CACHED),
    ),
    ("server/discover", t.DiscoverResult(supported_versions=[], capabilities=t.ServerCapabilities(), **FRESH)),
    ("tools/list", t.ListToolsResult(tools=[TOOL, t.Tool(name="x", input_schema={"type": "object"})], **LISTED)),
    ("tools/list", t.ListToolsResult(tools=[], **FRESH)),
    (
        "tools/list",
        t.ListToolsResult(
            tools=[t.Tool(name="x", input_schema=OBJECT_SCHEMA, output_schema={"type": "array", "items": {}})], **FRESH
        ),
    ),
    ("tools/call", t.CallToolResult(content=BLOCKS, structured_content={"a": 1}, is_error=True, meta=META)),
    ("tools/call", t.CallToolResult(content=[])),
    ("tools/call", t.CallToolResult(content=[], structured_content=None, is_error=False)),
    ("tools/call", t.CallToolResult(content=[], structured_content=[1])),
    (
        "resources/list",
        t.ListResourcesResult(
            resources=[
                t.Resource(
                    uri="file:///a",
                    name="a",
                    title="A",
                    description="d",
                    mime_type="text/plain",
                    size=0,
                    annotations=ANNOTATIONS,
                    icons=ICONS,
                    meta=META,
                ),
                t.Resource(uri="file:///b", name="b"),
            ],
            **LISTED,
        ),
    ),
    ("resources/list", t.ListResourcesResult(resources=[], **FRESH)),
    (
        "resources/templates/list",
        t.ListResourceTemplatesResult(
            resource_templates=[
                t.ResourceTemplate(
                    uri_template="file:///{a}",
                    name="a",
                    title="A",
                    description="d",
                    mime_type="text/plain",
                    annotations=ANNOTATIONS,
                    icons=ICONS,
                    meta=META,
                ),
                t.ResourceTemplate(uri_template="file:///{b}", name="b"),
            ],
            **LISTED,
        ),
    ),
    ("resources/templates/list", t.ListResourceTemplatesResult(resource_templates=[], **FRESH)),
    ("resources/read", t.ReadResourceResult(contents=[TEXT_RESOURCE, BLOB_RESOURCE], **CACHED)),
    ("resources/read", t.ReadResourceResult(contents=[t.ResourceContents(uri="file:///a", text="")], **FRESH)),
    (
        "prompts/list",
        t.ListPromptsResult(
            prompts=[
                t.Prompt(
                    name="p",
                    title="P",
                    description="d",
                    arguments=[
                        t.PromptArgument(name="a", title="A", description="d", required=True),
                        t.PromptArgument(name="b"),
                    ],
                    icons=ICONS,
                    meta=META,
                ),
                t.Prompt(name="q"),
            ],
            **LISTED,
        ),
    ),
    ("prompts/list", t.ListPromptsResult(prompts=[], **FRESH)),
    (
        "prompts/get",
        t.GetPromptResult(
            description="d", messages=[t.PromptMessage(role="user", content=block) for block in BLOCKS], meta=META
        ),
    ),
    ("prompts/get", t.GetPromptResult(messages=[])),
    (
        "completion/complete",
        t.CompleteResult(completion=t.Completion(values=["a"], total=1, has_more=False), meta=META),
    ),
    ("completion/complete", t.CompleteResult(completion=t.Completion(values=[]))),
    ("subscriptions/listen", t.SubscriptionsListenResult(meta=SUBSCRIPTION)),
    (
        "tools/call",
        t.InputRequiredResult(
            input_requests={
                "roots": t.InputRequest(method="roots/list"),
                "form": t.InputRequest(
                    method="elicitation/create", params={"message": "m", "mode": "form", "requestedSchema": FORM}
                ),
            },
            request_state="s",
            meta=META,
        ),
    ),
    ("prompts/get", t.InputRequiredResult(request_state="s")),
]

QUESTIONS: list[tuple[str, t.RequestParams]] = [
    ("roots/list", t.RequestParams()),
    (
        "sampling/createMessage",
        t.CreateMessageRequestParams(
            messages=[
                t.SamplingMessage(role="user", content=TEXT, meta=META),
                t.SamplingMessage(role="user", content=IMAGE),
                t.SamplingMessage(role="user", content=[TEXT, AUDIO]),
                t.SamplingMessage(role="assistant", content=[TOOL_USE]),
                t.SamplingMessage(role="user", content=TOOL_RESULT),
            ],
            max_tokens=9,
            model_preferences=t.ModelPreferences(
                hints=[t.ModelHint(name="m"), t.ModelHint()],
                cost_priority=0,
                speed_priority=1,
                intelligence_priority=0.5,
            ),
            system_prompt="s",
            include_context="thisServer",
            temperature=0.5,
            stop_sequences=["x"],
            metadata={"a": 1},
            tools=[TOOL],
            tool_choice=t.ToolChoice(mode="auto"),
        ),
    ),
    ("sampling/createMessage", t.CreateMessageRequestParams(messages=[], max_tokens=0)),
    ("elicitation/create", t.ElicitRequestParams(message="m", mode="form", requested_schema=FORM)),
    (
        "elicitation/create",
        t.ElicitRequestParams(message="m", requested_schema={"type": "object", "properties": {}}),
    ),
    (
        "elicitation/create",
        t.ElicitRequestParams(message="m", mode="url", url="https://e.com", elicitation_id="e"),
    ),
]

ANSWERS: list[tuple[str, t.Result]] = [
    ("roots/list", t.ListRootsResult(roots=[t.Root(uri="file:///", name="r", meta=META), t.Root(uri="file:///a")])),
    ("roots/list", t.ListRootsResult(roots=[])),
    (
        "elicitation/create",
        t.ElicitResult(action="accept", content={"a": "x", "b": 1, "c": True, "d": ["x"]}),
    ),
    ("elicitation/create", t.ElicitResult(action="decline")),
    (
        "sampling/createMessage",
        t.CreateMessageResult(role="assistant", content=TEXT, model="m", stop_reason="endTurn", meta=META),
    ),
    ("sampling/createMessage", t.CreateMessageResult(role="assistant", content=AUDIO, model="m")),
    ("sampling/createMessage", t.CreateMessageResult(role="assistant", content=[TOOL_USE, TEXT], model="m")),
    ("sampling/createMessage", t.CreateMessageResult(role="user", content=TOOL_RESULT, model="m")),
]

NOTIFICATIONS: list[tuple[str, t.NotificationParams]] = [
    ("notifications/cancelled", t.CancelledNotificationParams(request_id=1, reason="r", meta=META)),
    ("notifications/cancelled", t.CancelledNotificationParams(request_id="1")),
    (
        "notifications/progress",
        t.ProgressNotificationParams(progress_token="p", progress=0.5, total=1.5, message="m", meta=META),
    ),
    ("notifications/progress", t.ProgressNotificationParams(progress_token=0, progress=0)),
    (
        "notifications/message",
        t.LoggingMessageNotificationParams(level="emergency", logger="l", data={"a": [None]}, meta=META),
    ),
    ("notifications/message", t.LoggingMessageNotificationParams(level="debug", data=None)),
    ("notifications/resources/updated", t.ResourceUpdatedNotificationParams(uri="file:///a", meta=META)),
    ("notifications/resources/list_changed", t.NotificationParams()),
    ("notifications/tools/list_changed", t.NotificationParams(meta=META)),
    ("notifications/prompts/list_changed", t.NotificationParams()),
    ("notifications/elicitation/complete", t.ElicitationCompleteNotificationParams(elicitation_id="e")),
    (
        "notifications/subscriptions/acknowledged",
        t.SubscriptionsAcknowledgedNotificationParams(
            notifications=t.SubscriptionFilter(
                tools_list_changed=True,
                prompts_list_changed=False,
                resources_list_changed=True,
                resource_subscriptions=["file:///a"],
            ),
            meta=SUBSCRIPTION,
        ),
    ),
    (
        "notifications/subscriptions/acknowledged",
        t.SubscriptionsAcknowledgedNotificationParams(notifications=t.SubscriptionFilter()),
    ),
    ("notifications/initialized", t.NotificationParams(meta=META)),
    ("notifications/roots/list_changed", t.NotificationParams()),
]

MODERN_META: dict[str, Any] = {
    "io.modelcontextprotocol/protocolVersion": LATEST.version,
    "io.modelcontextprotocol/clientInfo": {"name": "c", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/logLevel": "info",
    "progressToken": 7,
}
RETRY: dict[str, Any] = {"input_responses": {"k": {"action": "cancel"}}, "request_state": "s"}
REQUESTS: list[tuple[str, t.RequestParams]] = [
    (
        "initialize",
        t.InitializeRequestParams(
            protocol_version="2025-11-25", capabilities=CLIENT_CAPABILITIES, client_info=IMPLEMENTATION
        ),
    ),
    ("ping", t.RequestParams()),
    ("server/discover", t.RequestParams()),
    ("tools/list", t.PaginatedRequestParams(cursor="c")),
    ("tools/list", t.PaginatedRequestParams()),
    ("tools/call", t.CallToolRequestParams(name="add", arguments={"a": None})),
    ("tools/call", t.CallToolRequestParams(name="add", **RETRY)),
    ("resources/list", t.PaginatedRequestParams()),
    ("resources/templates/list", t.PaginatedRequestParams()),
    ("resources/read", t.ReadResourceRequestParams(uri="file:///a", **RETRY)),
    ("resources/subscribe", t.SubscribeRequestParams(uri="file:///a")),
    ("resources/unsubscribe", t.UnsubscribeRequestParams(uri="file:///a")),
    ("prompts/list", t.PaginatedRequestParams()),
    ("prompts/get", t.GetPromptRequestParams(name="p", arguments={"a": "b"}, **RETRY)),
    (
        "completion/complete",
        t.CompleteRequestParams(
            ref=t.PromptReference(name="p", title="P"),
            argument=t.CompletionArgument(name="a", value=""),
            context=t.CompletionContext(arguments={"b": "c"}),
        ),
    ),
    (
        "completion/complete",
        t.CompleteRequestParams(
            ref=t.ResourceTemplateReference(uri="file:///{a}"), argument=t.CompletionArgument(name="a", value="v")
        ),
    ),
    ("logging/setLevel", t.SetLevelRequestParams(level="warning")),
    (
        "subscriptions/listen",
        t.SubscriptionsListenRequestParams(notifications=t.SubscriptionFilter(tools_list_changed=True)),
    ),
]


# The schemas, as oracles


@cache
def schema(version: str) -> tuple[dict[str, Any], str]:
    """The schema of a revision, closed: a member it does not name is an error, though not in the official text.

    Closed are the definitions of objects and the params of messages. Open stay what the specification calls
    open: ``_meta``, capabilities, JSON schemas.
    """
    document = json.loads((SCHEMAS / f"{version}.json").read_text())
    key = "$defs" if "$defs" in document else "definitions"
    for name, definition in document[key].items():
        if name.endswith(("Request", "Notification")):
            params = definition.get("properties", {}).get("params", {})
            if "properties" in params:
                # All params may carry `_meta`; in the oldest schemas only their general form says so.
                params["properties"].setdefault("_meta", {"type": "object"})
            _close(params)
        elif not name.endswith(("Object", "Capabilities")) and name != "Result":
            _close(definition)
    return document, key


def _close(definition: dict[str, Any]) -> None:
    if definition.get("properties"):
        definition.setdefault("additionalProperties", False)


@cache
def validator(version: str, name: str) -> Any:
    document, key = schema(version)
    root = {"$schema": document["$schema"], key: document[key], "$ref": f"#/{key}/{name}"}
    return jsonschema_rs.validator_for(root)


def check(version: str, name: str, value: Any) -> None:
    errors = [f"{error.instance_path}: {error.message}" for error in validator(version, name).iter_errors(value)]
    assert not errors, f"{name} of {version}: {errors}\n{value}"


def definition_of(method: str, version: str) -> str:
    """The definition that is the message with this method."""
    document, key = schema(version)
    for name, definition in document[key].items():
        if definition.get("properties", {}).get("method", {}).get("const") == method and name != "ClientNotification":
            return name
    raise LookupError(method)


def wire(value: Any) -> Any:
    return json.loads(msgspec.json.encode(value))


def matrix(samples: Sequence[tuple[str, Any]], eras: Sequence[Era] = tuple(ERAS.values())) -> list[Any]:
    """Each sample in each revision that has its method."""
    return [
        pytest.param(era, method, sample, id=f"{era.version}-{method}-{number}")
        for era in eras
        for number, (method, sample) in enumerate(samples)
        if METHODS[method].served(era) and (era.input_required or not isinstance(sample, t.InputRequiredResult))
    ]


@pytest.mark.parametrize(
    "sample",
    [
        *[
            pytest.param(sample, id=f"{method}-{type(sample).__name__}")
            for method, sample in [*RESULTS, *QUESTIONS, *ANSWERS, *NOTIFICATIONS, *REQUESTS]
        ],
        *[pytest.param(part, id=type(part).__name__) for part in (TOOL, IMPLEMENTATION, CLIENT_CAPABILITIES)],
    ],
)
def test_decode_is_the_inverse_of_encode(sample: Any) -> None:
    encoded = msgspec.json.encode(sample)
    assert msgspec.json.decode(encoded, type=type(sample)) == sample


@pytest.mark.parametrize(("era", "method", "sample"), matrix(RESULTS))
def test_result_is_valid(era: Era, method: str, sample: t.Result) -> None:
    before = copy.deepcopy(sample)
    value = json.loads(encode_result_object(sample, era, STAMP))
    assert sample == before
    check(era.version, type(sample).__name__, value)
    peer.parse_server_result(method, era.version, value)
    # What was fitted still is of the same type.
    msgspec.convert(value, type(sample))


@pytest.mark.parametrize(("era", "method", "sample"), matrix(QUESTIONS))
def test_question_is_valid(era: Era, method: str, sample: t.RequestParams) -> None:
    if isinstance(sample, t.ElicitRequestParams) and sample.mode == "url" and not era.url_elicitation:
        with pytest.raises(UnsupportedByClient):
            fit_question(sample, era)
        return
    before = copy.deepcopy(sample)
    params = wire(fit_question(sample, era))
    assert sample == before
    if era.input_required:
        check(era.version, "InputRequest", {"method": method, "params": params})
        result = {"resultType": "input_required", "inputRequests": {"k": {"method": method, "params": params}}}
        peer.parse_server_result("tools/call", era.version, result)
    else:
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        check(era.version, definition_of(method, era.version), message)
        peer.parse_server_request(method, era.version, params)


@pytest.mark.parametrize(("era", "method", "sample"), matrix(ANSWERS))
def test_answer_is_valid(era: Era, method: str, sample: t.Result) -> None:
    if isinstance(sample, t.ElicitResult) and sample.content and not era.typed_elicitation_defaults:
        sample = t.ElicitResult(action="accept", content={"a": "x", "b": 1, "c": True})
    value = wire(fit_result(sample, era))
    check(era.version, type(sample).__name__, value)
    if not era.input_required:
        peer.parse_client_result(method, era.version, value)


@pytest.mark.parametrize(("era", "method", "sample"), matrix(NOTIFICATIONS))
def test_notification_is_valid(era: Era, method: str, sample: t.NotificationParams) -> None:
    before = copy.deepcopy(sample)
    params = wire(fit_notification(sample, era))
    assert sample == before
    check(era.version, definition_of(method, era.version), {"jsonrpc": "2.0", "method": method, "params": params})
    if METHODS[method].to == "server":
        peer.parse_client_notification(method, era.version, params)
    else:
        peer.parse_server_notification(method, era.version, params)


# Requests come from a client that knows the revision: nothing fits them to an older one.
@pytest.mark.parametrize(("era", "method", "sample"), matrix(REQUESTS, [LATEST_HANDSHAKE, LATEST]))
def test_request_is_valid(era: Era, method: str, sample: t.RequestParams) -> None:
    if not era.input_required and isinstance(sample, t.InputResponseRequestParams):
        sample = msgspec.structs.replace(sample, input_responses=None, request_state=None)
    params = wire(sample if era.handshake else msgspec.structs.replace(sample, meta=MODERN_META))
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    if method != "initialize":  # its capabilities name extensions, which are open
        check(era.version, definition_of(method, era.version), message)
    peer.parse_client_request(method, era.version, params)


@pytest.mark.parametrize("method", METHODS)
def test_methods_are_those_of_the_schemas(method: str) -> None:
    for era in ERAS.values():
        try:
            definition_of(method, era.version)
        except LookupError:
            assert not METHODS[method].served(era), era.version
        else:
            assert METHODS[method].served(era), era.version


def test_no_method_of_the_schemas_is_missing() -> None:
    for era in ERAS.values():
        document, key = schema(era.version)
        for definition in document[key].values():
            method = definition.get("properties", {}).get("method", {}).get("const")
            # Tasks of 2025-11-25 were experimental and are an extension since.
            assert method is None or method in METHODS or method.startswith(("tasks/", "notifications/tasks/"))


def test_methods_agree_with_mcp_types() -> None:
    assert {name for name, method in METHODS.items() if method.cacheable} == peer.CACHEABLE_METHODS
    assert {name for name, method in METHODS.items() if method.input_required} == peer.INPUT_REQUIRED_METHODS
    for name, method in METHODS.items():
        assert method.notification == name.startswith("notifications/") == (method.result is None)
        assert method.cacheable == (method.result is not None and issubclass(method.result, t.CacheableResult))


def test_every_type_of_a_method_has_a_sample() -> None:
    seen = {type(sample) for _, sample in [*RESULTS, *QUESTIONS, *ANSWERS, *NOTIFICATIONS, *REQUESTS]}
    for method in METHODS.values():
        assert method.params in seen
        assert method.result is None or method.result in seen


# What a server decodes


def test_params_are_decoded_once_and_raw_members_stay_raw() -> None:
    body = {"name": "n", "arguments": {"a": 1}, "inputResponses": None, "unknown": 1, "_meta": MODERN_META}
    params = msgspec.json.decode(json.dumps(body), type=t.Params)
    assert (params.name, params.uri, params.cursor, params.request_state) == ("n", None, None, None)
    assert bytes(params.arguments) == b'{"a": 1}'
    assert bytes(params.input_responses) == b"null"
    meta = params.meta
    assert meta is not None
    assert (meta.protocol_version, meta.log_level, meta.progress_token) == (LATEST.version, "info", 7)
    assert meta.client_info == t.Implementation(name="c", version="1")
    assert meta.client_capabilities == t.ClientCapabilities()


def test_absent_params_are_empty() -> None:
    params = msgspec.json.decode(b"{}", type=t.Params)
    assert not params.arguments
    assert not params.input_responses
    assert params.meta is None


@pytest.mark.parametrize(
    "junk",
    [
        '{"name":1}',
        '{"uri":[]}',
        '{"cursor":5}',
        '{"_meta":[]}',
        '{"_meta":{"progressToken":1.5}}',
        '{"_meta":{"progressToken":"%s"}}' % ("x" * 1025),
        "[]",
    ],
)
def test_junk_params_are_refused(junk: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(junk, type=t.Params)


def test_null_is_a_structured_content_and_absence_is_none() -> None:
    assert wire(t.CallToolResult(content=[], structured_content=None)) == {"content": [], "structuredContent": None}
    assert wire(t.CallToolResult(content=[])) == {"content": []}
    assert msgspec.json.decode(b'{"content":[]}', type=t.CallToolResult).structured_content is msgspec.UNSET


def test_unknown_members_are_ignored() -> None:
    result = msgspec.json.decode(b'{"resultType":"complete","content":[],"later":1}', type=t.CallToolResult)
    assert result == t.CallToolResult(content=[])


def test_result_types() -> None:
    assert t.InputRequiredResult.result_type == "input_required"
    assert {kind.result_type for kind in (t.Result, t.CallToolResult, t.DiscoverResult)} == {"complete"}
