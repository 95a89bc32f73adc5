"""The identity provider's tokens of each login: kept sealed, checked, renewed once where many need it at once."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import msgspec

from ....state.records import RecordStore
from ..provider import AccessToken
from .grants import Grant
from .kept import record_of
from .upstream import UpstreamRefused, UpstreamTokens

if TYPE_CHECKING:
    from ..oauth_proxy import OAuthProxy

__all__ = ["Logins", "subject_of"]

_TOKENS = "oauth-upstream-tokens"


class Logins:
    """`seconds`: how long tokens are kept after their last renewal; `early`: so long before their end they are renewed.

    A grant's `extra` is the key of its tokens: they change while the grant does not.
    """

    def __init__(self, proxy: OAuthProxy, records: RecordStore, *, seconds: int, early: int) -> None:
        self._proxy = proxy
        self._records = records
        self._seconds = seconds
        self._early = early
        self._renewing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def add(self, tokens: UpstreamTokens) -> bytes:
        """Their key."""
        key = secrets.token_urlsafe(32)
        await self._keep(key, tokens)
        return key.encode()

    async def taken(self, grant: Grant) -> UpstreamTokens | None:
        """The tokens of a grant that is over."""
        data = await self._records.take(_TOKENS, grant.extra.decode()) if grant.extra else None
        return record_of(data, UpstreamTokens)

    async def current(self, grant: Grant, *, renew: bool = False) -> tuple[UpstreamTokens, AccessToken]:
        """Tokens that are good now; `renew`: also if those that are there are. What the verifier raises goes through.

        Raises UpstreamRefused and UpstreamDown.
        """
        tokens = await self._kept(grant)
        access = None if renew or self._is_over(tokens) else await self._proxy.verify_upstream(tokens)
        if access is None:
            # One at a time: of two renewals with one refresh token the second would look like a theft.
            lock = self._renewing.setdefault(grant.id, asyncio.Lock())
            async with lock:
                tokens, access = await self._renewed(grant, tokens, keep=renew)
        if subject_of(access) != grant.subject:
            raise UpstreamRefused("The identity provider's token is another user's")
        return tokens, access

    async def _renewed(self, grant: Grant, seen: UpstreamTokens, *, keep: bool) -> tuple[UpstreamTokens, AccessToken]:
        tokens = await self._kept(grant)
        if tokens == seen and (tokens.refresh_token is not None or self._is_over(tokens)):
            try:
                return await self._refreshed(grant, tokens)
            except UpstreamRefused:
                # Another process may have been faster.
                tokens = await self._kept(grant)
                if tokens == seen:
                    raise
        access = await self._proxy.verify_upstream(tokens)
        if access is None:
            raise UpstreamRefused("The identity provider does not accept this login any more")
        if keep:  # as long as the login, which has just been renewed
            await self._keep(grant.extra.decode(), tokens)
        return tokens, access

    async def _refreshed(self, grant: Grant, tokens: UpstreamTokens) -> tuple[UpstreamTokens, AccessToken]:
        upstream = await self._proxy.upstream()
        new = await upstream.refresh(tokens, self._proxy.token_parameters(grant.scopes, grant.resource))
        # Before anything can fail: the old refresh token may be gone.
        await self._keep(grant.extra.decode(), new)
        access = await self._proxy.verify_login(new, None)
        if access is None:
            raise UpstreamRefused("The identity provider's token is not good for this server")
        if new.claims != tokens.claims:
            await self._keep(grant.extra.decode(), new)
        return new, access

    def _is_over(self, tokens: UpstreamTokens) -> bool:
        return tokens.expires_at is not None and tokens.expires_at - self._early <= time.time()

    async def _kept(self, grant: Grant) -> UpstreamTokens:
        tokens = record_of(await self._records.get(_TOKENS, grant.extra.decode()), UpstreamTokens)
        if tokens is None:
            raise UpstreamRefused("This login is over")
        return tokens

    async def _keep(self, key: str, tokens: UpstreamTokens) -> None:
        await self._records.put(_TOKENS, key, msgspec.json.encode(tokens), ttl=self._seconds)


def subject_of(access: AccessToken) -> str:
    """The user, as the identity provider names them; "" where it does not, and who it is can't be told."""
    return str(access.claims.get("sub") or "")
