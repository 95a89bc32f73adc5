"""``mcpServers`` configuration as data: what clients such as Claude Desktop, Cursor and VS Code keep in their files.

    {"mcpServers": {"weather": {"command": "uv", "args": ["run", "weather.py"], "env": {"API_KEY": "..."}}}}

Members that are not named here are kept as they are. Files are replaced in one step, so that no reader ever sees
half of one.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias, cast
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "CanonicalMCPConfig",
    "CanonicalMCPServerTypes",
    "MCPConfig",
    "MCPServerTypes",
    "RemoteMCPServer",
    "StdioMCPServer",
    "infer_transport_type_from_url",
    "read_json",
    "update_config_file",
    "write_json",
]

_SSE_PATH = re.compile(r"/sse(?:/|&|$)")


def infer_transport_type_from_url(url: Any) -> Literal["http", "sse"]:
    """ "sse" where a segment of the path is ``sse``, else "http". Raises ValueError for what is no HTTP URL."""
    parts = urlsplit(str(url))
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"Invalid URL: {url}")
    return "sse" if _SSE_PATH.search(parts.path) else "http"


class StdioMCPServer(BaseModel):
    """A server that the client starts, and speaks with over its stdin and stdout."""

    model_config = ConfigDict(extra="allow")

    command: str
    args: list[str] = Field(default_factory=list)
    env: dict[str, Any] = Field(default_factory=dict)
    transport: Literal["stdio"] = "stdio"
    type: Literal["stdio"] | None = None
    """Another name of `transport`, in use with some clients."""
    cwd: str | None = None
    timeout: int | None = None
    """Milliseconds for an answer."""
    description: str | None = None
    icon: str | None = None
    authentication: dict[str, Any] | None = None


class RemoteMCPServer(BaseModel):
    """A server at a URL."""

    model_config = ConfigDict(extra="allow")

    url: str
    transport: Literal["http", "streamable-http", "sse"] | None = None
    """None: as `infer_transport_type_from_url` says."""
    headers: dict[str, str] = Field(default_factory=dict)
    auth: Any = None
    """A bearer token, "oauth", or an object that the HTTP client takes as `auth`."""
    sse_read_timeout: timedelta | float | None = None
    timeout: int | None = None
    """Milliseconds for an answer."""
    description: str | None = None
    icon: str | None = None
    authentication: dict[str, Any] | None = None


CanonicalMCPServerTypes: TypeAlias = StdioMCPServer | RemoteMCPServer
MCPServerTypes: TypeAlias = CanonicalMCPServerTypes


class MCPConfig(BaseModel):
    """Servers by name."""

    model_config = ConfigDict(extra="allow")

    mcpServers: dict[str, MCPServerTypes] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def wrap_servers_at_root(cls, values: Any) -> Any:
        """Servers without ``mcpServers`` around them, as some clients write them, are taken too."""
        if not isinstance(values, dict) or "mcpServers" in values:
            return values  # pyright: ignore[reportUnknownVariableType] - pydantic checks it
        members = cast("dict[str, Any]", values)
        servers = any(isinstance(each, dict) and ("command" in each or "url" in each) for each in members.values())
        return {"mcpServers": members} if servers else members

    def add_server(self, name: str, server: MCPServerTypes) -> None:
        """Add a server, or replace the one of that name."""
        self.mcpServers[name] = server

    @classmethod
    def from_dict(cls, config: dict[str, Any]) -> Self:
        """Raises pydantic.ValidationError."""
        return cls.model_validate(config)

    def to_dict(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True)

    def write_to_file(self, file_path: Path) -> None:
        write_json(Path(file_path), self.model_dump(mode="json", exclude_none=True))

    @classmethod
    def from_file(cls, file_path: Path) -> Self:
        """Raises ValueError for a file that is absent or empty, pydantic.ValidationError for one that does not fit."""
        path = Path(file_path)
        content = path.read_text(encoding="utf-8").strip() if path.exists() else ""
        if not content:
            raise ValueError(f"No MCP servers defined in the config: {file_path}")
        return cls.model_validate_json(content)


class CanonicalMCPConfig(MCPConfig):
    """An `MCPConfig` without members that only some clients know."""


def update_config_file(file_path: Path, server_name: str, server_config: CanonicalMCPServerTypes) -> None:
    """Add a server to a client's file, or renew it there, and keep all else: other servers, unknown members, order.

    Of an earlier entry of that name, members and variables stay that the new one does not set. A file that is absent
    or empty is begun. Raises ValueError, one line, for a file that holds something else.
    """
    path = Path(file_path)
    config: Any = read_json(path) if path.exists() else None
    if config is None:
        config = {}
    if not isinstance(config, dict):
        raise ValueError(f"{path}: no JSON object")
    config = cast("dict[str, Any]", config)
    servers = config.setdefault("mcpServers", {})
    if not isinstance(servers, dict):
        raise ValueError(f"{path}: mcpServers is no JSON object")
    servers = cast("dict[str, Any]", servers)
    new = server_config.model_dump(mode="json", exclude_none=True, exclude_unset=True)
    servers[server_name] = _merged(servers.get(server_name), new)
    write_json(path, config)


def read_json(path: Path) -> Any:
    """The value in a JSON file; None for an empty one. Raises ValueError, one line that names the file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        return json.loads(text) if text.strip() else None
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: no JSON: {error.msg}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} can't be read: {error}") from None


def _merged(earlier: Any, new: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(earlier, dict):
        return new
    before = cast("dict[str, Any]", earlier)
    if not any(kind in before and kind in new for kind in ("command", "url")):
        return new  # one is started and the other at a URL: the rest of the earlier one makes no sense any more
    merged = {**before, **new}
    if isinstance(before.get("env"), dict) and "env" in new:
        merged["env"] = {**before["env"], **new["env"]}
    return merged


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file in one step. It keeps its mode; a new one is its owner's alone, for it may hold keys."""
    path = path.resolve()  # through a link: the file is replaced, not the link
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=2, ensure_ascii=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            os.chmod(temporary, path.stat().st_mode & 0o777)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
