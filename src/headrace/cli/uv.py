"""The same command once more, in an environment that uv makes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import NoReturn

from ..settings import export, variable
from .console import Failure
from .server_config import UVEnvironment

__all__ = ["SPAWNED", "is_already_in_uv_subprocess", "uv_command", "uv_run"]

SPAWNED = "HEADRACE_UV_SPAWNED"
"""Set in the environment of what `uv_run` starts."""


def is_already_in_uv_subprocess() -> bool:
    """Whether this process was started by `uv_run`."""
    return variable(SPAWNED) is not None


def uv_command(environment: UVEnvironment, arguments: list[str], *, extra: str = "") -> list[str]:
    """``uv run --with headrace ... headrace ARGUMENTS``; `extra` of headrace is installed with it: "reload"."""
    own = f"headrace[{extra}]" if extra else "headrace"
    needed = environment.model_copy(update={"dependencies": [own, *(environment.dependencies or ())]})
    return needed.build_command(["headrace", *arguments])


def uv_run(command: list[str]) -> NoReturn:
    """Become the command. Raises Failure where uv is missing."""
    executable = shutil.which(command[0])
    if executable is None:
        raise Failure("uv is not installed, and --with and an environment need it: install uv, or pass --skip-env")
    export({SPAWNED: "1"})
    if sys.platform == "win32":  # which has no exec that keeps the console
        sys.exit(subprocess.run([executable, *command[1:]]).returncode)
    os.execv(executable, command)
