"""The requests of a login: small, bounded, without redirects to elsewhere.

URLs come from the server, so they don't lead into a private network, unless the user says so or has named a server
there (2026-07-28, security best practices, Server-Side Request Forgery). Where the user brings an HTTP client, for a
proxy or a certificate, that one connects, without its own headers and cookies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlencode

import httpx2
import msgspec

from ...exceptions import FetchError
from ...transports.http.fetch import Fetched, NotPublic, fetch, is_public
from ..transports.base import MakeHttp
from .documents import LoginError, checked_url, origin_of

__all__ = ["Web"]

_MAX_BYTES = 256 * 1024
_SECONDS = 30.0
_MAX_REDIRECTS = 3
_LOCAL = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
"""Endings of names that are never public (RFC 6761, 6762, 8375; ICANN's .internal)."""
_FORM = "application/x-www-form-urlencoded"


class Web:
    """`server` is the MCP server's URL. `allow_private` None: only if its host can't be on the internet."""

    def __init__(self, server: httpx2.URL, make: MakeHttp | None, allow_private: bool | None) -> None:
        self._make = make
        # By name: what a name resolves to is its owner's choice, at any time.
        self._allow_private = _is_local(server.host) if allow_private is None else allow_private

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
                allow_private=self._allow_private,
            )
        except NotPublic as error:
            raise LoginError(f"{what}: {error} (allow_private=True allows those of your own networks)") from None
        except FetchError as error:
            raise LoginError(f"{what}: {error}") from None

    async def _through(
        self, make: MakeHttp, method: str, url: httpx2.URL, headers: Mapping[str, str], body: bytes | None
    ) -> Fetched:
        try:
            async with asyncio.timeout(_SECONDS), make() as http:
                request = httpx2.Request(method, url, headers=dict(headers), content=body)
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


def _is_local(host: str) -> bool:
    """Whether the host is this machine, an address that is not public, or a name of a private network."""
    try:
        return not is_public(ip_address(host.strip("[]")))
    except ValueError:
        return "." not in host or host.endswith(_LOCAL)
