"""The door: reads the token of a request, and says why it stays shut (RFC 6750, section 3; RFC 9728, 5.1).

Without credentials a 401 carries no error code; a bad token is ``invalid_token``; a missing scope is 403
``insufficient_scope``, with the scopes that would do. A verifier that fails inside is 503, never 500 or 401.
A token is verified once and then known, by its digest, for a bounded time. Only the Authorization field is read,
never the query. A token that is bound to a key (a ``cnf`` claim) is no bearer token: without DPoP it is refused, since
whoever stole it could present it, too (RFC 9449, 7.2).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, MutableMapping, Sequence
from contextvars import ContextVar
from functools import partial
from hashlib import sha256
from time import time
from typing import TYPE_CHECKING, Any

from starlette.authentication import AuthCredentials, BaseUser, UnauthenticatedUser
from starlette.types import ASGIApp, Receive, Scope, Send

from ...call import Principal
from ...redaction import log_failure, secrets_of
from ...transports.http.answer import JSON_HEADERS, Denied, Headers, Refuse

if TYPE_CHECKING:
    from .provider import AccessToken, AuthProvider

__all__ = ["AuthenticatedUser", "Bearer", "Door", "Known", "ProofError", "serving"]

serving: ContextVar[str | None] = ContextVar("serving", default=None)
"""The canonical URI of what the token is presented to, while it is verified: one provider may guard several apps."""

logger = logging.getLogger(__name__)

_MAX_TOKEN = 16 * 1024
_MAX_KNOWN = 10_000


class ProofError(Exception):
    """The proof of a key does not do; `error` is the code of RFC 9449, 7.1."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


class AuthenticatedUser(BaseUser):
    """``request.user`` behind a valid token."""

    def __init__(self, access_token: AccessToken) -> None:
        self.access_token = access_token
        self.scopes = list(access_token.scopes)

    @property
    def is_authenticated(self) -> bool:
        return True

    @property
    def display_name(self) -> str:
        return self.access_token.client_id

    @property
    def identity(self) -> str:
        return self.access_token.principal


class Known:
    """A token that was verified, and what is made of it once. `until`, `user` and `credentials` are for requests."""

    __slots__ = ("access", "admitted", "credentials", "door", "principal", "until", "user")

    def __init__(self, door: Door, access: AccessToken, until: float, challenge: Callable[..., str]) -> None:
        self.door = door
        """Who vouches for it: to another one it says nothing."""
        self.access = access
        self.until = until
        self.admitted: list[str] | None = None
        """The scopes that were required when it came in without a proof; None: it must be looked at again."""
        self.principal = Principal(access.principal, access, challenge)
        self.user = AuthenticatedUser(access)
        self.credentials = AuthCredentials(["authenticated", *access.scopes])


class Bearer:
    """Pure ASGI: puts ``user`` and ``auth`` into every http scope. It never refuses: the guarded path does."""

    def __init__(self, app: ASGIApp, provider: AuthProvider) -> None:
        self.app = app
        self.provider = provider

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = getattr(scope["app"].state, "path", None) if "app" in scope else None
            try:
                await self.provider.door(path).identify(scope)
            except Denied:
                pass
            except Exception as error:
                # An open route works on; the guarded one asks again and answers 503.
                log_failure(logger, error, secrets_of(b"", scope), "The token verifier failed")
        await self.app(scope, receive, send)


class Door:
    """The guard of one MCP path. `authenticate` is what its endpoint asks."""

    def __init__(self, provider: AuthProvider, mcp_path: str | None) -> None:
        self._provider = provider
        self._mcp_path = mcp_path
        self._resource = provider.resource_url(mcp_path)
        self._metadata_url = provider.metadata_url(mcp_path)
        self._known: dict[bytes, Known] = {}
        """By the digest of the whole field; in the order in which they were verified."""
        self._forgotten = 0
        """How often: what was verified meanwhile may be what was revoked."""

    def forget(self, token: str | None = None, grant: str | None = None) -> None:
        self._forgotten += 1
        for digest, known in list(self._known.items()):
            access = known.access
            if token in (None, access.token) and grant in (None, access.claims.get("gid", grant)):
                self._known.pop(digest, None)

    async def authenticate(self, scope: MutableMapping[str, Any]) -> Principal | None:
        """Who sends the request. Raises Denied."""
        # The short way, for a token that is known; tests/test_hot_path.py counts its steps.
        headers = scope["headers"]
        fields = dict(headers)
        field = fields.get(b"authorization")
        if field is not None and len(fields) == len(headers):
            known = self._known.get(sha256(field).digest())
            if known is not None and known.until > time() and known.admitted == self._provider.required_scopes:
                scope["headrace.known"], scope["user"], scope["auth"] = known, known.user, known.credentials
                return known.principal
        try:
            known = await self.identify(scope)
        except Denied:
            raise
        except Exception as error:
            log_failure(logger, error, secrets_of(b"", scope), "The token verifier failed")
            raise Denied(
                Refuse(503, "Authentication is out of order: try again", headers=[(b"retry-after", b"5")])
            ) from None
        required = self._provider.required_scopes
        if not set(required).issubset(known.access.scopes):
            raise self._refused(
                403, "insufficient_scope", self._missing(known.access.scopes), scheme=_scheme_of(known.access)
            )
        if self._provider.dpop is None:
            known.admitted = list(required)
        return known.principal

    async def identify(self, scope: MutableMapping[str, Any]) -> Known:
        """The request's verified token, remembered in its scope. Raises Denied, and what the verifier raises."""
        known = scope.get("headrace.known")
        if known is not None and known.door is self:
            return known
        scope["user"], scope["auth"] = UnauthenticatedUser(), AuthCredentials()
        field: bytes | None = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                if field is not None:
                    raise self._refused(400, "invalid_request", "There is more than one Authorization field")
                field = value
        known = await self._verified(scope, field)
        scope["headrace.known"], scope["user"], scope["auth"] = known, known.user, known.credentials
        return known

    async def _verified(self, scope: MutableMapping[str, Any], field: bytes | None) -> Known:
        scheme, token = credentials_in(field)
        dpop = self._provider.dpop
        if scheme != "bearer" and (scheme != "dpop" or dpop is None):
            raise self._refused(401)
        if not token or len(token) > _MAX_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
            raise self._refused(401, "invalid_token", scheme=scheme)
        known = await self._known_token(field or b"", token)
        if known is None:
            raise self._refused(401, "invalid_token", scheme=scheme)
        bound = known.access.claims.get("cnf") is not None
        if dpop is None and bound:
            raise self._refused(401, "invalid_token", "The access token is bound to a key, which is not checked here")
        if dpop is not None and scheme == "dpop":
            try:
                dpop.check(scope, self._provider.resource_url(_path_of(scope)) or "", known.access)
            except ProofError as error:
                raise self._refused(401, error.error, error.description, scheme="dpop") from None
        elif dpop is not None and (bound or dpop.required):
            raise self._refused(401, "invalid_token", "The access token must come with a DPoP proof of its key")
        return known

    async def _known_token(self, field: bytes, token: str) -> Known | None:
        digest, now = sha256(field).digest(), time()
        known = self._known.get(digest)
        if known is not None and now < known.until:
            return known
        reset, forgotten = serving.set(self._resource), self._forgotten
        try:
            access = await self._provider.verify_token(token)
        finally:
            serving.reset(reset)
        if access is None or not self._provider.is_live(access):
            self._known.pop(digest, None)
            return None
        until = now + self._provider.cache_seconds
        if access.expires_at is not None:
            until = min(until, access.expires_at + access.leeway)
        known = Known(self, access, until, partial(self._step_up, _scheme_of(access)))
        if now < until and forgotten == self._forgotten:
            self._keep(digest, known, now)
        return known

    def _keep(self, digest: bytes, known: Known, now: float) -> None:
        self._known.pop(digest, None)
        # Tokens don't stay in memory longer than they are of use, as far as the oldest ones tell.
        while self._known:
            oldest = next(iter(self._known))
            if now < self._known[oldest].until and len(self._known) < _MAX_KNOWN:
                break
            del self._known[oldest]
        self._known[digest] = known

    # What is said to who stays outside

    def _step_up(self, scheme: str, scopes: Sequence[str]) -> str:
        """The challenge for a call that needs these scopes, too."""
        description = f"This needs the scope: {' '.join(scopes)}"
        name = "DPoP" if scheme == "dpop" else "Bearer"
        return self._challenge(name, self._challenge_scopes(scopes), "insufficient_scope", description)

    def _challenge_scopes(self, more: Sequence[str] = ()) -> list[str]:
        required = self._provider.required_scopes
        extra = [scope for scope in more if scope not in required]
        asked = [*self._provider.get_challenge_scopes(), *(self._provider.get_challenge_scopes(extra) if extra else ())]
        # Whether tokens can be renewed is between the client and its authorization server.
        return [scope for scope in dict.fromkeys(asked) if scope != "offline_access"]

    def _missing(self, scopes: Sequence[str]) -> str:
        return f"Missing scope: {' '.join(each for each in self._provider.required_scopes if each not in scopes)}"

    def _refused(
        self,
        status: int,
        error: str | None = None,
        description: str = "The access token is invalid or expired: log in again",
        *,
        scheme: str = "bearer",
    ) -> Denied:
        """`scheme` is that of the token which is refused."""
        dpop, scopes = self._provider.dpop, self._challenge_scopes()
        headers: Headers = []
        if dpop is None or not dpop.required:
            said = error if scheme == "bearer" else None
            headers.append(_field(self._challenge("Bearer", scopes, said, description)))
        if dpop is not None:
            said = error if scheme == "dpop" or dpop.required else None
            headers.append(_field(self._challenge("DPoP", scopes, said, description)))
            headers += dpop.nonce_headers()
        refusal = Refuse(status, "")
        # The body that RFC 6750 users expect; none where there is nothing to say (RFC 6750, 3.1).
        body = {"error": error, "error_description": description}
        refusal.body = json.dumps(body).encode() if error else b""
        refusal.headers = [*(JSON_HEADERS if error else ()), *headers]
        return Denied(refusal)

    def _challenge(self, scheme: str, scopes: Sequence[str], error: str | None, description: str) -> str:
        """A ``WWW-Authenticate`` value."""
        dpop = self._provider.dpop
        fields = {
            "error": error or "",
            "error_description": description if error else "",
            "scope": " ".join(scopes),
            "resource_metadata": self._metadata_url or "",
            "algs": " ".join(dpop.algorithms) if dpop is not None and scheme == "DPoP" else "",
        }
        parts = ", ".join(f'{name}="{_quoted(value)}"' for name, value in fields.items() if value)
        return f"{scheme} {parts}".rstrip()


def credentials_in(field: bytes | None) -> tuple[str, str]:
    """The scheme of an Authorization field, in lower case, and what follows it."""
    scheme, _, token = (field or b"").decode("latin-1").strip(" \t").partition(" ")
    return scheme.lower(), token.strip(" ")


def _scheme_of(access: AccessToken) -> str:
    return "bearer" if access.claims.get("cnf") is None else "dpop"


def _path_of(scope: MutableMapping[str, Any]) -> str:
    return scope["path"].removeprefix(scope.get("root_path", ""))


def _field(value: str) -> tuple[bytes, bytes]:
    return b"www-authenticate", value.encode("latin-1", "replace")


def _quoted(text: str) -> str:
    return "".join(c for c in text if c >= " ").replace("\\", "\\\\").replace('"', '\\"')
