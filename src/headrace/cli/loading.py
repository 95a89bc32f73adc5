"""``FILE[:OBJECT]`` -> a FastMCP server, or one line that says why not."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from ..server.server import FastMCP

__all__ = ["LoadError", "load_server"]

_USUAL_NAMES = ("mcp", "server", "app")


class LoadError(click.ClickException):
    """The file or the object can't be served; exit code 1."""


def load_server(target: str) -> FastMCP:
    """The server that ``FILE[:OBJECT]`` names.

    Without an object: `mcp`, `server` or `app`, or else the only FastMCP instance of the file. A named object
    may be a function without parameters, plain or async, that returns one.

    Raises LoadError, one line.
    """
    path, name = _split(target)
    module = _import_file(path)
    if name is None:
        return _only_server(path, module)
    found = _attribute(path, module, name)
    if not isinstance(found, FastMCP) and callable(found):
        found = _call(path, name, found)
    if not isinstance(found, FastMCP):
        raise LoadError(f"{path}: {name} is no FastMCP server but of type {type(found).__name__}")
    return found


def _split(target: str) -> tuple[Path, str | None]:
    file, colon, name = target.rpartition(":")
    # The colon may belong to the path (a drive, or a strange file name).
    if not colon or not all(part.isidentifier() for part in name.split(".")) or Path(target).exists():
        file, name = target, ""
    path = Path(file)
    if not path.exists():
        raise LoadError(f"{path}: no such file")
    if path.is_dir():
        raise LoadError(f"{path}: is a directory, not a Python file")
    if path.suffix != ".py":
        raise LoadError(f"{path}: not a Python file (its name does not end in .py)")
    return path, name or None


def _import_file(path: Path) -> ModuleType:
    """Import the file as Python would from its directory."""
    resolved = path.resolve()
    directory = str(resolved.parent)
    if directory not in sys.path:
        sys.path.insert(0, directory)
    # Its own name, so that a module beside it which imports it gets this one and not a second copy with a
    # second server; but a file called `json.py` must not stand in for the standard library's.
    name = resolved.stem
    if name in sys.modules or name in sys.stdlib_module_names:
        name = f"_headrace_file_{name}"
    spec = importlib.util.spec_from_file_location(name, resolved)
    if spec is None or spec.loader is None:
        raise LoadError(f"{path}: can't be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise LoadError(f"{error.filename or path}:{error.lineno or 0}: {type(error).__name__}: {error.msg}") from error
    except SystemExit as error:
        raise LoadError(
            f"{_place(path, error)}: the file ended the program ({error.code}) while it was imported"
        ) from error
    except Exception as error:
        raise LoadError(f"{_place(path, error)}: {_said(error)}") from error
    return module


def _place(path: Path, error: BaseException) -> str:
    """``file:line``, the deepest line of the user's file that led to the error."""
    own = str(path.resolve())
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == own]
    return f"{path}:{lines[-1]}" if lines else str(path)


def _said(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _only_server(path: Path, module: ModuleType) -> FastMCP:
    members = vars(module)
    for name in _USUAL_NAMES:
        usual = members.get(name)
        if isinstance(usual, FastMCP):
            return usual
    servers = {name: value for name, value in members.items() if isinstance(value, FastMCP)}
    if not servers:
        raise LoadError(f"{path}: no FastMCP server in it; make one at module level, or name a function: {path}:OBJECT")
    if len({id(server) for server in servers.values()}) > 1:
        raise LoadError(f"{path}: several servers ({', '.join(servers)}); name one: {path}:{next(iter(servers))}")
    return next(iter(servers.values()))


def _attribute(path: Path, module: ModuleType, name: str) -> Any:
    found: Any = module
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            servers = [each for each, value in vars(module).items() if isinstance(value, FastMCP)]
            hint = f"; its servers: {', '.join(servers)}" if servers else ""
            raise LoadError(f"{path}: has no {name}{hint}") from None
    return found


def _call(path: Path, name: str, factory: Any) -> Any:
    try:
        made = factory()
        return asyncio.run(_awaited(made)) if inspect.isawaitable(made) else made
    except Exception as error:
        raise LoadError(f"{_place(path, error)}: {name}() failed: {_said(error)}") from error


async def _awaited(value: Any) -> Any:
    return await value
