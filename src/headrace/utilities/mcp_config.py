"""``mcpServers`` configuration: the names of `headrace.mcp_config`."""

from __future__ import annotations

from ..mcp_config import (
    CanonicalMCPConfig,
    CanonicalMCPServerTypes,
    MCPConfig,
    MCPServerTypes,
    RemoteMCPServer,
    StdioMCPServer,
    infer_transport_type_from_url,
    update_config_file,
)

__all__ = [
    "CanonicalMCPConfig",
    "CanonicalMCPServerTypes",
    "MCPConfig",
    "MCPServerTypes",
    "RemoteMCPServer",
    "StdioMCPServer",
    "infer_transport_type_from_url",
    "update_config_file",
]
