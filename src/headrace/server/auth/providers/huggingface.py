"""Hugging Face: its tokens are opaque, the userinfo endpoint says whose they are, but not for which scopes."""

from __future__ import annotations

from typing import Any, Unpack

from ..oauth_proxy import OAuthProxy, ProxyOptions
from .userinfo import UserinfoVerifier, some

__all__ = ["HuggingFaceProvider", "HuggingFaceTokenVerifier"]


class HuggingFaceTokenVerifier(UserinfoVerifier):
    url = "https://huggingface.co/oauth/userinfo"

    def claims_of(self, user: dict[str, Any]) -> dict[str, Any]:
        names = ("name", "preferred_username", "email", "email_verified", "profile", "picture")
        return {**some(user, *names), "huggingface_userinfo": user}


class HuggingFaceProvider(OAuthProxy):
    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str | None = None,
        base_url: str,
        required_scopes: list[str] | None = None,
        **options: Unpack[ProxyOptions],
    ) -> None:
        super().__init__(
            upstream_authorization_endpoint="https://huggingface.co/oauth/authorize",
            upstream_token_endpoint="https://huggingface.co/oauth/token",
            upstream_client_id=client_id,
            upstream_client_secret=client_secret,
            token_verifier=HuggingFaceTokenVerifier(
                ["openid", "profile"] if required_scopes is None else required_scopes
            ),
            base_url=base_url,
            **options,
        )
