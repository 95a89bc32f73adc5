"""An empty working directory and an unchanged interpreter for every test of the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.server.server import FastMCP


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What `run` of a server was called with, instead of serving."""
    made: list[tuple[str, dict[str, Any]]] = []

    def run(self: FastMCP, **options: Any) -> None:
        made.append((self.name, options))

    monkeypatch.setattr(FastMCP, "run", run)
    return made


@pytest.fixture(autouse=True)
def _same_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test begins in an empty directory, and leaves no module, path or variable behind."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    modules, path, environ = set(sys.modules), list(sys.path), dict(os.environ)
    yield
    sys.path[:] = path
    os.environ.clear()
    os.environ.update(environ)
    for name in set(sys.modules) - modules:
        # Only the test's own files: a library that is imported a second time has other classes.
        if str(tmp_path) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]
