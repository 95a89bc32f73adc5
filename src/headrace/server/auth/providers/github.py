"""GitHub, as an OAuth app: its tokens are opaque, `GET /user` says whose they are."""

from __future__ import annotations

from typing import Unpack

from ..oauth_proxy import OAuthProxy, ProxyOptions
from ..provider import AccessToken
from .userinfo import UserinfoVerifier, some

__all__ = ["GitHubProvider", "GitHubTokenVerifier"]


class GitHubTokenVerifier(UserinfoVerifier):
    """Takes the tokens of every GitHub app: by itself only where it does not matter which one asked the user."""

    url = "https://api.github.com/user"

    async def verify_token(self, token: str) -> AccessToken | None:
        asked = await self.ask(self.url, token, {"accept": "application/vnd.github+json"})
        if asked is None or asked[1].get("id") is None:
            return None
        answer, user = asked
        named = answer.headers.get("x-oauth-scopes", "").replace(" ", "").split(",")
        claims = {
            "sub": str(user["id"]),
            **some(user, "login", "name", "email", "avatar_url"),
            "github_user_data": user,
        }
        # Tokens of GitHub Apps have no scopes; they have just read the user.
        scopes = [scope for scope in named if scope] or ["user"]
        return AccessToken(token=token, client_id=str(user["id"]), scopes=scopes, claims=claims)


class GitHubProvider(OAuthProxy):
    """``GitHubProvider(client_id=..., client_secret=..., base_url=...)``; the app's callback URL is
    ``<base_url>/auth/callback``."""

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str,
        base_url: str,
        required_scopes: list[str] | None = None,
        **options: Unpack[ProxyOptions],
    ) -> None:
        scopes = ["user"] if required_scopes is None else required_scopes
        super().__init__(
            upstream_authorization_endpoint="https://github.com/login/oauth/authorize",
            upstream_token_endpoint="https://github.com/login/oauth/access_token",
            upstream_client_id=client_id,
            upstream_client_secret=client_secret,
            token_verifier=GitHubTokenVerifier(scopes),
            base_url=base_url,
            **options,
        )
