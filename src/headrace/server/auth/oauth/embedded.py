"""Authorization servers that need no other: users of one's own who sign in here, and one for tests that asks nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Unpack, cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ....exceptions import StoreError
from ....state.rates import Buckets, RateLimit, caller_of
from .browser import Binding
from .contract import AuthorizationParams, OAuthClientInformationFull, TokenError
from .grants import Grant, Transaction
from .pages import guarded, onward_page, sign_in_page
from .parameters import of_form, of_query
from .passwords import Users, authenticator_of
from .stored import OTHER_BROWSER, TRANSACTION_SECONDS, StoredOAuthProvider, StoredOptions

__all__ = ["EmbeddedOAuthProvider", "InMemoryOAuthProvider"]

ATTEMPTS = 5
"""Wrong passwords for one login."""
ATTEMPTS_PER_NAME = RateLimit(per_second=1 / 60, burst=10)
WRONG_PER_NETWORK = RateLimit(per_second=0.5, burst=30)
"""Wrong passwords, each of which costs this server as much as a right one."""
_MAX_NAME = 256
_AT_ONCE = 8
"""Passwords that are checked at the same time: each takes a core and memory."""


class InMemoryOAuthProvider(StoredOAuthProvider):
    """For tests: whoever asks is let in at once, as one user.

    Everything else, PKCE and redirect URIs among it, is checked as anywhere.
    """

    def __init__(self, base_url: str = "http://localhost:8000", **options: Unpack[StoredOptions]) -> None:
        super().__init__(base_url, **options)

    async def authorize(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        return await self.complete(await self.begin(client, params), subject="test-user")


class EmbeddedOAuthProvider(StoredOAuthProvider):
    """Users sign in on a page of this server, which says what client asks, and for what.

    `users` are names and hashes of passwords (`hash_password`), or a function or object that knows them. All else:
    `StoredOptions`; without a `store` clients have to log in again after a restart.
    """

    def __init__(self, base_url: str, *, users: Users, **options: Unpack[StoredOptions]) -> None:
        super().__init__(base_url, **options)
        self._authenticate = authenticator_of(users)
        self._table = frozenset(cast("Mapping[str, str]", users)) if isinstance(users, Mapping) else None
        self._names = Buckets(ATTEMPTS_PER_NAME)
        self._networks = Buckets(WRONG_PER_NETWORK)
        self._checking = 0
        self._binding = Binding(self.secret_keys[0], self.base_url)

    async def authorize(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        return f"{self.base_url}/login?transaction={await self.begin(client, params)}"

    def routes(self) -> list[Route]:
        return [
            Route("/login", guarded(self._ask), methods=["GET"], name="oauth-login"),
            Route("/login", guarded(self._answer), methods=["POST"], name="oauth-login-answer"),
        ]

    async def renewed(self, grant: Grant, scopes: list[str]) -> Grant:
        if self._table is not None and grant.subject not in self._table:
            raise TokenError("invalid_grant", "This user is not known here any more")
        return grant

    async def _ask(self, request: Request) -> Response:
        id = of_query(request).require("transaction")
        transaction, browser = await self.waiting(id), self._binding.opened(request)
        await self.open_in(id, browser)
        response = self._page(transaction, id, browser)
        self._binding.remember(response, browser)
        return response

    async def _answer(self, request: Request) -> Response:
        form = await of_form(request)
        id = form.require("transaction")
        transaction = await self.waiting(id)
        browser = self._binding.answered_by(request, form.get("csrf", ""), id, transaction.client_id)
        if browser is None:
            raise TokenError("invalid_request", OTHER_BROWSER)
        if form.get("answer") == "deny":
            return onward_page(await self.refuse(id, "access_denied", "The user said no"))
        name, password, network = form.get("username", ""), form.get("password", ""), caller_of(None, request.scope)
        if self._networks.take(network):
            raise TokenError("invalid_request", "Too many wrong passwords came from your network: try again later")
        if not await self._may_try(id, name):
            return onward_page(await self.refuse(id, "access_denied", "Too many wrong passwords"))
        subject = await self._subject(name, password)
        if subject is None:
            problem = "User name or password are wrong"
            return self._page(transaction, id, browser, problem)
        self._networks.give_back(network)
        return onward_page(await self.complete(id, subject=subject, claims={"preferred_username": name}))

    def _page(self, transaction: Transaction, id: str, browser: str, problem: str | None = None) -> Response:
        hidden = {"transaction": id, "csrf": self._binding.form_token(browser, id, transaction.client_id)}
        server = self.resource_name or transaction.resource
        return sign_in_page(transaction, server, action=f"{self.base_url}/login", hidden=hidden, problem=problem)

    async def _may_try(self, id: str, name: str) -> bool:
        """Counted before the password is checked, so that many tries at once are counted, too."""
        if not await self.is_within(ATTEMPTS, "password", id, TRANSACTION_SECONDS):
            return False
        return self._names.take(name.casefold()[:_MAX_NAME]) == 0

    async def _subject(self, name: str, password: str) -> str | None:
        if self._checking >= _AT_ONCE:
            raise StoreError("Too many passwords are checked at the same time")
        self._checking += 1
        try:
            return await self._authenticate(name, password)
        finally:
            self._checking -= 1
