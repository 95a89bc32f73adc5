from __future__ import annotations

from typing import Any

import pytest

from headrace.client.mirror import header_value, keep_valid, parameter_headers
from headrace.protocol.types import Tool


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("us-west1", "us-west1"),
        ("two words\tand a tab", "two words\tand a tab"),
        ("", ""),
        ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
        (" padded ", "=?base64?IHBhZGRlZCA=?="),
        ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
        ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ("\ttab", "=?base64?CXRhYg==?="),
    ],
)
def test_values_are_encoded_as_the_specification_shows(value: str, sent: str) -> None:
    assert header_value(value) == sent


def tool(name: str, **properties: Any) -> Tool:
    return Tool(name=name, input_schema={"type": "object", "properties": properties})


def test_parameters_become_headers() -> None:
    nested = {"type": "object", "properties": {"deep": {"type": "boolean", "x-mcp-header": "Deep"}}}
    marked = keep_valid(
        [
            tool(
                "t",
                region={"type": "string", "x-mcp-header": "Region"},
                count={"type": "integer", "x-mcp-header": "Count"},
                nested=nested,
                plain={"type": "string"},
            )
        ]
    )[0][1]
    assert parameter_headers(marked, {"region": "eu", "count": 42.0, "nested": {"deep": True}, "plain": "x"}) == {
        "mcp-param-region": "eu",
        "mcp-param-count": "42",
        "mcp-param-deep": "true",
    }
    assert parameter_headers(marked, {"region": None, "nested": 5}) == {}


@pytest.mark.parametrize(
    "properties",
    [
        {"a": {"type": "string", "x-mcp-header": ""}},
        {"a": {"type": "string", "x-mcp-header": "a b"}},
        {"a": {"type": "string", "x-mcp-header": "a\r\nb: c"}},
        {"a": {"type": "number", "x-mcp-header": "A"}},
        {"a": {"type": "object", "x-mcp-header": "A"}},
        {"a": {"type": "string", "x-mcp-header": "A"}, "b": {"type": "string", "x-mcp-header": "a"}},
        {"a": {"type": "array", "items": {"type": "string", "x-mcp-header": "A"}}},
        {"a": {"anyOf": [{"type": "string", "x-mcp-header": "A"}]}},
    ],
)
def test_tools_with_invalid_marks_are_left_out_with_a_warning(
    properties: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    valid = keep_valid([tool("bad", **properties), tool("good")])
    assert [each.name for each, _ in valid] == ["good"]
    assert "'bad'" in caplog.text
