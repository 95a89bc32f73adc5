"""What a server offers, as data and as JSON."""

from __future__ import annotations

from ..cli.inspection import (
    FastMCPInfo,
    InspectFormat,
    PromptInfo,
    ResourceInfo,
    TemplateInfo,
    ToolInfo,
    format_fastmcp_info,
    format_headrace_info,
    format_info,
    format_mcp_info,
    inspect_fastmcp,
    inspect_server,
)

__all__ = [
    "FastMCPInfo",
    "InspectFormat",
    "PromptInfo",
    "ResourceInfo",
    "TemplateInfo",
    "ToolInfo",
    "format_fastmcp_info",
    "format_headrace_info",
    "format_info",
    "format_mcp_info",
    "inspect_fastmcp",
    "inspect_server",
]
