"""OAuthProxy: an authorization server for MCP clients in front of an identity provider that does not register clients.

Clients get codes and tokens of this server; the provider's tokens stay here, sealed, one record for each login. A
browser is sent on to the provider only after its user has allowed this client, and only that browser may come back
with the answer (2026-07-28, basic, security best practices, Confused Deputy Problem; CVE-2026-27124).
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
from typing import Unpack
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ...exceptions import FetchError, StoreError
from ...redaction import log_failure
from .challenge import serving
from .oauth.answers import redirect
from .oauth.browser import Binding
from .oauth.contract import AuthorizationParams, AuthorizeError, OAuthClientInformationFull, TokenError
from .oauth.grants import Grant, Transaction
from .oauth.kept import record_of
from .oauth.logins import Logins, subject_of
from .oauth.pages import consent_page, error_page, guarded, onward_page
from .oauth.parameters import Parameters, of_form, of_query, s256
from .oauth.provider import ClientRegistrationOptions
from .oauth.proxy_options import ProxyOptions
from .oauth.redirects import check_patterns
from .oauth.stored import StoredOAuthProvider
from .oauth.upstream import Upstream, UpstreamDown, UpstreamRefused, UpstreamTokens
from .provider import AccessToken, AuthProvider

__all__ = ["OAuthProxy", "ProxyOptions"]

logger = logging.getLogger(__name__)

_STATE = "oauth-upstream-state"
_STATE_SECONDS = 600
_CONSENT = "oauth-consent"
_REMEMBERED_SECONDS = 30 * 24 * 3600
_TIMES_ONWARD = 5
"""A user may come back from the provider and go there again, with a record each time."""
_ERROR = re.compile(r"[a-z_]{1,40}")


class _Pending(Struct, kw_only=True):
    """A user who is at the identity provider now."""

    transaction: str
    browser: str
    verifier: str
    nonce: str


class OAuthProxy(StoredOAuthProvider):
    """Clients log in here, users at the identity provider; `token_verifier` says what its tokens are worth.

    `get_access_token()` in a tool has the provider's claims, and as its ``token`` the provider's token, to call the
    provider's APIs with. Raises ValueError for URLs that are not https (or on this machine), or a short key.
    """

    def __init__(
        self,
        *,
        upstream_authorization_endpoint: str,
        upstream_token_endpoint: str,
        upstream_client_id: str,
        upstream_client_secret: str | None = None,
        upstream_revocation_endpoint: str | None = None,
        upstream_issuer: str | None = None,
        token_verifier: AuthProvider,
        base_url: str,
        token_endpoint_auth_method: str | None = None,
        forward_pkce: bool = True,
        **options: Unpack[ProxyOptions],
    ) -> None:
        self._set_up(base_url, token_verifier, token_verifier.required_scopes, options)
        self.forward_pkce = forward_pkce
        self._upstream = Upstream(
            authorization_endpoint=upstream_authorization_endpoint,
            token_endpoint=upstream_token_endpoint,
            client_id=upstream_client_id,
            client_secret=upstream_client_secret,
            revocation_endpoint=upstream_revocation_endpoint,
            auth_method=token_endpoint_auth_method,
            issuer=upstream_issuer,
            timeout=self.timeout,
            fallback_expiry=self.fallback_expiry,
        )

    def _set_up(
        self, base_url: str, verifier: AuthProvider | None, required_scopes: list[str], options: ProxyOptions
    ) -> None:
        unknown = options.keys() - ProxyOptions.__annotations__.keys()
        if unknown:  # a setting that protects must not be lost to a slip of the pen
            raise TypeError(f"{type(self).__name__} has no option {', '.join(sorted(unknown))}")
        key = options.get("jwt_signing_key")
        scopes = options.get("valid_scopes") or required_scopes
        super().__init__(
            base_url,
            issuer_url=options.get("issuer_url"),
            resource_base_url=options.get("resource_base_url"),
            service_documentation_url=options.get("service_documentation_url"),
            resource_name=options.get("resource_name"),
            client_registration_options=ClientRegistrationOptions(enabled=True, valid_scopes=list(scopes)),
            required_scopes=required_scopes,
            store=options.get("client_storage"),
            secret_key=key.hex() if isinstance(key, bytes) else key,
            access_token_seconds=options.get("fastmcp_access_token_expiry_seconds") or 3600,
            refresh_token_seconds=options.get("fallback_refresh_token_expiry_seconds") or 30 * 24 * 3600,
            identity_assertion=options.get("identity_assertion"),
        )
        self.reads_client_documents = options.get("enable_cimd", True)
        self.redirect_patterns = options.get("allowed_client_redirect_uris")
        check_patterns(self.redirect_patterns or ())
        self.token_verifier: AuthProvider | None = verifier
        self.consent = options.get("require_authorization_consent", True)
        self.forward_pkce = True
        self.timeout = options.get("timeout_seconds") or 10.0
        self.fallback_expiry = options.get("fallback_access_token_expiry_seconds")
        self._options = options
        self._callback_path = options.get("redirect_path") or "/auth/callback"
        self._binding = Binding(self.secret_keys[0], self.base_url, seconds=_REMEMBERED_SECONDS)
        early = options.get("token_expiry_threshold_seconds", 0)
        self._logins = Logins(self, self.records, seconds=self.refresh_token_seconds, early=early)

    # What a subclass may say otherwise

    async def upstream(self) -> Upstream:
        """The identity provider. Raises UpstreamDown where it is not known yet."""
        return self._upstream

    def upstream_scopes(self, scopes: list[str]) -> list[str]:
        """As the provider spells them."""
        return scopes or self.required_scopes

    def token_parameters(self, scopes: list[str], resource: str) -> dict[str, str]:
        """What is added to requests for tokens; the resource as at the authorization endpoint (RFC 8707, 2.2)."""
        meant = {"resource": resource} if self._options.get("forward_resource", True) else {}
        return {**meant, **(self._options.get("extra_token_params") or {})}

    async def verify_login(self, tokens: UpstreamTokens, nonce: str | None) -> AccessToken | None:
        """Whose tokens these are, which the provider has just given; `nonce` None: in a refresh."""
        return await self.verify_upstream(tokens)

    async def verify_upstream(self, tokens: UpstreamTokens) -> AccessToken | None:
        """Whose tokens these are; None where they are not good any more."""
        assert self.token_verifier is not None
        # A verifier compares with what an app serves, which a login is not in the middle of.
        reset = serving.set(serving.get() or (self.resources or [None])[0])
        try:
            return await self.token_verifier.verify_token(tokens.access_token)
        except Exception as error:  # its text may have the token, as in a URL that was asked
            log_failure(logger, error, [tokens.access_token], "The verifier of the identity provider's tokens failed")
            raise UpstreamDown("The identity provider's token can't be verified now") from None
        finally:
            serving.reset(reset)

    def check_resource(self, resource: str | None) -> None:
        if self.token_verifier is not None:
            self.token_verifier.check_resource(resource)

    # The user's way: consent, the provider, back

    def routes(self) -> list[Route]:
        return [
            Route("/consent", guarded(self._ask), methods=["GET"], name="oauth-consent"),
            Route("/consent", guarded(self._answer), methods=["POST"], name="oauth-consent-answer"),
            Route(self._callback_path, guarded(self._back), methods=["GET"], name="oauth-callback"),
        ]

    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        if client_id.startswith("https://") and not self.reads_client_documents:
            return None
        return await super().get_client(client_id)

    async def authorize(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        return f"{self.base_url}/consent?transaction={await self.begin(client, params)}"

    async def _ask(self, request: Request) -> Response:
        id = of_query(request).require("transaction")
        transaction, upstream = await self.waiting(id), await self.upstream()
        browser = self._binding.opened(request)
        await self.open_in(id, browser)
        if await self._needs_no_answer(browser, transaction):
            response = redirect(await self._onward(id, transaction, browser))
        else:
            response = consent_page(
                transaction,
                self.resource_name or urlsplit(self.base_url).netloc,
                action=f"{self.base_url}/consent",
                hidden={"transaction": id, "token": self._binding.form_token(browser, id, transaction.client_id)},
                goes_on_at=urlsplit(upstream.authorization_endpoint).hostname or "",
            )
        self._binding.remember(response, browser)
        return response

    async def _answer(self, request: Request) -> Response:
        form = await of_form(request)
        id = form.require("transaction")
        transaction = await self.waiting(id)
        browser = self._binding.answered_by(request, form.require("token"), id, transaction.client_id)
        if browser is None:
            return error_page(
                "This answer does not count",
                "It comes from another browser than the question, or cookies are off: start again in your program",
                status=403,
            )
        if form.get("answer") != "allow":
            return onward_page(await self.refuse(id, "access_denied", "The user said no"))
        if self.consent == "remember":
            scopes = msgspec.json.encode(transaction.scopes)
            await self.records.put(_CONSENT, _consent_key(browser, transaction), scopes, ttl=_REMEMBERED_SECONDS)
        return onward_page(await self._onward(id, transaction, browser))

    async def _needs_no_answer(self, browser: str, transaction: Transaction) -> bool:
        if self.consent in (False, "external"):
            return True
        if self.consent != "remember":
            return False
        allowed = record_of(await self.records.get(_CONSENT, _consent_key(browser, transaction)), list[str])
        return allowed is not None and set(transaction.scopes) <= set(allowed)

    async def _onward(self, id: str, transaction: Transaction, browser: str) -> str:
        """The provider's URL for one browser, which alone may come back from it."""
        upstream, state = await self.upstream(), secrets.token_urlsafe(32)
        if not await self.is_within(_TIMES_ONWARD, "onward", id, _STATE_SECONDS):
            raise AuthorizeError("invalid_request", "This login was tried too often: start again in your program")
        pending = _Pending(
            transaction=id, browser=browser, verifier=secrets.token_urlsafe(48), nonce=secrets.token_urlsafe(16)
        )
        await self.records.put(_STATE, state, msgspec.json.encode(pending), ttl=_STATE_SECONDS)
        parameters = {
            "response_type": "code",
            "client_id": upstream.client_id,
            "redirect_uri": self.base_url + self._callback_path,
            "scope": " ".join(self.upstream_scopes(transaction.scopes)),
            "state": state,
        }
        if self.forward_pkce:
            parameters |= {"code_challenge": s256(pending.verifier), "code_challenge_method": "S256"}
        if self._options.get("forward_resource", True):
            parameters["resource"] = transaction.resource
        parameters |= self.more_parameters(pending.nonce)
        return upstream.authorization_url({name: value for name, value in parameters.items() if value})

    def more_parameters(self, nonce: str) -> dict[str, str]:
        """What is added to the provider's authorization URL."""
        return self._options.get("extra_authorize_params") or {}

    async def _back(self, request: Request) -> Response:
        answer = of_query(request)
        state = answer.require("state")
        pending = record_of(await self.records.get(_STATE, state), _Pending)
        # The browser before anything else: whoever brings a state that was another's must not even use it up.
        if pending is None or self._binding.browser(request) != pending.browser:
            raise AuthorizeError("invalid_request", "This login is over, or began in another browser: start again")
        if await self.records.take(_STATE, state) is None:
            raise AuthorizeError("invalid_request", "This login is over: start again in your program")
        try:
            url = await self._finished(pending, answer)
        except AuthorizeError as error:
            url = await self.refuse(pending.transaction, error.error, error.error_description)
        except StoreError:
            raise
        except Exception as error:  # a verifier raises what it likes where it can't know
            logger.warning("A login failed at the identity provider: %s: %s", type(error).__name__, error)
            url = await self.refuse(pending.transaction, "temporarily_unavailable", "The identity provider is down")
        return redirect(url)

    async def _finished(self, pending: _Pending, answer: Parameters) -> str:
        """The client's redirect URL. Raises AuthorizeError where the login failed, UpstreamDown, FetchError."""
        upstream = await self.upstream()
        if answer.repeated:
            raise AuthorizeError("server_error", "The identity provider said something twice")
        said = answer.get("iss")
        # RFC 9207: an answer of another provider than the one that was asked (mix-up).
        if upstream.issuer is not None and said != upstream.issuer and (said is not None or upstream.says_issuer):
            raise AuthorizeError("server_error", "The answer is not from the identity provider that was asked")
        error = answer.get("error")
        if error is not None:
            code = error if _ERROR.fullmatch(error) else "server_error"
            raise AuthorizeError(code, answer.get("error_description"))
        transaction = await self.waiting(pending.transaction)
        try:
            tokens = await upstream.exchange(
                answer.get("code") or "",
                self.base_url + self._callback_path,
                pending.verifier if self.forward_pkce else None,
                self.token_parameters(transaction.scopes, transaction.resource),
            )
        except UpstreamRefused as refused:
            raise AuthorizeError("access_denied", str(refused)) from None
        access = await self.verify_login(tokens, pending.nonce)
        if access is None:
            raise AuthorizeError("access_denied", "The identity provider's token is not good for this server")
        subject = subject_of(access)
        if not subject:  # all such users would be one
            logger.error("A login is refused: claims['sub'] of the token_verifier's AccessToken must name the user")
            raise AuthorizeError("server_error", "The identity provider does not say who the user is (sub)")
        return await self.complete(pending.transaction, subject=subject, extra=await self._logins.add(tokens))

    # The provider's tokens of a login

    async def verify_token(self, token: str) -> AccessToken | None:
        own = await self.load_access_token(token)
        grant = None if own is None else await self._grants.get(str(own.claims.get("gid")))
        if own is None or grant is None:
            return None
        if not grant.extra:  # of a client or an identity assertion: nobody was at the provider
            return own
        try:
            tokens, access = await self._logins.current(grant)
        except UpstreamRefused:
            return None
        # The provider may have given less than was asked for, or taken something back.
        given = access.scopes or (tokens.scope or "").split() or own.scopes
        return AccessToken(
            token=tokens.access_token,
            client_id=own.client_id,
            scopes=[scope for scope in own.scopes if scope in given],
            expires_at=own.expires_at
            if tokens.expires_at is None
            else min(own.expires_at or 0, int(tokens.expires_at)),
            resource=own.resource,
            claims={**access.claims, "sub": grant.subject, "gid": grant.id},
        )

    async def renewed(self, grant: Grant, scopes: list[str]) -> Grant:
        # Asked whenever a client asks: a user who was shut out there is out here, too.
        if grant.extra:
            try:
                await self._logins.current(grant, renew=True)
            except UpstreamRefused as refused:
                await self._logins.taken(grant)
                raise TokenError("invalid_grant", str(refused)) from None
            except StoreError:
                raise
            except Exception as error:
                logger.warning("A refresh failed at the identity provider: %s: %s", type(error).__name__, error)
                raise TokenError("temporarily_unavailable", "The identity provider is down: try again") from None
        return grant

    async def ended(self, grant: Grant) -> None:
        tokens = await self._logins.taken(grant)
        if tokens is not None:
            try:
                await (await self.upstream()).revoke(tokens)
            except (UpstreamDown, FetchError) as error:
                logger.warning("A revocation was not heard by the identity provider: %s", error)


def _consent_key(browser: str, transaction: Transaction) -> str:
    parts = [browser, transaction.client_id, transaction.redirect_uri]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()
