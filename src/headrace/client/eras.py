"""How a connection begins: which revision is spoken.

2026-07-28, Versioning and Streamable HTTP, Backward Compatibility: ask with ``server/discover`` first. An answer, or
an error that only a server of this era knows, settles it; anything else is a server with a handshake. Over HTTP that
is remembered for a while, so that the next connection does not ask in vain (2026-07-28, Versioning).
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Literal, get_args

import msgspec

from ..exceptions import ClientError, McpError
from ..protocol.errors import HEADER_MISMATCH, MISSING_CLIENT_CAPABILITY, UNSUPPORTED_VERSION
from ..protocol.jsonrpc import Response
from ..protocol.results import SERVER_INFO
from ..protocol.types import DiscoverResult, Implementation, InitializeRequestParams, InitializeResult
from ..protocol.versions import ERAS, HANDSHAKE_VERSIONS, LATEST, LATEST_HANDSHAKE, MODERN_VERSIONS, Era, era
from .connection import Connection
from .errors import error_of
from .patience import limit_of
from .transports.base import Refused

__all__ = ["Mode", "begin", "forget_servers"]

Mode = Literal["auto", "modern", "legacy"]

_BEGIN_SECONDS = 30.0
_NOT_A_VERDICT = (401, 403, 407, 408, 429)
"""Refusals that say nothing of the revision."""
_REMEMBERED = 1000
_REMEMBER_SECONDS = 3600.0
"""A server may learn a newer revision."""
_known: dict[str, tuple[Era, float]] = {}
"""The URL of a server that needs a handshake, without its query: the revision to begin with, until when. An origin may
have several servers."""
_decode_discover = msgspec.json.Decoder(DiscoverResult).decode
_decode_initialize = msgspec.json.Decoder(InitializeResult).decode


class _Supported(msgspec.Struct):
    supported: list[str]


async def begin(connection: Connection, mode: str, version: str | None, timeout: float | None) -> None:
    """Agree on a revision. `version` allows only that one; it may stand for the mode, too.

    Raises ClientError where there is none, or the server can't be reached.
    """
    if mode in ERAS and version is None:
        version = mode
    elif mode not in get_args(Mode):
        raise ClientError(f"Unknown mode {mode!r}: one of {', '.join((*get_args(Mode), *ERAS))}")
    wanted = era(version) if version is not None else None
    if version is not None and wanted is None:
        raise ClientError(f"Unknown protocol version {version!r}: known are {', '.join(ERAS)}")
    if wanted is not None:
        mode = "legacy" if wanted.handshake else "modern"
    seconds = _BEGIN_SECONDS if timeout is None else timeout
    try:
        async with limit_of(seconds):
            if mode == "legacy":
                await _initialize(connection, wanted or LATEST_HANDSHAKE)
            elif not (mode == "auto" and await _begun_as_before(connection)):
                await _probe(connection, mode, wanted)
    except TimeoutError:
        raise ClientError(f"{connection.transport.name} did not answer within {seconds:g} seconds") from None


def forget_servers() -> None:
    """Ask every server anew what it speaks."""
    _known.clear()


async def _begun_as_before(connection: Connection) -> bool:
    """A handshake, where the server needed one before. False where it is unknown, or no longer so."""
    name = connection.transport.name
    fallback, until = _known.get(name, (LATEST, 0.0))
    if time.monotonic() >= until:
        return False
    try:
        await _initialize(connection, fallback)
    except (McpError, Refused) as error:
        if isinstance(error, Refused) and not _is_verdict(error):
            raise
        _known.pop(name, None)
        return False
    return True


async def _probe(connection: Connection, mode: str, wanted: Era | None) -> None:
    fallback = await _discover(connection, wanted or LATEST, pinned=wanted is not None)
    if fallback is None:
        return
    transport = connection.transport
    if mode == "modern":
        raise ClientError(f"{transport.name} needs a handshake (initialize): connect with mode='auto' or 'legacy'")
    await _initialize(connection, fallback)
    if transport.mirrors_headers:  # over HTTP; the process of a server is a new one each time
        _known.pop(transport.name, None)
        _known[transport.name] = fallback, time.monotonic() + _REMEMBER_SECONDS
        if len(_known) > _REMEMBERED:
            del _known[next(iter(_known))]


def _is_verdict(refused: Refused) -> bool:
    return 400 <= refused.status < 500 and refused.status not in _NOT_A_VERDICT


async def _discover(connection: Connection, wanted: Era, *, pinned: bool) -> Era | None:
    """None: agreed. Else the revision to begin a handshake with."""
    tried: list[str] = []
    while True:
        connection.speak(wanted)
        tried.append(wanted.version)
        try:
            response = await connection.exchange("server/discover", {"_meta": connection.request_meta})
        except Refused as refused:
            if _is_verdict(refused):
                return LATEST_HANDSHAKE
            raise
        if response.error is None:
            found = _discovered(response)
            if found is None:
                return LATEST_HANDSHAKE  # a server that answers everything, but does not know what was asked
            supported = found.supported_versions
            if wanted.version in supported:
                _adopt(connection, found)
                return None
        else:
            code = response.error.code
            if code in (HEADER_MISMATCH, MISSING_CLIENT_CAPABILITY):
                raise error_of(response)  # only a server of this era knows these
            if code != UNSUPPORTED_VERSION:
                return LATEST_HANDSHAKE
            supported = _named(response)
            if supported is None:
                return LATEST_HANDSHAKE
        # Also what was refused, once more, where the server says now that it has it.
        allowed = [wanted.version] if pinned else MODERN_VERSIONS
        mutual = [name for name in allowed if name in supported and tried.count(name) < 2]
        if not mutual:
            handshake = [name for name in HANDSHAKE_VERSIONS if name in supported]
            if pinned or not handshake:
                raise ClientError(
                    f"{connection.transport.name} speaks {', '.join(supported) or 'no revision'}, "
                    f"this client {wanted.version if pinned else ', '.join(ERAS)}"
                )
            return ERAS[handshake[0]]
        wanted = ERAS[min(mutual, key=tried.count)]


def _named(response: Response) -> list[str] | None:
    """The versions that an error names."""
    data: Any = response.error.data if response.error is not None else None
    try:
        return msgspec.convert(data, _Supported).supported
    except msgspec.ValidationError:
        return None


def _discovered(response: Response) -> DiscoverResult | None:
    try:
        return _decode_discover(response.result)
    except msgspec.ValidationError:
        return None


def _adopt(connection: Connection, found: DiscoverResult) -> None:
    connection.server_capabilities = found.capabilities
    connection.instructions = found.instructions
    try:
        connection.server_info = msgspec.convert((found.meta or {}).get(SERVER_INFO), Implementation)
    except msgspec.ValidationError:
        connection.server_info = None  # optional, and only for display


async def _initialize(connection: Connection, wanted: Era) -> None:
    connection.speak(wanted)
    asked = InitializeRequestParams(
        protocol_version=wanted.version,
        capabilities=connection.capabilities(wanted),
        client_info=connection.client_info,
    )
    response = await connection.exchange("initialize", msgspec.to_builtins(asked))
    name = connection.transport.name
    if response.error is not None:
        named = _named(response)
        if named is not None:
            raise ClientError(f"{name} speaks {', '.join(named)}: {response.error.message}") from error_of(response)
        raise error_of(response)
    try:
        result = _decode_initialize(response.result)
    except msgspec.ValidationError as error:
        raise ClientError(f"{name} answered initialize with what does not fit: {error}") from None
    agreed = era(result.protocol_version)
    if agreed is None or not agreed.handshake:
        raise ClientError(f"{name} offers the unknown revision {result.protocol_version!r}")
    connection.speak(agreed)
    connection.transport.agree(agreed)
    connection.initialize_result = result
    connection.server_info = result.server_info
    connection.server_capabilities = result.capabilities
    connection.instructions = result.instructions
    connection.session.begin = partial(_initialize_again, connection, agreed)
    await connection.notify("notifications/initialized")
    await connection.transport.listen()


async def _initialize_again(connection: Connection, agreed: Era) -> None:
    try:
        async with limit_of(_BEGIN_SECONDS):
            await _initialize(connection, agreed)
    except TimeoutError:
        raise ClientError(f"{connection.transport.name} did not begin a new session") from None
