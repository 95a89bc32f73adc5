"""The endpoints of an authorization server: authorize, token, register, revoke, and its metadata.

They check what holds for every provider (OAuth 2.1; RFC 6749, 7009, 7591, 7636, 8414, 8707, 9207). An error goes to a
redirect URI only once the client and that URI are known to belong together; before, it is a page.
"""

from __future__ import annotations

import hmac
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ....exceptions import StoreError
from ....redaction import log_failure
from ....state.rates import Buckets, RateLimit, caller_of
from ..metadata import document_route
from .answers import NO_STORE, answered, busy, error_answer, json_answer, redirect
from .assertions import ALGORITHMS
from .cimd import network
from .client_auth import METHODS, authenticate, known_client
from .contract import (
    AuthorizationParams,
    IdentityAssertionParams,
    OAuthClientInformationFull,
    OAuthError,
    OAuthToken,
    RegistrationError,
    TokenError,
    oauth_error,
)
from .pages import error_page
from .parameters import SCOPES, Parameters, body_of, of_form, of_query, s256
from .redirects import check_redirect_uri, is_loopback_host, matches
from .registration import read_registration

if TYPE_CHECKING:
    from .provider import OAuthProvider

__all__ = ["CLIENT_CREDENTIALS", "ID_JAG_PROFILE", "JWT_BEARER", "oauth_routes"]

logger = logging.getLogger(__name__)

CLIENT_CREDENTIALS = "client_credentials"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ID_JAG_PROFILE = "urn:ietf:params:oauth:grant-profile:id-jag"
_WELL_KNOWN = ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration")
_MAX_STATE = 4096
"""It is kept until the user has answered."""
LOGINS_PER_NETWORK = RateLimit(per_second=2, burst=200)
REGISTRATIONS_PER_NETWORK = RateLimit(per_second=1 / 5, burst=100)
"""So that who begins many leaves room for others: a hosted program registers for each of its users from one network."""
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")

Answer = Callable[[Request], Awaitable[Response]]


def oauth_routes(provider: OAuthProvider, resource: str) -> list[Route]:
    """The routes of one app. `resource` is what it serves: a client that names none means it."""
    server = AuthorizationServer(provider, resource)
    path = urlsplit(provider.issuer).path.rstrip("/")
    routes = [
        *(document_route(f"{place}{path}", lambda: _metadata(provider), place[13:]) for place in _WELL_KNOWN),
        Route("/authorize", server.authorize, methods=["GET", "POST"], name="oauth-authorize"),
        _public_route("/token", server.token),
    ]
    if provider.client_registration_options.enabled:
        routes.append(_public_route("/register", server.register))
    if provider.revocation_options.enabled:
        routes.append(_public_route("/revoke", server.revoke))
    return routes


def _public_route(path: str, answer: Answer) -> Route:
    """A route that programs in browsers ask from any origin: nothing in it rests on cookies."""

    async def serve(request: Request) -> Response:
        if request.method == "OPTIONS":
            response = Response(status_code=204)
            response.headers["access-control-allow-methods"] = "POST, OPTIONS"
            response.headers["access-control-allow-headers"] = "authorization, content-type, mcp-protocol-version"
        else:
            response = await answer(request)
        response.headers["access-control-allow-origin"] = "*"
        return response

    return Route(path, serve, methods=["POST", "OPTIONS"], name=f"oauth-{path[1:]}")


class AuthorizationServer:
    """The handlers of one app."""

    def __init__(self, provider: OAuthProvider, resource: str) -> None:
        self._provider = provider
        self._resource = resource
        self._logins, self._registrations = Buckets(LOGINS_PER_NETWORK), Buckets(REGISTRATIONS_PER_NETWORK)
        self._grants = {
            "authorization_code": self._by_code,
            "refresh_token": self._by_refresh_token,
            CLIENT_CREDENTIALS: self._by_client_credentials,
            JWT_BEARER: self._by_assertion,
        }

    # The authorization endpoint

    async def authorize(self, request: Request) -> Response:
        network.set(caller_of(None, request.scope))
        if self._logins.take(network.get()):
            return _no_login(
                OAuthError("temporarily_unavailable", "Too many logins begin in your network: wait a minute")
            )
        try:
            parameters = of_query(request) if request.method == "GET" else await of_form(request)
            client, uri = await self._client_and_uri(parameters)
        except TokenError as error:
            return _no_login(error)
        except StoreError:
            logger.exception("The store of the authorization server failed")
            return _no_login(OAuthError("temporarily_unavailable", "The server is out of order: try again later"))
        try:
            url = await self._provider.authorize(client, self._params(client, parameters, uri))
            if url.startswith(f"{uri}?") and "iss=" not in url:
                url += f"&iss={quote(self._provider.issuer, safe='')}"
        except StoreError:
            logger.exception("The store of the authorization server failed")
            return self._refusal(client, parameters, uri, OAuthError("temporarily_unavailable", "Try again later"))
        except Exception as error:
            said = oauth_error(error)
            if said is None:
                log_failure(logger, error, parameters.values(), "The provider failed at a request for authorization")
            return self._refusal(client, parameters, uri, said or OAuthError("server_error", "The server failed"))
        return redirect(url)

    def _refusal(
        self, client: OAuthClientInformationFull, parameters: Parameters, uri: str, error: OAuthError
    ) -> Response:
        """Whoever registers a program could else make links to this server that lead anywhere (RFC 9700, 4.11.2)."""
        url = self._provider.redirect(
            uri, error=error.error, error_description=error.error_description, state=parameters.get("state")
        )
        parts = urlsplit(uri)
        if parts.scheme in ("https", "http") and not is_loopback_host(parts.hostname or ""):
            if not self._provider.vouches_for(client):
                return _no_login(error, back=url)
        return redirect(url)

    async def _client_and_uri(self, parameters: Parameters) -> tuple[OAuthClientInformationFull, str]:
        """What must be right before anything is sent anywhere. Raises TokenError."""
        if parameters.repeated & {"client_id", "redirect_uri"}:
            raise TokenError("invalid_request", "client_id and redirect_uri come once each")
        client = await known_client(self._provider, parameters.require("client_id"))
        registered = [str(uri) for uri in client.redirect_uris or ()]
        asked = parameters.get("redirect_uri")
        if asked is None and len(registered) == 1:
            self._check_patterns(registered[0])
            return client, registered[0]
        if asked is None:
            raise TokenError("invalid_request", "redirect_uri is missing")
        if not matches(registered, asked):
            raise TokenError("invalid_request", "redirect_uri is none of those that this client has registered")
        self._check_patterns(asked)
        return client, asked

    def _check_patterns(self, uri: str) -> None:
        """Here, too, for documents, and for clients that were registered when other patterns held."""
        try:
            if self._provider.redirect_patterns is not None:
                check_redirect_uri(uri, self._provider.redirect_patterns)
        except RegistrationError as error:
            raise TokenError("invalid_request", error.error_description) from None

    def _params(self, client: OAuthClientInformationFull, parameters: Parameters, uri: str) -> AuthorizationParams:
        """What goes back to the client where it is wrong. Raises TokenError."""
        if parameters.repeated:
            error = "invalid_target" if parameters.repeated == {"resource"} else "invalid_request"
            raise TokenError(error, f"Given more than once: {', '.join(sorted(parameters.repeated))}")
        for name in ("request", "request_uri"):
            if name in parameters:
                raise TokenError(f"{name}_not_supported", f"{name} is not supported")
        if parameters.require("response_type") != "code":
            raise TokenError("unsupported_response_type", "response_type must be code")
        if parameters.get("response_mode", "query") != "query":
            raise TokenError("invalid_request", "response_mode must be query")
        _check_grant(client, "authorization_code")
        if len(parameters.get("state", "")) > _MAX_STATE:
            raise TokenError("invalid_request", f"state is longer than {_MAX_STATE} characters")
        challenge = parameters.require("code_challenge")
        if parameters.get("code_challenge_method") != "S256":
            raise TokenError("invalid_request", "code_challenge_method must be S256")
        if not _CHALLENGE.fullmatch(challenge):
            raise TokenError("invalid_request", "code_challenge must be a SHA-256 digest in base64url: 43 characters")
        return AuthorizationParams(
            state=parameters.get("state"),
            scopes=self._scopes(client, parameters),
            code_challenge=challenge,
            redirect_uri=uri,
            redirect_uri_provided_explicitly="redirect_uri" in parameters,
            resource=self._provider.resource_named(parameters.get("resource"), self._resource),
        )

    def _scopes(self, client: OAuthClientInformationFull, parameters: Parameters) -> list[str]:
        asked = _scopes_in(parameters)
        if asked is None:
            return self._provider.default_scopes(client)
        _check_scopes(asked, self._provider.scopes_of(client))
        return asked

    # The token endpoint

    async def token(self, request: Request) -> Response:
        async def answer(form: Parameters) -> Response:
            client = await self._authenticated(request, form, "/token")
            grant_type = form.require("grant_type")
            if grant_type not in self._provider.grant_types:
                supported = ", ".join(self._provider.grant_types)
                raise TokenError("unsupported_grant_type", f"grant_type must be one of: {supported}")
            tokens = await self._grants[grant_type](client, form)
            members = {name: getattr(tokens, name) for name in OAuthToken.__struct_fields__}
            return json_answer(200, {name: value for name, value in members.items() if value is not None})

        return await answered(request, answer)

    async def _authenticated(self, request: Request, form: Parameters, path: str) -> OAuthClientInformationFull:
        if form.repeated:
            raise TokenError("invalid_request", f"Given more than once: {', '.join(sorted(form.repeated))}")
        network.set(caller_of(None, request.scope))
        return await authenticate(self._provider, request, form, self._provider.base_url + path)

    async def _by_code(self, client: OAuthClientInformationFull, form: Parameters) -> OAuthToken:
        _check_grant(client, "authorization_code")
        code = await self._provider.load_authorization_code(client, form.require("code"))
        if code is None or code.client_id != client.client_id or code.expires_at <= time.time():
            raise TokenError("invalid_grant", "The code is invalid, expired or was used")
        # OAuth 2.1, 10.2: a client need not repeat the redirect URI, PKCE does what that was for.
        if form.get("redirect_uri", str(code.redirect_uri)) != str(code.redirect_uri):
            raise TokenError("invalid_grant", "redirect_uri is not the one of the request for authorization")
        verifier = form.require("code_verifier")
        if not _VERIFIER.fullmatch(verifier) or not _answers(verifier, code.code_challenge):
            raise TokenError("invalid_grant", "code_verifier does not fit the code_challenge")
        self._check_resource(form, code.resource)
        return await self._provider.exchange_authorization_code(client, code)

    async def _by_refresh_token(self, client: OAuthClientInformationFull, form: Parameters) -> OAuthToken:
        _check_grant(client, "refresh_token")
        token = await self._provider.load_refresh_token(client, form.require("refresh_token"))
        if token is None or token.client_id != client.client_id or _is_over(token.expires_at):
            raise TokenError("invalid_grant", "The refresh token is invalid, expired or was used")
        self._check_resource(form, token.resource)
        scopes = _scopes_in(form)
        if scopes is not None:
            _check_scopes(scopes, token.scopes)
        return await self._provider.exchange_refresh_token(client, token, token.scopes if scopes is None else scopes)

    async def _by_client_credentials(self, client: OAuthClientInformationFull, form: Parameters) -> OAuthToken:
        _check_grant(client, CLIENT_CREDENTIALS)
        if client.token_endpoint_auth_method in (None, "none"):
            raise TokenError("unauthorized_client", "A client that can't prove who it is has no token of its own")
        resource = self._provider.resource_named(form.get("resource"), self._resource)
        return await self._provider.exchange_client_credentials(client, self._scopes(client, form), resource)

    async def _by_assertion(self, client: OAuthClientInformationFull, form: Parameters) -> OAuthToken:
        # Whether a client may come this way is for the identity provider to say: its assertion names the client.
        asked = form.get("resource")
        params = IdentityAssertionParams(
            assertion=form.require("assertion"),
            scopes=_scopes_in(form),
            resource=None if asked is None else self._provider.resource_named(asked, self._resource),
        )
        return await self._provider.exchange_identity_assertion(client, params)

    def _check_resource(self, form: Parameters, granted: str | None) -> None:
        if "resource" in form and self._provider.resource_named(form["resource"], self._resource) != granted:
            raise TokenError("invalid_target", "The user has allowed it for another resource")

    # Registration and revocation

    async def register(self, request: Request) -> Response:
        options = self._provider.client_registration_options
        try:
            if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
                raise RegistrationError("invalid_client_metadata", "The body must be application/json")
            client = read_registration(
                await body_of(request),
                scopes_allowed=self._provider.scopes_supported or None,
                scopes_default=options.default_scopes,
                redirect_patterns=self._provider.redirect_patterns,
                secret_seconds=options.client_secret_expiry_seconds,
            )
            wait = self._registrations.take(caller_of(None, request.scope))
            if wait:
                return busy(429, "Too many programs were registered from your network: try again later", wait)
            await self._provider.register_client(client)
        except Exception as error:
            return error_answer(error)
        return json_answer(201, msgspec.to_builtins(client))

    async def revoke(self, request: Request) -> Response:
        async def answer(form: Parameters) -> Response:
            client = await self._authenticated(request, form, "/revoke")
            text = form.require("token")
            token = await self._provider.load_refresh_token(client, text) or (
                await self._provider.load_access_token(text)
            )
            # A token of another client is as good as none; a client that guesses learns nothing (RFC 7009, 2.2).
            if token is not None and token.client_id == client.client_id:
                await self._provider.revoke_token(token)
            return Response(status_code=200, headers=NO_STORE)

        return await answered(request, answer)


def _no_login(error: OAuthError, *, back: str | None = None) -> Response:
    status = 503 if error.error == "temporarily_unavailable" else 400
    return error_page("This login can't begin", str(error), status=status, back=back)


def _check_grant(client: OAuthClientInformationFull, grant_type: str) -> None:
    if grant_type not in client.grant_types:
        raise TokenError("unauthorized_client", f"This client has not registered the grant type {grant_type}")


def _scopes_in(parameters: Parameters) -> list[str] | None:
    asked = parameters.get("scope")
    if asked is None:
        return None
    if not SCOPES.fullmatch(asked):
        raise TokenError("invalid_scope", "scope must be names with single blanks between them")
    return list(dict.fromkeys(asked.split(" ")))


def _check_scopes(asked: Iterable[str], allowed: Iterable[str]) -> None:
    others = set(asked) - set(allowed)
    if others:
        raise TokenError("invalid_scope", f"Not to be had: {' '.join(sorted(others))}")


def _answers(verifier: str, challenge: str) -> bool:
    return hmac.compare_digest(s256(verifier).encode(), challenge.encode())


def _is_over(expires_at: int | None) -> bool:
    return expires_at is not None and expires_at <= time.time()


def _metadata(provider: OAuthProvider) -> dict[str, Any]:
    base = provider.base_url
    document: dict[str, Any] = {
        "issuer": provider.issuer,
        "authorization_endpoint": f"{base}/authorize",
        "token_endpoint": f"{base}/token",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": provider.grant_types,
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": list(METHODS),
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "authorization_response_iss_parameter_supported": True,
        "client_id_metadata_document_supported": provider.reads_client_documents,
    }
    if provider.scopes_supported:
        document["scopes_supported"] = provider.scopes_supported
    if provider.service_documentation_url is not None:
        document["service_documentation"] = provider.service_documentation_url
    if provider.client_registration_options.enabled:
        document["registration_endpoint"] = f"{base}/register"
    if provider.revocation_options.enabled:
        document["revocation_endpoint"] = f"{base}/revoke"
        document["revocation_endpoint_auth_methods_supported"] = list(METHODS)
    if JWT_BEARER in provider.grant_types:
        document["authorization_grant_profiles_supported"] = [ID_JAG_PROFILE]
    return document
