"""What every way to a token has in common: requests are signed, a refusal leads to a login, the request goes again.

One login at a time, however many requests wait for it. A login is given up after a few attempts per request, so that
a server that is never content is not asked for ever (2026-07-28, Authorization, Step-Up Authorization Flow).
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager

import httpx2
import msgspec

from ...exceptions import ClientError
from ..patience import patient
from ..transports.base import MakeHttp, Send
from .challenge import Challenge, challenge_in
from .discovery import Site, canonical, discover
from .documents import LoginError, Tokens, scopes_of
from .signing import ProofKey
from .storage import MemoryTokenStorage, TokenStorage
from .token_endpoint import Identity, Proofs, TokenEndpoint
from .web import Web

__all__ = ["Login"]

logger = logging.getLogger(__name__)

MAX_LOGINS = 2
"""Per request."""
_EARLY_SECONDS = 30.0
"""A token that ends so soon is renewed before it is used."""


class Login(ABC):
    """The credentials of one server. Subclasses say how a token is had.

    `scopes` are asked for from the start, beside those that the server names. `dpop` binds tokens to a key of this
    client (RFC 9449). `allow_private` lets a server on the internet name authorization servers in private networks.
    """

    extension: str | None = None
    """The one of MCP that servers are told of."""

    def __init__(
        self,
        *,
        scopes: str | Iterable[str] | None = None,
        token_storage: TokenStorage | None = None,
        dpop: bool = False,
        allow_private: bool | None = None,
    ) -> None:
        self._scopes = scopes_of(scopes)
        self._storage = token_storage or MemoryTokenStorage()
        self._dpop = dpop
        self._allow_private = allow_private
        self._lock = asyncio.Lock()
        self._url: httpx2.URL | None = None
        self._web: Web
        self._site: Site | None = None
        self._tokens: Tokens | None = None
        self._proofs: Proofs | None = None
        self._loaded = False
        self._listeners: list[Callable[[], None]] = []

    @property
    @abstractmethod
    def client_id(self) -> str | None:
        """Whose tokens may be taken from the storage; None for anybody's."""

    @property
    def issuer(self) -> str | None:
        """The authorization server to prefer."""
        return None

    @abstractmethod
    async def _identity(self, site: Site) -> Identity:
        """Who refreshes tokens."""

    async def _client_refused(self, site: Site) -> None:
        """The authorization server does not know the client."""
        logger.warning("%s does not know the client %s", site.server.issuer, self.client_id)

    @abstractmethod
    async def _grant(self, site: Site, scopes: Sequence[str]) -> Tokens:
        """New tokens. Raises LoginError."""

    # What a transport asks for

    def bind(self, url: str, http_client: MakeHttp | None) -> None:
        """The server that the tokens are for. Raises ClientError for a second one."""
        parsed = httpx2.URL(url)
        if self._url is not None and canonical(self._url) != canonical(parsed):
            raise ClientError(f"This login is for {canonical(self._url)}: make another one for {canonical(parsed)}")
        self._url = parsed
        self._web = Web(parsed, http_client, self._allow_private)

    def on_login(self, call: Callable[[], None]) -> None:
        """`call` is called when somebody has logged in: it may be another user."""
        self._listeners.append(call)

    async def send(self, method: str, url: str, send: Send) -> httpx2.Response:
        """The answer to a request that is sent signed, and again after a login where it is refused for want of one.

        Raises LoginError where there is no login; a refusal that no login can help is given as it came.
        """
        logins = nonces = 0
        while True:
            tokens = await self._usable()
            response = await send(self._headers(method, url, tokens))
            fresh_nonce = self._proofs is not None and self._proofs.heard(url, response.headers)
            if response.status_code not in (401, 403):
                return response
            challenge = challenge_in(response.headers.get_list("www-authenticate"))
            if challenge.error == "use_dpop_nonce" and fresh_nonce and nonces == 0:
                nonces += 1
            elif method != "DELETE" and self._may_help(response.status_code, challenge, tokens, logins):
                logins += 1
                await response.aclose()
                async with self._alone():
                    if self._tokens is tokens:  # else another request has logged in meanwhile
                        await self._log_in(challenge, tokens, may_refresh=logins == 1)
                continue
            else:
                return response
            await response.aclose()

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
        tokens = self._tokens
        if self._loaded and not _is_ending(tokens):
            return tokens
        async with self._alone():
            if not self._loaded:
                self._use(await self._kept())
                self._loaded = True
            if self._tokens is not None and _is_ending(self._tokens):
                await self._renew(self._tokens)
            return self._tokens

    @asynccontextmanager
    async def _alone(self) -> AsyncGenerator[None, None]:
        with patient():  # who logs in may wait for a user
            await self._lock.acquire()
        try:
            yield
        finally:
            self._lock.release()

    async def _renew(self, tokens: Tokens) -> None:
        """Before a token ends. Without a refresh token the server's refusal begins the next login."""
        try:
            if tokens.refresh_token is not None:
                await self._refreshed(self._site or await self._discovered(Challenge()), tokens)
        except LoginError as error:
            if _is_ending(tokens, 0.0):
                raise
            logger.debug("A token could not be renewed before its end: %s", error)

    def _may_help(self, status: int, challenge: Challenge, tokens: Tokens | None, logins: int) -> bool:
        """`logins` for this request so far: scopes that it has asked for in vain are not asked for again."""
        if logins == MAX_LOGINS or (status == 403 and challenge.error != "insufficient_scope"):
            return False
        if status == 401 or tokens is None:
            return True
        has = tokens.requested if logins or tokens.granted is None else tokens.granted
        return not set(challenge.scopes) <= set(has)

    async def _log_in(self, challenge: Challenge, refused: Tokens | None, *, may_refresh: bool) -> None:
        """New tokens: refreshed where that can help, else granted anew."""
        stepping_up = challenge.error == "insufficient_scope"
        may_refresh = may_refresh and not stepping_up
        if refused is not None and may_refresh:
            kept = await self._kept()  # another program that shares the storage may have renewed them
            if kept is not None and kept.access_token != refused.access_token:
                self._use(kept)
                return
        site = await self._discovered(challenge)
        if refused is not None and may_refresh and await self._refreshed(site, refused):
            return
        before = refused.requested if refused is not None and refused.issuer == site.server.issuer else []
        wanted = challenge.scopes or self._scopes or (() if stepping_up else site.scopes_supported)
        tokens = await self._grant(site, scopes_of([*before, *self._scopes, *wanted]))
        await self._keep(tokens)
        for call in self._listeners:
            call()

    async def _refreshed(self, site: Site, tokens: Tokens) -> bool:
        """Whether a refresh token has got a new access token. A server that went over to another issuer gets none."""
        if tokens.refresh_token is None or site.server.issuer != tokens.issuer:
            return False
        grant = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token}
        try:
            identity = await self._identity(site)
            if identity.client.client_id != tokens.client_id:
                return False
            endpoint = TokenEndpoint(self._web, site, identity, self._proofs)
            renewed = await endpoint.tokens(grant, tokens.requested, before=tokens)
        except LoginError as error:
            if not error.error:
                raise  # the server is out of order, the refresh token may be good
            logger.info("The login at %s has ended: %s", tokens.issuer, error)
            if error.error == "invalid_client":
                await self._client_refused(site)
            return False
        await self._keep(renewed)
        return True

    async def _discovered(self, challenge: Challenge) -> Site:
        assert self._url is not None
        self._site = await discover(self._web, self._url, challenge, self.issuer)
        return self._site

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

    async def _keep(self, tokens: Tokens) -> None:
        self._use(tokens)
        await self._storage.put(self._key, msgspec.to_builtins(tokens))

    async def _kept(self) -> Tokens | None:
        kept = await self._storage.get(self._key)
        try:
            tokens = None if kept is None else msgspec.convert(kept, Tokens)
        except msgspec.ValidationError:
            return None
        if tokens is None or (tokens.dpop_key is not None) != self._dpop:
            return None
        return tokens if self.client_id in (None, tokens.client_id) else None

    @property
    def _key(self) -> str:
        assert self._url is not None
        return f"tokens:{canonical(self._url)}"


def _is_ending(tokens: Tokens | None, within: float = _EARLY_SECONDS) -> bool:
    return tokens is not None and tokens.expires_at is not None and tokens.expires_at - within <= time.time()
