"""Discord: its tokens are opaque, ``/oauth2/@me`` says whose they are and for which application."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Unpack, cast

from ..oauth_proxy import OAuthProxy, ProxyOptions
from ..provider import AccessToken
from .userinfo import UserinfoVerifier, some

__all__ = ["DiscordProvider", "DiscordTokenVerifier"]


class DiscordTokenVerifier(UserinfoVerifier):
    url = "https://discord.com/api/oauth2/@me"

    def __init__(
        self,
        *,
        expected_client_id: str,
        required_scopes: Iterable[str] | None = None,
        timeout_seconds: float = 10.0,
    ) -> None:
        super().__init__(required_scopes, timeout_seconds)
        self.expected_client_id = expected_client_id

    async def verify_token(self, token: str) -> AccessToken | None:
        asked = await self.ask(self.url, token)
        info = {} if asked is None else asked[1]
        application, user = _object(info, "application"), _object(info, "user")
        if str(application.get("id")) != self.expected_client_id or not user.get("id"):
            return None
        expires = info.get("expires")
        over = int(datetime.fromisoformat(expires).timestamp()) if isinstance(expires, str) else None
        return AccessToken(
            token=token,
            client_id=self.expected_client_id,
            scopes=[str(scope) for scope in info.get("scopes") or ()],
            expires_at=over,
            claims={
                "sub": str(user["id"]),
                **some(user, "username", "discriminator", "avatar", "email", "verified", "locale"),
                "discord_user": user,
            },
        )


class DiscordProvider(OAuthProxy):
    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str,
        base_url: str,
        required_scopes: list[str] | None = None,
        **options: Unpack[ProxyOptions],
    ) -> None:
        scopes = ["identify"] if required_scopes is None else required_scopes
        super().__init__(
            upstream_authorization_endpoint="https://discord.com/oauth2/authorize",
            upstream_token_endpoint="https://discord.com/api/oauth2/token",
            upstream_revocation_endpoint="https://discord.com/api/oauth2/token/revoke",
            upstream_client_id=client_id,
            upstream_client_secret=client_secret,
            token_verifier=DiscordTokenVerifier(expected_client_id=client_id, required_scopes=scopes),
            base_url=base_url,
            **options,
        )


def _object(document: dict[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
