"""What a user has allowed a client: the records of pending authorizations, and of grants.

A grant is one record. Its code and its refresh tokens are secrets of one row: number 0 is the code, each use makes
the next one. What is used moves the number on by `swap`, so that of many uses at once one counts; a number that is
lower than the grant's was used before, and ends the grant (RFC 9700, 2.2.2 and 4.14.2; RFC 6749, 4.1.2).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct, field

from ....state.records import RecordStore
from ..compact import base64url
from .contract import AuthorizationParams, OAuthClientInformationFull, TokenError
from .kept import record_of

__all__ = ["Grant", "Grants", "Transaction"]

_GRANT = "oauth-grant"


class _Record(Struct):
    """Shown, as in a log or a traceback, without what it holds."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {getattr(self, 'client_id', '')}>"


class Transaction(_Record, kw_only=True, omit_defaults=True):
    """A request for authorization that waits for a user's answer. `created` in seconds since 1970."""

    client_id: str
    client_name: str | None = None
    client_uri: str | None = None
    redirect_uri: str
    redirect_uri_provided_explicitly: bool = True
    scopes: list[str]
    resource: str
    state: str | None = None
    code_challenge: str
    created: float = field(default_factory=time.time)

    @classmethod
    def of(cls, client: OAuthClientInformationFull, params: AuthorizationParams, resource: str) -> Transaction:
        """`resource` is the one that a client means which names none."""
        return cls(
            client_id=client.client_id,
            client_name=client.client_name,
            client_uri=client.client_uri,
            redirect_uri=params.redirect_uri,
            redirect_uri_provided_explicitly=params.redirect_uri_provided_explicitly,
            scopes=list(params.scopes or ()),
            resource=params.resource or resource,
            state=params.state,
            code_challenge=params.code_challenge,
        )


class Grant(_Record, kw_only=True, omit_defaults=True):
    """What one user allowed one client for one resource. Times in seconds since 1970."""

    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    client_id: str
    subject: str | None = None
    claims: dict[str, Any] = field(default_factory=dict[str, Any])
    scopes: list[str] = field(default_factory=list[str])
    resource: str
    created: float = field(default_factory=time.time)
    expires_at: float
    code_challenge: str = ""
    redirect_uri: str = ""
    redirect_uri_provided_explicitly: bool = True
    generation: int = 0
    """The number of the secret that is good now: 0 is the code, the others are refresh tokens."""
    seed: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    """What its secrets are made from."""
    extra: bytes = b""
    """What a subclass keeps with it."""

    @classmethod
    def of(cls, asked: Transaction, seconds: float, subject: str, claims: Mapping[str, Any], extra: bytes) -> Grant:
        """What a user allowed; the code is good for so many seconds."""
        return cls(
            client_id=asked.client_id,
            subject=subject,
            claims=dict(claims),
            scopes=asked.scopes,
            resource=asked.resource,
            expires_at=time.time() + seconds,
            code_challenge=asked.code_challenge,
            redirect_uri=asked.redirect_uri,
            redirect_uri_provided_explicitly=asked.redirect_uri_provided_explicitly,
            extra=extra,
        )

    def secret(self) -> str:
        """The code or refresh token that is good now: ``id.number.mac``."""
        return f"{self.id}.{self.generation}.{_mac(self.seed, self.generation)}"


class Grants:
    """Grants in a store. Errors of the store (StoreError) go through: what can't be checked is not given."""

    def __init__(self, store: RecordStore) -> None:
        self._store = store

    async def add(self, grant: Grant) -> None:
        await self._store.put(_GRANT, grant.id, msgspec.json.encode(grant), ttl=_left(grant))

    async def get(self, id: str) -> Grant | None:
        """A grant that lives."""
        grant = record_of(await self._store.get(_GRANT, id), Grant)
        return grant if grant is not None and grant.expires_at > time.time() else None

    async def of_secret(self, secret: str) -> tuple[Grant, int] | None:
        """The grant that the secret was made for, and its number, whether it is still good or was used."""
        id, _, rest = secret.partition(".")
        number = rest.partition(".")[0]
        if not (number.isascii() and number.isdecimal() and len(number) < 10):
            return None
        grant = await self.get(id)
        if grant is None or int(number) > grant.generation:
            return None
        expected = f"{int(number)}.{_mac(grant.seed, int(number))}"
        return (grant, int(number)) if hmac.compare_digest(expected.encode(), rest.encode()) else None

    async def replace(self, grant: Grant, by: Grant) -> bool:
        """Whether the grant was still as it was read."""
        return await self._store.swap(
            _GRANT, grant.id, msgspec.json.encode(grant), msgspec.json.encode(by), ttl=_left(by)
        )

    async def use(self, secret: str, client_id: str, *, code: bool, expires_at: float) -> tuple[Grant, Grant]:
        """Move the grant on from this secret, which is used then: the grant before and after.

        Raises TokenError (``invalid_grant``) for one that is not good, and ends its grant where it was used before.
        """
        found = await self.of_secret(secret)
        if found is None or (found[1] == 0) is not code or found[0].client_id != client_id:
            raise TokenError("invalid_grant", "It is invalid, expired or was revoked")
        grant, number = found
        after = msgspec.structs.replace(grant, generation=number + 1, expires_at=expires_at)
        if number != grant.generation or not await self.replace(grant, after):
            raise Reused(grant)
        return grant, after

    async def end(self, id: str) -> None:
        await self._store.delete(_GRANT, id)


class Reused(TokenError):
    """A code or refresh token came a second time."""

    def __init__(self, grant: Grant) -> None:
        super().__init__("invalid_grant", "It was used before: log in again")
        self.grant = grant


def _mac(seed: bytes, number: int) -> str:
    mac = hmac.digest(seed, f"headrace {number}".encode(), hashlib.sha256)
    return base64url(mac)


def _left(grant: Grant) -> float:
    return max(grant.expires_at - time.time(), 1.0)
