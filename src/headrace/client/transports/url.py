"""A server of which only the URL is known: Streamable HTTP, or else HTTP+SSE.

2025-11-25, basic, transports, Backwards Compatibility: where ``initialize`` is refused with 400, 404 or 405, a GET is
tried that opens a stream and names an endpoint. An error that only a server of 2026-07-28 knows is no such refusal
(2026-07-28, Streamable HTTP, Backward Compatibility).
"""

from __future__ import annotations

from collections.abc import Mapping

import httpx2

from ...exceptions import ClientError, MethodNotFound
from ...protocol.errors import HEADER_MISMATCH, MISSING_CLIENT_CAPABILITY, UNSUPPORTED_VERSION
from ...protocol.jsonrpc import Response
from ...protocol.versions import Era
from .base import Hear, MakeHttp, Outgoing, Refused
from .http import StreamableHttpTransport
from .sse import SSETransport
from .wire import Auth

__all__ = ["UrlTransport"]

_OLDER = (400, 404, 405)
_NEWER = (HEADER_MISMATCH, MISSING_CLIENT_CAPABILITY, UNSUPPORTED_VERSION, MethodNotFound.code)


class UrlTransport(StreamableHttpTransport):
    """Streamable HTTP until the handshake shows that the server speaks HTTP+SSE."""

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        auth: Auth | None = None,
        http_client: MakeHttp | None = None,
    ) -> None:
        super().__init__(url, headers=headers, auth=auth, http_client=http_client)
        login = self._wire.credentials or auth
        self._make_older = lambda: SSETransport(url, headers=headers, auth=login, http_client=http_client)
        self._older: SSETransport | None = None
        self._status = 0
        """Of the answer to the handshake."""

    async def close(self) -> None:
        await self._close_older()
        await super().close()

    async def request(self, outgoing: Outgoing, hear: Hear) -> Response:
        if self._older is not None:
            return await self._older.request(outgoing, hear)
        if outgoing.method != "initialize":
            return await super().request(outgoing, hear)
        try:
            response = await super().request(outgoing, hear)
        except Refused as refused:
            if refused.status not in _OLDER:
                raise
            return await self._fall_back(outgoing, hear, refused)
        if self._status not in _OLDER or response.error is None or response.error.code in _NEWER:
            return response
        try:
            return await self._fall_back(outgoing, hear, Refused(response.error.message, self._status))
        except Refused:
            return response

    async def send(self, body: bytes) -> None:
        if self._older is not None:
            await self._older.send(body)
        else:
            await super().send(body)

    def agree(self, era: Era) -> None:
        if self._older is not None:
            self._older.agree(era)
        else:
            super().agree(era)

    async def listen(self) -> None:
        if self._older is None:
            await super().listen()

    def _initialized(self, response: httpx2.Response) -> None:
        self._status = response.status_code
        super()._initialized(response)

    async def _fall_back(self, outgoing: Outgoing, hear: Hear, refused: Refused) -> Response:
        """The answer over HTTP+SSE. Raises `refused` where the server does not speak that either."""
        assert self._hear is not None
        self._older = self._make_older()
        await self._older.open(self._hear)
        try:
            return await self._older.request(outgoing, hear)
        except BaseException as error:
            await self._close_older()
            if isinstance(error, Refused):
                raise refused from error
            if isinstance(error, ClientError):
                raise Refused(f"{refused}; over HTTP+SSE: {error}", refused.status) from error
            raise

    async def _close_older(self) -> None:
        older, self._older = self._older, None
        if older is not None:
            await older.close()
