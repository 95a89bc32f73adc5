"""What a server offers, as data: `inspect_server`, and the JSON that ``headrace inspect`` writes of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from typing import Any

import msgspec

from ..client import Client
from ..components.component import Component
from ..prompts.prompt import Prompt
from ..protocol.types import Wire
from ..protocol.versions import ERAS, LATEST
from ..resources.resource import Resource
from ..resources.template import ResourceTemplate
from ..server.server import FastMCP
from ..tools.tool import Tool

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


@dataclass(kw_only=True)
class _Info:
    """What all components have. `annotations` and `icons` have the names of the wire."""

    key: str
    name: str
    description: str | None
    tags: list[str] | None = None
    enabled: bool | None = None
    title: str | None = None
    icons: list[dict[str, Any]] | None = None
    meta: dict[str, Any] | None = None
    version: str | None = None


@dataclass(kw_only=True)
class ToolInfo(_Info):
    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None = None
    annotations: dict[str, Any] | None = None


@dataclass(kw_only=True)
class PromptInfo(_Info):
    arguments: list[dict[str, Any]] | None = None


@dataclass(kw_only=True)
class ResourceInfo(_Info):
    uri: str
    mime_type: str | None = None
    annotations: dict[str, Any] | None = None


@dataclass(kw_only=True)
class TemplateInfo(_Info):
    uri_template: str
    mime_type: str | None = None
    parameters: dict[str, Any] | None = None
    annotations: dict[str, Any] | None = None


@dataclass(kw_only=True)
class FastMCPInfo:
    """A server, and what it shows to clients."""

    name: str
    instructions: str | None
    version: str | None
    website_url: str | None
    icons: list[dict[str, Any]] | None
    fastmcp_version: str
    """Headrace's."""
    mcp_version: str
    """The newest revision of the protocol that it speaks."""
    server_generation: int
    tools: list[ToolInfo]
    prompts: list[PromptInfo]
    resources: list[ResourceInfo]
    templates: list[TemplateInfo]
    capabilities: dict[str, Any]


class InspectFormat(StrEnum):
    HEADRACE = "headrace"
    FASTMCP = "fastmcp"
    MCP = "mcp"


async def inspect_server(mcp: FastMCP) -> FastMCPInfo:
    """What the server shows; its lifespan is not entered."""
    return FastMCPInfo(
        name=mcp.name,
        instructions=mcp.instructions,
        version=mcp.version,
        website_url=mcp.info.website_url,
        icons=_built(mcp.info.icons),
        fastmcp_version=_version(),
        mcp_version=LATEST.version,
        server_generation=2,
        tools=[_tool(each) for each in await mcp.list_tools()],
        prompts=[_prompt(each) for each in await mcp.list_prompts()],
        resources=[_resource(each) for each in await mcp.list_resources()],
        templates=[_template(each) for each in await mcp.list_resource_templates()],
        capabilities=_built(mcp.capabilities()),
    )


inspect_fastmcp = inspect_server


def _shared(component: Component) -> dict[str, Any]:
    return {
        "key": component.identifier,
        "name": component.name,
        "description": component.description,
        "tags": sorted(component.tags) or None,
        "enabled": component.enabled,
        "title": component.title,
        "icons": _built(component.icons),
        "meta": component.meta,
        "version": component.version,
    }


def _tool(tool: Tool) -> ToolInfo:
    return ToolInfo(
        **_shared(tool),
        input_schema=tool.parameters,
        output_schema=tool.output_schema,
        annotations=_built(tool.annotations),
    )


def _prompt(prompt: Prompt) -> PromptInfo:
    return PromptInfo(**_shared(prompt), arguments=_built(prompt.to_wire().arguments))


def _resource(resource: Resource) -> ResourceInfo:
    shown = resource.to_wire()
    return ResourceInfo(
        **_shared(resource), uri=shown.uri, mime_type=shown.mime_type, annotations=_built(shown.annotations)
    )


def _template(template: ResourceTemplate) -> TemplateInfo:
    shown = template.to_wire()
    return TemplateInfo(
        **_shared(template),
        uri_template=shown.uri_template,
        mime_type=shown.mime_type,
        parameters=getattr(template, "parameters", None),
        annotations=_built(shown.annotations),
    )


def _built(value: Wire | Iterable[Wire] | None) -> Any:
    """Structs as JSON has them; None for what is empty."""
    return msgspec.to_builtins(value) if value else None


def _version() -> str:
    try:
        return installed_version("headrace")
    except PackageNotFoundError:  # a source tree that is not installed
        return "0+unknown"


async def format_fastmcp_info(info: FastMCPInfo) -> bytes:
    """JSON in the layout of FastMCP's manifest."""
    return _manifest(info, {"fastmcp": info.fastmcp_version, "mcp": info.mcp_version})


async def format_headrace_info(info: FastMCPInfo) -> bytes:
    """The same, with Headrace and the revisions it speaks as the environment."""
    return _manifest(info, {"headrace": info.fastmcp_version, "protocol": list(reversed(ERAS))})


def _manifest(info: FastMCPInfo, environment: dict[str, Any]) -> bytes:
    server = {
        "name": info.name,
        "instructions": info.instructions,
        "version": info.version,
        "website_url": info.website_url,
        "icons": info.icons,
        "generation": info.server_generation,
        "capabilities": info.capabilities,
    }
    lists = {name: [asdict(each) for each in getattr(info, name)] for name in _LISTS}
    return _json({"server": server, "environment": environment, **lists})


_LISTS = ("tools", "prompts", "resources", "templates")


async def format_mcp_info(mcp: FastMCP) -> bytes:
    """JSON of what a client is told, in the protocol's own shapes; the server's lifespan is entered."""
    async with Client(mcp) as client:
        lists: dict[str, list[Any]] = {
            "tools": await client.list_tools(),
            "prompts": await client.list_prompts(),
            "resources": await client.list_resources(),
            "resourceTemplates": await client.list_resource_templates(),
        }
        return _json(
            {
                "environment": {"headrace": _version(), "protocol": client.protocol_version},
                "serverInfo": msgspec.to_builtins(mcp.info),
                "capabilities": msgspec.to_builtins(client.server_capabilities),
                **msgspec.to_builtins(lists),
            }
        )


async def format_info(mcp: FastMCP, format: InspectFormat | str, info: FastMCPInfo | None = None) -> bytes:
    """JSON in a format by name. Raises ValueError for an unknown one."""
    chosen = InspectFormat(format)
    if chosen is InspectFormat.MCP:
        return await format_mcp_info(mcp)
    info = info or await inspect_server(mcp)
    return await (format_fastmcp_info(info) if chosen is InspectFormat.FASTMCP else format_headrace_info(info))


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False).encode()
