"""What a revision does not know is left out or said in words it knows.

That the outcome is valid in every revision is tested in `test_types`; here is what it says.
"""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET, Raw

from headrace.exceptions import UnsupportedByClient
from headrace.protocol import types as t
from headrace.protocol.downgrade import fit_answer, fit_notification, fit_question, fit_result
from headrace.protocol.versions import ERAS, LATEST, LATEST_HANDSHAKE, Era

R2024_11, R2025_03, R2025_06, R2025_11, R2026_07 = ERAS.values()
HANDSHAKE = [era for era in ERAS.values() if era.handshake]


def by_version(era: Any) -> str | None:
    return era.version if isinstance(era, Era) else None


def fit_block(block: t.ContentBlock, era: Era) -> t.ContentBlock:
    return fit_result(t.CallToolResult(content=[block]), era).content[0]


# Nothing to do


@pytest.mark.parametrize(
    "result",
    [
        t.EmptyResult(),
        t.CallToolResult(content=[t.TextContent(text="a")], structured_content={"a": 1}),
        t.CallToolResult(content=[t.TextContent(text="a", meta={"a": 1})], structured_content=[1]),
        t.ListToolsResult(tools=[t.Tool(name="a", title="A", input_schema={})], ttl_ms=1, cache_scope="public"),
        t.InputRequiredResult(request_state="s"),
    ],
)
def test_the_latest_revision_gets_the_same_object(result: t.Result) -> None:
    assert fit_result(result, LATEST) is result


@pytest.mark.parametrize("era", list(ERAS.values()), ids=by_version)
def test_what_fits_is_returned_as_it_is(era: Era) -> None:
    for result in (
        t.CallToolResult(content=[t.TextContent(text="a"), t.ImageContent(data="", mime_type="image/png")]),
        t.ListToolsResult(tools=[t.Tool(name="a", description="d", input_schema={"type": "object"})]),
        t.GetPromptResult(messages=[t.PromptMessage(role="user", content=t.TextContent(text="a"))]),
    ):
        assert fit_result(result, era) is result
    assert fit_notification(None, era) is None
    note = t.ProgressNotificationParams(progress_token=1, progress=1)
    assert fit_notification(note, era) is note
    question = t.CreateMessageRequestParams(
        messages=[t.SamplingMessage(role="user", content=t.TextContent(text="a"))], max_tokens=1
    )
    assert fit_question(question, era) is question


def test_only_what_does_not_fit_is_copied() -> None:
    plain, marked = t.TextContent(text="a"), t.TextContent(text="b", meta={"m": 1})
    result = t.CallToolResult(content=[plain, marked])
    fitted = fit_result(result, R2025_03)
    assert fitted.content[0] is plain
    assert fitted.content[1] == t.TextContent(text="b")
    assert result.content[1].meta == {"m": 1}


def test_a_subclass_is_fitted_like_its_base() -> None:
    class Mine(t.CallToolResult, kw_only=True):
        pass

    fitted = fit_result(Mine(content=[], structured_content=1), LATEST_HANDSHAKE)
    assert type(fitted) is Mine
    assert fitted.structured_content is UNSET


# Content


def test_audio_becomes_an_embedded_resource() -> None:
    annotations = t.Annotations(priority=1)
    audio = t.AudioContent(data="AA==", mime_type="audio/wav", annotations=annotations, meta={"a": 1})
    block = fit_block(audio, R2024_11)
    assert isinstance(block, t.EmbeddedResource)
    assert (block.resource.mime_type, block.resource.blob) == ("audio/wav", "AA==")
    assert block.resource.uri.startswith("audio:")
    assert (block.annotations, block.meta) == (annotations, None)
    assert fit_block(audio, R2025_06) is audio


def test_different_recordings_have_different_uris() -> None:
    result = t.CallToolResult(content=[t.AudioContent(data=data, mime_type="audio/wav") for data in ("AA==", "AQ==")])
    uris = {
        block.resource.uri for block in fit_result(result, R2024_11).content if isinstance(block, t.EmbeddedResource)
    }
    assert len(uris) == 2


@pytest.mark.parametrize("era", [R2024_11, R2025_03], ids=by_version)
def test_resource_link_becomes_text(era: Era) -> None:
    link = t.ResourceLink(uri="file:///a", name="a", title="A", description="d", size=3)
    assert fit_block(link, era) == t.TextContent(text="A: file:///a\nd")
    assert fit_block(t.ResourceLink(uri="file:///a", name="a"), era) == t.TextContent(text="a: file:///a")


def test_resource_link_loses_its_icons_only() -> None:
    link = t.ResourceLink(uri="file:///a", name="a", title="A", icons=[t.Icon(src="data:,")], meta={"a": 1})
    assert fit_block(link, R2025_06) == t.ResourceLink(uri="file:///a", name="a", title="A", meta={"a": 1})


# Structured content


@pytest.mark.parametrize(
    ("era", "value", "kept"),
    [
        *[(era, {"a": 1}, era in (R2025_06, R2025_11, R2026_07)) for era in ERAS.values()],
        *[(era, value, era is R2026_07) for era in ERAS.values() for value in (None, 1, "a", True, [], 0.5)],
        (R2025_11, Raw(b'{"a":1}'), True),
        (R2025_11, Raw(b"[1]"), False),
        (R2025_11, t.TextContent(text="a struct is an object"), True),
    ],
    ids=by_version,
)
def test_structured_content(era: Era, value: Any, kept: bool) -> None:
    fitted = fit_result(t.CallToolResult(content=[], structured_content=value), era)
    assert fitted.structured_content is (value if kept else UNSET)


@pytest.mark.parametrize(
    ("schema", "eras"),
    [
        ({"type": "object", "properties": {}}, [R2025_06, R2025_11, R2026_07]),
        ({"type": "array"}, [R2026_07]),
        ({"anyOf": [{"type": "object"}]}, [R2026_07]),
    ],
)
def test_output_schema(schema: dict[str, Any], eras: list[Era]) -> None:
    result = t.ListToolsResult(tools=[t.Tool(name="a", input_schema={"type": "object"}, output_schema=schema)])
    kept = [era for era in ERAS.values() if fit_result(result, era).tools[0].output_schema == schema]
    assert kept == eras


# Components


TOOL = t.Tool(
    name="a",
    title="A",
    description="d",
    input_schema={"type": "object", "properties": {"a": {"type": "string", "x-mcp-header": "A"}}},
    annotations=t.ToolAnnotations(read_only_hint=True),
    icons=[t.Icon(src="data:,")],
    execution=t.ToolExecution(task_support="optional"),
    meta={"m": 1},
)


@pytest.mark.parametrize(
    ("era", "left"),
    [
        (R2024_11, set[str]()),
        (R2025_03, {"annotations"}),
        (R2025_06, {"annotations", "title", "meta"}),
        (R2025_11, {"annotations", "title", "meta", "icons", "execution"}),
        (R2026_07, {"annotations", "title", "meta", "icons", "execution"}),
    ],
    ids=by_version,
)
def test_tool(era: Era, left: set[str]) -> None:
    fitted = fit_result(t.ListToolsResult(tools=[TOOL]), era).tools[0]
    optional = ("annotations", "title", "meta", "icons", "execution")
    assert {name for name in optional if getattr(fitted, name) is not None} == left
    assert fitted.description == "d"
    assert fitted.input_schema is TOOL.input_schema


def test_prompt_arguments_lose_their_title() -> None:
    argument = t.PromptArgument(name="a", title="A", description="d", required=True)
    result = t.ListPromptsResult(prompts=[t.Prompt(name="p", title="P", arguments=[argument])])
    assert fit_result(result, R2025_03).prompts == [
        t.Prompt(name="p", arguments=[t.PromptArgument(name="a", description="d", required=True)])
    ]
    assert fit_result(result, R2025_06) is result


def test_resources_lose_what_is_new_also_inside_annotations() -> None:
    resource = t.Resource(
        uri="file:///a",
        name="a",
        title="A",
        size=1,
        annotations=t.Annotations(priority=0.5, last_modified="2026-01-01T00:00:00Z"),
        meta={"m": 1},
    )
    fitted = fit_result(t.ListResourcesResult(resources=[resource]), R2025_03).resources[0]
    assert fitted == t.Resource(uri="file:///a", name="a", size=1, annotations=t.Annotations(priority=0.5))


@pytest.mark.parametrize("era", HANDSHAKE, ids=by_version)
def test_cache_hints_are_of_the_latest_revision(era: Era) -> None:
    result = t.ReadResourceResult(contents=[], ttl_ms=0, cache_scope="private", meta={"m": 1})
    assert fit_result(result, era) == t.ReadResourceResult(contents=[], meta={"m": 1})


@pytest.mark.parametrize(
    ("era", "info"),
    [
        (R2024_11, t.Implementation(name="n", version="1")),
        (R2025_03, t.Implementation(name="n", version="1")),
        (R2025_06, t.Implementation(name="n", version="1", title="N")),
        (R2025_11, t.Implementation(name="n", version="1", title="N", description="d", website_url="https://e.com")),
    ],
    ids=by_version,
)
def test_initialize_result(era: Era, info: t.Implementation) -> None:
    result = t.InitializeResult(
        protocol_version=era.version,
        capabilities=t.ServerCapabilities(tools={}, completions={}, extensions={"com.example/x": {}}),
        server_info=t.Implementation(name="n", version="1", title="N", description="d", website_url="https://e.com"),
    )
    fitted = fit_result(result, era)
    assert fitted.server_info == info
    # Capabilities are no closed set, and clients of 2025-11-25 look for extensions there.
    assert (fitted.capabilities.tools, fitted.capabilities.extensions) == ({}, {"com.example/x": {}})
    assert fitted.capabilities.completions == (None if era is R2024_11 else {})


def test_progress_message() -> None:
    note = t.ProgressNotificationParams(progress_token=1, progress=1, message="m")
    assert fit_notification(note, R2024_11) == t.ProgressNotificationParams(progress_token=1, progress=1)
    assert fit_notification(note, R2025_03) is note


# Elicitation


def form(**properties: dict[str, Any]) -> t.ElicitRequestParams:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return t.ElicitRequestParams(message="m", mode="form", requested_schema=schema)


@pytest.mark.parametrize(
    ("field", "plain"),
    [
        ({"type": "string", "minLength": 1, "default": "a"}, {"type": "string", "minLength": 1}),
        ({"type": "integer", "default": 1}, {"type": "integer"}),
        ({"type": "boolean", "default": False}, {"type": "boolean", "default": False}),
        ({"type": "string", "enum": ["a"], "default": "a"}, {"type": "string", "enum": ["a"]}),
        (
            {"type": "string", "enum": ["a"], "enumNames": ["A"]},
            {"type": "string", "enum": ["a"], "enumNames": ["A"]},
        ),
        (
            {"type": "string", "title": "T", "oneOf": [{"const": "a", "title": "A"}], "default": "a"},
            {"type": "string", "title": "T", "enum": ["a"], "enumNames": ["A"]},
        ),
        (
            {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}, "maxItems": 1, "default": ["a"]},
            {"type": "string", "description": "Any of these, separated by commas: a, b"},
        ),
        (
            {
                "type": "array",
                "title": "T",
                "description": "Pick.",
                "items": {"anyOf": [{"const": "a", "title": "A"}, {"const": "b", "title": "b"}]},
            },
            {"type": "string", "title": "T", "description": "Pick. Any of these, separated by commas: a (A), b"},
        ),
    ],
)
def test_form_fields_before_typed_defaults(field: dict[str, Any], plain: dict[str, Any]) -> None:
    fitted = fit_question(form(x=field), R2025_06)
    assert fitted.requested_schema == {"type": "object", "properties": {"x": plain}, "required": ["x"]}
    assert fitted.mode is None
    assert fit_question(form(x=field), R2025_11) == form(x=field)


def test_a_choice_that_was_asked_for_as_text_becomes_a_list() -> None:
    schema = {
        "type": "object",
        "properties": {
            "several": {"type": "array", "items": {"enum": ["a", "b", "c, d"]}},
            "one": {"type": "string"},
        },
    }
    assert fit_answer({"several": "a,  b", "one": "a, b"}, schema) == {"several": ["a", "b"], "one": "a, b"}
    assert fit_answer({"several": "c, d"}, schema) == {"several": ["c, d"]}
    assert fit_answer({"several": ""}, schema) == {"several": []}
    assert fit_answer({"several": ["a"], "other": 1}, schema) == {"several": ["a"], "other": 1}


def test_elicitation_ids_are_of_one_revision() -> None:
    question = t.ElicitRequestParams(message="m", mode="url", url="https://e.com", elicitation_id="e")
    assert fit_question(question, R2025_11) is question
    assert fit_question(question, R2026_07) == t.ElicitRequestParams(message="m", mode="url", url="https://e.com")


@pytest.mark.parametrize(
    ("era", "question", "capabilities"),
    [
        (R2024_11, form(), {"elicitation": {}}),
        (R2025_03, form(), {"elicitation": {}}),
        (R2025_06, t.ElicitRequestParams(message="m", mode="url", url="u"), {"elicitation": {"url": {}}}),
    ],
    ids=by_version,
)
def test_what_cannot_be_asked(era: Era, question: t.ElicitRequestParams, capabilities: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedByClient) as caught:
        fit_question(question, era)
    assert caught.value.capabilities == capabilities


# Sampling


def test_sampling_tools_are_left_out_and_tool_blocks_told_as_text() -> None:
    question = t.CreateMessageRequestParams(
        messages=[
            t.SamplingMessage(
                role="assistant",
                content=[t.TextContent(text="a"), t.ToolUseContent(id="1", name="add", input={"x": 1})],
                meta={"m": 1},
            ),
            t.SamplingMessage(
                role="user",
                content=t.ToolResultContent(tool_use_id="1", content=[t.TextContent(text="2")], structured_content=2),
            ),
        ],
        max_tokens=1,
        tools=[TOOL],
        tool_choice=t.ToolChoice(mode="auto"),
    )
    assert fit_question(question, R2025_06) == t.CreateMessageRequestParams(
        messages=[
            t.SamplingMessage(role="assistant", content=t.TextContent(text="a")),
            t.SamplingMessage(role="assistant", content=t.TextContent(text='Tool call: add {"x":1}')),
            t.SamplingMessage(role="user", content=t.TextContent(text="Tool result:\n2")),
        ],
        max_tokens=1,
    )
    # 2025-11-25 has the tools, but structured content and output schemas only as objects.
    content = fit_question(question, R2025_11).messages[1].content
    assert content == t.ToolResultContent(tool_use_id="1", content=[t.TextContent(text="2")])


def test_tools_for_sampling_are_fitted_too() -> None:
    tool = t.Tool(name="a", input_schema={"type": "object"}, output_schema={"type": "array"})
    question = t.CreateMessageRequestParams(messages=[], max_tokens=1, tools=[tool])
    assert fit_question(question, R2025_11).tools == [t.Tool(name="a", input_schema={"type": "object"})]
    assert fit_question(question, R2026_07) is question


def test_sampling_messages_had_no_audio() -> None:
    audio = t.AudioContent(data="AA==", mime_type="audio/wav")
    question = t.CreateMessageRequestParams(messages=[t.SamplingMessage(role="user", content=audio)], max_tokens=1)
    assert fit_question(question, R2024_11).messages == [
        t.SamplingMessage(role="user", content=t.TextContent(text="(audio left out: audio/wav)"))
    ]
    assert fit_question(question, R2025_03) is question


def test_a_sampling_answer_was_one_block() -> None:
    answer = t.CreateMessageResult(
        role="assistant", content=[t.TextContent(text="a"), t.TextContent(text="b")], model="m"
    )
    assert fit_result(answer, R2025_06).content == t.TextContent(text="a")
    assert fit_result(answer, R2025_11) is answer
