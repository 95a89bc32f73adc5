"""The resource manager, alone: what is registered, what a URI means, and what a client gets."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.components.versions import VersionSpec
from headrace.components.visibility import rule
from headrace.exceptions import InvalidParams, NotFoundError, ResourceError, ValidationError
from headrace.protocol.types import ReadResourceResult
from headrace.resources import (
    ResourceContent,
    ResourceManager,
    ResourceResult,
    ResourceSecurity,
    ResourceTemplate,
    TextResource,
)

WITHOUT: Any = None


def fails() -> str:
    raise OSError("inside")


def fails_on_purpose() -> str:
    raise ResourceError("for the client")


@pytest.fixture
def manager() -> ResourceManager:
    manager = ResourceManager()
    manager.add_resource(TextResource(uri="data://text", text="hello"))
    manager.add_resource(TextResource(uri="data://hidden", text="never", enabled=False))
    manager.add_resource_or_template_from_fn(lambda: b"\1", "data://bytes", name="raw")
    manager.add_resource_or_template_from_fn(
        lambda: ResourceResult([ResourceContent("a"), ResourceContent("b")]), "data://many", name="many"
    )
    manager.add_resource_or_template_from_fn(fails, "data://fails")
    manager.add_resource_or_template_from_fn(fails_on_purpose, "data://refuses")

    def user(id: int) -> dict[str, int]:
        return {"id": id}

    manager.add_resource_or_template_from_fn(user, "user://{id}")
    return manager


async def test_what_is_registered(manager: ResourceManager) -> None:
    assert list(await manager.get_resources()) == [
        "data://text",
        "data://bytes",
        "data://many",
        "data://fails",
        "data://refuses",
    ]
    assert list(await manager.get_resource_templates()) == ["user://{id}"]


@pytest.mark.parametrize(
    ("uri", "value"),
    [("data://text", "hello"), ("data://bytes", b"\1"), ("user://7", '{"id":7}')],
)
async def test_reading(manager: ResourceManager, uri: str, value: Any) -> None:
    assert await manager.has_resource(uri)
    assert (await manager.get_resource(uri)).uri == uri
    assert await manager.read_resource(uri) == value
    answer = await manager.answer(uri, WITHOUT)
    assert isinstance(answer, ReadResourceResult)
    assert answer.contents[0].uri == uri


async def test_reading_several_parts(manager: ResourceManager) -> None:
    result = await manager.read_resource("data://many")
    assert [part.content for part in result.contents] == ["a", "b"]


@pytest.mark.parametrize("uri", ["data://nothing", "data://hidden", "user://..", "user://1/2"])
async def test_what_is_not_there(manager: ResourceManager, uri: str) -> None:
    assert not await manager.has_resource(uri)
    for reading in (manager.get_resource(uri), manager.read_resource(uri), manager.answer(uri, WITHOUT)):
        with pytest.raises(NotFoundError, match="not found") as caught:
            await reading
        assert caught.value.uri == uri


async def test_values_that_do_not_fit(manager: ResourceManager) -> None:
    with pytest.raises(InvalidParams, match="id"):
        await manager.answer("user://x", WITHOUT)
    with pytest.raises(ValidationError, match="id"):
        await manager.read_resource("user://x")


@pytest.mark.parametrize(
    ("uri", "masked", "message"),
    [
        ("data://fails", False, "Error reading resource 'data://fails': inside"),
        ("data://fails", True, "Error reading resource 'data://fails'"),
        ("data://refuses", True, "for the client"),
    ],
)
async def test_errors_of_functions(manager: ResourceManager, uri: str, masked: bool, message: str) -> None:
    manager.mask_error_details = masked
    with pytest.raises(ResourceError) as caught:
        await manager.read_resource(uri)
    assert str(caught.value) == message


def test_rules_and_versions_decide_what_is_found(manager: ResourceManager) -> None:
    for version in ("1", "2"):
        manager.add_resource(TextResource(uri="data://v", text=version, version=version))
        manager.add_template(ResourceTemplate("v://{a}", version=version))

    def version_of(uri: str, **options: Any) -> str | None:
        found = manager.find(uri, **options)
        return None if found is None else (found[0] if isinstance(found, tuple) else found).version

    for uri in ("data://v", "v://x"):
        assert version_of(uri) == "2"
        assert version_of(uri, version=VersionSpec(lt="2")) == "1"
        assert version_of(uri, version=VersionSpec(eq="3")) is None
        assert version_of(uri, rules=[rule(False, version="2")]) == "1"
    assert manager.find("data://hidden", [rule(True, names={"data://hidden"})]) is not None
    assert manager.find("data://text", [rule(False, match_all=True)]) is None


def test_the_managers_policy_is_for_templates_without_one() -> None:
    manager = ResourceManager(security=None)
    manager.add_resource_or_template_from_fn(lambda a: a, "open://{a}", name="open")
    manager.add_resource_or_template_from_fn(lambda a: a, "own://{a}", name="own", security=ResourceSecurity())
    assert manager.find("open://..") is not None
    assert manager.find("own://..") is None


def test_duplicates_and_changes() -> None:
    changes: list[int] = []
    manager = ResourceManager("error", changed=lambda: changes.append(1))
    first = manager.add_resource(TextResource(uri="x://a", text="1"))
    manager.add_template(ResourceTemplate("x://{a}"))
    assert len(changes) == 2
    with pytest.raises(ValueError, match="already registered"):
        manager.add_resource(TextResource(uri="x://a", text="2"))
    first.disable()
    assert len(changes) == 3
    with pytest.raises(ValueError, match="on_duplicate"):
        ResourceManager("sometimes")  # pyright: ignore[reportArgumentType]
