"""Clients whose id is the URL of a document about them (draft-ietf-oauth-client-id-metadata-document; CIMD).

Whoever asks for a login names the URL, so the fetch is guarded: public https only, 5 KiB, no redirects, few at once,
few for one host. (2026-07-28, authorization, Client ID Metadata Documents)
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial
from ssl import SSLContext
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import msgspec

from ....exceptions import FetchError, ParseError
from ....protocol.json_bounds import check_text
from ....transports.http.fetch import Fetched, NotPublic, Resolve, fetch, resolve_name
from .contract import OAuthClientInformationFull, RegistrationError
from .redirects import parse_uri
from .registration import check_metadata, decode_metadata

__all__ = ["ClientDocuments", "is_document_id", "network"]

network: ContextVar[str] = ContextVar("network", default="")
"""Where the request comes from that a document is fetched for."""

_MAX_BYTES = 5 * 1024
_SECONDS = 5.0
_MAX_KEY_BYTES = 64 * 1024
_KEYS_KEPT = (60.0, 300.0, 300.0)
_KEPT = (60.0, 3600.0, 24 * 3600.0)
"""How long a document is believed, in seconds: at least, where it does not say, at most."""
_MAX_KEPT = 1000
_AT_ONCE = 32
_AT_ONCE_FOR_HOST = 4
_LOOKUPS = 8
_PER_MINUTE = 300
_PER_MINUTE_FOR_HOST = 30
_PER_MINUTE_FOR_NETWORK = 60
"""Fetches, not clients: who is kept needs none."""
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age\s*=\s*\"?([0-9]{1,9})", re.IGNORECASE)
_JSON = re.compile(r"application/(?:[a-z0-9.-]+\+)?json(?:\s*;|$)", re.IGNORECASE)
_NOT_KEPT = re.compile(r"(?:^|[\s,])(?:no-store|no-cache)", re.IGNORECASE)

_T = TypeVar("_T")


def is_document_id(client_id: str) -> bool:
    """Whether a client id means a document, good or not; ids that this server gave never do."""
    return client_id.startswith("https://")


class ClientDocuments:
    """Fetches and keeps them, and the keys of clients that sign, wherever these say they are.

    `hosts`: only these serve documents (None: any public one). `clock` in seconds.
    """

    def __init__(
        self,
        *,
        hosts: Collection[str] | None = None,
        grant_types: Collection[str] = ("authorization_code", "refresh_token"),
        allow_private: bool = False,
        resolve: Resolve | None = None,
        tls: SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hosts = None if hosts is None else {each.lower() for each in hosts}
        self._grant_types = grant_types
        if resolve is None:
            resolve = partial(resolve_name, threads=ThreadPoolExecutor(_LOOKUPS, "headrace-lookup"))
        how = partial(fetch, timeout=_SECONDS, allow_private=allow_private, resolve=resolve, tls=tls)
        self._documents = _Fetches(self._read, partial(how, max_bytes=_MAX_BYTES), _KEPT, clock)
        self._keys = _Fetches(_read_keys, partial(how, max_bytes=_MAX_KEY_BYTES), _KEYS_KEPT, clock)

    async def get(self, client_id: str) -> OAuthClientInformationFull:
        """The client of this document. Raises RegistrationError: ``invalid_client``, or ``temporarily_unavailable``."""
        try:
            parts = parse_uri(client_id)
        except RegistrationError as error:
            raise _refused(f"{error}".replace("redirect URI", "client id")) from None
        # The rules for redirect URIs make it a plain URL; the draft asks for a path besides (3).
        if parts.scheme != "https" or parts.host is None or parts.path in ("", "/"):
            raise _refused("The client id is no https URL of a document")
        if self._hosts is not None and parts.host.lower() not in self._hosts:
            raise _refused(f"This server does not take clients of {parts.host.lower()}")
        return await self._documents.get(client_id)

    async def keys(self, jwks_uri: str) -> Mapping[str, Any]:
        """The JWK set at a client's `jwks_uri`, kept for some minutes. Raises RegistrationError as `get` does."""
        return await self._keys.get(jwks_uri)

    def _read(self, client_id: str, answer: Fetched) -> OAuthClientInformationFull:
        if not _JSON.match(answer.headers.get("content-type", "")):
            raise _refused("it is not sent as application/json")
        client = decode_metadata(answer.body)
        if client.client_id != client_id:
            raise _refused("its client_id is not its URL")
        if client.client_secret is not None or client.client_secret_expires_at is not None:
            raise _refused("it has a client_secret, which everybody can read")
        client.token_endpoint_auth_method = client.token_endpoint_auth_method or "none"
        check_metadata(client, grant_types=self._grant_types, auth_methods=("none", "private_key_jwt"))
        if not client.client_name:
            raise _refused("it has no client_name")
        return client


def _read_keys(_: str, answer: Fetched) -> Mapping[str, Any]:
    try:
        check_text(answer.body)
        return msgspec.json.decode(answer.body, type=dict[str, Any])
    except (ParseError, msgspec.DecodeError):
        raise _refused("it is no JWK set") from None


class _Fetches(Generic[_T]):
    """Documents of one kind: each is fetched once for all who wait, and kept. `read` raises RegistrationError."""

    def __init__(
        self,
        read: Callable[[str, Fetched], _T],
        fetch: Callable[[str], Awaitable[Fetched]],
        kept: tuple[float, float, float],
        clock: Callable[[], float],
    ) -> None:
        self._read = read
        self._fetch = fetch
        self._seconds = kept
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, _T]] = OrderedDict()
        self._running: dict[str, asyncio.Task[_T | RegistrationError]] = {}
        self._times: OrderedDict[str, deque[float]] = OrderedDict()
        """When a host was asked, or for a network; "" stands for all."""

    async def get(self, url: str) -> _T:
        found = self._kept.get(url)
        if found is not None and self._clock() < found[0]:
            self._kept.move_to_end(url)
            return found[1]
        task = self._running.get(url)
        if task is None:
            self._admit(_host_of(url))
            task = self._running[url] = asyncio.create_task(self._fetched(url))
            task.add_done_callback(lambda _: self._running.pop(url, None))
        # One who stops waiting leaves the fetch to the others.
        result = await asyncio.shield(task)
        if isinstance(result, RegistrationError):
            raise RegistrationError(result.error, result.error_description)
        return result

    def _admit(self, host: str) -> None:
        """So that nobody makes this server flood another: errors are not kept (the draft, 4.4), and count here."""
        now = self._clock()
        at_host = sum(_host_of(each) == host for each in self._running)
        full = len(self._running) >= _AT_ONCE or at_host >= _AT_ONCE_FOR_HOST
        most = {network.get(): _PER_MINUTE_FOR_NETWORK, host: _PER_MINUTE_FOR_HOST, "": _PER_MINUTE}
        asked = {each: self._times.get(each, deque()) for each in most}
        for each, times in asked.items():
            while times and times[0] <= now - 60:
                times.popleft()
            full = full or len(times) >= most[each]
        if full:
            raise RegistrationError(
                "temporarily_unavailable", "Too many clients' documents were asked for: wait a minute"
            )
        for each, times in asked.items():
            times.append(now)
            self._times[each] = times
            self._times.move_to_end(each)
        while len(self._times) > _MAX_KEPT:
            self._times.popitem(last=False)

    async def _fetched(self, url: str) -> _T | RegistrationError:
        try:
            answer = await self._fetch(url)
            if answer.status == 429 or answer.status >= 500:
                raise FetchError(f"the answer is {answer.status}")
            if answer.status != 200:
                raise _refused(f"the answer is {answer.status}")
            document = self._read(url, answer)
        except NotPublic as error:
            return _refused(f"The client's document can't be read: {error}")
        except FetchError as error:  # a client must not throw its login away because of it
            return RegistrationError("temporarily_unavailable", f"The client's document can't be read now: {error}")
        except RegistrationError as error:
            return _refused(f"The client's document can't be used: {error}")
        self._kept[url] = (self._clock() + self._seconds_kept(answer), document)
        self._kept.move_to_end(url)
        while len(self._kept) > _MAX_KEPT:
            self._kept.popitem(last=False)
        return document

    def _seconds_kept(self, answer: Fetched) -> float:
        least, default, most = self._seconds
        control = answer.headers.get("cache-control", "")
        if _NOT_KEPT.search(control):
            return least
        match = _MAX_AGE.search(control)
        return default if match is None else min(max(float(match[1]), least), most)


def _host_of(url: str) -> str:
    return (urlsplit(url).hostname or "").lower()


def _refused(why: str) -> RegistrationError:
    return RegistrationError("invalid_client", why)
