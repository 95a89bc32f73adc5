"""Skills that a server serves (the extension ``io.modelcontextprotocol/skills``, SEP-2640): listed, read, verified.

Experimental. ``list_skills(client)`` and ``get_skill(client, uri)`` give entries: what a skill says of itself, and a
digest of each of its files. ``read_skill(client, entry)`` reads its SKILL.md, and the `Skill` that it returns reads the
other files when they are asked for. What is not as the entry says is never returned, and after it nothing more of the
skill is read. A digest comes from the same server as the file: it tells of changes, and gives no reason for trust.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import posixpath
import re
import shutil
import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path, PureWindowsPath
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import unquote

import msgspec

from ..exceptions import ClientError
from ..protocol.types import CacheableResult, PaginatedResult, ResourceContents, Wire
from .paging import all_pages

if TYPE_CHECKING:
    from .client import Client

# fmt: off
__all__ = [
    "EXTENSION", "MAX_BYTES", "MAX_FILES", "GetSkillResult", "ListSkillsResult", "MCPSkill",
    "Skill", "SkillError", "SkillResource", "get_skill", "get_skill_mcp", "list_skills", "list_skills_mcp",
    "read_skill",
]
# fmt: on

logger = logging.getLogger(__name__)

EXTENSION = "io.modelcontextprotocol/skills"
MAX_FILES = 512
MAX_BYTES = 16 * 1024 * 1024
"""Of all files of a skill; both are what every client has to take (SEP-2640, Limits), and no more is taken here."""

_SKILL_MD = "SKILL.md"
_NAME = re.compile(r"(?=.{1,64}\Z)[a-z0-9]+(-[a-z0-9]+)*\Z")
_SEGMENT = re.compile(r"(?!\.{1,2}\Z)[^/\\\x00-\x1f\x7f]+\Z")


class SkillError(ClientError):
    """A skill that breaks the rules of the extension, or that is not what its entry says."""


class SkillResource(Wire, kw_only=True):
    """A file of a skill."""

    uri: str
    digest: Annotated[str, msgspec.Meta(pattern=r"^sha256:[0-9a-f]{64}\Z")]
    size: Annotated[int, msgspec.Meta(ge=0)]
    """Bytes."""


class MCPSkill(Wire, kw_only=True):
    """The entry of a skill. It is known by its `uri` together with its server; names need not be unique."""

    uri: str
    """Of its SKILL.md."""
    frontmatter: dict[str, Any]
    """That of its SKILL.md, with all fields."""
    resources: list[SkillResource] | Literal["dynamic"]
    """All files, SKILL.md among them. An approval that is kept is one for exactly these."""
    meta: dict[str, Any] | None = msgspec.field(default=None, name="_meta")

    @property
    def name(self) -> str:
        return self.frontmatter["name"]

    @property
    def description(self) -> str:
        return self.frontmatter["description"]


class ListSkillsResult(PaginatedResult, kw_only=True):
    skills: list[Any]
    """Entries as they came."""


class GetSkillResult(CacheableResult, kw_only=True):
    skill: Any


async def list_skills(client: Client) -> list[MCPSkill]:
    """All pages; no file is read. An entry that breaks the rules is left out with a warning.

    A server need not list all skills that it has: `get_skill` knows the others. Raises ClientError where the server
    has none at all.
    """
    pages = await all_pages(lambda cursor: list_skills_mcp(client, cursor), f"skills/list of {client.transport.name}")
    entries: list[MCPSkill] = []
    for raw in (raw for page in pages for raw in page.skills):
        try:
            entries.append(_entry(raw, client.transport.name))
        except SkillError as error:
            logger.warning("A skill is left out: %s", error)
    return entries


async def list_skills_mcp(client: Client, cursor: str | None = None) -> ListSkillsResult:
    """One page, as it came."""
    _only_declared(client)
    return await client.request("skills/list", {} if cursor is None else {"cursor": cursor}, ListSkillsResult)


async def get_skill(client: Client, uri: str) -> MCPSkill:
    """The entry as it is now. `uri` is that of a SKILL.md; the skill need not be listed.

    Raises McpError for one that the server does not have, SkillError for an entry that breaks the rules.
    """
    entry = _entry((await get_skill_mcp(client, uri)).skill, client.transport.name)
    if entry.uri != uri:
        raise SkillError(f"{client.transport.name} was asked for the skill {uri!r} and answered with {entry.uri!r}")
    return entry


async def get_skill_mcp(client: Client, uri: str) -> GetSkillResult:
    """The result as it came."""
    _only_declared(client)
    return await client.request("skills/get", {"uri": uri}, GetSkillResult)


async def read_skill(client: Client, skill: MCPSkill | str) -> Skill:
    """Read its SKILL.md, and no other file. An entry is taken as it is; of a URI it is asked for.

    Raises SkillError for what is not as the entry says, and for a skill that can't be verified or is too large.
    """
    entry = await get_skill(client, skill) if isinstance(skill, str) else skill
    read = Skill(client, entry)
    await read.load()
    return read


class Skill:
    """A skill that was read: `text` is its SKILL.md. Other files are read when they are asked for, each once."""

    def __init__(self, client: Client, entry: MCPSkill) -> None:
        """Reads nothing. Raises SkillError for a skill that can't be verified, or is too large."""
        self.entry = entry
        self.server = client.transport.name
        """Where it comes from: tell the model, too."""
        self.text = ""
        self._client = client
        self._files = _files(entry, self.server)
        self._read: dict[str, bytes] = {}
        self._failure: str | None = None
        self._lock = asyncio.Lock()
        self._check_limits()

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def paths(self) -> list[str]:
        """All files, relative to the skill's directory."""
        return list(self._files)

    async def load(self) -> None:
        """Read SKILL.md, unless it was read before."""
        data = await self.read(_SKILL_MD)
        try:
            text = data.decode()
            same = await asyncio.to_thread(_front_matter().says, text, self.entry.frontmatter)
        except ValueError as error:
            raise self._failed(f"its front matter can't be read: {' '.join(str(error).split())}") from None
        if not same:
            raise self._failed("its front matter is not what its entry says")
        self.text = text

    async def read(self, path: str) -> bytes:
        """A file by its path in the skill's directory, as links in SKILL.md have it, or by its URI.

        Raises SkillError for a file that the entry does not list, one that is not as the entry says, and for every
        file after that; McpError where the server no longer has it: ask for the skill again then.
        """
        resource = self._files.get(posixpath.normpath(path)) or next(
            (resource for resource in self._files.values() if resource.uri == path), None
        )
        if resource is None:
            raise SkillError(f"{self._of()} has no file {path!r} in its entry")
        async with self._lock:  # one after the other: nothing more is asked for once a file was wrong
            if self._failure is not None:
                raise SkillError(self._failure)
            if resource.uri not in self._read:
                # What is verified is kept here; a kept answer may be older than the entry.
                result = await self._client.read_resource_mcp(resource.uri, cache_mode="bypass")
                self._read[resource.uri] = self._verified(resource, result.contents)
            return self._read[resource.uri]

    async def read_all(self) -> dict[str, bytes]:
        """Every file, by its path."""
        return {path: await self.read(path) for path in self._files}

    async def to_directory(self, path: str | Path) -> Path:
        """Write every file into `path`, a directory that does not exist yet; all are verified before.

        Raises OSError. Keep it away from where skills of your own are looked for: these are a stranger's.
        """
        files = await self.read_all()
        return await asyncio.to_thread(_write, files, Path(path))

    def _verified(self, resource: SkillResource, contents: list[ResourceContents]) -> bytes:
        data = _bytes(contents)
        if data is None:
            raise self._failed(f"{resource.uri!r} is not a single file")
        if len(data) != resource.size:
            raise self._failed(f"{resource.uri!r} has {len(data)} bytes, and its entry says {resource.size}")
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != resource.digest:
            raise self._failed(f"{resource.uri!r} does not have the digest of its entry")
        return data

    def _failed(self, why: str) -> SkillError:
        self._failure = f"{self._of()} is not read any further: {why}"
        self._read.clear()
        return SkillError(self._failure)

    def _of(self) -> str:
        return f"The skill {self.entry.uri!r} of {self.server}"

    def _check_limits(self) -> None:
        size = sum(resource.size for resource in self._files.values())
        if len(self._files) > MAX_FILES or size > MAX_BYTES:
            limits = f"at most {MAX_FILES} files and {MAX_BYTES} bytes are read"
            raise SkillError(f"{self._of()} has {len(self._files)} files with {size} bytes: {limits}")
        if not self._files:
            raise SkillError(f"{self._of()} is made when it is asked for, and can't be verified: it is not read")


def _only_declared(client: Client) -> None:
    if EXTENSION not in (client.server_capabilities.extensions or {}):
        raise ClientError(f"{client.transport.name} has no skills: it does not declare {EXTENSION}")


def _entry(raw: Any, server: str) -> MCPSkill:
    """An entry that obeys the rules. Raises SkillError."""
    try:
        entry = msgspec.convert(raw, MCPSkill)
    except msgspec.ValidationError as error:
        raise SkillError(f"{server} has a skill with an invalid entry: {error}") from None
    _files(entry, server)
    return entry


def _files(entry: MCPSkill, server: str) -> dict[str, SkillResource]:
    """The files by path; none for a skill that is made when it is asked for. Raises SkillError for an entry that breaks
    the rules (SEP-2640, Skill Entries)."""

    def broken(why: str) -> SkillError:
        return SkillError(f"The skill {entry.uri!r} of {server} has an invalid entry: {why}")

    name, description = entry.frontmatter.get("name"), entry.frontmatter.get("description")
    if not isinstance(name, str) or not _NAME.match(name) or not isinstance(description, str):
        raise broken("its name or its description")
    root = entry.uri.removesuffix(_SKILL_MD)
    if "://" not in root or not entry.uri.endswith(f"/{name}/{_SKILL_MD}"):
        raise broken(f"its URI does not end with /{name}/{_SKILL_MD}")
    files: dict[str, SkillResource] = {}
    for resource in entry.resources if isinstance(entry.resources, list) else ():
        path = _path(resource.uri, root)
        if path is None or path in files:
            raise broken(
                f"{resource.uri!r} is no file in its directory" if path is None else f"{path!r} is there twice"
            )
        files[path] = resource
    if entry.resources != "dynamic" and _SKILL_MD not in files:
        raise broken(f"{_SKILL_MD} is missing")
    return files


def _path(uri: str, root: str) -> str | None:
    """The path below the root; None for one that leads elsewhere, or could on some file system."""
    below = uri.removeprefix(root)
    path = unquote(below)
    safe = all(_SEGMENT.match(unquote(segment)) for segment in below.split("/")) and not PureWindowsPath(path).drive
    return path if uri.startswith(root) and safe and "?" not in below and "#" not in below else None


def _bytes(contents: list[ResourceContents]) -> bytes | None:
    """The bytes of a file; None for what is not exactly one."""
    if len(contents) != 1:
        return None
    text, blob = contents[0].text, contents[0].blob
    if text is not None:
        return text.encode()
    try:
        return base64.b64decode(blob or "", validate=True)
    except ValueError:
        return None


def _write(files: dict[str, bytes], root: Path) -> Path:
    if root.exists() or root.is_symlink():
        raise FileExistsError(f"{root} exists already")
    root.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".skill-", dir=root.parent))  # so that a part of a skill is never seen
    try:
        for path, data in files.items():
            target = staging / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:  # names may differ in case only, which not every file system tells apart
                file.write(data)
        staging.rename(root)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return root


def _front_matter() -> ModuleType:
    """Reads YAML. Raises SkillError where there is nothing to read it with."""
    if find_spec("yaml") is None:
        raise SkillError("To verify skills install PyYAML: pip install 'headrace[skills]'")
    return import_module(".front_matter", __package__)
