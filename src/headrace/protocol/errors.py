"""Codes of the wire, and the one mapping from exceptions to JSON-RPC errors.

Codes: JSON-RPC 2.0 and 2026-07-28, basic, section Error Codes. The range -32000 to -32019 is not used,
save -32002 for a missing resource in the revisions that ask for it.
"""

from __future__ import annotations

import msgspec

from ..exceptions import (
    McpError,
    NotFoundError,
    PromptError,
    ResourceError,
    ToolError,
    UnsupportedByClient,
    ValidationError,
)
from .versions import Era

__all__ = [
    "HEADER_MISMATCH",
    "INTERNAL_ERROR",
    "INVALID_PARAMS",
    "INVALID_REQUEST",
    "METHOD_NOT_FOUND",
    "MISSING_CLIENT_CAPABILITY",
    "PARSE_ERROR",
    "UNSUPPORTED_VERSION",
    "to_error",
]

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
HEADER_MISMATCH = -32020
MISSING_CLIENT_CAPABILITY = -32021
UNSUPPORTED_VERSION = -32022


def to_error(error: BaseException, era: Era) -> McpError:
    """What the client is told. An exception nobody raised on purpose tells nothing of the inside."""
    if isinstance(error, McpError):
        return error
    if isinstance(error, NotFoundError):
        if error.uri is not None:
            return McpError(str(error), code=era.missing_resource_code, data={"uri": error.uri})
        return McpError(str(error), code=INVALID_PARAMS)
    if isinstance(error, UnsupportedByClient):
        if era.handshake or error.capabilities is None:
            return McpError(str(error), code=INVALID_REQUEST)
        return McpError(str(error), code=MISSING_CLIENT_CAPABILITY, data={"requiredCapabilities": error.capabilities})
    if isinstance(error, (ValidationError, msgspec.ValidationError)):
        return McpError(f"Invalid params: {error}", code=INVALID_PARAMS)
    if isinstance(error, (ToolError, ResourceError, PromptError)):
        return McpError(str(error), code=INTERNAL_ERROR)
    return McpError("Internal error", code=INTERNAL_ERROR)
