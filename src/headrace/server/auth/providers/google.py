"""Google: its access tokens are opaque, ``tokeninfo`` says whose they are and for which app."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Unpack

from ....exceptions import FetchError
from ..oauth_proxy import OAuthProxy, ProxyOptions
from ..provider import AccessToken
from .userinfo import UserinfoVerifier, some

__all__ = ["GoogleProvider", "GoogleTokenVerifier"]

_ALIASES = {name: f"https://www.googleapis.com/auth/userinfo.{name}" for name in ("email", "profile")}
"""Asked for by their short names, given by their long ones."""


class GoogleTokenVerifier(UserinfoVerifier):
    """`audience`: the client ids of the apps whose tokens are taken; None: of all, which is for tests alone."""

    url = "https://oauth2.googleapis.com/tokeninfo"
    userinfo_url = "https://www.googleapis.com/oauth2/v2/userinfo"

    def __init__(
        self,
        *,
        required_scopes: Iterable[str] | None = None,
        audience: str | list[str] | None = None,
        timeout_seconds: float = 10.0,
    ) -> None:
        super().__init__(_long(required_scopes or ()), timeout_seconds)
        self.audience = audience

    async def verify_token(self, token: str) -> AccessToken | None:
        asked = await self.ask(self.url, token)
        info = {} if asked is None else asked[1]
        allowed = [self.audience] if isinstance(self.audience, str) else self.audience
        if not info.get("sub") or not info.get("aud") or (allowed is not None and info["aud"] not in allowed):
            return None
        try:
            profile = await self.ask(self.userinfo_url, token)
        except FetchError:  # it adds a name and a picture, and says nothing that counts
            profile = None
        user = {} if profile is None else profile[1]
        expires_in = str(info.get("expires_in", ""))
        return AccessToken(
            token=token,
            client_id=str(info["sub"]),
            scopes=str(info.get("scope", "")).split(),
            expires_at=int(time.time()) + int(expires_in) if expires_in.isdecimal() else None,
            claims={
                "email_verified": user.get("verified_email"),
                **some(user, "email", "name", "picture", "given_name", "family_name", "locale"),
                **some(info, "sub", "aud", "email", "email_verified"),
                "google_user_data": user or None,
            },
        )


class GoogleProvider(OAuthProxy):
    """Google gives a refresh token only where it is asked for ``access_type=offline``, which is done here."""

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str | None = None,
        base_url: str,
        required_scopes: list[str] | None = None,
        **options: Unpack[ProxyOptions],
    ) -> None:
        valid = options.get("valid_scopes")
        more = {"access_type": "offline", "prompt": "consent", **(options.get("extra_authorize_params") or {})}
        settings: ProxyOptions = {
            **options,
            "valid_scopes": None if valid is None else _long(valid),
            "extra_authorize_params": more,
        }
        scopes = ["openid"] if required_scopes is None else required_scopes
        super().__init__(
            upstream_authorization_endpoint="https://accounts.google.com/o/oauth2/v2/auth",
            upstream_token_endpoint="https://oauth2.googleapis.com/token",
            upstream_revocation_endpoint="https://oauth2.googleapis.com/revoke",
            upstream_client_id=client_id,
            upstream_client_secret=client_secret,
            token_verifier=GoogleTokenVerifier(required_scopes=scopes, audience=client_id),
            base_url=base_url,
            **settings,
        )


def _long(scopes: Iterable[str]) -> list[str]:
    return [_ALIASES.get(scope, scope) for scope in scopes]
