"""How the command line finds what it is asked to run."""

from __future__ import annotations

from typing import Any

from ..cli.server_config import MCPServerConfig
from ..cli.target import find_target
from ..cli.uv import is_already_in_uv_subprocess

__all__ = ["is_already_in_uv_subprocess", "load_and_merge_config"]

_ENVIRONMENT = {
    "with_packages": "dependencies",
    "with_requirements": "requirements",
    "project": "project",
    "python": "python",
    "editable": "editable",
}
_DEPLOYMENT = {"server_args": "args"}


def load_and_merge_config(server_spec: str | None, **cli_overrides: Any) -> tuple[MCPServerConfig, str]:
    """The config that a target stands for, with what overrides it, and the target itself.

    `server_spec` None: headrace.json or fastmcp.json in the working directory. Nothing is applied to this process.
    Overrides: with_packages, with_requirements, project, python, editable, server_args, and members of `Deployment`.
    Raises click.ClickException, one line.
    """
    given = {name: value for name, value in cli_overrides.items() if value is not None}
    flags = {new: given.pop(old) for old, new in _ENVIRONMENT.items() if old in given}
    found = find_target(server_spec, **flags)
    update = {_DEPLOYMENT.get(name, name): value for name, value in given.items()}
    config = found.config.model_copy(update={"deployment": found.config.deployment.model_copy(update=update)})
    return config, server_spec or str(found.path)
