"""Clerk: its tokens are opaque, ``token_info`` says for which app they are, userinfo whose."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack
from urllib.parse import quote, urlencode

from ....exceptions import FetchError
from ..oauth.upstream import fetch_json
from ..oauth_proxy import OAuthProxy, ProxyOptions
from ..provider import AccessToken
from .userinfo import UserinfoVerifier, some

__all__ = ["ClerkProvider", "ClerkTokenVerifier"]


class ClerkTokenVerifier(UserinfoVerifier):
    """`domain` of the Clerk instance: ``saving-primate-16.clerk.accounts.dev``."""

    def __init__(
        self,
        *,
        domain: str,
        client_id: str | None = None,
        client_secret: str | None = None,
        required_scopes: Iterable[str] | None = None,
        timeout_seconds: float = 10.0,
    ) -> None:
        super().__init__(required_scopes, timeout_seconds)
        self.url = f"https://{_host(domain)}/oauth/token_info"
        self.userinfo_url = f"https://{_host(domain)}/oauth/userinfo"
        self._client_id = client_id
        self._client_secret = client_secret

    async def verify_token(self, token: str) -> AccessToken | None:
        info = await self._introspected(token)
        audience = info.get("aud") or info.get("client_id")
        if info.get("active") is not True or (self._client_id is not None and audience != self._client_id):
            return None
        asked = await self.ask(self.userinfo_url, token)
        user = {} if asked is None else asked[1]
        subject = info.get("sub") or user.get("sub")
        if not subject:
            return None
        names = ("email", "email_verified", "name", "picture", "given_name", "family_name", "preferred_username")
        over = info.get("exp")
        return AccessToken(
            token=token,
            client_id=str(audience or subject),
            scopes=str(info.get("scope") or "").split(),
            expires_at=over if isinstance(over, int) else None,
            claims={"sub": str(subject), "aud": audience, **some(user, *names), "clerk_user_data": user or None},
        )

    async def _introspected(self, token: str) -> dict[str, Any]:
        form = {"token": token, **({"client_id": self._client_id} if self._client_id else {})}
        if self._client_secret:
            form["client_secret"] = self._client_secret
        answer, document = await fetch_json(
            self.url,
            method="POST",
            content=urlencode(form, quote_via=quote).encode(),
            headers={"content-type": "application/x-www-form-urlencoded"},
            timeout=self.timeout_seconds,
        )
        if answer.status != 200:
            raise FetchError(f"Clerk answered {answer.status} to a question about a token")
        return document


class ClerkProvider(OAuthProxy):
    def __init__(
        self,
        *,
        domain: str,
        client_id: str,
        client_secret: str | None = None,
        base_url: str,
        required_scopes: list[str] | None = None,
        **options: Unpack[ProxyOptions],
    ) -> None:
        host = _host(domain)
        super().__init__(
            upstream_authorization_endpoint=f"https://{host}/oauth/authorize",
            upstream_token_endpoint=f"https://{host}/oauth/token",
            upstream_client_id=client_id,
            upstream_client_secret=client_secret,
            token_verifier=ClerkTokenVerifier(
                domain=host,
                client_id=client_id,
                client_secret=client_secret,
                required_scopes=["openid", "email", "profile"] if required_scopes is None else required_scopes,
            ),
            base_url=base_url,
            **options,
        )


def _host(domain: str) -> str:
    return domain.removeprefix("https://").removeprefix("http://").rstrip("/")
