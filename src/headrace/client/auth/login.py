"""What every way to a token has in common: requests are signed, a refusal leads to a login, the request goes again.

One login at a time, however many requests wait for it. A login is given up after a few attempts per request, so that
a server that is never content is not asked for ever (2026-07-28, Authorization, Step-Up Authorization Flow).
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import TypedDict

import httpx2
import msgspec

from ...exceptions import ClientError
from ..cancelling import unbroken
from ..patience import patient
from ..transports.base import MakeHttp, Send
from .challenge import Challenge, challenge_in
from .discovery import Site, canonical, discover
from .documents import LoginError, RegisteredClient, Tokens, checked_url, scopes_of
from .signing import ProofKey
from .storage import MemoryTokenStorage, TokenStorage
from .token_endpoint import Identity, Proofs, TokenEndpoint
from .web import Web

__all__ = ["Login", "LoginOptions"]

logger = logging.getLogger(__name__)

MAX_LOGINS = 2
"""Per request."""
_MAX_NONCES = 2
"""Per request, or login."""


class LoginOptions(TypedDict, total=False):
    """What every login takes.

    `scopes` are asked for from the start, beside those that the server names. `issuer` is the authorization server
    that the client is known to. `dpop` binds tokens to a key of this client (RFC 9449). `allow_private` lets a server
    on the internet name authorization servers in private networks.
    """

    scopes: str | Iterable[str] | None
    issuer: str | None
    token_storage: TokenStorage | None
    dpop: bool
    allow_private: bool | None


class Login(ABC):
    """The credentials of one server. Subclasses say how a token is had. `client` is one that the user registered."""

    extension: str | None = None
    """The one of MCP that servers are told of."""

    def __init__(
        self,
        client: RegisteredClient | None,
        *,
        scopes: str | Iterable[str] | None = None,
        issuer: str | None = None,
        token_storage: TokenStorage | None = None,
        dpop: bool = False,
        allow_private: bool | None = None,
    ) -> None:
        self._client = client
        self._scopes = scopes_of(scopes)
        self._issuer = issuer
        self._storage = token_storage or MemoryTokenStorage()
        self._dpop = dpop
        self._allow_private = allow_private
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock: asyncio.Lock
        self._url: httpx2.URL | None = None
        self._web: Web
        self._own_web: Web
        """For URLs that the user gave."""
        self._tokens: Tokens | None = None
        self._proofs: Proofs | None = None
        self._loaded = False
        self._failures = 0
        self._failure: LoginError | None = None
        """The last one, for those who waited for it."""
        self._vain: set[frozenset[str]] = set()
        """Scopes that a login did not bring."""
        self._listeners: list[Callable[[], Callable[[], None] | None]] = []

    @abstractmethod
    async def _identity(self, site: Site) -> Identity:
        """Who refreshes tokens. Raises LoginError where that can't be done any more."""

    @abstractmethod
    async def _grant(self, site: Site, scopes: Sequence[str]) -> Tokens:
        """New tokens, kept. Raises LoginError."""

    async def _client_refused(self, site: Site) -> None:
        """The authorization server does not know the client."""
        logger.warning("%s does not know the client", site.server.issuer)

    # What a transport asks for

    def bind(self, url: str, http_client: MakeHttp | None) -> None:
        """The server that the tokens are for. Raises ClientError for a second one, and for plain http elsewhere."""
        parsed = checked_url(url, "A server that is logged in to")
        if self._url is not None and canonical(self._url) != canonical(parsed):
            raise ClientError(f"This login is for {canonical(self._url)}: make another one for {canonical(parsed)}")
        self._url = parsed
        self._web = Web(parsed, http_client, self._allow_private)
        self._own_web = Web(parsed, http_client, True)

    def on_login(self, call: Callable[[], None]) -> None:
        """`call` is called when it may be another user. A method is forgotten with its object."""
        self._listeners.append(weakref.WeakMethod(call) if inspect.ismethod(call) else lambda: call)

    async def send(self, method: str, url: str, send: Send) -> httpx2.Response:
        """The answer to a request that is sent signed, and again after a login where it is refused for want of one.

        Raises LoginError where there is no login; a refusal that no login can help is given as it came.
        """
        logins = nonces = 0
        while True:
            tokens = await self._usable()
            response = await send(self._headers(method, url, tokens))
            if self._proofs is not None:
                self._proofs.hear(url, response.headers)
            if response.status_code not in (401, 403):
                return response
            challenge = challenge_in(response.headers.get_list("www-authenticate"))
            if challenge.error == "use_dpop_nonce":
                if nonces == _MAX_NONCES:
                    return response
                nonces += 1
                await response.aclose()
            # At the end of a session there is nothing to log in for.
            elif logins == MAX_LOGINS or method == "DELETE" or not self._may_help(response, challenge, tokens):
                return response
            else:
                logins, nonces = logins + 1, 0
                await response.aclose()
                async with self._one_login(tokens) as needed:
                    if needed:
                        await self._log_in(httpx2.URL(url), challenge, tokens, may_refresh=logins == 1)

    # Tokens

    def _headers(self, method: str, url: str, tokens: Tokens | None) -> dict[str, str]:
        if tokens is None:
            return {}
        if self._proofs is None:
            return {"authorization": f"Bearer {tokens.access_token}"}
        proof = self._proofs.header(method, url, tokens.access_token)
        return {"authorization": f"DPoP {tokens.access_token}", **proof}

    async def _usable(self) -> Tokens | None:
        """The tokens as they are, loaded and renewed where it is time."""
        if not self._loaded or _is_past(self._tokens, "renew_at"):
            async with self._one_login(self._tokens) as needed:
                if not self._loaded:
                    self._use(await self._kept())
                    self._loaded = True
                if needed and self._tokens is not None and _is_past(self._tokens, "renew_at"):
                    await self._renew(self._tokens)
        return self._tokens

    @asynccontextmanager
    async def _one_login(self, before: Tokens | None) -> AsyncGenerator[bool]:
        """Whether the tokens are still those from before. Who waited for a login that failed does not try again."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._lock = loop, asyncio.Lock()
        failures, lock = self._failures, self._lock
        with patient():  # who logs in may wait for a user
            await lock.acquire()
        try:
            if self._failure is not None and self._failures != failures:
                raise LoginError(str(self._failure), error=self._failure.error)
            try:
                yield self._tokens is before
            except LoginError as error:
                self._failures += 1
                self._failure = error
                raise
        finally:
            lock.release()

    async def _renew(self, tokens: Tokens) -> None:
        """Before a token ends. Without a refresh token the server's refusal begins the next login."""
        assert self._url is not None
        if tokens.refresh_token is None:
            return
        try:
            await self._refreshed(await self._discovered(self._url, Challenge()), tokens)
        except LoginError as error:
            if _is_past(tokens, "expires_at"):
                raise
            logger.debug("A token could not be renewed before its end: %s", error)

    def _may_help(self, response: httpx2.Response, challenge: Challenge, tokens: Tokens | None) -> bool:
        if response.status_code == 401:
            return True
        if challenge.error != "insufficient_scope" or frozenset(challenge.scopes) in self._vain:
            return False
        had = () if tokens is None else tokens.requested if tokens.granted is None else tokens.granted
        return not set(challenge.scopes) <= set(had)

    async def _log_in(
        self, url: httpx2.URL, challenge: Challenge, refused: Tokens | None, *, may_refresh: bool
    ) -> None:
        """New tokens: refreshed where that can help, else granted anew. `url` is what was refused."""
        stepping_up = challenge.error == "insufficient_scope"
        site = await self._discovered(url, challenge)
        if refused is not None and may_refresh and not stepping_up and await self._refreshed(site, refused):
            return
        before = refused.requested if refused is not None and refused.issuer == site.server.issuer else []
        wanted = challenge.scopes or self._scopes or (() if stepping_up else site.scopes_supported)
        tokens = await self._grant(site, scopes_of([*before, *self._scopes, *wanted]))
        if tokens.granted is not None and not set(challenge.scopes) <= set(tokens.granted):
            self._vain.add(frozenset(challenge.scopes))
        self._tell()

    async def _refreshed(self, site: Site, tokens: Tokens) -> bool:
        """Whether there are other tokens now. An issuer that the server has left is not asked."""
        async with getattr(self._storage, "exclusive", nullcontext)():
            if await self._taken_over(tokens):
                return True
            if tokens.refresh_token is None or site.server.issuer != tokens.issuer:
                return False
            grant = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token}
            try:
                identity = await self._identity(site)
                if identity.client.client_id != tokens.client_id:
                    return False
                endpoint = TokenEndpoint(self._web, site, identity, self._proofs)
                await self._obtained(endpoint, grant, tokens.requested, before=tokens)
            except LoginError as error:
                if not error.error:
                    raise  # the server is out of order, the refresh token may be good
                logger.info("The login at %s has ended: %s", tokens.issuer, error)
                if error.error == "invalid_client":
                    await self._client_refused(site)
                return await self._taken_over(tokens)
        return True

    async def _taken_over(self, tokens: Tokens) -> bool:
        """Whether another program that shares the storage has got new tokens."""
        kept = await self._kept()
        if kept is None or kept.access_token == tokens.access_token:
            return False
        self._use(kept)
        self._tell()
        return True

    async def _obtained(
        self, endpoint: TokenEndpoint, grant: Mapping[str, str], scopes: Sequence[str], before: Tokens | None = None
    ) -> Tokens:
        """New tokens, kept. A code or a refresh token is good for one answer: it is waited for, and not lost."""

        async def obtain() -> None:
            tokens = await endpoint.tokens(grant, scopes, before)
            self._use(tokens)
            await self._storage.put(self._key, msgspec.to_builtins(tokens))

        await unbroken(obtain())
        assert self._tokens is not None
        return self._tokens

    async def _discovered(self, url: httpx2.URL, challenge: Challenge) -> Site:
        """Where tokens come from now. Raises LoginError where that is not where the user's client is known."""
        bound = f"issuer:{self._client.client_id}" if self._client is not None else None
        if self._issuer is None and bound is not None:
            self._issuer = (await self._storage.get(bound) or {}).get("issuer")
        preferred = self._issuer or (self._tokens.issuer if self._tokens is not None else None)
        site = await discover(self._web, url, challenge, preferred)
        if self._client is not None and bound is not None and self._issuer != site.server.issuer:
            name, issuer = self._client.client_id, site.server.issuer
            if self._issuer is not None:
                raise LoginError(f"The client {name} belongs to {self._issuer}, but the server now uses {issuer}")
            # The first one that it is used with.
            self._issuer = issuer
            await self._storage.put(bound, {"issuer": issuer})
        return site

    def _proofs_for(self, site: Site) -> Proofs | None:
        """The proofs of the next tokens. Raises LoginError where the server can't bind tokens to keys."""
        if not self._dpop:
            return None
        algorithms = site.server.dpop_signing_alg_values_supported
        if algorithms is not None and ProofKey.algorithm not in algorithms:
            raise LoginError(f"{site.server.issuer} takes no DPoP proofs signed with {ProofKey.algorithm}")
        self._proofs = self._proofs or Proofs(ProofKey())
        return self._proofs

    # What is kept

    def _use(self, tokens: Tokens | None) -> None:
        self._tokens = tokens
        key = None if tokens is None else tokens.dpop_key
        if key is not None and (self._proofs is None or self._proofs.key.as_dict() != key):
            self._proofs = Proofs(ProofKey(key))

    async def _kept(self) -> Tokens | None:
        kept = await self._storage.get(self._key)
        try:
            tokens = None if kept is None else msgspec.convert(kept, Tokens)
        except msgspec.ValidationError:
            return None
        if tokens is None or (tokens.dpop_key is not None) != self._dpop:
            return None
        return tokens if self._client is None or self._client.client_id == tokens.client_id else None

    @property
    def _key(self) -> str:
        assert self._url is not None
        return f"tokens:{canonical(self._url)}"

    def _tell(self) -> None:
        for listener in self._listeners:
            if (call := listener()) is not None:
                call()


def _is_past(tokens: Tokens | None, moment: str) -> bool:
    at: float | None = getattr(tokens, moment, None)
    return at is not None and at <= time.time()
