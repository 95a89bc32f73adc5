"""Servers by what starts them: a script, or a package that uv, uvx or npx fetches.

Each is a `StdioTransport` whose command is put together here. The programs are looked for when the server is started.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from ...exceptions import ClientError
from .stdio import StdioTransport

__all__ = ["NodeStdioTransport", "NpxStdioTransport", "PythonStdioTransport", "UvStdioTransport", "UvxStdioTransport"]

_Directory = str | os.PathLike[str]


class PythonStdioTransport(StdioTransport):
    """A script, ``.py``, run by this Python or by `python_cmd`. Raises ClientError where it is not there."""

    def __init__(
        self,
        script_path: str | Path,
        args: Sequence[str] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: _Directory | None = None,
        python_cmd: str = sys.executable,
        *,
        log_file: Path | IO[Any] | None = None,
    ) -> None:
        self.script_path = _script(script_path, (".py",))
        super().__init__(python_cmd, [str(self.script_path), *(args or ())], env, cwd, log_file=log_file)
        self._name = f"the server {self.script_path.name!r}"


class NodeStdioTransport(StdioTransport):
    """A script, ``.js``, ``.mjs`` or ``.cjs``, run by Node. Raises ClientError where it is not there."""

    def __init__(
        self,
        script_path: str | Path,
        args: Sequence[str] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: _Directory | None = None,
        node_cmd: str = "node",
        *,
        log_file: Path | IO[Any] | None = None,
    ) -> None:
        self.script_path = _script(script_path, (".js", ".mjs", ".cjs"))
        super().__init__(node_cmd, [str(self.script_path), *(args or ())], env, cwd, log_file=log_file)
        self._name = f"the server {self.script_path.name!r}"


class UvStdioTransport(StdioTransport):
    """``uv run``: `command` is a program, a script or, with `module`, a module, in the project's environment."""

    def __init__(
        self,
        command: str,
        args: Sequence[str] | None = None,
        module: bool = False,
        project_directory: _Directory | None = None,
        python_version: str | None = None,
        with_packages: Sequence[str] | None = None,
        with_requirements: _Directory | None = None,
        env_vars: Mapping[str, str] | None = None,
    ) -> None:
        uv = ["run", *_option("--python", python_version), *_option("--directory", _directory(project_directory))]
        uv += [part for package in with_packages or () for part in ("--with", package)]
        uv += _option("--with-requirements", None if with_requirements is None else os.fspath(with_requirements))
        super().__init__("uv", [*uv, *(["--module"] if module else []), command, *(args or ())], env_vars)
        self._name = f"the server {command!r}"


class UvxStdioTransport(StdioTransport):
    """``uvx``: a program out of a Python package."""

    def __init__(
        self,
        tool_name: str,
        tool_args: Sequence[str] | None = None,
        project_directory: _Directory | None = None,
        python_version: str | None = None,
        with_packages: Sequence[str] | None = None,
        from_package: str | None = None,
        env_vars: Mapping[str, str] | None = None,
    ) -> None:
        uvx = [*_option("--python", python_version), *_option("--from", from_package)]
        uvx += [part for package in with_packages or () for part in ("--with", package)]
        super().__init__("uvx", [*uvx, tool_name, *(tool_args or ())], env_vars, _directory(project_directory))
        self.tool_name = tool_name
        self._name = f"the server {tool_name!r}"


class NpxStdioTransport(StdioTransport):
    """``npx``: the program of an npm package. `use_package_lock`: what npm has already goes before what is newer."""

    def __init__(
        self,
        package: str,
        args: Sequence[str] | None = None,
        project_directory: _Directory | None = None,
        env_vars: Mapping[str, str] | None = None,
        use_package_lock: bool = True,
    ) -> None:
        npx = ["--prefer-offline"] if use_package_lock else []
        super().__init__("npx", [*npx, package, *(args or ())], env_vars, _directory(project_directory))
        self.package = package
        self._name = f"the server {package!r}"


def _script(path: str | Path, suffixes: tuple[str, ...]) -> Path:
    script = Path(path).absolute()
    if script.suffix not in suffixes:
        raise ClientError(f"Can't start {script.name}: the script is no {' or '.join(suffixes)}")
    if not script.is_file():
        raise ClientError(f"Can't start {script.name}: there is no such file in {script.parent}")
    return script


def _directory(path: _Directory | None) -> str | None:
    if path is not None and not Path(path).is_dir():
        raise ClientError(f"Can't start a server in {os.fspath(path)}: there is no such directory")
    return None if path is None else os.fspath(path)


def _option(name: str, value: str | None) -> list[str]:
    return [] if value is None else [name, value]
