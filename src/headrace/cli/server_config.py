"""``headrace.json`` (and ``fastmcp.json``): where the server's code is, what it needs, how it is served.

    {"source": {"path": "server.py", "entrypoint": "mcp"},
     "environment": {"dependencies": ["pandas"]},
     "deployment": {"transport": "http", "port": 9000, "env": {"API_KEY": "${KEY}"}}}

Members that are not named here are ignored, ``$schema`` among them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ..mcp_config import write_json
from ..server.server import FastMCP
from ..settings import expanded, export
from .loading import find_in_file, find_in_module, served, served_async, split_target

__all__ = [
    "CONFIG_NAMES",
    "Deployment",
    "Environment",
    "FileSystemSource",
    "MCPServerConfig",
    "ModuleSource",
    "Source",
    "UVEnvironment",
    "generate_schema",
]

CONFIG_NAMES = ("headrace.json", "fastmcp.json")
"""Looked up in the working directory, in this order, where no target is given."""

Transport = Literal["stdio", "http", "sse", "streamable-http"]


class Source(BaseModel):
    """Where the server comes from."""

    def find(self) -> Any:
        """The server, or an awaitable of it. Raises LoadError."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """The source as messages name it."""
        raise NotImplementedError

    async def prepare(self) -> None:
        """Nothing: the code is here."""

    async def load_server(self) -> FastMCP:
        """Raises LoadError, one line."""
        return await served_async(self.find(), self.label)

    def load(self) -> FastMCP:
        """`load_server` outside of a running loop."""
        return served(self.find(), self.label)


class FileSystemSource(Source):
    """A Python file, and the server or factory in it."""

    type: Literal["filesystem"] = "filesystem"
    path: str
    """May be written ``file.py:object``."""
    entrypoint: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _split_path(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        members = dict(cast("dict[str, Any]", data))
        if isinstance(members.get("path"), str):
            path, name = split_target(members["path"])
            members["path"] = path
            members["entrypoint"] = members.get("entrypoint") or name
        return members

    def find(self) -> Any:
        return find_in_file(self.path, self.entrypoint)

    @property
    def label(self) -> str:
        return f"{self.path}:{self.entrypoint}"


class ModuleSource(Source):
    """A module that Python can import, and the server or factory in it."""

    type: Literal["module"] = "module"
    module: str
    entrypoint: str | None = None

    def find(self) -> Any:
        return find_in_module(self.module, self.entrypoint)

    @property
    def label(self) -> str:
        return f"{self.module}:{self.entrypoint}"


class Environment(BaseModel):
    """What the server needs around it."""

    def build_command(self, command: list[str]) -> list[str]:
        """The command that runs `command` in this environment."""
        return command


class UVEnvironment(Environment):
    """A Python environment that uv makes; without any member the present one is used."""

    type: Literal["uv"] = "uv"
    python: str | None = None
    """A version, or a constraint such as ">=3.11"."""
    dependencies: list[str] | None = None
    """PEP 508."""
    requirements: Path | None = None
    project: Path | None = None
    """The directory of a pyproject.toml."""
    editable: list[Path] | None = None

    @field_validator("editable", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, str | Path) else value

    @property
    def needed(self) -> bool:
        """Whether there is anything for uv to do."""
        return any(getattr(self, name) for name in ("python", "dependencies", "requirements", "project", "editable"))

    def arguments(self) -> list[str]:
        """The options of ``uv run``, with absolute paths."""
        given: list[str] = []
        if self.project:
            given += ["--project", str(self.project.expanduser().resolve())]
        elif self.python:  # a project says itself which Python it takes
            given += ["--python", self.python]
        for dependency in sorted(set(self.dependencies or ())):
            given += ["--with", dependency]
        if self.requirements:
            given += ["--with-requirements", str(self.requirements.expanduser().resolve())]
        for directory in self.editable or ():
            given += ["--with-editable", str(directory.expanduser().resolve())]
        return given

    def build_command(self, command: list[str]) -> list[str]:
        """``uv run ... COMMAND``; the command itself where nothing is needed."""
        return ["uv", "run", *self.arguments(), *command] if self.needed else command


class Deployment(BaseModel):
    """How the server is served. None: as the settings say."""

    transport: Transport | None = None
    host: str | None = None
    port: int | None = Field(default=None, ge=0, le=65535)
    path: str | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] | None = None
    cwd: str | None = None
    """Relative to the file's directory."""
    env: dict[str, str] | None = None
    """``${NAME}`` stands for a variable that is set already; one that is not set is left as it is."""
    args: list[str] | None = None
    """What the server's file finds in ``sys.argv`` after its own name."""

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_capitals(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    def apply_runtime_settings(self, config_path: Path | None = None) -> None:
        """Set the variables and the working directory of this process. Raises OSError for no such directory."""
        for name, value in (self.env or {}).items():
            export({name: expanded(value)})  # one after the other: they may refer to each other
        if self.cwd:
            base = Path.cwd() if config_path is None else Path(config_path).resolve().parent
            os.chdir(base / Path(self.cwd).expanduser())


SourceType: TypeAlias = FileSystemSource | ModuleSource


class MCPServerConfig(BaseModel):
    """The whole file."""

    model_config = ConfigDict(populate_by_name=True)

    schema_: str | None = Field(default=None, alias="$schema")
    source: SourceType
    environment: UVEnvironment = Field(default_factory=UVEnvironment)
    deployment: Deployment = Field(default_factory=Deployment)

    @field_validator("environment", "deployment", mode="before")
    @classmethod
    def _or_empty(cls, value: Any) -> Any:
        return {} if value is None else value

    @classmethod
    def from_file(cls, file_path: Path) -> MCPServerConfig:
        """Raises FileNotFoundError, json.JSONDecodeError, pydantic.ValidationError."""
        return cls.model_validate(json.loads(Path(file_path).read_text(encoding="utf-8")))

    @classmethod
    def from_cli_args(cls, source: SourceType, **given: Any) -> MCPServerConfig:
        """A config from members of `UVEnvironment` and `Deployment`, in one set of names; None is not given."""
        members = {name: value for name, value in given.items() if value is not None}
        unknown = members.keys() - UVEnvironment.model_fields.keys() - Deployment.model_fields.keys()
        if unknown:
            raise TypeError(f"no such member: {', '.join(sorted(unknown))}")
        return cls(
            source=source,
            environment=UVEnvironment(**{key: members[key] for key in UVEnvironment.model_fields if key in members}),
            deployment=Deployment(**{key: members[key] for key in Deployment.model_fields if key in members}),
        )

    @classmethod
    def find_config(cls, start_path: Path | None = None) -> Path | None:
        """The config file in a directory (the working directory), or None."""
        directory = Path.cwd() if start_path is None else Path(start_path)
        return next((path for path in (directory / name for name in CONFIG_NAMES) if path.is_file()), None)

    def located(self, directory: Path) -> MCPServerConfig:
        """The config with the paths of its source and environment relative to `directory` made absolute."""
        source, environment = self.source, self.environment
        if isinstance(source, FileSystemSource):
            source = source.model_copy(update={"path": str(directory / Path(source.path).expanduser())})
        update: dict[str, Any] = {
            name: directory / path.expanduser()
            for name, path in (("requirements", environment.requirements), ("project", environment.project))
            if path is not None
        }
        if environment.editable is not None:
            update["editable"] = [directory / path.expanduser() for path in environment.editable]
        return self.model_copy(update={"source": source, "environment": environment.model_copy(update=update)})

    def run_options(self) -> dict[str, Any]:
        """What `deployment` says of the options of `FastMCP.run`."""
        return self.deployment.model_dump(include={"transport", "host", "port", "path", "log_level"}, exclude_none=True)

    async def prepare_source(self) -> None:
        await self.source.prepare()

    async def run_server(self, **options: Any) -> None:
        """Serve in this process; `options` of `FastMCP.run_async` win over the file's."""
        self.deployment.apply_runtime_settings()
        server = await self.source.load_server()
        await server.run_async(**{**self.run_options(), **options})


def generate_schema(output_path: Path | str | None = None) -> dict[str, Any] | None:
    """The JSON schema of the file; written to `output_path` where one is given."""
    schema = MCPServerConfig.model_json_schema()
    schema["title"] = "Headrace configuration"
    if output_path is None:
        return schema
    write_json(Path(output_path), schema)
    return None
