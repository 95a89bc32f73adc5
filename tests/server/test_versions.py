"""Several versions of a name: which one is seen, called and removed."""

from __future__ import annotations

from typing import Any

import pytest

from headrace import Client, FastMCP
from headrace.components.versions import VersionSpec, version_key
from headrace.exceptions import McpError, NotFoundError

MODES = ("legacy", "modern")


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> Any:
    return request.param


def make(*versions: str | float | None, name: str = "t", **options: Any) -> FastMCP:
    mcp = FastMCP(**options)
    for version in versions:
        mcp.tool(name, version=version)(lambda version=version: str(version))
    return mcp


@pytest.mark.parametrize(
    "ascending",
    [
        ["1", "2", "10"],
        ["1.0a1", "1.0", "1.0.1", "v1.1", "2"],
        ["0.9", "1.0.dev1", "1.0rc1", "1.0", "1.0.post1", "1!0.1"],
        ["2025-01-15", "2025-02-01", "beta", "vnext"],
        ["1", "99", "alpha"],  # text after numbers
        ["1", "1.0"],  # the same version: spelling decides, not the order of registration
        ["9" * 4000, "9" * 5000],  # more digits than Python reads
    ],
)
async def test_order(ascending: list[str]) -> None:
    for versions in (ascending, ascending[::-1], ascending[1:] + ascending[:1]):
        mcp = make(*versions)
        async with Client(mcp) as client:
            listed = await client.list_tools()
            assert [each.name for each in listed] == ["t"]
            assert listed[0].meta == {"fastmcp": {"version": ascending[-1], "versions": ascending[::-1]}}
    assert version_key(None) < version_key("0.0.dev0") < version_key("")


def wanted(version: Any) -> dict[str, Any]:
    return {"fastmcp": {"version": version}}


@pytest.mark.parametrize(
    ("version", "answer"),
    [
        (None, "2.0"),
        ("1.0", "1.0"),
        ("v1", "1.0"),
        ("1.0.0", "1.0"),
        ("2.0", "2.0"),
        (3, "2.0"),  # no version at all: it is a text
        ("3", None),
        ("", None),
        ("x" * 100_000, None),
        ("1" * 100_000, None),
    ],
)
async def test_asked_for(version: Any, answer: str | None, mode: Any) -> None:
    mcp = make("1.0", "2.0")
    for each in ("1.0", "2.0"):
        mcp.prompt("p", version=each)(lambda each=each: each)
        mcp.resource("data://r", name="r", version=each)(lambda each=each: each)
        mcp.resource("data://t/{id}", name="t", version=each)(lambda id, each=each: each)
    async with Client(mcp, mode=mode) as client:
        meta = wanted(version)
        ways = [
            client.call_tool("t", meta=meta),
            client.get_prompt("p", meta=meta),
            client.read_resource("data://r", meta=meta),
            client.read_resource("data://t/1", meta=meta),
        ]
        for way in ways:
            if answer is None:
                with pytest.raises(McpError, match=r"(Unknown|not found)"):
                    await way
            else:
                assert answer in str(await way)


@pytest.mark.parametrize("meta", [{"fastmcp": 3}, {"fastmcp": None}, {"fastmcp": {}}, {"fastmcp": {"version": ["1"]}}])
async def test_odd_meta_is_no_version(meta: dict[str, Any], mode: Any) -> None:
    async with Client(make("1", "2"), mode=mode) as client:
        assert (await client.call_tool("t", meta=meta)).text == "2"


@pytest.mark.parametrize(
    ("spec", "answer"),
    [
        (VersionSpec(eq="1"), "1"),
        (VersionSpec(lt="2"), "1.5"),
        (VersionSpec(gte="1.5", lt="2"), "1.5"),
        (VersionSpec(gte="2"), "3"),
        (VersionSpec(gte="4"), None),
        (VersionSpec(gte="2", lt="1"), None),
        ("1.5", "1.5"),
        (None, "3"),
    ],
)
async def test_ranges(spec: Any, answer: str | None) -> None:
    mcp = make("1", "3", "1.5", "2")
    if answer is None:
        with pytest.raises(NotFoundError):
            await mcp.get_tool("t", spec)
    else:
        assert (await mcp.get_tool("t", spec)).version == answer
    if isinstance(spec, VersionSpec):  # and as a rule: only those are shown
        mcp.enable(version=spec, only=True)
        assert ([each.version for each in await mcp.list_tools()] or [None])[0] == answer


async def test_hidden_versions(mode: Any) -> None:
    mcp = make("1", "2", "3")
    mcp.disable(version=VersionSpec(gte="3")).disable(keys={"tool:t@2"})
    async with Client(mcp, mode=mode) as client:
        assert (await client.call_tool("t")).text == "1"
        listed = (await client.list_tools())[0]
        assert listed.meta == {"fastmcp": {"version": "1", "versions": ["1"]}}
        (await mcp.get_tool("t", "1")).disable()
        assert await client.list_tools() == []
        mcp.enable(keys={"tool:t@2"})
        assert (await client.call_tool("t")).text == "2"


async def test_removal(mode: Any) -> None:
    mcp = make("1", "2", "3")
    async with Client(mcp, mode=mode) as client:
        mcp.remove_tool("t", "3")
        assert (await client.call_tool("t")).text == "2"
        with pytest.raises(NotFoundError, match="t 3"):
            mcp.remove_tool("t", "3")
        mcp.remove_tool("t")
        assert await client.list_tools() == []
        with pytest.raises(NotFoundError):
            mcp.local_provider.remove_tool("t")


@pytest.mark.parametrize("versions", [(None, "1"), ("1", None)])
def test_versions_or_none(versions: tuple[Any, Any]) -> None:
    with pytest.raises(ValueError, match="give all of them a version, or none"):
        make(*versions)


@pytest.mark.parametrize("version", ["1@2", "@", ""])
def test_no_version(version: str) -> None:
    with pytest.raises(ValueError, match="A version is a text without @"):
        make(version)


@pytest.mark.parametrize(
    ("policy", "kept"), [("replace", ["2", "1b"]), ("ignore", ["2", "1a"]), ("error", None), ("warn", ["2", "1b"])]
)
async def test_duplicates(policy: Any, kept: list[str] | None) -> None:
    mcp = FastMCP(on_duplicate=policy)

    def register() -> None:
        for version, text in (("1", "1a"), ("2", "2"), ("1", "1b")):
            mcp.tool("t", version=version, description=text)(lambda: "x")

    if kept is None:
        with pytest.raises(ValueError, match="already registered"):
            register()
    else:
        register()
        assert [each.description for each in await mcp.list_tools()] == kept


@pytest.mark.parametrize(("given", "text"), [(1, "1"), (2.5, "2.5"), ("v3", "v3")])
async def test_numbers_are_texts(given: Any, text: str) -> None:
    mcp = make(given)
    assert (await mcp.get_tool("t")).key == f"tool:t@{text}"
    result: Any = await mcp.call_tool("t", version=text)
    assert result.content[0].text == str(given)
