"""What the install commands share: their options, what a client is to start, and the programs around them."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from ...mcp_config import StdioMCPServer
from ...settings import read_env_file
from ..console import Failure, Misuse
from ..loading import LoadError
from ..server_config import FileSystemSource, UVEnvironment
from ..target import Target, environment_options, find_target, target_options, with_argv
from ..uv import uv_command

__all__ = ["Installation", "installation", "installation_options", "open_link", "run_program"]

C = TypeVar("C", bound=Callable[..., Any])

OPEN_SECONDS = 10
"""An opener that has not failed by then has found its program."""
PROGRAM_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Installation:
    """What a client is to start, and under which name."""

    name: str
    environment: UVEnvironment
    arguments: list[str]
    """Of ``headrace``."""
    env: dict[str, str]

    @property
    def command(self) -> list[str]:
        """``uv run --with headrace ... headrace run ...``"""
        return uv_command(self.environment, self.arguments)

    @property
    def server(self) -> StdioMCPServer:
        """The entry in a client's ``mcpServers``."""
        program, *arguments = self.command
        given: dict[str, Any] = {"env": self.env} if self.env else {}
        return StdioMCPServer(command=program, args=arguments, **given)


def installation_options(function: C) -> C:
    """The options of every install command; they come to `installation` by these names."""
    for option in (
        environment_options,
        click.option("--env-file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Of NAME=VALUE."),
        click.option("--env", metavar="NAME=VALUE", multiple=True, help="A variable for the server. [many]"),
        click.option("-n", "--name", "--server-name", "name", help="[default: the server's own name]"),
        target_options,
    ):
        function = option(function)
    return function


def installation(
    target: str | None, module: str | None, *, name: str | None, env: Iterable[str], env_file: Path | None, **flags: Any
) -> Installation:
    """Raises Failure for a target that can't be loaded and for variables that are none."""
    found = find_target(target, module, **flags)
    variables = _variables(env, env_file)
    chosen = (name or _own_name(found)).strip()
    if not chosen or chosen.startswith("-"):  # a client's command would take it for an option
        raise Misuse(f"{chosen!r} can't be the name of a server: choose another with --name")
    return Installation(chosen, found.config.environment, _arguments(found), variables)


def _arguments(found: Target) -> list[str]:
    """A config file stays the target, for its variables and its working directory; uv does the rest of it already."""
    source = found.config.source
    if found.path is not None:
        return ["run", str(found.path), "--skip-env", "--transport", "stdio"]
    if not isinstance(source, FileSystemSource):
        return ["run", "--module", source.module + (f":{source.entrypoint}" if source.entrypoint else "")]
    file = Path(source.path).expanduser().resolve()
    if not file.is_file():
        raise Failure(f"{source.path}: no such file")
    return ["run", f"{file}:{source.entrypoint}" if source.entrypoint else str(file)]


def _own_name(found: Target) -> str:
    """The server's name; the file's where the server needs packages that only its own environment has."""
    source = found.config.source
    try:
        # What the file prints is no part of what mcp-json prints.
        with with_argv(found.config), contextlib.redirect_stdout(sys.stderr):
            return source.load().name
    except LoadError as error:
        if not isinstance(error.__cause__, ImportError):
            raise
    return Path(source.path).stem if isinstance(source, FileSystemSource) else source.module.rpartition(".")[2]


def _variables(env: Iterable[str], env_file: Path | None) -> dict[str, str]:
    try:
        variables = {} if env_file is None else read_env_file(env_file, prefix="")
    except ValueError as error:
        raise Failure(str(error)) from None
    for text in env:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise Misuse(f"--env {text}: expected NAME=VALUE")
        variables[name.strip()] = value
    return variables


def run_program(arguments: list[str], what: str) -> None:
    """Run a client's own command to its end. Raises Failure with what it said last."""
    try:
        done = subprocess.run(
            arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PROGRAM_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failure(f"{what} failed: {error}") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise Failure(f"{what} failed: {said}")


def open_link(link: str, client: str) -> None:
    """Hand the link to the system. Raises Failure, with the link, where nothing opens it."""
    if sys.platform == "win32":
        opener = ["rundll32", "url.dll,FileProtocolHandler", link]
    else:
        opener = ["open" if sys.platform == "darwin" else "xdg-open", link]
    if shutil.which(opener[0]) is None or not _opens(opener):
        raise Failure(f"can't open {client} from here; open this link yourself: {link}")


def _opens(opener: list[str]) -> bool:
    quiet = subprocess.DEVNULL
    try:
        process = subprocess.Popen(opener, stdin=quiet, stdout=quiet, stderr=quiet)
    except OSError:
        return False
    try:
        return process.wait(OPEN_SECONDS) == 0
    except subprocess.TimeoutExpired:
        return True
