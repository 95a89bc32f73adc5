"""IntrospectionTokenVerifier: tokens that only their issuer can read; it is asked about each (RFC 7662)."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlencode

import msgspec

from ...exceptions import FetchError
from ...transports.http.fetch import fetch
from .claims import Audience, access_token_of, as_list
from .compact import BadToken
from .provider import AccessToken
from .verifiers import TokenVerifier

if TYPE_CHECKING:
    from .dpop import DPoP

__all__ = ["IntrospectionTokenVerifier"]

logger = logging.getLogger(__name__)

_MAX_BYTES = 64 * 1024
_LEEWAY = 60.0
_METHODS = ("client_secret_basic", "client_secret_post")


class IntrospectionTokenVerifier(TokenVerifier):
    """Asks `introspection_url`, as the client `client_id`, whether a token is active.

    ``aud`` must name the resource that the token is presented to, or one of `audience`; an issuer that never says whom
    tokens are for does with ``require_audience=False``, if it knows by who asks. An answer is believed for
    `cache_ttl_seconds` (0: each request asks, so that a revoked token ends at once). Where the issuer can't be asked,
    requests are answered 503.
    """

    def __init__(
        self,
        *,
        introspection_url: str,
        client_id: str,
        client_secret: str,
        client_auth_method: str = "client_secret_basic",
        timeout_seconds: float = 10,
        required_scopes: Iterable[str] | None = None,
        audience: str | Sequence[str] | None = None,
        require_audience: bool = True,
        base_url: str | None = None,
        cache_ttl_seconds: float | None = None,
        dpop: str | DPoP = "off",
    ) -> None:
        super().__init__(base_url, required_scopes, dpop=dpop)
        if client_auth_method not in _METHODS:
            raise ValueError(f"client_auth_method is one of {', '.join(_METHODS)}, and not {client_auth_method!r}")
        self.introspection_url = str(introspection_url)
        self._client = (client_id, client_secret)
        self._in_form = client_auth_method == "client_secret_post"
        self._timeout = timeout_seconds
        self._audience = Audience(as_list(audience, "audience"), self.base_url)
        self._require_audience = require_audience
        if cache_ttl_seconds is not None:
            self.cache_seconds = cache_ttl_seconds

    def check_resource(self, resource: str | None) -> None:
        if self._require_audience:
            self._audience.check_known(resource)

    async def verify_token(self, token: str) -> AccessToken | None:
        """The token if it is active and for this server. Raises FetchError where nobody could say so."""
        answer = await self._ask(token)
        if answer.get("active") is not True:
            return None
        # An aud that is there names us, whoever asked.
        audience = self._audience if self._require_audience or "aud" in answer else None
        try:
            return access_token_of(token, answer, issuers=None, audience=audience, leeway=_LEEWAY, must_expire=False)
        except BadToken as error:
            logger.debug("A token that is active is refused: %s", error)
            return None

    async def _ask(self, token: str) -> dict[str, Any]:
        form = {"token": token, "token_type_hint": "access_token"}
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        id, secret = self._client
        if self._in_form:
            form |= {"client_id": id, "client_secret": secret}
        else:
            pair = f"{quote_plus(id)}:{quote_plus(secret)}"  # RFC 6749, 2.3.1
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        answer = await fetch(
            self.introspection_url,
            method="POST",
            content=urlencode(form).encode(),
            headers=headers,
            max_bytes=_MAX_BYTES,
            timeout=self._timeout,
            allow_private=True,
        )
        if answer.status != 200:
            raise FetchError(f"The introspection endpoint answers {answer.status}")
        try:
            return msgspec.json.decode(answer.body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise FetchError("The introspection endpoint does not answer with a JSON object") from None
