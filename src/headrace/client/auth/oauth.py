"""A user logs in: the authorization code grant with PKCE (OAuth 2.1, 4.1; 2026-07-28, Authorization)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from ..oauth_callback import BrowserCallback, Callback
from ..patience import patient
from .discovery import Site
from .documents import LoginError, NoAnswer, RegisteredClient, Tokens, checked_url
from .login import Login, LoginOptions
from .registration import Registration
from .token_endpoint import Identity, TokenEndpoint

__all__ = ["OAuth"]


class OAuth(Login):
    """Opens a browser when the server wants a login, and keeps what comes of it.

    `client_id` and `client_secret` are those of a client that you registered, at `issuer` (None: the first one that
    it is used with). `client_metadata_url` is where a document of yours describes the client (CIMD). Without either,
    the client is registered dynamically as `client_name`, with `additional_client_metadata` (RFC 7591, 2).
    `callback` says how the user is asked; by default with the system's browser and a port of this machine,
    `callback_port` or any. `mcp_url` is only checked: the client that uses the login says its server.
    """

    def __init__(
        self,
        mcp_url: str | None = None,
        *,
        client_name: str = "Headrace",
        client_id: str | None = None,
        client_secret: str | None = None,
        client_metadata_url: str | None = None,
        additional_client_metadata: Mapping[str, Any] | None = None,
        callback: Callback | None = None,
        callback_port: int | None = None,
        callback_timeout: float = 300.0,
        **options: Unpack[LoginOptions],
    ) -> None:
        if client_secret is not None and client_id is None:
            raise LoginError("client_secret needs the client_id that it belongs to")
        given = None if client_id is None else RegisteredClient(client_id=client_id, client_secret=client_secret)
        super().__init__(given, **options)
        metadata = {"client_name": client_name, **({"dpop_bound_access_tokens": True} if self._dpop else {})}
        self._registration = Registration(
            self._storage,
            client=given,
            metadata_url=client_metadata_url,
            metadata={**metadata, **(additional_client_metadata or {})},
        )
        self._callback = callback or BrowserCallback(callback_port, timeout=callback_timeout)
        if mcp_url is not None:
            self.bind(mcp_url, None)

    async def _identity(self, site: Site) -> Identity:
        client = await self._registration.known(site)
        if client is None:
            raise LoginError(f"The registration at {site.server.issuer} is gone", error="invalid_client")
        return Identity(client)

    async def _client_refused(self, site: Site) -> None:
        await self._registration.forget(site.server.issuer)

    async def _grant(self, site: Site, scopes: Sequence[str]) -> Tokens:
        _check_pkce(site)
        wanted = _with_offline_access(site, scopes)
        try:
            return await self._logged_in(site, wanted)
        except LoginError as error:
            if isinstance(error, NoAnswer) or error.error in ("invalid_client", "unauthorized_client"):
                # The server may have forgotten what it registered: then its page says so, and no answer comes.
                await self._registration.forget(site.server.issuer)
            if error.error != "invalid_client" or not self._registration.can_be_renewed:
                raise
            return await self._logged_in(site, wanted)

    async def _logged_in(self, site: Site, scopes: list[str]) -> Tokens:
        known = await self._registration.known(site)
        before = known.redirect_uris[0] if known is not None and known.redirect_uris else None
        try:
            redirect_uri = await self._callback.start(before)
            if known is None or not _fits(known, redirect_uri, scopes):
                every = [*scopes, *(scope for scope in site.scopes_supported if scope not in scopes)]
                known = await self._registration.register(self._web, site, redirect_uri, every)
            verifier = secrets.token_urlsafe(48)
            code = await self._code(site, known.client_id, redirect_uri, scopes, verifier)
        finally:
            await self._callback.close()
        grant = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        endpoint = TokenEndpoint(self._web, site, Identity(known), self._proofs_for(site))
        return await self._obtained(endpoint, grant, scopes)

    async def _code(self, site: Site, client_id: str, redirect_uri: str, scopes: list[str], verifier: str) -> str:
        state = secrets.token_urlsafe(32)
        digest = hashlib.sha256(verifier.encode()).digest()
        params = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": redirect_uri,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            "state": state,
            "resource": site.resource,
        }
        if scopes:
            params["scope"] = " ".join(scopes)
        if "offline_access" in scopes:
            params["prompt"] = "consent"  # without it there is no refresh token (OpenID Connect Core 1.0, 11)
        endpoint = checked_url(site.server.authorization_endpoint or "", "The authorization endpoint")
        with patient():  # a user needs longer than a server may
            answer = await self._callback.authorize(str(endpoint.copy_merge_params(params)), state)
        return _code_in(answer, state, site)


def _code_in(answer: Mapping[str, str], state: str, site: Site) -> str:
    """The code, once it is sure that the answer is to this request, and from this server (RFC 9207, 2.4).

    Nothing of an answer that fails is shown: it may be anybody's.
    """
    issuer = site.server.issuer
    if not hmac.compare_digest(answer.get("state", "").encode(), state.encode()):
        raise LoginError(f"The answer that came for the login at {issuer} is to another request (state)")
    given = answer.get("iss")
    if given is None and site.server.authorization_response_iss_parameter_supported:
        raise LoginError(f"The answer to the login at {issuer} does not say who sent it (iss)")
    if given is not None and given != issuer:
        raise LoginError(f"The answer to the login at {issuer} is from another issuer (iss)")
    if "error" in answer:
        said = answer.get("error_description")
        text = f"The login at {issuer} was refused: {answer['error']!r}{f' ({said})' if said else ''}"
        raise LoginError(text, error=answer["error"])
    code = answer.get("code")
    if not code:
        raise LoginError(f"The answer to the login at {issuer} has no code")
    return code


def _fits(client: RegisteredClient, redirect_uri: str, scopes: Sequence[str]) -> bool:
    """Whether it was registered for this. What the user registered is the user's business."""
    if client.redirect_uris is None:
        return True
    return redirect_uri in client.redirect_uris and (client.scope is None or set(scopes) <= set(client.scope.split()))


def _check_pkce(site: Site) -> None:
    """2026-07-28, Authorization Code Protection."""
    if "S256" not in (site.server.code_challenge_methods_supported or ()):
        raise LoginError(f"{site.server.issuer} does not say that it supports PKCE with S256: no login there is safe")


def _with_offline_access(site: Site, scopes: Sequence[str]) -> list[str]:
    """With the scope for refresh tokens, where there is one (2026-07-28, Authorization, Refresh Tokens)."""
    offline = "offline_access" in (site.server.scopes_supported or ()) and "offline_access" not in scopes
    return [*scopes, *(["offline_access"] if offline else [])]
