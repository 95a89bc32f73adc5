"""`fastmcp` is headrace here: Python runs this file by itself at start where its folder is on PYTHONPATH.

Every `fastmcp[.path]` is the very module `headrace[.path]`, so a class has one identity under both names. A path that
headrace lacks fails as an import of that headrace module, which is what the reader wants to see.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType

OLD, NEW = "fastmcp", "headrace"


class Alias:
    """Finder and loader of `fastmcp` and everything below it."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != OLD and not name.startswith(OLD + "."):
            return None
        return ModuleSpec(name, self)  # pyright: ignore[reportArgumentType]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(NEW + spec.name.removeprefix(OLD))
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # The module has run under its own name; the import system has just given it this spec: undo that.
        spec = module.__spec__
        if spec is not None and spec.loader is self:
            module.__spec__ = spec.loader_state


sys.meta_path.insert(0, Alias())  # pyright: ignore[reportArgumentType]
