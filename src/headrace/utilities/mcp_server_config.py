"""``headrace.json`` and ``fastmcp.json``: a server's source, environment and deployment."""

from __future__ import annotations

from ..cli.server_config import (
    Deployment,
    Environment,
    FileSystemSource,
    MCPServerConfig,
    ModuleSource,
    Source,
    UVEnvironment,
    generate_schema,
)

__all__ = [
    "Deployment",
    "Environment",
    "FileSystemSource",
    "MCPServerConfig",
    "ModuleSource",
    "Source",
    "UVEnvironment",
    "generate_schema",
]
