"""Resources: made from functions, as subclasses, and marked to be registered later; and what their values become."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from headrace import Image
from headrace.components.standalone import pending
from headrace.exceptions import InvalidSignature
from headrace.protocol.types import InputRequiredResult, ReadResourceResult
from headrace.resources import (
    FunctionResource,
    Resource,
    ResourceContent,
    ResourceContents,
    ResourceResult,
    ResourceTemplate,
    TextResource,
    resource,
)
from headrace.resources.results import read_result, resource_result

WITHOUT: Any = None
TEXT, BYTES, JSON = "text/plain", "application/octet-stream", "application/json"


def parts(value: Any, mime_type: str | None = None, meta: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
    result = read_result(value, "x://a", mime_type, meta)
    assert isinstance(result, ReadResourceResult)
    return [(each.text if each.blob is None else each.blob, each.mime_type, each.meta) for each in result.contents]


@pytest.mark.parametrize(
    ("value", "mime_type", "expected"),
    [
        ("a", None, [("a", TEXT, None)]),
        ("a", "text/csv", [("a", "text/csv", None)]),
        (b"\1", None, [("AQ==", BYTES, None)]),
        (b"\1", "image/png", [("AQ==", "image/png", None)]),
        (None, None, [("null", TEXT, None)]),
        ({"a": 1}, None, [('{"a":1}', TEXT, None)]),
        ([1, 2], None, [("[1,2]", TEXT, None)]),
        ([], JSON, [("[]", JSON, None)]),
        (ResourceResult("a"), "text/csv", [("a", "text/csv", None)]),
        (ResourceResult([]), None, []),
        (ResourceContent({"a": 1}), None, [('{"a":1}', JSON, None)]),
        ([ResourceContent("a"), ResourceContent(b"\1")], "text/csv", [("a", TEXT, None), ("AQ==", BYTES, None)]),
        (
            ResourceResult([ResourceContent("a", "x/y", {"m": 1}), "b"]),
            None,
            [("a", "x/y", {"m": 1}), ("b", TEXT, None)],
        ),
        ([b"\1", "a"], None, [("AQ==", BYTES, None), ("a", TEXT, None)]),
        (Image(data=b"\1", format="gif"), None, [("AQ==", "image/gif", None)]),
        (ResourceContents(uri="y://b", text="t"), None, [("t", None, None)]),
    ],
)
def test_values_become_contents(value: Any, mime_type: str | None, expected: list[tuple[Any, ...]]) -> None:
    assert parts(value, mime_type) == expected


@pytest.mark.parametrize(
    ("value", "meta"),
    [
        ("a", {"k": 1}),
        ([ResourceContent("a", meta={"own": 2})], {"k": 1, "own": 2}),
        ([ResourceContent("a", meta={"k": 2})], {"k": 2}),
        (ResourceResult("a"), None),
        (ResourceResult([ResourceContent("a", meta={"own": 2})]), {"own": 2}),
    ],
)
def test_the_meta_of_a_resource_goes_with_what_is_read(value: Any, meta: dict[str, Any] | None) -> None:
    assert [each[2] for each in parts(value, meta={"k": 1})] == [meta]


def test_the_meta_of_a_result() -> None:
    result = read_result(ResourceResult("a", meta={"total": 1}), "x://a", None)
    assert isinstance(result, ReadResourceResult)
    assert result.meta == {"total": 1}


def test_a_result_as_users_see_it() -> None:
    result = read_result(ResourceResult(["a", b"\1"], meta={"n": 2}), "x://a", None)
    assert isinstance(result, ReadResourceResult)
    seen = resource_result(result)
    assert seen.meta == {"n": 2}
    assert [(each.content, each.mime_type, each.uri) for each in seen.contents] == [
        ("a", TEXT, "x://a"),
        (b"\1", BYTES, "x://a"),
    ]


def test_results_of_the_protocol_pass_unchanged() -> None:
    for result in (InputRequiredResult(request_state="s"), ReadResourceResult(contents=[])):
        assert read_result(result, "x://a", None) is result


async def test_a_function_as_a_resource() -> None:
    def config() -> dict[str, int]:
        """The configuration."""
        return {"a": 1}

    made = Resource.from_function(
        fn=config, uri="data://config", version=2, tags={"t"}, size=7, annotations={"priority": 1}
    )
    assert isinstance(made, FunctionResource)
    assert made.fn is config
    assert made.key == "resource:data://config@2"
    listed = made.to_wire()
    assert (listed.name, listed.description, listed.mime_type, listed.size) == ("config", "The configuration.", TEXT, 7)
    assert listed.meta == {"fastmcp": {"tags": ["t"], "version": "2"}}
    assert await made.read() == {"a": 1}


async def test_a_function_may_give_a_resource() -> None:
    async def choose() -> Resource:
        return TextResource(uri="inner://x", text="inner")

    made = Resource.from_function(choose, "outer://x", mime_type="text/x")
    answer = await made.answer(WITHOUT)
    assert isinstance(answer, ReadResourceResult)
    assert [(each.uri, each.text, each.mime_type) for each in answer.contents] == [("outer://x", "inner", "text/x")]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Resource.from_function(lambda: "", "x://a"), ValueError, "name="),
        (lambda: Resource.from_function(lambda a: a, "x://a", "n"), InvalidSignature, "needs a"),
        (lambda: Resource.from_function(lambda: "", "nothing", "n"), ValueError, "scheme"),
        (lambda: TextResource(uri="nothing", text=""), ValueError, "scheme"),
        (lambda: resource(lambda: ""), TypeError, "needs a URI"),  # pyright: ignore[reportArgumentType]
        (lambda: resource("x://{"), ValueError, "braces"),
    ],
)
def test_what_is_no_resource(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


async def test_a_subclass_of_ones_own() -> None:
    class Clock(Resource):
        async def read(self) -> ResourceResult:
            return ResourceResult("noon", meta={"k": 1})

    clock = Clock(uri="time://now", mime_type="text/x-time")
    assert clock.name == "time://now"
    answer = await clock.answer(WITHOUT)
    assert isinstance(answer, ReadResourceResult)
    assert (answer.contents[0].text, answer.contents[0].mime_type, answer.meta) == ("noon", "text/x-time", {"k": 1})
    with pytest.raises(NotImplementedError, match="read"):
        await Resource("x://a").read()


class Shelf:
    def __init__(self, book: str) -> None:
        self.book = book

    @resource("shelf://book", title="A book", tags={"t"})
    def read(self) -> str:
        return self.book


@resource("shelf://{place}", security=None)
def at(place: str) -> str:
    return place


async def test_marked_now_and_made_later() -> None:
    assert at("a") == "a"
    found = pending(at)
    assert found is not None
    assert found.kind == "template"
    template = found.make(at)
    assert isinstance(template, ResourceTemplate)
    assert template.match("shelf://..") == {"place": ".."}

    method = Shelf("Dune").read
    found = pending(method)
    assert found is not None
    made = found.make(method)
    assert isinstance(made, Resource)
    assert (made.uri, made.name, made.title, made.tags) == ("shelf://book", "read", "A book", {"t"})
    assert await made.read() == "Dune"


def test_the_module_stays_importable() -> None:
    from headrace.resources.resource import Resource as FromModule

    assert FromModule is Resource
