"""Every exception that Headrace raises on purpose.

* `FastMCPError`: the root.

  * `McpError`: an answer of the JSON-RPC layer: code, message, data. Raise it to choose the code yourself.

    * `InvalidRequest` (-32600), `MethodNotFound` (-32601), `InvalidParams` (-32602), `ParseError` (-32700)

  * `ToolError`, `ResourceError`, `PromptError`: raised by users' functions; the text reaches the client.
  * `NotFoundError`: no such tool, prompt or resource.
  * `ValidationError`: arguments or answers that do not fit their schema.
  * `DisabledError`: the component exists but is switched off.
  * `ClientError`: an operation of the client failed.
  * `FetchError`: a URL was refused, or could not be fetched.
  * `InvalidSignature`: a function that cannot be a tool, resource or prompt.
  * `UnsupportedByClient`: the tool asked the client for something it, its revision or this transport can't give.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "ClientError",
    "DisabledError",
    "FastMCPError",
    "FetchError",
    "InvalidParams",
    "InvalidRequest",
    "InvalidSignature",
    "McpError",
    "MethodNotFound",
    "NotFoundError",
    "ParseError",
    "PromptError",
    "ResourceError",
    "ToolError",
    "UnsupportedByClient",
    "ValidationError",
]


class FastMCPError(Exception):
    """Root of the tree: ``except FastMCPError`` catches everything Headrace raises on purpose."""


class McpError(FastMCPError):
    """A JSON-RPC error, sent to the peer (or received from it) with this code, message and data."""

    code = -32603

    def __init__(self, message: str, *, code: int | None = None, data: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data
        if code is not None:
            self.code = code


class ParseError(McpError):
    """The bytes are not JSON."""

    code = -32700


class InvalidRequest(McpError):
    """JSON, but no request that can be served here."""

    code = -32600


class MethodNotFound(McpError):
    """No such method in this revision."""

    code = -32601


class InvalidParams(McpError):
    """The method exists, its params do not fit."""

    code = -32602


class ToolError(FastMCPError):
    """A tool failed; the text reaches the model, also when error details are masked."""


class ResourceError(FastMCPError):
    """A resource could not be read; the text reaches the client."""


class PromptError(FastMCPError):
    """A prompt could not be rendered; the text reaches the client."""


class NotFoundError(FastMCPError):
    """No such component. `uri` is set for a resource."""

    def __init__(self, message: str, *, uri: str | None = None) -> None:
        super().__init__(message)
        self.uri = uri


class ValidationError(FastMCPError):
    """A value does not fit its schema."""


class DisabledError(FastMCPError):
    """The component exists but is switched off."""


class ClientError(FastMCPError):
    """An operation of the client failed."""


class FetchError(FastMCPError):
    """A URL was refused, or could not be fetched; one line that names no more of the URL than its origin."""


class InvalidSignature(FastMCPError):
    """The function's signature cannot be offered as a component."""


class UnsupportedByClient(FastMCPError):
    """The client can't be asked: it lacks the capability, its revision does, or the transport can't carry a question.

    `capabilities` is what the client would have to declare, in the shape of ClientCapabilities.
    """

    def __init__(self, message: str, *, capabilities: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.capabilities = capabilities
