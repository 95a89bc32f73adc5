"""HTTP as both transports of HTTP need it: requests to one server, bodies with a limit, errors in one line.

Credentials and sessions go to the server's origin alone: a redirect is followed only there, and only once.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Any
from urllib.request import getproxies

import httpx2

from ...exceptions import ClientError, McpError
from ...protocol.jsonrpc import Response, decode
from ..auth.challenge import challenge_in
from ..auth.documents import bearer_text, one_line, origin_of
from .base import Credentials, Lost, MakeHttp, Refused
from .http1 import Http1
from .repeating import retry_after
from .sse_parser import MAX_EVENT_BYTES

__all__ = ["GET", "POST", "Auth", "HttpWire", "chunks_of", "is_stream", "media_of"]

Auth = str | Credentials | httpx2.Auth
"""A bearer token, "oauth" for a login of the user, or what signs requests."""

_TIMEOUT = httpx2.Timeout(None, connect=15.0, write=60.0)
_LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=30.0)
# Compressed bodies would hide their size from the limits.
_HEADERS = {"accept-encoding": "identity", "user-agent": "headrace"}
POST = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
GET = {"accept": "text/event-stream", "cache-control": "no-store"}
_MAX_SAID = 300
_UNSENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


class HttpWire:
    """`headers` go with every request."""

    def __init__(
        self, url: str, headers: Mapping[str, str] | None, auth: Auth | None, http_client: MakeHttp | None
    ) -> None:
        try:
            self.url = httpx2.URL(url)
        except httpx2.InvalidURL as error:
            raise ClientError(f"Can't connect to {url!r}: {error}") from None
        if self.url.scheme not in ("http", "https") or not self.url.host:
            raise ClientError(f"Can't connect to {url!r}: a URL begins with http:// or https:// and a host")
        self._headers = {**_HEADERS, **{name.lower(): value for name, value in (headers or {}).items()}}
        if auth == "oauth":
            from ..auth.oauth import OAuth  # only who logs in pays for it

            auth = OAuth()
        if isinstance(auth, str):
            self._headers["authorization"] = f"Bearer {bearer_text(auth)}"
        self._auth = auth if isinstance(auth, httpx2.Auth) else None
        self.credentials = None if auth is None or isinstance(auth, str | httpx2.Auth) else auth
        if self.credentials is not None:
            if not callable(getattr(self.credentials, "bind", None)):
                raise ClientError(f"auth is a bearer token, 'oauth', or a login, not {type(auth).__name__}")
            self.credentials.bind(url, http_client)
        self._make = http_client
        self._http: httpx2.AsyncClient | None = None
        self._direct: Http1 | None = None
        """Instead of httpx2's client, where nothing is asked for that only it can do."""
        self._cookies = httpx2.Cookies()

    @property
    def name(self) -> str:
        """The URL without what may be secret in it."""
        return f"{origin_of(self.url)}{self.url.path}"

    @property
    def extensions(self) -> dict[str, Any]:
        """Those of MCP that the login is one of, as a client declares them."""
        name = getattr(self.credentials, "extension", None)
        return {name: {}} if name else {}

    def on_login(self, call: Callable[[], None]) -> None:
        if self.credentials is not None:
            self.credentials.on_login(call)

    @property
    def is_open(self) -> bool:
        return self._http is not None or self._direct is not None

    def open(self) -> None:
        if self._make is not None:
            self._http = self._make()
        elif self._auth is not None or self.url.userinfo or getproxies().keys() & {"http", "https", "all"}:
            self._http = _make_client()
        else:
            self._direct = Http1(_trust())

    async def close(self) -> None:
        http, self._http = self._http, None
        direct, self._direct = self._direct, None
        for opened in (http, direct):
            if opened is not None:
                await opened.aclose()

    @asynccontextmanager
    async def exchange(
        self, method: str, headers: Mapping[str, str], body: bytes | None = None, url: httpx2.URL | None = None
    ) -> AsyncGenerator[httpx2.Response, None]:
        """One HTTP request with its response open, whose extension "sent" is `headers`; `url` where it is another than
        the server's.

        Raises ClientError, and httpx2.TransportError for `lost`.
        """
        response = await self._sent(method, url or self.url, headers, body)
        try:
            if response.status_code in (307, 308) and "location" in response.headers:
                await response.aclose()
                target = self.same_origin(response.headers["location"], url or self.url, "redirects to", upgrade=True)
                if url is None:
                    self.url = target
                response = await self._sent(method, target, headers, body)
            response.extensions["sent"] = headers
            yield response
        except httpx2.DecodingError as error:  # compressed, though nobody asked for it
            raise ClientError(f"{self.name} sent what can't be decompressed: {error}") from error
        finally:
            await response.aclose()

    async def _sent(
        self, method: str, url: httpx2.URL, headers: Mapping[str, str], body: bytes | None
    ) -> httpx2.Response:
        if self.credentials is None:
            return await self._sent_once(method, url, headers, body)
        return await self.credentials.send(
            method, str(url), lambda signed: self._sent_once(method, url, {**headers, **signed}, body)
        )

    async def _sent_once(
        self, method: str, url: httpx2.URL, headers: Mapping[str, str], body: bytes | None
    ) -> httpx2.Response:
        if not self.is_open:
            raise ClientError(f"Not connected to {self.name}: use the client in `async with client:`")
        try:
            if self._direct is not None:
                return await self._sent_directly(self._direct, method, url, headers, body)
            assert self._http is not None
            request = self._http.build_request(method, url, headers={**self._headers, **headers}, content=body)
            if self._auth is None and self.credentials is None:  # then the user's client may have its own
                return await self._http.send(request, stream=True, follow_redirects=False)
            return await self._http.send(request, stream=True, follow_redirects=False, auth=self._auth)
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise ClientError(f"Can't send to {self.name}: {error}") from error
        except (httpx2.LocalProtocolError, UnicodeEncodeError):  # which show what may be secret
            raise ClientError(f"Can't send to {self.name}: a header has characters that HTTP does not allow") from None

    async def _sent_directly(
        self, direct: Http1, method: str, url: httpx2.URL, headers: Mapping[str, str], body: bytes | None
    ) -> httpx2.Response:
        fields = {**self._headers, **headers}
        if self._cookies and "cookie" not in fields:
            request = httpx2.Request(method, url)
            self._cookies.set_cookie_header(request)
            if "cookie" in request.headers:
                fields["cookie"] = request.headers["cookie"]
        response = await direct.ask(method, url, fields, body)
        if "set-cookie" in response.headers:
            response.request = httpx2.Request(method, url)
            self._cookies.extract_cookies(response)
        return response

    def same_origin(self, location: str, base: httpx2.URL, what: str, *, upgrade: bool = False) -> httpx2.URL:
        """A URL that the server gives. Raises ClientError for another origin; `upgrade` allows https for http."""
        try:
            target = base.join(location)
        except httpx2.InvalidURL:
            raise ClientError(f"{self.name} {what} something that is no URL") from None
        upgraded = upgrade and base.scheme == "http" and target.scheme == "https"
        same_port = target.port == base.port or (upgraded and target.port is None)
        if target.host != base.host or not same_port or not (upgraded or target.scheme == base.scheme):
            raise ClientError(f"{self.name} {what} another origin, {target.scheme}://{target.host}: not followed")
        return target

    async def text(self, response: httpx2.Response) -> bytes:
        """The whole body. Raises ClientError past the limit."""
        body = bytearray()
        async for chunk in chunks_of(response):
            body += chunk
            if len(body) > MAX_EVENT_BYTES:
                raise ClientError(f"{self.name} sent more than {MAX_EVENT_BYTES} bytes")
        return bytes(body)

    def refusal(self, response: httpx2.Response, body: bytes) -> Refused:
        status = response.status_code
        try:
            message = decode(body)
            said = message.error.message if isinstance(message, Response) and message.error else ""
        except McpError:
            said = body[:_MAX_SAID].decode(errors="replace") if media_of(response).startswith("text/plain") else ""
        if status in (401, 403) and not said:
            said = challenge_in(response.headers.get_list("www-authenticate")).description
        if status == 401:
            said = said or "credentials are needed, or these are not accepted"
        text = (
            f"{self.name} answered {status} {response.reason_phrase}{': ' if said else ''}{one_line(said, _MAX_SAID)}"
        )
        return Refused(text, status, retry_after(response.headers.get("retry-after")))

    def lost(self, error: httpx2.TransportError) -> Lost:
        text = f"The connection to {self.name} failed: {str(error) or type(error).__name__}"
        return Lost(text, sent=not isinstance(error, _UNSENT))


@cache
def _trust() -> ssl.SSLContext:
    """The certificates of this machine: to read them takes longer than to connect."""
    return httpx2.create_ssl_context()


def _make_client() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(verify=_trust(), timeout=_TIMEOUT, limits=_LIMITS, follow_redirects=False)


def chunks_of(response: httpx2.Response) -> AsyncIterator[bytes]:
    """The body as it comes; past httpx2's decoders where nothing is to be decoded."""
    if "content-encoding" in response.headers:
        return response.aiter_bytes()
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    return aiter(response.stream)


def media_of(response: httpx2.Response) -> str:
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()


def is_stream(response: httpx2.Response) -> bool:
    """Whether the server speaks in events."""
    return response.is_success and media_of(response) == "text/event-stream"
