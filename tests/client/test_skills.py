"""Skills over HTTP, from a server that serves whatever the test wants: also what its entries do not say."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from headrace import Client, FastMCP
from headrace.client.front_matter import MAX_FRONT_MATTER
from headrace.client.skills import (
    EXTENSION,
    MAX_BYTES,
    MAX_FILES,
    MCPSkill,
    SkillError,
    get_skill,
    list_skills,
    list_skills_mcp,
    read_skill,
)
from headrace.exceptions import ClientError, FastMCPError, McpError

from .raw_http import DISCOVERED, INITIALIZED, Exchange, RawServer, raw_server

ROOT = "skill://office/pdf/"
MD = "---\nname: pdf\ndescription: Works with PDF\n---\n\nRead [forms](references/FORMS.md).\n"
FRONT_MATTER: dict[str, Any] = {"name": "pdf", "description": "Works with PDF"}
FILES = {"SKILL.md": MD.encode(), "references/FORMS.md": "Größe\n".encode(), "logo.png": b"\x89PNG\xff"}
CAPABILITIES = {"resources": {}, "extensions": {EXTENSION: {}}}


def resource(path: str, data: bytes, root: str = ROOT) -> dict[str, Any]:
    return {"uri": root + path, "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}


def entry(files: dict[str, bytes] = FILES, **changes: Any) -> dict[str, Any]:
    resources = [resource(path, data) for path, data in files.items()]
    return {"uri": f"{ROOT}SKILL.md", "frontmatter": FRONT_MATTER, "resources": resources, **changes}


class Served(RawServer):
    """`entries` a page of two each; `files` by URI."""

    def __init__(self, entries: list[Any], files: dict[str, bytes], *, handshake: bool) -> None:
        super().__init__(self.answer)
        self.entries = entries
        self.files = files
        self.handshake = handshake

    @property
    def read(self) -> list[str]:
        """The paths of the files that were asked for."""
        return [each.message["params"]["uri"].removeprefix(ROOT) for each in self.seen if "/read" in each.method]

    async def answer(self, exchange: Exchange) -> bool | None:
        params = exchange.message.get("params", {})
        match exchange.method:
            case "server/discover" if self.handshake:
                await exchange.answer(404)
            case "server/discover":
                await exchange.result({**DISCOVERED, "capabilities": CAPABILITIES})
            case "initialize":
                await exchange.result({**INITIALIZED, "capabilities": CAPABILITIES})
            case "skills/list":
                begin = int(params.get("cursor", "0"))
                more = {"nextCursor": str(begin + 2)} if begin + 2 < len(self.entries) else {}
                await exchange.result({"skills": self.entries[begin : begin + 2], "ttlMs": 0, **more})
            case "skills/get" if params["uri"].startswith("skill://gone"):
                error = b'{"jsonrpc":"2.0","id":%d,"error":{"code":-32602,"message":"no such skill"}}' % exchange.id
                await exchange.answer(200, error)
            case "skills/get":
                await exchange.result({"skill": self.entries[0]})
            case "resources/read":
                await exchange.result({"contents": [content(params["uri"], self.files[params["uri"]])]})
            case _:
                return False
        return None


def content(uri: str, data: bytes) -> dict[str, Any]:
    try:
        return {"uri": uri, "text": data.decode()}
    except UnicodeDecodeError:
        return {"uri": uri, "blob": base64.b64encode(data).decode()}


@asynccontextmanager
async def serving(
    *entries: Any, handshake: bool = False, replaced: Mapping[str, bytes] | None = None
) -> AsyncIterator[tuple[Client, Served]]:
    """`replaced` files are not what their entries say."""
    files = {ROOT + path: data for path, data in {**FILES, **(replaced or {})}.items()}
    server = Served(list(entries or [entry()]), files, handshake=handshake)
    await server.start()
    try:
        async with Client(server.url, timeout=10) as client:
            yield client, server
    finally:
        await server.stop()


@pytest.mark.parametrize("handshake", [False, True])
async def test_files_are_read_when_they_are_asked_for(handshake: bool) -> None:
    async with serving(handshake=handshake) as (client, server):
        (listed,) = await list_skills(client)
        assert (listed.name, listed.description, listed.uri) == ("pdf", "Works with PDF", f"{ROOT}SKILL.md")
        assert server.read == []

        skill = await read_skill(client, listed)
        assert (skill.name, skill.text, skill.server) == ("pdf", MD, server.url)
        assert skill.paths == list(FILES)
        assert server.read == ["SKILL.md"]

        for path in ("references/FORMS.md", "./references/FORMS.md", "x/../references/FORMS.md", f"{ROOT}logo.png"):
            assert await skill.read(path) == FILES["logo.png" if "logo" in path else "references/FORMS.md"]
        assert await skill.read_all() == FILES
        assert server.read == list(FILES)


async def test_all_pages_are_listed_and_what_breaks_the_rules_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    others = [
        {"uri": f"skill://{name}/SKILL.md", "frontmatter": {"name": name, "description": ""}, "resources": "dynamic"}
        for name in ("a", "b", "c")
    ]
    async with serving(others[0], {"uri": "skill://x/SKILL.md"}, entry(), 7, *others[1:]) as (client, server):
        with caplog.at_level(logging.WARNING):
            assert [skill.name for skill in await list_skills(client)] == ["a", "pdf", "b", "c"]
        assert [record.message.partition(":")[0] for record in caplog.records] == ["A skill is left out"] * 2
        assert server.url in caplog.text
        page = await list_skills_mcp(client, "2")
        assert (page.skills, page.next_cursor) == ([entry(), 7], "4")
        assert server.read == []


async def test_a_skill_is_found_by_its_uri() -> None:
    async with serving() as (client, server):
        skill = await read_skill(client, f"{ROOT}SKILL.md")
        assert skill.text == MD
        with pytest.raises(McpError, match="no such skill"):
            await get_skill(client, "skill://gone/SKILL.md")
        with pytest.raises(SkillError, match=r"was asked for the skill .*other.* and answered with"):
            await get_skill(client, "skill://other/SKILL.md")
        assert server.read == ["SKILL.md"]


TAMPERED = {
    "same size": (MD.replace("Read", "Reap").encode(), "does not have the digest"),
    "longer": ((MD + "more").encode(), "bytes, and its entry says"),
    "shorter": (MD[:-1].encode(), "bytes, and its entry says"),
}


@pytest.mark.parametrize(("data", "why"), TAMPERED.values(), ids=TAMPERED)
async def test_nothing_is_read_of_a_skill_that_was_tampered_with(data: bytes, why: str) -> None:
    async with serving(replaced={"SKILL.md": data}) as (client, server):
        with pytest.raises(SkillError, match=f"^The skill '{ROOT}SKILL.md' of {server.url} is not read .*{why}"):
            await read_skill(client, f"{ROOT}SKILL.md")
        assert server.read == ["SKILL.md"]


@pytest.mark.parametrize(("path", "data"), [("references/FORMS.md", b"GroeSSe\n"), ("logo.png", b"\x89PNG\xfe")])
async def test_nothing_more_is_read_after_a_file_that_is_wrong(path: str, data: bytes) -> None:
    async with serving(replaced={path: data}) as (client, server):
        skill = await read_skill(client, f"{ROOT}SKILL.md")
        for asked in (path, "SKILL.md", *FILES):
            with pytest.raises(SkillError, match=f"is not read any further: '{ROOT}{path}'"):
                await skill.read(asked)
        with pytest.raises(SkillError, match="is not read any further"):
            await skill.read_all()
        assert server.read == ["SKILL.md", path]


@pytest.mark.usefixtures("no_tasks_left")
async def test_files_asked_for_at_once_are_read_one_after_the_other() -> None:
    async with serving(replaced={"references/FORMS.md": b"wrong"}) as (client, server):
        skill = await read_skill(client, f"{ROOT}SKILL.md")
        results = await asyncio.gather(
            skill.read("references/FORMS.md"), skill.read("logo.png"), return_exceptions=True
        )
        assert [type(result) for result in results] == [SkillError, SkillError]
        assert server.read == ["SKILL.md", "references/FORMS.md"]


@pytest.mark.parametrize("path", ["other.md", "../pdf/other.md", "../../etc/passwd", "/etc/passwd", "", "references"])
async def test_a_file_that_is_not_listed_is_not_asked_for(path: str) -> None:
    async with serving() as (client, server):
        skill = await read_skill(client, f"{ROOT}SKILL.md")
        with pytest.raises(SkillError, match=r"has no file .* in its entry"):
            await skill.read(path)
        assert server.read == ["SKILL.md"]
        assert await skill.read("logo.png") == FILES["logo.png"]


MAIN = resource("SKILL.md", MD.encode())
BROKEN: dict[str, dict[str, Any]] = {
    "no files": {"resources": None},
    "files of another kind": {"resources": "static"},
    "no SKILL.md": {"resources": [resource("a.md", b"a")]},
    "a file twice": {"resources": [MAIN, MAIN]},
    "a file twice, spelt differently": {"resources": [MAIN, resource("SKILL%2Emd", b"a")]},
    "no digest": {"resources": [{"uri": MAIN["uri"], "size": 3}]},
    "a digest that is none": {"resources": [{**MAIN, "digest": "sha256:" + "A" * 64}]},
    "a digest with a line break": {"resources": [{**MAIN, "digest": MAIN["digest"] + "\n"}]},
    "a negative size": {"resources": [{**MAIN, "size": -1}]},
    "no size": {"resources": [{"uri": MAIN["uri"], "digest": MAIN["digest"]}]},
    "another name": {"frontmatter": {**FRONT_MATTER, "name": "docx"}},
    "a name that is none": {"frontmatter": {**FRONT_MATTER, "name": ".."}, "uri": "skill://../SKILL.md"},
    "a long name": {"frontmatter": {**FRONT_MATTER, "name": "a" * 65}, "uri": f"skill://{'a' * 65}/SKILL.md"},
    "no name": {"frontmatter": {"description": "Works with PDF"}},
    "no description": {"frontmatter": {"name": "pdf"}},
    "no SKILL.md in the URI": {"uri": ROOT},
    "no scheme": {"uri": "/pdf/SKILL.md"},
    **{
        f"a path like {path}": {"resources": [MAIN, resource(path, b"a")]}
        for path in (
            "../other/a.md",
            "a/../../b.md",
            "%2e%2e/a.md",
            "..%2Fa.md",
            "a%5c..%5cb.md",
            "/etc/passwd",
            "a//b.md",
            "./a.md",
            "a.md%00",
            "C:/a.md",
            "a.md?b",
            "a.md#b",
            "",
        )
    },
    "a file of another skill": {"resources": [MAIN, resource("a.md", b"a", "skill://other/")]},
}


@pytest.mark.parametrize("changes", BROKEN.values(), ids=BROKEN)
async def test_an_entry_that_breaks_the_rules_is_not_read(changes: dict[str, Any]) -> None:
    broken = entry(**changes)
    async with serving(broken) as (client, server):
        with pytest.raises(SkillError, match=f"{server.url} has (a skill with )?an invalid entry"):
            await get_skill(client, broken["uri"])
        assert await list_skills(client) == []
        assert server.read == []


@pytest.mark.parametrize(
    ("resources", "why"),
    [
        ("dynamic", "can't be verified"),
        ([MAIN, *(resource(f"{number}.md", b"") for number in range(MAX_FILES))], f"has {MAX_FILES + 1} files"),
        ([MAIN, {**resource("a", b""), "size": MAX_BYTES}], f"at most {MAX_FILES} files and {MAX_BYTES} bytes"),
    ],
)
async def test_a_skill_without_bounds_is_listed_but_not_read(resources: Any, why: str) -> None:
    async with serving(entry(resources=resources)) as (client, server):
        (listed,) = await list_skills(client)
        with pytest.raises(SkillError, match=why):
            await read_skill(client, listed)
        assert server.read == []


TRUE = ("true", "True", "yes", "on")
SAYS: list[tuple[str, Any]] = [
    ("x: plain text", "plain text"),
    ("x: 'quoted'", "quoted"),
    ('x: "12"', "12"),
    ("x: >-\n  folded\n  text", "folded text"),
    ("x: |\n  kept\n  lines\n", "kept\nlines\n"),
    ("x: 12", 12),
    ("x: 1.50", 1.5),
    ("x: -1e3", -1000),
    ("x: 012", 12),
    ("x: 012", 10),
    ("x: 2026-01-31", "2026-01-31"),
    ("x: 12:30", "12:30"),
    ("x: yes", "yes"),
    *((f"x: {word}", True) for word in TRUE),
    ("x: off", False),
    *((f"x: {word}".rstrip(), None) for word in ("null", "~", "")),
    ("x: [a, b]", ["a", "b"]),
    ("x:\n- a\n- {b: 1}", ["a", {"b": 1}]),
    ("x: []", []),
    ("x: {1: a}", {"1": "a"}),
    ("y: &y a\nx: *y", "a"),
]
SAYS_NOT: list[tuple[str, Any]] = [
    ("x: 12", "12"),
    ("x: '12'", 12),
    ("x: 1", True),
    ("x: true", 1),
    ("x: true", "true"),
    ("x: null", "null"),
    ("x: a", "b"),
    ("x: a", ["a"]),
    ("x: [a, b]", ["a"]),
    ("x: [a]", "a"),
    ("x: []", {}),
    ("x: {a: 1, b: 2}", {"a": 1}),
    ("x: {a: 1}", {"a": 1, "b": 2}),
    ("x: {a: 1, a: 1}", {"a": 1}),
    ("x: {[a]: 1}", {"a": 1}),
    ("x: .inf", float(10**300)),
    ("z: a", "a"),
    ("x: a\nmore: b", "a"),
]
UNREADABLE = {
    "no YAML": "---\nname: [\n---\n",
    "no front matter": "# PDF\n",
    "no end": "---\nname: pdf\n",
    "empty": "---\n---\n",
    "a list": "---\n- a\n---\n",
    "two documents": "---\nname: pdf\n--- # and\nname: pdf\n---\n",
    "an object of Python": "---\nname: !!python/object/apply:os.system [date]\ndescription: a\n---\n",
    "a tag": "---\nname: !x pdf\ndescription: Works with PDF\n---\n",
    "deep": f"---\nx: {'[' * 6000}\n---\n",
    "a large number": f"---\nname: {'9' * 5000}\ndescription: a\n---\n",
    "a merge": "---\n<<: {name: pdf, description: Works with PDF}\n---\n",
    "long": f"---\nname: pdf\ndescription: Works with PDF\nx: {'a' * MAX_FRONT_MATTER}\n---\n",
}


async def read_with(text: str, front_matter: dict[str, Any]) -> None:
    data = text.encode()
    changed = entry({"SKILL.md": data}, frontmatter=front_matter)
    async with serving(changed, replaced={"SKILL.md": data}) as (client, _):
        assert (await read_skill(client, f"{ROOT}SKILL.md")).text == text


@pytest.mark.parametrize(("yaml", "value"), SAYS)
async def test_front_matter_that_is_as_the_entry_says(yaml: str, value: Any) -> None:
    more = {"y": "a"} if yaml.startswith("y") else {}
    text = f"---\r\nname: pdf\ndescription: Works with PDF\n{yaml}\n---  \r\nBody\n---\n"
    await read_with(text, {**FRONT_MATTER, "x": value, **more})
    await read_with(f"\ufeff{text}", {"x": value, **FRONT_MATTER, **more})


@pytest.mark.parametrize(("yaml", "value"), SAYS_NOT)
async def test_front_matter_that_is_not_as_the_entry_says(yaml: str, value: Any) -> None:
    with pytest.raises(SkillError, match="its front matter is not what its entry says"):
        await read_with(f"---\nname: pdf\ndescription: Works with PDF\n{yaml}\n---\n", {**FRONT_MATTER, "x": value})


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE)
async def test_front_matter_that_can_not_be_read(text: str) -> None:
    with pytest.raises(SkillError, match="is not read any further: its front matter") as caught:
        await read_with(text, FRONT_MATTER)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("contents", [[], [{"text": MD}, {"text": MD}], [{"blob": "no base64!"}], [{}]])
async def test_a_file_is_one_content(contents: list[dict[str, Any]]) -> None:
    uri = f"{ROOT}SKILL.md"
    async with serving() as (client, server):
        answer = server.answer

        async def script(exchange: Exchange) -> bool | None:
            if exchange.method != "resources/read":
                return await answer(exchange)
            await exchange.result({"contents": [{"uri": uri, **content} for content in contents]})
            return None

        server.script = script
        with pytest.raises(SkillError, match="is not read any further"):
            await read_skill(client, uri)


async def test_a_server_that_declares_no_skills_is_not_asked() -> None:
    async with raw_server(_leave) as server, Client(server.url) as client:
        for asked in (
            list_skills(client),
            get_skill(client, "skill://a/SKILL.md"),
            read_skill(client, "skill://a/SKILL.md"),
        ):
            with pytest.raises(ClientError, match=f"{server.url} has no skills: it does not declare {EXTENSION}"):
                await asked
        assert server.ids("skills/list") == server.ids("skills/get") == []


async def _leave(exchange: Exchange) -> bool:
    return False


async def test_the_file_of_a_skill_that_is_gone() -> None:
    """Not tampered with: it may be there again."""
    async with serving() as (client, server):
        skill = await read_skill(client, f"{ROOT}SKILL.md")
        kept = server.script

        async def refuse(exchange: Exchange) -> bool | None:
            error = b'{"jsonrpc":"2.0","id":%d,"error":{"code":-32602,"message":"gone"}}' % exchange.id
            await exchange.answer(200, error)
            return None

        server.script = refuse
        with pytest.raises(FastMCPError, match="gone"):
            await skill.read("logo.png")
        server.script = kept
        assert await skill.read("logo.png") == FILES["logo.png"]


def written(directory: Path) -> dict[str, bytes]:
    """Every file; a directory without one has empty bytes."""
    paths = [path for path in directory.rglob("*") if path.is_file() or not any(path.iterdir())]
    return {path.relative_to(directory).as_posix(): path.read_bytes() if path.is_file() else b"" for path in paths}


async def test_a_skill_in_a_directory(tmp_path: Path) -> None:
    async with serving() as (client, _):
        skill = await read_skill(client, f"{ROOT}SKILL.md")
        assert await skill.to_directory(tmp_path / "of-office" / "pdf") == tmp_path / "of-office" / "pdf"
        with pytest.raises(FileExistsError):
            await skill.to_directory(tmp_path / "of-office" / "pdf")
    assert written(tmp_path) == {f"of-office/pdf/{path}": data for path, data in FILES.items()}


@pytest.mark.parametrize(
    ("files", "error"),
    [({"logo.png": b"wrong"}, SkillError), ({"a": b"1", "a/b": b"2"}, OSError)],
    ids=["tampered", "a file as directory"],
)
async def test_no_part_of_a_skill_stays_in_a_directory(
    files: dict[str, bytes], error: type[Exception], tmp_path: Path
) -> None:
    listed = entry({"SKILL.md": MD.encode(), **files})
    async with serving(listed, replaced={**files, "logo.png": b"other"}) as (client, _):
        skill = await read_skill(client, f"{ROOT}SKILL.md")
        with pytest.raises(error):
            await skill.to_directory(tmp_path / "pdf")
    assert written(tmp_path) == {}


async def test_an_entry_may_be_kept_and_used_with_a_later_connection() -> None:
    async with serving() as (client, _):
        (listed,) = await list_skills(client)
    async with serving() as (client, _):
        assert (await read_skill(client, listed)).text == MD
    async with serving(replaced={"SKILL.md": b"new"}) as (client, _):
        with pytest.raises(SkillError):
            await read_skill(client, listed)
    assert listed == MCPSkill(**{name: getattr(listed, name) for name in ("uri", "frontmatter", "resources")})


async def test_our_own_server_without_skills() -> None:
    async with Client(FastMCP("none")) as client:
        with pytest.raises(ClientError, match="has no skills"):
            await list_skills(client)
