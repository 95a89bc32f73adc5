"""Transports of the client, and which one a target needs."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...exceptions import ClientError
from .base import Transport

if TYPE_CHECKING:
    from .commands import (
        NodeStdioTransport,
        NpxStdioTransport,
        PythonStdioTransport,
        UvStdioTransport,
        UvxStdioTransport,
    )
    from .config import MCPConfigTransport
    from .http import StreamableHttpTransport
    from .memory import FastMCPTransport, MemoryTransport
    from .sse import SSETransport
    from .stdio import StdioTransport

__all__ = [
    "FastMCPTransport",
    "MCPConfigTransport",
    "MemoryTransport",
    "NodeStdioTransport",
    "NpxStdioTransport",
    "PythonStdioTransport",
    "SSETransport",
    "StdioTransport",
    "StreamableHttpTransport",
    "Transport",
    "UvStdioTransport",
    "UvxStdioTransport",
    "transport_for",
]

_HOMES = {
    "FastMCPTransport": "memory",
    "MCPConfigTransport": "config",
    "MemoryTransport": "memory",
    "NodeStdioTransport": "commands",
    "NpxStdioTransport": "commands",
    "PythonStdioTransport": "commands",
    "SSETransport": "sse",
    "StdioTransport": "stdio",
    "StreamableHttpTransport": "http",
    "UvStdioTransport": "commands",
    "UvxStdioTransport": "commands",
}
_TARGETS = "a server, a URL, a script (.py, .js), an mcpServers config (a dict, a .json file) or a transport"
_SUFFIXES = {".py": "PythonStdioTransport", ".js": "NodeStdioTransport", ".mjs": "NodeStdioTransport"}


def __getattr__(name: str) -> Any:
    # Loaded when first used: a client in memory does without the HTTP library.
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{home}", __name__), name)


def transport_for(
    target: Any, *, headers: Mapping[str, str] | None = None, auth: Any = None, fall_back: bool = True
) -> Transport:
    """The transport for a server object, a URL, a script, a config, or a transport itself (`StdioTransport` for a
    command). `auth` is a bearer token, "oauth", a login of `headrace.client.auth`, or an `httpx2.Auth`.

    A path is a `pathlib.Path` or text: ``.py`` is run by this Python, ``.js`` by Node, ``.json`` is read as an
    ``mcpServers`` config. `fall_back`: whether a URL may turn out to be one of HTTP+SSE; one with ``/sse`` in its path
    is one. Raises ClientError for a target that is none of them, or for headers where there is no HTTP.
    """
    url = _url(target)
    if url is not None:
        return _over_http(url, headers, auth, fall_back)
    if headers or auth is not None:
        raise ClientError("headers and auth are for URLs: this target is not reached over HTTP")
    if callable(getattr(target, "serve", None)) and callable(getattr(target, "stamp", None)):
        return __getattr__("MemoryTransport")(target)
    if callable(getattr(target, "request", None)) and callable(getattr(target, "open", None)):
        return target
    if isinstance(target, str | Path):
        return _in_file(Path(target), fall_back)
    if isinstance(target, Mapping) or hasattr(target, "mcpServers"):
        return __getattr__("MCPConfigTransport")(target, fall_back=fall_back)
    raise ClientError(f"Can't connect to {type(target).__name__}: a target is {_TARGETS}")


def _url(target: Any) -> str | None:
    """Of text, or of an object that stands for a URL, as pydantic and httpx have them."""
    if isinstance(target, str) or isinstance(getattr(target, "scheme", None), str):
        text = str(target)
        return text if text.lower().startswith(("http://", "https://")) else None
    return None


def _over_http(url: str, headers: Mapping[str, str] | None, auth: Any, fall_back: bool) -> Transport:
    # Doorways: a client in memory does without the HTTP library.
    kind = import_module("...mcp_config", __name__).infer_transport_type_from_url(url)
    if kind == "sse":
        return __getattr__("SSETransport")(url, headers=headers, auth=auth)
    if fall_back:
        return import_module(".url", __name__).UrlTransport(url, headers=headers, auth=auth)
    return __getattr__("StreamableHttpTransport")(url, headers=headers, auth=auth)


def _in_file(path: Path, fall_back: bool) -> Transport:
    suffix = path.suffix.lower()
    if suffix == ".json":
        return __getattr__("MCPConfigTransport")(path, fall_back=fall_back)
    if suffix not in _SUFFIXES:
        raise ClientError(f"Can't connect to {str(path)!r}: a target is {_TARGETS}")
    return __getattr__(_SUFFIXES[suffix])(path)
