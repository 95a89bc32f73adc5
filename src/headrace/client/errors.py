"""What a server's error becomes here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ..exceptions import InvalidParams, InvalidRequest, McpError, MethodNotFound, NotFoundError, ParseError
from ..protocol.jsonrpc import Response
from ..protocol.versions import ERAS

__all__ = ["ResourceNotFound", "error_of", "error_of_request"]

_ERRORS: dict[int, type[McpError]] = {
    error.code: error for error in (ParseError, InvalidRequest, MethodNotFound, InvalidParams)
}
_MISSING = {era.missing_resource_code for era in ERAS.values()}


class ResourceNotFound(McpError, NotFoundError):
    """The server has no such resource. Each of the codes that revisions have for it means this in all of them
    (2026-07-28, Resources, Error Handling)."""

    def __init__(self, message: str, *, code: int, data: Any, uri: str) -> None:
        super().__init__(message, code=code, data=data)
        self.uri = uri


def error_of(response: Response) -> McpError:
    """The exception for an error of the server."""
    error = response.error
    assert error is not None
    data = None if error.data is msgspec.UNSET else error.data
    return _ERRORS.get(error.code, McpError)(error.message, code=error.code, data=data)


def error_of_request(response: Response, method: str, params: Mapping[str, Any], server: str) -> McpError:
    """The same, where it is known what was asked, and whom."""
    error, uri = error_of(response), params.get("uri")
    if method != "resources/read" or error.code not in _MISSING or not isinstance(uri, str):
        return error
    message = f"{server} has no resource {uri!r}: {error.message}"
    return ResourceNotFound(message, code=error.code, data=error.data, uri=uri)
