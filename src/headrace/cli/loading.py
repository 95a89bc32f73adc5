"""``FILE[:OBJECT]`` or ``MODULE[:OBJECT]`` -> a FastMCP server, or one line that says why not."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import os
import stat
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from ..server.server import FastMCP
from .console import Failure

__all__ = [
    "LoadError",
    "find_in_file",
    "find_in_module",
    "said",
    "served",
    "served_async",
    "split_target",
]

_USUAL_NAMES = ("mcp", "server", "app")


class LoadError(Failure):
    """The file or the object can't be served; what a file raised is the cause."""


def split_target(target: str) -> tuple[str, str | None]:
    """``FILE[:OBJECT]`` or ``MODULE[:OBJECT]`` in two."""
    before, colon, name = target.rpartition(":")
    # The colon may belong to the path (a drive, or a strange file name).
    if not colon or not all(part.isidentifier() for part in name.split(".")) or os.path.exists(target):
        return target, None
    return before, name


def find_in_file(file: str, name: str | None) -> Any:
    """The object of a Python file, or what it returns where it is a factory: maybe an awaitable. Raises LoadError."""
    try:
        path = Path(file).expanduser()
        is_directory = stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        raise LoadError(f"{file}: no such file") from None
    except (OSError, ValueError, RuntimeError) as error:  # a name that no file can have, "~somebody" without a home
        raise LoadError(f"{file}: {getattr(error, 'strerror', error)}") from None
    if is_directory:
        raise LoadError(f"{path}: is a directory, not a Python file")
    if path.suffix != ".py":
        raise LoadError(f"{path}: not a Python file (its name does not end in .py)")
    return _found(str(path), path, _import_file(path), name)


def find_in_module(module: str, name: str | None) -> Any:
    """The same of a module that can be imported, from the working directory as well. Raises LoadError."""
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        spec = None
    except Exception as error:  # a package around it was imported, and failed
        raise LoadError(f"{module}: {said(error)}") from error
    if spec is None:
        raise LoadError(f"no module named {module}; the module is looked up from the working directory")
    path = Path(spec.origin) if spec.origin else None
    return _found(module, path, _imported(module, path, lambda: import_module(module)), name)


def served(found: Any, where: str) -> FastMCP:
    """The server that was found. Raises LoadError where it is none, or the async factory fails."""
    return asyncio.run(served_async(found, where)) if inspect.isawaitable(found) else _checked(found, where)


async def served_async(found: Any, where: str) -> FastMCP:
    if inspect.isawaitable(found):
        try:
            found = await found
        except Exception as error:
            raise LoadError(f"{where}() failed: {said(error)}") from error
    return _checked(found, where)


def _checked(found: Any, where: str) -> FastMCP:
    if not isinstance(found, FastMCP):
        place, _, name = where.rpartition(":")
        raise LoadError(f"{place}: {name} is no FastMCP server but of type {type(found).__name__}")
    return found


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
    module, loader = importlib.util.module_from_spec(spec), spec.loader
    sys.modules[name] = module

    def execute() -> ModuleType:
        loader.exec_module(module)
        return module

    return _imported(str(path), path, execute)


def _imported(label: str, path: Path | None, execute: Callable[[], ModuleType]) -> ModuleType:
    try:
        return execute()
    except SyntaxError as error:
        raise LoadError(
            f"{error.filename or label}:{error.lineno or 0}: {type(error).__name__}: {error.msg}"
        ) from error
    except SystemExit as error:
        raise LoadError(
            f"{_place(label, path, error)}: the file ended the program ({error.code}) while it was imported"
        ) from error
    except Exception as error:
        raise LoadError(f"{_place(label, path, error)}: {said(error)}") from error


def _place(label: str, path: Path | None, error: BaseException) -> str:
    """``label:line``, the deepest line of the user's file that led to the error."""
    own = None if path is None else str(path.resolve())
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == own]
    return f"{label}:{lines[-1]}" if lines else label


def said(error: BaseException) -> str:
    """The error in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _found(label: str, path: Path | None, module: ModuleType, name: str | None) -> Any:
    if name is None:
        return _only_server(label, module)
    found = _attribute(label, module, name)
    if isinstance(found, FastMCP) or not callable(found):
        return found
    try:
        return found()
    except Exception as error:
        raise LoadError(f"{_place(label, path, error)}: {name}() failed: {said(error)}") from error


def _only_server(label: str, module: ModuleType) -> FastMCP:
    members = vars(module)
    for name in _USUAL_NAMES:
        usual = members.get(name)
        if isinstance(usual, FastMCP):
            return usual
    servers = {name: value for name, value in members.items() if isinstance(value, FastMCP)}
    if not servers:
        raise LoadError(
            f"{label}: no FastMCP server in it; make one at module level, or name a function: {label}:OBJECT"
        )
    if len({id(server) for server in servers.values()}) > 1:
        raise LoadError(f"{label}: several servers ({', '.join(servers)}); name one: {label}:{next(iter(servers))}")
    return next(iter(servers.values()))


def _attribute(label: str, module: ModuleType, name: str) -> Any:
    found: Any = module
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            servers = [each for each, value in vars(module).items() if isinstance(value, FastMCP)]
            hint = f"; its servers: {', '.join(servers)}" if servers else ""
            raise LoadError(f"{label}: has no {name}{hint}") from None
    return found
