"""What ``headrace run``, ``inspect`` and ``install`` are asked to load, and in which environment."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import click
from pydantic import ValidationError

from ..mcp_config import read_json
from .console import Failure, Misuse
from .loading import split_target
from .server_config import CONFIG_NAMES, FileSystemSource, MCPServerConfig, ModuleSource

__all__ = ["Target", "environment_options", "find_target", "target_options", "with_argv"]

C = TypeVar("C", bound=Callable[..., Any])

METAVAR = "FILE[:OBJECT]|CONFIG.json"


@dataclass(frozen=True, slots=True)
class Target:
    """A config, read from a file or made from the command line, with what the flags said about the environment."""

    config: MCPServerConfig
    path: Path | None = None
    """The config file."""


def target_options(function: C) -> C:
    """The target, and ``--module``."""
    function = click.option("-m", "--module", metavar="MODULE[:OBJECT]", help="A module instead of a file.")(function)
    return click.argument("target", required=False, metavar=f"[{METAVAR}]")(function)


def environment_options(function: C) -> C:
    """The options that ask uv for an environment; they come to `find_target` by these names."""
    directory = click.Path(path_type=Path, exists=True, file_okay=False)
    file = click.Path(path_type=Path, exists=True, dir_okay=False)
    for option in (
        click.option("--with-requirements", "requirements", type=file, help="A requirements file to install."),
        click.option("--project", type=directory, help="The directory of a pyproject.toml to run in."),
        click.option("--python", help="A Python version, or a constraint such as '>=3.12'."),
        click.option("--with-editable", "editable", type=directory, multiple=True, help="Install it in place. [many]"),
        click.option("--with", "dependencies", metavar="PACKAGE", multiple=True, help="Install it, too. [many]"),
    ):
        function = option(function)
    return function


def find_target(
    target: str | None,
    module: str | None = None,
    *,
    dependencies: tuple[str, ...] = (),
    editable: tuple[Path, ...] = (),
    python: str | None = None,
    project: Path | None = None,
    requirements: Path | None = None,
) -> Target:
    """Raises Failure, one line. Packages are added to the file's, other flags win over it."""
    found = _without_flags(target, module)
    environment = found.config.environment
    update: dict[str, Any] = {
        name: value
        for name, value in (("python", python), ("project", project), ("requirements", requirements))
        if value is not None
    }
    if dependencies:
        update["dependencies"] = [*dependencies, *(environment.dependencies or ())]
    if editable:
        update["editable"] = [*editable, *(environment.editable or ())]
    config = found.config.model_copy(update={"environment": environment.model_copy(update=update)})
    return Target(config, found.path)


def _without_flags(target: str | None, module: str | None) -> Target:
    if module is not None:
        if target is not None:
            raise Misuse("name a file or a module, not both")
        name, entrypoint = split_target(module)
        return Target(MCPServerConfig(source=ModuleSource(module=name, entrypoint=entrypoint)))
    if target is None:
        path = MCPServerConfig.find_config()
        if path is None:
            raise Misuse(f"name a target: there is no {' and no '.join(CONFIG_NAMES)} here")
        return _from_file(path)
    if target.startswith(("http://", "https://")):
        raise Failure("a URL can't be served yet: that comes with the proxy, in a later release")
    if Path(target).suffix == ".json":
        return _from_file(Path(target))
    return Target(MCPServerConfig(source=FileSystemSource(path=target)))


def _from_file(path: Path) -> Target:
    try:
        data = read_json(path)
    except ValueError as error:
        raise Failure(str(error)) from None
    if isinstance(data, dict) and "mcpServers" in data:
        raise Failure(f"{path}: mcpServers can't be served yet: that comes with the proxy, in a later release")
    try:
        config = MCPServerConfig.model_validate(data)
    except ValidationError as error:
        raise Failure(f"{path}: {_first(error)}") from None
    # Absolute, since `deployment.cwd` is about to change the working directory.
    try:
        return Target(config.located(path.resolve().parent), path.resolve())
    except RuntimeError as error:  # "~somebody" without a home
        raise Failure(f"{path}: {error}") from None


def _first(error: ValidationError) -> str:
    """The first thing that does not fit, in one line."""
    details = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in cast("tuple[Any, ...]", details["loc"])) or "the file"
    return f"{place}: {details['msg']}"


@contextmanager
def with_argv(config: MCPServerConfig, script: Sequence[str] = ()) -> Generator[None]:
    """Let the server's file find its own name and its arguments in ``sys.argv``, as if Python ran it."""
    source, before = config.source, sys.argv
    name = source.path if isinstance(source, FileSystemSource) else source.module
    sys.argv = [name, *(script or config.deployment.args or ())]
    try:
        yield
    finally:
        sys.argv = before
