"""Return values -> content and structured content."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel, Field

from headrace.components.content import WRAPPED, Output, tool_result
from headrace.exceptions import ValidationError
from headrace.protocol.jsonrpc import encode
from headrace.types import Audio, File, Image, ImageContent, ResourceContents, ResourceLink, TextContent, ToolResult

EMPTY: Any = inspect.Parameter.empty


class Model(BaseModel):
    name: str = Field(alias="theName")


@dataclass
class Point:
    x: int


def answered(value: Any, annotation: Any = EMPTY) -> dict[str, Any]:
    answer: dict[str, Any] = msgspec.json.decode(encode(tool_result(value, Output.from_annotation(annotation))))
    return answer


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "text": content}


PNG = {"type": "image", "data": "AQI=", "mimeType": "image/png"}


@pytest.mark.parametrize(
    ("value", "annotation", "content", "structured"),
    [
        ("hi", EMPTY, [text("hi")], None),
        (None, EMPTY, [], None),
        (3, EMPTY, [text("3")], None),
        ({"a": 1}, EMPTY, [text('{"a":1}')], {"a": 1}),
        (Point(1), EMPTY, [text('{"x":1}')], {"x": 1}),
        (Model(theName="n"), EMPTY, [text('{"theName":"n"}')], {"theName": "n"}),
        ([1, 2], EMPTY, [text("[1,2]")], None),
        (Image(data=b"\1\2"), EMPTY, [PNG], None),
        (Image(data=b"\1\2"), Image, [PNG], None),
        (["see", Image(data=b"\1\2"), {"a": 1}], list, [text("see"), PNG, text('{"a":1}')], None),
        (["see", Image(data=b"\1\2")], list[str | Image], [text("see"), PNG], None),
        (Audio(data=b"\1\2", format="mp3"), EMPTY, [{"type": "audio", "data": "AQI=", "mimeType": "audio/mp3"}], None),
        (TextContent(text="t"), TextContent, [text("t")], None),
        (ImageContent(data="AQI=", mime_type="image/png"), EMPTY, [PNG], None),
        (ResourceLink(uri="a://b", name="n"), EMPTY, [{"type": "resource_link", "uri": "a://b", "name": "n"}], None),
        (
            File(data=b"hi", format="text/plain", name="a.txt"),
            EMPTY,
            [{"type": "resource", "resource": {"uri": "file:///a.txt", "mimeType": "text/plain", "text": "hi"}}],
            None,
        ),
        (
            b"\1\2",
            EMPTY,
            [
                {
                    "type": "resource",
                    "resource": {"uri": "file:///resource", "mimeType": "application/octet-stream", "blob": "AQI="},
                }
            ],
            None,
        ),
        (
            ResourceContents(uri="a://b", text="t"),
            EMPTY,
            [{"type": "resource", "resource": {"uri": "a://b", "text": "t"}}],
            None,
        ),
        ("hi", str, [text("hi")], {"result": "hi"}),
        (3, int, [text("3")], {"result": 3}),
        (None, int | None, [], {"result": None}),
        ([1], list[int], [text("[1]")], {"result": [1]}),
        ({"a": 1}, dict[str, int], [text('{"a":1}')], {"a": 1}),
        (Point(1), Point, [text('{"x":1}')], {"x": 1}),
        ({"x": 1}, Point, [text('{"x":1}')], {"x": 1}),
        (Model(theName="n"), Model, [text('{"theName":"n"}')], {"theName": "n"}),
        (Point(1), Point | None, [text('{"x":1}')], {"result": {"x": 1}}),
        (ToolResult(content="c", structured_content={"a": 1}), EMPTY, [text("c")], {"a": 1}),
        (ToolResult(structured_content={"a": 1}), EMPTY, [text('{"a":1}')], {"a": 1}),
    ],
)
def test_values(value: Any, annotation: Any, content: list[Any], structured: Any) -> None:
    answer = answered(value, annotation)
    assert answer["content"] == content
    assert answer.get("structuredContent") == structured


@pytest.mark.parametrize(
    ("annotation", "wrapped"),
    [
        (int, True),
        (list[int], True),
        (Point | None, True),
        (Point, False),
        (Model, False),
        (dict[str, int], False),
        *[(kind, None) for kind in (EMPTY, None, Any, object, Image, bytes, list, list[Any], list[Image], ToolResult)],
    ],
)
def test_output_schema(annotation: Any, wrapped: bool | None) -> None:
    output = Output.from_annotation(annotation)
    if wrapped is None:
        assert output is None
        return
    assert output is not None
    assert output.schema["type"] == "object"
    assert output.schema.get(WRAPPED, False) is wrapped


def test_a_value_that_does_not_fit_its_annotation() -> None:
    with pytest.raises(ValidationError, match="return annotation"):
        answered("abc", int)


def test_an_output_schema_by_hand_is_held() -> None:
    output = Output.from_schema({"type": "object", "required": ["a"]}, "it")
    tool_result({"a": 1}, output)
    with pytest.raises(ValidationError, match="output schema"):
        tool_result({"b": 1}, output)
    with pytest.raises(ValidationError, match="output schema"):
        tool_result(ToolResult(content="x", structured_content={"b": 1}), output)


def test_meta_of_a_tool_result() -> None:
    assert answered(ToolResult(content="x", meta={"k": 1}))["_meta"] == {"k": 1}


@pytest.mark.parametrize("arguments", [{}, {"path": "a.png", "data": b""}])
def test_media_take_one_source(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either"):
        Image(**arguments)
