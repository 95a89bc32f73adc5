"""Servers of an ``mcpServers`` configuration: one as it is, several as one (`joined`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ...exceptions import ClientError
from ...mcp_config import MCPConfig, MCPServerTypes, RemoteMCPServer, StdioMCPServer, infer_transport_type_from_url
from ...protocol.jsonrpc import Response
from ...protocol.versions import Era
from ..patience import limit_of
from .base import Hear, Outgoing, Transport
from .http import StreamableHttpTransport
from .joined import JoinedTransport
from .member import Member
from .sse import SSETransport
from .stdio import StdioTransport
from .url import UrlTransport

__all__ = ["MCPConfigTransport"]

_HTTP = ("http", "streamable-http", "streamableHttp")


class MCPConfigTransport:
    """`config` is an `MCPConfig`, its dict, or a file. Raises ClientError for one without servers, or with what does
    not fit.

    One server is reached as if it were given by itself. Of several, tools and prompts are called ``server_name`` and
    resources ``scheme://server/path``. `fall_back`: whether a URL may turn out to be one of HTTP+SSE.
    """

    def __init__(self, config: MCPConfig | Mapping[str, Any] | str | Path, *, fall_back: bool = True) -> None:
        self.config = _config(config)
        servers = self.config.mcpServers
        fall_back = fall_back or len(servers) > 1  # each of several has a client that asks what it speaks
        members = {name: _member(name, server, fall_back) for name, server in servers.items()}
        if not members:
            raise ClientError("Can't connect: the config names no server in mcpServers")
        self._transports = [member.transport for member in members.values()]
        only = next(iter(members.values())) if len(members) == 1 else None
        self.transport: Transport = JoinedTransport(members) if only is None else only.transport
        self._seconds = None if only is None else only.timeout

    def on_login(self, call: Callable[[], None]) -> None:
        for transport in self._transports:
            if tell := getattr(transport, "on_login", None):
                tell(call)

    @property
    def name(self) -> str:
        return self.transport.name

    @property
    def mirrors_headers(self) -> bool:
        return self.transport.mirrors_headers

    @property
    def session_id(self) -> str | None:
        return self.transport.session_id

    async def open(self, hear: Hear) -> None:
        await self.transport.open(hear)

    async def close(self) -> None:
        await self.transport.close()

    async def request(self, outgoing: Outgoing, hear: Hear) -> Response:
        if self._seconds is None or outgoing.method == "subscriptions/listen":
            return await self.transport.request(outgoing, hear)
        limit: asyncio.Timeout | None = None
        try:
            async with limit_of(self._seconds) as limit:
                return await self.transport.request(outgoing, hear)
        except TimeoutError:
            if limit is None or not limit.expired():
                raise
            seconds = f"{self._seconds:g} seconds"
            raise ClientError(f"{self.name} did not answer {outgoing.method} within {seconds}") from None

    async def send(self, body: bytes) -> None:
        await self.transport.send(body)

    def agree(self, era: Era) -> None:
        self.transport.agree(era)

    async def listen(self) -> None:
        await self.transport.listen()


def _config(config: MCPConfig | Mapping[str, Any] | str | Path) -> MCPConfig:
    if isinstance(config, MCPConfig):
        return config
    try:
        if isinstance(config, str | Path):
            return MCPConfig.from_file(Path(config))
        return MCPConfig.from_dict(dict(config))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]  # inputs may be secret
        where = ".".join(str(part) for part in first["loc"])
        raise ClientError(f"The config does not fit{f': {where}' if where else ''}: {first['msg']}") from None
    except (OSError, ValueError) as error:
        raise ClientError(f"The config can't be read: {error}") from None


def _member(name: str, server: MCPServerTypes, fall_back: bool) -> Member:
    seconds = None if server.timeout is None else server.timeout / 1000
    if isinstance(server, StdioMCPServer):
        env = {key: str(value) for key, value in server.env.items()}
        return Member(StdioTransport(server.command, server.args, env, server.cwd), seconds)
    return Member(_remote(name, server, fall_back), seconds)


def _remote(name: str, server: RemoteMCPServer, fall_back: bool) -> Transport:
    try:
        inferred = infer_transport_type_from_url(server.url)
    except ValueError:
        raise ClientError(f"The server {name!r}: its URL begins with http:// or https://") from None
    # Some clients write "type" for it.
    kind = server.transport or (server.model_extra or {}).get("type")
    make = UrlTransport if fall_back else StreamableHttpTransport
    if kind in _HTTP:
        make = StreamableHttpTransport
    elif kind == "sse" or (kind is None and inferred == "sse"):
        make = SSETransport
    elif kind is not None:
        raise ClientError(f"The server {name!r}: unknown transport {kind!r}")
    return make(server.url, headers=server.headers, auth=server.auth)
