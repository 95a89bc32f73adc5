"""StoredOAuthProvider: clients, pending authorizations and grants in a `RecordStore`; a subclass asks the user."""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict, Unpack

import msgspec

from ....settings import Settings
from ....state.memory_records import MemoryRecordStore
from ....state.records import RecordStore
from ....state.sealed_records import SealedRecords
from ..challenge import serving
from ..provider import AccessToken
from .cimd import ClientDocuments, is_document_id
from .contract import (
    AuthorizationCode,
    AuthorizationParams,
    AuthorizeError,
    IdentityAssertionParams,
    OAuthClientInformationFull,
    OAuthToken,
    RefreshToken,
    TokenError,
)
from .endpoints import CLIENT_CREDENTIALS, JWT_BEARER
from .grants import Grant, Grants, Reused, Transaction
from .identity_assertion import IdentityAssertion
from .kept import record_of
from .provider import ClientRegistrationOptions, OAuthProvider, RevocationOptions
from .registration import load_client, renew_client, save_client
from .signing import TokenSigner

__all__ = ["StoredOAuthProvider", "StoredOptions"]

logger = logging.getLogger(__name__)

TRANSACTION_SECONDS = 600
MAX_TRANSACTIONS = 20_000
"""Whoever asks begins one: they must not fill the disk."""
CODE_SECONDS = 120
OTHER_BROWSER = "This login was begun in another browser, or without cookies"
_TRANSACTION = "oauth-transaction"
_OPENED = "oauth-opened"
_USED = "oauth-used"


class StoredOptions(TypedDict, total=False):
    """What may be given to each `StoredOAuthProvider`, its subclasses among them."""

    resource_base_url: str | None
    issuer_url: str | None
    service_documentation_url: str | None
    client_registration_options: ClientRegistrationOptions | None
    revocation_options: RevocationOptions | None
    required_scopes: Iterable[str] | None
    scopes_supported: Iterable[str] | None
    resource_name: str | None
    """What users are told they log in to."""
    store: RecordStore | None
    """Where all of it is kept, sealed; None: in memory, gone with the process."""
    secret_key: str | Sequence[str] | None
    """At least 32 characters; of several the first seals and signs, each opens. None: ``HEADRACE_SECRET_KEY``, and
    without that a random one, for this process alone."""
    access_token_seconds: int
    refresh_token_seconds: int
    """How long a login lasts from its last use."""
    clients: Iterable[OAuthClientInformationFull]
    """Clients that are known from the start; only they may use client credentials."""
    client_documents: ClientDocuments | None
    """How clients that are URLs are read (CIMD); None: as `ClientDocuments` does without more."""
    identity_assertion: IdentityAssertion | None
    """Whose identity assertions are good (enterprise-managed authorization); None: nobody's."""


class StoredOAuthProvider(OAuthProvider):
    """All of an authorization server but asking the user: write `authorize`.

    It calls `begin` and returns the URL of a page; the page calls `complete` or `refuse` and redirects to what they
    return. Raises ValueError for a URL that is not https (or on this machine), or a short key.
    """

    reads_client_documents = True

    def __init__(self, base_url: str, **options: Unpack[StoredOptions]) -> None:
        unknown = options.keys() - StoredOptions.__annotations__.keys()
        if unknown:
            raise TypeError(f"{type(self).__name__} has no option {', '.join(sorted(unknown))}")
        super().__init__(
            base_url,
            resource_base_url=options.get("resource_base_url"),
            issuer_url=options.get("issuer_url"),
            service_documentation_url=options.get("service_documentation_url"),
            client_registration_options=options.get("client_registration_options")
            or ClientRegistrationOptions(enabled=True),
            revocation_options=options.get("revocation_options") or RevocationOptions(enabled=True),
            required_scopes=options.get("required_scopes"),
            scopes_supported=options.get("scopes_supported"),
            resource_name=options.get("resource_name"),
        )
        store, given = options.get("store"), options.get("secret_key") or Settings.load().secret_key
        if store is not None and given is None and not isinstance(store, MemoryRecordStore):
            logger.warning("Without HEADRACE_SECRET_KEY what is in the store can't be read after a restart")
        # Each issuer has keys of its own: what one begins no other ends, though both have one store and one secret.
        self.secret_keys = [f"{self.issuer} {key}" for key in _keys(given)]
        self.records: RecordStore = SealedRecords(store or MemoryRecordStore(), *self.secret_keys)
        self.access_token_seconds = options.get("access_token_seconds", 3600)
        self.refresh_token_seconds = options.get("refresh_token_seconds", 30 * 24 * 3600)
        self.client_documents = options.get("client_documents") or ClientDocuments()
        self.identity_assertion = options.get("identity_assertion")
        self._grants = Grants(self.records)
        self._signer = TokenSigner(self.issuer, self.secret_keys)
        self._clients = {client.client_id: client for client in options.get("clients", ())}

    # Clients

    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        if client_id in self._clients:
            return self._clients[client_id]
        if is_document_id(client_id):
            return await self.client_documents.get(client_id)
        return await load_client(self.records, client_id)

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        await save_client(self.records, client_info)

    async def client_jwks(self, client: OAuthClientInformationFull) -> Mapping[str, Any] | None:
        return client.jwks if client.jwks_uri is None else await self.client_documents.keys(client.jwks_uri)

    def vouches_for(self, client: OAuthClientInformationFull) -> bool:
        return client.client_id in self._clients

    def scopes_of(self, client: OAuthClientInformationFull) -> list[str]:
        # What a client registered about itself says nothing of what it may have: it could register again.
        return super().scopes_of(client) if self.vouches_for(client) else self.scopes_supported

    # A request for authorization, until the user has answered

    async def begin(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        """Keep the request; the id of its transaction, which is good for ten minutes. Whoever has it can answer."""
        if await self.records.count(_TRANSACTION) >= MAX_TRANSACTIONS:
            raise AuthorizeError("temporarily_unavailable", "Too many logins have begun: try again in ten minutes")
        id = secrets.token_urlsafe(32)
        transaction = Transaction.of(client, params, self.base_url)
        await self.records.put(_TRANSACTION, id, msgspec.json.encode(transaction), ttl=TRANSACTION_SECONDS)
        return id

    async def transaction(self, id: str) -> Transaction | None:
        """The request, which waits on."""
        return record_of(await self.records.get(_TRANSACTION, id), Transaction)

    async def waiting(self, id: str) -> Transaction:
        """The same. Raises AuthorizeError where it is over."""
        return _there(await self.transaction(id))

    async def open_in(self, id: str, browser: str) -> None:
        """Whoever opens a page first answers it: what was captured is worth nothing in another browser.

        Raises AuthorizeError there.
        """
        first = await self.records.swap(_OPENED, id, None, browser.encode(), ttl=TRANSACTION_SECONDS)
        if not first and await self.records.get(_OPENED, id) != browser.encode():
            raise AuthorizeError("invalid_request", OTHER_BROWSER)

    async def complete(
        self, id: str, *, subject: str, claims: Mapping[str, Any] | None = None, extra: bytes = b""
    ) -> str:
        """The user said yes: the redirect URL with a code.

        Raises AuthorizeError where the transaction is over, or `subject` is a client that has tokens of its own.
        """
        self._check_user(subject)
        transaction = await self._taken(id)
        grant = Grant.of(transaction, CODE_SECONDS, subject, claims or {}, extra)
        await self._grants.add(grant)
        return self.redirect(transaction.redirect_uri, code=grant.secret(), state=transaction.state)

    async def refuse(self, id: str, error: str = "access_denied", description: str | None = None) -> str:
        """The user, or who stands for them, said no: the redirect URL that says so. Raises AuthorizeError."""
        asked = await self._taken(id)
        return self.redirect(asked.redirect_uri, error=error, error_description=description, state=asked.state)

    def _check_user(self, subject: str) -> None:
        """They would have sessions in common with the client, whose tokens name it in ``sub`` (RFC 9068, 5)."""
        client = self._clients.get(subject)
        if client is not None and CLIENT_CREDENTIALS in client.grant_types:
            raise AuthorizeError("access_denied", "This user has the name of a client: one of them needs another")

    async def _taken(self, id: str) -> Transaction:
        return _there(record_of(await self.records.take(_TRANSACTION, id), Transaction))

    # Codes and tokens

    async def load_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: str
    ) -> AuthorizationCode | None:
        found = await self._grants.of_secret(authorization_code)
        if found is None or found[0].client_id != client.client_id:
            return None
        grant, number = found
        if number == 0 and grant.generation > 0:
            await self._end(grant)
        if grant.generation > 0:
            return None
        return AuthorizationCode(
            code=authorization_code,
            scopes=grant.scopes,
            expires_at=grant.expires_at,
            client_id=grant.client_id,
            code_challenge=grant.code_challenge,
            redirect_uri=grant.redirect_uri,
            redirect_uri_provided_explicitly=grant.redirect_uri_provided_explicitly,
            resource=grant.resource,
            subject=grant.subject,
        )

    async def exchange_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: AuthorizationCode
    ) -> OAuthToken:
        seconds = self.refresh_token_seconds if _refreshes(client) else self.access_token_seconds
        _, grant = await self._used(authorization_code.code, client, code=True, seconds=seconds)
        return self._tokens(client, grant, grant.scopes)

    async def load_refresh_token(self, client: OAuthClientInformationFull, refresh_token: str) -> RefreshToken | None:
        found = await self._grants.of_secret(refresh_token)
        if found is None or found[1] == 0 or found[0].client_id != client.client_id:
            return None
        grant, number = found
        if number < grant.generation:
            await self._end(grant)
            return None
        return RefreshToken(
            token=refresh_token,
            client_id=grant.client_id,
            scopes=grant.scopes,
            expires_at=int(grant.expires_at),
            resource=grant.resource,
            subject=grant.subject,
        )

    async def exchange_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: RefreshToken, scopes: list[str]
    ) -> OAuthToken:
        before, grant = await self._used(refresh_token.token, client, code=False, seconds=self.refresh_token_seconds)
        try:
            renewed = await self.renewed(msgspec.structs.replace(grant), scopes)
        except BaseException as error:
            if isinstance(error, TokenError) and error.error == "invalid_grant":
                await self._grants.end(grant.id)
                self.forget(grant=grant.id)
            else:  # something is out of order: the client may come again with what it has
                await self._grants.replace(grant, before)
            raise
        if renewed != grant and not await self._grants.replace(grant, renewed):
            raise TokenError("invalid_grant", "It was revoked")
        return self._tokens(client, renewed, scopes)

    async def exchange_client_credentials(
        self, client: OAuthClientInformationFull, scopes: list[str], resource: str
    ) -> OAuthToken:
        return await self.issue(client, client.client_id, scopes, resource)

    async def exchange_identity_assertion(
        self, client: OAuthClientInformationFull, params: IdentityAssertionParams
    ) -> OAuthToken:
        if self.identity_assertion is None:
            raise TokenError("unsupported_grant_type", "No identity provider is trusted here")
        who = await self.identity_assertion.verify(self, client, params)
        self._check_user(who.subject)
        await renew_client(self.records, client.client_id)
        seconds = self.identity_assertion.access_token_expiry_seconds
        return await self.issue(client, who.subject, who.scopes, who.resource, who.claims, seconds)

    async def issue(
        self,
        client: OAuthClientInformationFull,
        subject: str,
        scopes: list[str],
        resource: str,
        claims: Mapping[str, Any] | None = None,
        seconds: int | None = None,
    ) -> OAuthToken:
        """An access token without a refresh token: whoever wants another one proves again who it is."""
        seconds = seconds or self.access_token_seconds
        grant = Grant(
            client_id=client.client_id,
            subject=subject,
            claims=dict(claims or {}),
            scopes=scopes,
            resource=resource,
            generation=1,
            expires_at=time.time() + seconds,
        )
        await self._grants.add(grant)
        return self._tokens(client, grant, scopes, seconds)

    async def load_access_token(self, token: str) -> AccessToken | None:
        claims = self._signer.verify(token)
        here = serving.get()
        if claims is None or claims.get("aud") not in (self.resources if here is None else [here]):
            return None
        grant = await self._grants.get(str(claims.get("gid")))
        if grant is None:
            return None
        return AccessToken(
            token=token,
            client_id=grant.client_id,
            scopes=str(claims.get("scope", "")).split(),
            expires_at=claims["exp"],
            resource=grant.resource,
            claims={**grant.claims, **claims},
        )

    async def revoke_token(self, token: AccessToken | RefreshToken) -> None:
        id = token.token.partition(".")[0] if isinstance(token, RefreshToken) else str(token.claims.get("gid"))
        grant = await self._grants.get(id)
        if grant is not None and grant.client_id == token.client_id:
            await self._end(grant)

    async def use_once(self, kind: str, id: str, seconds: float) -> bool:
        key = hashlib.sha256(id.encode("utf-8", "surrogatepass")).hexdigest()
        # Each in a room of its own: whoever signs assertions all the time must not end what counts logins.
        room = f"{_USED}-{kind.partition(' ')[0]}"
        return await self.records.swap(room, f"{kind} {key}", None, b"1", ttl=max(seconds, 1.0))

    @property
    def grant_types(self) -> list[str]:
        own = [CLIENT_CREDENTIALS] if self._clients else []
        return [*super().grant_types, *own, *([JWT_BEARER] if self.identity_assertion is not None else [])]

    # For subclasses

    async def renewed(self, grant: Grant, scopes: list[str]) -> Grant:
        """Called before a refresh is answered, with the grant as it is kept: the one that takes its place.

        TokenError (``invalid_grant``) ends the grant; whatever else it raises leaves the refresh token good.
        """
        return grant

    async def ended(self, grant: Grant) -> None:
        """Called when a grant was revoked."""

    async def _used(
        self, secret: str, client: OAuthClientInformationFull, *, code: bool, seconds: float
    ) -> tuple[Grant, Grant]:
        # First: were the secret used when a store fails, the client could not come again.
        await renew_client(self.records, client.client_id)
        try:
            return await self._grants.use(secret, client.client_id, code=code, expires_at=time.time() + seconds)
        except Reused as reused:
            await self._end(reused.grant)
            raise

    async def _end(self, grant: Grant) -> None:
        await self._grants.end(grant.id)
        self.forget(grant=grant.id)
        await self.ended(grant)

    def _tokens(
        self, client: OAuthClientInformationFull, grant: Grant, scopes: list[str], alone: int | None = None
    ) -> OAuthToken:
        """`alone`: an access token for so many seconds, and no refresh token."""
        seconds = alone or self.access_token_seconds
        scope = " ".join(scopes)
        claims = {"sub": grant.subject, "aud": grant.resource, "client_id": grant.client_id, "gid": grant.id}
        return OAuthToken(
            access_token=self._signer.sign({**claims, "scope": scope}, seconds),
            expires_in=seconds,
            scope=scope,
            refresh_token=grant.secret() if alone is None and _refreshes(client) else None,
        )


def _there(transaction: Transaction | None) -> Transaction:
    if transaction is None:
        raise AuthorizeError("invalid_request", "This login is over: start again in your program")
    return transaction


def _refreshes(client: OAuthClientInformationFull) -> bool:
    return "refresh_token" in client.grant_types


def _keys(given: str | Sequence[str] | None) -> list[str]:
    keys = [given] if isinstance(given, str) else list(given or [secrets.token_hex(32)])
    if any(len(key) < 32 for key in keys):
        raise ValueError("A secret key has at least 32 characters: secrets.token_hex(32) makes one")
    return keys
