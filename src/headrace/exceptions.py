"""Every exception that Headrace raises on purpose.

* `FastMCPError`: the root.

  * `McpError`: an answer of the JSON-RPC layer: code, message, data. Raise it to choose the code yourself.

    * `InvalidRequest` (-32600), `MethodNotFound` (-32601), `InvalidParams` (-32602), `ParseError` (-32700)
    * `AuthorizationError`, `InsufficientScopeError`, `RateLimitError` (-32600): the caller may not, or not so often.

  * `ToolError`, `ResourceError`, `PromptError`: raised by users' functions; the text reaches the client.
  * `NotFoundError`: no such tool, prompt or resource.
  * `ValidationError`: arguments or answers that do not fit their schema.
  * `DisabledError`: the component exists but is switched off.
  * `ClientError`: an operation of the client failed.
  * `FetchError`: a URL was refused, or could not be fetched.
  * `StoreError`: a store of records can't do what it was asked.
  * `InvalidSignature`: a function that cannot be a tool, resource or prompt.
  * `UnsupportedByClient`: the tool asked the client for something it, its revision or this transport can't give.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

__all__ = [
    "AuthorizationError",
    "ClientError",
    "DisabledError",
    "FastMCPError",
    "FetchError",
    "InsufficientScopeError",
    "InvalidParams",
    "InvalidRequest",
    "InvalidSignature",
    "McpError",
    "MethodNotFound",
    "NotFoundError",
    "ParseError",
    "PromptError",
    "RateLimitError",
    "ResourceError",
    "StoreError",
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


class AuthorizationError(McpError):
    """The caller may not do this: a check or a function that raises it refuses, with this text. 403 over HTTP."""

    code = -32600


class InsufficientScopeError(AuthorizationError):
    """The caller's token lacks scopes; `required_scopes` are all that it takes, and the client is told them."""

    def __init__(self, required_scopes: Sequence[str], *, message: str | None = None) -> None:
        self.required_scopes = list(required_scopes)
        super().__init__(message or f"Insufficient scope: this needs {' '.join(self.required_scopes)}")


class RateLimitError(McpError):
    """The caller asks too often; `retry_after` in seconds. 429 over HTTP."""

    code = -32600

    def __init__(self, retry_after: float, message: str | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message or f"Too many requests: try again in {math.ceil(retry_after)} s")


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


class StoreError(FastMCPError):
    """A store of records is full, locked or gone: what it was to prove does not count as proven."""


class InvalidSignature(FastMCPError):
    """The function's signature cannot be offered as a component."""


class UnsupportedByClient(FastMCPError):
    """The client can't be asked: it lacks the capability, its revision does, or the transport can't carry a question.

    `capabilities` is what the client would have to declare, in the shape of ClientCapabilities.
    """

    def __init__(self, message: str, *, capabilities: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.capabilities = capabilities
