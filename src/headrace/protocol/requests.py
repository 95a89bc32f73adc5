"""What every request must carry, whatever brings it: shared members, revision, a method that exists."""

from __future__ import annotations

from collections.abc import Container

import msgspec
from msgspec import Raw

from ..exceptions import InvalidParams, McpError, MethodNotFound
from .errors import UNSUPPORTED_VERSION
from .methods import REQUESTS
from .session import SessionRecord, advance
from .types import (
    LOG_LEVELS,
    CancelledNotificationParams,
    ClientCapabilities,
    InitializeRequestParams,
    Params,
)
from .versions import LATEST_HANDSHAKE, MODERN_VERSIONS, Era, era

__all__ = ["check_meta", "check_method", "decode_cancelled", "decode_params", "initialize", "modern_era", "new_record"]

MAX_INITIALIZE = 64 * 1024
"""Bytes of the params of a handshake: what a client says of itself is kept as long as its session."""

_decode_params = msgspec.json.Decoder(Params).decode
_decode_initialize = msgspec.json.Decoder(InitializeRequestParams).decode
_decode_cancelled = msgspec.json.Decoder(CancelledNotificationParams).decode


def decode_params(raw: Raw) -> Params:
    """The members that methods share. Raises InvalidParams, in one line."""
    try:
        return _decode_params(raw)
    except msgspec.ValidationError as error:
        raise InvalidParams(f"Invalid params: {error}") from None


def decode_cancelled(raw: Raw) -> int | str | None:
    """The id of the request to cancel. An invalid notification is fire and forget: None."""
    try:
        return _decode_cancelled(raw).request_id
    except msgspec.ValidationError:
        return None


def check_meta(params: Params) -> str:
    """The version that the ``_meta`` of a request without handshake names (2026-07-28, basic).

    Raises InvalidParams for what ``_meta`` lacks.
    """
    meta = params.meta
    if meta is None or meta.protocol_version is None:
        raise InvalidParams("Invalid params: _meta needs io.modelcontextprotocol/protocolVersion")
    if meta.client_capabilities is None:
        raise InvalidParams("Invalid params: _meta needs io.modelcontextprotocol/clientCapabilities")
    if meta.log_level is not None and meta.log_level not in LOG_LEVELS:
        raise InvalidParams(f"Invalid params: the log level {meta.log_level!r} is none of {', '.join(LOG_LEVELS)}")
    return meta.protocol_version


def modern_era(version: str | None) -> Era:
    """The revision that a request without handshake names. Raises McpError (-32022) for one that is not served."""
    spoken = era(version)
    if spoken is None or spoken.handshake:
        raise McpError(
            f"Unsupported protocol version {version!r}",
            code=UNSUPPORTED_VERSION,
            data={"supported": MODERN_VERSIONS, "requested": version},
        )
    return spoken


def check_method(method: str, spoken: Era, extensions: Container[str]) -> None:
    """Raises MethodNotFound unless the revision, or an extension of the server, has the request."""
    if method not in REQUESTS[spoken] and method not in extensions:
        raise MethodNotFound(f"Method not found: {method}")


def new_record(id: str = "", version: str = LATEST_HANDSHAKE.version) -> SessionRecord:
    """A session before its handshake."""
    return SessionRecord(id=id, version=version, capabilities=ClientCapabilities(), state="new")


def initialize(record: SessionRecord, raw: Raw) -> Era:
    """Shake hands: the record learns of the client, and of the version both speak (2025-11-25, Lifecycle).

    That is the version asked for if it has a handshake, else the newest that has. Raises InvalidRequest for a
    session that was initialized before, InvalidParams.
    """
    state = advance(record.state, "initialize")
    if len(memoryview(raw)) > MAX_INITIALIZE:
        raise InvalidParams(f"Invalid params: those of initialize have at most {MAX_INITIALIZE} bytes")
    try:
        asked = _decode_initialize(raw)
    except msgspec.ValidationError as error:
        raise InvalidParams(f"Invalid params: {error}") from None
    named = era(asked.protocol_version)
    spoken = named if named is not None and named.handshake else LATEST_HANDSHAKE
    record.version, record.client_info, record.capabilities = spoken.version, asked.client_info, asked.capabilities
    record.state = state
    return spoken
