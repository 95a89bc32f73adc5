"""The requests of a login: small, bounded, without redirects to elsewhere.

URLs come from the server, so a server on the internet can't send its clients into a private network; one that is in a
private network itself may (2026-07-28, security best practices, Server-Side Request Forgery). Where the user brings an
HTTP client, for a proxy or a certificate, that one is used and decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlencode

import httpx2
import msgspec

from ...exceptions import FetchError
from ...transports.http.fetch import Fetched, fetch, is_public, resolve_name
from ..transports.base import MakeHttp
from .documents import LoginError, checked_url, origin_of

__all__ = ["Web"]

_MAX_BYTES = 256 * 1024
_SECONDS = 30.0
_MAX_REDIRECTS = 3
_FORM = "application/x-www-form-urlencoded"


class Web:
    """`server` is the MCP server's URL. `allow_private` None: as it is with the server itself."""

    def __init__(self, server: httpx2.URL, make: MakeHttp | None, allow_private: bool | None) -> None:
        self._server = server
        self._make = make
        self._allow_private = allow_private

    async def get(self, url: str, what: str) -> Fetched:
        """Raises LoginError where nothing came back; any status is an answer."""
        target = checked_url(url, what)
        for _ in range(_MAX_REDIRECTS):
            answer = await self._exchange("GET", target, what)
            location = answer.headers.get("location")
            if answer.status not in (301, 302, 303, 307, 308) or location is None:
                return answer
            moved = checked_url(str(target.join(location)), what)
            if origin_of(moved) != origin_of(target):
                raise LoginError(f"{what} redirects to another origin, {origin_of(moved)}: not followed")
            target = moved
        raise LoginError(f"{what} redirects in circles")

    async def post_form(self, url: str, form: Mapping[str, str], headers: Mapping[str, str], what: str) -> Fetched:
        body = urlencode(form).encode()
        return await self._exchange("POST", checked_url(url, what), what, {**headers, "content-type": _FORM}, body)

    async def post_json(self, url: str, document: Mapping[str, object], what: str) -> Fetched:
        headers = {"content-type": "application/json"}
        return await self._exchange("POST", checked_url(url, what), what, headers, msgspec.json.encode(document))

    async def _exchange(
        self,
        method: str,
        url: httpx2.URL,
        what: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Fetched:
        every = {"accept": "application/json", **(headers or {})}
        try:
            if self._make is not None:
                return await self._through(self._make, method, url, every, body)
            return await fetch(
                str(url),
                method=method,
                content=body,
                headers=every,
                max_bytes=_MAX_BYTES,
                timeout=_SECONDS,
                allow_private=await self._may_be_private(),
            )
        except FetchError as error:
            raise LoginError(f"{what}: {error}") from None

    async def _through(
        self, make: MakeHttp, method: str, url: httpx2.URL, headers: Mapping[str, str], body: bytes | None
    ) -> Fetched:
        try:
            async with asyncio.timeout(_SECONDS), make() as http:
                request = http.build_request(method, url, headers=dict(headers), content=body)
                response = await http.send(request, stream=True, follow_redirects=False, auth=None)
                received = bytearray()
                try:
                    async for chunk in response.aiter_bytes():
                        received += chunk
                        if len(received) > _MAX_BYTES:
                            raise FetchError(f"{origin_of(url)} answered with more than {_MAX_BYTES} bytes")
                finally:
                    await response.aclose()
                return Fetched(response.status_code, dict(response.headers), bytes(received))
        except httpx2.HTTPError as error:
            raise FetchError(f"{origin_of(url)} can't be fetched: {error or type(error).__name__}") from None
        except TimeoutError:
            raise FetchError(f"{origin_of(url)} did not answer within {_SECONDS:g} seconds") from None

    async def _may_be_private(self) -> bool:
        if self._allow_private is None:
            host = self._server.host
            try:
                addresses = await resolve_name(host, self._server.port or 443)
            except OSError as error:
                raise FetchError(f"The host {host} can't be found: {error}") from None
            self._allow_private = not all(is_public(ip_address(each)) for each in addresses)
        return self._allow_private
