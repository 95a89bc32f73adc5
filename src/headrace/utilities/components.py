"""What tools, resources, templates and prompts have in common, under the name that FastMCP users know."""

from __future__ import annotations

from ..components.component import Component as FastMCPComponent

__all__ = ["FastMCPComponent"]
