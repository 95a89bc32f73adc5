"""Calls without a client: ``await mcp.call_tool(...)``, from inside of a call or from anywhere.

They take the way of every other call, through the server's Handler. Inside of a call they ask the client of that
call; outside there is nobody to ask.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from msgspec import Raw

from ..call import Call
from ..components.content import explicit, json_bytes
from ..components.dependencies import current
from ..exceptions import McpError, ToolError, UnsupportedByClient
from ..prompts.prompt import prompt_result
from ..protocol.requests import decode_params
from ..protocol.types import (
    CallToolResult,
    ClientCapabilities,
    GetPromptResult,
    Implementation,
    ReadResourceResult,
    Result,
    TextContent,
)
from ..protocol.versions import LATEST
from ..resources.results import resource_result
from ..types import PromptResult, ResourceResult, ToolResult

if TYPE_CHECKING:
    from .server import FastMCP

__all__ = ["call_tool", "get_prompt", "read_resource", "render_prompt"]

R = TypeVar("R", bound=Result)
T = TypeVar("T")


async def call_tool(server: FastMCP, name: str, arguments: Mapping[str, Any] | None, version: str | None) -> ToolResult:
    """Raises ToolError where the result is an error; NotFoundError."""
    params = {"name": name, "arguments": arguments or {}}
    result = await _call(server, "tools/call", params, version, CallToolResult)
    if result.is_error:
        raise ToolError("\n".join(block.text for block in result.content if isinstance(block, TextContent)))
    return explicit(result)


async def read_resource(server: FastMCP, uri: str, version: str | None) -> ResourceResult:
    """Raises NotFoundError, ResourceError."""
    return resource_result(await _call(server, "resources/read", {"uri": uri}, version, ReadResourceResult))


async def get_prompt(
    server: FastMCP, name: str, arguments: Mapping[str, Any] | None, version: str | None
) -> GetPromptResult:
    """Raises NotFoundError, PromptError, and InvalidParams for arguments that do not fit."""
    texts = {
        key: value if isinstance(value, str) else json_bytes(value).decode() for key, value in (arguments or {}).items()
    }
    return await _call(server, "prompts/get", {"name": name, "arguments": texts}, version, GetPromptResult)


async def render_prompt(
    server: FastMCP, name: str, arguments: Mapping[str, Any] | None, version: str | None
) -> PromptResult:
    """Raises as `get_prompt`."""
    return prompt_result(await get_prompt(server, name, arguments, version))


async def _call(server: FastMCP, method: str, params: dict[str, Any], version: str | None, kind: type[R]) -> R:
    if version is not None:
        params["_meta"] = {"fastmcp": {"version": version}}
    raw = Raw(json_bytes(params))
    context = current.get(None)
    if context is not None:
        outer = context.call
        call = Call(
            method, decode_params(raw), raw, id=outer.id, peer=outer.peer, principal=outer.principal, scope=outer.scope
        )
    else:
        call = Call(method, decode_params(raw), raw, id=None, peer=_Nobody())
    if context is not None and context.fastmcp is server:
        result = await server.serve(call)
    else:
        async with server.lifespan_context():
            result = await server.serve(call)
    if not isinstance(result, kind):
        raise McpError(f"{method} asks the client for input, which only a call of a client can")
    return result


class _Nobody:
    """The peer of a call that no client made: notes go nowhere, state ends with the call."""

    era = LATEST
    transport = "direct"
    session_id: str | None = None
    client_info: Implementation | None = None
    capabilities = ClientCapabilities()
    log_level: str | None = None
    request_state: str | None = None
    heard: Sequence[Raw] = ()

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    async def note(self, method: str, params: Any) -> None:
        pass

    async def ask(self, method: str, params: Any, *, key: str | None = None, check: Callable[[Raw], T]) -> T:
        _nobody(f"ask for {method}")

    async def once(self, key: str, function: Callable[[], Awaitable[Any]]) -> Any:
        return await function()

    def occurrence(self, what: str) -> int:
        return 0

    def input_responses(self) -> Mapping[str, Raw]:
        return {}

    async def get_state(self, key: str) -> Any:
        return self._values.get(key)

    async def set_state(self, key: str, value: Any) -> None:
        self._values[key] = value

    async def delete_state(self, key: str) -> None:
        self._values.pop(key, None)

    async def set_log_level(self, level: str) -> None:
        pass

    async def subscribe(self, uri: str, wanted: bool) -> None:
        _nobody("subscribe for")

    async def close_stream(self) -> None:
        pass


def _nobody(what: str) -> NoReturn:
    raise UnsupportedByClient(f"This call was made without a client: there is nobody to {what}")
